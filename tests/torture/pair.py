"""一对节点: an origin and a host in processes of their own, and the absences between them."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.settings import DATABASE_URL
from sync.card import read_card
from tests.api.support import free_port, number
from tests.torture.supervised import Supervised, until

ORIGIN, HOST = "jiuquan", "chengdu"
LEVEL_S = 90.0
ABSENCES = 6


@dataclass
class Pair:
    """Both nodes, and what there is to record about."""

    origin: Supervised
    host: Supervised
    members: list[str] = field(default_factory=list)
    absences: list[str] = field(default_factory=list)
    inflows: list[str] = field(default_factory=list)

    @property
    def both(self) -> tuple[Supervised, Supervised]:
        return self.origin, self.host

    def start(self) -> None:
        """Both, acquainted, with absences that have passed into the host's care."""
        for node in self.both:
            node.start()
        for node in self.both:
            node.await_well()
        for here, there in (self.both, self.both[::-1]):
            card = there.http.get("/card").text
            said = {"card": card, "fingerprint": read_card(card.encode()).fingerprint}
            here.post("/peers", {**said, "grants": ["identity", "contact"]})
        for _ in range(ABSENCES):
            self._absence()
        until(lambda: all(map(self._in_care, self.absences)), LEVEL_S, self.host.tail)

    def _absence(self) -> None:
        member = self.origin.post("/members", person())["id"]
        absence = self.origin.post("/outflows", departure(member))["id"]
        self.origin.post(f"/outflows/{absence}/offers", {"host": HOST})
        path = f"/outflows/{absence}"
        until(lambda: self.host.http.get(path).is_success, LEVEL_S, self.host.tail)
        inflow = self.host.post(f"/inflows/{absence}/offers/1/accepted", acceptance())["id"]
        self.members.append(member)
        self.absences.append(absence)
        self.inflows.append(inflow)

    def _in_care(self, absence: str) -> bool:
        return bool(self.host.get(f"/outflows/{absence}")["carer"] == HOST)

    def stop(self) -> None:
        for node in self.both:
            node.stop()


def person() -> dict[str, Any]:
    """The file of an invented member, never the same twice."""
    return {
        "name": "张三",
        "number": number(),
        "joined_on": "2000-07-01",
        "full_on": "2001-07-01",
        "branch": "肃州区东沟村党支部",
    }


def departure(member: str) -> dict[str, Any]:
    return {"member": member, "left_on": "2025-03-01", "reason": "务工", "destination": "成都"}


def acceptance() -> dict[str, Any]:
    return {"branch": "驻外第一党支部", "liaison": "李干事", "accepted_on": "2025-03-10"}


@contextmanager
def pair(
    databases: Mapping[str, str] | None = None,
    environment: Mapping[str, dict[str, str]] | None = None,
    within: Path | None = None,
    **settings: Any,
) -> Iterator[Pair]:
    """A pair in a temporary folder; nothing of it is left behind.

    `databases` are an operator's, by code; so is what surrounds a process.
    """
    folder = within or Path(tempfile.mkdtemp(prefix="waystation-torture-"))
    # Root's database server runs as nobody, who must be able to walk there.
    folder.chmod(0o711)
    ports = free_port(), free_port()
    nodes = []
    for code, kind, port in ((ORIGIN, "department", ports[0]), (HOST, "station", ports[1])):
        known = {"code": code, "name": code, "kind": kind, "port": port, **settings}
        around = dict((environment or {}).get(code, {}))
        if databases:
            around[DATABASE_URL] = databases[code]
        nodes.append(Supervised(folder / code, known, around))
    made = Pair(*nodes)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def seeded(seed: int) -> random.Random:
    """The chance of a run; its seed is told."""
    sys.stdout.write(f"seed {seed}\n")
    return random.Random(seed)
