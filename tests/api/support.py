"""现场: nodes with real servers on loopback, and how a test speaks to them."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import count
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from fastapi import FastAPI
from stdnum.cn import ric

from api.app_state import Running
from api.node import Node
from api.serving import ServerThread
from api.settings import Settings
from api.storage.database import Database
from domain.values import utc_now
from sync.card import read_card
from sync.keys import NodeKeys
from sync.signed_http import authorities

T = TypeVar("T")

SETTLE_S = 15.0

_sequence = count(1)


def number() -> str:
    """The national id number of nobody, with a valid check digit; never the same twice."""
    n = next(_sequence)
    born = f"19{50 + n // 28 % 50:02}{1 + n // 1400 % 12:02}{1 + n % 28:02}"
    stem = f"620902{born}{n // 16_800 % 1000:03}"
    return stem + str(ric.calc_check_digit(stem + "0"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: Callable[[], T | bool | None], seconds: float = SETTLE_S) -> T:
    """Wait for something to be there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if came := what():
            return came  # type: ignore[return-value]
        time.sleep(0.01)
    raise AssertionError(f"It did not come in {seconds} s.")


class Site:
    """One node, its server, and a client on loopback."""

    def __init__(self, node: Node) -> None:
        self.node, self.code = node, node.settings.code
        self.url = node.settings.address
        # What a test asks an auditor's question for is seldom its point.
        headers = {"Waystation-Purpose": "audit"}
        self.http = httpx.Client(
            base_url=self.url, headers=headers, verify=authorities(), trust_env=False, timeout=20
        )
        self._server: ServerThread | None = None

    def start(self) -> None:
        self._server = ServerThread(self.node)
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def app(self) -> FastAPI:
        assert self._server is not None
        return self._server.app

    @property
    def running(self) -> Running:
        running: Running = self.app.state.running
        return running

    def ask(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(path, params=query)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.ask(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): quote(value, '/" *') for name, value in headers.items()}
        return self.http.post(path, json={} if body is None else body, headers=named)

    def post(self, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """A command that is accepted."""
        answer = self.send(path, body, **headers)
        assert answer.status_code == 201, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    def card(self) -> tuple[str, str]:
        wire = self.http.get("/card").content
        return wire.decode(), read_card(wire).fingerprint


def meet(one: Site, other: Site, grants: tuple[str, ...] = ("identity", "contact")) -> None:
    """Enrol each at the other."""
    for here, there in ((one, other), (other, one)):
        card, fingerprint = there.card()
        here.post("/peers", {"card": card, "fingerprint": fingerprint, "grants": list(grants)})


@contextmanager
def site(
    url: str, schema: str, clock: Callable[[], datetime] = utc_now, **settings: Any
) -> Iterator[Site]:
    """A node in a schema, with its server."""
    known = {"code": "jiuquan", "name": "酒泉市委组织部", "port": free_port(), **settings}
    with ExitStack() as stack:
        database = Database(url, schema)
        stack.callback(database.close)
        node = Node(Settings.model_validate(known), database, NodeKeys.generate(), clock)
        stack.callback(node.close)
        made = Site(node)
        stack.callback(made.http.close)
        stack.callback(made.stop)
        made.start()
        yield made


# What the tests begin with.


def person(**details: Any) -> dict[str, Any]:
    """Somebody's file."""
    return {
        "name": "张三",
        "number": number(),
        "joined_on": "2000-07-01",
        "full_on": "2001-07-01",
        "branch": "东沟村党支部",
        "phone": "13900001234",
        **details,
    }


def absent(at: Site, **details: Any) -> tuple[str, str]:
    """A member who has left: member and outflow."""
    member = at.post("/members", person())["id"]
    said = {"member": member, "left_on": "2025-03-01", "destination": "四川省成都市", **details}
    return member, at.post("/outflows", said)["id"]


def offered(origin: Site, host: Site, **details: Any) -> str:
    """An absence whose offer has reached the host."""
    _, outflow = absent(origin, **details)
    origin.post(f"/outflows/{outflow}/offers", {"host": host.code})
    until(lambda: host.ask(f"/outflows/{outflow}").status_code == 200)
    return outflow


ACCEPTANCE = {"branch": "第一党支部", "liaison": "李干事", "accepted_on": "2025-03-10"}


def cared_for(origin: Site, host: Site) -> tuple[str, str]:
    """An absence in the host's care, known on both sides: outflow and inflow."""
    outflow = offered(origin, host)
    inflow = host.post(f"/inflows/{outflow}/offers/1/accepted", ACCEPTANCE)["id"]
    until(lambda: host.get(f"/outflows/{outflow}")["carer"] == host.code)
    return outflow, inflow
