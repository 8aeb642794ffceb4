"""删除经 Kafka: the broker's own files hold no value of a person, before and after he is erased."""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Iterator
from datetime import date
from uuid import uuid4

import pytest

from api.erasure.eraser import Asking
from api.service import Who
from domain.commands import OfferCare, RecordContact, RecordPhone, RecordReturn
from domain.erasure import Erasure, State
from domain.outflow import Outflow
from sync.kafka_settings import KafkaSettings
from tests.live.carrying import carrying
from tests.support.broker import Broker
from tests.support.federation import (
    CHENGDU,
    ORIGIN,
    accept,
    depart,
    federation,
    register,
)
from tests.support.postgres import Database

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

NAME = "司马金丝雀"
_MARK = re.compile(rb"\+8613966[0-9]{6}|" + NAME.encode() + b"|620902197702264860")


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


def bytes_of(broker: Broker) -> bytes:
    """Everything the broker has written down."""
    files = (file for file in broker.folder.rglob("*") if file.is_file())
    return b"".join(file.read_bytes() for file in files)


def test_a_person_is_erased_over_kafka_and_the_brokers_files_name_him_nowhere(
    database: Database, broker: Broker
) -> None:
    topic = f"t{uuid4().hex[:8]}.{{destination}}.{{source}}"
    settings = KafkaSettings(servers=(broker.bootstrap,), topic=topic)
    with (
        federation(database.url, database.schema) as made,
        carrying(made, settings) as carried,
    ):
        origin, chengdu = made[ORIGIN], made[CHENGDU]
        member = register(origin, name=NAME, phone="+8613966000001")
        outflow = depart(origin, member)
        origin.execute(OfferCare(outflow=outflow, host=CHENGDU))
        carried.settle()
        accept(chengdu, outflow)
        carried.until(lambda: chengdu.ledger.look_up(Outflow, outflow).carer == CHENGDU)
        origin.execute(RecordPhone(member=member, phone="+8613966000002"))
        contact = {"outflow": outflow, "on": date(2025, 6, 1), "method": "电话", "by": "李干事"}
        chengdu.execute(RecordContact.model_validate({**contact, "condition": NAME}))
        carried.settle()
        origin.execute(RecordReturn(outflow=outflow, returned_on=date(2025, 9, 1)))
        carried.settle()
        asked = origin.eraser.request(Asking(member, "consent_withdrawn"), Who(person="wang"))
        origin.eraser.grant(asked.id, Who(person="li"))

        carried.until(lambda: origin.ledger.look_up(Erasure, asked.id).state is State.COMPLETED)

        written = bytes_of(broker)
        assert str(member).encode() in written
        assert _MARK.findall(written) == []
