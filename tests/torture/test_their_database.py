"""An operator's own PostgreSQL is away: the node says so at once, and goes on when it is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.torture.checks import check
from tests.torture.load import under_load
from tests.torture.pair import HOST, ORIGIN, Pair, pair, seeded
from tests.torture.supervised import Supervised
from tests.torture.theirs import Theirs, their_server

pytestmark = pytest.mark.torture

AT_ONCE_S = 2.0
RESTARTS = 3

Telling = Callable[..., None]


@pytest.fixture(scope="module")
def theirs() -> Iterator[Theirs]:
    with their_server() as server:
        yield server


@pytest.fixture(scope="module")
def two(theirs: Theirs) -> Iterator[Pair]:
    with pair(databases={code: theirs.create(code) for code in (ORIGIN, HOST)}) as made:
        yield made


def refused_at_once(node: Supervised, path: str, body: object = None, key: str = "") -> str:
    """The problem's name; its answer says when to come again."""
    began = time.monotonic()
    headers = {"Idempotency-Key": key} if key else {}
    method = "GET" if body is None else "POST"
    answer: httpx.Response = node.http.request(method, path, json=body, headers=headers)
    assert time.monotonic() - began < AT_ONCE_S, (path, time.monotonic() - began)
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "1"
    named: str = answer.json()["type"]
    return named.removeprefix("/problems/")


def test_while_it_is_away_every_answer_is_503_and_prompt(two: Pair, theirs: Theirs) -> None:
    starts = [node.starts for node in two.both]
    theirs.stop("immediate")
    visit = {"outflow": two.absences[0], "on": "2025-06-01", "by": "王干事"}

    try:
        for node in two.both:
            for number in range(4):
                asked = refused_at_once(node, "/visits", visit, f"away/{number}")
                plain = refused_at_once(node, "/visits", visit)
                assert {asked, plain} <= {"database-away", "outcome-unknown"}
                for path in ("/outflows", "/health", "/peers", "/alarms"):
                    assert refused_at_once(node, path) == "database-away"

    finally:
        theirs.start()
    for node in two.both:
        node.await_well(15.0)
    assert [node.starts for node in two.both] == starts


def test_it_is_restarted_under_load_and_nothing_answered_is_lost(
    two: Pair, theirs: Theirs, tell: Telling
) -> None:
    chance = seeded(4)

    with under_load(two, 4) as load:
        for how in ("fast", "immediate") * RESTARTS:
            time.sleep(chance.uniform(0.5, 1.5))
            theirs.stop(how)
            time.sleep(chance.uniform(0.0, 3.0))
            theirs.start()
        time.sleep(1.0)

    check(two, load)
    assert load.slowest < 10.0
    tell("their database", 4, load)
