"""测速: `python -m bench` prints a line of JSON a figure, and a table for people."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench import audit, broker, commands, ends, log, questions, reads, rebuild, traffic, web
from bench.figures import Figure, note, table, timed
from bench.place import place
from bench.town import HOST, OTHER, Town


class Effort(NamedTuple):
    """How long a run takes its measures."""

    seconds: float
    repeats: int
    samples: int
    waiting: int
    steady_s: float


FULL, QUICK = Effort(3.0, 5, 600, 300_000, 30.0), Effort(0.3, 1, 20, 300, 2.0)

Measure = Callable[[Town, Effort], Iterator[Figure]]
MEASURES: dict[str, Measure] = {
    "rebuild": lambda town, e: rebuild.measure(town, e.repeats if town.facts < LARGE else 2),
    "question": lambda town, e: questions.measure(town, e.samples),
    "e2e.http": lambda town, e: ends.over_http(town, e.samples),
    "e2e.kafka": lambda town, e: broker.over_kafka(town, e.samples),
    "read": lambda town, e: reads.measure(town, e.repeats, e.samples),
    "http": lambda town, e: web.measure(town, e.seconds, e.repeats),
    "command": lambda town, e: commands.measure(town, e.seconds, e.repeats),
    "audit": lambda town, _: audit.measure(town),
    "log": lambda town, e: log.measure(town, e.seconds, e.repeats, e.samples),
}
"""In this order: from http on they leave many facts behind."""

LANES: dict[str, Measure] = {
    "lane.http": lambda town, e: traffic.over_http(town, min(town.facts, e.waiting)),
    "lane.kafka": lambda town, e: traffic.over_kafka(town, min(town.facts, e.waiting)),
}
"""In a town of their own, where nothing waits that they have not put there."""

LARGE = 100_000


def main() -> None:
    """Measure what was asked for, at each number of facts."""
    asked = _arguments()
    effort = QUICK if asked.quick else FULL
    wanted, lanes = (
        [measure for name, measure in group.items() if name.startswith(asked.only)]
        for group in (MEASURES, LANES)
    )
    figures: list[Figure] = []
    with place() as server, tempfile.TemporaryDirectory() as folder:
        for number, facts in enumerate(map(int, asked.facts.split(","))):
            for name, measures in (("bench", wanted), ("lanes", lanes)):
                if not measures:
                    continue
                town = Town(server.url, f"{name}{number}", Path(folder) / f"{name}{number}")
                seconds = timed(lambda town=town, facts=facts: town.fill(facts))
                note(f"{town.facts:,} facts in each ledger, loaded in {seconds:.0f} s")
                for measure in measures:
                    figures += (figure.say() for figure in measure(town, effort))
            if "e2e.steady".startswith(asked.only):
                home = Path(folder) / f"many{number}"
                many = Town(server.url, f"many{number}", home, (HOST, OTHER))
                many.fill(facts)
                figures += (figure.say() for figure in traffic.steady(many, effort.steady_s))
    table(figures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test, not a measurement")
    names = ", ".join([*MEASURES, *LANES, "e2e.steady"])
    parser.add_argument("--only", default="", metavar="NAME", help=f"one of {names}")
    parser.add_argument("--facts", help="in the ledger, e.g. 10000,300000")
    asked = parser.parse_args()
    asked.facts = asked.facts or ("300" if asked.quick else "10000,300000")
    return asked


if __name__ == "__main__":
    main()
