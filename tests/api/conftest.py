"""Two nodes that know each other, shared by the tests of a worker; each test brings its people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from api.storage.server import EmbeddedServer
from tests.api.support import Site, meet, site

_schemas = count(1)

HOST = {"code": "chengdu", "name": "酒泉市驻成都联络服务站", "kind": "station", "city": "成都"}


@contextmanager
def fresh(postgres: EmbeddedServer, **settings: str) -> Iterator[Site]:
    with site(postgres.url, f"api_{next(_schemas)}", **settings) as made:
        yield made


@pytest.fixture(scope="session")
def origin(postgres: EmbeddedServer) -> Iterator[Site]:
    """The origin's node."""
    with fresh(postgres) as made:
        yield made


@pytest.fixture(scope="session")
def host(postgres: EmbeddedServer, origin: Site) -> Iterator[Site]:
    """A station's node, enrolled at the origin, as the origin is at it."""
    with fresh(postgres, **HOST) as made:
        meet(origin, made)
        yield made


@pytest.fixture
def own(postgres: EmbeddedServer) -> Iterator[Site]:
    """A node of one test's own."""
    with fresh(postgres) as made:
        yield made
