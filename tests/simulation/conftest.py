"""One stage a worker, of either kind."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator

import pytest

from api.storage.server import EmbeddedServer
from tests.support.memory.stage import MemoryStage
from tests.support.stage import Stage, stage


@pytest.fixture(scope="package")
def theatre(postgres: EmbeddedServer) -> Iterator[Stage]:
    """A schema for each organization, emptied before each history."""
    with stage(postgres.url, "sim") as made:
        yield made


@pytest.fixture(scope="session")
def volume() -> MemoryStage:
    """The same in memory."""
    return MemoryStage()


@pytest.fixture(scope="session", autouse=True)
def frozen() -> Iterator[None]:
    """What the modules hold is not garbage: it is not looked through again and again."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """What goes wrong on purpose is not worth a line each time."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
