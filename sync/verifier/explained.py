"""解释的证明: that the facts by which a node explains a value stand in its signed ledger."""

from __future__ import annotations

from typing import Any, NamedTuple

from domain.tree import ProofInvalid, included, ours
from sync.verifier import complete, notes
from sync.verifier.complete import read_entry
from sync.verifier.defect import fail, get, must_be_our_suite
from sync.verifier.notes import Checkpoint, Known, Witness
from sync.verifier.records import Record


class Explanation(NamedTuple):
    """An answer of `/explain/…` whose facts are proved; that they make the value is not."""

    list: str
    field: str
    value: Any
    checkpoint: Checkpoint
    facts: tuple[Record, ...]
    witnesses: tuple[Witness, ...]


def verify(said: dict[str, Any], known: Known, witnesses: int = 0) -> Explanation:
    """Check an answer of `/explain/…`; its node's key must be among the known ones.

    Raises:
        Defect: with the first bad place.
    """
    where = "解释 explanation"
    must_be_our_suite(said, where)
    checkpoint = notes.read(get(said, "checkpoint", str, where), "检查点 checkpoint")
    told = [_fact(each, where) for each in get(said, "because", list, where)]
    if isinstance(policy := said.get("policy"), dict) and policy.get("fact") is not None:
        told.append(_fact(policy, "制度 policy"))
    facts = tuple(_proved(each, checkpoint, where) for each in told)
    complete.must_be_by_known(checkpoint, known, "检查点 checkpoint")
    seen = complete.must_be_witnessed(checkpoint, known, witnesses, "见证 cosignatures")
    named = get(said, "list", str, where), get(said, "field", str, where)
    return Explanation(*named, said.get("value"), checkpoint, facts, seen)


def _fact(said: Any, where: str) -> dict[str, Any]:
    fact = said.get("fact") if isinstance(said, dict) else None
    if not isinstance(fact, dict):
        fail(where, "a fact is missing")
    return fact


def _proved(said: dict[str, Any], checkpoint: Checkpoint, where: str) -> Record:
    position = get(said, "position", int, where)
    made, data = read_entry(said, position - 1, where)
    path = complete.hashes(get(said, "inclusion", list, made.where), made.where)
    try:
        hashed = ours().leaf(data)
        included(ours(), hashed, position - 1, checkpoint.size, path, checkpoint.root)
    except ProofInvalid as fault:
        fail(made.where, f"it is not in the signed ledger: {fault}")
    wanted = complete.columns(made)
    shown = {"org": said.get("by"), "person": said.get("person")}
    shown["on_day"] = said.get("occurred_on")
    for name, value in shown.items():
        if value != wanted[name]:
            fail(made.where, f"{name} is not what the fact says", shown=value, fact=wanted[name])
    return made
