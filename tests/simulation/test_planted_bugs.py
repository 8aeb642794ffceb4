"""对检查的检查: bugs that were put in on purpose, each found within ten thousand histories."""

from __future__ import annotations

import os

import pytest

from tests.simulation import (
    bugs,
    bugs_erasing,
    bugs_keys,
    bugs_ledgers,
    bugs_restoring,
    bugs_transfers,
)
from tests.simulation.bugs import Plant
from tests.simulation.histories import FIRST, Failed, tell
from tests.support.memory.stage import MemoryStage

BUGS = (
    *bugs.BUGS,
    *bugs_transfers.BUGS,
    *bugs_keys.BUGS,
    *bugs_ledgers.BUGS,
    *bugs_restoring.BUGS,
    *bugs_erasing.BUGS,
)
HISTORIES = 10_000
"""Most are found within a hundred; `-s` says in which, and what gave it away."""


@pytest.mark.simulation
@pytest.mark.skipif("SIM_SEED" in os.environ, reason="one history is asked for")
@pytest.mark.parametrize("plant", BUGS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(
    volume: MemoryStage, monkeypatch: pytest.MonkeyPatch, plant: Plant
) -> None:
    plant(monkeypatch)

    for told in range(HISTORIES):
        try:
            tell(volume, FIRST + told, small=False)
        except Failed as failed:
            # Found by what it does, and not because it does not fit the code any more.
            if isinstance(failed.__cause__, TypeError | AttributeError):
                raise
            print(f"{plant.__name__}: history {told + 1}: {str(failed).splitlines()[0][:160]}")  # noqa: T201
            return
    pytest.fail(f"{plant.__name__} is not found in {HISTORIES} histories")


def test_there_are_thirty_and_each_is_told_once() -> None:
    assert len({plant.__name__ for plant in BUGS}) == len(BUGS) >= 30
    assert all(plant.__doc__ for plant in BUGS)
