"""权限: a node needs two rights at a broker; one that it lacks stops one lane, and is told."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from kafka.admin import ACLOperation

from domain.commands import OfferCare
from sync.kafka_settings import KafkaSettings
from tests.live.carrying import Carrying, arrived, same_bytes
from tests.live.strict import StrictBroker, password, strict_broker
from tests.support.broker import free_ports
from tests.support.federation import (
    CHENGDU,
    NOW,
    ORIGIN,
    SHENZHEN,
    ZHANG,
    Federation,
    depart,
    federation,
    register,
)
from tests.support.postgres import Database

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

SETTINGS = KafkaSettings()
LI = "620902198803151237"
LANES = [(CHENGDU, ORIGIN), (ORIGIN, CHENGDU), (SHENZHEN, ORIGIN), (ORIGIN, SHENZHEN)]
DENIED = (SHENZHEN, ORIGIN)


@pytest.fixture(autouse=True)
def unkept() -> Iterator[None]:
    """Let pytest keep no record of the client's log: sockets hang on the tracebacks in it."""
    log, silent = logging.getLogger("kafka"), logging.NullHandler()
    log.addHandler(silent)
    log.propagate = False
    yield
    log.propagate = True
    log.removeHandler(silent)
    gc.collect()


@pytest.fixture
def made(database: Database) -> Iterator[Federation]:
    with federation(database.url, database.schema) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def strict() -> Iterator[StrictBroker]:
    with strict_broker(ORIGIN, CHENGDU, SHENZHEN) as broker:
        yield broker


def name(destination: str, source: str) -> str:
    return SETTINGS.topic.format(destination=destination, source=source)


def offer(made: Federation, host: str, number: str) -> None:
    origin = made[ORIGIN]
    outflow = depart(origin, register(origin, number))
    origin.service.execute(OfferCare(outflow=outflow, host=host))


def test_a_right_that_is_lacking_stops_one_lane(made: Federation, strict: StrictBroker) -> None:
    strict.create_topics(*[name(*lane) for lane in LANES])
    for node in made.nodes:
        strict.allow(node, ACLOperation.READ, name(node, ""), prefix=True)
    for destination, source in LANES:
        if (destination, source) != DENIED:
            strict.allow(source, ACLOperation.WRITE, name(destination, source))
    carried = Carrying(made, strict.door, SETTINGS)
    for code in made.nodes:
        carried.start(code, security=password(code))
    try:
        offer(made, SHENZHEN, ZHANG)
        offer(made, CHENGDU, LI)
        carried.until(lambda: arrived(made[ORIGIN], made[CHENGDU]))
        shown = carried[ORIGIN].status()["peers"][SHENZHEN]
        assert "TopicAuthorizationFailed" in shown["last_error"]
        assert shown["retry_at"] > NOW

        strict.allow(ORIGIN, ACLOperation.WRITE, name(*DENIED))
        carried.settle()

        assert same_bytes(made[ORIGIN], made[SHENZHEN]) > 0
        assert carried[ORIGIN].status()["peers"][SHENZHEN]["last_error"] is None
    finally:
        carried.stop()


def test_a_wrong_password_is_called_that(made: Federation, strict: StrictBroker) -> None:
    carried = Carrying(made, strict.door, SETTINGS)
    carried.start(ORIGIN, security=password(ORIGIN, "wrong"))
    try:
        carried.until(lambda: carried[ORIGIN].status()["last_error"] is not None)
        shown = carried[ORIGIN].status()
        assert "password" in shown["last_error"] or "Sasl" in shown["last_error"]
        assert not shown["reachable"]
    finally:
        carried.stop()


def test_a_broker_that_is_not_there_is_tried_again_and_left_in_time(made: Federation) -> None:
    (port,) = free_ports(1)
    before = threading.active_count()
    carried = Carrying(made, f"127.0.0.1:{port}", SETTINGS)
    carried.start()
    carried.until(lambda: carried[ORIGIN].status()["last_error"] is not None)
    shown = carried[ORIGIN].status()
    assert "Connection refused" in shown["last_error"]
    assert NOW < shown["retry_at"] < NOW + timedelta(seconds=11)
    assert shown["peers"][CHENGDU]["sent"] == 0

    started = time.monotonic()
    carried.stop()

    assert time.monotonic() - started < 5
    assert threading.active_count() == before


def test_nodes_that_start_before_their_broker_find_it(
    made: Federation, strict: StrictBroker
) -> None:
    strict.kill()
    carried = Carrying(made, strict.bootstrap, KafkaSettings(topic="late.{destination}.{source}"))
    carried.start()
    try:
        offer(made, SHENZHEN, ZHANG)
        carried.until(lambda: carried[ORIGIN].status()["last_error"] is not None)
        strict.start()
        carried.settle()
        assert same_bytes(made[ORIGIN], made[SHENZHEN]) > 0
    finally:
        carried.stop()
