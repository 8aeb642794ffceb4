"""The servers that tests ask for by name: `database` (PostgreSQL), `broker` (Apache Kafka)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.storage.server import EmbeddedServer
from tests.support.postgres import Database, empty_schema, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedServer]:
    """One server a worker, without fsync: no test of ours survives a crash of the machine."""
    with running_server() as server:
        yield server


@pytest.fixture
def database(postgres: EmbeddedServer) -> Iterator[Database]:
    """An empty schema of its own for every test."""
    with empty_schema(postgres.url) as fresh:
        yield fresh
