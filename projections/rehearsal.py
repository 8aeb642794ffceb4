"""预演: what facts would change in the read models, found out without changing anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from eventsourcing.persistence import StoredEvent
from psycopg import Rollback

from domain.ledger import Entry
from domain.records import PERSONAL
from projections import tables
from projections.projection import LateRows, Projection, Row, Rows, Table

CHANGES_MAX = 500
"""Changed fields that are shown one by one; all of them are counted."""

MASK = "***"

A = TypeVar("A")

_PERSONAL = frozenset(name for fields in PERSONAL.values() for name, _ in fields)
"""Columns named as a sealed field hold what it says."""


class Change(NamedTuple):
    """One field of one row; personal values are masked, but for whether there is one."""

    model: str
    table: str
    key: Any
    field: str
    before: Any
    after: Any


class Rehearsed(NamedTuple, Generic[A]):
    """What would be: fields, rows by table, models that would stop; and the answers to `ask`."""

    changes: list[Change]
    fields: int
    rows: dict[str, dict[str, int]]
    stops: dict[str, str]
    before: A
    after: A


def rehearse(
    conn: Any,
    projections: Sequence[Projection],
    records: Sequence[StoredEvent],
    ask: Callable[[Any], A],
) -> Rehearsed[A]:
    """Apply records as the next entries of the ledger, look, and roll back."""
    changes: list[Change] = []
    rows: dict[str, dict[str, int]] = {}
    stops: dict[str, str] = {}
    with conn.transaction():
        # First, as a projector does, so that the two take turns.
        names = [projection.name for projection in projections]
        conn.execute("SELECT FROM read_model WHERE name = ANY(%s) FOR UPDATE", (names,))
        entries = _entries(conn, records)
        before = ask(conn)
        for projection in projections:
            try:
                with conn.transaction():
                    for old, changed in _apply(conn, projection, entries):
                        changes += _compared(projection.name, old, changed, rows)
            except Exception as fault:  # noqa: BLE001 - it would stop this one alone.
                stops[projection.name] = f"{type(fault).__name__}: {fault}"
        after = ask(conn)
        raise Rollback
    return Rehearsed(changes[:CHANGES_MAX], len(changes), rows, stops, before, after)


def _entries(conn: Any, records: Sequence[StoredEvent]) -> list[Entry]:
    (head,) = conn.execute("SELECT coalesce(max(notification_id), 0) FROM stored_events").fetchone()
    now = datetime.now(UTC)
    return [Entry(head + n, record, now) for n, record in enumerate(records, 1)]


def _apply(
    conn: Any, projection: Projection, entries: Sequence[Entry]
) -> list[tuple[dict[Any, Row], Rows]]:
    """Apply the entries a model wants; by table the rows as they were, and those that changed."""
    wanted = [entry for entry in entries if projection.wants(entry.record.topic)]
    if not wanted:
        return []
    keys = projection.keys(wanted)
    old: dict[str, dict[Any, Row]] = {table.name: {} for table in projection.tables}

    def load(table: Table) -> list[Row]:
        loaded = tables.load(conn, table, keys[table.name], "")
        old[table.name] = {row[table.key]: dict(row) for row in loaded}
        return loaded

    rows: dict[str, Rows] = {
        table.name: LateRows(table, partial(load, table)) for table in projection.tables
    }
    projection.apply(wanted, rows)
    for changed in rows.values():
        tables.write(conn, changed, "")
    return [(old[name], changed) for name, changed in rows.items()]


def _compared(
    model: str, old: dict[Any, Row], rows: Rows, counts: dict[str, dict[str, int]]
) -> list[Change]:
    table, found = rows.table, []
    for key, row in rows.changed.items():
        before = old.get(key)
        fields = [n for n in table.columns if before is None or before[n] != row[n]]
        if fields:
            kinds = counts.setdefault(table.name, {"added": 0, "changed": 0})
            kinds["added" if before is None else "changed"] += 1
        found += [
            Change(model, table.name, key, name, *(_shown(table, name, r) for r in (before, row)))
            for name in fields
            if name != table.key
        ]
    return found


def _shown(table: Table, name: str, row: Row | None) -> Any:
    value = None if row is None else row[name]
    personal = name in _PERSONAL or name in table.personal
    return MASK if personal and value is not None else value
