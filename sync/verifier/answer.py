"""证明的回答: an answer of `/history?proof=1`, checked with the key of its node alone."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from sync.verifier import complete, notes
from sync.verifier.complete import Proved, Stretch, Told
from sync.verifier.defect import fail, get, must_be_our_suite
from sync.verifier.notes import Checkpoint, Known, Witness

FORMAT = "waystation/complete/v1"


class Answer(NamedTuple):
    """An answer of `/history?proof=1` that holds."""

    by: str
    question: dict[str, str]
    stretch: Stretch
    checkpoint: Checkpoint
    proved: Proved
    witnesses: tuple[Witness, ...]


def verify(said: dict[str, Any], known: Known, witnesses: int = 0) -> Answer:
    """Check an answer of `/history?proof=1`; its node's key must be among the known ones.

    Raises:
        Defect: with the first bad place.
    """
    proof = get(said, "proof", dict, "回答 answer")
    where = "证明 proof"
    if proof.get("format") != FORMAT:
        fail(where, "not a proof of this version", format=str(proof.get("format"))[:60])
    must_be_our_suite(proof, where)
    checkpoint = notes.read(get(proof, "checkpoint", str, where), f"{where} 检查点 checkpoint")
    question = complete.must_be_question(get(proof, "question", dict, where), where)
    stretch = complete.read_stretch(proof, where)
    listed = complete.hashes(get(proof, "hashes", list, where), where)
    if len(listed) != stretch.upto - stretch.after:
        fail(where, "not one hash for each entry of the range", hashes=len(listed))
    told = _told(listed, _entries(said, "items", True), _entries(proof, "others", False))
    proved = complete.check(stretch, question, checkpoint, told)
    complete.must_be_by_known(checkpoint, known, f"{where} 检查点 checkpoint")
    seen = complete.must_be_witnessed(checkpoint, known, witnesses, f"{where} 见证 cosignatures")
    return Answer(checkpoint.org, question, stretch, checkpoint, proved, seen)


class _Entry(NamedTuple):
    position: int
    row: bool
    said: dict[str, Any]


def _entries(of: dict[str, Any], name: str, row: bool) -> Iterator[_Entry]:  # noqa: FBT001
    for each in get(of, name, list, name):
        if not isinstance(each, dict):
            fail(name, "not an object")
        yield _Entry(get(each, "position", int, name), row, each)


def _told(
    hashes: Sequence[bytes], items: Iterator[_Entry], others: Iterator[_Entry]
) -> Iterator[Told]:
    """Rows and what was passed over, in one order; `check` sees to it that it is the ledger's."""
    entries = heapq.merge(items, others, key=lambda each: each.position)
    for entry, hashed in zip_longest(entries, hashes):
        if entry is None:
            return
        yield Told(entry.said, hashed or b"", entry.row)
