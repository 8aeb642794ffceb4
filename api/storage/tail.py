"""末端: the newest entries of the ledger as they were committed, for readers close behind."""

from __future__ import annotations

from collections.abc import Iterable

from domain.ledger import Entry

TAIL_MAX = 2_048
"""Entries kept; whoever is further behind reads from the database."""


class Tail:
    """Written by the recorder's thread alone, read by any without a lock.

    Every reader of the ledger wants each new entry within milliseconds: one object for all of them
    saves the queries, and decodes the fact once.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._newest = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Keep what has just been committed, in order of position."""
        for entry in entries:
            self._entries[entry.position] = entry
            self._newest = entry.position
            if len(self._entries) > TAIL_MAX:
                del self._entries[next(iter(self._entries))]

    def after(self, position: int, limit: int) -> list[Entry]:
        """The entries that follow a position, as many as there are; none if there is a gap.

        A gap is either a number that was never used or an entry that another wrote: only the
        database knows.
        """
        if position + 1 not in self._entries:
            return []
        newest = min(self._newest, position + limit)
        found = [self._entries.get(number) for number in range(position + 1, newest + 1)]
        whole = [entry for entry in found if entry is not None]
        return whole if len(whole) == len(found) else []
