"""记录器: the one door into the ledger, where concurrent commands share one database commit."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import groupby
from threading import Condition, Thread
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    StoredEvent,
)
from eventsourcing.postgres import PostgresDatastore, PostgresProcessRecorder

from api.storage import tree
from api.storage.database import Database
from api.storage.errors import LedgerElsewhere
from api.storage.space import DiskFull
from api.storage.statements import GROUP, SINCE, STREAM, TABLE, TRACKING
from api.storage.tail import Tail
from domain.errors import Refusal
from domain.ledger import Entry, Write
from domain.recording import LedgerDamaged
from domain.records import leaf
from domain.tiles import Growth

GROUP_MAX = 512
"""Commands that share one commit."""

QUEUE_MAX = 20_000
"""Commands that may wait for their commit; more are refused at once."""

_log = logging.getLogger(__name__)


class LedgerBusy(Refusal):
    """台账正忙，暂时不能记录。The ledger is busy and takes nothing just now."""

    kind = "busy"
    mend = "请稍后再试。Try again in a moment."


class GroupRecorder(PostgresProcessRecorder):
    """The library's recorder, its table and its reading; writes go through one thread.

    One session holds an advisory lock as its lease, so only one transaction is ever open: order of
    positions equals order of commits without the library's table lock. A lost connection loses
    the lease, and whoever waits is refused (fails closed). No timer: a batch is what has queued up
    while the commit before it was under way. Every record is a leaf of the ledger's tree by the
    statement that writes it, and its position is the size the tree then has: none is left out.
    """

    def __init__(self, database: Database, beside: Mapping[str, str] | None = None) -> None:
        datastore = PostgresDatastore(
            **database.parameters(), pool_size=1, max_overflow=4, single_row_tracking=True
        )
        super().__init__(datastore, events_table_name=TABLE, tracking_table_name=TRACKING)
        self._database = database
        self._beside = dict(beside or {})
        self._queue: deque[Write] = deque()
        self._tail, self._put_down = Tail(), list[Entry]()
        self._wanted, self._closed = Condition(), False
        self._tree: Growth | LedgerDamaged
        try:
            self.create_table()
            with database.connection() as conn:
                conn.execute(
                    f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS"
                    " entered_at timestamptz NOT NULL DEFAULT clock_timestamp()"
                )
            self._conn = self._take_lease()
        except BaseException:
            datastore.close()
            raise
        self._thread = Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def _take_lease(self) -> psycopg.Connection[Any]:
        conn, name = self._database.connect(), (self._database.schema,)
        held = conn.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", name)
        if held.fetchone() != (True,):
            conn.close()
            raise LedgerElsewhere(schema=self._database.schema)
        try:
            tree.begin(conn)
            self.look_at_tree(conn)
        except BaseException:
            conn.close()
            raise
        return conn

    def look_at_tree(self, conn: psycopg.Connection[Any]) -> None:
        """Go on from the tree in the database; where it is damaged, nothing more is recorded."""
        try:
            self._tree = tree.opened(conn)
        except LedgerDamaged as damaged:
            _log.critical("%s", damaged)
            self._tree = damaged

    @property
    def damage(self) -> LedgerDamaged | None:
        """Why nothing is recorded any more, if so."""
        return self._tree if isinstance(self._tree, LedgerDamaged) else None

    # The library's way in.

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """As the library's, through the same door."""
        write = Write(tuple(stored_events), tracking=kwargs.get("tracking"))
        self.submit(write)
        return write.done.result()

    # Ours.

    def submit(self, write: Write) -> None:
        """Queue a write; answered after its commit.

        Raises:
            LedgerBusy: QUEUE_MAX commands wait already, or the recorder is closed.
            DiskFull: there is too little room for its commit.
            LedgerDamaged: the ledger is not what its tree says.
        """
        if write.records and (damage := self.damage):
            raise damage
        if self._database.space is not None:
            self._database.space.must_suffice()
        with self._wanted:
            if self._closed or len(self._queue) >= QUEUE_MAX:
                raise LedgerBusy(waiting=len(self._queue), maximum=QUEUE_MAX)
            self._queue.append(write)
            self._wanted.notify()

    def stream(self, stream: UUID, after: int, limit: int) -> list[StoredEvent]:
        """The records of one stream after a version."""
        with self._database.connection() as conn, conn.cursor(binary=True) as cursor:
            rows = cursor.execute(STREAM, (stream, after, limit), prepare=True).fetchall()
        return [StoredEvent(*row) for row in rows]

    def since(self, position: int, limit: int) -> list[Entry]:
        """Entries after a position."""
        if near := self._tail.after(position, limit):
            return near
        with self._database.connection() as conn, conn.cursor(binary=True) as cursor:
            rows = cursor.execute(SINCE, (position, limit), prepare=True).fetchall()
        return [Entry(row[0], StoredEvent(*row[1:5]), row[5]) for row in rows]

    def head(self) -> int:
        """The last position."""
        return self.max_notification_id() or 0

    def close(self) -> None:
        """Write what is queued, then let go of the lease."""
        with self._wanted:
            self._closed = True
            self._wanted.notify()
        self._thread.join()
        self._conn.close()
        self.datastore.close()

    # The thread.

    def _run(self) -> None:
        while True:
            with self._wanted:
                self._wanted.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                taken = [self._queue.popleft() for _ in range(min(GROUP_MAX, len(self._queue)))]
            for tracked, writes in groupby(taken, lambda w: w.tracking is not None):
                for batch in ([w] for w in writes) if tracked else (list(writes),):
                    self._commit(batch)

    def _commit(self, batch: list[Write]) -> None:
        self._put_down.clear()
        if self._conn.closed:
            self._reconnect()
        self._grown = self._tree
        try:
            answers = self._put(batch)
            self._tree = self._grown
            self._tail.add(self._put_down)
        except psycopg.errors.DiskFull as fault:
            _log.warning("The database's disk is full: %s", fault)
            answers = [DiskFull(because=str(fault))] * len(batch)
        except psycopg.OperationalError as fault:
            _log.exception("The ledger's connection is lost; %d commands are refused", len(batch))
            answers = [OperationalError(str(fault))] * len(batch)
            self._reconnect()
        except Exception as fault:  # noqa: BLE001 - whatever it is, the thread serves the others.
            if len(batch) > 1:
                # One command's rows cannot be written: the others are none the worse for it.
                for write in batch:
                    self._commit([write])
                return
            _log.warning("A write is refused: %s", fault)
            said = isinstance(fault, IntegrityError | Refusal)
            answers = [fault if said else DatabaseError(str(fault))]
        for write in batch[:-1]:
            write.more = True
        for write, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                write.done.set_exception(answer)
            else:
                write.done.set_result(answer)

    def _reconnect(self) -> None:
        self._conn.close()
        try:
            self._conn = self._take_lease()
        except (psycopg.Error, LedgerElsewhere):
            # Fails closed: the next commit tries again first.
            _log.warning("The ledger's lease is not regained yet")

    def _put(self, batch: list[Write]) -> list[list[int] | Exception]:
        plain = not any(write.beside or write.tracking for write in batch)
        if plain:
            return self._insert(batch)
        with self._conn.transaction():
            answers = self._insert(batch)
            for write, answer in zip(batch, answers, strict=True):
                if isinstance(answer, Exception):
                    if write.tracking is not None:
                        raise answer
                    continue  # A refused command leaves nothing, not even its Idempotency-Key.
                for statement, values in write.beside:
                    self._conn.execute(self._beside[statement], values, prepare=True)
                if write.tracking is None:
                    continue
                with self._conn.cursor(row_factory=psycopg.rows.dict_row) as cursor:
                    self._insert_tracking(cursor, write.tracking)
            return answers

    def _insert(self, batch: list[Write]) -> list[list[int] | Exception]:
        rows = _without_repetitions(batch)
        positions: dict[int, list[int]] = {}
        # Where some are taken the others are put down at the second try, as if they were alone.
        while rows and not positions:
            positions, taken = self._insert_rows(rows)
            rows = [row for row in rows if row[1] not in taken]
        answers: list[list[int] | Exception] = []
        for number, write in enumerate(batch):
            got = positions.get(number, [])
            if len(got) < len(write.records):
                name = write.records[0].originator_id, write.records[0].originator_version
                answers.append(IntegrityError(f"already recorded: {name}"))
            else:
                answers.append(got)
        return answers

    def _insert_rows(
        self, rows: list[tuple[StoredEvent, int]]
    ) -> tuple[dict[int, list[int]], set[int]]:
        """By command's number, the positions of its records, in order; or those in conflict."""
        now = self._tree
        if isinstance(now, LedgerDamaged):
            raise now
        records, numbers = [record for record, _ in rows], [number for _, number in rows]
        grown = now.and_then(map(leaf, records))
        columns = (
            [r.originator_id for r in records],
            [r.originator_version for r in records],
            [r.topic for r in records],
            [r.state for r in records],
            numbers,
            *tree.growing(now, grown),
        )
        found = self._conn.execute(GROUP, columns, prepare=True, binary=True).fetchall()
        if taken := {row[2] for row in found if row[2] is not None}:
            return {}, taken
        if len(found) != len(records):
            self._tree = LedgerDamaged(leaves=now.size, because="somebody else writes the tree")
            raise self._tree
        positions: dict[int, list[int]] = {}
        # Positions are given in the order of the rows.
        for number, record, row in zip(numbers, records, sorted(found), strict=True):
            positions.setdefault(number, []).append(row[0])
            self._put_down.append(Entry(row[0], record, row[1]))
        self._grown = grown
        return positions, set()


def _without_repetitions(batch: list[Write]) -> list[tuple[StoredEvent, int]]:
    """The records with their command's number; of commands that collide only the first."""
    seen: set[tuple[UUID | str, int]] = set()
    rows: list[tuple[StoredEvent, int]] = []
    for number, write in enumerate(batch):
        names = {(r.originator_id, r.originator_version) for r in write.records}
        if len(names) == len(write.records) and seen.isdisjoint(names):
            seen |= names
            rows += [(record, number) for record in write.records]
    return rows
