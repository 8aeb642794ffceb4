"""Kafka 通道: carries lanes through a broker that may lose, repeat, delay and reorder messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from threading import Event, Thread
from typing import Any

from domain.values import OrgCode
from sync.broker import TEND_S, Broker, Names
from sync.carrier import Carrier
from sync.inbox import Inbox
from sync.kafka_clients import Door
from sync.kafka_settings import KafkaSettings
from sync.lane import Backoff
from sync.pushing import Receiver, Sender
from sync.reach import described
from sync.relay import Relay

_log = logging.getLogger(__name__)


class KafkaLanes:
    """All lanes of one node over one broker: a thread that sends and a thread that receives."""

    def __init__(
        self,
        settings: KafkaSettings,
        org: OrgCode,
        relay: Relay,
        inbox: Inbox,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        door, names = Door(org, settings, clock), Names(org, settings.topic)
        self._servers, self._names = settings.servers, names
        self._carrier = Carrier(relay, inbox, clock)
        self._broker = Broker(door)
        self._sender = Sender(door, self._broker, self._carrier, names)
        self._receiver = Receiver(door, self._broker, self._carrier, names)
        self._stop = Event()
        self._faults: dict[str, str] = {}
        self._threads = [
            Thread(target=self._run, args=(tick, close), name=f"kafka-{name}-{org}", daemon=True)
            for name, tick, close in (
                ("send", self._send, self._close_sender),
                ("receive", self._receive, self._receiver.close),
            )
        ]

    def start(self) -> None:
        """Begin; a broker that is not there yet is waited for."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float) -> bool:
        """End, within so many seconds; whether both threads have finished what they held."""
        deadline = time.monotonic() + timeout
        self._stop.set()
        self._sender.news.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        alive = any(thread.is_alive() for thread in self._threads)
        if not alive:
            self._close_sender()
            self._receiver.close()
        return not alive

    def wake(self) -> None:
        """There is news in the ledger: facts for peers, or new peers."""
        self._sender.fresh.set()
        self._sender.news.set()

    def retry(self, peer: OrgCode) -> None:
        """Try a peer's lane at once, and the broker too, whatever was waited for."""
        self._carrier.retry(peer)
        self._receiver.retry(peer)
        self._broker.retry()
        self.wake()

    def tell(self, peer: OrgCode) -> None:
        """Have a peer told where its lane stands here."""
        self._carrier.tell(peer)
        self._sender.news.set()

    def step(self) -> None:
        """One round of both threads' work in this one (tests; never beside `start`)."""
        self._sender.fresh.set()
        self._sender.tick()
        self._receiver.tick(self._stop, self._sender.news.set)

    def status(self) -> dict[str, Any]:
        """Whether the broker answers, and how the lane of every peer stands."""
        now, broker, faults = time.monotonic(), self._broker, self._broker.faults
        peers = self._carrier.status(now)
        for peer, shown in peers.items():
            if ailing := sorted(self._names.all([peer]) & faults.keys()):
                shown["last_error"] = "; ".join(f"{name}: {faults[name]}" for name in ailing)
                shown["retry_at"] = self._carrier.moment(broker.tend_at, now)
        return {
            "broker": ",".join(self._servers),
            "reachable": broker.up.is_set(),
            "last_error": broker.last_error,
            "retry_at": self._carrier.moment(broker.backoff.until, now),
            "threads": dict(self._faults),
            "peers": peers,
        }

    def _send(self) -> None:
        self._sender.news.clear()
        due = self._sender.tick()
        if not self._stop.is_set():
            self._sender.news.wait(due)

    def _receive(self) -> None:
        self._receiver.tick(self._stop, self._sender.news.set)

    def _close_sender(self) -> None:
        self._sender.close()
        self._broker.close()

    def _run(self, tick: Callable[[], None], close: Callable[[], None]) -> None:
        waits = Backoff(0.5, TEND_S)
        name = tick.__name__.strip("_")
        while not self._stop.is_set():
            try:
                tick()
                waits.clear()
                self._faults.pop(name, None)
            except Exception as fault:  # noqa: BLE001 - shown in the status, and tried again.
                self._faults[name] = described(fault)
                _log.warning("Kafka lanes, %s: %s", name, self._faults[name], exc_info=True)
                close()
                waits.fail(time.monotonic())
                self._stop.wait(waits.until - time.monotonic())
        close()
