"""推送: a thread that sends, a thread that receives, over any broker that keeps a log a topic."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from domain.values import OrgCode
from sync.broker import TEND_S, Broker, Consumer, Door, Names, Producer, Refused, Unreachable
from sync.carrier import Carrier, Parcel
from sync.envelope import Batch
from sync.lane import HEARTBEAT_S, Lane

IN_FLIGHT_MAX = 16
"""Messages for one peer that the broker has not acknowledged; the client itself has no bound."""

SILENCE_S = 3 * HEARTBEAT_S
"""Silence of a topic after which it is entered again: the peer, or our own client, hangs."""

POLL_S = 0.5

_log = logging.getLogger(__name__)


@dataclass
class _Handed:
    """A message that the client has taken, and what became of it."""

    parcel: Parcel
    news: Event
    done: bool = False
    fault: str | None = None
    way: str = ""

    def settle(self, fault: str | None, way: str = "") -> None:
        self.fault, self.way, self.done = fault, way, True
        self.news.set()


class Sender:
    """Hands parcels to the producer, in order, a bounded number at a time."""

    def __init__(self, door: Door, broker: Broker, carrier: Carrier, names: Names) -> None:
        self._door, self._broker, self._carrier, self._names = door, broker, carrier, names
        self._producer: Producer | None = None
        self._handed: dict[OrgCode, deque[_Handed]] = {}
        self.news, self.fresh = Event(), Event()
        self.fresh.set()

    def tick(self) -> float:
        """Send what there is; seconds until there may be more without news."""
        now, broker = time.monotonic(), self._broker
        if now < broker.backoff.until:
            return broker.backoff.until - now
        if self.fresh.is_set():
            self.fresh.clear()
            if self._carrier.look():
                broker.tend_at = now
        try:
            if now >= broker.tend_at:
                broker.tend(self._names.all(self._carrier.lanes), now)
            self._producer = self._producer or self._door.producer()
        except Unreachable as fault:
            self.close(at_once=True)
            broker.lost(fault, time.monotonic())
            return max(0.0, broker.backoff.until - time.monotonic())
        due = [self._serve(lane) for lane in self._carrier.lanes.values()]
        return max(0.0, min([broker.tend_at - time.monotonic(), *due]))

    def close(self, *, at_once: bool = False) -> None:
        """Let go of the producer."""
        producer, self._producer = self._producer, None
        self._handed.clear()
        if producer is not None:
            producer.close(at_once=at_once)

    def _serve(self, lane: Lane) -> float:
        """Send one peer what may go to it; what is wrong with it stops no other."""
        topic, now = self._names.outgoing(lane.peer), time.monotonic()
        if topic not in self._broker.fine:
            return math.inf
        handed = self._handed.setdefault(lane.peer, deque())
        if lane.overdue(now):
            self._broker.tend_at = now
            if handed and not handed[0].done:
                # A client that could not deliver for so long is not waited for.
                self.close(at_once=True)
                return 0.0
        try:
            return self._hand(lane, topic, handed)
        except Refused as fault:
            handed.clear()
            lane.failed(str(fault), time.monotonic())
            self._broker.tend_at = time.monotonic()
        except Exception as fault:  # noqa: BLE001 - shown in the status, and tried again.
            # What cannot be packed for one peer stops that peer's lane alone.
            _log.exception("Lane to %s", lane.peer)
            lane.failed(f"{type(fault).__name__}: {fault}", time.monotonic())
        return lane.due(time.monotonic())

    def _hand(self, lane: Lane, topic: str, handed: deque[_Handed]) -> float:
        while handed and handed[0].done:
            settled = handed.popleft()
            if settled.fault is not None:
                raise Refused(settled.fault)
            self._carrier.delivered(lane, settled.parcel, settled.way)
        parcels = self._carrier.outgoing(lane, time.monotonic())
        while self._producer is not None and len(handed) < IN_FLIGHT_MAX:
            parcel = next(parcels, None)
            if parcel is None:
                return lane.due(time.monotonic())
            taken = _Handed(parcel, self.news)
            self._producer.send(topic, parcel, taken.settle)
            handed.append(taken)
            if parcel.kind == Batch.KIND:
                lane.sent(parcel.after, parcel.last, time.monotonic())
        return math.inf  # Whatever is settled next wakes the thread.


class Receiver:
    """Reads the peers' topics from their ends on, and asks each peer for what came before."""

    def __init__(self, door: Door, broker: Broker, carrier: Carrier, names: Names) -> None:
        self._door, self._broker, self._carrier, self._names = door, broker, carrier, names
        self._consumer: Consumer | None = None
        self._heard: dict[str, float] = {}
        self._denied: dict[str, float] = {}
        self._outages = 0

    def tick(self, stopping: Event, tell: Callable[[], None]) -> None:
        """Wait for messages, for POLL_S at most, and deal with them one by one."""
        if not self._broker.up.wait(POLL_S) or self._outages != self._broker.outages:
            self._outages = self._broker.outages
            self.close()
            return
        lanes = {self._names.incoming(lane.peer): lane for lane in self._carrier.lanes.values()}
        consumer = self._consumer = self._consumer or self._door.consumer()
        if self._follow(consumer, lanes):
            tell()
        if not self._heard:
            stopping.wait(POLL_S)
            return
        read = consumer.read(POLL_S)
        for topic, wire in read.messages:
            if stopping.is_set():
                return
            self._heard[topic] = time.monotonic()
            self._carrier.take(wire, lanes[topic])
            tell()
        for name, fault in (read.moved | read.denied).items():
            _log.warning("Topic %s: %s", name, fault)
            self._heard.pop(name, None)
        for name, fault in read.denied.items():
            self._deny(lanes[name], name, fault)

    def retry(self, peer: OrgCode) -> None:
        """Read a peer's topic again although it was just refused."""
        self._denied.pop(self._names.incoming(peer), None)

    def close(self) -> None:
        """Let go of the consumer."""
        consumer, self._consumer = self._consumer, None
        self._heard.clear()
        if consumer is not None:
            consumer.close()

    def _follow(self, consumer: Consumer, lanes: dict[str, Lane]) -> bool:
        """Read the topics that are there; whether one was entered now, at its end."""
        now = time.monotonic()
        denied = {name for name, until in self._denied.items() if now < until}
        wanted = (lanes.keys() & self._broker.fine) - denied
        kept = {n: at for n, at in self._heard.items() if n in wanted and now < at + SILENCE_S}
        if kept.keys() == wanted == self._heard.keys():
            return False
        starts = {}
        for name in wanted - kept.keys():
            try:
                starts[name] = consumer.end(name)
            except Refused as fault:
                self._deny(lanes[name], name, str(fault))
        self._heard = kept | dict.fromkeys(starts, now)
        consumer.follow(self._heard, starts)
        for lane in self._carrier.lanes.values():
            if self._names.incoming(lane.peer) in starts:
                self._carrier.enter(lane)
        return bool(starts)

    def _deny(self, lane: Lane, name: str, fault: str) -> None:
        self._denied[name] = time.monotonic() + TEND_S
        lane.last_error = f"{name}: {fault}"
