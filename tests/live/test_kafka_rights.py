"""权限: who may come in at a broker, what he may do there, and what his node's status says."""

from __future__ import annotations

import gc
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ACLOperation, NewTopic
from kafka.errors import TopicAuthorizationFailedError

from domain.commands import OfferCare
from sync.kafka_access import options
from sync.kafka_settings import COMMON, CONSUMER, PRODUCER, KafkaSettings
from tests.live.carrying import Carrying, arrived, same_bytes
from tests.live.strict import PASSWORD, StrictBroker, strict_broker
from tests.support.broker import free_ports
from tests.support.certificates import Authority
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
    """Every organization is known, and holds the rights of its lanes but one."""
    with strict_broker() as broker:
        broker.let_in(ORIGIN, CHENGDU, SHENZHEN)
        broker.create_topics(*[name(*lane) for lane in LANES])
        for node in (ORIGIN, CHENGDU, SHENZHEN):
            broker.allow(node, ACLOperation.READ, name(node, ""), prefix=True)
        for destination, source in LANES:
            if (destination, source) != DENIED:
                broker.allow(source, ACLOperation.WRITE, name(destination, source))
        yield broker


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with the right password."""
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return path


def name(destination: str, source: str) -> str:
    return f"sync.{destination}.{source}"


def offer(made: Federation, host: str, number: str) -> None:
    origin = made[ORIGIN]
    outflow = depart(origin, register(origin, number))
    origin.service.execute(OfferCare(outflow=outflow, host=host))


def at(address: str, **more: Any) -> KafkaSettings:
    return KafkaSettings(servers=(address,), **more)


# What who has come in may do.

Door = Callable[[StrictBroker, Path], KafkaSettings]
DOORS: list[Door] = [
    lambda strict, file: strict.by_password(CHENGDU, file),
    lambda strict, _: strict.by_certificate(strict.authority.issue(CHENGDU)),
]


@pytest.mark.parametrize("door", DOORS, ids=["password", "certificate"])
def test_a_node_reads_its_own_topics_alone(strict: StrictBroker, file: Path, door: Door) -> None:
    own, foreign = name(CHENGDU, ORIGIN), name(*DENIED)
    with closing(KafkaProducer(bootstrap_servers=strict.bootstrap)) as operator:
        for topic in (own, foreign):
            operator.send(topic, b"for whom it may concern", partition=0).get(timeout=10)
    settings = door(strict, file)
    given = {"bootstrap_servers": settings.servers, **options(settings)}

    with closing(KafkaAdminClient(**given)) as admin:
        told = {
            topic["name"]: topic["error_code"] for topic in admin.describe_topics([own, foreign])
        }
    with closing(KafkaConsumer(**CONSUMER, **given)) as consumer:
        consumer.assign([TopicPartition(topic, 0) for topic in (own, foreign)])
        for partition in consumer.assignment():
            consumer.seek(partition, 0)
        until, read = time.monotonic() + 3, set()
        while time.monotonic() < until:
            with suppress(TopicAuthorizationFailedError):
                read |= {each.topic for each in consumer.poll(timeout_ms=500)}

    assert told == {own: 0, foreign: TopicAuthorizationFailedError.errno}
    assert read == {own}


@pytest.mark.parametrize("door", DOORS, ids=["password", "certificate"])
def test_a_node_writes_to_those_who_enrolled_it_alone(
    strict: StrictBroker, file: Path, door: Door
) -> None:
    given = options(door(strict, file))
    servers = door(strict, file).servers
    with closing(
        KafkaProducer(bootstrap_servers=servers, **COMMON, **PRODUCER, **given)
    ) as producer:
        producer.send(name(ORIGIN, CHENGDU), b"rubbish", partition=0).get(timeout=10)
        for topic in (name(SHENZHEN, ORIGIN), name(ORIGIN, SHENZHEN), name(CHENGDU, ORIGIN)):
            with pytest.raises(TopicAuthorizationFailedError):
                producer.send(topic, b"rubbish", partition=0).get(timeout=10)


@pytest.mark.parametrize("door", DOORS, ids=["password", "certificate"])
def test_a_node_makes_no_topics(strict: StrictBroker, file: Path, door: Door) -> None:
    given = options(door(strict, file))
    servers = door(strict, file).servers
    with closing(KafkaAdminClient(bootstrap_servers=servers, **given)) as admin:
        asked = admin.create_topics([NewTopic("sync.mine.own", 1, 1)], raise_errors=False)

    assert [topic["error_code"] for topic in asked["topics"]] == [
        TopicAuthorizationFailedError.errno
    ]
    with closing(KafkaAdminClient(bootstrap_servers=strict.bootstrap)) as admin:
        assert "sync.mine.own" not in admin.list_topics()


def test_a_right_that_is_lacking_stops_one_lane(
    made: Federation, strict: StrictBroker, file: Path
) -> None:
    carried = Carrying(made, strict.by_password(ORIGIN, file))

    def lane() -> dict[str, Any]:
        shown: dict[str, Any] = carried[ORIGIN].status()["peers"][SHENZHEN]
        return shown

    carried.start(ORIGIN)
    carried.start(CHENGDU, settings=strict.by_certificate(strict.authority.issue(CHENGDU)))
    carried.start(SHENZHEN, settings=strict.by_password(SHENZHEN, file))
    try:
        offer(made, SHENZHEN, ZHANG)
        offer(made, CHENGDU, LI)
        carried.until(lambda: arrived(made[ORIGIN], made[CHENGDU]))
        # Between two attempts; while one is made there is nothing to wait for.
        carried.until(lambda: lane()["retry_at"] is not None)
        assert "TopicAuthorizationFailed" in lane()["last_error"]

        strict.allow(ORIGIN, ACLOperation.WRITE, name(*DENIED))
        carried.settle()

        assert same_bytes(made[ORIGIN], made[SHENZHEN]) > 0
        assert lane()["last_error"] is None
    finally:
        carried.stop()


# Who does not come in, and what he is told.


def mended(made: Federation, settings: KafkaSettings, mend: Callable[[], object]) -> str:
    """What the origin's status says of its broker, until something is mended; then all is well."""
    made.clock.now = datetime.now(UTC)
    carried = Carrying(made, settings)
    carried.start(ORIGIN)
    try:
        carried.until(lambda: carried[ORIGIN].status()["last_error"] is not None)
        shown = carried[ORIGIN].status()
        assert not shown["reachable"]
        mend()
        carried.until(lambda: carried[ORIGIN].status()["reachable"])
        assert carried[ORIGIN].status()["last_error"] is None
        return str(shown["last_error"])
    finally:
        carried.stop()


def test_a_wrong_password_is_called_that_until_the_file_is_mended(
    made: Federation, strict: StrictBroker, file: Path
) -> None:
    file.write_text("guessed")

    said = mended(made, strict.by_password(ORIGIN, file), lambda: file.write_text(PASSWORD))

    assert "kafka.username: " in said
    assert "guessed" not in said


def test_an_expired_certificate_is_called_that_until_it_is_renewed(
    made: Federation, strict: StrictBroker, tmp_path: Path
) -> None:
    shown = tmp_path / "ours.pem"
    shutil.copy(strict.authority.issue(ORIGIN, -2), shown)

    said = mended(
        made,
        strict.by_certificate(shown),
        lambda: shutil.copy(strict.authority.issue(ORIGIN), shown),
    )

    assert "kafka.certificate_file: 证书已于" in said


def test_a_certificate_of_somebody_else_is_called_that(
    made: Federation, strict: StrictBroker, tmp_path: Path
) -> None:
    shown = tmp_path / "ours.pem"
    shutil.copy(Authority(tmp_path / "foreign").issue(ORIGIN), shown)

    said = mended(
        made,
        strict.by_certificate(shown),
        lambda: shutil.copy(strict.authority.issue(ORIGIN), shown),
    )

    assert "kafka.certificate_file: 对方可能不认" in said


def test_a_broker_that_shows_a_foreign_certificate_is_not_believed(
    made: Federation, strict: StrictBroker, file: Path, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    shutil.copy(Authority(tmp_path / "foreign").ca, trusted)
    settings = strict.by_password(ORIGIN, file).model_copy(update={"ca_file": trusted})

    said = mended(made, settings, lambda: shutil.copy(strict.authority.ca, trusted))

    assert "kafka.ca_file: " in said


def test_a_password_file_that_has_gone_is_named(
    made: Federation, strict: StrictBroker, file: Path
) -> None:
    settings = strict.by_password(ORIGIN, file)
    file.unlink()

    said = mended(made, settings, lambda: file.write_text(PASSWORD))

    assert said.startswith("kafka.password_file: ")


def test_a_broker_that_is_not_there_is_tried_again_and_left_in_time(made: Federation) -> None:
    (port,) = free_ports(1)
    before = threading.active_count()
    carried = Carrying(made, at(f"127.0.0.1:{port}"))
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
    carried = Carrying(made, at(strict.bootstrap, topic="late.{destination}.{source}"))
    carried.start()
    try:
        offer(made, SHENZHEN, ZHANG)
        carried.until(lambda: carried[ORIGIN].status()["last_error"] is not None)
        strict.start()
        carried.settle()
        assert same_bytes(made[ORIGIN], made[SHENZHEN]) > 0
    finally:
        carried.stop()
