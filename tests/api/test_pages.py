"""翻页与等待: a page neither omits nor repeats, and one's own writing can be read at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from api import paging
from tests.api.support import Site, absent, person
from tests.api.test_headers import contact
from tests.api.test_problems import problem

LISTS = [
    "/outflows",
    "/custody",
    "/contacts/due",
    "/transfers",
    "/members",
    "/activities",
    "/attendance",
    "/history",
]


def pages(at: Site, path: str, limit: int, **query: Any) -> Iterator[list[dict[str, Any]]]:
    cursor = None
    while True:
        page = at.get(path, limit=limit, **query, **({"cursor": cursor} if cursor else {}))
        yield page["items"]
        cursor = page["next"]
        if cursor is None:
            return


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [0, -1, 501, "x", 10**30])
def test_a_page_has_bounds(origin: Site, path: str, limit: object) -> None:
    said = problem(origin.ask(path, limit=limit), 422, "invalid-request")

    assert said["errors"][0]["pointer"] == "/query/limit"


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 500])
def test_within_the_bounds_it_answers(origin: Site, path: str, limit: int) -> None:
    page = origin.get(path, limit=limit)

    assert page.keys() == {"items", "next", "stale"}
    assert len(page["items"]) <= limit


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_that_is_none_is_refused(origin: Site, path: str) -> None:
    problem(origin.ask(path, cursor="x"), 422, "invalid-request")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "key"),
    [("/outflows", "outflow"), ("/custody", "outflow"), ("/contacts/due", "outflow")],
)
def test_what_is_there_from_the_first_page_to_the_last_is_told_once(
    origin: Site, path: str, key: str
) -> None:
    there = {absent(origin)[1] for _ in range(7)}
    _, last = absent(origin)
    origin.ask(path, after=origin.node.ledger.head)
    found: list[str] = []

    for page in pages(origin, path, 3):
        found += [row[key] for row in page]
        absent(origin)

    assert len(found) == len(set(found))
    assert there | {last} <= set(found)


def test_history_goes_on_where_the_page_before_ended(origin: Site) -> None:
    _, outflow = absent(origin)
    for _ in range(6):
        position = origin.post("/contacts", contact(outflow))["position"]
    origin.ask("/history", after=position)
    found: list[int] = []

    for page in pages(origin, "/history", 2, outflow=outflow):
        found += [row["position"] for row in page]
        if len(found) < 6:
            origin.post("/contacts", contact(outflow))

    assert found == sorted(set(found))
    assert len(found) >= 7


def test_marks_and_activities_are_paged_too(origin: Site) -> None:
    activity = origin.post("/activities", {"on": "2025-04-05", "title": "学习"})["id"]
    for _ in range(3):
        _, outflow = absent(origin)
        said = {"outflow": outflow, "mark": "present"}
        position = origin.post(f"/activities/{activity}/attendance", said)["position"]
    _until_read(origin, "activities", position)

    marked = [row for page in pages(origin, "/attendance", 1, activity=activity) for row in page]

    assert len({row["outflow"] for row in marked}) == len(marked) == 3
    held = [row["activity"] for page in pages(origin, "/activities", 1) for row in page]
    assert held.count(activity) == 1


def _until_read(at: Site, model: str, position: int) -> None:
    deadline = time.monotonic() + 10
    while at.node.projector.position(model) < position and time.monotonic() < deadline:
        time.sleep(0.01)


# ?after=.


@pytest.mark.parametrize("path", ["/outflows", "/custody", "/contacts/due", "/history"])
def test_ones_own_writing_is_read_at_once(origin: Site, path: str) -> None:
    member = origin.post("/members", person())["id"]
    said = {"member": member, "left_on": "2025-03-01", "destination": "四川省成都市"}
    receipt = origin.post("/outflows", said)

    narrowed = {"member": member} if path == "/outflows" else {"outflow": receipt["id"]}
    page = origin.get(path, after=receipt["position"], **narrowed)

    assert receipt["id"] in {row["outflow"] for row in page["items"]}
    assert len(page["items"]) <= 3


def test_waiting_ends_with_the_news_it_waits_for(origin: Site) -> None:
    somebody = person()
    head = origin.node.ledger.head
    threading.Timer(0.3, origin.post, ("/members", somebody)).start()
    started = time.monotonic()

    assert origin.ask("/outflows", after=head + 1).status_code == 200

    assert 0.2 < time.monotonic() - started < paging.WAIT_S


def test_waiting_has_a_bound(origin: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "WAIT_S", 0.2)
    started = time.monotonic()

    said = problem(origin.ask("/custody", after=10**12), 503, "not-yet")

    assert time.monotonic() - started < 2
    assert (said["model"], said["after"]) == ("custody", 10**12)


@pytest.mark.parametrize("after", [-1, "x"])
def test_a_position_that_is_none_is_refused(origin: Site, after: object) -> None:
    problem(origin.ask("/outflows", after=after), 422, "invalid-request")
