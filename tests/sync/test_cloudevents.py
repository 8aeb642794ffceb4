"""CloudEvents: what a message says of itself, so that a stranger can sort and tell it."""

from __future__ import annotations

from datetime import datetime

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from sync.carrier import Parcel
from sync.cloudevents import headers
from sync.envelope import NUMBER_MAX

AT = datetime.fromisoformat("2026-01-05T09:00:00+08:00")


def said(parcel: Parcel) -> dict[str, str]:
    return {name: value.decode() for name, value in headers(parcel, "jiuquan", AT)}


def batch(last: int, wire: bytes = b"waystation/batch/v1") -> Parcel:
    return Parcel("batch", wire, "chengdu", last - 1, last)


def test_a_batch_is_an_event_by_the_official_library() -> None:
    parcel = batch(7)

    message = KafkaMessage(dict(headers(parcel, "jiuquan", AT)), None, parcel.wire)
    event = from_binary(message, JSONFormat())

    assert event.get_type() == "waystation.batch.v1"
    assert event.get_source() == "urn:waystation:jiuquan"
    assert event.get_subject() == "chengdu"
    assert event.get_time() == AT
    assert event.get_extension("sequence") == "0000000000000007"
    assert event.get_extension("traceparent").encode() == message.headers["traceparent"]


def test_equal_bytes_have_equal_ids_and_others_do_not() -> None:
    assert said(batch(7))["ce_id"] == said(batch(7))["ce_id"]
    assert said(batch(7))["ce_id"] != said(batch(7, b"waystation/batch/v1 "))["ce_id"]


def test_sequences_sort_as_text_as_their_numbers_do() -> None:
    numbers = [0, 9, 10, 99, 1_000_000, NUMBER_MAX]

    written = [said(batch(number))["ce_sequence"] for number in numbers]

    assert written == sorted(written)
    assert {len(text) for text in written} == {16}


def test_every_message_begins_a_trace_of_its_own() -> None:
    traces = [said(batch(7))["traceparent"] for _ in range(100)]

    assert len({trace.split("-")[1] for trace in traces}) == 100


def test_an_answer_has_no_place_in_the_sequence() -> None:
    assert "ce_sequence" not in said(Parcel("receipt", b"waystation/receipt/v1", "chengdu"))


def test_the_time_is_in_utc() -> None:
    assert said(batch(7))["ce_time"] == "2026-01-05T01:00:00.000Z"
