"""工作线程: what a node does by itself for as long as it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING

from api.live import News
from api.node import Node
from sync.lane_http import Puller, Signer, backoff

if TYPE_CHECKING:
    from sync.lane_kafka import KafkaLanes

IDLE_S = 1.0
"""How long a worker sleeps when there is no news; commits and deliveries wake it at once."""

FULL = 500
"""A step that passed fewer entries than this has seen everything there was when it began."""

DEADLINES_S = 15.0
"""How often offers are looked through for those whose time has run out."""

_log = logging.getLogger(__name__)


class Worker:
    """The threads of one node: answers, relay, read models, deadlines, and a lane for each peer."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.lane_news, self.read_news = News(), News()
        self.faults: dict[str, str] = {}
        self.pullers: dict[str, Puller] = {}
        self.kafka: KafkaLanes | None = None
        self._stop = Event()
        self._signer = Signer(node.settings.code, node.keys, node.clock)
        self._threads = [
            self._thread("answers", node.answer_arrivals),
            self._thread("relay", self._relay),
            self._thread("read-models", self._project),
            Thread(target=self._deadlines, name="deadlines", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        if self.node.settings.kafka:
            self.kafka = self._kafka_lanes(self.node.settings.kafka)
            self.kafka.start()
        for thread in self._threads:
            thread.start()

    @property
    def stopping(self) -> bool:
        """Whether the node is about to stop: nobody need wait for news any more."""
        return self._stop.is_set()

    def hurry(self) -> None:
        """Let every request that waits for news answer now."""
        self._stop.set()
        self.node.ledger.wake()
        self.lane_news.tell()
        self.read_news.tell()

    def stop(self) -> None:
        """Stop in order: no more deliveries, then let the threads finish what they hold."""
        self.hurry()
        if self.kafka is not None:
            self.kafka.stop(5.0)
        for puller in self.pullers.values():
            puller.stop()
        for thread in self._threads:
            thread.join(timeout=10.0)

    def _thread(self, name: str, step: Callable[[], int]) -> Thread:
        return Thread(target=self._loop, args=(name, step), name=name, daemon=True)

    def _loop(self, name: str, step: Callable[[], int]) -> None:
        failures = 0
        while not self._stop.is_set():
            seen = self.node.ledger.head
            try:
                if step() < FULL and self.node.ledger.head == seen:
                    self.node.ledger.wait_beyond(seen, IDLE_S)
                failures = 0
                self.faults.pop(name, None)
            except Exception as fault:  # noqa: BLE001 - shown in /health, and tried again.
                failures += 1
                self.faults[name] = f"{type(fault).__name__}: {fault}"
                _log.exception("Worker %s", name)
                self._stop.wait(backoff(failures))

    def _relay(self) -> int:
        numbered = self.node.relay.number()
        if numbered:
            self.lane_news.tell()
            if self.kafka is not None:
                self.kafka.wake()
        return numbered

    def _project(self) -> int:
        applied = self.node.projector.catch_up()
        if applied:
            self.read_news.tell()
        return applied

    def _deadlines(self) -> None:
        while not self._stop.is_set():
            try:
                self._meet_peers()
                self.node.lapse_offers()
                self.faults.pop("deadlines", None)
            except Exception as fault:  # noqa: BLE001 - as in _loop.
                self.faults["deadlines"] = f"{type(fault).__name__}: {fault}"
                _log.exception("Worker deadlines")
            for _ in range(int(DEADLINES_S / IDLE_S)):
                if self._stop.wait(IDLE_S) or self._new_peers():
                    break

    def _new_peers(self) -> bool:
        return self.kafka is None and bool(self.node.relay.peers().keys() - self.pullers.keys())

    def _meet_peers(self) -> None:
        if self.kafka is not None:
            return
        node = self.node
        for peer in node.relay.peers():
            if peer not in self.pullers:
                puller = Puller(
                    peer,
                    node.relay,
                    node.inbox,
                    self._signer,
                    org=node.settings.code,
                    after=partial(_recorded, node, peer),
                    poll_seconds=node.settings.poll_seconds,
                    clock=node.clock,
                )
                self.pullers[peer] = puller
                puller.start()

    def _kafka_lanes(self, bootstrap: str) -> KafkaLanes:
        # Imported here, so that a node without a broker does not pay for the client.
        from sync.lane_kafka import KafkaLanes  # noqa: PLC0415

        node = self.node
        return KafkaLanes(
            bootstrap,
            node.settings.code,
            node.relay,
            node.inbox,
            clock=node.clock,
            on_recorded=node.ledger.wake,
        )


def _recorded(node: Node, peer: str) -> int:
    return node.lanes.standing_in(peer).number
