"""门: who may call what, while people have no accounts yet."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from api.gate import Gate
from tests.api.support import Site, person
from tests.api.test_problems import problem

ELSEWHERE = ("203.0.113.9", 50_000)


class Caller:
    """Somebody at an address: asks the application as its server would hand the request on."""

    def __init__(self, site: Site, address: tuple[str, int]) -> None:
        self._site, self._address = site, address

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        return asyncio.run(self._ask(method, path, request))

    async def _ask(self, method: str, path: str, request: dict[str, Any]) -> httpx.Response:
        door = httpx.ASGITransport(self._site.app, client=self._address)
        async with httpx.AsyncClient(transport=door, base_url=self._site.url) as client:
            return await client.request(method, path, **request)


@pytest.fixture
def stranger(origin: Site) -> Caller:
    """Somebody on another machine."""
    return Caller(origin, ELSEWHERE)


@pytest.mark.parametrize(
    "path",
    [
        "/outflows",
        "/history",
        "/history/evidence",
        "/docs",
        "/openapi.json",
        "/peers",
        "/quarantine",
        "/nowhere",
    ],
)
def test_people_are_answered_on_this_machine_only(stranger: Caller, path: str) -> None:
    said = problem(stranger.ask("GET", path), 403, "not-from-here")

    assert "本机" in said["title"]
    assert "account" in said["mend"]


@pytest.mark.parametrize("path", ["/members", "/imports/outflows", "/peers", "/contacts/batch"])
def test_nothing_is_recorded_from_elsewhere(origin: Site, stranger: Caller, path: str) -> None:
    before = origin.node.ledger.head

    problem(stranger.ask("POST", path, json=person()), 403, "not-from-here")
    assert origin.node.ledger.head == before


@pytest.mark.parametrize("path", ["/card", "/health"])
def test_card_and_health_are_for_everybody(stranger: Caller, path: str) -> None:
    assert stranger.ask("GET", path).status_code == 200


@pytest.mark.parametrize("path", ["/cards", "/healthy", "/card/x", "/lanes", "/lanesx/chengdu"])
def test_what_only_begins_like_them_is_not(stranger: Caller, path: str) -> None:
    problem(stranger.ask("GET", path), 403, "not-from-here")


def test_a_lane_is_for_whoever_signs(origin: Site, stranger: Caller) -> None:
    answer = stranger.ask("GET", f"/lanes/chengdu?of={origin.code}&after=0")

    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/forged"


@pytest.mark.parametrize("client", [("::1", 1), ("127.9.9.9", 1), ("localhost", 1)])
def test_loopback_has_many_names(origin: Site, client: tuple[str, int]) -> None:
    assert Caller(origin, client).ask("GET", "/openapi.json").status_code == 200


@pytest.mark.parametrize("client", [("::ffff:203.0.113.9", 1), ("", 0), ("10.0.0.1", 1), ("x", 1)])
def test_everything_else_is_elsewhere(origin: Site, client: tuple[str, int]) -> None:
    problem(Caller(origin, client).ask("GET", "/openapi.json"), 403, "not-from-here")


# A browser on this machine that shows a page of somebody else's.


@pytest.mark.parametrize("named", ["evil.example", "evil.example:8700", "127.0.0.1.evil.example"])
def test_a_name_that_was_made_to_lead_here_is_refused(origin: Site, named: str) -> None:
    answer = origin.http.get("/outflows", headers={"Host": named})

    problem(answer, 403, "not-from-here")


@pytest.mark.parametrize("page", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_cannot_record(origin: Site, page: str) -> None:
    answer = origin.http.post("/members", json=person(), headers={"Origin": page})

    problem(answer, 403, "not-from-here")


def test_a_page_of_this_node_can(origin: Site) -> None:
    answer = origin.http.post("/members", json=person(), headers={"Origin": origin.url})

    assert answer.status_code == 201


def test_the_door_lets_other_protocols_through_untouched() -> None:
    assert Gate(app := object()).app is app
