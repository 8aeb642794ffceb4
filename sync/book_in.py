"""收件簿: how far the lanes that lead here are recorded, and what is set aside on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.ledger import Beside
from domain.records import digest
from domain.values import OrgCode
from sync.envelope import REFUSED_MAX
from sync.errors import told
from sync.standing import START, Book, Standing

EVIDENCE_MAX = 100
"""Refused messages kept for each sender and reason; beyond it they are only counted."""

INSERT_QUARANTINE = """
    INSERT INTO quarantine
        (peer, at, reason, evidence, number, stream, version, topic, state, wire, subject, outflow)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class Parked(NamedTuple):
    """One entry that is set aside."""

    id: int
    peer: OrgCode
    number: int
    record: StoredEvent


class AboutRows(NamedTuple):
    """How many streams have stopped, and those that were asked about."""

    stopped: int
    found: list[dict[str, Any]]


_ROW = (
    *("id", "peer", "at", "reason", "evidence", "number", "stream", "version", "topic"),
    *("subject", "outflow"),
)


def _row(values: Sequence[Any]) -> dict[str, Any]:
    row = dict(zip(_ROW, values, strict=True))
    return {**row, "said": told(row["reason"], row["evidence"])}


def _parked(rows: Iterable[Sequence[Any]]) -> list[Parked]:
    return [
        Parked(id_, peer, number, StoredEvent(stream, version, topic, bytes(state)))
        for id_, peer, number, stream, version, topic, state in rows
    ]


_ABOUT = """
    WITH stopped AS (
        SELECT DISTINCT ON (peer, stream) id, peer, stream, topic, reason, at, subject, outflow
        FROM quarantine WHERE resolved_at IS NULL AND stream IS NOT NULL
        AND topic LIKE ANY(%(prefixes)s) ORDER BY peer, stream, number
    )
    SELECT (SELECT count(*) FROM stopped), (
        SELECT json_agg(s) FROM stopped s WHERE outflow = ANY(%(outflows)s::uuid[])
            OR subject = ANY(%(members)s::uuid[]) OR stream = ANY(%(streams)s::uuid[])
            OR (topic LIKE 'policy.%%' AND peer = ANY(%(origins)s::text[]))
    )
"""

# Of each stopped stream the entry that stopped it, in lane order.
_STOPPED = """
    SELECT number, reason, evidence, behind, count(*) OVER () AS stopped FROM (
        SELECT DISTINCT ON (stream) number, reason, evidence,
            count(*) OVER (PARTITION BY stream) - 1 AS behind
        FROM quarantine WHERE peer = v.peer AND stream IS NOT NULL AND resolved_at IS NULL
        ORDER BY stream, number
    ) s ORDER BY number LIMIT %s
"""
_ANSWER = f"""
    SELECT i.number, i.root, i.at, i.head, p.found FROM (VALUES (%s::text)) v (peer)
    LEFT JOIN lane_in i USING (peer) CROSS JOIN LATERAL (
        SELECT json_agg(f) AS found FROM ({_STOPPED}) f
    ) p
"""  # noqa: S608 - one literal inside another.


class InBook(Book):
    """What we receive."""

    def answer_in(self, peer: OrgCode) -> tuple[Standing, list[dict[str, Any]]]:
        """As standing_in, with the entries that stopped their streams, at most REFUSED_MAX."""
        *standing, found = self._one(_ANSWER, peer, REFUSED_MAX)
        return Standing(*standing) if standing[0] is not None else START, found or []

    def standing_in(self, peer: OrgCode) -> Standing:
        """How far the lane from a peer is recorded here."""
        row = self._one("SELECT number, root, at, head FROM lane_in WHERE peer = %s", peer)
        return Standing(*row) if row else START

    def hear(self, peer: OrgCode, at: datetime, head: int, sent_at: datetime) -> None:
        """A message without news was heard; one sent earlier than another proves nothing."""
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO lane_in (peer, number, root, at, head, sent_at, behind_since)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (peer) DO UPDATE"
                " SET at = excluded.at, head = greatest(lane_in.head, excluded.head),"
                " sent_at = excluded.sent_at, behind_since = CASE WHEN lane_in.number"
                " < greatest(lane_in.head, excluded.head)"
                " THEN coalesce(lane_in.behind_since, excluded.at) END"
                " WHERE lane_in.sent_at < excluded.sent_at",
                (peer, START.number, START.root, at, head, sent_at, at if head else None),
            )

    def behind(self) -> list[tuple[OrgCode, int, datetime]]:
        """Lanes longer than what is recorded of them here: by how much, and since when."""
        return self._all(
            "SELECT peer, head - number, behind_since FROM lane_in WHERE behind_since IS NOT NULL"
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

    def stopped_streams(self, peer: OrgCode) -> int:
        """How many streams of a peer have stopped here."""
        return int(
            self._one(
                "SELECT count(DISTINCT stream) FROM quarantine WHERE peer = %s"
                " AND stream IS NOT NULL AND resolved_at IS NULL",
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
        return _parked(rows)

    def parked_all(self, peer: OrgCode, limit: int) -> list[Parked]:
        """A peer's open quarantined entries, in lane order."""
        rows = self._all(
            "SELECT id, peer, number, stream, version, topic, state FROM quarantine"
            " WHERE peer = %s AND stream IS NOT NULL AND resolved_at IS NULL"
            " ORDER BY number LIMIT %s",
            peer,
            limit,
        )
        return _parked(rows)

    def about(self, model_topics: Sequence[str], ids: Mapping[str, Sequence[Any]]) -> AboutRows:
        """How many streams stopped whose topics these are, and those that concern the ids.

        `ids` are absences, members, streams, and origins, whose policy may have stopped.
        """
        prefixes = [f"{topic}%" for topic in model_topics]
        with self._database.connection() as conn:
            asked = {"prefixes": prefixes, **ids}
            count, found = conn.execute(_ABOUT, asked, prepare=True).fetchone()
        return AboutRows(count, found or [])

    def aside(self, peer: OrgCode, first: int, last: int) -> dict[int, str]:
        """The digests of a lane's quarantined entries, by number, whatever became of them since."""
        rows = self._all(
            "SELECT number, evidence ->> 'erased', stream, version, topic, state FROM quarantine"
            " WHERE peer = %s AND number BETWEEN %s AND %s AND stream IS NOT NULL",
            peer,
            first,
            last,
        )
        return {
            number: gone or digest(StoredEvent(stream, version, topic, bytes(state)))
            for number, gone, stream, version, topic, state in rows
        }

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

    def quarantined(
        self, after: int, limit: int, peer: OrgCode | None = None
    ) -> list[dict[str, Any]]:
        """Evidence with its reason, oldest first."""
        rows = self._all(
            f"SELECT {', '.join(_ROW)} FROM quarantine"  # noqa: S608 - names are literals.
            " WHERE id > %s AND resolved_at IS NULL AND (%s::text IS NULL OR peer = %s)"
            " ORDER BY id LIMIT %s",
            after,
            peer,
            peer,
            limit,
        )
        return [_row(row) for row in rows]

    def parked_place(self, stream: UUID, version: int) -> dict[str, Any] | None:
        """The open entry that claims a place in the ledger."""
        row = self._one(
            f"SELECT {', '.join(_ROW)} FROM quarantine"  # noqa: S608 - names are literals.
            " WHERE stream = %s AND version = %s AND resolved_at IS NULL ORDER BY id LIMIT 1",
            stream,
            version,
        )
        return _row(row) if row else None

    def quarantined_one(self, id_: int) -> dict[str, Any] | None:
        """One piece, open or resolved, with how many entries wait behind it on its stream."""
        row = self._one(
            f"SELECT {', '.join(_ROW)}, resolved_at,"  # noqa: S608 - names are literals.
            " (SELECT count(*) FROM quarantine b WHERE b.peer = q.peer AND b.stream = q.stream"
            " AND b.number > q.number AND b.resolved_at IS NULL) FROM quarantine q WHERE id = %s",
            id_,
        )
        if row is None:
            return None
        return {**_row(row[: len(_ROW)]), "resolved_at": row[-2], "behind": row[-1]}

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
