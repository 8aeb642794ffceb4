"""干净的台账: whatever a history was like, the ledgers it leaves verify: no false alarm."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.ledger_export import export
from sync.verifier import ledger
from tests.simulation.healing import heal
from tests.simulation.histories import FIRST
from tests.simulation.world import World
from tests.support.memory.stage import MemoryStage

FEW, MANY = 3, 350
"""Histories; each leaves the ledgers of all its organizations."""


def verified(volume: MemoryStage, seed: int, path: Path) -> int:
    """How many ledgers a history has left that hold."""
    world = World(volume, seed)
    with world.alive():
        world.run()
        heal(world)
        for code, node in world.nodes.items():
            if node.key_change.signet is None:
                node.key_change.announce()  # As each does when it begins to serve.
            pieces = export(node.log, node.keys, node.ledger.head, node.clock())
            path.write_bytes(b"".join(pieces))
            known = {code: [node.keys.verify_key]}
            assert ledger.verify(path, known).size >= node.ledger.head, f"SIM_SEED={seed} {code}"
    return len(world.nodes)


def test_the_ledgers_of_a_few_histories_hold(volume: MemoryStage, tmp_path: Path) -> None:
    for seed in range(FIRST, FIRST + FEW):
        assert verified(volume, seed, tmp_path / "a.ledger")


@pytest.mark.simulation
def test_the_ledgers_of_many_histories_hold(volume: MemoryStage, tmp_path: Path) -> None:
    seeds = range(FIRST, FIRST + MANY)

    assert sum(verified(volume, seed, tmp_path / "a.ledger") for seed in seeds) > MANY
