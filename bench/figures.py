"""数字: one line of JSON a figure, and a table of them all for people."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

TARGETS = {
    "command.durable/save": 8.0,
    "command.durable/insert": 0.25,
    "http.contact": 0.5,
    "rebuild.roster": 0.5,
    "rebuild.history": 0.5,
    "e2e.http.p99": -3.0,
    "e2e.kafka.p99": -3.0,
    "lane.http.100": 0.3,
    "lane.kafka.100": 0.3,
    "e2e.beside_slow.p99": -1.5,
    "log.tree": -0.1,
    "log.inclusion.p99": -1.0,
    "log.verify": -1.0,
    "read.page.added": -1.0,
    "read.one.added": -1.0,
    "audit.verify": 1.0,
}
"""By name, the ratio to reach; a negative one is a bound from above."""


class Figure(NamedTuple):
    """What was measured, and the floor beside it."""

    name: str
    value: float
    unit: str
    floor: float
    facts: int

    @property
    def ratio(self) -> float:
        """Ours to the floor's: more is better for rates, less for times."""
        return self.value / self.floor if self.floor else 0.0

    def say(self) -> Figure:
        """Print its line at once, so that a run that is broken off has said what it knew."""
        line = {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "floor": round(self.floor, 3),
            "ratio": round(self.ratio, 3),
            "facts": self.facts,
        }
        print(json.dumps(line), flush=True)
        return self

    def meets(self) -> str:
        """Whether its target is met, in a word."""
        target = TARGETS.get(self.name)
        if target is None:
            return ""
        met = self.ratio >= target if target > 0 else self.ratio <= -target
        return f"{'≥' if target > 0 else '≤'} {abs(target):g} {'yes' if met else 'NO'}"


def note(sentence: str) -> None:
    """A sentence for people."""
    print(sentence, file=sys.stderr, flush=True)


def table(figures: Sequence[Figure]) -> None:
    """All figures, for people."""
    shown = Table("figure", "facts", "value", "floor", "unit", "ratio", "target")
    for f in figures:
        numbers = (f"{f.value:,.2f}", f"{f.floor:,.2f}", f.unit, f"{f.ratio:.2f}")
        shown.add_row(f.name, f"{f.facts:,}", *numbers, f.meets())
    Console(stderr=True).print(shown)


def interleaved(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """The median of each run, all of them in turn: what else the machine does hits them alike."""
    seen: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            seen[name].append(run())
    return {name: statistics.median(values) for name, values in seen.items()}


def percentile(samples: Sequence[float], share: float) -> float:
    """The sample below which that share of them lies."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
