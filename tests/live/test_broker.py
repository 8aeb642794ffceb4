"""The broker of the tests is a real one: it keeps what it acknowledged, until it is wiped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from tests.support.broker import Broker, running_broker

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def mortal() -> Iterator[Broker]:
    """A broker of this file's own: the others' must not lose its data."""
    with running_broker() as broker:
        yield broker


def send(broker: Broker, topic: str, value: bytes) -> None:
    settings = {"acks": "all", "enable_idempotence": False, "max_block_ms": 2000}
    with closing(KafkaProducer(bootstrap_servers=broker.bootstrap, **settings)) as producer:
        producer.send(topic, value).get(timeout=20)


def received(broker: Broker, topic: str) -> list[bytes]:
    """All that the topic's one partition holds."""
    partition = TopicPartition(topic, 0)
    with closing(KafkaConsumer(bootstrap_servers=broker.bootstrap)) as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        values: list[bytes] = []
        while consumer.position(partition) < consumer.end_offsets([partition])[partition]:
            for records in consumer.poll(timeout_ms=500).values():
                values += [record.value for record in records]
        return values


def topics(broker: Broker) -> set[str]:
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        return set(admin.list_topics())


def test_what_was_acknowledged_survives_kill_9(mortal: Broker) -> None:
    mortal.create_topics("kept")
    send(mortal, "kept", b"one")
    assert received(mortal, "kept") == [b"one"]
    first = mortal.pid

    mortal.kill()
    mortal.start()

    assert mortal.pid != first
    assert received(mortal, "kept") == [b"one"]


def test_an_orderly_restart_keeps_the_address(mortal: Broker) -> None:
    address = mortal.bootstrap

    mortal.restart()

    assert mortal.bootstrap == address


def test_wiping_leaves_nothing(mortal: Broker) -> None:
    mortal.create_topics("lost")
    assert "lost" in topics(mortal)

    mortal.wipe()

    assert topics(mortal) == set()


def test_a_misspelt_topic_is_not_created_in_passing(broker: Broker) -> None:
    with pytest.raises(KafkaError):
        send(broker, "misspelt", b"one")

    assert "misspelt" not in topics(broker)
