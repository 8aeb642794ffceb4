"""拒绝: one class a reason; every one is met in a test by name."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import domain
from domain.errors import Invalid, Refusal

TESTS = Path(__file__).parents[1]
FAMILIES = {Refusal, Invalid}
RFC_9457 = {"type", "title", "status", "detail", "instance"}

for module in pkgutil.walk_packages(domain.__path__, "domain."):
    importlib.import_module(module.name)


def refusals(kind: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for sub in kind.__subclasses__():
        if sub.__module__.startswith("domain."):
            yield sub
        yield from refusals(sub)


OURS = sorted(set(refusals()) - FAMILIES, key=lambda kind: kind.__name__)


def named_in_tests() -> set[str]:
    """The names used in test modules, imports alone not counted."""
    return {
        node.id
        for file in TESTS.rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Name)
    }


NAMED = named_in_tests()


@pytest.mark.parametrize("kind", OURS, ids=lambda k: k.__name__)
def test_every_refusal_is_met_in_a_test(kind: type[Refusal]) -> None:
    assert kind.__name__ in NAMED


@pytest.mark.parametrize("kind", OURS, ids=lambda k: k.__name__)
def test_a_refusal_speaks_chinese_then_english(kind: type[Refusal]) -> None:
    chinese, english = kind.sentence().split("。", 1)

    assert re.search(r"[\u4e00-\u9fff]", chinese)
    assert re.fullmatch(r"[A-Z][^\u4e00-\u9fff]*[.?]", english)


@pytest.mark.parametrize("kind", OURS, ids=lambda k: k.__name__)
def test_a_refusal_says_what_to_do(kind: type[Refusal]) -> None:
    assert re.search(r"[\u4e00-\u9fff]", kind.mend)
    assert kind.mend.rstrip().endswith(".")


def test_no_two_refusals_share_a_code() -> None:
    codes = [kind.code() for kind in refusals()]

    assert sorted(codes) == sorted(set(codes))


def test_evidence_never_hides_a_member_of_the_problem() -> None:
    shadowed = []
    for file in Path(domain.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                names = {keyword.arg for keyword in node.exc.keywords}
                shadowed += [(file.name, node.lineno, name) for name in names & RFC_9457]

    assert shadowed == []


def test_a_refusal_carries_its_evidence() -> None:
    refusal = Refusal(outflow="x", day="2025-01-01")

    assert refusal.facts == {"outflow": "x", "day": "2025-01-01"}
    assert Refusal.code() == "refusal"
    assert str(refusal).endswith("[outflow=x, day=2025-01-01]")
    assert "[" not in str(Refusal())
