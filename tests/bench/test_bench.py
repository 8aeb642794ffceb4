"""A quick run of the bench says a line of JSON a figure; what it says is no measurement."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.figures import Figure, percentile

ROOT = Path(__file__).parents[2]
KEYS = ["name", "value", "unit", "floor", "ratio", "facts"]

QUESTIONS = [
    "timeline",
    "by_actor",
    "by_type",
    "by_period",
    "responsible",
    "known",
    "changes",
    "trail",
    "attempts",
    "late",
    "figures",
    "recount",
    "explain",
]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("only", "names"),
    [
        ("rebuild", ["rebuild.roster", "rebuild.history"]),
        ("command", ["command.durable/save", "command.durable/insert"]),
        ("log", ["log.tree", "log.inclusion.p99", "log.verify"]),
        ("audit", ["audit.verify"]),
        ("http", ["http.contact", "http.contact.batch"]),
        ("read", [f"read.{n}.{k}" for n in ("page", "one") for k in ("p50", "added")]),
        ("e2e.http", ["e2e.http.p50", "e2e.http.p99"]),
        ("question", [f"question.{name}.p99" for name in QUESTIONS]),
    ],
)
def test_a_quick_run_prints_a_line_a_figure(only: str, names: list[str]) -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--only", only]
    made = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )

    figures = [json.loads(line) for line in made.stdout.splitlines()]

    assert [figure["name"] for figure in figures] == names
    assert all(list(figure) == KEYS for figure in figures)
    assert all(figure["value"] > 0 and figure["floor"] > 0 for figure in figures)
    assert "fsync=on" in made.stderr


def test_a_figure_says_whether_it_meets_its_target() -> None:
    assert Figure("http.contact", 6.0, "contacts/s", 10.0, 1).meets() == "≥ 0.5 yes"
    assert Figure("e2e.http.p99", 40.0, "ms", 10.0, 1).meets() == "≤ 3 NO"
    assert Figure("http.contact.batch", 1.0, "contacts/s", 1.0, 1).meets() == ""


def test_a_percentile_is_one_of_the_samples() -> None:
    assert percentile(list(range(100, 0, -1)), 0.99) == 100
    assert percentile([3.0], 0.5) == 3.0
