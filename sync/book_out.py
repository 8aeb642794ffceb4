"""发件簿: numbers, roots and grants of the lanes that lead away, with what was acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.values import OrgCode
from sync.standing import START, Book, Outgoing, Standing


class Numbered(NamedTuple):
    """One entry's place on one lane."""

    peer: OrgCode
    number: int
    stream: UUID
    version: int
    position: int
    root: bytes


# One round trip. Of two relays the second waits for the bookmark, and then finds it moved.
_NUMBER = """
    WITH moved AS (UPDATE relay SET position = %s WHERE position = %s RETURNING position),
    numbered AS (
        INSERT INTO lane_out (peer, number, stream, version, position, root)
        SELECT * FROM unnest(
            %s::text[], %s::bigint[], %s::uuid[], %s::bigint[], %s::bigint[], %s::bytea[]
        ) WHERE EXISTS (SELECT FROM moved)
    ), granted AS (
        INSERT INTO lane_grant (peer, key, number)
        SELECT * FROM unnest(%s::text[], %s::uuid[], %s::bigint[])
        WHERE EXISTS (SELECT FROM moved)
    )
    SELECT count(*) FROM moved
"""


class OutBook(Book):
    """What we send."""

    def bookmark(self) -> int:
        """The ledger position up to which everything is numbered."""
        return int(self._one("SELECT position FROM relay")[0])

    def heads_out(self, peers: Sequence[OrgCode]) -> dict[OrgCode, Standing]:
        """The newest number of each lane with its root."""
        rows = self._all(
            "SELECT p.peer, l.number, encode(l.root, 'hex') FROM unnest(%s::text[]) AS p (peer)"
            " CROSS JOIN LATERAL (SELECT number, root FROM lane_out o WHERE o.peer = p.peer"
            " ORDER BY number DESC LIMIT 1) AS l",
            list(peers),
        )
        return dict.fromkeys(peers, START) | {p: Standing(n, root) for p, n, root in rows}

    def head_out(self, peer: OrgCode) -> Standing:
        """The newest number of one lane."""
        return self.heads_out([peer])[peer]

    def heard(self, peers: Iterable[OrgCode], streams: Iterable[UUID]) -> set[tuple[OrgCode, UUID]]:
        """Which of the peers receive which of the streams already."""
        rows = self._all(
            "SELECT DISTINCT peer, stream FROM lane_out WHERE peer = ANY(%s) AND stream = ANY(%s)",
            list(peers),
            list(streams),
        )
        return set(map(tuple, rows))

    def granted(self, peers: Iterable[OrgCode], keys: Iterable[UUID]) -> set[tuple[OrgCode, UUID]]:
        """Which of the keys travel to which of the peers already."""
        rows = self._all(
            "SELECT peer, key FROM lane_grant WHERE peer = ANY(%s) AND key = ANY(%s)",
            list(peers),
            list(keys),
        )
        return set(map(tuple, rows))

    def number(
        self,
        entries: Sequence[Numbered],
        grants: Sequence[tuple[OrgCode, UUID, int]],
        before: int,
        position: int,
    ) -> bool:
        """Put down numbers, grants and the relay's bookmark, all or none.

        Returns:
            False when the bookmark is not at `before` any more: another relay was faster.
        """
        rows = [list(column) for column in zip(*entries, strict=True)] or [[]] * len(
            Numbered._fields
        )
        keys = [list(column) for column in zip(*grants, strict=True)] or [[]] * 3
        moved = self._one(_NUMBER, position, before, *rows, *keys)
        return bool(moved[0])

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
            return START.root
        row = self._one(
            "SELECT encode(root, 'hex') FROM lane_out WHERE peer = %s AND number = %s",
            peer,
            number,
        )
        return row[0] if row else None

    def grants(self, peer: OrgCode, first: int, last: int) -> list[tuple[int, UUID]]:
        """The keys that travel with these numbers."""
        return self._all(
            "SELECT number, key FROM lane_grant WHERE peer = %s AND number BETWEEN %s AND %s"
            " ORDER BY number, key",
            peer,
            first,
            last,
        )

    def acknowledged(self, peer: OrgCode) -> Standing:
        """What the peer has acknowledged."""
        row = self._one("SELECT number, root, at FROM lane_receipt WHERE peer = %s", peer)
        return Standing(*row) if row else START

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
