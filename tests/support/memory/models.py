"""内存读模型: the projections' own `apply` over rows in memory, with bookmarks that move as one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from domain.ledger import BATCH_MAX, Entry
from projections.projection import LateRows, Projection, Row, Rows
from projections.store import Projector
from projections.tables import NEXT


class MemoryProjector(Projector):
    """Keeps read models in step; each fails alone."""

    def position(self, name: str) -> int:
        return int(self._database.read_models.get(name, 0))

    def catch_up(self) -> int:
        level: dict[int, list[str]] = {}
        for name in self.projections:
            level.setdefault(self.position(name), []).append(name)
        return max((self._follow(names, at) for at, names in level.items()), default=0)

    def rebuild(self, name: str) -> bool:
        """Build anew, compare, and take over."""
        projection, database = self.projections[name], self._database
        entries = self._ledger.since(0, BATCH_MAX)
        while entries:
            staged: list[tuple[str, Rows]] = []
            self._apply(staged, projection, NEXT, entries)
            for table, rows in staged:
                self._put(table, rows)
            entries = self._ledger.since(entries[-1].position, BATCH_MAX)
        while self._follow([name], self.position(name)):
            pass
        same = True
        for table in projection.tables:
            new = database.rows.pop(table.name + NEXT, {})
            same = same and new == database.rows.get(table.name, {})
            database.rows[table.name] = new
        return same

    def _take(self, conn: Any, names: list[str], position: int, entries: Sequence[Entry]) -> bool:
        bookmarks = self._database.read_models
        if any(self.position(name) != position for name in names):
            return False
        staged: list[tuple[str, Rows]] = []
        for name in names:
            self._apply(staged, self.projections[name], "", entries)
        del conn
        for table, rows in staged:
            self._put(table, rows)
        bookmarks |= dict.fromkeys(names, entries[-1].position)
        return True

    def _apply(
        self, conn: Any, projection: Projection, suffix: str, entries: Sequence[Entry]
    ) -> None:
        wanted = [e for e in entries if projection.wants(e.record.topic)]
        if not wanted:
            return
        keys = projection.keys(wanted)
        rows: dict[str, Rows] = {
            t.name: LateRows(t, partial(self._loaded, t.name + suffix, keys[t.name]))
            for t in projection.tables
        }
        projection.apply(wanted, rows)
        for name, changed in rows.items():
            conn.append((name + suffix, changed))

    def _loaded(self, table: str, keys: list[Any]) -> list[Row]:
        found = self._database.rows[table]
        return [dict(found[key]) for key in keys if key in found]

    def _put(self, table: str, rows: Rows) -> None:
        self._database.rows[table] |= {key: dict(row) for key, row in rows.changed.items()}
