"""Two or three organizations on real databases, emptied before each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from api.storage.server import EmbeddedServer
from tests.support.federation import CHENGDU, HOST_MAY_OPEN, ORIGIN, SHENZHEN
from tests.support.stage import Stage, Staged, stage
from tests.sync.pen import Pen

VECTORS = Path(__file__).parents[3] / "shared" / "vectors"


@pytest.fixture(scope="package")
def theatre(postgres: EmbeddedServer) -> Iterator[Stage]:
    """One stage a worker."""
    with stage(postgres.url, "sync") as made:
        yield made


@pytest.fixture
def three(theatre: Stage) -> Iterator[Staged]:
    """The origin and two stations, acquainted, knowing nothing."""
    theatre.empty()
    with ExitStack() as stack:
        yield acquainted(theatre, stack)


def acquainted(theatre: Stage, stack: ExitStack, *, told: bool = False) -> Staged:
    """The three on an empty stage."""
    made = Staged(theatre, stack)
    made.found(ORIGIN)
    for code in (CHENGDU, SHENZHEN):
        made.found(code, "station")
        made.acquaint(ORIGIN, code, HOST_MAY_OPEN, told=told)
    return made


@pytest.fixture
def pen(three: Staged) -> Pen:
    """What the origin sends to Chengdu, right or wrong."""
    return Pen(three[ORIGIN], three[CHENGDU])


@pytest.fixture
def vectors() -> Path:
    """The published test vectors; where they are asked for, a missing folder fails."""
    if not VECTORS.is_dir():
        reason = f"no published vectors in {VECTORS}"
        if os.environ.get("WAYSTATION_REQUIRE_SHARED") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return VECTORS
