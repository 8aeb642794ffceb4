"""Kafka 客户端: kafka-python as lanes use it: to send, to receive, to look after topics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial
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
from sync import kafka_access as access
from sync.broker import MISSING, Read, Refused, Settle, Unreachable
from sync.carrier import Parcel
from sync.cloudevents import headers
from sync.kafka_settings import ANSWER_MS, COMMON, CONSUMER, PRODUCER, KafkaSettings
from sync.reach import Overheard, described, knock

CLOSE_S = 1.0


class Door:
    """Opens the clients of one node."""

    def __init__(
        self, org: OrgCode, settings: KafkaSettings, clock: Callable[[], datetime]
    ) -> None:
        self._org, self._settings, self._clock = org, settings, clock
        self._client_id = f"waystation-{org}"

    def admin(self) -> _Admin:
        return _Admin(self._open(KafkaAdminClient), self._settings.topic_options())

    def producer(self) -> _Producer:
        return _Producer(self._open(KafkaProducer, **PRODUCER), self._describe)

    def consumer(self) -> _Consumer:
        return _Consumer(self._open(KafkaConsumer, **CONSUMER))

    def _describe(self, parcel: Parcel) -> list[tuple[str, bytes]]:
        return headers(parcel, self._org, self._clock())

    def _open(self, client: Any, **more: Any) -> Any:
        if why := knock(self._settings.servers):
            raise Unreachable(why)
        made = []
        try:
            # Read anew, so that a certificate renewed or a password mended needs no restart.
            security = access.options(self._settings)
        except access.Unusable as fault:
            raise Unreachable(str(fault)) from None

        def network(**configs: Any) -> Any:
            made.append(KafkaNetClient(**configs))
            return made[-1]

        with Overheard("kafka.net", self._client_id, KafkaTimeoutError) as overheard:
            try:
                return client(
                    bootstrap_servers=list(self._settings.servers),
                    client_id=self._client_id,
                    kafka_client=network,
                    **COMMON,
                    **security,
                    **more,
                )
            except KafkaError as fault:
                # Its constructor would leave a thread and sockets behind at every attempt.
                for net in made:
                    net.close()
                reason = overheard.reason or described(fault)
                # Who is refused often reads the end of the connection before the broker's answer.
                hint = access.suspect(self._settings, reason, self._clock())
                raise Unreachable(f"{reason} ({hint})") from fault


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

    def __init__(self, client: Any, describe: Callable[[Parcel], list[tuple[str, bytes]]]) -> None:
        self._client, self._describe = client, describe

    def send(self, topic: str, parcel: Parcel, settle: Settle) -> None:
        said = self._describe(parcel)
        try:
            sent = self._client.send(topic, parcel.wire, headers=said, partition=0)
        except (KafkaError, ValueError) as fault:
            # A ValueError where the topic has gone from the client's view of the cluster.
            raise Refused(described(fault)) from fault
        sent.add_callback(lambda at: settle(None, f"{topic}/{at.partition}@{at.offset}"))
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
