"""车流: how fast a lane carries facts and catches up, and what a slow peer costs the others."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import date
from typing import Any

import httpx
import psycopg

from bench.ends import SILENCE_S, Caller, listening
from bench.figures import Figure, note, percentile
from bench.processes import served, settle
from bench.town import HOST, ORIGIN, OTHER, Town, visit
from tests.support.java import lacking

SIZES = (1, 100)
"""Entries of a batch; the protocol ends it at 100 or 256 KiB, so that 1,000 are ten of them."""

ENTRY_BYTES = 800
"""Of one entry on its way, as it is here."""

WAIT_S = 900.0
RATE = 200
"""Facts a second, of a steady traffic."""

SLOWER_S = 0.5
"""What a slow peer takes for a batch: some hundred times what the others take."""


def over_http(town: Town, facts: int) -> Iterator[Figure]:
    """A lane that has to catch up, beside bare requests for as many bytes."""
    for size in SIZES:
        waiting = facts if size > 1 else facts // 20
        with caught_up(town, waiting, size) as rate:
            raw = _raw_http(town, size)
        yield Figure(f"lane.http.{size}", rate, "facts/s", raw, waiting)


def over_kafka(town: Town, facts: int) -> Iterator[Figure]:
    """The same over a broker, beside kafka-python with as many bytes."""
    if missing := lacking():
        note(f"lane.kafka is left out: {missing}")
        return
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    from tests.support.broker import running_broker  # noqa: PLC0415

    with running_broker() as broker:
        broker.create_topics("floor")
        for size in SIZES:
            waiting = facts if size > 1 else facts // 20
            with caught_up(town, waiting, size, kafka={"servers": [broker.bootstrap]}) as rate:
                raw = _raw_kafka(broker.bootstrap, size)
            yield Figure(f"lane.kafka.{size}", rate, "facts/s", raw, waiting)


@contextmanager
def caught_up(town: Town, waiting: int, size: int, **settings: Any) -> Iterator[float]:
    """Both nodes, after the host has caught up with so many facts: how many a second it took in."""
    town.ahead(waiting)
    with served(town, ORIGIN, {"entries": str(size)}, **settings):
        head = _numbered(town)
        with served(town, HOST, **settings):
            began, first = time.perf_counter(), _heard(town)
            while (number := _heard(town)) < head:
                if time.perf_counter() > began + WAIT_S:
                    raise RuntimeError(f"The host has heard {number} of {head} in {WAIT_S:.0f} s.")
                if number == first:
                    began = time.perf_counter()
                time.sleep(0.01)
            rate = (head - first) / (time.perf_counter() - began)
            settle(town, HOST)
            yield rate


def _numbered(town: Town) -> int:
    """The head of the origin's lane, once everything is on it."""
    settle(town, ORIGIN)
    schema = f"{town.schema}_{ORIGIN}"
    with psycopg.connect(town.url, autocommit=True) as conn:
        query = f"SELECT max(number) FROM {schema}.lane_out WHERE peer = %s"  # noqa: S608
        newest = -1
        while True:
            found = conn.execute(query, (HOST,)).fetchone()
            number = int(found[0]) if found else 0
            if number == newest:
                return number
            newest = number
            time.sleep(1.0)


def _heard(town: Town) -> int:
    schema = f"{town.schema}_{HOST}"
    with psycopg.connect(town.url, autocommit=True) as conn:
        query = f"SELECT number FROM {schema}.lane_in WHERE peer = %s"  # noqa: S608
        found = conn.execute(query, (ORIGIN,)).fetchone()
    return int(found[0]) if found else 0


def _raw_http(town: Town, size: int, seconds: float = 3.0) -> float:
    """Facts a second, if a fact were nothing but its bytes, asked for batch by batch."""
    url = f"http://127.0.0.1:{town.ports[ORIGIN]}/floor/bytes?size={size * ENTRY_BYTES}"
    with httpx.Client(trust_env=False) as client:
        return _rate(lambda: client.get(url).content, size, seconds)


def _raw_kafka(bootstrap: str, size: int, seconds: float = 3.0) -> float:
    """Likewise by kafka-python with the lanes' settings: sent, and polled, a window at a time."""
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition  # noqa: PLC0415

    from sync.kafka_settings import COMMON, CONSUMER, PRODUCER  # noqa: PLC0415
    from sync.lane import WINDOW  # noqa: PLC0415

    at = {"bootstrap_servers": bootstrap, **COMMON}
    with (
        closing(KafkaProducer(**at, **PRODUCER)) as producer,
        closing(KafkaConsumer(**at, **CONSUMER)) as consumer,
    ):
        consumer.assign([TopicPartition("floor", 0)])
        consumer.seek_to_end()
        consumer.position(TopicPartition("floor", 0))

        def window() -> None:
            for _ in range(WINDOW):
                producer.send("floor", b"x" * (size * ENTRY_BYTES))
            got, until = 0, time.perf_counter() + SILENCE_S
            while got < WINDOW:
                got += sum(map(len, consumer.poll(timeout_ms=1000).values()))
                if time.perf_counter() > until:
                    raise RuntimeError(f"kafka-python polled {got} of {WINDOW} messages.")

        return _rate(window, size * WINDOW, seconds)


def _rate(work: Callable[[], object], facts: int, seconds: float) -> float:
    work()
    began, done = time.perf_counter(), 0
    while time.perf_counter() < began + seconds:
        work()
        done += 1
    return done * facts / (time.perf_counter() - began)


def steady(town: Town, seconds: float) -> Iterator[Figure]:
    """Facts at a steady rate, from commit to readable; then with one other peer that is slow.

    The floor of the first two is the time between two facts; of the last, the same without the
    slow peer.
    """
    usual = _steady(town, seconds, 0.0)
    disturbed = _steady(town, seconds, SLOWER_S)
    for word, share in (("p50", 0.5), ("p99", 0.99)):
        value = percentile(usual, share) * 1000
        yield Figure(f"e2e.steady.{word}", value, "ms", 1000 / RATE, town.facts)
    calm, after = (percentile(taken, 0.99) * 1000 for taken in (usual, disturbed))
    yield Figure("e2e.beside_slow.p99", after, "ms", calm, town.facts)


def _steady(town: Town, seconds: float, slower: float) -> list[float]:
    with ExitStack() as stack:
        stack.enter_context(served(town, ORIGIN))
        stack.enter_context(served(town, HOST))
        stack.enter_context(served(town, OTHER, {"slower": str(slower)}))
        for code in (ORIGIN, HOST, OTHER):
            settle(town, code)
        heard = stack.enter_context(listening(town))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        latencies = pool.submit(_latencies, heard, int(seconds * RATE) // 2, seconds)
        _post(town, seconds)
        return latencies.result()


def _post(town: Town, seconds: float, callers: int = 8) -> None:
    """Visits to the members of both hosts in turn, RATE a second, by several officers."""
    total, began = int(seconds * RATE), time.perf_counter()

    def officer(which: int) -> None:
        with closing(Caller(town.ports[ORIGIN])) as caller:
            for number in range(which, total, callers):
                time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
                host = town.hosts[number % 2]
                outflow = random.choice(town.cared_by[host])
                caller.post("/visits", visit(outflow, date(2025, 3, 1)))

    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(officer, range(callers)))


def _latencies(heard: psycopg.Connection[Any], expected: int, seconds: float) -> list[float]:
    """Seconds from commit to readable, of those visits that the host shows."""
    moments: dict[str, dict[str, float]] = {"recorded": {}, "seen": {}}
    for notice in heard.notifies(timeout=seconds + SILENCE_S):
        word, _, name = notice.payload.partition(" ")
        moments[word].setdefault(name, time.perf_counter())
        if len(moments["seen"]) >= expected:
            break
    both = moments["recorded"].keys() & moments["seen"].keys()
    if len(both) < expected:
        raise RuntimeError(f"The host shows {len(both)} of {expected} visits.")
    return [moments["seen"][name] - moments["recorded"][name] for name in both]
