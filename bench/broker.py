"""Kafka: the same way over a real broker, beside kafka-python alone."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import closing

from bench.ends import SILENCE_S, alternate, figures, two_nodes
from bench.figures import Figure, note
from bench.town import Town
from tests.support.java import lacking

SIZE = 1300
"""Bytes of a batch of one contact."""


def over_kafka(town: Town, samples: int) -> Iterator[Figure]:
    """Against one message sent and polled by kafka-python with the settings of our lanes."""
    if missing := lacking():
        note(f"e2e.kafka is left out: {missing}")
        return
    # On Python 3.11 kafka-python reads its schemas in a deprecated way.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition  # noqa: PLC0415

    from sync.kafka_settings import COMMON, CONSUMER, PRODUCER  # noqa: PLC0415
    from tests.support.broker import running_broker  # noqa: PLC0415

    with running_broker() as broker:
        broker.create_topics("floor")
        at = {"bootstrap_servers": broker.bootstrap, **COMMON}
        with (
            closing(KafkaProducer(**at, **PRODUCER)) as producer,
            closing(KafkaConsumer(**at, **CONSUMER)) as consumer,
            two_nodes(town, kafka={"servers": [broker.bootstrap]}) as watch,
        ):
            consumer.assign([TopicPartition("floor", 0)])
            consumer.seek_to_beginning()

            def floor() -> float:
                began = time.perf_counter()
                producer.send("floor", b"x" * SIZE)
                while not consumer.poll(timeout_ms=1000):
                    if time.perf_counter() > began + SILENCE_S:
                        raise RuntimeError(f"kafka-python polled nothing within {SILENCE_S} s.")
                return time.perf_counter() - began

            ours, least = alternate(watch.sample, floor, samples)
        yield from figures("e2e.kafka", ours, least, town.facts)
