"""内存记录器与钥匙: the library's in-memory recorder behind our ledger, with the keys beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking

from api.service import KeyReused, Service, _digest
from api.storage.keyring import NodeKeyring
from domain.ledger import Entry, Receipt, Write
from domain.sealing import DataKey
from domain.values import DataClass
from sync.book_witness import Seen
from tests.support.memory.database import MemoryDatabase
from tests.support.memory.returned import grant_back, lane_back, relay_again
from tests.support.memory.tree import grow


class MemoryRecorder:
    """Commits a write at once, all or nothing."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database

    def submit(self, write: Write) -> None:
        """Commit; `done` is answered before this returns."""
        database = self.database
        try:
            database.recorder.insert_events(write.records, tracking=write.tracking)
        except IntegrityError as fault:
            write.done.set_exception(fault)
            return
        now, first = datetime.now(UTC), len(database.entries) + 1
        database.entries += (
            Entry(position, record, now) for position, record in enumerate(write.records, first)
        )
        grow(database, write.records)
        for beside in write.beside:
            STATEMENTS[beside.statement](database, *beside.values)
        write.done.set_result(list(range(first, first + len(write.records))))

    def stream(self, stream: UUID, after: int, limit: int) -> list[StoredEvent]:
        """The records of one stream after a version."""
        return list(self.database.recorder.select_events(stream, gt=after, limit=limit))

    def since(self, position: int, limit: int) -> list[Entry]:
        """Entries after a position."""
        return self.database.entries[position : position + limit]

    def head(self) -> int:
        """The last position."""
        return len(self.database.entries)

    def insert_tracking(self, tracking: Tracking) -> None:
        """Move a bookmark that stands beside no record."""
        self.database.recorder.insert_tracking(tracking)

    def max_tracking_id(self, name: str) -> int | None:
        """Where a bookmark stands."""
        return self.database.recorder.max_tracking_id(name)

    def close(self) -> None:
        """Nothing is queued."""


class MemoryKeyring(NodeKeyring):
    """The product's keyring, its rows in memory."""

    def preload(self, key_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        found = {key_id: self.key(key_id) for key_id in set(key_ids)}
        return {key_id: key for key_id, key in found.items() if key is not None}

    def _load(self, where: str, *values: object) -> DataKey | None:
        database: Any = self._database
        by_id = where.startswith("id")
        key_id: Any = values[0] if by_id else database.own_keys.get(values)
        row = database.subject_keys.get(key_id)
        if row is None:
            return None
        key = self._unwrap(*row[:6])
        if key is not None:
            self._remember(key)
        return key

    def _retire(
        self, peer: str, classes: Collection[DataClass], keys: Collection[UUID] | None
    ) -> list[tuple[UUID, DataClass]]:
        database: Any = self._database
        retired = []
        for owned, key_id in list(database.own_keys.items()):
            went = (peer, key_id) in database.lane_grants
            named = keys is None or key_id in keys
            if went and named and owned[1] in classes:
                del database.own_keys[owned]
                retired.append((owned[0], DataClass(owned[1])))
        return retired


class MemoryService(Service):
    """The product's service, which remembers in memory what it has answered."""

    def replayed(self, command: Any, who: Any) -> Receipt | None:
        database: Any = self._database
        row = database.idempotency.get(who.key)
        if row is None:
            return None
        _, said, stream, version, _, more = row
        if said != _digest(command):
            raise KeyReused(key=who.key)
        index = database.recorder._stored_events_index[str(stream)]  # noqa: SLF001
        return Receipt(id=stream, version=version, position=index[version] + 1 + more)


# What is written beside records in one commit, by the name of its statement.


def _subject_key(database: MemoryDatabase, *row: Any) -> None:
    owned = row[1:3]
    if row[0] not in database.subject_keys and not (row[6] and owned in database.own_keys):
        database.subject_keys[row[0]] = row
        if row[6]:
            database.own_keys[owned] = row[0]


def _idempotency(database: MemoryDatabase, *row: Any) -> None:
    database.idempotency.setdefault(row[0], row)


def behind_since(known: tuple[Any, ...] | None, number: int, head: int, at: datetime) -> Any:
    """Since when a lane has been longer than what is recorded of it; None if it is not."""
    if number >= head:
        return None
    return (known and known[5]) or at


def _lane_in(database: MemoryDatabase, peer: str, *row: Any) -> None:
    number, root, at, head, sent_at = row
    database.timed(peer, "taken", number, at, sent_at)
    known = database.lane_in.get(peer)
    if known is not None:
        head, sent_at = max(known[3], head), max(known[4], sent_at)
    since = behind_since(known, number, head, at)
    database.lane_in[peer] = (number, root, at, head, sent_at, since)


PARKED = (
    "peer",
    "at",
    "reason",
    "evidence",
    "number",
    "stream",
    "version",
    "topic",
    "state",
    "wire",
    "subject",
    "outflow",
)


def quarantine(database: MemoryDatabase, *row: Any) -> None:
    """Set one aside."""
    kept = dict(zip(PARKED, row, strict=True))
    said = json.loads(kept["evidence"])
    # In the order in which jsonb keeps names.
    kept["evidence"] = {name: said[name] for name in sorted(said, key=lambda n: (len(n), n))}
    database.quarantine.append({"id": len(database.quarantine) + 1, **kept, "resolved_at": None})


def _resolved(database: MemoryDatabase, at: datetime, id_: int) -> None:
    database.quarantine[id_ - 1]["resolved_at"] = at


def _witnessed(database: MemoryDatabase, *row: Any) -> None:
    database.log_witnessed.setdefault(row[:3], Seen(*row))


STATEMENTS: dict[str, Callable[..., None]] = {
    "subject_key": _subject_key,
    "idempotency": _idempotency,
    "lane_in": _lane_in,
    "log_witnessed": _witnessed,
    "quarantine": quarantine,
    "quarantine_resolved": _resolved,
    "lane_back": lane_back,
    "grant_back": grant_back,
    "relay_again": relay_again,
}
