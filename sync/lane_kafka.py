"""Kafka 通道: carries lanes through a broker that may lose, repeat, delay and reorder messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
from threading import Event, Thread
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.net.compat import KafkaNetClient

from domain.values import OrgCode
from sync.broker import MISSING, TEND_S, Broker, Names, Read, Refused, Unreachable
from sync.carrier import Carrier, Parcel
from sync.inbox import Inbox
from sync.kafka_settings import ANSWER_MS, COMMON, CONSUMER, PRODUCER, KafkaSettings
from sync.lane import Backoff
from sync.pushing import Receiver, Sender
from sync.reach import Overheard, described, knock
from sync.relay import Relay

CLOSE_S = 1.0

_log = logging.getLogger(__name__)


class _Door:
    """Opens the clients of one node."""

    def __init__(self, bootstrap: str, org: OrgCode, settings: KafkaSettings) -> None:
        self._bootstrap, self._settings = bootstrap, settings
        self._client_id = f"waystation-{org}"

    def admin(self) -> _Admin:
        return _Admin(self._open(KafkaAdminClient), self._settings.topic_options())

    def producer(self) -> _Producer:
        return _Producer(self._open(KafkaProducer, **PRODUCER))

    def consumer(self) -> _Consumer:
        return _Consumer(self._open(KafkaConsumer, **CONSUMER))

    def _open(self, client: Any, **options: Any) -> Any:
        if "proxy_url" not in self._settings.security and (why := knock(self._bootstrap)):
            raise Unreachable(why)
        made = []

        def network(**configs: Any) -> Any:
            made.append(KafkaNetClient(**configs))
            return made[-1]

        with Overheard("kafka.net", self._client_id, KafkaTimeoutError) as overheard:
            try:
                return client(
                    bootstrap_servers=self._bootstrap.split(","),
                    client_id=self._client_id,
                    kafka_client=network,
                    **COMMON,
                    **self._settings.security,
                    **options,
                )
            except KafkaError as fault:
                # Its constructor would leave a thread and sockets behind at every attempt.
                for net in made:
                    net.close()
                reason = overheard.reason or described(fault)
                if "sasl_mechanism" in self._settings.security:
                    # A refused password: the client reads the end before the broker's answer.
                    reason = f"{reason} (it may not accept our name or password)"
                raise Unreachable(reason) from fault


class _Admin:
    """Looks after topics."""

    def __init__(self, client: Any, options: dict[str, Any]) -> None:
        self._client, self._options = client, options

    def ailing(self, names: set[str]) -> dict[str, str]:
        ailing = {}
        for topic in self._ask(self._client.describe_topics, sorted(names)):
            codes = [topic["error_code"], *(p["error_code"] for p in topic["partitions"])]
            if any(codes):
                fault = for_code(next(filter(None, codes)))
                missing = fault is UnknownTopicOrPartitionError
                ailing[topic["name"]] = MISSING if missing else fault.__name__
        return ailing

    def create(self, names: list[str]) -> dict[str, str]:
        wanted = dict.fromkeys(names, self._options)
        made = self._ask(partial(self._client.create_topics, raise_errors=False), wanted)
        faults = {topic["name"]: for_code(topic["error_code"]) for topic in made["topics"]}
        fine = (for_code(0), TopicAlreadyExistsError)
        return {name: fault.__name__ for name, fault in faults.items() if fault not in fine}

    def close(self) -> None:
        self._client.close()

    def _ask(self, method: Any, topics: Any) -> Any:
        try:
            return method(topics)
        except (KafkaError, RuntimeError) as fault:  # A RuntimeError where no controller is found.
            raise Unreachable(described(fault)) from fault


class _Producer:
    """Appends to the one partition of a topic."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def send(self, topic: str, parcel: Parcel, settle: Callable[[str | None], None]) -> None:
        headers = [("kind", parcel.kind.encode())]
        try:
            sent = self._client.send(topic, parcel.wire, headers=headers, partition=0)
        except (KafkaError, ValueError) as fault:
            # A ValueError where the topic has gone from the client's view of the cluster.
            raise Refused(described(fault)) from fault
        sent.add_callback(lambda _: settle(None))
        sent.add_errback(lambda fault: settle(described(fault)))

    def close(self, *, at_once: bool) -> None:
        try:
            self._client.close(timeout=0 if at_once else CLOSE_S)
        except KafkaTimeoutError:
            # What cannot be delivered would keep its thread and its connections for ever.
            self._client._sender.force_close()  # noqa: SLF001
            self._client._sender.join(CLOSE_S)  # noqa: SLF001
            with suppress(KafkaTimeoutError):
                self._client.close(timeout=0)


class _Consumer:
    """Reads the one partition of each topic."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def end(self, topic: str) -> int:
        partition = TopicPartition(topic, 0)
        try:
            return int(self._client.end_offsets([partition], timeout_ms=ANSWER_MS)[partition])
        except KafkaError as fault:
            raise Refused(described(fault)) from fault

    def follow(self, topics: Iterable[str], starts: dict[str, int]) -> None:
        self._client.assign([TopicPartition(name, 0) for name in topics])
        for name, start in starts.items():
            self._client.seek(TopicPartition(name, 0), start)

    def read(self, seconds: float) -> Read:
        try:
            polled = self._client.poll(timeout_ms=int(seconds * 1000))
        except TopicAuthorizationFailedError as fault:
            return Read(denied=dict.fromkeys(fault.args[0], described(fault)))
        except OffsetOutOfRangeError as fault:
            # It is told once; without a seek the client would stay silent from here on.
            return Read(moved={p.topic: described(fault) for p in fault.args[0]})
        except LogTruncationError as fault:
            return Read(moved={p.topic: described(fault) for p in fault.divergent_offsets})
        return Read([(r.topic, r.value or b"") for rs in polled.values() for r in rs])

    def close(self) -> None:
        self._client.close(autocommit=False, timeout_ms=int(CLOSE_S * 1000))


class KafkaLanes:
    """All lanes of one node over one broker: a thread that sends and a thread that receives."""

    def __init__(  # noqa: PLR0913 - the parts of a node, once.
        self,
        bootstrap: str,
        org: OrgCode,
        relay: Relay,
        inbox: Inbox,
        *,
        clock: Callable[[], datetime],
        on_recorded: Callable[[], None] = lambda: None,
        settings: KafkaSettings | None = None,
    ) -> None:
        settings = settings or KafkaSettings()
        door, names = _Door(bootstrap, org, settings), Names(org, settings.topic)
        self._bootstrap, self._names = bootstrap, names
        self._carrier = Carrier(relay, inbox, clock, on_recorded)
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
            "broker": self._bootstrap,
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
