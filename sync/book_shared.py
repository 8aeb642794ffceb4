"""共同事实: which facts two organizations both hold, as the lanes' numbers say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain import suite
from domain.records import audience, digest, head
from domain.values import OrgCode
from sync.envelope import NUMBER_MAX
from sync.standing import Book

TAIL_MAX = 5_000
"""Ledger entries behind a bookmark that are looked through for what concerns a pair."""

REGRANT_MAX = 100
"""Keys sent again with one entry."""

# The leaf hash of `domain.records.digest`, computed where the bytes are: PostgreSQL knows SHA-256.
_LEAF = """
    sha256('\\x00'::bytea || uuid_send(e.originator_id) || int8send(e.originator_version::bigint)
        || int2send(octet_length(e.topic)::smallint) || convert_to(e.topic, 'UTF8') || e.state)
"""
_SUM = f"""
    sha256(string_agg(int8send(e.originator_version::bigint) || {_LEAF}, ''::bytea
        ORDER BY e.originator_version))
"""
_TOLD = f"""
    SELECT e.originator_id, {_SUM} FROM lane_out l JOIN stored_events e
    ON e.originator_id = l.stream AND e.originator_version = l.version
    WHERE l.peer = %s AND l.number <= %s GROUP BY e.originator_id
"""  # noqa: S608 - nothing but the constants above.
_HEARD = f"""
    SELECT e.originator_id, {_SUM} FROM stored_events e
    WHERE position(%s::bytea IN e.state) > 0
      AND convert_from(e.state, 'UTF8')::json #>> '{{meta,keeper}}' = %s
      AND e.notification_id <= %s
    GROUP BY e.originator_id
"""  # noqa: S608 - as above.
_RECORDS = "SELECT e.originator_id, e.originator_version, e.topic, e.state"
_IN_ORDER = "ORDER BY e.originator_id, e.originator_version"
_TOLD_RECORDS = f"""
    {_RECORDS} FROM lane_out l JOIN stored_events e
    ON e.originator_id = l.stream AND e.originator_version = l.version
    WHERE l.peer = %s AND l.number <= %s {_IN_ORDER}
"""
_HEARD_RECORDS = f"""
    {_RECORDS} FROM stored_events e WHERE position(%s::bytea IN e.state) > 0
      AND convert_from(e.state, 'UTF8')::json #>> '{{meta,keeper}}' = %s
      AND e.notification_id <= %s {_IN_ORDER}
"""
_REGRANT = """
    WITH passed AS (
        DELETE FROM lane_withheld WHERE peer = %(peer)s AND key = ANY(%(keys)s::uuid[])
    )
    INSERT INTO lane_grant (peer, key, number, first)
    SELECT %(peer)s, key, n, n FROM unnest(%(keys)s::uuid[]) AS key,
        (SELECT coalesce(max(number), 0) + 1 FROM lane_out WHERE peer = %(peer)s) AS next (n)
    ON CONFLICT (peer, key) DO UPDATE SET number = excluded.number
"""


def summed(records: Iterable[StoredEvent]) -> bytes:
    """The hash over some facts of one stream, as the tables' facts are summed up."""
    told = b"".join(r.originator_version.to_bytes(8) + bytes.fromhex(digest(r)) for r in records)
    return suite.digest(told)


class SharedBook(Book):
    """Reads what a pair shares; on a held connection, as of one snapshot."""

    def told(self, peer: OrgCode, number: int = NUMBER_MAX) -> set[UUID]:
        """Our streams that a peer receives; up to a lane number, those it had heard of by then."""
        query = "SELECT DISTINCT stream FROM lane_out WHERE peer = %s AND number <= %s"
        return {row[0] for row in self._all(query, peer, number)}

    def streams(
        self, peer: OrgCode, number: int = NUMBER_MAX, position: int = NUMBER_MAX
    ) -> dict[UUID, bytes]:
        """Every stream the pair shares, with the hash over its facts here.

        As of a cut: told up to a lane number, heard up to a position of our ledger.
        """
        marker = f'"keeper":"{peer}"'.encode()
        told, heard = (peer, number), (marker, peer, position)
        if suite.chosen().digest is not suite.sha256:
            return self._summed(_TOLD_RECORDS, *told) | self._summed(_HEARD_RECORDS, *heard)
        rows = self._all(_TOLD, *told) + self._all(_HEARD, *heard)
        return {stream: bytes(total) for stream, total in rows}

    def _summed(self, query: str, *values: object) -> dict[UUID, bytes]:
        """As above, by a hash that the database does not know."""
        with self._database.connection() as conn, conn.cursor(binary=True) as cursor:
            records = (StoredEvent(*row) for row in cursor.execute(query, values))
            streams = groupby(records, lambda record: record.originator_id)
            return {stream: summed(found) for stream, found in streams}

    def shared(self, org: OrgCode, peer: OrgCode, stream: UUID) -> list[StoredEvent]:
        """The facts of one stream that are the pair's to know; none for a stranger's stream."""
        records = self.records([stream])[stream]
        if records and head(records[0]).meta.keeper == peer:
            return records
        query = "SELECT version FROM lane_out WHERE peer = %s AND stream = %s"
        numbered = {row[0] for row in self._all(query, peer, stream)}
        ours = (r for r in records if head(r).meta.keeper == org)
        return [record for record in ours if record.originator_version in numbered]

    def tail(self, org: OrgCode, peer: OrgCode, after: int) -> list[tuple[int, str, bool]]:
        """What concerns the pair after a position: where, its topic, whether it is ours."""
        rows = self._all(
            "SELECT notification_id, originator_id, originator_version, topic, state"
            " FROM stored_events WHERE notification_id > %s ORDER BY notification_id LIMIT %s",
            after,
            TAIL_MAX,
        )
        found = []
        for position, *record in rows:
            stored = StoredEvent(record[0], record[1], record[2], bytes(record[3]))
            keeper = head(stored).meta.keeper
            if keeper == peer or (keeper == org and peer in audience(stored)):
                found.append((position, stored.topic, keeper == org))
        return found

    def upto(self, after: int, until: int) -> list[tuple[int, StoredEvent]]:
        """The next entries of our ledger between two positions, as the database has them now."""
        rows = self._all(
            "SELECT notification_id, originator_id, originator_version, topic, state"
            " FROM stored_events WHERE notification_id > %s AND notification_id <= %s"
            " ORDER BY notification_id LIMIT %s",
            after,
            until,
            TAIL_MAX,
        )
        return [(row[0], StoredEvent(row[1], row[2], row[3], bytes(row[4]))) for row in rows]

    def regrant(self, peer: OrgCode, keys: Sequence[UUID]) -> int:
        """Send keys again, with the next entry of the lane; how many."""
        sent = list(keys)[:REGRANT_MAX]
        with self._database.connection() as conn:
            conn.execute(_REGRANT, {"peer": peer, "keys": sent})
        return len(sent)


class Pinned:
    """A connection in the place of a database, for books read in one transaction."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def connection(self) -> Any:
        """The one."""
        return nullcontext(self._conn)
