"""The two sides of a story: `origin` keeps members, `host` is in another city."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.storage.server import EmbeddedServer
from tests.support.people import founded
from tests.support.postgres import empty_schema
from tests.support.story import CHENGDU, ORIGIN, SHENZHEN, Slate, Story


@pytest.fixture(scope="package")
def slate(postgres: EmbeddedServer) -> Iterator[Slate]:
    """One for a worker."""
    with empty_schema(postgres.url) as database:
        made = Slate(database)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def origin(slate: Slate) -> Story:
    """Jiuquan, acquainted with Chengdu and Shenzhen."""
    return founded(slate.story(ORIGIN), CHENGDU, SHENZHEN)


@pytest.fixture
def host(slate: Slate) -> Story:
    """Chengdu, acquainted with Jiuquan."""
    return founded(slate.story(CHENGDU), ORIGIN)
