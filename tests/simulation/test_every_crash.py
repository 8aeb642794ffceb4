"""处处宕机: a node falls over before and after every single effect of a script, once or twice."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

import pytest

from tests.simulation.histories import COUNT
from tests.simulation.scripts import SCRIPTS as DAYS
from tests.simulation.scripts import Script, Scripted
from tests.simulation.scripts_transfers import TRANSFERS
from tests.support.memory.stage import MemoryStage
from tests.support.stage import Stage

SCRIPTS = (*DAYS, *TRANSFERS)

PAIRS = COUNT // 10
"""Of falls, drawn; `make simulate N=500000` draws fifty thousand."""

STORED_EACH = 40
"""One place in so many is tried on PostgreSQL as well."""

scripts = pytest.mark.parametrize("script", SCRIPTS, ids=lambda s: s.__name__)


def played(stage: Any, script: Script, first: int = 0, second: int = 0) -> tuple[int, Scripted]:
    world = Scripted(stage, first, second)
    try:
        return world.play(script), world
    except Exception as fault:
        told = "\n".join(world.trace)
        places = f"{script.__name__} first={first} second={second}, {world.fell}"
        raise AssertionError(f"{places}: {fault!r}\n{told}") from fault


@cache
def places(script: Script) -> int:
    """How many there are at which a node could fall over."""
    passed, world = played(MemoryStage(), script)
    assert world.crashes == 0
    return passed


def test_there_are_enough_scripts() -> None:
    assert len(SCRIPTS) >= 20
    assert len(set(SCRIPTS)) == len(SCRIPTS)


def test_one_script_survives_a_fall_anywhere(volume: MemoryStage) -> None:
    _everywhere(volume, SCRIPTS[0])


@pytest.mark.simulation
@scripts
def test_every_script_survives_a_fall_anywhere(volume: MemoryStage, script: Script) -> None:
    _everywhere(volume, script)


def _everywhere(volume: MemoryStage, script: Script) -> None:
    last = places(script)
    assert last >= 6
    for first in range(1, last + 1):
        _, world = played(volume, script, first)
        assert world.crashes == 1, f"{script.__name__} {first} of {last}"


@pytest.mark.simulation
@scripts
def test_every_script_survives_two_falls(volume: MemoryStage, script: Script) -> None:
    """The second while the first is being made good, or any time later."""
    rng, last = Random(script.__name__), places(script)
    for _ in range(max(1, PAIRS // len(SCRIPTS))):
        first = rng.randint(1, last)
        second = rng.choice((rng.randint(1, 4), rng.randint(1, last)))
        played(volume, script, first, second)


@pytest.mark.simulation
@scripts
def test_scripts_survive_a_fall_on_postgresql(theatre: Stage, script: Script) -> None:
    last = places(script)
    begin = Random(script.__name__).randint(1, min(STORED_EACH, last))
    for first in range(begin, last + 1, STORED_EACH):
        _, world = played(theatre, script, first)
        assert world.crashes == 1
