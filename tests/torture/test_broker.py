"""Kill -9 of Kafka in loops under load, its data wiped, its topics deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.torture.checks import check, level
from tests.torture.killing import KILLS
from tests.torture.load import under_load
from tests.torture.pair import Pair, pair, seeded
from tests.torture.supervised import until

if TYPE_CHECKING:
    from tests.support.broker import Broker

pytestmark = [pytest.mark.torture, pytest.mark.live]

BACK_S = 90.0
"""From the broker's return until both lanes are level again, with the load still on."""

Telling = Callable[..., None]


@pytest.fixture(scope="module")
def two(broker: Broker) -> Iterator[Pair]:
    with pair(kafka={"servers": [broker.bootstrap]}) as made:
        yield made


def test_the_broker_is_killed_and_nothing_answered_is_lost(
    two: Pair, broker: Broker, tell: Telling
) -> None:
    chance, kills = seeded(5), 0

    with under_load(two, 5) as load:
        while kills < KILLS:
            time.sleep(chance.uniform(0.0, 1.0))
            broker.kill()
            kills += 1
            if chance.random() < 0.3:
                chance.choice(two.both).kill()
            broker.start()
    back = catch_up(two)

    check(two, load)
    tell("broker", 5, load, kills=kills, back_s=back)


def test_the_broker_is_wiped_and_its_topics_deleted(
    two: Pair, broker: Broker, tell: Telling
) -> None:
    from kafka import KafkaAdminClient  # noqa: PLC0415 - few need it.

    with under_load(two, 6, callers=2) as load:
        time.sleep(1.0)
        broker.wipe()
        with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
            until(lambda: len(ours(admin)) == 2, BACK_S, two.origin.state)
            time.sleep(1.0)
            admin.delete_topics(ours(admin))
            until(lambda: len(ours(admin)) == 2, BACK_S, two.origin.state)
        time.sleep(1.0)
    back = catch_up(two)

    check(two, load)
    tell("broker wiped", 6, load, back_s=back)


def ours(admin: Any) -> list[str]:
    return [name for name in admin.list_topics() if not name.startswith("__")]


def catch_up(two: Pair) -> float:
    """The seconds until both lanes are level."""
    began = time.monotonic()
    for node in two.both:
        node.await_well(BACK_S)
    until(lambda: level(two), BACK_S, lambda: [node.get("/peers") for node in two.both])
    return round(time.monotonic() - began, 2)
