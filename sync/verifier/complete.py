"""完整性: that of a range of a ledger exactly these entries bear the marks that were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from domain.tree import HASH_SIZE, Span, following, ours
from sync.verifier.chunk import Peaks
from sync.verifier.defect import fail, get, printable, unb64, uuid
from sync.verifier.notes import Checkpoint, Known, Witness
from sync.verifier.records import Record, leaf, record

MARKS = (
    *("subject", "person", "org", "topic", "source", "correlation", "causation"),
    *("from_day", "to_day"),
)
"""What a question can ask for: whether an entry bears it can be seen from the entry alone."""

UNPROVED = frozenset({"entered_at", "stale"})
"""Columns of a row that its node says beside the entry: no proof covers them."""

_AS_IT_IS = frozenset({"position", "stream", "version", "topic", "state"})
_VERSION_MAX = 1 << 31
_FAR = 1 << 63
"""No tree has as many leaves, and no number with thousands of digits gets as far as a sentence."""

_DAY = len("2026-01-05")


class Stretch(NamedTuple):
    """A range of a ledger: the entries after one position up to another, and what is around it."""

    after: int
    upto: int
    left: Sequence[bytes]
    """The roots of the complete subtrees before it, the largest first."""
    right: Sequence[bytes]
    """The roots of those that follow it up to the checkpoint's size."""

    @property
    def where(self) -> str:
        """What it is called in front of a person."""
        return f"第 {self.after + 1} 至 {self.upto} 条 entries {self.after + 1} to {self.upto}"


class Told(NamedTuple):
    """One entry as a file tells it, with its hash; whether as a row or as passed over."""

    said: dict[str, Any]
    hashed: bytes
    row: bool


class Proved(NamedTuple):
    """The rows, each with its record; and the entries that do not bear what was asked for."""

    rows: tuple[tuple[Record, dict[str, Any]], ...]
    passed: tuple[Record, ...]


def columns(made: Record) -> dict[str, Any]:
    """The columns of a row that follow from its entry."""
    meta = made.meta
    author, occurred, source, cause = (
        each if isinstance(each := meta.get(name), dict) else {}
        for name in ("author", "occurred", "source", "causation")
    )
    opened = made.topic.startswith("outflow.")
    return {
        "subject": _id(meta.get("subject")),
        "outflow": str(made.stream) if opened else _id(made.said.get("outflow")),
        "org": made.keeper,
        "person": author.get("person"),
        "on_day": occurred.get("on"),
        "recorded_at": meta.get("recorded_at"),
        "correlation": _id(meta.get("correlation")),
        "causation": _id(cause.get("stream")),
        "causation_version": cause.get("version"),
        "source_digest": source.get("digest"),
    }


def _id(value: Any) -> str | None:
    try:
        return str(UUID(value))
    except (AttributeError, TypeError, ValueError):
        return None


def must_be_question(said: dict[str, Any], where: str) -> dict[str, str]:
    """What was asked for: marks that every entry can be judged by, each in its one spelling.

    In another, an id or a day would look like what was asked for, and no entry bear it.

    Raises:
        Defect.
    """
    for name, value in said.items():
        if name not in MARKS or not isinstance(value, str):
            fail(where, "a mark that no entry can be judged by", mark=name[:40])
        if name in {"subject", "correlation"}:
            uuid(value, where)
        elif name == "causation":
            stream, _, version = value.partition("/")
            if f"{uuid(stream, where)}/{_natural(version)}" != value:
                fail(where, "not the one spelling of STREAM/VERSION")
        elif name in {"from_day", "to_day"}:
            if _day(value) != value:
                fail(where, "not the one spelling of a day", day=value[:40])
        elif value != value.strip() or value != printable(value) or not value:
            fail(where, "a text that does not look like what it is", mark=name)
    return said


def _natural(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < _DAY else None


def _day(text: str) -> str | None:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def fits(made: Record, question: Mapping[str, str]) -> bool:
    """Whether an entry bears every mark that was asked for."""
    has = columns(made)
    has |= {"topic": made.topic, "source": has["source_digest"]}
    has["causation"] = f"{has['causation']}/{has['causation_version']}"
    return all(_bears(name, wanted, has) for name, wanted in question.items())


def _bears(name: str, wanted: str, has: Mapping[str, Any]) -> bool:
    day = has["on_day"]
    match name:
        case "topic":
            return str(has["topic"]).startswith(wanted)
        case "from_day":
            return isinstance(day, str) and day[:_DAY] >= wanted
        case "to_day":
            return isinstance(day, str) and day[:_DAY] <= wanted
        case _:
            return bool(has[name] == wanted)


def check(
    stretch: Stretch,
    question: Mapping[str, str],
    checkpoint: Checkpoint,
    told: Iterable[Told],
) -> Proved:
    """Check that the range holds these entries and no other, and that the rows are the answer.

    Raises:
        Defect: with the first bad place.
    """
    if not 0 <= stretch.after <= stretch.upto <= checkpoint.size:
        fail(stretch.where, "not a range of a ledger of that size", size=checkpoint.size)
    rows: list[tuple[Record, dict[str, Any]]] = []
    passed: list[Record] = []
    peaks = _around(Peaks(), Span(0, stretch.after).places(), stretch.left, stretch)
    for place, each in enumerate(told, stretch.after):
        made = _entry(each, place)
        if each.row != fits(made, question):
            fail(made.where, _AGAINST[each.row])
        if each.row:
            _must_be_columns(made, each.said)
            rows.append((made, each.said))
        else:
            passed.append(made)
        peaks.push(0, each.hashed)
    if (end := stretch.after + len(rows) + len(passed)) != stretch.upto:
        fail(f"第 {end + 1} 条 entry {end + 1}", "the range does not end where it is said to end")
    _around(peaks, following(stretch.upto, checkpoint.size), stretch.right, stretch)
    if ours().root([node for _, node in peaks.held]) != checkpoint.root:
        fail(
            stretch.where,
            "these entries, or the hashes around them, are not those that were signed",
        )
    return Proved(tuple(rows), tuple(passed))


_AGAINST = {
    True: "it stands among the rows, and does not bear what was asked for",
    False: "it bears what was asked for, and was left out of the rows",
}


def _around(peaks: Peaks, places: Sequence[Any], hashes: Sequence[bytes], at: Stretch) -> Peaks:
    if len(places) != len(hashes):
        because = "not as many hashes around the range as there must be"
        fail(at.where, because, found=len(hashes), of=len(places))
    for place, node in zip(places, hashes, strict=True):
        peaks.push(place.height, node)
    return peaks


def _entry(told: Told, place: int) -> Record:
    at, said = f"第 {place + 1} 条 entry {place + 1}", told.said
    position = get(said, "position", int, at)
    if position != place + 1:
        fail(at, "it is left out, or the entries are not in their order", found=position)
    made, data = read_entry(said, place, at)
    if ours().leaf(data) != told.hashed:
        fail(made.where, "not what was recorded: the entry and its hash do not fit each other")
    return made


def read_entry(said: dict[str, Any], place: int, at: str) -> tuple[Record, bytes]:
    """A record from stream, version, topic and state; and the data of its leaf.

    Raises:
        Defect.
    """
    stream, version = uuid(said.get("stream"), at), get(said, "version", int, at)
    topic, state = get(said, "topic", str, at), get(said, "state", str, at)
    if not 0 <= place < _FAR:
        fail(at, "no place in any ledger")
    if not 0 < version < _VERSION_MAX or len(topic.encode()) >> 16:
        fail(at, "no version, or a name too long")
    raw = state.encode()
    return record(place, stream, version, topic, raw), leaf(stream, version, topic, raw)


def _must_be_columns(made: Record, row: dict[str, Any]) -> None:
    wanted = columns(made)
    for name, value in wanted.items():
        if name not in row or not _same(name, row[name], value):
            fail(made.where, f"{name} is not what the entry says", entry=value, row=row.get(name))
    for name in row.keys() - wanted.keys() - _AS_IT_IS - UNPROVED:
        fail(made.where, f"{name[:40]} is a column that no entry proves")


def _same(name: str, row: Any, entry: Any) -> bool:
    """A moment has several spellings; everything else has one."""
    if name not in {"recorded_at", "on_day"}:
        return type(row) is type(entry) and bool(row == entry)
    try:
        return datetime.fromisoformat(row) == datetime.fromisoformat(entry)
    except (TypeError, ValueError):
        return False


def read_stretch(said: dict[str, Any], where: str) -> Stretch:
    """The range that is proved, with the hashes around it.

    Raises:
        Defect.
    """
    left, right = (hashes(get(said, name, list, where), where) for name in ("left", "right"))
    after, upto = get(said, "after", int, where), get(said, "upto", int, where)
    if not 0 <= after <= upto < _FAR:
        fail(where, "no range of any ledger")
    return Stretch(after, upto, left, right)


def must_be_by_known(checkpoint: Checkpoint, known: Known, where: str) -> None:
    """A key that the reader knows has signed it: where no keys are shown, none is taken on sight.

    Raises:
        Defect.
    """
    if not (keys := known.get(checkpoint.org, ())):
        fail(where, "the key of its node is needed, as --card or --key", org=checkpoint.org)
    checkpoint.must_be_by(keys, where)


def must_be_witnessed(
    checkpoint: Checkpoint, known: Known, least: int, where: str
) -> tuple[Witness, ...]:
    """The known organizations that have cosigned.

    Raises:
        Defect: there are too few.
    """
    seen = tuple(checkpoint.witnesses(known, where))
    if len(seen) < least:
        fail(where, "too few known witnesses", found=len(seen), of=least)
    return seen


def hashes(coded: Iterable[Any], where: str) -> list[bytes]:
    """Hashes as they are written.

    Raises:
        Defect.
    """
    return [unb64(each, where, HASH_SIZE) for each in coded]
