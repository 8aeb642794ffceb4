"""见证簿: peers' checkpoints taken here, what others tell of them, and who took ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from domain.ledger import Beside
from domain.values import OrgCode
from sync.standing import Book

WITNESSED_MAX = 1_000
"""Checkpoints kept of one peer, the newest, and of older days the first of each."""

WITNESSED_DAYS = 31
"""For so many days: as long as a new epoch may go back to a backup (RENEWAL_DAYS), and one."""

CONTRADICTIONS_MAX = 100
"""Contradictions kept of one organization; the first is enough to prove it."""

TABLES = """
    CREATE TABLE IF NOT EXISTS log_witnessed (
        org text NOT NULL, epoch int NOT NULL, size bigint NOT NULL, root bytea NOT NULL,
        note text NOT NULL, at timestamptz NOT NULL, PRIMARY KEY (org, epoch, size)
    );
    CREATE TABLE IF NOT EXISTS log_rumour (
        org text NOT NULL, via text NOT NULL, epoch int NOT NULL, size bigint NOT NULL,
        root bytea NOT NULL, note text NOT NULL, at timestamptz NOT NULL, PRIMARY KEY (org, via)
    );
    CREATE TABLE IF NOT EXISTS log_cosigned (
        epoch int NOT NULL, size bigint NOT NULL, witness text NOT NULL, line text NOT NULL,
        at timestamptz NOT NULL, PRIMARY KEY (epoch, size, line)
    );
    CREATE INDEX IF NOT EXISTS log_cosigned_by ON log_cosigned (witness, epoch, size);
    CREATE TABLE IF NOT EXISTS log_contradiction (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, org text NOT NULL, kind text NOT NULL,
        at timestamptz NOT NULL, file bytea NOT NULL
    );
"""

WITNESSED = f"""
    WITH said (org, epoch, size, root, note, at) AS (
        VALUES (%s::text, %s::int, %s::bigint, %s::bytea, %s::text, %s::timestamptz)
    ), edge AS (
        SELECT k.*, said.at AS now FROM said CROSS JOIN LATERAL (
            SELECT org, epoch, size FROM log_witnessed k WHERE k.org = said.org
            ORDER BY k.epoch DESC, k.size DESC OFFSET {WITNESSED_MAX - 1} LIMIT 1
        ) k
    ), old AS (
        DELETE FROM log_witnessed w USING edge
        WHERE w.org = edge.org AND (w.epoch, w.size) <= (edge.epoch, edge.size)
        AND (w.at < edge.now - interval '{WITNESSED_DAYS} days' OR EXISTS (
            SELECT FROM log_witnessed e WHERE e.org = w.org AND e.at::date = w.at::date
            AND (e.epoch, e.size) < (w.epoch, w.size)
        ))
    )
    INSERT INTO log_witnessed SELECT * FROM said ON CONFLICT DO NOTHING
"""  # noqa: S608 - a constant.
"""Beside the batch that brought it. The edge is found once; found for each row it takes 0.2 s."""

_COLUMNS = "epoch, size, root, note, at"


class Seen(NamedTuple):
    """A checkpoint of a peer as it is kept: proved to continue the ones before, and cosigned."""

    org: OrgCode
    epoch: int
    size: int
    root: bytes
    note: str
    at: datetime

    def beside(self) -> Beside:
        """The row, to be written with what came with it."""
        return Beside("log_witnessed", tuple(self))


class Rumour(NamedTuple):
    """A peer's checkpoint that another has told of, and nothing has proved yet."""

    seen: Seen
    via: OrgCode


class Contradiction(NamedTuple):
    """Evidence as it is kept."""

    id: int
    org: OrgCode
    kind: str
    at: datetime
    file: bytes


class WitnessBook(Book):
    """What is known of ledgers: of others here, and of ours elsewhere."""

    def witnessed(self, org: OrgCode) -> Seen | None:
        """The newest checkpoint of a peer that was taken here."""
        row = self._one(
            f"SELECT {_COLUMNS} FROM log_witnessed WHERE org = %s"  # noqa: S608 - names.
            " ORDER BY epoch DESC, size DESC LIMIT 1",
            org,
        )
        return _seen(org, row) if row else None

    def witnessed_at(self, org: OrgCode, epoch: int, size: int) -> Seen | None:
        """The one of that size."""
        row = self._one(
            f"SELECT {_COLUMNS} FROM log_witnessed"  # noqa: S608 - names.
            " WHERE org = %s AND epoch = %s AND size = %s",
            org,
            epoch,
            size,
        )
        return _seen(org, row) if row else None

    def all_witnessed(self, orgs: Iterable[OrgCode]) -> list[Seen]:
        """The newest of each of them, in one query."""
        rows = self._all(
            "SELECT o.org, l.* FROM unnest(%s::text[]) AS o (org) CROSS JOIN LATERAL ("  # noqa: S608
            f"SELECT {_COLUMNS} FROM log_witnessed w WHERE w.org = o.org"
            " ORDER BY epoch DESC, size DESC LIMIT 1) l ORDER BY o.org",
            list(orgs),
        )
        return [_seen(org, row) for org, *row in rows]

    def witness(self, seen: Seen) -> None:
        """Keep one that came with nothing to record."""
        with self._database.connection() as conn:
            conn.execute(WITNESSED, tuple(seen), prepare=True)

    def rumours(self, org: OrgCode) -> list[Rumour]:
        """What was heard of a peer's ledger, the shortest first."""
        rows = self._all(
            f"SELECT via, {_COLUMNS} FROM log_rumour"  # noqa: S608 - names.
            " WHERE org = %s ORDER BY epoch, size, via",
            org,
        )
        return [Rumour(_seen(org, row), via) for via, *row in rows]

    def hear_rumour(self, rumour: Rumour) -> None:
        """Keep what a peer tells of another; one at a time, until it is settled."""
        seen = rumour.seen
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO log_rumour (org, via, epoch, size, root, note, at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (seen.org, rumour.via, *seen[1:]),
                prepare=True,
            )

    def settle_rumour(self, rumour: Rumour) -> None:
        """It is proved, or disproved."""
        with self._database.connection() as conn:
            conn.execute(
                "DELETE FROM log_rumour WHERE org = %s AND via = %s", (rumour.seen.org, rumour.via)
            )

    def keep_contradiction(self, org: OrgCode, kind: str, at: datetime, file: bytes) -> bool:
        """Keep evidence, up to CONTRADICTIONS_MAX an organization; whether it is new."""
        with self._database.connection() as conn:
            done = conn.execute(
                "INSERT INTO log_contradiction (org, kind, at, file) SELECT %s, %s, %s, %s"
                " WHERE (SELECT count(*) FROM log_contradiction WHERE org = %s) < %s"
                " AND NOT EXISTS (SELECT FROM log_contradiction"
                " WHERE org = %s AND kind = %s AND file = %s)",
                (org, kind, at, file, org, CONTRADICTIONS_MAX, org, kind, file),
            )
            return bool(done.rowcount)

    def contradictions(self) -> list[Contradiction]:
        """All that is kept, oldest first."""
        rows = self._all("SELECT id, org, kind, at, file FROM log_contradiction ORDER BY id")
        return [Contradiction(i, org, kind, at, bytes(file)) for i, org, kind, at, file in rows]

    def accused(self) -> set[OrgCode]:
        """Of whom there is any."""
        return {org for (org,) in self._all("SELECT DISTINCT org FROM log_contradiction")}

    # Of ours.

    def keep_cosignatures(
        self, epoch: int, size: int, lines: Iterable[tuple[OrgCode, str]], at: datetime
    ) -> None:
        """Who has witnessed a checkpoint of ours."""
        with self._database.connection() as conn:
            for witness, line in lines:
                conn.execute(
                    "INSERT INTO log_cosigned VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    (epoch, size, witness, line, at),
                    prepare=True,
                )

    def cosignatures(self, epoch: int, size: int) -> list[str]:
        """The lines under a checkpoint of ours."""
        rows = self._all(
            "SELECT line FROM log_cosigned WHERE epoch = %s AND size = %s ORDER BY at, line",
            epoch,
            size,
        )
        return [line for (line,) in rows]

    def cosigned(self, witness: OrgCode | None = None) -> tuple[int, int]:
        """Epoch and size of our newest checkpoint that a peer, or any, has witnessed."""
        row = self._one(
            "SELECT epoch, size FROM log_cosigned WHERE %s::text IS NULL OR witness = %s"
            " ORDER BY epoch DESC, size DESC LIMIT 1",
            witness,
            witness,
        )
        return (row[0], row[1]) if row else (0, 0)


def _seen(org: OrgCode, row: Sequence[Any]) -> Seen:
    epoch, size, root, note, at = row
    return Seen(org, epoch, size, bytes(root), note, at)
