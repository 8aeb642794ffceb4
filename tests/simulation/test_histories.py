"""三个组织，一千种历史: after every fault has ended, nobody is lost and nobody is held twice."""

from __future__ import annotations

import os

import pytest

from tests.simulation.histories import COUNT, FIRST, tell, trace_hash
from tests.support.stage import Stage

CHUNK = 25
FEW = 20

STARTS = range(FIRST, FIRST + COUNT, CHUNK)


def test_a_few_histories_end_well(theatre: Stage) -> None:
    for seed in range(FEW):
        tell(theatre, seed)


def test_a_seed_is_a_history(theatre: Stage) -> None:
    seed = int(os.environ.get("SIM_SEED", "7"))

    first, second = tell(theatre, seed), tell(theatre, seed)

    assert first.trace == second.trace
    assert trace_hash(first) != trace_hash(tell(theatre, seed + 1))


@pytest.mark.simulation
@pytest.mark.skipif("SIM_SEED" in os.environ, reason="one seed is asked for")
@pytest.mark.parametrize("start", STARTS)
def test_histories_end_well(theatre: Stage, start: int) -> None:
    for seed in range(start, min(start + CHUNK, FIRST + COUNT)):
        tell(theatre, seed)


@pytest.mark.simulation
def test_the_histories_are_worth_telling(theatre: Stage) -> None:
    """What is checked also happens: handovers, late acceptances, faults of every kind."""
    topics: set[str] = set()
    points: set[str] = set()
    crashes = bent = confirmed = void = 0
    for seed in range(FIRST, FIRST + 60):
        world = tell(theatre, seed)
        crashes += world.crashes
        bent += sum(world.bent.values())
        points |= set(world.points.passed)
        for code, node in world.nodes.items():
            for entry in node.ledger.since(0):
                fact = entry.fact
                if fact is None or fact.meta.keeper != code:
                    continue
                topics.add(fact.TOPIC)
                confirmed += fact.TOPIC == "outflow.confirmed"
                void += fact.TOPIC == "outflow.acceptance_void"

    assert {f"outflow.{name}" for name in MUST_HAPPEN} <= topics
    assert {"inflow.found", "claim.recognized", "contact.made", "attendance.marked"} <= topics
    assert min(confirmed, void) >= 15
    assert crashes >= 100
    assert bent >= 3
    effects = ("record", "replicate", "bookmark", "number", "keep_receipt", "hear", "project")
    assert {f"{side} {name}" for side in ("before", "after") for name in effects} <= points


MUST_HAPPEN = (
    "registered",
    "offered",
    "confirmed",
    "turned_down",
    "lapsed",
    "recalled",
    "acceptance_void",
    "relocated",
    "returned",
    "voided",
    "shared",
)
