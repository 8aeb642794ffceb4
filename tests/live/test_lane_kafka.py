"""Kafka 通道: whatever a broker does, every fact arrives, once, as it was recorded."""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from uuid import UUID, uuid4

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from stdnum.cn.ric import calc_check_digit

from api.erasure.eraser import Asking
from api.service import Who
from domain.commands import OfferCare, RecordContact, RecordReturn
from domain.erasure import Erasure, State
from sync.envelope import LaneReceipt, Want
from sync.kafka_settings import KafkaSettings
from sync.keys import NodeKeys
from tests.live.carrying import Carrying, arrived, carrying, same_bytes
from tests.support.broker import Broker, described, running_broker
from tests.support.federation import (
    CHENGDU,
    NOW,
    ORIGIN,
    SHENZHEN,
    Federation,
    accept,
    depart,
    federation,
    register,
)
from tests.support.postgres import Database

# kafka-python forgets a socket at every attempt to connect that fails.
pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

HOSTS = (CHENGDU, SHENZHEN)
LIES = [("ce_type", b"waystation.receipt.v1"), ("ce_source", b"\xff"), ("content-type", b"")]
"""What a message may say of itself without being believed."""


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


@pytest.fixture
def settings(broker: Broker) -> KafkaSettings:
    """Topics of the test's own."""
    topic = f"t{uuid4().hex[:8]}.{{destination}}.{{source}}"
    return KafkaSettings(servers=(broker.bootstrap,), topic=topic)


@pytest.fixture
def carried(made: Federation, settings: KafkaSettings) -> Iterator[Carrying]:
    with carrying(made, settings) as running:
        yield running


@pytest.fixture(scope="module")
def mortal() -> Iterator[Broker]:
    """A broker of this file's own, to be killed and wiped."""
    with running_broker() as broker:
        yield broker


@pytest.fixture
def at_risk(made: Federation, mortal: Broker) -> Iterator[Carrying]:
    with carrying(made, KafkaSettings(servers=(mortal.bootstrap,))) as running:
        yield running


def offers(made: Federation, first: int = 100) -> dict[str, list[UUID]]:
    """Two absences for every host, whose care is offered to it."""
    origin, outflows = made[ORIGIN], {host: [] for host in HOSTS}
    for host in HOSTS * 2:
        number = f"62090219770226{first:03}"
        member = register(origin, number + calc_check_digit(f"{number}0"))
        outflows[host].append(depart(origin, member))
        origin.service.execute(OfferCare(outflow=outflows[host][-1], host=host))
        first += 1
    return outflows


def in_care(made: Federation, carried: Carrying) -> dict[str, list[UUID]]:
    """Two absences in the care of every host."""
    outflows = offers(made)
    carried.settle()
    for host, theirs in outflows.items():
        for outflow in theirs:
            accept(made[host], outflow)
    carried.settle()
    return outflows


def talk(made: Federation, outflows: dict[str, list[UUID]], first: int = 200) -> None:
    """News in every direction, which nobody waits for."""
    for host, theirs in outflows.items():
        for outflow in theirs:
            call = {"on": date(2026, 1, 4), "method": "电话", "by": "李干事"}
            made[host].service.execute(RecordContact(outflow=outflow, **call))
    offers(made, first)


def agree(made: Federation) -> None:
    """Both ends of every lane hold the same bytes, and nothing was refused on the way."""
    for host in HOSTS:
        assert same_bytes(made[ORIGIN], made[host]) > 0
        assert same_bytes(made[host], made[ORIGIN]) > 0
    for node in made.nodes.values():
        assert node.lanes.quarantined(0, 10) == []


def topics(settings: KafkaSettings) -> list[str]:
    pairs = [(a, b) for host in HOSTS for a, b in ((ORIGIN, host), (host, ORIGIN))]
    return [settings.topic.format(destination=a, source=b) for a, b in pairs]


def put(broker: Broker, topic: str, *values: bytes | None) -> None:
    """What a stranger does who may write a topic."""
    with closing(KafkaProducer(bootstrap_servers=broker.bootstrap)) as producer:
        for value in values:
            sent = {"key": b"stranger", "headers": LIES, "partition": 0}
            producer.send(topic, value, **sent).get(timeout=10)


def test_care_passes_over_a_broker(made: Federation, carried: Carrying) -> None:
    outflows = in_care(made, carried)
    talk(made, outflows)
    carried.settle()

    agree(made)
    assert set(carried.woken) == set(made.nodes)
    for outflow in [*outflows[CHENGDU], *outflows[SHENZHEN]]:
        assert made[ORIGIN].ledger.facts(outflow)[-1].TOPIC == "outflow.confirmed"
    head = made[ORIGIN].relay.standing(CHENGDU)[0].number
    shown = carried[ORIGIN].status()
    assert shown["reachable"]
    assert shown["peers"][CHENGDU] == {
        "head": head,
        "acknowledged": head,
        "sent": head,
        "last_heard": NOW,
        "last_error": None,
        "failures": 0,
        "retry_at": None,
    }
    sent = made[ORIGIN].lanes.passed(CHENGDU, 1)["sent"].note
    assert sent is not None
    assert re.fullmatch(rf"{re.escape(topics(carried.settings)[1])}/0@\d+", sent)


def test_topics_are_created_as_the_settings_state(
    made: Federation, broker: Broker, settings: KafkaSettings, carried: Carrying
) -> None:
    in_care(made, carried)

    wanted = settings.topic_options()
    for topic in topics(settings):
        partitions, configs = described(broker, topic)
        assert partitions == wanted["num_partitions"]
        assert wanted["configs"].items() <= configs.items()


def test_a_broker_killed_in_the_middle_loses_nothing(
    made: Federation, mortal: Broker, at_risk: Carrying
) -> None:
    outflows = in_care(made, at_risk)
    talk(made, outflows)

    mortal.kill()
    talk(made, outflows, first=300)
    at_risk.until(lambda: not at_risk[ORIGIN].status()["reachable"])
    mortal.start()
    at_risk.settle()

    agree(made)


def test_a_broker_wiped_in_the_middle_loses_nothing(
    made: Federation, mortal: Broker, at_risk: Carrying
) -> None:
    outflows = in_care(made, at_risk)
    talk(made, outflows)

    mortal.wipe()
    talk(made, outflows, first=300)
    at_risk.settle()

    agree(made)


def test_a_topic_deleted_in_the_middle_is_made_again(
    made: Federation, broker: Broker, settings: KafkaSettings, carried: Carrying
) -> None:
    outflows = in_care(made, carried)

    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.delete_topics(topics(settings))
    talk(made, outflows)
    carried.settle()

    agree(made)


def test_a_topic_made_again_behind_our_back_hides_nothing(
    made: Federation, broker: Broker, settings: KafkaSettings, carried: Carrying
) -> None:
    outflows = in_care(made, carried)

    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.delete_topics(topics(settings))
    talk(made, outflows)
    for topic in topics(settings):
        put(broker, topic, *[b"longer than before"] * 20)
    carried.settle()

    for host in HOSTS:
        assert same_bytes(made[ORIGIN], made[host]) > 0
        assert same_bytes(made[host], made[ORIGIN]) > 0


def test_a_receiver_comes_back_and_gets_what_it_missed(made: Federation, carried: Carrying) -> None:
    outflows = in_care(made, carried)

    carried.stop(CHENGDU)
    talk(made, outflows)
    carried.until(lambda: arrived(made[ORIGIN], made[SHENZHEN]))
    carried.start(CHENGDU)
    carried.settle()

    agree(made)


def test_a_sender_comes_back_and_goes_on(made: Federation, carried: Carrying) -> None:
    outflows = in_care(made, carried)
    talk(made, outflows)

    carried.stop(ORIGIN)
    talk(made, outflows, first=300)
    carried.start(ORIGIN)
    carried.settle()

    agree(made)


def test_a_new_peer_is_met_while_running(made: Federation, carried: Carrying) -> None:
    in_care(made, carried)
    made.found("kunming", "station")

    made.acquaint(ORIGIN, "kunming")
    carried.start("kunming")
    outflow = depart(made[ORIGIN], register(made[ORIGIN]))
    made[ORIGIN].service.execute(OfferCare(outflow=outflow, host="kunming"))
    carried.settle()

    assert same_bytes(made[ORIGIN], made["kunming"]) > 0


def test_what_a_stranger_puts_into_a_topic_harms_nobody(
    made: Federation, broker: Broker, settings: KafkaSettings, carried: Carrying
) -> None:
    outflows = in_care(made, carried)
    stranger, ours = NodeKeys.generate(), made[CHENGDU].keys
    said = {"sender": CHENGDU, "receiver": ORIGIN, "at": NOW}
    replayed, _ = made[CHENGDU].relay.batch(ORIGIN, 0)
    kept = [
        None,
        b"",
        b"\x00" * 100_000,
        b"waystation/want/v1 ? \n{}",
        b"x" * 550_000,
        replayed[:-40],
        Want(after=0, **said).signed(stranger),
        LaneReceipt(number=99, root="0" * 64, **said).signed(stranger),
        LaneReceipt(number=1, root="0" * 64, **said).signed(ours),
        Want(after=10_000, **said).signed(ours),
        Want(after=0, **said | {"sender": "nobody"}).signed(stranger),
    ]

    theirs = settings.topic.format(destination=ORIGIN, source=CHENGDU)
    put(broker, theirs, *kept, *[replayed] * 20)
    talk(made, outflows)
    carried.settle()

    found = made[ORIGIN].lanes.quarantined(0, 100)
    assert {"forged", "malformed", "not-enrolled", "too-large"} <= {row["reason"] for row in found}
    assert len(found) == len(kept) - 1  # The want beyond the head is well-formed.
    for host in HOSTS:
        assert same_bytes(made[host], made[ORIGIN]) > 0
        assert made[host].lanes.quarantined(0, 10) == []


def test_keys_change_while_facts_are_under_way(made: Federation, carried: Carrying) -> None:
    outflows = in_care(made, carried)
    codes = (ORIGIN, *HOSTS)

    for first in (300, 400):
        for code in codes:
            made[code].key_change.rotate(Who(person="wang"))
        talk(made, outflows, first)
        carried.settle()
        carried.until(lambda: not any(made[code].key_change.waiting_for() for code in codes))
        assert all(made[code].key_change.retire() for code in codes)
    talk(made, outflows, 500)
    carried.settle()

    for host in HOSTS:
        assert made[host].relay.peer(ORIGIN).verify_key == made[ORIGIN].keys.verify_key
        assert made[ORIGIN].relay.peer(host).verify_key == made[host].keys.verify_key
        assert same_bytes(made[host], made[ORIGIN]) > 0
    assert [made[code].lanes.quarantined(0, 10) for code in codes] == [[]] * 3


def test_what_a_broker_keeps_tells_nothing_of_a_person_and_brings_nothing_back(
    made: Federation, broker: Broker, settings: KafkaSettings, carried: Carrying
) -> None:
    values = {"name": "欧阳金丝雀", "phone": "13977012345", "family": "金丝雀的家人"}
    marks = [text.encode() for text in (*values.values(), "620902197702264860", "金丝雀巷")]
    origin, host = made[ORIGIN], made[CHENGDU]
    member = register(origin, "620902197702264860", **values)
    outflow = depart(origin, member, remark="金丝雀巷七号")
    origin.execute(OfferCare(outflow=outflow, host=CHENGDU))
    carried.settle()
    accept(host, outflow)
    carried.settle()
    call = {"on": date(2026, 1, 4), "method": "电话", "by": "李干事", "condition": "在金丝雀巷"}
    host.execute(RecordContact(outflow=outflow, **call))
    origin.execute(RecordReturn(outflow=outflow, returned_on=date(2026, 1, 5)))
    carried.settle()

    erasure = origin.eraser.request(Asking(member, "consent_withdrawn"), Who(person="wang")).id
    origin.eraser.grant(erasure, Who(person="li"))
    carried.until(lambda: origin.ledger.look_up(Erasure, erasure).state is State.COMPLETED)

    kept = [message for topic in topics(settings)[:2] for message in everything(broker, topic)]
    assert any(str(member).encode() in message for message in kept)
    files = [file.read_bytes() for file in broker.folder.rglob("*") if file.is_file()]
    assert any(str(member).encode() in file for file in files)
    assert [mark.decode() for mark in marks for each in (*kept, *files) if mark in each] == []
    # Each batch once more, with the keys that are in it for whoever receives it.
    for node in (origin, host):
        for message in kept:
            node.inbox.accept(message)
        query = "SELECT id FROM subject_key WHERE subject = %(member)s"
        assert node.database.rows(query, {"member": member}) == []


def everything(broker: Broker, topic: str) -> list[bytes]:
    """Every message of a topic, as it lies there."""
    at = TopicPartition(topic, 0)
    with closing(KafkaConsumer(bootstrap_servers=broker.bootstrap)) as consumer:
        consumer.assign([at])
        (end,) = consumer.end_offsets([at]).values()
        consumer.seek_to_beginning(at)
        found: list[bytes] = []
        while consumer.position(at) < end:
            found += [m.value for said in consumer.poll(1000).values() for m in said]
    return found
