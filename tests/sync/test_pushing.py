"""推送: lanes over a broker in memory, which fails where a test tells it to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Event
from typing import Self

import pytest

from domain.commands import OfferCare
from sync import lane, pushing
from sync.broker import MISSING, TEND_S, Broker, Names, Read, Refused, Settle, Unreachable
from sync.carrier import Carrier, Parcel
from sync.pushing import IN_FLIGHT_MAX, SILENCE_S, Receiver, Sender
from tests.support.federation import CHENGDU, ORIGIN, SHENZHEN, ZHANG, accept, depart, register
from tests.support.stage import Staged

NAMES = Names(ORIGIN, "sync.{destination}.{source}")
TO_CHENGDU, FROM_CHENGDU = NAMES.outgoing(CHENGDU), NAMES.incoming(CHENGDU)


@dataclass
class Memory:
    """A broker in memory; a client is a view of it."""

    topics: dict[str, list[bytes]] = field(default_factory=dict)
    down: bool = False
    refusing: set[str] = field(default_factory=set)
    mute: bool = False
    """It takes messages, and never says what became of them."""

    def admin(self) -> View:
        return self._view()

    def producer(self) -> View:
        return self._view()

    def consumer(self) -> View:
        return self._view()

    def _view(self) -> View:
        if self.down:
            raise Unreachable("no broker")
        return View(self)


class View:
    """Admin, producer and consumer in one."""

    def __init__(self, broker: Memory) -> None:
        self._broker, self._at = broker, dict[str, int]()
        self.moved: dict[str, str] = {}

    def ailing(self, names: set[str]) -> dict[str, str]:
        if self._broker.down:
            raise Unreachable("no broker")
        return {name: MISSING for name in names if name not in self._broker.topics}

    def create(self, names: list[str]) -> dict[str, str]:
        may = [name for name in names if name not in self._broker.refusing]
        self._broker.topics |= {name: [] for name in may}
        return {name: "not allowed" for name in names if name not in may}

    def send(self, topic: str, parcel: Parcel, settle: Settle) -> None:
        if topic not in self._broker.topics:
            raise Refused("no such topic")
        if self._broker.mute:
            return
        fault = "denied" if topic in self._broker.refusing else None
        if fault is None:
            self._broker.topics[topic].append(parcel.wire)
        settle(fault, f"{topic}/0@{len(self._broker.topics[topic]) - 1}")

    def end(self, topic: str) -> int:
        if topic in self._broker.refusing:
            raise Refused("not to be read")
        return len(self._broker.topics[topic])

    def follow(self, topics: Iterable[str], starts: dict[str, int]) -> None:
        self._at = {name: starts.get(name, self._at.get(name, 0)) for name in topics}

    def read(self, seconds: float) -> Read:
        del seconds
        messages, moved = [], {}
        for name, at in self._at.items():
            kept = self._broker.topics.get(name, [])
            if at > len(kept):
                moved[name] = "out of range"
            messages += [(name, wire) for wire in kept[at:]]
            self._at[name] = max(at, len(kept))
        denied = {name: "denied" for name in self._at if name in self._broker.refusing}
        return Read(messages, moved, denied)

    def close(self, *, at_once: bool = False) -> None:
        del at_once
        self._at.clear()


class Ends:
    """Both ends of every lane between nodes, moved by hand, in time that a test lets pass."""

    def __init__(self, made: Staged, memory: Memory) -> None:
        self.made, self.memory = made, memory
        self.senders: dict[str, Sender] = {}
        self.receivers: dict[str, Receiver] = {}
        self.carriers: dict[str, Carrier] = {}
        self.brokers: dict[str, Broker] = {}
        for code in made.nodes:
            self.connect(code)

    def connect(self, code: str) -> None:
        node, names = self.made[code], Names(code, NAMES.template)
        carrier = Carrier(node.relay, node.inbox, node.clock)
        broker = Broker(self.memory)
        self.carriers[code], self.brokers[code] = carrier, broker
        self.senders[code] = Sender(self.memory, broker, carrier, names)
        self.receivers[code] = Receiver(self.memory, broker, carrier, names)

    def round(self, times: int = 12) -> Self:
        for _ in range(times):
            for code, node in self.made.nodes.items():
                node.settle()
                self.senders[code].fresh.set()
                self.senders[code].tick()
                self.receivers[code].tick(Event(), self.senders[code].news.set)
        return self

    def arrived(self, source: str, destination: str) -> bool:
        head, acknowledged = self.made[source].relay.standing(destination)
        return 0 < head.number == acknowledged.number


class Time:
    """Monotonic time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    passing = Time()
    monkeypatch.setattr("time.monotonic", passing.monotonic)
    monkeypatch.setattr(pushing, "POLL_S", 0.0)
    return passing


@pytest.fixture
def ends(three: Staged, time: Time) -> Ends:
    del time
    return Ends(three, Memory())


def offer(ends: Ends, host: str = CHENGDU, number: str = ZHANG) -> None:
    origin = ends.made[ORIGIN]
    outflow = depart(origin, register(origin, number))
    origin.service.execute(OfferCare(outflow=outflow, host=host))


def test_care_passes(ends: Ends) -> None:
    origin = ends.made[ORIGIN]
    outflow = depart(origin, register(origin))
    origin.service.execute(OfferCare(outflow=outflow, host=CHENGDU))
    ends.round()
    accept(ends.made[CHENGDU], outflow)
    ends.round()

    assert origin.ledger.facts(outflow)[-1].TOPIC == "outflow.confirmed"
    assert ends.arrived(ORIGIN, CHENGDU)
    assert ends.arrived(CHENGDU, ORIGIN)


def test_a_wiped_broker_is_filled_again(ends: Ends, time: Time) -> None:
    ends.round()
    offer(ends)
    ends.made[ORIGIN].settle()
    ends.senders[ORIGIN].fresh.set()
    ends.senders[ORIGIN].tick()
    ends.memory.topics.clear()
    time.now += TEND_S + lane.RESEND_FIRST_S
    ends.round()

    assert ends.arrived(ORIGIN, CHENGDU)


def test_a_broker_that_is_down_is_waited_for(ends: Ends, time: Time) -> None:
    ends.round()
    ends.memory.down = True
    time.now += TEND_S
    offer(ends)
    ends.round(1)
    broker = ends.brokers[ORIGIN]
    assert not broker.up.is_set()
    assert broker.last_error == "no broker"
    assert 0 < ends.senders[ORIGIN].tick() <= TEND_S

    ends.memory.down = False
    time.now += TEND_S
    ends.round()

    assert broker.last_error is None
    assert ends.arrived(ORIGIN, CHENGDU)


@pytest.mark.slow
def test_what_one_topic_refuses_does_not_stop_another(ends: Ends, time: Time) -> None:
    ends.round()
    ends.memory.refusing = {TO_CHENGDU}
    offer(ends)
    offer(ends, SHENZHEN, "620902198803151237")
    ends.round()
    assert ends.arrived(ORIGIN, SHENZHEN)
    assert ends.carriers[ORIGIN].lanes[CHENGDU].last_error == "denied"
    assert ends.carriers[CHENGDU].lanes[ORIGIN].last_error == f"{TO_CHENGDU}: denied"

    ends.memory.refusing = set()
    time.now += TEND_S
    ends.round()

    assert ends.arrived(ORIGIN, CHENGDU)


def test_a_topic_that_may_not_be_created_is_told(ends: Ends) -> None:
    ends.memory.refusing = {TO_CHENGDU}
    ends.round(2)

    assert ends.brokers[ORIGIN].faults == {TO_CHENGDU: "not allowed"}
    assert TO_CHENGDU not in ends.brokers[ORIGIN].fine


def test_a_topic_that_may_not_be_entered_is_left_for_a_while(ends: Ends, time: Time) -> None:
    ends.memory.topics[FROM_CHENGDU] = []
    ends.memory.refusing = {FROM_CHENGDU}
    ends.round(3)
    assert "not to be read" in str(ends.carriers[ORIGIN].lanes[CHENGDU].last_error)

    ends.memory.refusing = set()
    time.now += TEND_S
    offer(ends)
    ends.round()

    assert ends.arrived(ORIGIN, CHENGDU)


@pytest.mark.slow
def test_a_topic_that_is_shorter_than_it_was_is_entered_again(ends: Ends) -> None:
    ends.round()
    offer(ends)
    ends.round()
    ends.memory.topics[TO_CHENGDU].clear()
    ends.round(2)
    offer(ends, number="620902198803151237")
    ends.round()

    assert ends.arrived(ORIGIN, CHENGDU)


@pytest.mark.slow
def test_a_topic_that_vanishes_under_the_sender_is_made_again(ends: Ends, time: Time) -> None:
    ends.round()
    offer(ends)
    del ends.memory.topics[TO_CHENGDU]
    ends.round(1)
    time.now += TEND_S
    ends.round()

    assert ends.arrived(ORIGIN, CHENGDU)


def test_a_client_that_never_answers_is_replaced(ends: Ends, time: Time) -> None:
    ends.round()
    ends.memory.mute = True
    offer(ends)
    ends.round()
    ends.memory.mute = False
    time.now += lane.RESEND_FIRST_S
    ends.round()

    assert ends.arrived(ORIGIN, CHENGDU)


def test_no_more_is_handed_over_than_the_bound(ends: Ends) -> None:
    ends.round()
    ends.memory.mute = True
    waiting = ends.carriers[ORIGIN].lanes[CHENGDU]
    for number in range(IN_FLIGHT_MAX + 3):
        waiting.answer(ends.made[ORIGIN].inbox.want(CHENGDU), plain=False)
        del number
    ends.senders[ORIGIN].tick()

    assert len(waiting.answers) == 3
    assert ends.senders[ORIGIN].tick() < math.inf


def test_a_silent_topic_is_entered_again(ends: Ends, time: Time) -> None:
    ends.round()
    before = len(ends.memory.topics[TO_CHENGDU])
    time.now += SILENCE_S
    ends.receivers[ORIGIN].tick(Event(), ends.senders[ORIGIN].news.set)
    ends.senders[ORIGIN].tick()

    assert len(ends.memory.topics[TO_CHENGDU]) > before


def test_one_who_stops_leaves_the_rest_unread(ends: Ends) -> None:
    ends.round()
    offer(ends)
    ends.made[ORIGIN].settle()
    ends.senders[ORIGIN].fresh.set()
    ends.senders[ORIGIN].tick()
    stopping = Event()
    stopping.set()
    ends.receivers[CHENGDU].tick(stopping, stopping.set)

    assert ends.made[CHENGDU].lanes.standing_in(ORIGIN).number == 0


def test_a_database_that_fails_costs_nothing_but_time(
    ends: Ends, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends.round()
    offer(ends)
    with monkeypatch.context() as patched:
        patched.setattr(ends.made[CHENGDU].inbox, "accept", lambda _: 1 / 0)
        ends.round(2)
    assert "ZeroDivisionError" in str(ends.carriers[CHENGDU].lanes[ORIGIN].last_error)

    time.now += lane.RESEND_FIRST_S
    ends.round()

    assert ends.arrived(ORIGIN, CHENGDU)


@pytest.mark.slow
def test_what_cannot_be_packed_for_one_stops_no_other(
    ends: Ends, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends.round()
    offer(ends)
    offer(ends, SHENZHEN, "620902198803151237")
    relay = ends.made[ORIGIN].relay
    pack = relay.batch
    with monkeypatch.context() as patched:
        fails = lambda peer, after: pack(peer, after) if peer == SHENZHEN else 1 / 0  # noqa: E731
        patched.setattr(relay, "batch", fails)
        ends.round()
    assert ends.arrived(ORIGIN, SHENZHEN)
    assert "ZeroDivisionError" in str(ends.carriers[ORIGIN].lanes[CHENGDU].last_error)

    time.now += lane.TROUBLE_MAX_S
    ends.round()

    assert ends.arrived(ORIGIN, CHENGDU)


# What people see, and can do.


@pytest.mark.slow
def test_an_operator_has_a_lane_tried_at_once(ends: Ends) -> None:
    ends.round()
    ends.memory.refusing = {TO_CHENGDU}
    offer(ends)
    ends.round()
    status = ends.carriers[ORIGIN].status(1_000.0)[CHENGDU]
    assert status["failures"] > 0
    assert status["retry_at"] > ends.made.clock()
    ends.memory.refusing = set()
    ends.round()
    assert not ends.arrived(ORIGIN, CHENGDU)

    for code, peer in ((ORIGIN, CHENGDU), (CHENGDU, ORIGIN)):
        ends.carriers[code].retry(peer)
        ends.receivers[code].retry(peer)
        ends.brokers[code].retry()
    ends.round()

    assert ends.arrived(ORIGIN, CHENGDU)
    assert ends.carriers[ORIGIN].status(1_000.0)[CHENGDU]["failures"] == 0


def test_where_a_batch_stands_in_the_broker_is_known_and_decides_nothing(
    ends: Ends, time: Time
) -> None:
    offer(ends)
    ends.round()
    lanes = ends.made[ORIGIN].lanes
    before = lanes.passed(CHENGDU, 1)["sent"]
    assert before.note is not None
    assert before.note.startswith(f"{TO_CHENGDU}/0@")
    # A broker that begins to count anew: later facts stand at smaller offsets.
    for topic in ends.memory.topics.values():
        topic.clear()
    offer(ends, CHENGDU, "620902198803151237")
    time.now += TEND_S + lane.RESEND_FIRST_S
    ends.round()

    head = lanes.head_out(CHENGDU).number
    after = lanes.passed(CHENGDU, head)["sent"]
    assert after.note is not None
    assert ends.arrived(ORIGIN, CHENGDU)
    first, last = (int(note.rpartition("@")[2]) for note in (before.note, after.note))
    assert last <= first + 1
    numbers = [ends.made[ORIGIN].lanes.root_out(CHENGDU, n) for n in range(1, head + 1)]
    assert numbers[-1] == ends.made[CHENGDU].lanes.standing_in(ORIGIN).root
