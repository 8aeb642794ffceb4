"""负载: several callers who never rest, ask with a key, and ask again until they know."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Event, Thread
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx

from tests.torture.pair import HOST, Pair, acceptance, departure, person
from tests.torture.supervised import Supervised

ANSWER_S = 20.0
"""The longest any request may take, whatever has been killed."""

INSIST_S = 120.0
AGAIN_S = 0.1
AGAIN = frozenset({"still-under-way", "overtaken"})
"""Refusals that call for the same key again; every answer of 503 and 507 does."""


@dataclass(frozen=True)
class Told:
    """An acknowledged command: where, under which key, and its receipt."""

    code: str
    key: str
    receipt: dict[str, Any]

    @property
    def command(self) -> UUID:
        """What names the command in every fact that it records."""
        return uuid5(NAMESPACE_URL, f"command:{self.key}")


@dataclass
class Load:
    """What the callers have seen, all of them together."""

    pair: Pair
    run: str
    refused: frozenset[str] = frozenset()
    """Refusals that are right in this round."""
    told: list[Told] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Answers that nobody may get."""
    statuses: Counter[str] = field(default_factory=Counter)
    last: dict[str, float] = field(default_factory=dict)
    """When each node has acknowledged a command last."""
    slowest: float = 0.0
    stopping: Event = field(default_factory=Event)
    numbers: Iterator[int] = field(default_factory=count)

    def insist(self, node: Supervised, http: httpx.Client, path: str, body: Any, key: str) -> Any:
        """The receipt of a command that is asked until its outcome is known."""
        deadline = time.monotonic() + INSIST_S
        while time.monotonic() < deadline:
            began = time.monotonic()
            try:
                answer = http.post(node.url + path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError as fault:
                self.statuses[type(fault).__name__] += 1
                answer = None
            self.slowest = max(self.slowest, time.monotonic() - began)
            if answer is not None:
                self.statuses[self._named(answer)] += 1
                if answer.status_code == 201:
                    receipt = answer.json()
                    self.told.append(Told(node.code, key, receipt))
                    self.last[node.code] = time.monotonic()
                    return receipt
                if self._named(answer).partition(" ")[2] in self.refused:
                    return None
                if not self._again(answer, path):
                    self.wrong.append(f"{path} {key}: {answer.status_code} {answer.text}")
                    return None
                if answer.status_code == 404 and not self.stopping.is_set():
                    # As long as lanes are being cut, nobody owes the offer's arrival.
                    deadline = time.monotonic() + INSIST_S
            time.sleep(AGAIN_S)
        self.wrong.append(f"{path} {key}: not answered within {INSIST_S} s")
        return None

    @staticmethod
    def _named(answer: httpx.Response) -> str:
        if answer.status_code == 201:
            return "201"
        kind = answer.json().get("type", "?").removeprefix("/problems/")
        return f"{answer.status_code} {kind}"

    @staticmethod
    def _again(answer: httpx.Response, path: str) -> bool:
        if answer.status_code in {503, 507}:
            return True
        kind = answer.json().get("type", "").removeprefix("/problems/")
        # The host may be asked before the offer has arrived there.
        return kind in AGAIN or (kind == "not-found" and path.endswith("/accepted"))


class Caller(Thread):
    """One of them: what it asks follows from its seed, when it asks from the answers."""

    def __init__(self, load: Load, seed: int) -> None:
        super().__init__(daemon=True)
        self._load, self._random = load, random.Random(seed)

    def run(self) -> None:
        with httpx.Client(trust_env=False, timeout=ANSWER_S) as http:
            while not self._load.stopping.is_set():
                self._one(http)

    def _one(self, http: httpx.Client) -> None:
        load, pair = self._load, self._load.pair
        one = self._random.randrange(len(pair.absences))
        n = next(load.numbers)
        about = {"outflow": pair.absences[one], "on": "2025-06-01", "by": "王干事"}
        contact, visit = ("/contacts", {**about, "method": "电话"}), ("/visits", about)
        address = {"address": f"武侯区科华路 {n} 号"}
        asks: list[tuple[Supervised, str, Any]] = [
            (pair.host, *contact),
            (pair.host, *visit),
            (pair.origin, *contact),
            # Of an existing record: nothing but the key keeps it from being recorded twice.
            (pair.origin, f"/members/{pair.members[one]}/address", address),
            (pair.host, f"/inflows/{pair.inflows[one]}/details", address),
        ]
        if self._random.random() < 0.1:
            self._journey(http, n)
            return
        load.insist(*self._with(http, self._random.choice(asks)), key=f"{load.run}/{n}")

    @staticmethod
    def _with(
        http: httpx.Client, ask: tuple[Supervised, str, Any]
    ) -> tuple[Supervised, httpx.Client, str, Any]:
        node, path, body = ask
        return node, http, path, body

    def _journey(self, http: httpx.Client, n: int) -> None:
        """A member from his file to the host's acceptance: what the node answers by itself."""
        load, key = self._load, f"{self._load.run}/{n}"
        origin, host = load.pair.both
        member = load.insist(origin, http, "/members", person(), f"{key}/member")
        if member is None:
            return
        body = departure(member["id"])
        absence = load.insist(origin, http, "/outflows", body, f"{key}/outflow")
        if absence is None:
            return
        path = f"/outflows/{absence['id']}/offers"
        if load.insist(origin, http, path, {"host": HOST}, f"{key}/offer") is not None:
            path = f"/inflows/{absence['id']}/offers/1/accepted"
            load.insist(host, http, path, acceptance(), f"{key}/accepted")


@contextmanager
def under_load(
    pair: Pair, seed: int, callers: int = 4, refused: frozenset[str] = frozenset()
) -> Iterator[Load]:
    """Callers at work; afterwards each of them knows the outcome of all it has asked."""
    load = Load(pair, f"torture-{seed}", refused)
    threads = [Caller(load, seed + number) for number in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stopping.set()
        for thread in threads:
            thread.join(INSIST_S * 4)
    assert not any(thread.is_alive() for thread in threads)
    assert load.wrong == []
