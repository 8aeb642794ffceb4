"""What is not documented is not finished, and what is documented is there."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import pkgutil
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from fastapi import FastAPI

import api.routes
from api.cli import app as command_line
from api.routes.commands import COMMANDS
from api.settings import Settings
from domain.catalogue import AGGREGATES, FACTS
from domain.policy import Terms
from sync.kafka_settings import KafkaSettings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("domain", "projections", "sync", "api")


def tracked() -> list[str]:
    """Every file of the project that is not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a checkout of git")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def pages() -> list[str]:
    found = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    return sorted(page.relative_to(ROOT).as_posix() for page in found)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def rows(page: str) -> list[list[str]]:
    """The cells of every table row of a page."""
    lines = (line for line in read(page).splitlines() if line.startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# Links and places.


@pytest.mark.parametrize("page", pages())
def test_every_relative_link_leads_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    inside = [target for target in targets if not re.match(r"[a-z]+:", target)]

    assert [t for t in inside if not ((ROOT / page).parent / t).exists()] == []


def test_every_page_is_reached_from_the_index() -> None:
    seen, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)", read(page)):
            path = ((ROOT / page).parent / target).resolve()
            name = path.relative_to(ROOT).as_posix() if path.exists() else page
            if name not in seen:
                waiting.append(name)

    assert sorted(set(pages()) - seen) == []


# Written so that this file does not hold what it looks for.
FORBIDDEN = re.compile(
    r"\bpypi\.(?:org|python)|python[h]osted\.(?:org)|registry\.(?:npmjs|yarnpkg)"
    r"|(?:repo1?|central)\.maven\.(?:org|apache)|proxy\.(?:golang)|crates\.(?:io)"
    r"|(?<![\w.$}])/(?:root|work|home|Users)/(?=\w)|/tmp/(?:w)/"
)


def test_no_file_names_a_registry_or_a_place_on_one_machine() -> None:
    found = []
    for name in tracked():
        content = (ROOT / name).read_bytes()
        if b"\0" not in content:
            text = content.decode("utf-8", errors="replace")
            found += [f"{name}: {each[0]}" for each in FORBIDDEN.finditer(text)]

    assert found == []


def test_every_decision_is_in_the_index() -> None:
    index = read("docs/decisions/README.md")
    decisions = sorted(page.name for page in (DOCS / "decisions").glob("[0-9]*.md"))

    assert [name for name in decisions if f"]({name})" not in index] == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))
    named = {
        (page, target)
        for page in pages()
        for target in re.findall(r"^make ([a-z]+)|`make ([a-z]+)", read(page), re.MULTILINE)
        for target in target
        if target
    }

    assert {(page, target) for page, target in named if target not in targets} == set()


# Names.


def test_the_changelog_lists_every_stored_name() -> None:
    facts = read("CHANGELOG.md").split("### Facts", 1)[1]

    assert [topic for topic in FACTS if f"`{topic}`" not in facts] == []


def test_the_glossary_knows_every_aggregate_and_the_noun_of_every_fact() -> None:
    glossary = read("docs/glossary.md")
    nouns = [aggregate.__name__ for aggregate in AGGREGATES]
    nouns += sorted({topic.split(".")[0] for topic in FACTS})

    assert [noun for noun in nouns if f"`{noun}`" not in glossary] == []


def test_the_glossary_names_nothing_that_is_not_in_the_code() -> None:
    known = {word for path in modules() for word in re.findall(r"\w+", read(path))}
    names = [
        name.rsplit(".", 1)[-1]
        for row in rows("docs/glossary.md")
        for name in re.findall(r"`([^`]+)`", row[2])
    ]

    assert sorted(set(names) - known) == []


# Libraries.


def test_every_library_has_its_reason_its_licence_and_its_version() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    pins = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", read("requirements.txt"), re.MULTILINE))
    told = {row[0].strip("`"): row[1:] for row in rows("docs/decisions/0009-libraries.md")}

    for dependency in project["dependencies"]:
        name = re.split(r"[\[=<>]", dependency)[0]
        version, licence, reason, _ = told[name]
        assert version == pins[name], name
        assert licence, name
        assert reason, name


# The ways in.


def paths() -> Iterator[tuple[str, str]]:
    """Method and path of everything the interface takes."""
    application = FastAPI()
    for found in pkgutil.iter_modules(api.routes.__path__):
        module = importlib.import_module(f"api.routes.{found.name}")
        if hasattr(module, "router"):
            application.include_router(module.router)
    for path, methods in application.openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path


def test_every_path_is_in_the_reference() -> None:
    told = {(row[0], row[1].strip("`")) for row in rows("docs/reference/http.md") if len(row) > 1}

    assert sorted(set(paths()) - told) == []


def test_the_reference_tells_no_path_that_is_not_there() -> None:
    told = {
        (row[0], row[1].strip("`"))
        for row in rows("docs/reference/http.md")
        if row[0] in {"GET", "POST"}
    }

    assert sorted(told - set(paths())) == []


def test_every_path_of_a_command_names_it() -> None:
    told = {row[1].strip("`"): row for row in rows("docs/reference/http.md") if row[0] == "POST"}

    for path, kind, _ in COMMANDS:
        assert told[path][2] == f"`{kind.__name__}`"


def cli() -> dict[str, Any]:
    """Every command by its words."""
    return dict(_words(typer.main.get_command(command_line)))


def _words(command: Any, *before: str) -> Iterator[tuple[str, Any]]:
    for name, each in getattr(command, "commands", {}).items():
        yield from _words(each, *before, name)
    if not hasattr(command, "commands"):
        yield " ".join(before), command


def test_every_command_of_the_line_is_in_the_reference_with_its_options() -> None:
    sections = {
        section.split("\n", 1)[0].strip(): section
        for section in read("docs/reference/cli.md").split("### waystation ")[1:]
    }

    assert set(sections) == set(cli())
    for name, command in cli().items():
        shown = [p for p in command.params if not p.hidden and p.name != "help"]
        for parameter in shown:
            names = {*parameter.opts, parameter.name.upper()}
            assert any(f"`{each}`" in sections[name] for each in names), (name, parameter.name)


def test_every_command_of_the_line_that_is_named_exists() -> None:
    named = {
        (page, name)
        for page in pages()
        for name in re.findall(r"(?:^|`)waystation ([a-z][a-z-]*)", read(page), re.MULTILINE)
    }

    known = {words.split()[0] for words in cli()}
    assert {(page, name) for page, name in named if name not in known} == set()


def test_every_setting_is_in_the_reference() -> None:
    page = read("docs/reference/settings.md")
    sources = [read(name) for name in tracked() if name.endswith((".py", "Makefile"))]
    variables = {name for text in sources for name in re.findall(r"\bWAYSTATION_[A-Z_]+\b", text)}
    broker = [f"kafka.{name}" for name in KafkaSettings.model_fields]
    names = [*Settings.model_fields, *broker, *Terms.model_fields, *sorted(variables)]

    assert [name for name in names if f"| `{name}` |" not in page] == []


# Limits.

LIMIT = re.compile(r"[A-Z][A-Z0-9_]*(_MAX(_[A-Z]+)?|_S|_MS|_DAYS|_BYTES)")


def modules() -> list[str]:
    found = (file for name in PACKAGES for file in (ROOT / name).rglob("*.py"))
    return sorted(file.relative_to(ROOT).as_posix() for file in found)


@cache
def limits() -> tuple[tuple[str, str], ...]:
    """File and name of every constant that bounds something."""
    return tuple(_limits())


def _limits() -> Iterator[tuple[str, str]]:
    for file in modules():
        for node in ast.parse(read(file)).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = [n for t in targets for n in (t.elts if isinstance(t, ast.Tuple) else [t])]
            for name in names:
                if isinstance(name, ast.Name) and LIMIT.fullmatch(name.id):
                    yield file, name.id


def spellings(value: float) -> set[str]:
    """How a value may be written, in bytes or as it is."""
    written = {f"{value:,}", f"{value:g}"}
    for unit, size in (("KiB", 1024), ("MiB", 1024**2)):
        if value >= size and value % size == 0:
            written.add(f"{int(value) // size:,} {unit}")
    return written


def test_every_limit_is_in_the_reference_with_its_value() -> None:
    told = {(row[0].strip("`"), row[1].strip("`")): row for row in rows("docs/reference/limits.md")}

    assert sorted(set(limits()) - set(told)) == []
    for file, name in limits():
        value = getattr(importlib.import_module(file[:-3].replace("/", ".")), name)
        assert told[file, name][2].startswith(tuple(spellings(value))), (file, name, value)


def test_the_reference_tells_no_limit_that_is_not_there() -> None:
    told = {
        (row[0].strip("`"), row[1].strip("`"))
        for row in rows("docs/reference/limits.md")
        if row[0].endswith(".py`")
    }

    assert sorted(told - set(limits())) == []
