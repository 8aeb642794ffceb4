"""Who may import whom holds, and each of its contracts can tell when it does not."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.independence import IndependenceContract
from importlinter.contracts.layers import LayersContract

ROOT = Path(__file__).parents[2]
SETTINGS = read_configuration(str(ROOT / "pyproject.toml"))
SESSION: dict[str, Any] = SETTINGS["session_options"]
CONTRACTS: dict[str, dict[str, Any]] = {each["id"]: each for each in SETTINGS["contracts_options"]}
KINDS = {
    "acyclic_siblings": AcyclicSiblingsContract,
    "forbidden": ForbiddenContract,
    "independence": IndependenceContract,
    "layers": LayersContract,
}

# For each contract an import that it exists to refuse.
VIOLATIONS = {
    "layers": ("sync.relay", "projections.roster"),
    "pure-domain": ("domain.member", "fastapi"),
    "kafka-once": ("sync.relay", "kafka"),
    "openpyxl-in-excel": ("api.cli", "openpyxl"),
    "httpx-at-the-edges": ("sync.relay", "httpx"),
    "psycopg-in-stores": ("projections.roster", "psycopg"),
    "verifier-alone": ("sync.verifier.keys", "domain.values"),
    "read-models-apart": ("projections.roster", "projections.history"),
    "aggregates-apart": ("domain.inflow", "domain.outflow"),
    "inside-domain": ("domain.values", "domain.sealing"),
    "acyclic": ("domain.errors", "domain.values"),
}

# And where the same import is at home.
EXCEPTIONS = {
    "kafka-once": ("sync.kafka_clients", "kafka"),
    "openpyxl-in-excel": ("api.excel.cells", "openpyxl"),
    "httpx-at-the-edges": ("sync.signed_http", "httpx"),
    "psycopg-in-stores": ("sync.store", "psycopg_pool"),
}


@pytest.fixture(scope="module")
def house() -> grimp.ImportGraph:
    """Every import there is."""
    return grimp.build_graph(
        *SESSION["root_packages"], include_external_packages=True, cache_dir=None
    )


def holds(contract: str, house: grimp.ImportGraph) -> bool:
    """Whether import-linter finds a contract kept."""
    said = CONTRACTS[contract]
    made = KINDS[said["type"]](said["name"], SESSION, said)
    # A check may change the graph it is given.
    return bool(made.check(deepcopy(house), verbose=False).kept)


def with_one_more(house: grimp.ImportGraph, importer: str, imported: str) -> grimp.ImportGraph:
    """The house once more, spoilt."""
    assert importer in house.modules
    spoilt = deepcopy(house)
    spoilt.add_import(
        importer=importer, imported=imported, line_number=1, line_contents=f"import {imported}"
    )
    return spoilt


@pytest.mark.parametrize("contract", CONTRACTS)
def test_every_contract_holds(contract: str, house: grimp.ImportGraph) -> None:
    assert holds(contract, house)


def test_every_contract_has_a_violation_listed_here() -> None:
    assert set(VIOLATIONS) == set(CONTRACTS)


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_a_contract_is_broken_by_what_it_exists_to_refuse(
    contract: str, house: grimp.ImportGraph
) -> None:
    assert not holds(contract, with_one_more(house, *VIOLATIONS[contract]))


@pytest.mark.parametrize("contract", EXCEPTIONS)
def test_a_contract_lets_through_the_files_it_names(
    contract: str, house: grimp.ImportGraph
) -> None:
    assert holds(contract, with_one_more(house, *EXCEPTIONS[contract]))
