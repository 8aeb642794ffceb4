"""一万种历史: after every fault has ended, nobody is lost and nobody is held twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from domain import suite
from tests.simulation.broken import Broken
from tests.simulation.histories import COUNT, FIRST, Ended, Failed, live, tell, trace_hash
from tests.simulation.world import World
from tests.support.memory.stage import MemoryStage
from tests.support.stage import Stage

CHUNK = 250
FEW = 15
EACH = 20
"""One history in so many is told on PostgreSQL, the others in memory."""

ASKED = os.environ.get("SIM_SEED")
"""One history alone, to be told again."""

STEPS = os.environ.get("SIM_STEPS")
"""Of its steps only these."""

KEPT = frozenset(map(int, STEPS.split(","))) if STEPS else None
SEEDS = [int(ASKED)] if ASKED else list(range(FIRST, FIRST + COUNT))
STORED = SEEDS[::EACH]
LIGHT = SEEDS if ASKED else sorted(set(SEEDS) - set(STORED))
CHUNKS = [LIGHT[i : i + CHUNK] for i in range(0, len(LIGHT), CHUNK)]
STORED_CHUNKS = [STORED[i : i + 25] for i in range(0, len(STORED), 25)]

many = pytest.mark.skipif(ASKED is not None, reason="one history is asked for")


def test_a_few_histories_end_well(volume: MemoryStage) -> None:
    for seed in range(FEW):
        tell(volume, seed)


def test_a_seed_is_the_same_history_on_either_stage(volume: MemoryStage, theatre: Stage) -> None:
    for seed in (1, 3, 5):
        stored, first = live(theatre, seed), live(volume, seed)

        assert "\n".join(stored.trace) == "\n".join(first.trace)
        assert trace_hash(first) == trace_hash(live(volume, seed))
        assert trace_hash(first) != trace_hash(live(volume, seed + 1))


def test_a_failing_history_is_made_small(
    volume: MemoryStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never_twice(world: World) -> None:
        asked = [line for line in world.trace if "OfferCare" in line]
        if len(asked) > 1:
            raise Broken("Offered once, in this test.")

    monkeypatch.setattr("tests.simulation.histories.check", never_twice)
    # Who follows a member does one thing after the other: few steps can be spared.
    apart = (seed for seed in range(200) if not World(volume, seed).plan.rates["move"])
    seed = next(seed for seed in apart if _fails(volume, seed))

    with pytest.raises(Failed, match=rf"SIM_SEED={seed} SIM_STEPS=[\d,]+ Broken") as told:
        tell(volume, seed)
    steps = str(told.value).split("SIM_STEPS=")[1].split(" ")[0]

    assert steps.count(",") <= 5
    assert _fails(volume, seed, frozenset(map(int, steps.split(","))))


def _fails(volume: MemoryStage, seed: int, kept: frozenset[int] | None = None) -> bool:
    try:
        live(volume, seed, kept)
    except Ended:
        return True
    return False


def test_verdicts_do_not_depend_on_clocks(volume: MemoryStage) -> None:
    """13: with clocks a day apart everything is decided as with clocks that agree."""
    for seed in range(8):
        _same_verdicts(volume, seed)


@pytest.mark.simulation
@many
def test_verdicts_of_many_histories_do_not_depend_on_clocks(volume: MemoryStage) -> None:
    for seed in range(FIRST, FIRST + 300):
        _same_verdicts(volume, seed)


def _same_verdicts(volume: MemoryStage, seed: int) -> None:
    apart, agreeing = (live(volume, seed, steady=steady) for steady in (True, False))

    assert "\n".join(apart.trace) == "\n".join(agreeing.trace), f"seed {seed}"


@pytest.mark.simulation
@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"from {seeds[0]}")
def test_histories_end_well(volume: MemoryStage, seeds: list[int]) -> None:
    for seed in seeds:
        tell(volume, seed, KEPT)


@pytest.mark.simulation
@pytest.mark.parametrize("seeds", STORED_CHUNKS, ids=lambda seeds: f"from {seeds[0]}")
def test_histories_end_well_on_postgresql(theatre: Stage, seeds: list[int]) -> None:
    for seed in seeds:
        tell(theatre, seed, KEPT)


@pytest.mark.simulation
@many
def test_a_seed_does_not_depend_on_how_python_hashes(volume: MemoryStage) -> None:
    tell_all = (
        "import logging; logging.disable(50)\n"
        f"from domain import suite; suite.choose({suite.chosen().name!r})\n"
        "from tests.simulation.histories import live, trace_hash\n"
        "from tests.support.memory.stage import MemoryStage\n"
        "print(*(trace_hash(live(MemoryStage(), seed)) for seed in range(100)))"
    )
    here = " ".join(trace_hash(live(volume, seed)) for seed in range(100))
    for hash_seed in ("0", "1", "4294967295"):
        told = subprocess.run(
            [sys.executable, "-c", tell_all],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert told.stdout.strip() == here


@pytest.mark.simulation
@many
def test_the_histories_are_worth_telling(volume: MemoryStage) -> None:
    """What is checked also happens: handovers, late acceptances, faults of every kind."""
    topics: Counter[str] = Counter()
    happened: Counter[str] = Counter()
    points: Counter[str] = Counter()
    nodes: Counter[int] = Counter()
    crashes = 0
    for seed in range(FIRST, FIRST + 600):
        world = live(volume, seed)
        crashes += world.crashes
        nodes[len(world.codes)] += 1
        happened += world.happened
        happened["bent"] += sum(n for (_, _, why), n in world.refused.items() if why[0] == "r")
        points += world.points.passed
        for code, account in world.watch.accounts.items():
            for entry in account.entries:
                if entry.fact is not None and entry.fact.meta.keeper == code:
                    topics[entry.record.topic] += 1

    assert not {f"outflow.{name}" for name in MUST_HAPPEN} - topics.keys()
    assert not {f"transfer.{name}" for name in TRANSFERS} - topics.keys()
    assert not OTHERS - topics.keys()
    assert min(topics["outflow.confirmed"], topics["outflow.acceptance_void"]) >= 100
    assert crashes >= 600
    assert set(nodes) == {2, 3, 4, 5, 6, 7}
    for name in EFFECTS:
        assert points[f"before {name}"]
        assert points[f"after {name}"]
        # A bookmark follows an answer, which a full disk has refused already; persons are erased
        # when the disks have been emptied.
        # So it is where most nodes are mended.
        assert points[f"full {name}"] or name in {"bookmark", "destroy", "slots", *MENDING}
    assert points["unheard record"]
    assert points["unheard replicate"]
    assert not [name for name in FAULTS if not happened[name]]


MENDING = ("renew", "raise_fence", "lower_fence", "keep_wish", "hold", "release")

EFFECTS = (
    "record",
    "replicate",
    "bookmark",
    "number",
    "keep_receipt",
    "hear",
    "project",
    "checkpoint",
    "witness",
    "keep_cosignatures",
    "destroy",
    "slots",
    *MENDING,
)

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

TRANSFERS = (
    "requested",
    "approved",
    "rejected",
    "withdrawn",
    "sent",
    "expired",
    "letter_lost",
    "reissued",
    "contested",
    "admitted",
    "admission_void",
    "completed",
    "forwarded",
)

OTHERS = {
    "member.received",
    "member.released",
    "admission.filed",
    "admission.passed_on",
    "admission.traced",
    "contact.shared",
    "attendance.shared",
    "inflow.shared",
    "inflow.found",
    "claim.recognized",
    "contact.made",
    "attendance.marked",
}

FAULTS = (
    "bent",
    "attempt",
    "forged Forged",
    "forged Misaddressed",
    "forged Malformed",
    "poison",
    "restored",
    "claim",
    "a new epoch",
    "the epoch goes on",
    "cut",
    "cut one way",
    "truncated",
    "deleted",
    "wiped",
    "rebalanced",
    "rotate",
    "revoke",
    "replace",
    "telephone",
    "misuse",
    "an old key refused",
    "file",
    "file again",
    "file before its time",
    "file altered",
    "file for-another",
    "moved",
    "erased",
    "checkpoint",
    "cosigned",
)
