"""读模型的库: rows and bookmark in one transaction, rebuilt beside the live ones."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

from eventsourcing.persistence import StoredEvent
from psycopg import Rollback

from domain.errors import Refusal
from domain.ledger import Entry, Ledger
from projections import rehearsal, tables, times
from projections.projection import Projection
from projections.rehearsal import Rehearsed
from projections.tables import NEXT

A = TypeVar("A")

_log = logging.getLogger(__name__)

BATCH_MAX = 1_000
"""Entries applied in one transaction."""


# A crash may take the last moments back, rows and bookmark together: they are projected again.
# So a read model waits for no disk, and no command waits behind it. What moves also says when.
_MOVE = """
    WITH lax AS (SELECT set_config('synchronous_commit', 'off', true)), moved AS (
        UPDATE read_model SET position = %s FROM lax
        WHERE name = ANY(%s) AND position = %s RETURNING name
    ), timed AS (
        INSERT INTO read_model_time (position, names)
        SELECT %s, array_agg(name) FROM moved HAVING count(*) > 0
    )
    SELECT array_agg(name) FROM moved
"""


LOCK_PAUSE_S, LOCK_TRIES_MAX = 0.002, 5_000
"""Between two tries to hold a read model's tables alone; then it waits in line with the readers."""


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
        self.abreast = 0
        """The position that all have reached, as far as it is known without asking."""
        self.held_by: dict[str, Entry] = {}
        """The entry at which a read model has stopped."""
        with database.connection() as conn:
            conn.execute(
                "CREATE TABLE IF NOT EXISTS read_model (name text PRIMARY KEY, position bigint)"
            )
            conn.execute(times.TABLE)
            for projection in projections:
                tables.create(conn, projection, "")

    def position(self, name: str) -> int:
        """The ledger position a read model has reached."""
        with self._database.connection() as conn:
            row = conn.execute(
                "SELECT position FROM read_model WHERE name = %s", (name,)
            ).fetchone()
        return int(row[0]) if row else 0

    def passed(self, position: int) -> dict[str, tuple[bool, datetime | None]]:
        """By read model, whether it has passed a position, and when."""
        with self._database.connection() as conn:
            return times.passed(conn, list(self.projections), position)

    def forget_times(self) -> int:
        """Drop the times that are kept for the newest batches only."""
        with self._database.connection() as conn:
            return times.forget(conn)

    def catch_up(self) -> int:
        """Apply the next batch to every read model; how many entries were applied at most.

        A read model that fails stops with its bookmark before the entry in `held_by`, and says why
        in `stopped`; the others go on. It is tried again at the next call.
        """
        # Where all stood after the last pass; what has moved a bookmark since is found at its move.
        level, self.abreast = self.abreast, 0
        if level and (passed := self._follow([*self.projections], level)):
            return passed
        with self._database.connection() as conn:
            found = conn.execute("SELECT name, position FROM read_model", prepare=True).fetchall()
        positions = dict(found)
        levels: dict[int, list[str]] = defaultdict(list)
        for name in self.projections:
            levels[int(positions[name])].append(name)
        if len(levels) == 1:
            self.abreast = next(iter(levels))
        # As a rule they all stand level: what follows is read once, and decoded once.
        return max((self._follow(names, at) for at, names in levels.items()), default=0)

    def _follow(self, names: list[str], position: int) -> int:
        try:
            entries = self._ledger.since(position, BATCH_MAX)
        except Exception as fault:  # noqa: BLE001 - said of each of them.
            self._stop(names, fault)
            return 0
        if not entries:
            # Nothing lies ahead that could stop them: what did was the database's absence.
            for name in names:
                self.stopped.pop(name, None)
            return 0
        with self._database.connection() as conn:
            # All in one transaction; each in its own only if one of them cannot go along.
            with suppress(Exception):
                if self._take(conn, names, position, entries):
                    for name in names:
                        self._go_on(name)
                    if len(names) == len(self.projections):
                        self.abreast = entries[-1].position
                    return len(entries)
            moved = [name for name in names if self._take_alone(conn, name, position, entries)]
        return len(entries) if moved else 0

    def _take_alone(self, conn: Any, name: str, position: int, entries: Sequence[Entry]) -> bool:
        if name in self.stopped:
            entries = entries[:1]
        try:
            moved = self._take(conn, [name], position, entries)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it stops this one alone.
            failed = fault
        else:
            self._go_on(name)
            return moved
        if len(entries) == 1:
            self._stop([name], failed)
            self.held_by[name] = entries[0]
            return False
        # What precedes the entry that fails is applied, and that entry found.
        first, rest = entries[: len(entries) // 2], entries[len(entries) // 2 :]
        return self._take_alone(conn, name, position, first) and self._take_alone(
            conn, name, first[-1].position, rest
        )

    def _stop(self, names: list[str], fault: Exception) -> None:
        for name in names:
            if name not in self.stopped:
                _log.error("Read model %s has stopped", name, exc_info=fault)
            self.stopped[name] = f"{type(fault).__name__}: {fault}"

    def _go_on(self, name: str) -> None:
        self.stopped.pop(name, None)
        self.held_by.pop(name, None)

    def _take(self, conn: Any, names: list[str], position: int, entries: Sequence[Entry]) -> bool:
        with conn.transaction():
            # First, so that of two projectors of one node the second waits, and finds it moved.
            if _move(conn, names, position, entries[-1].position) == len(names):
                for name in names:
                    tables.apply(conn, self.projections[name], entries)
                return True
            raise Rollback
        return False

    def rehearse(self, records: Sequence[StoredEvent], ask: Callable[[Any], A]) -> Rehearsed[A]:
        """What these records would change in every read model, and in what `ask` answers.

        Nothing is changed: all of it is rolled back.
        """
        with self._database.connection() as conn:
            return rehearsal.rehearse(conn, list(self.projections.values()), records, ask)

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
        return self.renew(name) is None

    def renew(self, name: str) -> str | None:
        """As rebuild; where the two differ: the first such row, or why they cannot be compared.

        Raises:
            RebuildUnderWay.
        """
        projection = self.projections[name]
        with self._alone(name):
            self.build(name)
            with self._database.connection() as conn, conn.transaction():
                differs = self.level(conn, name)
                self._hold(conn, projection)
                tables.take_over(conn, projection)
        # What stopped the old one may not stop the new; if it does, the next batch says so again.
        self.stopped.pop(name, None)
        return differs

    def build(self, name: str) -> None:
        """Fill new tables beside the live ones, from the first fact to the last."""
        projection = self.projections[name]
        with self._database.connection() as conn, conn.transaction():
            tables.drop(conn, projection, NEXT)
            tables.create(conn, projection, NEXT)
        passed = 1
        while passed:
            with self._database.connection() as conn, conn.transaction():
                passed = self._advance(conn, projection, NEXT)

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
        tables.apply(conn, projection, entries, suffix)
        _move(conn, [projection.name + suffix], position, entries[-1].position)
        return len(entries)

    def _hold(self, conn: Any, projection: Projection) -> None:
        for _ in range(LOCK_TRIES_MAX):
            if tables.lock(conn, projection):
                return
            time.sleep(LOCK_PAUSE_S)  # Somebody reads, for some milliseconds.

    def _lock(self, conn: Any, name: str) -> int:
        """The position of a model; its row's lock makes two projectors of one node take turns."""
        query = "SELECT position FROM read_model WHERE name = %s FOR UPDATE"
        return int(conn.execute(query, (name,)).fetchone()[0])

    def level(self, conn: Any, name: str) -> str | None:
        """Bring both models to the position of the one ahead; the first row that differs there."""
        projection = self.projections[name]
        positions = [self._lock(conn, name + suffix) for suffix in ("", NEXT)]
        while self._advance(conn, projection, NEXT, max(positions)):
            pass
        try:
            with conn.transaction():
                while self._advance(conn, projection, "", max(positions)):
                    pass
                found = (tables.difference(conn, table) for table in projection.tables)
                return next((place for place in found if place is not None), None)
        except Exception as fault:  # noqa: BLE001 - what stopped it is why it is rebuilt.
            _log.warning("Read model %s could not be compared: %s", name, fault)
            return str(fault).partition("\n")[0]


def _move(conn: Any, names: list[str], before: int, after: int) -> int:
    """Move bookmarks that stand where they are thought to stand; how many did."""
    if not names:
        return 0
    moved = conn.execute(_MOVE, (after, names, before, after), prepare=True).fetchone()
    return len(moved[0] or ()) if moved else 0
