"""瓦片: the tree in stored pieces of 256 hashes (C2SP tlog-tiles): how it grows, how it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Self

from domain.tree import HASH_SIZE, Hashing, Place, Span

HEIGHT = 8
WIDTH = 1 << HEIGHT
"""Hashes of a full tile."""


class TileName(NamedTuple):
    """Which tile: at level 0 of leaf hashes, above of the roots of full tiles one level below."""

    level: int
    number: int

    def width(self, size: int) -> int:
        """How many hashes it has in a tree of that size; none before it begins."""
        return max(0, min(WIDTH, (size >> HEIGHT * self.level) - self.number * WIDTH))


class Tile(NamedTuple):
    """A full tile, which never changes again, and its root: a hash of the tile above."""

    name: TileName
    hashes: bytes
    root: bytes


class Growth:
    """树的右缘: all that appending takes: the roots of the complete subtrees, and unfull tiles.

    One hash for the leaf and, on average, one for a node; nothing is read.
    """

    def __init__(
        self, size: int, peaks: Sequence[bytes], edge: Sequence[Sequence[bytes]], hashing: Hashing
    ) -> None:
        self.hashing, self.size = hashing, size
        self.peaks = list(peaks)
        """The compact range: the roots of the complete subtrees, the largest first."""
        self.edge = [list(row) for row in edge]
        """By level, the hashes of its last tile while that is not full."""
        self.filled: list[Tile] = []
        """The tiles that this growth has filled."""

    @classmethod
    def empty(cls, hashing: Hashing) -> Self:
        """Of no leaf."""
        return cls(0, (), ((),), hashing)

    @classmethod
    def of(cls, size: int, edge: Sequence[Sequence[bytes]], hashing: Hashing) -> Self:
        """From its unfull tiles alone: what is stored must say the same."""
        peaks = [
            subtree(hashing, row, place)
            for row in reversed(edge)
            for place in Span(0, len(row)).places()
        ]
        return cls(size, peaks, edge, hashing)

    @property
    def root(self) -> bytes:
        """Of the whole tree."""
        return self.hashing.root(self.peaks)

    def and_then(self, leaves: Iterable[bytes]) -> Growth:
        """The growth with these leaves, by their data; this one stays as it is."""
        grown = Growth(self.size, self.peaks, self.edge, self.hashing)
        for data in leaves:
            grown.append(self.hashing.leaf(data))
        return grown

    def append(self, leaf: bytes) -> None:
        """Take one more leaf, by its hash."""
        node, index, height, peaks = leaf, self.size, 0, self.peaks
        self.edge[0].append(leaf)
        while index & 1:
            node = self.hashing.node(peaks.pop(), node)
            index, height = index >> 1, height + 1
            if height % HEIGHT == 0:
                self._fill(height // HEIGHT - 1, index, node)
        peaks.append(node)
        self.size += 1

    def _fill(self, level: int, number: int, root: bytes) -> None:
        row = self.edge[level]
        self.filled.append(Tile(TileName(level, number), b"".join(row), root))
        row.clear()
        if level + 1 == len(self.edge):
            self.edge.append([])
        self.edge[level + 1].append(root)


def subtree(hashing: Hashing, hashes: Sequence[bytes], place: Place) -> bytes:
    """The root of a complete subtree within one tile, by its hashes."""
    wide = 1 << place.height
    row = list(hashes[place.number * wide : (place.number + 1) * wide])
    assert len(row) == wide
    while len(row) > 1:
        row = [hashing.node(*pair) for pair in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def split(hashes: bytes) -> list[bytes]:
    """One hash after the other."""
    return [hashes[at : at + HASH_SIZE] for at in range(0, len(hashes), HASH_SIZE)]


Fetch = Callable[[set[TileName], int], Mapping[TileName, Sequence[bytes]]]
"""Tiles by name, of a tree of at least that size: as many hashes as there are, or more."""


def roots(spans: Sequence[Span], size: int, fetch: Fetch, hashing: Hashing) -> list[bytes]:
    """The root of each span within a tree of that size; all the tiles are fetched at once."""
    homes = {place: _home(place) for span in spans for place in span.places()}
    tiles = fetch({name for name, _ in homes.values()}, size) if homes else {}
    return [
        hashing.root([subtree(hashing, tiles[homes[p][0]], homes[p][1]) for p in span.places()])
        for span in spans
    ]


def _home(place: Place) -> tuple[TileName, Place]:
    """The tile that holds a subtree's hashes, and where in it."""
    level, height = divmod(place.height, HEIGHT)
    number, within = divmod(place.number, WIDTH >> height)
    return TileName(level, number), Place(height, within)
