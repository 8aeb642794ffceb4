"""One stage a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.storage.server import EmbeddedServer
from tests.support.stage import Stage, stage


@pytest.fixture(scope="session")
def theatre(postgres: EmbeddedServer) -> Iterator[Stage]:
    """Three schemas, emptied before each history."""
    with stage(postgres.url, "sim") as made:
        yield made
