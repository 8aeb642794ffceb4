"""文件归还簿: who asked by file for what it once sent us, and what peers gave us back so."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from domain.values import OrgCode
from sync.standing import Book

TABLES = """
    CREATE TABLE IF NOT EXISTS bundle_ask (
        peer text PRIMARY KEY, after bigint NOT NULL, size bigint NOT NULL, have bigint NOT NULL,
        at timestamptz NOT NULL, next bigint NOT NULL, cursor bigint NOT NULL,
        answered boolean NOT NULL
    );
    CREATE TABLE IF NOT EXISTS lane_given (
        peer text NOT NULL, kind text NOT NULL, first bigint NOT NULL, wire bytea NOT NULL,
        PRIMARY KEY (peer, kind, first)
    );
"""


class AskedByFile(NamedTuple):
    """What a peer asked for: its own facts after a number, and ours after the one it has."""

    after: int
    size: int
    """Of the newest of its checkpoints that it knows to be witnessed here."""
    have: int
    at: datetime
    next: int
    """After which of its numbers the next file goes on, and where that stands here."""
    cursor: int = 0
    answered: bool = False
    """Whether a file has brought the end of it."""


class Given(NamedTuple):
    """One message that a file brought: of which kind, and its first number."""

    kind: str
    first: int
    wire: bytes


class GivenBook(Book):
    """Both sides of giving back by file."""

    # For a peer that restored a backup.

    def asked_by_file(self, peer: OrgCode) -> AskedByFile | None:
        """What it asked for, until it sends something that is no such question."""
        row = self._one(
            'SELECT after, size, have, at, "next", cursor, answered FROM bundle_ask'
            " WHERE peer = %s",
            peer,
        )
        return AskedByFile(*row) if row else None

    def keep_ask(self, peer: OrgCode, asked: AskedByFile) -> None:
        """The newest counts."""
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO bundle_ask VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (peer)"
                " DO UPDATE SET after = excluded.after, size = excluded.size,"
                " have = excluded.have, at = excluded.at,"
                ' "next" = excluded."next", cursor = excluded.cursor,'
                " answered = excluded.answered",
                (peer, *asked),
            )

    def forget_ask(self, peer: OrgCode, before: datetime) -> None:
        """It has gone on since a moment."""
        with self._database.connection() as conn:
            conn.execute("DELETE FROM bundle_ask WHERE peer = %s AND at < %s", (peer, before))

    # For us, who did.

    def keep_given(self, peer: OrgCode, given: Iterable[Given]) -> None:
        """What a file brought, until all is taken back; the newest of a place counts."""
        with self._database.connection() as conn, conn.transaction():
            for each in given:
                conn.execute(
                    "INSERT INTO lane_given VALUES (%s, %s, %s, %s) ON CONFLICT"
                    " (peer, kind, first) DO UPDATE SET wire = excluded.wire",
                    (peer, *each),
                )

    def given(self, peer: OrgCode, kind: str, first: int) -> bytes | None:
        """The message of that place."""
        row = self._one(
            "SELECT wire FROM lane_given WHERE peer = %s AND kind = %s AND first = %s",
            peer,
            kind,
            first,
        )
        return bytes(row[0]) if row else None

    def given_by(self) -> list[OrgCode]:
        """Whose files brought any."""
        return [peer for (peer,) in self._all("SELECT DISTINCT peer FROM lane_given ORDER BY peer")]
