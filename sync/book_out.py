"""发件簿: numbers, roots and grants of the lanes that lead away, with what was acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.values import OrgCode
from sync.book_withheld import Withheld
from sync.envelope import LaneReceipt
from sync.standing import START, Book, Outgoing, Standing


class Numbered(NamedTuple):
    """One entry's place on one lane."""

    peer: OrgCode
    number: int
    stream: UUID
    version: int
    position: int
    root: bytes


class Told(NamedTuple):
    """Why a peer refused a whole batch, how many streams it says have stopped, how many we know."""

    refused: str | None
    stopped: int | None
    known: int


# One round trip. Of two relays the second waits for the bookmark, and then finds it moved.
_NUMBER = """
    WITH moved AS (UPDATE relay SET position = %s WHERE position = %s RETURNING position),
    numbered AS (
        INSERT INTO lane_out (peer, number, stream, version, position, root)
        SELECT * FROM unnest(
            %s::text[], %s::bigint[], %s::uuid[], %s::bigint[], %s::bigint[], %s::bytea[]
        ) WHERE EXISTS (SELECT FROM moved)
    ), granted AS (
        INSERT INTO lane_grant (peer, key, number, first)
        SELECT peer, key, number, number FROM unnest(%s::text[], %s::uuid[], %s::bigint[])
            AS t (peer, key, number)
        WHERE EXISTS (SELECT FROM moved) RETURNING lane_grant.peer, lane_grant.key
    ), passed AS (
        DELETE FROM lane_withheld w USING granted g WHERE w.peer = g.peer AND w.key = g.key
    ), withheld AS (
        INSERT INTO lane_withheld (peer, key, data_class, number)
        SELECT * FROM unnest(%s::text[], %s::uuid[], %s::text[], %s::bigint[])
        WHERE EXISTS (SELECT FROM moved) ON CONFLICT DO NOTHING
    ), timed AS (
        INSERT INTO lane_time (peer, hop, number, at)
        SELECT peer, 'numbered', max(number), %s FROM unnest(%s::text[], %s::bigint[])
            AS t (peer, number)
        WHERE EXISTS (SELECT FROM moved) GROUP BY peer ON CONFLICT DO NOTHING
    )
    SELECT count(*) FROM moved
"""

# The first row is that of the number itself: it has the root before what follows.
_PAGE = """
    SELECT l.number, e.originator_id, e.originator_version, e.topic, e.state,
        encode(l.root, 'hex'),
        ARRAY(SELECT key FROM lane_grant g WHERE g.peer = l.peer AND g.number = l.number ORDER BY 1)
    FROM lane_out l JOIN stored_events e
        ON e.originator_id = l.stream AND e.originator_version = l.version
    WHERE l.peer = %s AND l.number >= %s ORDER BY l.number LIMIT %s
"""

# A receipt, what it says of refused entries, and when it came. Only entries of the lane are
# believed to be refused, and each is taken from the lane's own row.
_RECEIPT = """
    WITH before AS (SELECT number FROM lane_receipt WHERE peer = %(peer)s),
    kept AS (
        INSERT INTO lane_receipt (peer, number, root, at, refused, stopped, wire) VALUES
            (%(peer)s, %(number)s, %(root)s, %(at)s, %(refused)s, %(stopped)s, %(wire)s)
        ON CONFLICT (peer) DO UPDATE SET number = excluded.number, root = excluded.root,
            at = excluded.at, refused = excluded.refused, stopped = excluded.stopped,
            wire = excluded.wire
        WHERE lane_receipt.number <= excluded.number RETURNING number
    ), timed AS (
        INSERT INTO lane_time (peer, hop, number, at, note)
        SELECT %(peer)s, 'receipt', number, %(heard_at)s, %(at)s::text FROM kept
        WHERE number > coalesce((SELECT number FROM before), 0) ON CONFLICT DO NOTHING
    ), resolved AS (
        UPDATE lane_refused SET resolved_at = %(heard_at)s
        WHERE peer = %(peer)s AND resolved_at IS NULL AND number <= %(told_up_to)s
            AND number <> ALL(%(numbers)s) AND EXISTS (SELECT FROM kept)
    )
    INSERT INTO lane_refused (peer, number, stream, version, code, said, behind, told_at)
    SELECT o.peer, o.number, o.stream, o.version, t.code, t.said, t.behind, %(heard_at)s
    FROM unnest(%(numbers)s, %(codes)s::text[], %(saids)s::text[], %(behinds)s::bigint[])
        AS t (number, code, said, behind)
    JOIN lane_out o ON o.peer = %(peer)s AND o.number = t.number
    WHERE EXISTS (SELECT FROM kept)
    ON CONFLICT (peer, number) DO UPDATE SET code = excluded.code, said = excluded.said,
        behind = excluded.behind, resolved_at = NULL
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

    def heard(
        self, peers: Iterable[OrgCode], streams: Iterable[UUID]
    ) -> dict[tuple[OrgCode, UUID], int]:
        """Which of the peers receive which of the streams already, up to which version."""
        rows = self._all(
            "SELECT peer, stream, max(version) FROM lane_out"
            " WHERE peer = ANY(%s) AND stream = ANY(%s) GROUP BY peer, stream",
            list(peers),
            list(streams),
        )
        return {(peer, stream): version for peer, stream, version in rows}

    def granted(self, peers: Iterable[OrgCode], keys: Iterable[UUID]) -> set[tuple[OrgCode, UUID]]:
        """Which of the keys travel to which of the peers already."""
        rows = self._all(
            "SELECT peer, key FROM lane_grant WHERE peer = ANY(%s) AND key = ANY(%s)",
            list(peers),
            list(keys),
        )
        return set(map(tuple, rows))

    def number(  # noqa: PLR0913, PLR0917 - all that one statement holds.
        self,
        entries: Sequence[Numbered],
        grants: Sequence[tuple[OrgCode, UUID, int]],
        before: int,
        position: int,
        at: datetime,
        withheld: Sequence[Withheld] = (),
    ) -> bool:
        """Put down numbers, grants, what is withheld, and the bookmark of the relay, all or none.

        Returns:
            False when the bookmark is not at `before` any more: another relay was faster.
        """
        rows = [list(column) for column in zip(*entries, strict=True)] or [[]] * len(
            Numbered._fields
        )
        keys = [list(column) for column in zip(*grants, strict=True)] or [[]] * 3
        held = [list(column) for column in zip(*withheld, strict=True)] or [[]] * 4
        moved = self._one(_NUMBER, position, before, *rows, *keys, *held, at, *rows[:2])
        return bool(moved[0])

    def page(self, peer: OrgCode, after: int, limit: int) -> tuple[str | None, list[Outgoing]]:
        """The root at a number, and the entries that follow it; None where there is no number."""
        rows = self._all(_PAGE, peer, after, limit + 1)
        found = [Outgoing(n, StoredEvent(*r), root, tuple(keys)) for n, *r, root, keys in rows]
        if after == 0:
            return START.root, found[:limit]
        return (found[0].root, found[1:]) if found else (None, [])

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

    def acknowledged(self, peer: OrgCode) -> Standing:
        """What the peer has acknowledged."""
        row = self._one("SELECT number, root, at FROM lane_receipt WHERE peer = %s", peer)
        return Standing(*row) if row else START

    def unaware(self, peers: Iterable[OrgCode], stream: UUID, version: int) -> set[OrgCode]:
        """Those of the peers which have not acknowledged one fact."""
        rows = self._all(
            "SELECT o.peer FROM lane_out o JOIN lane_receipt r ON r.peer = o.peer"
            " AND r.number >= o.number WHERE o.stream = %s AND o.version = %s",
            stream,
            version,
        )
        return set(peers) - {row[0] for row in rows}

    def waiting(self, peers: Iterable[OrgCode]) -> list[tuple[OrgCode, int, float]]:
        """Lanes whose end is not acknowledged: by how much, and the oldest's age in seconds."""
        return self._all(
            # The age by the database's clock alone, which wrote the moment.
            "SELECT o.peer, h.number - o.number + 1,"
            " greatest(0, extract(epoch FROM clock_timestamp() - o.at))::float"
            " FROM (SELECT name AS peer, coalesce(r.number, 0) + 1 AS number"
            " FROM unnest(%s::text[]) AS p (name) LEFT JOIN lane_receipt r ON r.peer = name) AS n"
            " JOIN lane_out o USING (peer, number) CROSS JOIN LATERAL (SELECT number"
            " FROM lane_out l WHERE l.peer = o.peer ORDER BY number DESC LIMIT 1) AS h",
            list(peers),
        )

    def keep_receipt(self, receipt: LaneReceipt, heard_at: datetime, wire: bytes) -> None:
        """Keep the newest receipt with what it refuses; an older one changes nothing."""
        parked = {refused.number: refused for refused in receipt.parked}.values()
        with self._database.connection() as conn:
            conn.execute(
                _RECEIPT,
                {
                    "peer": receipt.sender,
                    "number": receipt.number,
                    "root": receipt.root,
                    "at": receipt.at,
                    "refused": receipt.refused,
                    "stopped": receipt.stopped,
                    "wire": wire,
                    "heard_at": heard_at,
                    "told_up_to": receipt.told_up_to,
                    "numbers": [r.number for r in parked],
                    "codes": [r.code for r in parked],
                    "saids": [r.said for r in parked],
                    "behinds": [r.behind for r in parked],
                },
                prepare=True,
            )

    def told(self, peer: OrgCode) -> Told:
        """What a peer's newest receipt says besides its number."""
        row = self._one(
            "SELECT r.refused, r.stopped, (SELECT count(*) FROM lane_refused f"
            " WHERE f.peer = r.peer AND f.resolved_at IS NULL)"
            " FROM lane_receipt r WHERE r.peer = %s",
            peer,
        )
        return Told(*row) if row else Told(None, None, 0)

    def number_of(self, peer: OrgCode, stream: UUID, version: int) -> int | None:
        """The number of a fact on the lane to a peer; None where it is not on it."""
        row = self._one(
            "SELECT number FROM lane_out WHERE peer = %s AND stream = %s AND version = %s",
            peer,
            stream,
            version,
        )
        return int(row[0]) if row else None

    def refusal(self, peer: OrgCode, number: int) -> tuple[datetime, str] | None:
        """When a peer told that it set an entry, or one before it on its stream, aside, and why."""
        return self._one(  # type: ignore[no-any-return]
            "SELECT f.told_at, f.said FROM lane_out o JOIN lane_refused f"
            " ON f.peer = o.peer AND f.stream = o.stream AND f.number <= o.number"
            " WHERE o.peer = %s AND o.number = %s AND f.resolved_at IS NULL"
            " ORDER BY f.number LIMIT 1",
            peer,
            number,
        )

    def refused(
        self, peer: OrgCode, after: int, limit: int, *, also_resolved: bool
    ) -> list[dict[str, Any]]:
        """Our entries that a peer says it refused, in lane order."""
        names = ("number", "stream", "version", "topic", "code", "said", "behind")
        rows = self._all(
            "SELECT f.number, f.stream, f.version, e.topic, f.code, f.said, f.behind,"
            " f.told_at, f.resolved_at FROM lane_refused f JOIN stored_events e"
            " ON e.originator_id = f.stream AND e.originator_version = f.version"
            " WHERE f.peer = %s AND f.number > %s AND (%s OR f.resolved_at IS NULL)"
            " ORDER BY f.number LIMIT %s",
            peer,
            after,
            also_resolved,
            limit,
        )
        return [dict(zip((*names, "told_at", "resolved_at"), row, strict=True)) for row in rows]
