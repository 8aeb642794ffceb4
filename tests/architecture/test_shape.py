"""A newcomer can read any file: it says what it is, it is short, and its name is ours alone."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "projections", "sync", "api")
FUNCTION_LINES = 40
MODULE_LINES = 300
# "If the sentence needs more, split the file."
ANDS = 2

MODULES = sorted(
    file.relative_to(ROOT).as_posix() for name in PACKAGES for file in (ROOT / name).rglob("*.py")
)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("module", MODULES)
def test_a_module_opens_with_one_sentence(module: str) -> None:
    opening = (ast.get_docstring(tree(module)) or "").split("\n\n")[0].replace("\n", " ")

    assert opening.endswith((".", "。")), f"no sentence: {opening!r}"
    assert not re.search(r"(?<!e\.g)(?<!i\.e)\.\s|。.", opening), f"more than one: {opening!r}"
    assert len(re.findall(r"\band\b", opening)) <= ANDS, f"split the file: {opening!r}"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_short(module: str) -> None:
    assert len((ROOT / module).read_text().splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("module", MODULES)
def test_its_functions_are_short(module: str) -> None:
    long = {
        function.name: length
        for function in functions(module)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES
    }

    assert long == {}


def test_no_other_distribution_claims_our_names() -> None:
    owners = importlib.metadata.packages_distributions()

    assert {
        name: owners[name] for name in PACKAGES if set(owners.get(name, ())) - {"waystation"}
    } == {}


def test_every_folder_of_code_is_shipped() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = built["tool"]["setuptools"]["packages"]
    folders = {(ROOT / module).parent.relative_to(ROOT).as_posix() for module in MODULES}

    assert sorted(shipped) == sorted(folder.replace("/", ".") for folder in folders)
