"""内存归还簿: sync/book_returned.py's methods over containers; each keeps that one's promises."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from pydantic_core import from_json

from domain.ledger import Entry
from sync.book_out import Numbered
from sync.book_returned import NO_POSITION, AskedBack, Begun, Renewed, ReturnBook
from sync.log import Signed
from tests.support.memory.database import MemoryDatabase


class Returning(ReturnBook):
    """What of one node's lanes is given back, and taken back."""

    def _kept(self, org: str) -> list[Entry]:
        aside = {
            (q["stream"], q["version"])
            for q in self._database.quarantine
            if q["peer"] == org and q["number"] is not None
        }
        return [
            entry
            for entry in self._database.entries
            if from_json(entry.record.state)["meta"]["keeper"] == org
            and (entry.record.originator_id, entry.record.originator_version) not in aside
        ]

    def before_last_of(self, org: str, count: int) -> int:
        found = self._kept(org)[-count:] if count else []
        return found[0].position - 1 if found else NO_POSITION

    def kept_of(self, org: str, after: int, limit: int) -> list[tuple[int, StoredEvent]]:
        found = ((e.position, e.record) for e in self._kept(org) if e.position > after)
        return list(islice(found, limit))

    def aside_from(self, peer: str, after: int, last: int) -> dict[int, StoredEvent]:
        return {
            q["number"]: StoredEvent(q["stream"], q["version"], q["topic"], q["state"])
            for q in self._database.quarantine
            if q["peer"] == peer and q["number"] is not None and after < q["number"] <= last
        }

    def count_aside(self, peer: str, after: int, last: int) -> int:
        return len(self.aside_from(peer, after, last))

    def marks(self, org: str, epoch: int, size: int, limit: int) -> list[tuple[int, bytes]]:
        seen = self._database.log_witnessed.values()
        found = [(s.size, s.root) for s in seen if s[:2] == (org, epoch) and s.size > size]
        return sorted(found)[-limit:]

    def asked_back(self, asked: AskedBack) -> None:
        known = self._database.log_asked.get(asked.org)
        if known is not None and asked.after <= known.number:
            asked = asked._replace(after=min(asked.after, known.after))
        self._database.log_asked[asked.org] = asked

    def asks_back(self) -> list[AskedBack]:
        return sorted(self._database.log_asked.values())

    def cut_lane(self, peer: str, number: int) -> None:
        database = self._database
        for each in database.lane_out.get(peer, [])[number:]:
            database.lane_facts.pop((peer, each.stream), None)
        del database.lane_out[peer][number:], database.lane_out_at[peer][number:]
        for each in database.lane_out[peer]:
            database.lane_facts[peer, each.stream] = each.version
        grants = database.lane_grants.items()
        database.lane_grants = {k: n for k, n in grants if k[0] != peer or n <= number}

    def renew(self, signed: Signed, begun: Begun, held: Iterable[str]) -> None:
        database = self._database
        database.epoch = begun.epoch
        database.checkpoints.append(signed)
        database.checkpoints_at.append(begun.at)
        database.log_renewals.append(begun)
        for peer in held:
            database.lane_held[peer] = True
        database.log_fence.clear()

    def renewal(self) -> Begun | None:
        return max(self._database.log_renewals, default=None)

    def relearned(self) -> tuple[int, dict[str, bool]]:
        return self._database.relay["again"], dict(self._database.lane_held)

    def hold(self, peer: str, *, taken: bool) -> None:
        known = self._database.lane_held
        known[peer] = known.get(peer, False) or taken

    def release(self, peer: str) -> None:
        self._database.lane_held.pop(peer, None)
        given = self._database.lane_given
        self._database.lane_given = {k: wire for k, wire in given.items() if k[0] != peer}
        self._database.relay |= {"position": 0, "again": len(self._database.entries)}

    def given_up_since(self, org: str, epoch: int, shared: int) -> datetime | None:
        seen = self._database.log_witnessed.values()
        found = [(s.size, s.at) for s in seen if s[:2] == (org, epoch) and s.size > shared]
        return min(found)[1] if found else None

    def last_within(self, org: str, epoch: int, shared: int) -> tuple[int, bytes] | None:
        seen = self._database.log_witnessed.values()
        found = [(s.size, s.root) for s in seen if s[:2] == (org, epoch) and s.size <= shared]
        return max(found, default=None)

    def take_renewal(self, renewed: Renewed) -> bool:
        known = self._database.log_renewed
        new = renewed[:2] not in known
        known.setdefault(renewed[:2], renewed)
        return new

    def renewals(self) -> list[Renewed]:
        return sorted(self._database.log_renewed.values(), key=lambda r: (r.at, *r[:2]))

    def places(self, wanted: Iterable[tuple[UUID, int]]) -> dict[tuple[UUID, int], StoredEvent]:
        select = self._database.recorder.select_events
        found = {
            (stream, version): list(select(stream, gt=version - 1, lte=version))
            for stream, version in wanted
        }
        return {place: records[0] for place, records in found.items() if records}


# What is written beside records in one commit.


def lane_back(database: MemoryDatabase, peer: str, *columns: Any) -> None:
    """Numbers that a lane had."""
    for number, stream, version, root in zip(*columns, strict=True):
        index = database.recorder._stored_events_index[str(stream)][version]  # noqa: SLF001
        database.lane_out[peer].append(Numbered(peer, number, stream, version, index + 1, root))
        database.lane_out_at[peer].append(database.entries[index].entered_at)
        known = database.lane_facts.get((peer, stream), 0)
        database.lane_facts[peer, stream] = max(known, version)


def grant_back(database: MemoryDatabase, peer: str, keys: list[UUID], numbers: list[int]) -> None:
    """Keys that went with them."""
    for key, number in zip(keys, numbers, strict=True):
        database.lane_grants.setdefault((peer, key), number)


def relay_again(database: MemoryDatabase) -> None:
    """Up to here a fact may be numbered already."""
    database.relay["again"] = len(database.entries)
