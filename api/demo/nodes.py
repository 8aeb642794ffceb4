"""三个节点: starts each organization's node as a process of its own, and stops them in order."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from api.client import Client, NoAnswer
from api.settings import DATABASE_URL, Settings
from api.storage.server import EmbeddedServer
from domain.aggregate import CIVIL_ZONE
from domain.errors import Refusal
from domain.organization import OrgKind
from domain.pact import PactState
from domain.values import OrgCode

START_S, STOP_S = 90.0, 30.0
"""How long a node may take to come up (it may have a crash to recover from), and to stop."""

_POLL_S = 0.05


class NotStarted(Refusal):
    """节点没有启动。A node did not start."""

    kind = "busy"
    mend = "请查看该节点的日志。Look at the node's log."


@dataclass(frozen=True)
class Organization:
    """One of the three."""

    code: OrgCode
    name: str
    kind: OrgKind
    city: str | None


ORIGIN = Organization("jiuquan", "酒泉市委组织部", "department", None)
CHENGDU = Organization("chengdu", "酒泉市驻成都联络服务站", "station", "成都")
SHENZHEN = Organization("shenzhen", "酒泉市驻深圳联络服务站", "station", "深圳")
ALL = (ORIGIN, CHENGDU, SHENZHEN)

ORIGIN_GRANTS = ("identity", "contact")
STATION_GRANTS = ("identity", "contact", "notes")
"""What the other side may open: a station's notes on its contacts are the origin's to read."""


AGREED_FOR, AGREED = ("identify", "care", "transfer"), timedelta(days=364)
"""For what, and how long from today, that is agreed: without it no key passes."""


class Nodes:
    """The three node processes."""

    def __init__(self, home: Path, kafka: str | None) -> None:
        self._home, self._kafka = home, kafka
        self._processes: dict[OrgCode, subprocess.Popen[bytes]] = {}
        self.clients: dict[OrgCode, Client] = {}

    def start(self) -> None:
        """Start all three, then wait until each answers.

        Raises:
            NotStarted: with where its log is.
        """
        for organization in ALL:
            self._launch(organization)
        for organization in ALL:
            self._await(organization)

    def _launch(self, organization: Organization) -> None:
        home = self._home / organization.code
        said = vars(organization) | {"port": _port(home)}
        settings = Settings.of(
            said | ({"kafka": {"servers": [self._kafka]}} if self._kafka else {})
        )
        settings.save(home)
        command = [sys.executable, "-m", "api.cli", "serve", "--home", str(home), "--while-stdin"]
        with (home / "node.log").open("ab") as log:
            # Its own session: Ctrl-C reaches the story alone, which stops the nodes in order.
            self._processes[organization.code] = subprocess.Popen(  # noqa: S603 - our own program.
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # An operator's database is not the demonstration's: each node brings its own.
                env={n: v for n, v in os.environ.items() if n != DATABASE_URL},
            )
        self.clients[organization.code] = Client(settings.address, "演示 story")

    def _await(self, organization: Organization) -> None:
        process = self._processes[organization.code]
        log = self._home / organization.code / "node.log"
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                self.clients[organization.code].get("/health")
            except NoAnswer:
                time.sleep(_POLL_S)
            else:
                return
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise NotStarted(node=organization.code, log=str(log), tail=tail)

    def acquaint(self) -> dict[OrgCode, str]:
        """Exchange cards between origin and stations; the fingerprints compared."""
        shown = {code: client.card() for code, client in self.clients.items()}
        cards = {code: card for code, (card, _) in shown.items()}
        prints = {code: fingerprint for code, (_, fingerprint) in shown.items()}
        for station in (CHENGDU, SHENZHEN):
            for one, other, grants in (
                (ORIGIN.code, station.code, ORIGIN_GRANTS),
                (station.code, ORIGIN.code, STATION_GRANTS),
            ):
                body = {"card": cards[other], "fingerprint": prints[other]}
                self.clients[one].post("/peers", body)
                self._agree(one, other, grants)
        return prints

    def _agree(self, one: OrgCode, other: OrgCode, classes: tuple[str, ...]) -> None:
        """Conclude what `other` may open of what `one` keeps; a second run finds it concluded."""
        (pact,) = (p["ours"] for p in self.clients[one].get("/pacts") if p["peer"] == other)
        if pact["state"] == PactState.IN_FORCE:
            return
        today = datetime.now(CIVIL_ZONE).date()
        terms = {
            "purposes": AGREED_FOR,
            "classes": classes,
            "effective_from": today.isoformat(),
            "until": (today + AGREED).isoformat(),
            "document": "示例约定",
        }
        lapsed = pact["state"] == PactState.LAPSED
        path = f"/pacts/{other}/change" if lapsed else f"/pacts/{other}"
        self.clients[one].post(path, {"terms": terms})

    def pacts(self) -> list[dict[str, str]]:
        """What each lets its peers open, as its own node says."""
        return [
            {
                "keeper": code,
                "peer": each["peer"],
                "state": each["ours"]["state"],
                "classes": "、".join(each["ours"]["classes"]),
                "purposes": "、".join(each["ours"]["purposes"]),
                "until": each["ours"]["in_force_until"],
            }
            for code, client in self.clients.items()
            for each in client.get("/pacts")
        ]

    def stop(self) -> bool:
        """Stop all three, by pid; whether each ended cleanly."""
        for process in self._processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        clean = True
        for process in self._processes.values():
            try:
                clean = process.wait(STOP_S) == 0 and clean
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                clean = False
        return clean


def erase(home: Path) -> None:
    """Start over (--fresh): the databases where they lie, then the folder."""
    for organization in ALL:
        if (home / organization.code / "postgres").exists():
            EmbeddedServer(home / organization.code / "postgres").erase()
    shutil.rmtree(home, ignore_errors=True)


def _port(home: Path) -> int:
    """The port of the last time if it is free, else any free one."""
    known = Settings.load(home).port if (home / "node.json").exists() else 0
    for port in (known, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise NotStarted(because=os.strerror(98))
