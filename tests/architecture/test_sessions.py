"""What is opened for a test is closed with it: a worker's server takes a hundred sessions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any

import pytest

from api.storage.recorder import LedgerElsewhere
from api.storage.server import EmbeddedServer
from tests.api.support import site
from tests.support.federation import NOW, ORIGIN, federation
from tests.support.postgres import empty_schema, sessions, until_closed
from tests.support.sides import sides
from tests.support.stage import stage
from tests.support.story import CHENGDU, Slate

Opens = Callable[[str, str], AbstractContextManager[Any]]


class RedError(Exception):
    """The test fails."""


@contextmanager
def staged(url: str, schema: str) -> Any:
    with stage(url, schema) as made:
        yield made.node(ORIGIN, "department", lambda: NOW)


@contextmanager
def slate(url: str, schema: str) -> Any:
    with empty_schema(url) as database, ExitStack() as stack:
        made = Slate(database)
        stack.callback(made.close)
        yield made.story(ORIGIN), schema


OPENED: dict[str, Opens] = {
    "a site": site,
    "two sides": lambda url, name: sides(url, (f"{name}_a", ORIGIN), (f"{name}_b", CHENGDU)),
    "a federation": federation,
    "a stage": staged,
    "a story": slate,
}


@pytest.mark.slow
@pytest.mark.parametrize("what", OPENED)
def test_it_is_closed_when_the_test_fails(postgres: EmbeddedServer, what: str) -> None:
    before = sessions(postgres.url)

    with suppress(RedError), OPENED[what](postgres.url, f"red_{what.replace(' ', '_')}"):
        assert sessions(postgres.url).keys() - before.keys()
        raise RedError

    assert until_closed(postgres.url, before) == []


def test_what_was_begun_is_closed_when_the_rest_cannot_be_opened(postgres: EmbeddedServer) -> None:
    before, both = sessions(postgres.url), [("red_twice", ORIGIN), ("red_twice", CHENGDU)]

    # Two writers of one ledger: the second is refused.
    with pytest.raises(LedgerElsewhere), sides(postgres.url, *both):
        pass

    assert until_closed(postgres.url, before) == []
