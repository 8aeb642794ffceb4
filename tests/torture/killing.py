"""夺命: kills what a round names, at moments drawn from its seed, and measures the way back."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.torture.load import Load
from tests.torture.supervised import Supervised, until

KILLS = int(os.environ.get("WAYSTATION_KILLS", "20"))
"""Of each kind: twenty in `make test`, 500 in `make torture`."""

AGAIN = 0.3
"""How often another kill follows before the way back is complete: it meets a start under way."""

BACK_S = 60.0
"""The longest a node may take from a kill to the next command it acknowledges."""


@dataclass
class Killer:
    """Counts its kills, and the seconds until the next acknowledged command."""

    random: random.Random
    load: Load
    kills: int = 0
    back: list[float] = field(default_factory=list)

    def strike(self, node: Supervised, kill: Callable[[], object]) -> None:
        """Kill, sometimes again in the middle of the start, and wait for the way back."""
        time.sleep(self.random.uniform(0.0, 1.0))
        while True:
            if kill() is not False:
                self.kills += 1
            if self.random.random() >= AGAIN:
                break
            time.sleep(self.random.uniform(0.0, 3.0))
        killed = time.monotonic()
        until(lambda: self.load.last.get(node.code, 0.0) > killed, BACK_S, node.tail)
        self.back.append(self.load.last[node.code] - killed)

    def figures(self) -> dict[str, float]:
        """For the run's last line."""
        ordered = sorted(self.back)
        return {
            "kills": self.kills,
            "back_p50_s": round(ordered[len(ordered) // 2], 2),
            "back_max_s": round(ordered[-1], 2),
        }
