"""知悉簿: what a peer had received of our facts and keys by a moment, as it signed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from domain.values import OrgCode
from sync.standing import Book

# A receipt says: recorded here up to this number. Its own moment is the peer's, signed by it.
_HEARD = """
    SELECT coalesce((
        SELECT number FROM lane_time WHERE peer = %(peer)s AND hop = 'receipt'
        AND note::timestamptz <= %(at)s ORDER BY number DESC LIMIT 1
    ), 0)
"""
_TOLD = """
    SELECT o.stream, o.version, o.number, t.note::timestamptz FROM lane_out o
    LEFT JOIN LATERAL (
        SELECT note FROM lane_time WHERE peer = o.peer AND hop = 'receipt' AND number >= o.number
        ORDER BY number LIMIT 1
    ) t ON true
    WHERE o.peer = %(peer)s AND o.stream = ANY(%(streams)s) AND o.number <= %(number)s
    AND NOT EXISTS (
        SELECT FROM lane_refused f WHERE f.peer = o.peer AND f.stream = o.stream
        AND f.number <= o.number AND coalesce(f.resolved_at, 'infinity') > %(at)s
    )
"""
_LISTENERS = """
    SELECT o.peer, min(o.number), count(*) FROM lane_out o
    WHERE o.stream = ANY(%(streams)s) AND o.peer = ANY(%(peers)s) GROUP BY o.peer ORDER BY o.peer
"""
_GRANTED = """
    SELECT g.peer, k.data_class, min(g.first) FROM subject_key k JOIN lane_grant g ON g.key = k.id
    WHERE k.subject = ANY(%(subjects)s) AND g.peer = ANY(%(peers)s)
    GROUP BY g.peer, k.data_class ORDER BY g.peer, k.data_class
"""
_WHEN = """
    SELECT n.number, t.note::timestamptz FROM unnest(%(numbers)s::bigint[]) AS n (number)
    CROSS JOIN LATERAL (
        SELECT note FROM lane_time WHERE peer = %(peer)s AND hop = 'receipt' AND number >= n.number
        ORDER BY number LIMIT 1
    ) t
"""


class Received(NamedTuple):
    """A fact that a peer has acknowledged: its lane number, and by when, as the peer signed."""

    number: int
    by: datetime | None


class Listener(NamedTuple):
    """A peer to which facts go: the number of the first, and how many."""

    peer: OrgCode
    first: int
    facts: int


class KnownBook(Book):
    """Reads lane numbers, grants and receipts together."""

    def heard_up_to(self, peer: OrgCode, at: datetime) -> int:
        """The last of our numbers that a peer had acknowledged by a moment of its own clock."""
        return int(self._ask(_HEARD, peer=peer, at=at)[0][0])

    def received(
        self, peer: OrgCode, streams: Sequence[UUID], number: int, at: datetime
    ) -> dict[tuple[UUID, int], Received]:
        """Of these streams the facts up to a number that the peer had not set aside by then."""
        rows = self._ask(_TOLD, peer=peer, streams=list(streams), number=number, at=at)
        return {(stream, version): Received(*rest) for stream, version, *rest in rows}

    def listeners(self, peers: Sequence[OrgCode], streams: Sequence[UUID]) -> list[Listener]:
        """Which of the peers hear of these streams."""
        return [
            Listener(*row)
            for row in self._ask(_LISTENERS, peers=list(peers), streams=list(streams))
        ]

    def classes_granted(
        self, peers: Sequence[OrgCode], subjects: Sequence[UUID]
    ) -> list[tuple[OrgCode, str, int]]:
        """By peer and class of data, the number with which the first key of these persons went."""
        return self._ask(_GRANTED, peers=list(peers), subjects=list(subjects))

    def signed_at(self, peer: OrgCode, numbers: Sequence[int]) -> dict[int, datetime]:
        """By number, the moment at which the peer signed that it had it; as far as that is kept."""
        return dict(self._ask(_WHEN, peer=peer, numbers=list(numbers)))

    def _ask(self, query: str, **values: Any) -> list[Any]:
        with self._database.connection() as conn:
            rows: list[Any] = conn.execute(query, values, prepare=True).fetchall()
        return rows
