"""外人: who has never heard of us reads our topic, and finds what each message is."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import jsonschema
import pytest
import yaml
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from kafka import KafkaConsumer, TopicPartition

from domain.commands import OfferCare
from sync.envelope import Batch, Sealed
from sync.kafka_settings import KafkaSettings
from tests.live.carrying import arrived, carrying
from tests.support.broker import Broker
from tests.support.federation import (
    CHENGDU,
    NOW,
    ORIGIN,
    Federation,
    depart,
    federation,
    register,
)
from tests.support.postgres import Database
from tests.support.reference import FOLDER
from tests.support.strangers import lacking_kcat, lacking_modules, node, run

pytestmark = [pytest.mark.live, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

DOCUMENT = FOLDER / "asyncapi.yaml"
TOPIC = f"strangers.{CHENGDU}.{ORIGIN}"
NAMES = {
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_subject",
    "ce_time",
    "ce_sequence",
    "ce_traceparent",
    "traceparent",
    "content-type",
}

Said = list[tuple[dict[str, str], bytes]]


@pytest.fixture
def made(database: Database) -> Iterator[Federation]:
    with federation(database.url, database.schema) as nodes:
        yield nodes


@pytest.fixture
def said(made: Federation, broker: Broker) -> Said:
    """What the origin's node has put into its topic for Chengdu, read by the client we use."""
    settings = KafkaSettings(servers=(broker.bootstrap,), topic="strangers.{destination}.{source}")
    with carrying(made, settings) as carried:
        origin = made[ORIGIN]
        origin.service.execute(OfferCare(outflow=depart(origin, register(origin)), host=CHENGDU))
        carried.until(lambda: arrived(origin, made[CHENGDU]))
    return _all(broker)


def _all(broker: Broker) -> Said:
    partition = TopicPartition(TOPIC, 0)
    with closing(KafkaConsumer(bootstrap_servers=broker.bootstrap)) as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        found: Said = []
        while consumer.position(partition) < consumer.end_offsets([partition])[partition]:
            for records in consumer.poll(timeout_ms=500).values():
                found += [({n: v.decode() for n, v in r.headers}, r.value) for r in records]
    return found


def needs(lacking: str | None) -> None:
    if lacking is not None:
        pytest.skip(lacking)


def batches(said: Said) -> list[tuple[dict[str, str], Batch]]:
    found = []
    for headers, value in said:
        assert headers["ce_type"].split(".")[1] == Sealed(value).kind
        if Sealed(value).kind == Batch.KIND:
            found.append((headers, Batch.model_validate_json(Sealed(value).body)))
    assert found
    return found


def test_every_message_says_what_it_is(said: Said) -> None:
    for headers, value in said:
        assert headers.keys() >= NAMES - {"ce_sequence"}
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", headers["traceparent"])
        assert headers["ce_traceparent"] == headers["traceparent"]
        assert headers["ce_source"] == f"urn:waystation:{ORIGIN}"
        assert headers["ce_subject"] == CHENGDU
        assert headers["ce_time"].endswith("Z")
        assert datetime.fromisoformat(headers["ce_time"]) == NOW
        assert value.startswith(b"waystation/")
    assert len({headers["traceparent"] for headers, _ in said}) == len(said)
    for headers, batch in batches(said):
        assert headers.keys() == NAMES
        assert int(headers["ce_sequence"]) == batch.last


def test_the_official_library_reads_a_message_as_an_event(said: Said) -> None:
    for headers, value in said:
        encoded = {name: text.encode() for name, text in headers.items()}
        event = from_binary(KafkaMessage(encoded, None, value), JSONFormat())

        assert event.get_specversion() == "1.0"
        assert event.get_id() == headers["ce_id"]
        assert event.get_source() == f"urn:waystation:{ORIGIN}"
        assert event.get_time() == NOW
        assert event.get_datacontenttype() == "application/vnd.waystation.message"
        data = event.get_data()
        assert (data.encode() if isinstance(data, str) else data) == value


def test_every_message_is_as_the_document_of_the_topics_describes_it(said: Said) -> None:
    components = yaml.safe_load(DOCUMENT.read_text())["components"]
    validator = jsonschema.Draft202012Validator
    for headers, value in said:
        kind = Sealed(value).kind
        message = components["messages"][kind]

        validator(message["headers"]).validate(headers)
        validator(message["payload"]).validate(value.decode())
        body = {"$ref": f"#/components/schemas/{kind}Body", "components": components}
        validator(body).validate(json.loads(Sealed(value).body))


def test_the_parser_of_asyncapi_finds_nothing_to_object_to(tmp_path: Path) -> None:
    needs(lacking_modules())
    broken = yaml.safe_load(DOCUMENT.read_text())
    broken["operations"]["send"]["channel"]["$ref"] = "#/channels/none"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(broken))

    (told,), (objected,) = (node("check_asyncapi.cjs", str(file)) for file in (DOCUMENT, wrong))

    assert told == {"found": [], "channels": [KafkaSettings(servers=("x:1",)).topic]}
    assert objected["channels"] is None
    assert objected["found"]


def test_kafkajs_reads_the_topic_and_finds_the_attributes(said: Said, broker: Broker) -> None:
    needs(lacking_modules())

    read = node("read_topic.cjs", broker.bootstrap, TOPIC, str(len(said)))

    assert [(dict(m["headers"]), base64.b64decode(m["value"])) for m in read] == said


def test_kcat_reads_the_topic_and_finds_the_attributes(said: Said, broker: Broker) -> None:
    needs(lacking_kcat())

    told = run(
        ["kcat", "-C", "-q", "-b", broker.bootstrap, "-t", TOPIC, "-o", "beginning", "-e", "-J"]
    )

    read = [json.loads(line) for line in told.splitlines()]
    pairs = [m["headers"] for m in read]
    headers = [dict(zip(p[::2], p[1::2], strict=True)) for p in pairs]
    assert [(h, m["payload"].encode()) for h, m in zip(headers, read, strict=True)] == said
