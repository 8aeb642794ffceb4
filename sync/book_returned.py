"""归还簿: what is asked of the tables to give a peer its facts back, and to take our own back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.values import OrgCode
from sync.log import Signed
from sync.standing import Book

TABLES = """
    CREATE TABLE IF NOT EXISTS lane_held (peer text PRIMARY KEY, taken boolean NOT NULL);
    CREATE TABLE IF NOT EXISTS log_renewal (
        epoch int PRIMARY KEY, size bigint NOT NULL, shared bigint NOT NULL, wire text NOT NULL,
        at timestamptz NOT NULL
    );
    CREATE TABLE IF NOT EXISTS log_renewed (
        org text NOT NULL, epoch int NOT NULL, wire text NOT NULL, known bigint NOT NULL,
        lacking bigint NOT NULL, at timestamptz NOT NULL, PRIMARY KEY (org, epoch)
    );
    CREATE TABLE IF NOT EXISTS log_asked (
        org text PRIMARY KEY, after bigint NOT NULL, number bigint NOT NULL,
        at timestamptz NOT NULL
    );
"""

NO_POSITION = 2**53 - 1
"""After every entry of the ledger."""

BESIDE = {
    "lane_back": """
        INSERT INTO lane_out (peer, number, stream, version, position, root)
        SELECT %s, t.number, t.stream, t.version, e.notification_id, t.root
        FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::bytea[])
            AS t (number, stream, version, root)
        JOIN stored_events e ON e.originator_id = t.stream AND e.originator_version = t.version
    """,
    "grant_back": """
        INSERT INTO lane_grant SELECT %s, t.key, t.number, t.number
        FROM unnest(%s::uuid[], %s::bigint[]) AS t (key, number) ON CONFLICT DO NOTHING
    """,
    "relay_again": """
        UPDATE relay SET again = (SELECT coalesce(max(notification_id), 0) FROM stored_events)
    """,
}

_KEPT = """
    FROM stored_events WHERE convert_from(state, 'UTF8')::json #>> '{meta,keeper}' = %(org)s
    AND (originator_id, originator_version) NOT IN (
        SELECT stream, version FROM quarantine
        WHERE peer = %(org)s AND number IS NOT NULL AND stream IS NOT NULL
    )
"""
"""Facts of an organization that came in their order; what was set aside may stand anywhere."""


class Renewed(NamedTuple):
    """A new epoch that a peer has stated, as it was taken here."""

    org: OrgCode
    epoch: int
    wire: str
    known: int
    """How long its ledger was that we had witnessed."""
    lacking: int
    """How many facts of its lane it had to be given back from here."""
    at: datetime


class AskedBack(NamedTuple):
    """A peer that no longer had what it once sent us: after which number, of how many, when."""

    org: OrgCode
    after: int
    number: int
    at: datetime


class Begun(NamedTuple):
    """A new epoch of our own: its first size, up to which it is the former one, the statement."""

    epoch: int
    size: int
    shared: int
    wire: str
    at: datetime


class ReturnBook(Book):
    """Both sides of giving back."""

    # For a peer that restored a backup.

    def before_last_of(self, org: OrgCode, count: int) -> int:
        """The position after which exactly so many facts of an organization follow."""
        with self._database.connection() as conn:
            row = conn.execute(
                f"SELECT min(notification_id) - 1 FROM (SELECT notification_id {_KEPT}"  # noqa: S608
                " ORDER BY notification_id DESC LIMIT %(count)s) t",
                {"org": org, "count": count},
            ).fetchone()
        return NO_POSITION if row is None or row[0] is None else int(row[0])

    def kept_of(self, org: OrgCode, after: int, limit: int) -> list[tuple[int, StoredEvent]]:
        """Facts of an organization after a position, with where they stand."""
        with self._database.connection() as conn:
            rows = conn.execute(
                "SELECT notification_id, originator_id, originator_version, topic, state"
                f" {_KEPT} AND notification_id > %(after)s"
                " ORDER BY notification_id LIMIT %(limit)s",
                {"org": org, "after": after, "limit": limit},
            ).fetchall()
        return [(at, StoredEvent(s, v, t, bytes(state))) for at, s, v, t, state in rows]

    def aside_from(self, peer: OrgCode, after: int, last: int) -> dict[int, StoredEvent]:
        """What was set aside of a lane between two numbers, whatever became of it since."""
        rows = self._all(
            "SELECT number, stream, version, topic, state FROM quarantine"
            " WHERE peer = %s AND number > %s AND number <= %s AND stream IS NOT NULL",
            peer,
            after,
            last,
        )
        return {number: StoredEvent(s, v, t, bytes(state)) for number, s, v, t, state in rows}

    def count_aside(self, peer: OrgCode, after: int, last: int) -> int:
        """How many those are."""
        return int(
            self._one(
                "SELECT count(*) FROM quarantine"
                " WHERE peer = %s AND number > %s AND number <= %s AND stream IS NOT NULL",
                peer,
                after,
                last,
            )[0]
        )

    def marks(self, org: OrgCode, epoch: int, size: int, limit: int) -> list[tuple[int, bytes]]:
        """Sizes and roots of a peer's checkpoints after a size, the newest of them, in order."""
        rows = self._all(
            "SELECT size, root FROM log_witnessed WHERE org = %s AND epoch = %s AND size > %s"
            " ORDER BY size DESC LIMIT %s",
            org,
            epoch,
            size,
            limit,
        )
        return [(at, bytes(root)) for at, root in reversed(rows)]

    def asked_back(self, asked: AskedBack) -> None:
        """Put down that a peer asked for its own facts; where it first began to, each time."""
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO log_asked VALUES (%s, %s, %s, %s) ON CONFLICT (org) DO UPDATE"
                " SET after = CASE WHEN excluded.after > log_asked.number THEN excluded.after"
                " ELSE least(excluded.after, log_asked.after) END,"
                " number = excluded.number, at = excluded.at",
                tuple(asked),
            )

    def asks_back(self) -> list[AskedBack]:
        """Who did, by code."""
        rows = self._all("SELECT org, after, number, at FROM log_asked ORDER BY org")
        return [AskedBack(*row) for row in rows]

    # For us, who did.

    def cut_lane(self, peer: OrgCode, number: int) -> None:
        """Take back numbers that the peer never saw: it holds others in their place."""
        with self._database.connection() as conn, conn.transaction():
            for table in ("lane_out", "lane_grant"):
                conn.execute(
                    f"DELETE FROM {table} WHERE peer = %s AND number > %s",  # noqa: S608
                    (peer, number),
                )

    def renew(self, signed: Signed, begun: Begun, held: Iterable[OrgCode]) -> None:
        """Begin a new epoch: its statement, its first checkpoint, lanes that wait; the fence ends.

        In one transaction: no batch can show a checkpoint of the former epoch any more.
        """
        with self._database.connection() as conn, conn.transaction():
            conn.execute("UPDATE tree_head SET epoch = %s", (begun.epoch,))
            conn.execute("INSERT INTO checkpoint VALUES (%s, %s, %s, %s, %s)", (*signed, begun.at))
            conn.execute("INSERT INTO log_renewal VALUES (%s, %s, %s, %s, %s)", begun)
            for peer in held:
                conn.execute(
                    "INSERT INTO lane_held VALUES (%s, true)"
                    " ON CONFLICT (peer) DO UPDATE SET taken = true",
                    (peer,),
                )
            conn.execute("DELETE FROM log_fence")

    def renewal(self) -> Begun | None:
        """Our newest epoch, if we have stated any."""
        row = self._one(
            "SELECT epoch, size, shared, wire, at FROM log_renewal ORDER BY epoch DESC LIMIT 1"
        )
        return Begun(*row) if row else None

    def relearned(self) -> tuple[int, dict[OrgCode, bool]]:
        """Up to where facts may be numbered already; whose lanes wait, and for the peer alone.

        The others wait for a person's word.
        """
        again = int(self._one("SELECT again FROM relay")[0])
        return again, dict(self._all("SELECT peer, taken FROM lane_held"))

    def hold(self, peer: OrgCode, *, taken: bool) -> None:
        """Let a lane wait until what the peer holds was taken back."""
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO lane_held VALUES (%s, %s) ON CONFLICT (peer)"
                " DO UPDATE SET taken = lane_held.taken OR excluded.taken",
                (peer, taken),
            )

    def release(self, peer: OrgCode) -> None:
        """A lane that waited goes on; what it missed meanwhile is numbered now."""
        with self._database.connection() as conn, conn.transaction():
            conn.execute("DELETE FROM lane_held WHERE peer = %s", (peer,))
            conn.execute("DELETE FROM lane_given WHERE peer = %s", (peer,))
            conn.execute(
                "UPDATE relay SET position = 0,"
                " again = (SELECT coalesce(max(notification_id), 0) FROM stored_events)"
            )

    # What peers have stated.

    def given_up_since(self, org: OrgCode, epoch: int, shared: int) -> datetime | None:
        """When the first checkpoint was witnessed that a new epoch does not go on from."""
        row = self._one(
            "SELECT at FROM log_witnessed WHERE org = %s AND epoch = %s AND size > %s"
            " ORDER BY size LIMIT 1",
            org,
            epoch,
            shared,
        )
        return row[0] if row else None

    def last_within(self, org: OrgCode, epoch: int, shared: int) -> tuple[int, bytes] | None:
        """Size and root of the newest witnessed checkpoint up to a size."""
        row = self._one(
            "SELECT size, root FROM log_witnessed WHERE org = %s AND epoch = %s AND size <= %s"
            " ORDER BY size DESC LIMIT 1",
            org,
            epoch,
            shared,
        )
        return (row[0], bytes(row[1])) if row else None

    def take_renewal(self, renewed: Renewed) -> bool:
        """Keep what a peer has stated, for good; whether it is new."""
        with self._database.connection() as conn:
            done = conn.execute(
                "INSERT INTO log_renewed VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                tuple(renewed),
            )
            return bool(done.rowcount)

    def renewals(self) -> list[Renewed]:
        """All that was taken, oldest first."""
        rows = self._all(
            "SELECT org, epoch, wire, known, lacking, at FROM log_renewed ORDER BY at, org, epoch"
        )
        return [Renewed(*row) for row in rows]

    def places(self, wanted: Iterable[tuple[UUID, int]]) -> dict[tuple[UUID, int], StoredEvent]:
        """What stands here at streams and versions."""
        streams, versions = [list(c) for c in zip(*wanted, strict=True)] or [[], []]
        rows = self._all(
            "SELECT originator_id, originator_version, topic, state FROM stored_events"
            " JOIN unnest(%s::uuid[], %s::bigint[]) AS w (stream, version)"
            " ON originator_id = w.stream AND originator_version = w.version",
            streams,
            versions,
        )
        return {(s, v): StoredEvent(s, v, t, bytes(state)) for s, v, t, state in rows}
