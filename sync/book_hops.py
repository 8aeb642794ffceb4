"""行程簿: when the numbers of each lane passed which hop, and when both ends were last level."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from domain.values import OrgCode
from sync.standing import Book

HOPS_MAX = 20_000
"""Rows kept of each lane and hop: one a batch, so the times of at least as many facts."""

Hop = Literal["numbered", "sent", "taken", "receipt"]

TABLES = """
    CREATE TABLE IF NOT EXISTS lane_time (
        peer text NOT NULL, hop text NOT NULL, number bigint NOT NULL, at timestamptz NOT NULL,
        note text, PRIMARY KEY (peer, hop, number)
    );
    CREATE TABLE IF NOT EXISTS lane_step (
        peer text PRIMARY KEY, at timestamptz NOT NULL, sent bigint NOT NULL, taken bigint NOT NULL
    );
"""


class Passed(NamedTuple):
    """When everything up to a number had passed a hop; the note says how, or the peer's time."""

    number: int
    at: datetime
    note: str | None


class InStep(NamedTuple):
    """A moment at which both ends were proven level, and the numbers they stood at."""

    at: datetime
    sent: int
    taken: int


class HopBook(Book):
    """Both directions."""

    def passed(self, peer: OrgCode, number: int) -> dict[Hop, Passed]:
        """By hop, when a number passed it; what is older than HOPS_MAX rows is not known."""
        rows = self._all(
            "SELECT h.hop, t.number, t.at, t.note FROM unnest(%s::text[]) AS h (hop)"
            " CROSS JOIN LATERAL (SELECT number, at, note FROM lane_time"
            " WHERE peer = %s AND hop = h.hop AND number >= %s ORDER BY number LIMIT 1) t",
            ["numbered", "sent", "taken", "receipt"],
            peer,
            number,
        )
        return {hop: Passed(*rest) for hop, *rest in rows}

    def oldest_hops(self, peer: OrgCode) -> dict[Hop, int]:
        """By hop, the number before which times are not kept any more."""
        rows = self._all(
            "SELECT hop, min(number) FROM lane_time WHERE peer = %s GROUP BY hop", peer
        )
        return dict(rows)

    def keep_sent(self, rows: Sequence[tuple[OrgCode, int, datetime, str]]) -> None:
        """Keep when, and how, batches went out; of one sent again the last time."""
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO lane_time (peer, hop, number, at, note) SELECT p, 'sent', n, a, w"
                " FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[], %s::text[])"
                " AS t (p, n, a, w) ON CONFLICT (peer, hop, number) DO UPDATE"
                " SET at = excluded.at, note = excluded.note",
                [list(column) for column in zip(*rows, strict=True)],
                prepare=True,
            )

    def forget_hops(self) -> int:
        """Drop what is beyond HOPS_MAX; how many rows."""
        with self._database.connection() as conn:
            return int(
                conn.execute(
                    "DELETE FROM lane_time t USING ("
                    " SELECT peer, hop, (array_agg(number ORDER BY number DESC))[%s] AS last"
                    " FROM lane_time GROUP BY peer, hop HAVING count(*) > %s) old"
                    " WHERE t.peer = old.peer AND t.hop = old.hop AND t.number < old.last"
                    # Of receipts the last of each hour stays: what a peer knew when is asked for
                    # years later.
                    " AND (t.hop <> 'receipt' OR EXISTS (SELECT FROM lane_time n"
                    " WHERE n.peer = t.peer AND n.hop = t.hop AND n.number > t.number"
                    " AND date_trunc('hour', n.at) = date_trunc('hour', t.at)))",
                    (HOPS_MAX, HOPS_MAX),
                ).rowcount
            )

    def prove_step(self, peer: OrgCode, at: datetime) -> None:
        """Put down that both ends are level, if they are: nothing under way, nothing set aside."""
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO lane_step (peer, at, sent, taken)"
                " SELECT r.peer, %(at)s, r.number, i.number FROM lane_receipt r"
                " JOIN lane_in i USING (peer) WHERE r.peer = %(peer)s AND i.number >= i.head"
                " AND r.number = coalesce((SELECT number FROM lane_out o WHERE o.peer = r.peer"
                " ORDER BY number DESC LIMIT 1), 0)"
                " AND NOT EXISTS (SELECT FROM quarantine q WHERE q.peer = r.peer"
                " AND q.stream IS NOT NULL AND q.resolved_at IS NULL)"
                " AND NOT EXISTS (SELECT FROM lane_refused f WHERE f.peer = r.peer"
                " AND f.resolved_at IS NULL)"
                " ON CONFLICT (peer) DO UPDATE"
                " SET at = excluded.at, sent = excluded.sent, taken = excluded.taken",
                {"at": at, "peer": peer},
                prepare=True,
            )

    def in_step(self, peer: OrgCode) -> InStep | None:
        """When both ends were last proven level."""
        row = self._one("SELECT at, sent, taken FROM lane_step WHERE peer = %s", peer)
        return InStep(*row) if row else None
