"""三个组织，一千种历史: after every fault has ended, nobody is lost and nobody is held twice."""

from __future__ import annotations

import os

import pytest

from tests.simulation.histories import COUNT, FIRST, tell, trace_hash
from tests.support.stage import Stage

CHUNK = 25
FEW = 20

ASKED = os.environ.get("SIM_SEED")
"""One history alone, to be told again."""

SEEDS = [int(ASKED)] if ASKED else list(range(FIRST, FIRST + COUNT))
CHUNKS = [SEEDS[i : i + CHUNK] for i in range(0, len(SEEDS), CHUNK)]


def test_a_few_histories_end_well(theatre: Stage) -> None:
    for seed in range(FEW):
        tell(theatre, seed)


def test_a_seed_is_a_history(theatre: Stage) -> None:
    seed = int(ASKED or 7)

    first, second = tell(theatre, seed), tell(theatre, seed)

    assert first.trace == second.trace
    assert trace_hash(first) != trace_hash(tell(theatre, seed + 1))


@pytest.mark.simulation
@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"from {seeds[0]}")
def test_histories_end_well(theatre: Stage, seeds: list[int]) -> None:
    for seed in seeds:
        tell(theatre, seed)


@pytest.mark.simulation
@pytest.mark.skipif(ASKED is not None, reason="one history is asked for")
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
