"""台账一段: some thousand entries of an exported ledger, examined by a process of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from domain import suite
from domain.tiles import HEIGHT, WIDTH, subtree
from domain.tree import HASH_SIZE, Place, Span, ours
from sync.verifier.defect import Defect, fail
from sync.verifier.records import unleaf

TILES = 64
"""Of a chunk; a power of two, so that a chunk is one subtree."""


class Section(NamedTuple):
    """A tile in the file: its number, where its bytes begin, how many, of how many leaves."""

    number: int
    at: int
    length: int
    leaves: int


class Seen(NamedTuple):
    """One stream within a chunk: where it begins, its versions from and to, its keeper."""

    place: int
    first: int
    last: int
    keeper: str


class Peaks:
    """The complete subtrees so far, the largest first; equal ones become one."""

    def __init__(self, held: Sequence[tuple[int, bytes]] = ()) -> None:
        self.held = list(held)

    def push(self, height: int, node: bytes) -> None:
        """The subtree that follows."""
        while self.held and self.held[-1][0] == height:
            node, height = ours().node(self.held.pop()[1], node), height + 1
        self.held.append((height, node))

    def with_row(self, hashes: Sequence[bytes]) -> Peaks:
        """With the first hashes of the next tile; this one stays as it is."""
        made = Peaks(self.held)
        for place in Span(0, len(hashes)).places():
            made.push(place.height, subtree(ours(), hashes, place))
        return made


class Examined(NamedTuple):
    """What a chunk has come to; `defect` is what stopped it."""

    streams: dict[bytes, Seen]
    peaks: list[tuple[int, bytes]]
    cuts: dict[int, list[tuple[int, bytes]]]
    """By size of a checkpoint, the subtrees of this chunk up to there."""
    roots: list[bytes]
    """Of its full tiles."""
    signets: list[tuple[int, bytes]]
    defect: dict[str, Any] | None


def examine(
    path: Path,
    algorithms: suite.SuiteName,
    by: str,
    sections: Sequence[Section],
    sizes: Sequence[int],
) -> Examined:
    """Every entry: its hash, its stream, what it says of itself."""
    suite.choose(algorithms)  # The process may be a new one.
    seen, peaks, cuts = Examined({}, [], {}, [], [], None), Peaks(), set(sizes)
    defect = None
    try:
        with path.open("rb") as file:
            for section in sections:
                file.seek(section.at)
                _tile(file.read(section.length), section, by, seen, peaks, cuts)
    except Defect as found:
        defect = found.facts
    return seen._replace(peaks=peaks.held, defect=defect)


def _tile(  # noqa: PLR0913, PLR0917 - one tile into what was seen before.
    raw: bytes, section: Section, by: str, seen: Examined, peaks: Peaks, cuts: set[int]
) -> None:
    first, row, leaf = section.number * WIDTH, [], ours().leaf
    for place, data in enumerate(_entries(raw, section), first):
        hashed = leaf(data)
        at = (place - first) * HASH_SIZE
        if hashed != raw[at : at + HASH_SIZE]:
            fail(f"第 {place + 1} 条 entry {place + 1}", "entry and tile do not fit each other")
        row.append(hashed)
        _entry(place, data, by, seen)
        if place + 1 in cuts:
            seen.cuts[place + 1] = peaks.with_row(row).held
    if len(row) == WIDTH:
        root = subtree(ours(), row, Place(HEIGHT, 0))
        seen.roots.append(root)
        peaks.push(HEIGHT, root)
    else:
        peaks.held = peaks.with_row(row).held


def _entries(raw: bytes, section: Section) -> Iterator[bytes]:
    """The data of each leaf, behind its length; nothing may be left over."""
    at = section.leaves * HASH_SIZE
    for number in range(section.leaves):
        end = at + 2 + int.from_bytes(raw[at : at + 2])
        if end > len(raw) or end < at + 2 + 26:
            place = section.number * WIDTH + number + 1
            fail(f"第 {place} 条 entry {place}", "an entry is cut")
        yield raw[at + 2 : end]
        at = end
    if at != len(raw):
        fail(f"第 {section.number} 瓦片 tile {section.number}", "there is more than its entries")


def _entry(place: int, data: bytes, by: str, seen: Examined) -> None:
    made = unleaf(place, data)
    stream, keeper = data[:16], made.keeper
    before = seen.streams.get(stream)
    if before is None:
        seen.streams[stream] = Seen(place, made.version, made.version, keeper)
    elif made.version != before.last + 1 or keeper != before.keeper:
        because = "versions have a gap, or the keeper changes"
        fail(made.where, because, after=before.last, keeper=before.keeper)
    else:
        seen.streams[stream] = before._replace(last=made.version)
    if made.topic.startswith("organization.") and keeper != by:
        fail(made.where, "another organization's own stream is never here", keeper=keeper)
    if made.topic.startswith("signet."):
        seen.signets.append((place, data))
