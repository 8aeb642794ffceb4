"""复原次序: lost entries are put in the one order that has the roots, or in none."""

from __future__ import annotations

from random import Random

import pytest

from domain.tiles import Growth
from domain.tree import ours
from sync import ordering
from sync.ordering import LEAVES_MAX, STEP_MAX, Ordering

OLD = [b"old %d" % n for n in range(5)]


def grown(leaves: list[bytes]) -> Growth:
    return Growth.empty(ours()).and_then(OLD).and_then(leaves)


def roots(leaves: list[bytes], every: int) -> dict[int, bytes]:
    """Of every so many leaves, and of all."""
    sizes = {*range(every, len(leaves), every), len(leaves)}
    return {len(OLD) + size: grown(leaves[:size]).root for size in sizes}


def found(
    leaves: list[bytes], every: int, own: list[list[list[bytes]]], *lanes: list[bytes]
) -> list[bytes] | None:
    order = Ordering(grown([]), own, lanes, roots(leaves, every)).find()
    return None if order is None else [move.leaf for move in order]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_order_it_was_is_found(seed: int) -> None:
    draw = Random(seed)
    lanes = [[b"%d/%d" % (lane, n) for n in range(draw.randint(1, 8))] for lane in range(2)]
    own = [[[b"own %d/%d" % (at, n)] for n in range(draw.randint(1, 2))] for at in range(4)]
    rest, moments, leaves = [list(lane) for lane in lanes], [list(m) for m in own], list[bytes]()
    while any(rest) or moments:
        source = draw.choice([n for n, lane in enumerate(rest) if lane] + [-1] * bool(moments))
        if source >= 0:
            leaves.append(rest[source].pop(0))
            continue
        leaves += moments[0].pop(draw.randrange(len(moments[0])))
        if not moments[0]:
            moments.pop(0)

    assert found(leaves, draw.randint(1, 4), own, *lanes) == leaves


def test_what_came_after_the_last_root_is_left() -> None:
    assert found([b"a", b"b"], 1, [[[b"a", b"b", b"c"]]], [b"d"]) == [b"a", b"b"]


def test_where_something_is_missing_there_is_no_order() -> None:
    assert found([b"a", b"lost", b"b"], 1, [[[b"a", b"b"]]], [b"d"]) is None


def test_a_long_step_is_tried_in_one_order_alone() -> None:
    long = [b"%d" % n for n in range(STEP_MAX + 1)]
    turns = [
        leaf for pair in zip(long, [b"own %s" % n for n in long], strict=True) for leaf in pair
    ]

    assert found(long, len(long), [], long) == long
    assert found(turns, len(turns), [], long, [b"own %s" % n for n in long]) is None


def test_the_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "LEAVES_MAX", 10)
    lanes = [[b"%d/%d" % (lane, n) for n in range(6)] for lane in range(2)]
    turns = [leaf for pair in zip(*lanes, strict=True) for leaf in pair]

    assert LEAVES_MAX > 10
    assert found(turns, len(turns), [], *lanes) is None
    assert found(turns, 1, [], *lanes) is None
