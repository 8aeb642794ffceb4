"""通道位置: what the lane tables say about a lane, and the small base they are read through."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from sync.envelope import NO_ROOT


class Outgoing(NamedTuple):
    """One numbered entry of a lane, with the ids of the data keys that travel with it."""

    number: int
    record: StoredEvent
    root: str
    keys: tuple[UUID, ...] = ()


class Standing(NamedTuple):
    """Where a lane stands: number and root; for an incoming one, the head as last heard."""

    number: int
    root: str
    at: datetime | None = None
    head: int = 0


START = Standing(0, NO_ROOT)
"""A lane on which nothing has passed."""


class Book:
    """Reads tables of one database; every method is one transaction."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def records(self, streams: Iterable[UUID]) -> dict[UUID, list[StoredEvent]]:
        """The records of these streams that are here, oldest first, in one query."""
        found: dict[UUID, list[StoredEvent]] = {stream: [] for stream in streams}
        rows = self._all(
            "SELECT originator_id, originator_version, topic, state FROM stored_events"
            " WHERE originator_id = ANY(%s) ORDER BY originator_id, originator_version",
            list(found),
        )
        for stream, version, topic, state in rows:
            found[stream].append(StoredEvent(stream, version, topic, bytes(state)))
        return found

    def _one(self, query: str, *values: object) -> Any:
        with self._database.connection() as conn:
            return conn.execute(query, values, prepare=True).fetchone()

    def _all(self, query: str, *values: object) -> list[Any]:
        with self._database.connection() as conn:
            rows: list[Any] = conn.execute(query, values, prepare=True).fetchall()
            return rows
