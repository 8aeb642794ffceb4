"""通道簿: the tables in which lanes keep their numbers, roots, receipts and evidence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.ledger import Beside
from domain.values import OrgCode

EVIDENCE_MAX = 1_000
"""Refused batches kept for each sender; beyond it they are only counted."""

TABLES = """
    CREATE TABLE IF NOT EXISTS lane_out (
        peer text NOT NULL, number bigint NOT NULL, stream uuid NOT NULL, version bigint NOT NULL,
        position bigint NOT NULL, root bytea NOT NULL, PRIMARY KEY (peer, number)
    );
    CREATE UNIQUE INDEX IF NOT EXISTS lane_out_fact ON lane_out (peer, stream, version);
    CREATE TABLE IF NOT EXISTS lane_grant (
        peer text NOT NULL, key uuid NOT NULL, number bigint NOT NULL, PRIMARY KEY (peer, key)
    );
    CREATE INDEX IF NOT EXISTS lane_grant_number ON lane_grant (peer, number);
    CREATE TABLE IF NOT EXISTS lane_receipt (
        peer text PRIMARY KEY, number bigint NOT NULL, root text NOT NULL,
        at timestamptz NOT NULL, wire bytea NOT NULL
    );
    CREATE TABLE IF NOT EXISTS relay (one boolean PRIMARY KEY CHECK (one), position bigint);
    CREATE TABLE IF NOT EXISTS lane_in (
        peer text PRIMARY KEY, number bigint NOT NULL, root text NOT NULL, at timestamptz NOT NULL,
        head bigint NOT NULL
    );
    CREATE TABLE IF NOT EXISTS quarantine (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, peer text NOT NULL,
        at timestamptz NOT NULL,
        reason text NOT NULL, evidence jsonb NOT NULL, number bigint, stream uuid, version bigint,
        topic text, state bytea, wire bytea NOT NULL,
        resolved_at timestamptz
    );
    CREATE INDEX IF NOT EXISTS quarantine_stream ON quarantine (peer, stream)
        WHERE resolved_at IS NULL;
    CREATE TABLE IF NOT EXISTS refused_count (
        peer text, reason text, count bigint NOT NULL, PRIMARY KEY (peer, reason)
    );
"""

BESIDE = {
    "lane_in": """
        INSERT INTO lane_in (peer, number, root, at, head) VALUES (%s, %s, %s, %s, %s)
        ON CONFLICT (peer) DO UPDATE
        SET number = excluded.number, root = excluded.root, at = excluded.at, head = excluded.head
    """,
    "quarantine": """
        INSERT INTO quarantine
            (peer, at, reason, evidence, number, stream, version, topic, state, wire)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    """,
    "quarantine_resolved": "UPDATE quarantine SET resolved_at = %s WHERE id = %s",
}


class Outgoing(NamedTuple):
    """One numbered entry of a lane."""

    number: int
    record: StoredEvent
    root: str


class Standing(NamedTuple):
    """Where a lane stands: number and root; for an incoming one, the head as last heard."""

    number: int
    root: str
    at: datetime | None = None
    head: int = 0


class LaneStore:
    """Reads and writes the tables above; every method is one transaction."""

    def __init__(self, database: Any, no_root: str) -> None:
        self._database = database
        self._start = Standing(0, no_root)
        with database.connection() as conn:
            conn.execute(TABLES)
            conn.execute("INSERT INTO relay VALUES (true, 0) ON CONFLICT DO NOTHING")

    # Outgoing.

    def bookmark(self) -> int:
        """The ledger position up to which everything is numbered."""
        return int(self._one("SELECT position FROM relay")[0])

    def head_out(self, peer: OrgCode) -> Standing:
        """The newest number of a lane with its root."""
        row = self._one(
            "SELECT number, encode(root, 'hex') FROM lane_out WHERE peer = %s"
            " ORDER BY number DESC LIMIT 1",
            peer,
        )
        return Standing(*row) if row else self._start

    def heard_streams(self, peer: OrgCode, streams: Sequence[UUID]) -> set[UUID]:
        """Those of the streams that the peer receives already."""
        rows = self._all(
            "SELECT DISTINCT stream FROM lane_out WHERE peer = %s AND stream = ANY(%s)",
            peer,
            list(streams),
        )
        return {row[0] for row in rows}

    def granted(self, peer: OrgCode, keys: Sequence[UUID]) -> set[UUID]:
        """Those of the keys that travel to the peer already."""
        rows = self._all(
            "SELECT key FROM lane_grant WHERE peer = %s AND key = ANY(%s)", peer, list(keys)
        )
        return {row[0] for row in rows}

    def number(
        self,
        entries: Sequence[tuple[OrgCode, int, UUID, int, int, bytes]],
        grants: Sequence[tuple[OrgCode, UUID, int]],
        position: int,
    ) -> None:
        """Put down numbers, grants and the relay's bookmark, all or none."""
        with self._database.connection() as conn, conn.transaction():
            with conn.cursor() as cursor:
                if entries:
                    with cursor.copy(
                        "COPY lane_out (peer, number, stream, version, position, root) FROM STDIN"
                    ) as copy:
                        for row in entries:
                            copy.write_row(row)
                if grants:
                    cursor.executemany("INSERT INTO lane_grant VALUES (%s, %s, %s)", grants)
            conn.execute("UPDATE relay SET position = %s", (position,))

    def outgoing(self, peer: OrgCode, after: int, limit: int) -> list[Outgoing]:
        """Entries of a lane after a number."""
        rows = self._all(
            "SELECT l.number, e.originator_id, e.originator_version, e.topic, e.state,"
            " encode(l.root, 'hex') FROM lane_out l JOIN stored_events e"
            " ON e.originator_id = l.stream AND e.originator_version = l.version"
            " WHERE l.peer = %s AND l.number > %s ORDER BY l.number LIMIT %s",
            peer,
            after,
            limit,
        )
        return [Outgoing(r[0], StoredEvent(r[1], r[2], r[3], bytes(r[4])), r[5]) for r in rows]

    def root_out(self, peer: OrgCode, number: int) -> str | None:
        """The root at a number; None where there is none yet."""
        if number == 0:
            return self._start.root
        row = self._one(
            "SELECT encode(root, 'hex') FROM lane_out WHERE peer = %s AND number = %s",
            peer,
            number,
        )
        return row[0] if row else None

    def grants(self, peer: OrgCode, first: int, last: int) -> list[UUID]:
        """The keys that travel with these numbers."""
        rows = self._all(
            "SELECT key FROM lane_grant WHERE peer = %s AND number BETWEEN %s AND %s",
            peer,
            first,
            last,
        )
        return [row[0] for row in rows]

    def acknowledged(self, peer: OrgCode) -> Standing:
        """What the peer has acknowledged."""
        row = self._one("SELECT number, root, at FROM lane_receipt WHERE peer = %s", peer)
        return Standing(*row) if row else self._start

    def keep_receipt(
        self, peer: OrgCode, number: int, root: str, at: datetime, wire: bytes
    ) -> None:
        """Keep the newest receipt; an older one changes nothing."""
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO lane_receipt VALUES (%s, %s, %s, %s, %s) ON CONFLICT (peer) DO UPDATE"
                " SET number = excluded.number, root = excluded.root, at = excluded.at,"
                " wire = excluded.wire WHERE lane_receipt.number <= excluded.number",
                (peer, number, root, at, wire),
            )

    # Incoming.

    def standing_in(self, peer: OrgCode) -> Standing:
        """How far the lane from a peer is recorded here."""
        row = self._one("SELECT number, root, at, head FROM lane_in WHERE peer = %s", peer)
        return Standing(*row) if row else self._start

    def versions(self, streams: Sequence[UUID]) -> dict[UUID, int]:
        """The newest version of each stream that is here."""
        rows = self._all(
            "SELECT originator_id, max(originator_version) FROM stored_events"
            " WHERE originator_id = ANY(%s) GROUP BY originator_id",
            list(streams),
        )
        return dict(rows)

    def stopped(self, peer: OrgCode, streams: Sequence[UUID]) -> set[UUID]:
        """Those of the streams with an open quarantined entry."""
        rows = self._all(
            "SELECT DISTINCT stream FROM quarantine WHERE peer = %s AND resolved_at IS NULL"
            " AND stream = ANY(%s)",
            peer,
            list(streams),
        )
        return {row[0] for row in rows}

    def parked(self, peer: OrgCode) -> int:
        """How many entries of a peer are quarantined and open."""
        return int(
            self._one(
                "SELECT count(*) FROM quarantine WHERE peer = %s AND stream IS NOT NULL"
                " AND resolved_at IS NULL",
                peer,
            )[0]
        )

    def refuse(self, row: Beside) -> None:
        """Keep a refused batch as evidence, up to EVIDENCE_MAX a sender, and count it."""
        peer, _, reason = row.values[:3]
        with self._database.connection() as conn, conn.transaction():
            conn.execute(
                "INSERT INTO refused_count VALUES (%s, %s, 1) ON CONFLICT (peer, reason)"
                " DO UPDATE SET count = refused_count.count + 1",
                (peer, reason),
            )
            kept = conn.execute(
                "SELECT count(*) FROM quarantine WHERE peer = %s AND stream IS NULL", (peer,)
            ).fetchone()
            if kept is not None and kept[0] < EVIDENCE_MAX:
                conn.execute(BESIDE["quarantine"], row.values)

    def quarantined(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Evidence with its reason, oldest first."""
        names = ("id", "peer", "at", "reason", "evidence", "number", "stream", "version", "topic")
        rows = self._all(
            f"SELECT {', '.join(names)} FROM quarantine"  # noqa: S608 - names are literals.
            " WHERE id > %s AND resolved_at IS NULL ORDER BY id LIMIT %s",
            after,
            limit,
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def evidence(self, id_: int) -> tuple[OrgCode, bytes, int | None] | None:
        """Peer, wire bytes and lane number of one piece."""
        row = self._one("SELECT peer, wire, number FROM quarantine WHERE id = %s", id_)
        return (row[0], bytes(row[1]), row[2]) if row else None

    def refused_counts(self) -> dict[tuple[OrgCode, str], int]:
        """How many batches were refused, by sender and reason."""
        return {(p, r): n for p, r, n in self._all("SELECT peer, reason, count FROM refused_count")}

    def _one(self, query: str, *values: object) -> Any:
        with self._database.connection() as conn:
            return conn.execute(query, values, prepare=True).fetchone()

    def _all(self, query: str, *values: object) -> list[Any]:
        with self._database.connection() as conn:
            rows: list[Any] = conn.execute(query, values, prepare=True).fetchall()
            return rows
