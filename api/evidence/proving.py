"""举证: a page of the history with the proof that nothing was left out of it or added to it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_jsonable_python

from api.node import Node
from api.stale import mark
from domain import suite
from domain.errors import Invalid
from domain.tree import ours
from domain.values import FactId, FactName, Short, Text, Value
from projections import search
from projections.projection import Row
from sync.log import Signed
from sync.verifier import complete, notes
from sync.verifier.answer import FORMAT
from sync.verifier.complete import Stretch, Told
from sync.verifier.records import Record, leaf, record

ENTRIES_MAX = 5_000
"""Entries of one proved page, whether they are rows of it or not."""

PAGE_BYTES = 4 * 1024 * 1024
"""Of their states; a page holds one entry more than that at most."""


class NotProvable(Invalid):
    """这一条件不能逐条证明。Whether an entry bears this mark is not seen from the entry alone."""

    mend = (
        "请去掉 outflow 和 known_to；要证明一次流动，请出具流动护照。"
        "Leave out outflow and known_to; for one absence there is the passport."
    )


class Marks(Value):
    """What an entry is judged by, from itself alone; every field narrows."""

    subject: UUID | None = None
    person: Short | None = None
    org: Short | None = None
    topic: Short | None = None
    source: Text | None = None
    correlation: UUID | None = None
    causation: FactName | None = None
    from_day: date | None = None
    to_day: date | None = None

    def question(self) -> dict[str, str]:
        """As it stands in a proof: each mark in its one spelling."""
        asked = self.model_dump(mode="json", include=set(complete.MARKS), exclude_none=True)
        if self.causation is not None:
            stream, version = self.causation.split("/")
            cause = FactId.model_validate({"stream": stream, "version": version})
            asked["causation"] = f"{cause.stream}/{cause.version}"
        return asked


class Span(NamedTuple):
    """After which position, up to which one, under the checkpoint of which size; None: newest."""

    after: int = 0
    upto: int | None = None
    size: int | None = None


class Entry(NamedTuple):
    """One entry of a range: its row, its record, the hash of its leaf, whether it was asked for."""

    row: Row
    made: Record
    hashed: bytes
    fits: bool

    @property
    def said(self) -> dict[str, Any]:
        """As it is told: a row with all its columns, any other entry with what is hashed."""
        if self.fits:
            shown: dict[str, Any] = to_jsonable_python(self.row)
            return shown
        made = self.made
        return {
            "position": made.place + 1,
            "stream": str(made.stream),
            "version": made.version,
            "topic": made.topic,
            "state": made.state.decode(),
        }


def signed_for(node: Node, span: Span, covering: int = 0) -> Signed:
    """The checkpoint that a range is proved under: a witnessed one, if one covers it.

    Raises:
        NotFound.
    """
    if span.size is not None:
        return node.log.signed_of(span.size)
    head = node.ledger.head
    upto = head if span.upto is None else min(span.upto, head)
    return node.log.witnessed(max(upto, covering))


def entries(
    node: Node, question: dict[str, str], after: int, upto: int, most: tuple[int, int]
) -> list[Entry]:
    """What stands between two positions, as far as so many entries and bytes go."""
    with node.database.connection() as conn:
        rows = search.stretch(conn, after, upto, *most)
    made = []
    for row in rows:
        del row["bytes"]
        state, topic = bytes(row["state"]), row["topic"]
        place = row["position"] - 1, row["stream"], row["version"]
        found = record(*place, topic, state)
        row["state"] = state.decode()
        hashed = ours().leaf(leaf(*place[1:], topic, state))
        made.append(Entry(row, found, hashed, complete.fits(found, question)))
    return made


def page(
    node: Node, question: dict[str, str], span: Span, signed: Signed, limit: int
) -> dict[str, Any]:
    """A page of the history that ends after so many rows, or so many entries, with its proof.

    Raises:
        SizesUnfit: the range is not in the checkpoint.
        Defect: the ledger does not fit its own proof.
    """
    last = signed.size if span.upto is None else min(span.upto, signed.size)
    found = entries(node, question, span.after, last, (ENTRIES_MAX, PAGE_BYTES))
    fitting = [number for number, each in enumerate(found, 1) if each.fits]
    held = sum(len(each.made.state) for each in found)
    cut = len(found) == ENTRIES_MAX or held >= PAGE_BYTES
    if len(fitting) >= limit:
        found, cut = found[: fitting[limit - 1]], True
    # Where no limit has cut it the range ends where it was to end, whatever was found there.
    upto = found[-1].made.place + 1 if cut else last
    proof: dict[str, Any] = {"format": FORMAT, "suite": suite.chosen().name}
    proof |= around(node, (span.after, upto), signed, question)
    # Before the rows become JSON: it looks for ids.
    stale = mark(node, "history", "position", [each.row for each in found if each.fits])
    told = [(each, each.said) for each in found]
    must_hold(proof, question, signed, [Told(s, each.hashed, each.fits) for each, s in told])
    proof["hashes"] = coded([each.hashed for each in found])
    proof["others"] = [said for each, said in told if not each.fits]
    items = [said for each, said in told if each.fits]
    following = upto if upto < last else None
    return {"items": items, "next": following, "stale": stale, "proof": proof}


def around(
    node: Node, stretch: tuple[int, int], signed: Signed, question: dict[str, str]
) -> dict[str, Any]:
    """What is proved of a range, under which checkpoint, with the hashes around it."""
    left, right = node.log.around(*stretch, signed.size)
    return {
        "question": question,
        "after": stretch[0],
        "upto": stretch[1],
        "checkpoint": signed.note.decode(),
        "left": coded(left),
        "right": coded(right),
    }


def must_hold(
    proof: dict[str, Any], question: dict[str, str], signed: Signed, told: Sequence[Told]
) -> None:
    """What is handed out was checked: an edited table is not proved.

    Raises:
        Defect.
    """
    stretch: Stretch = complete.read_stretch(proof, "证明 proof")
    checkpoint = notes.read(signed.note.decode(), "检查点 checkpoint")
    complete.check(stretch, question, checkpoint, told)


def coded(hashes: Sequence[bytes]) -> list[str]:
    """Hashes as they are written."""
    return [b64encode(each).decode() for each in hashes]
