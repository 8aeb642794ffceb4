"""经 HTTP 同步: three nodes with real servers, which stop, fail and lie, and catch up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import pytest

from api.storage.server import EmbeddedServer
from domain.values import utc_now
from sync.card import make_card, read_card
from sync.keys import NodeKeys
from sync.retry import BACKOFF_FIRST_S, BACKOFF_MAX_S, backoff
from tests.api.support import ACCEPTANCE, Site, absent, free_port, meet, site, until

STATIONS = ("chengdu", "shenzhen")

_schemas = count(1)


class Three:
    """An origin and two stations, each with a server of its own."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        number = next(_schemas)
        self.sites: dict[str, Site] = {}
        for code in ("jiuquan", *STATIONS):
            settings = {"code": code, "name": code, "poll_seconds": 2.0}
            made = site(url, f"http_{number}_{code}", **settings)
            self.sites[code] = stack.enter_context(made)
        self.origin = self.sites["jiuquan"]
        for code in STATIONS:
            meet(self.origin, self.sites[code])

    def __getitem__(self, code: str) -> Site:
        return self.sites[code]

    def offer(self, code: str) -> str:
        _, outflow = absent(self.origin)
        self.origin.post(f"/outflows/{outflow}/offers", {"host": code})
        return outflow

    def hand_over(self, code: str) -> str:
        outflow = self.offer(code)
        until(lambda: self[code].ask(f"/outflows/{outflow}").status_code == 200)
        self.accept(code, outflow)
        until(lambda: self.carer(self[code], outflow) == code)
        return outflow

    def accept(self, code: str, outflow: str) -> None:
        self[code].post(f"/inflows/{outflow}/offers/1/accepted", ACCEPTANCE)

    @staticmethod
    def carer(at: Site, outflow: str) -> str | None:
        answer = at.ask(f"/outflows/{outflow}")
        return str(answer.json()["carer"]) if answer.status_code == 200 else None

    def lane(self, here: str, there: str) -> dict[str, Any]:
        (found,) = (p for p in self[here].get("/peers") if p["peer"] == there)
        shown: dict[str, Any] = found
        return shown


@pytest.fixture(scope="module")
def three(postgres: EmbeddedServer) -> Iterator[Three]:
    """Shared by the tests of this module: each leaves all three running."""
    with ExitStack() as stack:
        yield Three(postgres.url, stack)


def contact(outflow: str, **details: str) -> dict[str, str]:
    return {"outflow": outflow, "on": "2025-05-01", "method": "电话", "by": "李干事", **details}


def same_streams(one: Site, other: Site) -> int:
    """How many facts that both hold are the same byte for byte; all must be."""
    first, second = (
        {
            (e.record.originator_id, e.record.originator_version): e.record.state
            for e in at.node.ledger.since(0)
            if not e.record.topic.startswith("organization.")
        }
        for at in (one, other)
    )
    shared = first.keys() & second.keys()
    assert all(first[key] == second[key] for key in shared)
    return len(shared)


@pytest.mark.slow
def test_the_care_passes_and_a_contact_comes_home(three: Three) -> None:
    outflow = three.hand_over("chengdu")

    receipt = three["chengdu"].post("/contacts", contact(outflow))

    until(lambda: three.origin.ask("/history", outflow=outflow, topic="contact.").json()["items"])
    (row,) = three.origin.get("/contacts/due", outflow=outflow)["items"]
    assert (row["carer"], row["contacts"]) == ("chengdu", 1)
    assert same_streams(three.origin, three["chengdu"]) >= 5
    assert three["shenzhen"].ask(f"/outflows/{outflow}").status_code == 404
    assert receipt["version"] == 1


def test_receipts_arrive(three: Three) -> None:
    three.hand_over("chengdu")

    for here, there in (("jiuquan", "chengdu"), ("chengdu", "jiuquan")):
        until(
            lambda here=here, there=there: (
                (lane := three.lane(here, there))["out_acknowledged"] == lane["out_head"] > 0
            )
        )
        assert three.lane(here, there)["acknowledged_at"]


@pytest.mark.slow
def test_a_node_that_was_away_catches_up_by_itself(three: Three) -> None:
    outflow = three.hand_over("chengdu")
    three["chengdu"].stop()
    others = [three.offer("chengdu") for _ in range(3)]
    member = three.origin.get(f"/outflows/{outflow}")["member"]
    three.origin.post(f"/members/{member}/phone", {"phone": "13900005555"})

    three["chengdu"].start()

    for other in others:
        until(lambda other=other: three.carer(three["chengdu"], other) == "jiuquan")
        three.accept("chengdu", other)
        until(lambda other=other: three.carer(three["chengdu"], other) == "chengdu")
    trail = three["chengdu"].get(f"/members/{member}/trail/phone")
    assert trail[-1]["value"] == "+8613900005555"
    same_streams(three.origin, three["chengdu"])


def test_what_was_recorded_while_the_origin_was_away_reaches_it(three: Three) -> None:
    outflow = three.hand_over("chengdu")
    three.origin.stop()
    for _ in range(3):
        three["chengdu"].post("/contacts", contact(outflow))

    three.origin.start()

    until(lambda: _contacts(three.origin, outflow) == 3)


def _contacts(at: Site, outflow: str) -> int:
    rows = at.get("/contacts/due", outflow=outflow)["items"]
    return rows[0]["contacts"] if rows else 0


@pytest.mark.slow
def test_a_peer_that_is_down_does_not_disturb_the_others(three: Three) -> None:
    three["shenzhen"].stop()

    three.hand_over("chengdu")

    state = until(lambda: (s := three.lane("jiuquan", "shenzhen")["lane"])["failures"] > 1 and s)
    assert "ConnectError" in state["last_error"]
    assert 0 < state["retry_in_s"] <= BACKOFF_MAX_S
    healthy = three.lane("jiuquan", "chengdu")["lane"]
    assert (healthy["failures"], healthy["last_error"]) == (0, None)
    three["shenzhen"].start()
    until(lambda: three.lane("jiuquan", "shenzhen")["lane"]["failures"] == 0)
    three.hand_over("shenzhen")


# A peer that is up and answers what it should not.


class Liar(BaseHTTPRequestHandler):
    """Answers whatever the test tells it to."""

    status, body = 200, b"garbage"

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def lie() -> Iterator[tuple[str, type[Liar]]]:
    """The address of a server that lies, and what it says."""
    said = type("Said", (Liar,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), said) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", said
        server.shutdown()
        thread.join()


def enrol(at: Site, code: str, address: str) -> None:
    wire = make_card(NodeKeys.generate(), code, code, address, utc_now())
    fingerprint = read_card(wire).fingerprint
    at.post("/peers", {"card": wire.decode(), "fingerprint": fingerprint})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"garbage"),
        (200, b""),
        (200, b"waystation/batch/v1 lanzhou AAAA\n{}"),
        (200, b"x" * 20_000_000),
        (500, b"sorry"),
        (302, b""),
        (403, b"{}"),
    ],
)
def test_a_peer_that_answers_garbage_does_not_disturb_the_others(
    three: Three, lie: tuple[str, type[Liar]], status: int, body: bytes
) -> None:
    address, said = lie
    said.status, said.body = status, body
    liar = f"liar-{address.rsplit(':', 1)[1]}"
    enrol(three.origin, liar, address)

    state = until(lambda: (s := three.lane("jiuquan", liar)["lane"]) and s["failures"] and s)

    assert state["last_error"]
    three.hand_over("chengdu")
    assert three.origin.get("/health")["status"] == "ok"
    assert three.lane("jiuquan", liar)["in_number"] == 0


@pytest.mark.slow
def test_a_peer_that_says_nothing_does_not_disturb_the_others(three: Three) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        enrol(three.origin, "silent", f"http://127.0.0.1:{silent.getsockname()[1]}")
        until(lambda: "silent" in three.origin.running.worker.pullers)

        three.hand_over("chengdu")


@pytest.mark.slow
def test_a_peer_whose_address_leads_nowhere_does_not_disturb_the_others(three: Three) -> None:
    for code, address in (
        ("lanzhou", f"http://127.0.0.1:{free_port()}"),
        ("zhangye", "http://nowhere.invalid"),
        ("dingxi", "https://127.0.0.1:1"),
    ):
        enrol(three.origin, code, address)
        until(lambda code=code: (s := three.lane("jiuquan", code)["lane"]) and s["failures"])

    three.hand_over("chengdu")


def test_a_lane_waits_longer_after_every_failure_within_bounds() -> None:
    waits = [backoff(failures) for failures in range(1, 50)]

    assert all(0 < wait <= BACKOFF_MAX_S for wait in waits)
    assert waits[0] <= BACKOFF_FIRST_S
    assert min(waits[20:]) >= BACKOFF_MAX_S / 2
