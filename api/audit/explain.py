"""解释: the facts that made a value what it is, and what it would be without one of them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from api.audit.reading import Known, Reader, Seen
from domain import suite
from domain.aggregate import CIVIL_ZONE, Aggregate
from domain.errors import Refusal
from domain.ledger import Entry, NotFound
from domain.outflow import Outflow
from domain.policy import Policy
from domain.values import FactId, OrgCode
from projections.projection import Row
from projections.single import LISTS, Folded

Name = Literal["roster", "custody", "due", "members", "transfers"]

BY_POLICY = ("custody", "due", "transfers")
"""Lists in which a rule has a say."""


class NoSuchColumn(Refusal):
    """该列表没有这一项。The list has no such column."""

    kind = "missing"
    mend = "请从 known 中选择。Choose one of those under known."


class NotBehindIt(Refusal):
    """所指的事实与此行无关。That fact has nothing to do with this row."""

    kind = "missing"
    mend = "请从 because 中选择，或指明此人的另一事实。Choose one of those under because."


class Explainer:
    """Explains one row of one list, from the facts about its person and his keepers' policies."""

    def __init__(self, reader: Reader, name: Name, key: UUID, on: date | None = None) -> None:
        self._reader, self._name, self._key = reader, name, key
        self._on = on or reader.node.clock().astimezone(CIVIL_ZONE).date()

    def explain(
        self,
        field: str,
        without: FactId | None = None,
        known_at: datetime | None = None,
        known_to: OrgCode | None = None,
    ) -> dict[str, Any]:
        """A value, every fact that changed it in turn, and what it would be without one.

        Raises:
            NotFound: there is no such row, by what was known.
            NoSuchColumn, NotBehindIt.
        """
        seen = self._seen(self._reader.known(known_at, known_to))
        row, folded, told = self._walk(seen, field)
        if row is None:
            raise NotFound(kind=self._name, id=self._key)
        if field not in row:
            raise NoSuchColumn(field=field[:64], known=sorted(row))
        policy = self._policy(folded, row, seen)
        ruled = [policy["fact"]] if policy and policy["fact"] else []
        checkpoint = self._prove([*(each["fact"] for each in told), *ruled])
        last = told[-1]["fact"] if told else None
        left_out = without or (
            FactId(stream=last["stream"], version=last["version"]) if last else None
        )
        return {
            "list": self._name,
            "key": self._key,
            "field": field,
            "on": self._on,
            "known_at": known_at,
            "known_to": known_to,
            "value": row[field],
            "because": told,
            "policy": policy,
            "without": self._without(seen, field, left_out),
            "suite": suite.chosen().name,
            "checkpoint": checkpoint,
        }

    def _prove(self, facts: Sequence[dict[str, Any]]) -> str | None:
        """Give each fact its bytes, and what proves them under one checkpoint; that is returned."""
        if not facts:
            return None
        log, positions = self._reader.node.log, [each["position"] for each in facts]
        signed = log.witnessed(max(positions))
        for each, hashes in zip(facts, log.inclusions(positions, signed.size), strict=True):
            each["inclusion"] = [b64encode(hashed).decode() for hashed in hashes]
        return signed.note.decode()

    def _seen(self, known: Known) -> list[Seen]:
        aggregate = self._reader.ledger.look_up(Aggregate, self._key)
        person = aggregate.subject or self._key
        if isinstance(aggregate, Outflow):
            person = aggregate.person
        seen = self._reader.about(person, known, self._key)
        keepers = {each.fact.meta.keeper for each in seen}
        policies = self._reader.streams(map(Policy.id_of, keepers), known)
        return sorted({each.position: each for each in (*seen, *policies)}.values())

    def _walk(
        self, seen: Sequence[Seen], field: str
    ) -> tuple[Row | None, Folded, list[dict[str, Any]]]:
        """The row in the end, and every fact that changed the field on the way."""
        shown = LISTS[self._name]
        folded = Folded(shown.models, self._reader.ledger.keyring)
        row, told = None, list[dict[str, Any]]()
        for each in seen:
            folded.take(Entry(each.position, each.record, each.entered_at))
            before, row = row, shown.show(folded, self._key, self._on)
            # The row itself may be one object that goes on changing.
            row = row and dict(row)
            old, new = (r and r.get(field) for r in (before, row))
            if old != new:
                told.append({"value": new, "fact": self._evidence(each)})
        return row, folded, told

    def _evidence(self, seen: Seen) -> dict[str, Any]:
        return {**self._reader.evidence(seen), "state": seen.record.state.decode()}

    def _without(self, seen: Sequence[Seen], field: str, fact: FactId | None) -> Any:
        if fact is None:
            return None
        rest = [each for each in seen if each.fact.id != fact]
        if len(rest) == len(seen):
            raise NotBehindIt(fact=fact.model_dump())
        row = self._walk(rest, field)[0]
        return {
            "fact": fact.model_dump(),
            "row": row is not None,
            "value": None if row is None else row.get(field),
        }

    def _policy(self, folded: Folded, row: Row, seen: Sequence[Seen]) -> Any:
        """The edition that had a say, and the fact by which it was adopted."""
        if self._name not in BY_POLICY:
            return None
        edition, stream = folded.edition(row["origin"], self._on), Policy.id_of(row["origin"])
        adopted = FactId(stream=stream, version=max(edition.version, 1))
        facts = (self._evidence(e) for e in seen if e.fact.id == adopted)
        said = edition.model_dump()
        return {
            "org": row["origin"],
            **said,
            "fact": next(facts, None) if said["version"] else None,
        }
