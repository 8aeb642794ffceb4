"""数据包簿: which bundles went out and came in, and what the next one must bring."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from domain.values import OrgCode
from sync.standing import Book

TABLES = """
    CREATE TABLE IF NOT EXISTS bundle_out (
        peer text PRIMARY KEY, number bigint NOT NULL DEFAULT 0, at timestamptz,
        begun bigint NOT NULL DEFAULT 0, covered bigint NOT NULL DEFAULT 0,
        told bigint NOT NULL DEFAULT 0,
        wanted bigint, wanted_at timestamptz, refused text
    );
    CREATE TABLE IF NOT EXISTS bundle_in (
        peer text NOT NULL, number bigint NOT NULL, sha256 text NOT NULL, at timestamptz NOT NULL,
        PRIMARY KEY (peer, number)
    );
"""


class Exported(NamedTuple):
    """The newest bundle to one peer, and what the peer has asked for since."""

    number: int = 0
    at: datetime | None = None
    begun: int = 0
    """The lane number after which that export began."""
    covered: int = 0
    """The last lane number it brought."""
    told: int = 0
    """How far its receipt went."""
    wanted: int | None = None
    """After which number a peer has lost what it once confirmed."""
    wanted_at: datetime | None = None
    refused: str | None = None
    """Why what the peer brought was refused: the next receipt says so."""


class Imported(NamedTuple):
    """One bundle that was taken in whole."""

    number: int
    sha256: str
    at: datetime


class BundleBook(Book):
    """What travels as files."""

    def exported(self, peer: OrgCode) -> Exported:
        """Where the files to a peer stand."""
        row = self._one(
            f"SELECT {', '.join(Exported._fields)} FROM bundle_out WHERE peer = %s",  # noqa: S608 - names are literals.
            peer,
        )
        return Exported(*row) if row else Exported()

    def keep_export(self, peer: OrgCode, made: Exported) -> None:
        """Put a new bundle down; it also answers what was refused."""
        self._put(
            "INSERT INTO bundle_out (peer, number, at, begun, covered, told)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (peer) DO UPDATE"
            " SET number = excluded.number, at = excluded.at, begun = excluded.begun,"
            " covered = excluded.covered, told = excluded.told, refused = NULL",
            peer,
            *made[: Exported._fields.index("wanted")],
        )

    def keep_want(self, peer: OrgCode, after: int, at: datetime) -> None:
        """A peer has lost what follows a number: earlier bundles do not count as sent any more."""
        self._put(
            "INSERT INTO bundle_out (peer, wanted, wanted_at) VALUES (%s, %s, %s)"
            " ON CONFLICT (peer) DO UPDATE SET wanted = excluded.wanted,"
            " wanted_at = excluded.wanted_at, covered = excluded.wanted",
            peer,
            after,
            at,
        )

    def forget_want(self, peer: OrgCode) -> None:
        """The peer has again all that it had confirmed."""
        self._put("UPDATE bundle_out SET wanted = NULL WHERE peer = %s", peer)

    def keep_refusal(self, peer: OrgCode, why: str) -> None:
        """What the next receipt must say."""
        self._put(
            "INSERT INTO bundle_out (peer, refused) VALUES (%s, %s)"
            " ON CONFLICT (peer) DO UPDATE SET refused = excluded.refused",
            peer,
            why,
        )

    def imported(self, peer: OrgCode, up_to: int) -> Imported | None:
        """The newest bundle of a peer up to a number that was taken in whole."""
        row = self._one(
            "SELECT number, sha256, at FROM bundle_in WHERE peer = %s AND number <= %s"
            " ORDER BY number DESC LIMIT 1",
            peer,
            up_to,
        )
        return Imported(*row) if row else None

    def keep_import(self, peer: OrgCode, taken: Imported) -> None:
        """Put down that a bundle was taken in whole; the first of a number stays."""
        self._put(
            "INSERT INTO bundle_in VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", peer, *taken
        )

    def _put(self, query: str, *values: object) -> None:
        with self._database.connection() as conn:
            conn.execute(query, values, prepare=True)
