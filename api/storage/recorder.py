"""记录器: the one door into the ledger, where concurrent commands share one database commit."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import compress, groupby
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
from psycopg import sql

from api.storage.database import Database
from api.storage.tail import Tail
from domain.errors import Refusal
from domain.ledger import Entry, Write

GROUP_MAX = 512
"""Commands that share one commit."""

QUEUE_MAX = 20_000
"""Commands that may wait for their commit; more are refused at once."""

TABLE = "stored_events"
TRACKING = "bookmarks"

_log = logging.getLogger(__name__)

_GROUP = f"""
    WITH input AS (
        SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::int[])
        WITH ORDINALITY AS t (stream, version, topic, state, command, place)
    ), taken AS (
        SELECT DISTINCT i.command FROM input i JOIN {TABLE} e
        ON e.originator_id = i.stream AND e.originator_version = i.version
    ), added AS (
        INSERT INTO {TABLE} (originator_id, originator_version, topic, state)
        SELECT stream, version, topic, state FROM input
        WHERE command NOT IN (SELECT command FROM taken) ORDER BY place
        RETURNING notification_id, entered_at, originator_id, originator_version
    )
    SELECT *, (SELECT pg_notify('{TABLE}', '')) FROM added
"""  # noqa: S608 - the names are constants of this module.

_SINCE = f"""
    SELECT notification_id, originator_id, originator_version, topic, state, entered_at
    FROM {TABLE} WHERE notification_id > %s ORDER BY notification_id LIMIT %s
"""  # noqa: S608

_STREAM = f"""
    SELECT originator_id, originator_version, topic, state FROM {TABLE}
    WHERE originator_id = %s AND originator_version > %s ORDER BY originator_version LIMIT %s
"""  # noqa: S608


class LedgerBusy(Refusal):
    """台账正忙，暂时不能记录。The ledger is busy and takes nothing just now."""

    kind = "busy"
    mend = "请稍后再试。Try again in a moment."


class LedgerElsewhere(Refusal):
    """台账正由另一进程写入。Another process is writing this ledger."""

    kind = "busy"
    mend = "请先停止另一个进程。Stop the other process first, or send it the command."


class GroupRecorder(PostgresProcessRecorder):
    """The library's recorder, its table and its reading; writes go through one thread.

    One session holds an advisory lock as its lease, so only one transaction is ever open: order of
    positions equals order of commits without the library's table lock. A lost connection loses
    the lease, and whoever waits is refused (fails closed). No timer: a batch is what has queued up
    while the commit before it was under way.
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
        self._wanted = Condition()
        self._closed = False
        self.create_table()
        with database.connection() as conn:
            conn.execute(
                f"ALTER TABLE {TABLE} ADD COLUMN IF NOT EXISTS"
                " entered_at timestamptz NOT NULL DEFAULT clock_timestamp()"
            )
        self._conn = self._take_lease()
        self._thread = Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def _take_lease(self) -> psycopg.Connection[Any]:
        conn = self._database.connect()
        held = conn.execute(
            "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (self._database.schema,)
        ).fetchone()
        if not held or not held[0]:
            conn.close()
            raise LedgerElsewhere(schema=self._database.schema)
        return conn

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
        """
        with self._wanted:
            if self._closed or len(self._queue) >= QUEUE_MAX:
                raise LedgerBusy(waiting=len(self._queue), maximum=QUEUE_MAX)
            self._queue.append(write)
            self._wanted.notify()

    def stream(self, stream: UUID, after: int, limit: int) -> list[StoredEvent]:
        """The records of one stream after a version."""
        with self._database.connection() as conn, conn.cursor(binary=True) as cursor:
            rows = cursor.execute(_STREAM, (stream, after, limit), prepare=True).fetchall()
        return [StoredEvent(*row) for row in rows]

    def since(self, position: int, limit: int) -> list[Entry]:
        """Entries after a position."""
        if near := self._tail.after(position, limit):
            return near
        with self._database.connection() as conn, conn.cursor(binary=True) as cursor:
            rows = cursor.execute(_SINCE, (position, limit), prepare=True).fetchall()
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
        try:
            answers = self._put(batch)
            self._tail.add(self._put_down)
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
            known = fault if isinstance(fault, IntegrityError) else DatabaseError(str(fault))
            answers = [known]
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
            # Fails closed: the next commit fails on the closed connection and tries again.
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
        numbers = [number for _, number in rows]
        positions = self._insert_rows([record for record, _ in rows], numbers) if rows else {}
        answers: list[list[int] | Exception] = []
        for number, write in enumerate(batch):
            got = positions.get(number, [])
            if len(got) < len(write.records):
                name = write.records[0].originator_id, write.records[0].originator_version
                answers.append(IntegrityError(f"already recorded: {name}"))
            else:
                answers.append(got)
        return answers

    def _insert_rows(self, records: list[StoredEvent], numbers: list[int]) -> dict[int, list[int]]:
        """By command's number, the positions of its records, in order; none for a conflict."""
        columns = (
            [r.originator_id for r in records],
            [r.originator_version for r in records],
            [r.topic for r in records],
            [r.state for r in records],
            numbers,
        )
        found = self._conn.execute(_GROUP, columns, prepare=True, binary=True).fetchall()
        if len(found) < len(records):
            added = {(row[2], row[3]) for row in found}
            kept = [(r.originator_id, r.originator_version) in added for r in records]
            numbers, records = list(compress(numbers, kept)), list(compress(records, kept))
        positions: dict[int, list[int]] = {}
        # Positions are given in the order of the rows.
        for number, record, row in zip(numbers, records, sorted(found), strict=True):
            positions.setdefault(number, []).append(row[0])
            self._put_down.append(Entry(row[0], record, row[1]))
        return positions


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


def drop(database: Database) -> None:
    """Remove a schema with everything in it (--fresh)."""
    with database.connection() as conn:
        conn.execute(
            sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(database.schema))
        )
