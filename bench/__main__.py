"""测速: `python -m bench` prints a line of JSON a figure, and a table for people."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench import broker, commands, ends, rebuild, web
from bench.figures import Figure, note, table, timed
from bench.place import place
from bench.town import Town


class Effort(NamedTuple):
    """How long a run takes its measures."""

    seconds: float
    repeats: int
    samples: int


FULL, QUICK = Effort(3.0, 5, 600), Effort(0.3, 1, 20)

Measure = Callable[[Town, Effort], Iterator[Figure]]
MEASURES: dict[str, Measure] = {
    "rebuild": lambda town, e: rebuild.measure(town, e.repeats if town.facts < LARGE else 2),
    "e2e.http": lambda town, e: ends.over_http(town, e.samples),
    "e2e.kafka": lambda town, e: broker.over_kafka(town, e.samples),
    "http": lambda town, e: web.measure(town, e.seconds, e.repeats),
    "command": lambda town, e: commands.measure(town, e.seconds, e.repeats),
}
"""In this order: the last two leave many facts behind."""

LARGE = 100_000


def main() -> None:
    """Measure what was asked for, at each number of facts."""
    asked = _arguments()
    effort = QUICK if asked.quick else FULL
    wanted = {n: m for n, m in MEASURES.items() if n.startswith(asked.only)}
    figures: list[Figure] = []
    with place() as server, tempfile.TemporaryDirectory() as folder:
        for number, facts in enumerate(map(int, asked.facts.split(","))):
            town = Town(server.url, f"bench{number}", Path(folder) / str(number))
            seconds = timed(lambda town=town, facts=facts: town.fill(facts))
            note(f"{town.facts:,} facts in each ledger, loaded in {seconds:.0f} s")
            for measure in wanted.values():
                figures += (figure.say() for figure in measure(town, effort))
    table(figures)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test, not a measurement")
    parser.add_argument("--only", default="", metavar="NAME", help=f"one of {', '.join(MEASURES)}")
    parser.add_argument("--facts", help="in the ledger, e.g. 10000,300000")
    asked = parser.parse_args()
    asked.facts = asked.facts or ("300" if asked.quick else "10000,300000")
    return asked


if __name__ == "__main__":
    main()
