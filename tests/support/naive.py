"""朴素的树: the tree as RFC 6962 writes it down, and whether a database holds just that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventsourcing.persistence import StoredEvent

from domain import suite
from domain.records import leaf
from domain.tiles import split
from domain.tree import ours

WITHOUT_LEAF = """
    SELECT e.notification_id FROM stored_events e, tree_head h
    WHERE e.notification_id > h.size OR e.notification_id < 1
    UNION ALL SELECT n FROM tree_head h, generate_series(1, h.size) n
    WHERE NOT EXISTS (SELECT FROM stored_events WHERE notification_id = n)
    UNION ALL SELECT n * 256 FROM tree_head h, generate_series(0, h.size / 256 - 1) n
    WHERE NOT EXISTS (SELECT FROM tree_tile WHERE level = 0 AND number = n)
"""
"""Entries beyond the tree, leaves without an entry, full tiles that are not kept: none."""


class Naive:
    """RFC 6962, section 2.1, word for word: slow, and plain to see."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._leaves = leaves
        self._known: dict[tuple[int, int], bytes] = {}

    def mth(self, begin: int, end: int) -> bytes:
        if begin == end:
            return suite.digest(b"")
        if (begin, end) not in self._known:
            self._known[begin, end] = self._mth(begin, end)
        return self._known[begin, end]

    def _mth(self, begin: int, end: int) -> bytes:
        if end - begin == 1:
            return suite.digest(b"\x00" + self._leaves[begin])
        k = begin + split_at(end - begin)
        return suite.digest(b"\x01" + self.mth(begin, k) + self.mth(k, end))

    def path(self, m: int, begin: int, end: int) -> list[bytes]:
        if end - begin == 1:
            return []
        k = split_at(end - begin)
        if m < k:
            return [*self.path(m, begin, begin + k), self.mth(begin + k, end)]
        return [*self.path(m - k, begin + k, end), self.mth(begin, begin + k)]

    def subproof(self, m: int, begin: int, end: int, *, whole: bool = True) -> list[bytes]:
        if m == end - begin:
            return [] if whole else [self.mth(begin, end)]
        k = split_at(end - begin)
        if m <= k:
            return [*self.subproof(m, begin, begin + k, whole=whole), self.mth(begin + k, end)]
        return [
            *self.subproof(m - k, begin + k, end, whole=False),
            self.mth(begin, begin + k),
        ]


def split_at(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def data(conn: Any) -> list[bytes]:
    """What the ledger's entries are as leaves, in their order."""
    rows = conn.execute(
        "SELECT originator_id, originator_version, topic, state FROM stored_events"
        " ORDER BY notification_id"
    ).fetchall()
    return [leaf(StoredEvent(*row)) for row in rows]


def size(conn: Any) -> int:
    """Of a ledger at rest: no entry is without its leaf, and the root is the naive one."""
    assert conn.execute(WITHOUT_LEAF).fetchall() == []
    leaves, head = data(conn), conn.execute("SELECT size, peaks FROM tree_head").fetchone()
    assert head[0] == len(leaves)
    assert ours().root(split(bytes(head[1]))) == Naive(leaves).mth(0, len(leaves))
    return len(leaves)
