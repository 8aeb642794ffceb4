"""读模型的库: rows and bookmark in one transaction, rebuilt beside the live ones."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from psycopg import Rollback
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from domain.errors import Refusal
from domain.ledger import Entry, Ledger
from projections.projection import LateRows, Projection, Row, Rows, Table

_log = logging.getLogger(__name__)

BATCH_MAX = 1_000
"""Entries applied in one transaction."""

NEXT = "__next"
"""The suffix of tables and bookmark while a read model is rebuilt beside the live one."""


class RebuildUnderWay(Refusal):
    """该读模型正在重建。The read model is being rebuilt already."""

    kind = "busy"
    mend = "请等待重建完成。Wait until that is done."


class Projector:
    """Keeps read models in step with the ledger; each has its bookmark and fails alone."""

    def __init__(self, database: Any, ledger: Ledger, projections: Sequence[Projection]) -> None:
        self._database, self._ledger = database, ledger
        self.projections = {p.name: p for p in projections}
        self.stopped: dict[str, str] = {}
        with database.connection() as conn:
            conn.execute(
                "CREATE TABLE IF NOT EXISTS read_model (name text PRIMARY KEY, position bigint)"
            )
            for projection in projections:
                self._create(conn, projection, "")

    def position(self, name: str) -> int:
        """The ledger position a read model has reached."""
        with self._database.connection() as conn:
            row = conn.execute(
                "SELECT position FROM read_model WHERE name = %s", (name,)
            ).fetchone()
        return int(row[0]) if row else 0

    def catch_up(self) -> int:
        """Apply the next batch to every read model; how many entries were applied at most.

        A read model that fails stops with its bookmark unmoved and says why in `stopped`; the
        others go on. It is tried again at the next call.
        """
        with self._database.connection() as conn:
            found = conn.execute("SELECT name, position FROM read_model", prepare=True).fetchall()
        level: dict[int, list[str]] = defaultdict(list)
        positions = dict(found)
        for name in self.projections:
            level[int(positions[name])].append(name)
        # As a rule they all stand level: what follows is read once, and decoded once.
        return max((self._follow(names, at) for at, names in level.items()), default=0)

    def _follow(self, names: list[str], position: int) -> int:
        try:
            entries = self._ledger.since(position, BATCH_MAX)
        except Exception as fault:  # noqa: BLE001 - said of each of them.
            self._stop(names, fault)
            return 0
        if not entries:
            return 0
        with self._database.connection() as conn:
            # All in one transaction; each in its own only if one of them cannot go along.
            with suppress(Exception):
                if self._take(conn, names, position, entries):
                    for name in names:
                        self.stopped.pop(name, None)
                    return len(entries)
            moved = [name for name in names if self._take_alone(conn, name, position, entries)]
        return len(entries) if moved else 0

    def _take_alone(self, conn: Any, name: str, position: int, entries: Sequence[Entry]) -> bool:
        try:
            moved = self._take(conn, [name], position, entries)
            self.stopped.pop(name, None)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it stops this one alone.
            self._stop([name], fault)
            return False
        return moved

    def _stop(self, names: list[str], fault: Exception) -> None:
        for name in names:
            if name not in self.stopped:
                _log.error("Read model %s has stopped", name, exc_info=fault)
            self.stopped[name] = f"{type(fault).__name__}: {fault}"

    def _take(self, conn: Any, names: list[str], position: int, entries: Sequence[Entry]) -> bool:
        with conn.transaction():
            # First, so that of two projectors of one node the second waits, and finds it moved.
            if _move(conn, names, position, entries[-1].position) == len(names):
                for name in names:
                    self._apply(conn, self.projections[name], "", entries)
                return True
            raise Rollback
        return False

    def advance(self, name: str) -> int:
        """Apply one batch to one read model; how many entries it passed."""
        with self._database.connection() as conn, conn.transaction():
            return self._advance(conn, self.projections[name], "")

    def rebuild(self, name: str) -> bool:
        """Build a read model anew beside the live one; it takes over when both stand level.

        Returns:
            Whether the new rows equal the old ones: if not, the rules or the columns have changed
            since, or the live model had stopped.

        Raises:
            RebuildUnderWay: somebody else is at it.
        """
        projection = self.projections[name]
        with self._alone(name):
            with self._database.connection() as conn, conn.transaction():
                self._drop(conn, projection, NEXT)
                self._create(conn, projection, NEXT)
            passed = 1
            while passed:
                with self._database.connection() as conn, conn.transaction():
                    passed = self._advance(conn, projection, NEXT)
            with self._database.connection() as conn, conn.transaction():
                same = self._level(conn, projection)
                self._take_over(conn, projection)
        return same

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        key = f"rebuild:{name}"
        with self._database.connection() as conn:
            query = "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || %s, 0))"
            if not conn.execute(query, (key,)).fetchone()[0]:
                raise RebuildUnderWay(model=name)
            try:
                yield
            finally:
                query = "SELECT pg_advisory_unlock(hashtextextended(current_schema() || %s, 0))"
                conn.execute(query, (key,))

    def _advance(
        self, conn: Any, projection: Projection, suffix: str, until: int | None = None
    ) -> int:
        position = self._lock(conn, projection.name + suffix)
        entries = self._ledger.since(position, BATCH_MAX)
        if until is not None:
            entries = [entry for entry in entries if entry.position <= until]
        if not entries:
            return 0
        self._apply(conn, projection, suffix, entries)
        _move(conn, [projection.name + suffix], position, entries[-1].position)
        return len(entries)

    def _apply(
        self, conn: Any, projection: Projection, suffix: str, entries: Sequence[Entry]
    ) -> None:
        wanted = [e for e in entries if projection.wants(e.record.topic)]
        if not wanted:
            return
        keys = projection.keys(wanted)
        rows: dict[str, Rows] = {
            t.name: LateRows(t, partial(self._load, conn, t, keys[t.name], suffix))
            for t in projection.tables
        }
        projection.apply(wanted, rows)
        for changed in rows.values():
            self._write(conn, changed, suffix)

    def _lock(self, conn: Any, name: str) -> int:
        """The position of a model; its row's lock makes two projectors of one node take turns."""
        query = "SELECT position FROM read_model WHERE name = %s FOR UPDATE"
        return int(conn.execute(query, (name,)).fetchone()[0])

    def _level(self, conn: Any, projection: Projection) -> bool:
        """Bring both models to the position of the one ahead, and compare them there."""
        positions = [self._lock(conn, projection.name + suffix) for suffix in ("", NEXT)]
        while self._advance(conn, projection, NEXT, max(positions)):
            pass
        try:
            with conn.transaction():
                while self._advance(conn, projection, "", max(positions)):
                    pass
                return all(self._equal(conn, table) for table in projection.tables)
        except Exception as fault:  # noqa: BLE001 - what stopped it is why it is rebuilt.
            _log.warning("Read model %s could not be compared: %s", projection.name, fault)
            return False

    # Tables.

    def _create(self, conn: Any, projection: Projection, suffix: str) -> None:
        for table in projection.tables:
            columns = ", ".join(f"{n} {kind}" for n, kind in table.columns.items())
            name = table.name + suffix
            conn.execute(
                f"CREATE TABLE IF NOT EXISTS {name} ({columns}, PRIMARY KEY ({table.key}))"
            )
            for number, index in enumerate(table.indexes):
                conn.execute(f"CREATE INDEX IF NOT EXISTS {name}_{number} ON {name} ({index})")
        conn.execute(
            "INSERT INTO read_model VALUES (%s, 0) ON CONFLICT DO NOTHING",
            (projection.name + suffix,),
        )

    def _drop(self, conn: Any, projection: Projection, suffix: str) -> None:
        for table in projection.tables:
            conn.execute(f"DROP TABLE IF EXISTS {table.name}{suffix}")
        conn.execute("DELETE FROM read_model WHERE name = %s", (projection.name + suffix,))

    def _take_over(self, conn: Any, projection: Projection) -> None:
        for table in projection.tables:
            name = table.name
            conn.execute(f"DROP TABLE {name}")
            conn.execute(f"ALTER TABLE {name}{NEXT} RENAME TO {name}")
            conn.execute(f"ALTER INDEX {name}{NEXT}_pkey RENAME TO {name}_pkey")
            for number in range(len(table.indexes)):
                conn.execute(f"ALTER INDEX {name}{NEXT}_{number} RENAME TO {name}_{number}")
        # The live bookmark is moved, not replaced: a projector may be waiting for its lock.
        conn.execute(
            "UPDATE read_model SET position = next.position FROM read_model AS next"
            " WHERE read_model.name = %s AND next.name = %s",
            (projection.name, projection.name + NEXT),
        )
        conn.execute("DELETE FROM read_model WHERE name = %s", (projection.name + NEXT,))

    def _equal(self, conn: Any, table: Table) -> bool:
        old, new = table.name, table.name + NEXT
        found = conn.execute(
            f"SELECT NOT EXISTS (SELECT * FROM {old} EXCEPT SELECT * FROM {new})"  # noqa: S608
            f" AND NOT EXISTS (SELECT * FROM {new} EXCEPT SELECT * FROM {old})"
        ).fetchone()
        return bool(found[0])

    # Rows.

    def _load(self, conn: Any, table: Table, keys: list[Any], suffix: str) -> list[Row]:
        query = f"SELECT * FROM {table.name}{suffix} WHERE {table.key} = ANY(%s)"  # noqa: S608
        with conn.cursor(row_factory=dict_row, binary=True) as cursor:
            loaded: list[Row] = cursor.execute(query, (keys,), prepare=True).fetchall()
        return loaded

    def _write(self, conn: Any, rows: Rows, suffix: str) -> None:
        if not rows.changed:
            return
        table, changed = rows.table, list(rows.changed.values())
        names = list(table.columns)
        arrays = [_column(table, name, changed) for name in names]
        casts = ", ".join(f"%b::{table.columns[name]}[]" for name in names)
        updates = ", ".join(f"{n} = excluded.{n}" for n in names if n != table.key)
        query = (
            f"INSERT INTO {table.name}{suffix} ({', '.join(names)})"  # noqa: S608
            f" SELECT * FROM unnest({casts})"
            f" ON CONFLICT ({table.key}) DO UPDATE SET {updates}"
        )
        conn.execute(query, arrays, prepare=True)


def _column(table: Table, name: str, rows: list[Row]) -> list[Any]:
    values = [row[name] for row in rows]
    if table.columns[name] == "jsonb":
        return [None if value is None else Jsonb(value) for value in values]
    return values


def _move(conn: Any, names: list[str], before: int, after: int) -> int:
    """Move bookmarks that stand where they are thought to stand; how many did."""
    if not names:
        return 0
    moved = conn.execute(
        "UPDATE read_model SET position = %s WHERE name = ANY(%s) AND position = %s",
        (after, names, before),
        prepare=True,
    )
    return int(moved.rowcount)
