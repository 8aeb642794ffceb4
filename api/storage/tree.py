"""台账树表: where the ledger's tree stands in the database, and where it is read for proofs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import StoredEvent

from api.storage.database import Database
from domain.errors import Refusal
from domain.recording import LedgerDamaged
from domain.records import leaf
from domain.suite import SUITES
from domain.tiles import HEIGHT, WIDTH, Growth, TileName, split
from domain.tree import HASH_SIZE, ours
from sync.log import Signed, TreeHead

BEGINNING = "INSERT INTO tree_head VALUES (true, 1, %s, 0, '') ON CONFLICT DO NOTHING"

TABLES = f"""
    CREATE TABLE IF NOT EXISTS tree_head (
        one boolean PRIMARY KEY CHECK (one), epoch int NOT NULL CHECK (epoch > 0),
        hash text NOT NULL, size bigint NOT NULL, peaks bytea NOT NULL
    ) WITH (fillfactor = 20);
    CREATE TABLE IF NOT EXISTS tree_tile (
        level int NOT NULL, number bigint NOT NULL,
        hashes bytea NOT NULL CHECK (length(hashes) = {WIDTH * HASH_SIZE}),
        root bytea NOT NULL CHECK (length(root) = {HASH_SIZE}), PRIMARY KEY (level, number)
    );
    CREATE TABLE IF NOT EXISTS checkpoint (
        epoch int NOT NULL, size bigint NOT NULL, root bytea NOT NULL, note bytea NOT NULL,
        at timestamptz NOT NULL, PRIMARY KEY (epoch, size)
    );
    CREATE OR REPLACE FUNCTION checkpoint_follows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            RAISE EXCEPTION 'a checkpoint stays as it was signed' USING ERRCODE = 'check_violation';
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended(TG_TABLE_SCHEMA || '.checkpoint', 0));
        IF EXISTS (SELECT FROM checkpoint WHERE (epoch, size) >= (NEW.epoch, NEW.size)) THEN
            RAISE EXCEPTION 'a checkpoint follows the last' USING ERRCODE = 'check_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE OR REPLACE TRIGGER checkpoint_follows BEFORE INSERT OR UPDATE OR DELETE ON checkpoint
        FOR EACH ROW EXECUTE FUNCTION checkpoint_follows();
"""

HEAD = "SELECT epoch, hash, size, peaks FROM tree_head"

GROWN = """
    grown AS (
        UPDATE tree_head SET size = %b, peaks = %b WHERE size = %b
        AND NOT EXISTS (SELECT FROM taken) RETURNING size
    ), tiled AS (
        INSERT INTO tree_tile SELECT t.* FROM grown,
        unnest(%b::int[], %b::bigint[], %b::bytea[], %b::bytea[]) AS t
    )
"""
"""How the tree grows, in the statement that writes the entries, and only if nothing is taken."""

_TILES = """
    SELECT t.level, t.number, t.hashes FROM tree_tile t
    JOIN unnest(%b::int[], %b::bigint[]) AS w (level, number) USING (level, number)
"""
_ROOTS = """
    SELECT root FROM tree_tile WHERE level = %s AND number >= %s AND number < %s ORDER BY number
"""
_RECORDS = """
    SELECT originator_id, originator_version, topic, state FROM stored_events
    WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id
"""


def growing(now: Growth, grown: Growth) -> tuple[Any, ...]:
    """What GROWN asks for, in its order."""
    tiles = grown.filled
    return (
        grown.size,
        b"".join(grown.peaks),
        now.size,
        [tile.name.level for tile in tiles],
        [tile.name.number for tile in tiles],
        [tile.hashes for tile in tiles],
        [tile.root for tile in tiles],
    )


class OtherSuite(Refusal):
    """台账是用另一组算法建立的。This ledger was begun with another suite of algorithms."""

    mend = (
        "请把 node.json 的 suite 改回建立时的值。"
        "Set `suite` in node.json to the one it was begun with."
    )


def begin(conn: psycopg.Connection[Any]) -> None:
    """The tables, and a tree without leaves, if there is none.

    Raises:
        OtherSuite: its hashes are not this deployment's.
    """
    conn.execute(TABLES)
    conn.execute(BEGINNING, (ours().name,))
    begun = TreeHead(*_one(conn, HEAD)).hash
    if begun != ours().name and begun in {suite.hash for suite in SUITES.values()}:
        raise OtherSuite(begun=begun, chosen=ours().name)


def opened(conn: psycopg.Connection[Any]) -> Growth:
    """The tree's right edge, from its last tiles and the last records: they must agree.

    Raises:
        LedgerDamaged.
    """
    head = TreeHead(*_one(conn, HEAD))
    last = _one(conn, "SELECT coalesce(max(notification_id), 0) FROM stored_events")[0]
    if head.hash != ours().name or head.size != last:
        raise LedgerDamaged(leaves=head.size, entries=last, hash=head.hash)
    edge, level = [], 0
    while level == 0 or head.size >> HEIGHT * level:
        number = (head.size >> HEIGHT * level) // WIDTH
        edge.append(_unfull(conn, TileName(level, number), head.size))
        level += 1
    found = Growth.of(head.size, edge, ours())
    if b"".join(found.peaks) != head.peaks:
        raise LedgerDamaged(leaves=head.size, because="the last entries have another root")
    return found


def _one(conn: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = conn.execute(query).fetchone()
    if row is None:
        raise LedgerDamaged(because="the tree has no head")
    return row


def _unfull(conn: psycopg.Connection[Any], name: TileName, size: int) -> list[bytes]:
    """The hashes of a tile that is not kept, because it was not full at that size."""
    first = name.number * WIDTH
    end = first + name.width(size)
    if name.level:
        rows = conn.execute(_ROOTS, (name.level - 1, first, end), prepare=True).fetchall()
        hashes = [root for (root,) in rows]
    else:
        hashes = [ours().leaf(data) for data in _leaves(conn, first, end)]
    if len(hashes) != end - first:
        raise LedgerDamaged(level=name.level, tile=name.number, hashes=len(hashes))
    return hashes


def _leaves(conn: psycopg.Connection[Any], first: int, end: int) -> list[bytes]:
    with conn.cursor(binary=True) as cursor:
        rows = cursor.execute(_RECORDS, (first, end), prepare=True).fetchall()
    return [leaf(StoredEvent(*row)) for row in rows]


class TreeStore:
    """Reads the tree as it was committed, and keeps what was signed of it."""

    def __init__(self, database: Database) -> None:
        self._database, self.hashing = database, ours()

    def head(self) -> TreeHead:
        """The tree as of the last commit."""
        with self._database.connection() as conn:
            return TreeHead(*_one(conn, HEAD))

    def tiles(self, wanted: set[TileName], size: int) -> Mapping[TileName, Sequence[bytes]]:
        """Tiles of a tree of that size, or wider by now.

        Raises:
            LedgerDamaged: something is missing.
        """
        with self._database.connection() as conn, conn.cursor(binary=True) as cursor:
            names = ([name.level for name in wanted], [name.number for name in wanted])
            rows = cursor.execute(_TILES, names, prepare=True).fetchall()
            found = {TileName(level, number): split(hashes) for level, number, hashes in rows}
            return found | {name: _unfull(conn, name, size) for name in wanted - found.keys()}

    def leaves(self, first: int, end: int) -> list[bytes]:
        """The data of leaves from an index up to another."""
        with self._database.connection() as conn:
            return _leaves(conn, first, end)

    def index(self, stream: UUID, version: int) -> int | None:
        """Where a record stands."""
        with self._database.connection() as conn:
            row = conn.execute(
                "SELECT notification_id - 1 FROM stored_events"
                " WHERE originator_id = %s AND originator_version = %s",
                (stream, version),
                prepare=True,
            ).fetchone()
        return row[0] if row else None

    def newest(self) -> Signed | None:
        """The last checkpoint."""
        with self._database.connection() as conn:
            row = conn.execute(
                "SELECT epoch, size, root, note FROM checkpoint"
                " ORDER BY epoch DESC, size DESC LIMIT 1",
                prepare=True,
            ).fetchone()
        return Signed(*row) if row else None

    def signed_up_to(self, epoch: int, size: int) -> Iterator[bytes]:
        """The notes of all checkpoints up to a size, in the order they were signed."""
        query = "SELECT note FROM checkpoint WHERE (epoch, size) <= (%s, %s) ORDER BY epoch, size"
        with (
            self._database.connection() as conn,
            conn.transaction(),
            conn.cursor(name="signed_up_to") as cursor,
        ):
            yield from (bytes(note) for (note,) in cursor.execute(query, (epoch, size)))

    def signed_at(self, epoch: int, size: int) -> Signed | None:
        """The checkpoint of that size."""
        with self._database.connection() as conn:
            row = conn.execute(
                "SELECT epoch, size, root, note FROM checkpoint WHERE epoch = %s AND size = %s",
                (epoch, size),
                prepare=True,
            ).fetchone()
        return Signed(*row) if row else None

    def unwitnessed_since(self, epoch: int, size: int) -> datetime | None:
        """When the first checkpoint after that size was signed."""
        with self._database.connection() as conn:
            row = conn.execute(
                "SELECT at FROM checkpoint WHERE (epoch, size) > (%s, %s)"
                " ORDER BY epoch, size LIMIT 1",
                (epoch, size),
                prepare=True,
            ).fetchone()
        return row[0] if row else None

    def keep(self, signed: Signed, at: datetime) -> None:
        """Put a checkpoint down before anybody sees it; the database lets none be undone."""
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO checkpoint VALUES (%s, %s, %s, %s, %s)", (*signed, at), prepare=True
            )
