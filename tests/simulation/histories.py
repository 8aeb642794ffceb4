"""历史: one history from its seed to its end."""

from __future__ import annotations

import hashlib
import os

from tests.simulation.checks import check
from tests.simulation.world import World
from tests.support.stage import Stage

COUNT = int(os.environ.get("SIM_N") or os.environ.get("WAYSTATION_HISTORIES") or 1000)
FIRST = 20_260_105


class Failed(AssertionError):  # noqa: N818 - what has happened.
    """A history that ends badly; it says how to see it again."""


def tell(stage: Stage, seed: int) -> World:
    """Let one history happen, heal, and check what must hold.

    Raises:
        Failed: with the seed and every line that led there.
    """
    world = World(stage, seed)
    try:
        world.run()
        world.heal()
        check(world)
    except Exception as fault:
        told = "\n".join(world.trace)
        raise Failed(
            f"SIM_SEED={seed} {type(fault).__name__}: {fault}\n{world.rates}\n{told}"
        ) from fault
    return world


def trace_hash(world: World) -> str:
    """Equal for equal histories."""
    return hashlib.sha256("\n".join(world.trace).encode()).hexdigest()
