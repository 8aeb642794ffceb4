"""查阅登记簿: who has read whose data, a row a read, chained by digests, only ever added to."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, NamedTuple

from eventsourcing.persistence import StoredEvent

from api.settings import KEEP_MIN_DAYS
from api.storage.database import Database, Kept
from api.storage.errors import DatabaseAway
from api.storage.read import COLUMNS, NO_ROOT, Read, chain
from domain.access import Access
from domain.errors import Refusal
from domain.records import decode

SEAL_ROWS_MAX = 1_000
"""Rows under one seal; so many are sealed at once, fewer after SEAL_S."""

SEAL_S = 30.0
"""How old a row may become before it is sealed; looked at every second, so within a minute."""

GROUP_MAX = 256
"""Reads that share one commit."""

TABLES = f"""
    CREATE TABLE IF NOT EXISTS access (
        number bigint PRIMARY KEY, at timestamptz NOT NULL, account text NOT NULL,
        role text NOT NULL, purpose text NOT NULL, act text NOT NULL, what text NOT NULL,
        count int NOT NULL, whose bytea NOT NULL, subjects bytea NOT NULL, fields text[] NOT NULL,
        request uuid NOT NULL, outcome text NOT NULL, root bytea NOT NULL
    );
    ALTER TABLE access ALTER subjects SET STORAGE EXTERNAL; -- Ids do not compress.
    CREATE INDEX IF NOT EXISTS access_account ON access (account, number);
    CREATE TABLE IF NOT EXISTS access_subject (
        subject uuid NOT NULL, number bigint NOT NULL, PRIMARY KEY (subject, number)
    );
    CREATE INDEX IF NOT EXISTS access_subject_number ON access_subject (number);
    CREATE INDEX IF NOT EXISTS access_facts ON stored_events (notification_id)
        WHERE topic IN ('{Access.Recorded.TOPIC}', '{Access.Forgotten.TOPIC}');
    CREATE OR REPLACE FUNCTION access_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND OLD.at < now() - interval '{KEEP_MIN_DAYS} days' THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'access is only added to';
    END $$;
    CREATE OR REPLACE FUNCTION access_subject_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM access WHERE number = OLD.number) THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'access_subject follows access';
    END $$;
    CREATE OR REPLACE TRIGGER access_stays BEFORE UPDATE OR DELETE ON access
        FOR EACH ROW EXECUTE FUNCTION access_stays();
    CREATE OR REPLACE TRIGGER access_stays BEFORE UPDATE OR DELETE ON access_subject
        FOR EACH ROW EXECUTE FUNCTION access_subject_stays();
"""
_INSERT = f"INSERT INTO access VALUES ({', '.join(['%s'] * len(COLUMNS))})"  # noqa: S608
_SEALS = f"""
    SELECT originator_id, originator_version, topic, state FROM stored_events
    WHERE topic = '{Access.Recorded.TOPIC}'
"""  # noqa: S608 - a constant.
# Not with the row: an index entry a person would cost a list of 100 more than its commit.
_INDEX = """
    INSERT INTO access_subject
    SELECT encode(substr(a.subjects, 16 * i + 1, 16), 'hex')::uuid, a.number
    FROM access a CROSS JOIN generate_series(0, a.count - 1) AS i
    WHERE a.number BETWEEN %s AND %s ON CONFLICT DO NOTHING
"""
_FORGET = """
    WITH gone AS (DELETE FROM access WHERE number <= %s RETURNING number)
    SELECT count(*) FROM gone
"""
_FORGET_SUBJECTS = "DELETE FROM access_subject WHERE number <= %s"


class ReadUnrecorded(Refusal):
    """查阅无法登记，因此不予显示。The read cannot be recorded, so nothing is shown."""

    kind = "busy"
    mend = "请稍后再试；仍不行请告知管理员。Try again; if it stays, tell whoever runs the node."


class Batch(NamedTuple):
    """Rows that no seal covers yet, with the digest of the last."""

    first: int
    last: int
    root: str


@dataclass(slots=True)
class _Waiting:
    read: Read
    done: bool = False
    fault: Exception | None = field(default=None)


class AccessBook:
    """Puts reads down, durably, each before its answer is shown.

    It keeps a connection of its own: a read never waits for what is being written to the ledger.
    Reads that come together share a commit.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._kept = database, Kept(database)
        self._waiting: deque[_Waiting] = deque()
        self._door = Lock()
        self._head: tuple[int, bytes] | None = None
        self._unsealed: tuple[int, datetime | None] | None = None
        with database.connection() as conn:
            conn.execute(TABLES)

    def record(self, read: Read) -> None:
        """Put a read down; back after its commit.

        Raises:
            ReadUnrecorded: it is not, and nothing may be shown.
            DatabaseAway: likewise, and it is not the register's fault.
        """
        mine = _Waiting(read)
        self._waiting.append(mine)
        with self._door:
            while not mine.done:
                self._commit([self._waiting.popleft() for _ in range(self._due())])
        if isinstance(mine.fault, DatabaseAway):
            raise DatabaseAway(**mine.fault.facts) from mine.fault
        if mine.fault is not None:
            raise ReadUnrecorded(because=type(mine.fault).__name__) from mine.fault

    def close(self) -> None:
        """Give the connection back; whoever reads after that opens it again."""
        with self._door:
            self._kept.close()

    def _due(self) -> int:
        return min(GROUP_MAX, len(self._waiting))

    def _commit(self, taken: Sequence[_Waiting]) -> None:
        try:
            with self._kept.connection() as conn:
                head = self._head or self._find_head(conn)
                rows, head = chain([each.read for each in taken], *head)
                if len(rows) == 1:
                    conn.execute(_INSERT, rows[0], prepare=True)
                else:
                    with conn.transaction(), conn.cursor() as cursor:
                        cursor.executemany(_INSERT, rows)
            self._head = head
            if self._unsealed is not None:
                count, since = self._unsealed
                self._unsealed = count + len(rows), since or taken[0].read.at
        except Exception as fault:  # noqa: BLE001 - whatever it is, nobody is shown anything.
            # What became of them is not known: it is looked up before the next.
            self._head = self._unsealed = None
            for each in taken:
                each.fault = fault
        for each in taken:
            each.done = True

    def _find_head(self, conn: Any) -> tuple[int, bytes]:
        """The last row, or what the newest seal says of it: cut off rows are not numbered anew."""
        row = conn.execute("SELECT number, root FROM access ORDER BY number DESC LIMIT 1")
        found = row.fetchone() or (0, NO_ROOT)
        return max((int(found[0]), bytes(found[1])), _newest_seal(conn))

    # Sealing.

    def due(self, now: datetime) -> bool:
        """Whether there is enough to seal, or it has waited long enough."""
        with self._door:
            if self._unsealed is None:
                self._unsealed = self._count()
            count, since = self._unsealed
        return since is not None and (
            count >= SEAL_ROWS_MAX or now - since >= timedelta(seconds=SEAL_S)
        )

    def _count(self) -> tuple[int, datetime | None]:
        with self._database.connection() as conn:
            sealed, _ = _newest_seal(conn)
            row = conn.execute(
                "SELECT count(*), min(at) FROM access WHERE number > %s", (sealed,), prepare=True
            ).fetchone()
        return row or (0, None)

    def unsealed(self) -> Batch | None:
        """The next rows to seal, at most SEAL_ROWS_MAX."""
        with self._database.connection() as conn:
            sealed, _ = _newest_seal(conn)
            row = conn.execute(
                "SELECT number, encode(root, 'hex') FROM access WHERE number > %s"
                " AND number <= %s ORDER BY number DESC LIMIT 1",
                (sealed, sealed + SEAL_ROWS_MAX),
                prepare=True,
            ).fetchone()
        with self._door:
            self._unsealed = None  # Counted again when it is asked for next.
        return None if row is None else Batch(sealed + 1, row[0], row[1])

    def index(self, batch: Batch) -> None:
        """Let the persons of a batch be found; before it is sealed, the rows are looked through."""
        with self._database.connection() as conn:
            conn.execute(_INDEX, (batch.first, batch.last))

    def sealed_to(self) -> int:
        """The last row that is sealed."""
        with self._database.connection() as conn:
            return _newest_seal(conn)[0]

    def outlived(self, before: datetime) -> int | None:
        """The last row whose seal the ledger took in before a moment, if there are such rows."""
        with self._database.connection() as conn:
            sealed, _ = _newest_seal(conn, before)
            row = conn.execute("SELECT min(number) FROM access").fetchone()
        oldest = row[0] if row else None
        return sealed if oldest is not None and oldest <= sealed else None

    def forget(self, last: int) -> int:
        """Let go of the rows up to one; how many they were."""
        with self._database.connection() as conn, conn.transaction():
            row = conn.execute(_FORGET, (last,)).fetchone()
            conn.execute(_FORGET_SUBJECTS, (last,))
        return int(row[0]) if row else 0


def _newest_seal(conn: Any, before: datetime | None = None) -> tuple[int, bytes]:
    row = conn.execute(
        f"{_SEALS} AND (%s::timestamptz IS NULL OR entered_at < %s)"
        " ORDER BY notification_id DESC LIMIT 1",
        (before, before),
        prepare=True,
    ).fetchone()
    return (0, NO_ROOT) if row is None else seal_of(row)


def seal_of(row: Sequence[Any]) -> tuple[int, bytes]:
    """How far a stored seal goes, and the digest it gives."""
    fact = decode(StoredEvent(row[0], row[1], row[2], bytes(row[3])))
    assert isinstance(fact, Access.Recorded)
    return fact.last, bytes.fromhex(fact.root)
