"""复原次序: in which order lost entries stood in a ledger, found by the roots that were signed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple

from domain.tiles import Growth

LEAVES_MAX = 5_000
"""Leaves that are hashed in search of an order; where it is not found by then, it is not found."""

STEP_MAX = 200
"""Entries between two roots of which every order is tried; of more, the likeliest alone."""

OWN = 0
"""The source of our own entries; lanes are numbered from 1."""

Leaf = bytes
Moment = Sequence[Sequence[Leaf]]
"""What was recorded at one moment: by stream, in order."""


class Move(NamedTuple):
    """The next entry: of which source, of which stream there, its leaf."""

    source: int
    stream: int
    leaf: Leaf


class Taken(NamedTuple):
    """How much is in its place: moments of ours, of each stream of the next one, of each lane."""

    moments: int
    streams: tuple[int, ...]
    lanes: tuple[int, ...]


Way = tuple[tuple[Move, ...], Taken]


class Ordering:
    """Merges our own entries, in order of time, and lanes, each in its own order.

    The tree must have each root at its size. Roots come every few entries, so the search starts
    anew at each. What goes on as before is tried first, because entries come in batches.
    """

    def __init__(
        self,
        tree: Growth,
        own: Sequence[Moment],
        lanes: Sequence[Sequence[Leaf]],
        roots: dict[int, bytes],
    ) -> None:
        """`roots` are by size, all beyond the tree's."""
        self._own, self._lanes, self._roots = own, lanes, roots
        self._trees, self._left = [tree], LEAVES_MAX
        self._taken = [self._from(0, (0,) * len(lanes))]
        self._steps = list(pairwise((tree.size, *sorted(roots))))

    def _from(self, moment: int, lanes: tuple[int, ...]) -> Taken:
        streams = self._own[moment] if moment < len(self._own) else ()
        return Taken(moment, (0,) * len(streams), lanes)

    def find(self) -> list[Move] | None:
        """The entries in their order; None where no order was found."""
        found: list[tuple[Move, ...]] = []
        trying = [self._ways(0, None)]
        while len(found) < len(self._steps):
            order = self._next(trying[-1])
            if order is not None:
                found.append(order)
                trying.append(self._ways(len(found), order[-1]))
                continue
            trying.pop()
            if not found or self._left < 0:
                return None
            for each in (found, self._trees, self._taken):
                each.pop()
        return list(chain.from_iterable(found))

    def _next(self, ways: Iterator[Way]) -> tuple[Move, ...] | None:
        """The next way that leads to the root of its step; tree and counts are as after it."""
        _, end = self._steps[len(self._trees) - 1]
        for order, taken in ways:
            self._left -= len(order)
            if self._left < 0:
                return None
            grown = self._trees[-1].and_then(move.leaf for move in order)
            if grown.root == self._roots[end]:
                self._trees.append(grown)
                self._taken.append(taken)
                return order
        return None

    def _ways(self, step: int, last: Move | None) -> Iterator[Way]:
        if step == len(self._steps):
            return iter(())
        first, end = self._steps[step]
        ways = self._merges if end - first <= STEP_MAX else self._likeliest
        return ways(end - first, self._taken[-1], last)

    def _likeliest(self, count: int, taken: Taken, last: Move | None) -> Iterator[Way]:
        order = []
        for _ in range(count):
            moves = self._moves(taken, last)
            if not moves:
                return
            last = moves[0]
            taken = self._after(taken, last)
            order.append(last)
        yield tuple(order), taken

    def _merges(self, count: int, taken: Taken, last: Move | None) -> Iterator[Way]:
        """Each way to take so many entries, with how many are taken then."""
        if count == 0:
            yield (), taken
            return
        for move in self._moves(taken, last):
            for order, after in self._merges(count - 1, self._after(taken, move), move):
                yield (move, *order), after

    def _moves(self, taken: Taken, last: Move | None) -> list[Move]:
        """What may come next, the likeliest first."""
        moment = self._own[taken.moments] if taken.moments < len(self._own) else ()
        moves = [
            Move(OWN, n, stream[at])
            for n, (stream, at) in enumerate(zip(moment, taken.streams, strict=True))
            if at < len(stream)
        ] + [
            Move(n, 0, lane[at])
            for n, (lane, at) in enumerate(zip(self._lanes, taken.lanes, strict=True), 1)
            if at < len(lane)
        ]
        if last is not None:
            moves.sort(key=lambda m: (m.source != last.source, m.stream != last.stream))
        return moves

    def _after(self, taken: Taken, move: Move) -> Taken:
        if move.source != OWN:
            n = move.source - 1
            return taken._replace(lanes=_more(taken.lanes, n))
        streams = _more(taken.streams, move.stream)
        if all(n == len(s) for n, s in zip(streams, self._own[taken.moments], strict=True)):
            return self._from(taken.moments + 1, taken.lanes)
        return taken._replace(streams=streams)


def _more(counts: tuple[int, ...], n: int) -> tuple[int, ...]:
    return (*counts[:n], counts[n] + 1, *counts[n + 1 :])
