"""留存簿: the keys that no pact let pass, which renewal passes, the oldest first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from domain.values import DataClass, OrgCode
from sync.standing import Book

TABLES = """
    CREATE TABLE IF NOT EXISTS lane_withheld (
        peer text NOT NULL, key uuid NOT NULL, data_class text NOT NULL, number bigint NOT NULL,
        PRIMARY KEY (peer, key)
    );
    CREATE INDEX IF NOT EXISTS lane_withheld_next ON lane_withheld (peer, data_class, number, key);
"""

# A key that the peer has acknowledged is known there: that is not undone by taking the row away.
_HOLD_BACK = """
    WITH held AS (
        DELETE FROM lane_grant g USING unnest(%s::uuid[], %s::text[]) AS t (key, data_class)
        WHERE g.peer = %s AND g.key = t.key AND g.number > coalesce(
            (SELECT r.number FROM lane_receipt r WHERE r.peer = g.peer), 0)
        RETURNING g.peer, g.key, t.data_class, g.first
    )
    INSERT INTO lane_withheld SELECT * FROM held ON CONFLICT DO NOTHING
"""
_NEXT = """
    SELECT key, number FROM lane_withheld w
    WHERE peer = %s AND data_class = ANY(%s) AND (number, key) > (%s, %s)
        AND NOT EXISTS (SELECT FROM lane_grant g WHERE g.peer = w.peer AND g.key = w.key)
    ORDER BY number, key LIMIT %s
"""
_COUNT = """
    SELECT peer, data_class, count(*) FROM lane_withheld GROUP BY peer, data_class
    ORDER BY peer, data_class
"""


class Withheld(NamedTuple):
    """A key that was not passed, and the number of the entry it would have travelled with."""

    peer: OrgCode
    key: UUID
    data_class: DataClass
    number: int


class WithheldBook(Book):
    """What waits for a pact."""

    def hold_back(self, peer: OrgCode, keys: Sequence[tuple[UUID, DataClass]]) -> None:
        """Keys that were numbered, and that no pact covers now: not passed after all."""
        with self._database.connection() as conn:
            columns = [list(column) for column in zip(*keys, strict=True)]
            conn.execute(_HOLD_BACK, (*columns, peer), prepare=True)

    def withheld(
        self, peer: OrgCode, classes: Collection[DataClass], after: tuple[int, UUID], limit: int
    ) -> list[tuple[UUID, int]]:
        """Keys of these classes with their numbers, the oldest first."""
        found: list[tuple[UUID, int]] = self._all(_NEXT, peer, list(classes), *after, limit)
        return found

    def withheld_counts(self) -> list[tuple[OrgCode, str, int]]:
        """By peer and class, how many."""
        found: list[tuple[OrgCode, str, int]] = self._all(_COUNT)
        return found
