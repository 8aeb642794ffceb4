"""内存台账树: the tree that the recorder in memory grows, by the product's own code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError, StoredEvent

from api.storage.tree import TreeStore
from domain.records import leaf
from domain.tiles import WIDTH, TileName, split
from sync.log import Signed, TreeHead
from tests.support.memory.database import MemoryDatabase


def grow(database: MemoryDatabase, records: Iterable[StoredEvent]) -> None:
    """Take leaves in, in the commit of their records."""
    database.tree = database.tree.and_then(map(leaf, records))
    database.tiles |= {tile.name: tile for tile in database.tree.filled}


class MemoryTree(TreeStore):
    """api/storage/tree.py's store over containers."""

    _database: Any

    def head(self) -> TreeHead:
        tree = self._database.tree
        return TreeHead(self._database.epoch, tree.hashing.name, tree.size, b"".join(tree.peaks))

    def tiles(self, wanted: set[TileName], size: int) -> Mapping[TileName, Sequence[bytes]]:
        del size
        return {name: self._tile(name) for name in wanted}

    def _tile(self, name: TileName) -> list[bytes]:
        full = self._database.tiles.get(name)
        if full is not None:
            return split(full.hashes)
        row = self._database.tree.edge[name.level]
        assert self._database.tree.size >> 8 * name.level == name.number * WIDTH + len(row)
        return list(row)

    def leaves(self, first: int, end: int) -> list[bytes]:
        return [leaf(entry.record) for entry in self._database.entries[first:end]]

    def index(self, stream: UUID, version: int) -> int | None:
        place = self._database.recorder._stored_events_index.get(str(stream), {})  # noqa: SLF001
        return place.get(version)

    def newest(self) -> Signed | None:
        kept = self._database.checkpoints
        return kept[-1] if kept else None

    def signed_up_to(self, epoch: int, size: int) -> Iterator[bytes]:
        kept = self._database.checkpoints
        return (each.note for each in kept if each[:2] <= (epoch, size))

    def signed_at(self, epoch: int, size: int) -> Signed | None:
        kept = self._database.checkpoints
        return next((each for each in kept if each[:2] == (epoch, size)), None)

    def unwitnessed_since(self, epoch: int, size: int) -> datetime | None:
        kept = zip(self._database.checkpoints, self._database.checkpoints_at, strict=True)
        return next((at for each, at in kept if each[:2] > (epoch, size)), None)

    def keep(self, signed: Signed, at: datetime) -> None:
        kept = self._database.checkpoints
        if kept and kept[-1][:2] >= signed[:2]:
            raise IntegrityError("a checkpoint follows those before it")
        kept.append(signed)
        self._database.checkpoints_at.append(at)
