"""历史: one history from its seed to its end, and the least of it that still ends badly."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from tests.simulation.checks import check
from tests.simulation.erasing import forget
from tests.simulation.healing import heal
from tests.simulation.plan import STEPS
from tests.simulation.world import World

COUNT = int(os.environ.get("WAYSTATION_HISTORIES") or 10_000)
FIRST = 20_260_105

SHRINK_TRIES, SHRINK_SECONDS = 200, 60.0
"""How long a failing history is made smaller before it is shown."""


class Failed(AssertionError):  # noqa: N818 - what has happened.
    """A history that ends badly; it says how to see it again."""


def live(stage: Any, seed: int, kept: frozenset[int] | None = None, **said: Any) -> World:
    """Let one history happen, heal, and check what must hold.

    Raises:
        Ended: with the world as it was, and why.
    """
    world = World(stage, seed, **said)
    try:
        with world.alive():
            world.run(kept)
            heal(world)
            check(world)
            forget(world)
    except Exception as fault:
        raise Ended(world, fault) from fault
    return world


class Ended(Exception):  # noqa: N818 - what has happened.
    """A history that ended badly."""

    def __init__(self, world: World, fault: Exception) -> None:
        super().__init__(str(fault))
        self.world, self.fault = world, fault

    @property
    def sentence(self) -> str:
        """What does not hold, without the particulars."""
        return f"{type(self.fault).__name__}: {str(self.fault).split('{')[0].split('[')[0][:120]}"


def tell(stage: Any, seed: int, kept: frozenset[int] | None = None, *, small: bool = True) -> World:
    """As live; what ends badly is made small, and told.

    Raises:
        Failed: with the seed, the steps that are needed, and every line that led there.
    """
    try:
        return live(stage, seed, kept)
    except Ended as ended:
        steps, ended = shrunk(stage, seed, ended) if small and kept is None else (kept, ended)
        chosen = "" if steps is None else f" SIM_STEPS={','.join(map(str, sorted(steps)))}"
        told = "\n".join(ended.world.trace)
        raise Failed(
            f"SIM_SEED={seed}{chosen} {ended.fault!r}\n{ended.world.plan}\n{told}"
        ) from ended.fault


def shrunk(stage: Any, seed: int, ended: Ended) -> tuple[frozenset[int], Ended]:
    """The fewest steps found, in bounded tries, of which the same does not hold."""
    kept, until = frozenset(range(STEPS)), time.monotonic() + SHRINK_SECONDS
    size, tries = STEPS // 2, 0
    while size and tries < SHRINK_TRIES and time.monotonic() < until:
        smaller = False
        for start in range(0, STEPS, size):
            less = kept - set(range(start, start + size))
            if less == kept:
                continue
            tries += 1
            try:
                live(stage, seed, less)
            except Ended as again:
                if again.sentence == ended.sentence:
                    kept, ended, smaller = less, again, True
            if tries >= SHRINK_TRIES or time.monotonic() > until:
                break
        if not smaller or size > 1:
            size //= 2
    return kept, ended


def trace_hash(world: World) -> str:
    """Equal for equal histories."""
    return hashlib.sha256("\n".join(world.trace).encode()).hexdigest()
