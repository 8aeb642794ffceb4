"""收件簿: how far the lanes that lead here are recorded, and what is set aside on the way."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.ledger import Beside
from domain.values import OrgCode
from sync.standing import START, Book, Standing

EVIDENCE_MAX = 100
"""Refused messages kept for each sender and reason; beyond it they are only counted."""

INSERT_QUARANTINE = """
    INSERT INTO quarantine
        (peer, at, reason, evidence, number, stream, version, topic, state, wire)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class Parked(NamedTuple):
    """One entry that is set aside."""

    id: int
    peer: OrgCode
    number: int
    record: StoredEvent


class InBook(Book):
    """What we receive."""

    def standing_in(self, peer: OrgCode) -> Standing:
        """How far the lane from a peer is recorded here."""
        row = self._one("SELECT number, root, at, head FROM lane_in WHERE peer = %s", peer)
        return Standing(*row) if row else START

    def hear(self, peer: OrgCode, at: datetime, head: int, sent_at: datetime) -> None:
        """A message without news was heard; one sent earlier than another proves nothing."""
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO lane_in (peer, number, root, at, head, sent_at)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (peer) DO UPDATE"
                " SET at = excluded.at, head = greatest(lane_in.head, excluded.head),"
                " sent_at = excluded.sent_at WHERE lane_in.sent_at < excluded.sent_at",
                (peer, START.number, START.root, at, head, sent_at),
            )

    def stopped(self, peer: OrgCode, streams: Iterable[UUID]) -> set[UUID]:
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

    def parked_from(self, first: int, limit: int) -> list[Parked]:
        """An open quarantined entry and those of its stream that follow, in lane order."""
        rows = self._all(
            "SELECT q.id, q.peer, q.number, q.stream, q.version, q.topic, q.state"
            " FROM quarantine q JOIN quarantine f ON f.peer = q.peer AND f.stream = q.stream"
            " WHERE f.id = %s AND f.resolved_at IS NULL AND q.resolved_at IS NULL"
            " AND q.number >= f.number ORDER BY q.number LIMIT %s",
            first,
            limit,
        )
        return [
            Parked(id_, peer, number, StoredEvent(stream, version, topic, bytes(state)))
            for id_, peer, number, stream, version, topic, state in rows
        ]

    def refuse(self, row: Beside) -> None:
        """Count a refused message; keep it as evidence up to EVIDENCE_MAX a sender and reason."""
        peer, _, reason = row.values[:3]
        with self._database.connection() as conn, conn.transaction():
            conn.execute(
                "INSERT INTO refused_count VALUES (%s, %s, 1) ON CONFLICT (peer, reason)"
                " DO UPDATE SET count = refused_count.count + 1",
                (peer, reason),
            )
            kept = conn.execute(
                "SELECT count(*) FROM quarantine"
                " WHERE peer = %s AND reason = %s AND stream IS NULL",
                (peer, reason),
            ).fetchone()
            if kept is not None and kept[0] < EVIDENCE_MAX:
                conn.execute(INSERT_QUARANTINE, row.values)

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
        """Peer, wire bytes and lane number of one piece.

        The wire of a batch is kept once, with the first entry that it parked.
        """
        row = self._one(
            "SELECT q.peer, coalesce((SELECT f.wire FROM quarantine f WHERE f.peer = q.peer"
            " AND f.number <= q.number AND f.wire <> '' ORDER BY f.number DESC LIMIT 1), q.wire),"
            " q.number FROM quarantine q WHERE q.id = %s",
            id_,
        )
        return (row[0], bytes(row[1]), row[2]) if row else None

    def refused_counts(self) -> dict[tuple[OrgCode, str], int]:
        """How many messages were refused, by sender and reason."""
        return {(p, r): n for p, r, n in self._all("SELECT peer, reason, count FROM refused_count")}
