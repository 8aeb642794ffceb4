"""Kill -9 of nodes and of their PostgreSQL, in loops under load; lanes over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.torture.checks import check
from tests.torture.killing import KILLS, Killer
from tests.torture.load import under_load
from tests.torture.pair import Pair, pair, seeded

pytestmark = pytest.mark.torture

Telling = Callable[..., None]


@pytest.fixture(scope="module")
def two() -> Iterator[Pair]:
    with pair() as made:
        yield made


def test_nodes_are_killed_and_nothing_answered_is_lost(two: Pair, tell: Telling) -> None:
    chance = seeded(1)

    with under_load(two, 1) as load:
        killer = Killer(chance, load)
        while killer.kills < KILLS:
            node = chance.choice(two.both)
            killer.strike(node, node.kill)

    check(two, load)
    tell("nodes", 1, load, **killer.figures())


def test_databases_are_killed_and_the_nodes_bring_them_back(two: Pair, tell: Telling) -> None:
    chance = seeded(2)
    starts = [node.starts for node in two.both]

    with under_load(two, 2) as load:
        killer = Killer(chance, load)
        while killer.kills < KILLS:
            node = chance.choice(two.both)
            killer.strike(node, node.kill_database)

    check(two, load)
    assert [node.starts for node in two.both] == starts
    tell("databases", 2, load, **killer.figures())


def test_nodes_and_databases_are_killed_together(two: Pair, tell: Telling) -> None:
    chance = seeded(3)

    with under_load(two, 3) as load:
        killer = Killer(chance, load)
        while killer.kills < KILLS // 2:
            node, other = chance.sample(two.both, 2)
            chance.choice((other.kill, other.kill_database))()
            killer.strike(node, chance.choice((node.kill, node.kill_database)))

    check(two, load)
    tell("pairs", 3, load, **killer.figures())
