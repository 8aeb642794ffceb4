"""通道簿: the tables in which lanes keep their numbers, roots, receipts and evidence."""

from __future__ import annotations

from typing import Any

from sync.book_in import EVIDENCE_MAX, INSERT_QUARANTINE, InBook, Parked
from sync.book_out import Numbered, OutBook
from sync.standing import Outgoing, Standing

__all__ = [
    "BESIDE",
    "EVIDENCE_MAX",
    "TABLES",
    "LaneStore",
    "Numbered",
    "Outgoing",
    "Parked",
    "Standing",
]

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
        head bigint NOT NULL, sent_at timestamptz NOT NULL
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
    CREATE INDEX IF NOT EXISTS quarantine_number ON quarantine (peer, number);
    CREATE TABLE IF NOT EXISTS refused_count (
        peer text, reason text, count bigint NOT NULL, PRIMARY KEY (peer, reason)
    );
"""

BESIDE = {
    "lane_in": """
        INSERT INTO lane_in (peer, number, root, at, head, sent_at)
        VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (peer) DO UPDATE
        SET number = excluded.number, root = excluded.root, at = excluded.at,
            head = greatest(lane_in.head, excluded.head),
            sent_at = greatest(lane_in.sent_at, excluded.sent_at)
    """,
    "quarantine": INSERT_QUARANTINE,
    "quarantine_resolved": "UPDATE quarantine SET resolved_at = %s WHERE id = %s",
}


class LaneStore(OutBook, InBook):
    """Reads and writes the tables above; every method is one transaction."""

    def __init__(self, database: Any, no_root: str) -> None:
        del no_root  # The root before the first entry is the protocol's, not the store's.
        super().__init__(database)
        with database.connection() as conn:
            conn.execute(TABLES)
            conn.execute("INSERT INTO relay VALUES (true, 0) ON CONFLICT DO NOTHING")
