"""台账审计: a whole ledger in one file, checked entry by entry up to every checkpoint."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

from domain import suite
from domain.tiles import WIDTH
from domain.tree import HASH_SIZE, ours
from sync.verifier import keys, notes
from sync.verifier.chunk import TILES, Examined, Peaks, Section, examine
from sync.verifier.defect import fail, get, must_be_our_suite, read_json, unb64, write_json
from sync.verifier.keys import Chain
from sync.verifier.notes import Checkpoint, Known, Witness
from sync.verifier.records import Record, unleaf

FORMAT = "waystation/ledger/v1"
BEGINS = b'{"format":"waystation/ledger/v1",'

LINE_BYTES = 128 * 1024
"""Of one line; a tile's is the longest."""

TILE_BYTES = WIDTH * (HASH_SIZE + 2 + 65_535)
"""Of a tile with its entries."""

PROCESSES = 2
_BUFFER = 1 << 20


class Audited(NamedTuple):
    """A ledger of which all holds."""

    by: str
    size: int
    streams: int
    checkpoints: int
    newest: Checkpoint
    chain: Chain
    known: bool
    witnesses: tuple[Witness, ...]


class _Rest(NamedTuple):
    """What follows the entries."""

    tiles: list[tuple[int, int, bytes]]
    checkpoints: list[Checkpoint]
    signatures: dict[str, Any]
    signed_up_to: int


def signed_text(digest: str) -> bytes:
    """What the organization signs of a whole file."""
    return f"{FORMAT}\n{digest}\n".encode()


def verify(
    path: Path,
    known: Known,
    witnesses: int = 0,
    kept: Sequence[Checkpoint] = (),
    processes: int = PROCESSES,
) -> Audited:
    """Check a file; `kept` are checkpoints that the reader has from before, or from others.

    Raises:
        Defect: with the first bad place.
    """
    with path.open("rb") as file:
        head = read_json(_line(file), "首行 first line")
        must_be_our_suite(head, "首行 first line")
        by, origin = get(head, "by", str, "首行 first line"), head.get("origin")
        size = get(head, "size", int, "首行 first line")
        sections = list(_sections(file, size))
        rest = _rest(file)
    here = [each for each in rest.checkpoints if each.origin == origin]
    if not here or here[-1].size != size or here[-1].org != by or head.get("format") != FORMAT:
        fail("首行 first line", "no checkpoint of this ledger and size", size=size, origin=origin)
    held = _entries(path, by, sections, [*here, *_of(kept, origin, size)], processes)
    chains = _chains(by, held.signets)
    pinned = known.get(by, ())
    if pinned:
        chains[by].must_be_vouched(pinned)
    _must_be_tiles(rest.tiles, held.roots)
    _must_be_checkpoints(rest.checkpoints, chains[by])
    seen = tuple(here[-1].witnesses(known, "见证 cosignatures"))
    if len(seen) < witnesses:
        fail("见证 cosignatures", "too few known witnesses", found=len(seen), of=witnesses)
    _must_be_signed(path, rest, chains[by])
    return Audited(by, size, len(held.streams), len(here), here[-1], chains[by], bool(pinned), seen)


def _line(file: BinaryIO) -> bytes:
    line = file.readline(LINE_BYTES)
    if not line.endswith(b"\n"):
        fail(f"第 {file.tell()} 字节 byte {file.tell()}", "the file is cut, or a line too long")
    return line


def _sections(file: BinaryIO, size: int) -> Iterator[Section]:
    end = file.seek(0, 2)
    file.seek(0)
    _line(file)
    for number in range(-(-size // WIDTH)):
        where = f"第 {number} 瓦片 tile {number}"
        line = _line(file)
        length = get(read_json(line, where), "bytes", int, where)
        if line != write_json({"tile": number, "bytes": length}):
            fail(where, "another tile, or not in its one spelling")
        at = file.tell()
        if not 0 < length <= TILE_BYTES or at + length > end:
            fail(where, "the tile is cut")
        yield Section(number, at, length, min(WIDTH, size - number * WIDTH))
        file.seek(at + length)


def _rest(file: BinaryIO) -> _Rest:
    made = _Rest([], [], {}, 0)
    while True:
        at = file.tell()
        where = f"第 {at} 字节 byte {at}"
        line = _line(file)
        said = read_json(line, where)
        if write_json(said) != line:
            fail(where, "a line is not in its one spelling")
        match said:
            case {"level": int(level), "number": int(number), "hashes": coded, **more} if not more:
                made.tiles.append((level, number, unb64(coded, where, WIDTH * HASH_SIZE)))
            case {"checkpoint": str(note), **more} if not more:
                made.checkpoints.append(notes.read(note, where))
            case {"signatures": dict(signatures), **more} if not more:
                if file.read(1):
                    fail(where, "something follows the signatures")
                return made._replace(signatures=signatures, signed_up_to=at)
            case _:
                fail(where, "a line that is none of this format's")


def _of(kept: Sequence[Checkpoint], origin: Any, size: int) -> Iterator[Checkpoint]:
    for each in kept:
        if each.origin != origin or each.size > size:
            because = "the ledger is shorter than a checkpoint that was kept, or another one"
            fail(f"检查点 checkpoint {each.size}", because, kept=each.origin, size=size)
        yield each


class _Held(NamedTuple):
    streams: dict[bytes, tuple[int, str]]
    roots: list[bytes]
    signets: list[Record]


def _entries(
    path: Path, by: str, sections: Sequence[Section], said: Sequence[Checkpoint], processes: int
) -> _Held:
    """Every chunk in its order, examined side by side; each checkpoint's root on the way."""
    held, peaks = _Held({}, [], []), Peaks()
    roots = {(each.size, each.root): None for each in said}
    for found in _examined(path, by, sections, sorted({each.size for each in said}), processes):
        for size, root in roots:
            cut = found.cuts.get(size)
            if cut is not None and _root(peaks, cut) != root:
                because = "the entries up to here have another root than was signed"
                fail(f"检查点 checkpoint {size}", because)
        _take(found, held)
        for height, node in found.peaks:
            peaks.push(height, node)
    return held


def _examined(
    path: Path, by: str, sections: Sequence[Section], sizes: Sequence[int], processes: int
) -> Iterator[Examined]:
    chunks = [sections[at : at + TILES] for at in range(0, len(sections), TILES)]
    ends = [(c[0].number * WIDTH, c[0].number * WIDTH + TILES * WIDTH) for c in chunks]
    cuts = [[size for size in sizes if first < size <= end] for first, end in ends]
    asked = (repeat(path), repeat(suite.chosen().name), repeat(by), chunks, cuts)
    if len(chunks) < 2 or processes < 2:  # noqa: PLR2004 - nothing to divide.
        yield from map(examine, *asked)
        return
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        yield from pool.map(examine, *asked)


def _root(peaks: Peaks, cut: Sequence[tuple[int, bytes]]) -> bytes:
    made = Peaks(peaks.held)
    for height, node in cut:
        made.push(height, node)
    return ours().root([node for _, node in made.held])


def _take(found: Examined, held: _Held) -> None:
    for stream, seen in found.streams.items():
        last, keeper = held.streams.get(stream, (0, seen.keeper))
        if seen.first != last + 1 or seen.keeper != keeper:
            where = f"第 {seen.place + 1} 条 {UUID(bytes=stream)}/{seen.first}"
            fail(where, "versions have a gap, or the keeper changes", after=last, keeper=keeper)
        held.streams[stream] = seen.last, keeper
    held.roots.extend(found.roots)
    held.signets.extend(unleaf(place, data) for place, data in found.signets)
    if found.defect is not None:
        fail(**found.defect)


def _chains(by: str, signets: Sequence[Record]) -> dict[str, Chain]:
    """Of every organization whose keys are here; ours must be."""
    grouped: dict[str, list[Record]] = defaultdict(list)
    for each in signets:
        if each.stream != keys.signet_of(each.keeper):
            fail(each.where, "the keys of an organization stand in another stream")
        grouped[each.keeper].append(each)
    return {org: keys.chain(org, grouped[org]) for org in {by: None, **dict.fromkeys(grouped)}}


def _must_be_tiles(told: Sequence[tuple[int, int, bytes]], roots: Sequence[bytes]) -> None:
    """The tiles above follow from those below, and none is missing."""
    level, row = 1, list(roots)
    wanted: dict[tuple[int, int], bytes] = {}
    while len(row) >= WIDTH:
        full = len(row) // WIDTH
        for number in range(full):
            wanted[level, number] = b"".join(row[number * WIDTH : (number + 1) * WIDTH])
        row = [_whole(row[number * WIDTH : (number + 1) * WIDTH]) for number in range(full)]
        level += 1
    given = [(level, number) for level, number, _ in told]
    if given != list(wanted):
        fail("瓦片 tiles", "a tile above the entries is missing, or there is one too many")
    for level, number, hashes in told:
        if hashes != wanted[level, number]:
            fail(f"瓦片 tile {level}/{number}", "it does not follow from the tiles below")


def _whole(hashes: Sequence[bytes]) -> bytes:
    peaks = Peaks()
    for each in hashes:
        peaks.push(0, each)
    return peaks.held[0][1]


def _must_be_checkpoints(told: Sequence[Checkpoint], chain: Chain) -> None:
    """Each signed, and larger than the one before; those of former epochs by their signature."""
    known = [link.verify_key for link in chain.links]
    before: dict[str, int] = {}
    for each in told:
        where = f"检查点 checkpoint {each.origin} {each.size}"
        if each.org != chain.org or each.size <= before.get(each.origin, 0):
            fail(where, "another organization's, or not in its order")
        each.must_be_by(known, where)
        before[each.origin] = each.size


def _must_be_signed(path: Path, rest: _Rest, chain: Chain) -> None:
    hashed, left = sha256(), rest.signed_up_to
    with path.open("rb") as file:
        while left:
            part = file.read(min(left, _BUFFER))
            hashed.update(part)
            left -= len(part)
    chain.must_have_signed("签名 signature", signed_text(hashed.hexdigest()), rest.signatures)
