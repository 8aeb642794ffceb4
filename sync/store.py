"""通道簿: the tables in which lanes keep their numbers, roots, receipts and evidence."""

from __future__ import annotations

from typing import Any

from sync import (
    book_bundle,
    book_given,
    book_hops,
    book_returned,
    book_withheld,
    book_witness,
    fence,
)
from sync.book_bundle import BundleBook
from sync.book_given import GivenBook
from sync.book_hops import HopBook
from sync.book_in import EVIDENCE_MAX, INSERT_QUARANTINE, InBook, Parked
from sync.book_known import KnownBook
from sync.book_out import Numbered, OutBook
from sync.book_returned import ReturnBook
from sync.book_unread import UnreadBook
from sync.book_withheld import WithheldBook
from sync.book_witness import WITNESSED, WitnessBook
from sync.fence import FenceBook
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
        position bigint NOT NULL, root bytea NOT NULL, at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (peer, number)
    );
    CREATE UNIQUE INDEX IF NOT EXISTS lane_out_fact ON lane_out (peer, stream, version);
    CREATE TABLE IF NOT EXISTS lane_grant (
        peer text NOT NULL, key uuid NOT NULL, number bigint NOT NULL, first bigint NOT NULL,
        PRIMARY KEY (peer, key)
    );
    CREATE INDEX IF NOT EXISTS lane_grant_number ON lane_grant (peer, number);
    CREATE TABLE IF NOT EXISTS lane_receipt (
        peer text PRIMARY KEY, number bigint NOT NULL, root text NOT NULL,
        at timestamptz NOT NULL, refused text, stopped bigint, wire bytea NOT NULL
    );
    CREATE TABLE IF NOT EXISTS lane_refused (
        peer text NOT NULL, number bigint NOT NULL, stream uuid NOT NULL, version bigint NOT NULL,
        code text NOT NULL, said text NOT NULL, behind bigint NOT NULL,
        told_at timestamptz NOT NULL, resolved_at timestamptz, PRIMARY KEY (peer, number)
    );
    CREATE INDEX IF NOT EXISTS lane_refused_open ON lane_refused (peer, number)
        WHERE resolved_at IS NULL;
    CREATE TABLE IF NOT EXISTS relay (
        one boolean PRIMARY KEY CHECK (one), position bigint, again bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE IF NOT EXISTS lane_in (
        peer text PRIMARY KEY, number bigint NOT NULL, root text NOT NULL, at timestamptz NOT NULL,
        head bigint NOT NULL, sent_at timestamptz NOT NULL, behind_since timestamptz
    );
    CREATE TABLE IF NOT EXISTS quarantine (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, peer text NOT NULL,
        at timestamptz NOT NULL,
        reason text NOT NULL, evidence jsonb NOT NULL, number bigint, stream uuid, version bigint,
        topic text, state bytea, wire bytea NOT NULL, subject uuid, outflow uuid,
        resolved_at timestamptz
    );
    CREATE INDEX IF NOT EXISTS quarantine_open ON quarantine (peer, number)
        WHERE resolved_at IS NULL AND stream IS NOT NULL;
    CREATE INDEX IF NOT EXISTS quarantine_stream ON quarantine (peer, stream)
        WHERE resolved_at IS NULL;
    CREATE INDEX IF NOT EXISTS quarantine_number ON quarantine (peer, number);
    CREATE TABLE IF NOT EXISTS refused_count (
        peer text, reason text, count bigint NOT NULL, PRIMARY KEY (peer, reason)
    );
"""

_MORE = (
    book_hops.TABLES
    + book_bundle.TABLES
    + book_witness.TABLES
    + book_withheld.TABLES
    + fence.TABLES
    + book_returned.TABLES
    + book_given.TABLES
)

BESIDE = {
    "lane_in": """
        WITH said (peer, number, root, at, head, sent_at) AS (
            VALUES (%s::text, %s::bigint, %s::text, %s::timestamptz, %s::bigint, %s::timestamptz)
        ), timed AS (
            INSERT INTO lane_time (peer, hop, number, at, note)
            SELECT peer, 'taken', number, at, sent_at::text FROM said ON CONFLICT DO NOTHING
        )
        INSERT INTO lane_in (peer, number, root, at, head, sent_at, behind_since)
        SELECT *, CASE WHEN number < head THEN at END FROM said ON CONFLICT (peer) DO UPDATE
        SET number = excluded.number, root = excluded.root, at = excluded.at,
            head = greatest(lane_in.head, excluded.head),
            sent_at = greatest(lane_in.sent_at, excluded.sent_at),
            behind_since = CASE WHEN excluded.number < greatest(lane_in.head, excluded.head)
                THEN coalesce(lane_in.behind_since, excluded.at) END
    """,
    "quarantine": INSERT_QUARANTINE,
    "log_witnessed": WITNESSED,
    **book_returned.BESIDE,
    "quarantine_resolved": "UPDATE quarantine SET resolved_at = %s WHERE id = %s",
}


class LaneStore(
    OutBook,
    InBook,
    HopBook,
    KnownBook,
    BundleBook,
    GivenBook,
    UnreadBook,
    WithheldBook,
    WitnessBook,
    FenceBook,
    ReturnBook,
):
    """Reads and writes the tables above; every method is one transaction."""

    def __init__(self, database: Any, no_root: str) -> None:
        del no_root  # The root before the first entry is the protocol's, not the store's.
        super().__init__(database)
        with database.connection() as conn:
            conn.execute(TABLES + _MORE)
            conn.execute("INSERT INTO relay VALUES (true, 0) ON CONFLICT DO NOTHING")
