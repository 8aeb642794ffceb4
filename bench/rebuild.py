"""重建: read models computed anew from the ledger, beside the bare upserts of the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from api.node import Node
from bench.figures import Figure, interleaved
from bench.town import ORIGIN, Town
from projections import tables
from projections.history import History
from projections.roster import Roster
from projections.store import Projector
from projections.tables import NEXT

Written = tuple[str, list[Any]]
"""A statement with its arrays."""


class _Tap:
    """A connection that notes what it writes; what is read goes through its cursors."""

    def __init__(self, conn: Any, noted: list[Written]) -> None:
        self._conn, self._noted = conn, noted

    def execute(self, query: str, values: Any = None, **options: Any) -> Any:
        """As the connection's."""
        if query.startswith("INSERT"):
            self._noted.append((query, values))
        return self._conn.execute(query, values, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)


class Workshop(Projector):
    """Rebuilds read models beside the live ones, and can do their writes alone."""

    noted: list[Written] | None = None

    def begin(self, name: str) -> None:
        """Empty tables beside the live ones."""
        with self._database.connection() as conn, conn.transaction():
            tables.drop(conn, self.projections[name], NEXT)
            tables.create(conn, self.projections[name], NEXT)

    def end(self, name: str) -> None:
        """Leave nothing behind."""
        with self._database.connection() as conn, conn.transaction():
            tables.drop(conn, self.projections[name], NEXT)

    def replay(self, name: str) -> float:
        """Every fact of the ledger, by the product's own way; facts a second."""
        self.begin(name)
        began, facts = time.perf_counter(), 0
        while passed := self._pass(name):
            facts += passed
        return facts / (time.perf_counter() - began)

    def writes(self, name: str) -> list[list[Written]]:
        """What a rebuild writes, by transaction."""
        self.begin(name)
        batches: list[list[Written]] = []
        self.noted = []
        while self._pass(name):
            batches.append(self.noted)
            self.noted = []
        self.noted = None
        assert any(batches), "A rebuild that writes nothing is no floor."
        return batches

    def upsert(self, name: str, batches: list[list[Written]], facts: int) -> float:
        """The same statements with the same arrays in as many transactions, and nothing else."""
        self.begin(name)
        began = time.perf_counter()
        for batch in batches:
            with self._database.connection() as conn, conn.transaction():
                for query, values in batch:
                    conn.execute(query, values, prepare=True)
        return facts / (time.perf_counter() - began)

    def _pass(self, name: str) -> int:
        with self._database.connection() as conn, conn.transaction():
            return self._advance(conn, self.projections[name], NEXT)

    def _advance(self, conn: Any, *said: Any) -> int:
        return super()._advance(conn if self.noted is None else _Tap(conn, self.noted), *said)


def measure(town: Town, repeats: int) -> Iterator[Figure]:
    """Two figures, in facts of the whole ledger a second: ours, and the time its writes need."""
    node = town.open(ORIGIN)
    try:
        for kind in (Roster, History):
            yield _figure(node, kind, town, repeats)
    finally:
        node.close()
        node.database.close()


def _figure(node: Node, kind: type[Roster | History], town: Town, repeats: int) -> Figure:
    shop = Workshop(node.database, node.ledger, [kind(node.keyring)])
    batches = shop.writes(kind.name)
    runs: dict[str, Callable[[], float]] = {
        "ours": lambda: shop.replay(kind.name),
        "floor": lambda: shop.upsert(kind.name, batches, node.recorder.head()),
    }
    rates = interleaved(runs, repeats)
    shop.end(kind.name)
    return Figure(f"rebuild.{kind.name}", rates["ours"], "facts/s", rates["floor"], town.facts)
