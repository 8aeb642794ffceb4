"""Who may import whom holds, and each of its contracts can tell when it does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = {contract["id"]: contract["name"] for contract in SETTINGS["contracts"]}

# For each contract an import that it exists to refuse.
VIOLATIONS = {
    "layers": ("sync/relay.py", "import projections.roster"),
    "pure-domain": ("domain/member.py", "import fastapi"),
    "kafka-once": ("sync/relay.py", "import kafka"),
    "openpyxl-in-excel": ("api/cli.py", "import openpyxl"),
    "httpx-at-the-edges": ("sync/relay.py", "import httpx"),
    "psycopg-in-stores": ("projections/roster.py", "import psycopg"),
    "read-models-apart": ("projections/roster.py", "import projections.history"),
    "aggregates-apart": ("domain/inflow.py", "import domain.outflow"),
    "inside-domain": ("domain/values.py", "import domain.sealing"),
    "acyclic": ("domain/errors.py", "import domain.values"),
}

# And where the same import is at home.
EXCEPTIONS = {
    "kafka-once": ("sync/lane_kafka.py", "import kafka"),
    "openpyxl-in-excel": ("api/excel/cells.py", "import openpyxl"),
    "httpx-at-the-edges": ("sync/lane_http.py", "import httpx"),
    "psycopg-in-stores": ("sync/store.py", "import psycopg_pool"),
}


def lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the packages in the folder."""
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("lint-imports")),
            "--no-logo",
            "--no-cache",
            *arguments,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The house once more, to spoil."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in SETTINGS["root_packages"]:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return tmp_path


def add(folder: Path, file: str, line: str) -> None:
    with (folder / file).open("a") as module:
        module.write(f"\n{line}\n")


def test_every_contract_holds() -> None:
    told = lint(ROOT)

    assert told.returncode == 0, told.stdout + told.stderr


def test_every_contract_has_a_violation_listed_here() -> None:
    assert set(VIOLATIONS) == set(CONTRACTS)


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_a_contract_is_broken_by_what_it_exists_to_refuse(contract: str, copy: Path) -> None:
    add(copy, *VIOLATIONS[contract])

    told = lint(copy, "--contract", contract)

    assert told.returncode == 1
    assert f"{CONTRACTS[contract]} BROKEN" in told.stdout


@pytest.mark.parametrize("contract", EXCEPTIONS)
def test_a_contract_lets_through_the_files_it_names(contract: str, copy: Path) -> None:
    add(copy, *EXCEPTIONS[contract])

    told = lint(copy, "--contract", contract)

    assert told.returncode == 0, told.stdout
