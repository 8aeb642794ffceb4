"""收件: what is refused as a whole, in the order of the checks, and what is harmless."""

from __future__ import annotations

from uuid import uuid4

import pytest

from sync import book_in, evidence
from sync.envelope import BATCH_BYTES, ENTRIES_MAX, NO_ROOT, Batch, LaneReceipt, Sealed, Want
from sync.errors import (
    Forged,
    Gap,
    LaneFault,
    Malformed,
    Misaddressed,
    NotEnrolled,
    RootsDiffer,
    TooLarge,
)
from sync.inbox import Outcome
from sync.keys import NodeKeys
from tests.support.federation import CHENGDU, NOW, ORIGIN, SHENZHEN
from tests.support.stage import Staged
from tests.sync.pen import Pen

SOME_ROOT = "ab" * 32


def receipt_in(outcome: Outcome, pen: Pen) -> LaneReceipt:
    return Sealed(outcome.answer).open(LaneReceipt, pen.receiver.keys.verify_key)


def facts(pen: Pen) -> int:
    """How many facts of the sender the receiver has."""
    entries = pen.receiver.ledger.since(0)
    return sum(e.record.topic.startswith("activity.") for e in entries)


def refused(pen: Pen, outcome: Outcome, fault: type[LaneFault], peer: str = ORIGIN) -> None:
    """Nothing is recorded; the fault is counted and its evidence kept."""
    assert isinstance(outcome.fault, fault), outcome.fault
    assert outcome.recorded == 0
    assert facts(pen) == 0
    assert pen.number == 0
    assert pen.receiver.lanes.refused_counts() == {(peer, fault.code()): 1}
    [kept] = pen.receiver.lanes.quarantined(0, 10)
    assert (kept["peer"], kept["reason"], kept["number"]) == (peer, fault.code(), None)


# Refused as a whole, in the order of the checks.


def test_what_is_larger_than_the_limit_is_refused_unread(pen: Pen) -> None:
    wire = pen.wire(pen.activity()).ljust(BATCH_BYTES + 1)

    refused(pen, pen.receiver.inbox.accept(wire), TooLarge, evidence.UNKNOWN_SENDER)


def test_what_is_as_large_as_the_limit_is_read(pen: Pen) -> None:
    wire = pen.wire(pen.activity())
    body = wire.partition(b"\n")[2]
    padded = pen.body(body[:-1] + b" " * (BATCH_BYTES - len(wire)) + b"}")
    assert len(padded) == BATCH_BYTES

    assert pen.receiver.inbox.accept(padded).recorded == 1


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\n",
        b"hello",
        b"waystation/batch/v1 jiuquan c2ln",
        b"waystation/batch/v1 jiuquan\n{}",
        b"waystation/batch/v1 jiuquan c2ln more\n{}",
        b"waystation/batch/v1 jiuquan not-base64!\n{}",
        b"waystation/batch/v2 jiuquan c2ln\n{}",
        b"waystation/batch jiuquan c2ln\n{}",
        "waystation/batch/v1 酒泉 c2ln\n{}".encode(),
        b"waystation/batch/v1 jiuquan " + b"A" * 300 + b"\n{}",
        b"\xff\xfe" * 200,
    ],
    ids=range(12),
)
def test_a_header_that_is_not_ours_is_refused(pen: Pen, wire: bytes) -> None:
    refused(pen, pen.receiver.inbox.accept(wire), Malformed, evidence.UNKNOWN_SENDER)


def test_a_sender_nobody_enrolled_is_refused_without_an_answer(pen: Pen, three: Staged) -> None:
    stranger = Pen(three[SHENZHEN], three[CHENGDU])

    outcome = stranger.send(stranger.activity())

    refused(pen, outcome, NotEnrolled, evidence.UNKNOWN_SENDER)
    assert outcome.answer == b""


@pytest.mark.parametrize("sender", ["ji\x00uquan", "../etc", "", "?", "JIUQUAN", "jiuquan\r"])
def test_a_name_that_no_organization_has_is_refused(pen: Pen, sender: str) -> None:
    wire = pen.wire(pen.activity()).replace(b" jiuquan ", f" {sender} ".encode(), 1)

    refused(pen, pen.receiver.inbox.accept(wire), NotEnrolled, evidence.UNKNOWN_SENDER)


def test_a_signature_by_another_key_is_refused_and_its_claims_are_not_read(pen: Pen) -> None:
    outcome = pen.send(pen.activity(), keys=NodeKeys.generate())

    refused(pen, outcome, Forged)


def test_one_changed_byte_breaks_the_signature(pen: Pen) -> None:
    wire = pen.wire(pen.activity()).replace("主题党日".encode(), "主题党曰".encode())

    refused(pen, pen.receiver.inbox.accept(wire), Forged)


def test_a_signature_for_one_kind_does_not_serve_another(pen: Pen) -> None:
    body = pen.wire(pen.activity()).partition(b"\n")[2]
    wire = pen.body(body, "want").replace(b"waystation/want/", b"waystation/batch/", 1)

    refused(pen, pen.receiver.inbox.accept(wire), Forged)


@pytest.mark.parametrize("kind", ["want", "receipt", "card", "gossip"])
def test_another_kind_of_message_is_not_a_batch(pen: Pen, kind: str) -> None:
    body = pen.wire(pen.activity()).partition(b"\n")[2]

    refused(pen, pen.receiver.inbox.accept(pen.body(body, kind)), Malformed)


def test_a_body_that_names_another_sender_is_refused(pen: Pen) -> None:
    outcome = pen.send(pen.activity(), sender=SHENZHEN)

    # Shenzhen is not enrolled in Chengdu; had it been, the signature would not have been its own.
    refused(pen, outcome, NotEnrolled, evidence.UNKNOWN_SENDER)


def test_header_and_body_must_name_the_same_sender(pen: Pen) -> None:
    body = pen.message([pen.activity()], sender=SHENZHEN).model_dump_json().encode()

    refused(pen, pen.receiver.inbox.accept(pen.body(body)), Malformed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first", 0),
        ("first", -1),
        ("first", True),
        ("first", "1"),
        ("first", 1.5),
        ("first", 2**70),
        ("head", 2**63),
        ("head", -1),
        ("before", "AB" * 32),
        ("root", ""),
        ("sent_at", "yesterday"),
        ("sent_at", "2026-01-05T09:00:00"),
        ("sent_at", "0001-01-01T00:00:00+14:00"),
        ("sent_at", "9999-12-31T23:59:59-12:00"),
        ("receiver", "成都"),
        ("entries", None),
        ("entries", {}),
        ("entries", [{}]),
        ("grants", [{"key": "x"}]),
        ("grants", [None] * 601),
    ],
    ids=str,
)
def test_a_field_out_of_its_bounds_is_refused(pen: Pen, field: str, value: object) -> None:
    body = {**pen.message([pen.activity()]).model_dump(mode="json"), field: value}

    refused(pen, pen.receiver.inbox.accept(pen.body(to_json(body))), Malformed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stream", "activity"),
        ("version", 0),
        ("version", 2**31),
        ("version", True),
        ("topic", "Activity.Held"),
        ("topic", "activity"),
        ("topic", "activity.held\n"),
        ("topic", "a." + "b" * 79),
        ("state", "汉" * (64 * 1024 // 3 + 1)),
        ("state", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_entry_out_of_its_bounds_fails_the_batch(pen: Pen, field: str, value: object) -> None:
    body = pen.message([pen.activity()]).model_dump(mode="json")
    body["entries"][0][field] = value

    refused(pen, pen.receiver.inbox.accept(pen.body(to_json(body))), Malformed)


def test_too_many_entries_are_refused(pen: Pen) -> None:
    entries = [pen.activity().model_dump(mode="json") for _ in range(ENTRIES_MAX + 1)]
    body = {**pen.message().model_dump(mode="json"), "entries": [e | {} for e in entries]}

    refused(pen, pen.receiver.inbox.accept(pen.body(to_json(body))), Malformed)


def test_as_many_entries_as_the_limit_are_taken(pen: Pen) -> None:
    assert pen.send(*(pen.activity() for _ in range(ENTRIES_MAX))).recorded == ENTRIES_MAX


def test_a_duplicate_key_is_refused_although_it_is_signed(pen: Pen) -> None:
    body = pen.wire(pen.activity()).partition(b"\n")[2]
    twice = body.replace(b'"first":1,', b'"first":1,"first":1,', 1)

    refused(pen, pen.receiver.inbox.accept(pen.body(twice)), Malformed)


@pytest.mark.parametrize("depth", [33, 300, 100_000])
def test_a_deep_body_is_refused(pen: Pen, depth: int) -> None:
    body = pen.wire(pen.activity()).partition(b"\n")[2]
    deep = body[:-1] + b',"more":' + b"[" * depth + b"]" * depth + b"}"

    refused(pen, pen.receiver.inbox.accept(pen.body(deep)), Malformed)


def test_a_field_from_a_newer_peer_is_passed_over(pen: Pen) -> None:
    body = {**pen.message([pen.activity()]).model_dump(mode="json"), "more": {"from": "2030"}}

    assert pen.receiver.inbox.accept(pen.body(to_json(body))).recorded == 1


def test_a_batch_for_another_organization_is_refused(pen: Pen) -> None:
    refused(pen, pen.send(pen.activity(), receiver=SHENZHEN), Misaddressed)


def test_a_gap_is_answered_by_a_want_and_harms_nothing(pen: Pen) -> None:
    outcome = pen.send(pen.activity(), first=3, before=SOME_ROOT)

    assert isinstance(outcome.fault, Gap)
    assert outcome.fault.facts == {"expected": 1, "got": 3}
    want = Sealed(outcome.answer).open(Want, pen.receiver.keys.verify_key)
    assert (want.sender, want.receiver, want.after) == (CHENGDU, ORIGIN, 0)
    assert facts(pen) == 0
    assert pen.receiver.lanes.quarantined(0, 10) == []


def test_what_was_missing_is_sent_again_and_recorded_once(pen: Pen) -> None:
    one, two = pen.activity(), pen.activity()
    both = pen.wire(one, two)
    second = pen.wire(two, first=2, before=pen.message([one]).root)

    assert isinstance(pen.receiver.inbox.accept(second).fault, Gap)
    assert pen.receiver.inbox.accept(both).recorded == 2
    assert pen.receiver.inbox.accept(second) == pen.receiver.inbox.accept(both)
    assert facts(pen) == 2


def test_a_history_that_does_not_follow_ours_is_refused(pen: Pen) -> None:
    refused(pen, pen.send(pen.activity(), before=SOME_ROOT), RootsDiffer)


def test_a_root_that_does_not_fit_the_entries_is_refused(pen: Pen) -> None:
    refused(pen, pen.send(pen.activity(), root=SOME_ROOT), RootsDiffer)


# Repetitions.


def test_a_repetition_is_harmless_and_answered_again(pen: Pen) -> None:
    wire = pen.wire(pen.activity(), pen.activity())
    first = pen.receiver.inbox.accept(wire)

    again = pen.receiver.inbox.accept(wire)

    assert (first.recorded, again.recorded, again.fault) == (2, 0, None)
    assert receipt_in(again, pen).number == receipt_in(first, pen).number == 2
    assert receipt_in(again, pen).root == receipt_in(first, pen).root
    assert facts(pen) == 2


def test_a_hundred_repetitions_have_no_effect(pen: Pen) -> None:
    wire = pen.wire(pen.activity())

    recorded = [pen.receiver.inbox.accept(wire).recorded for _ in range(100)]

    assert sum(recorded) == facts(pen) == 1


def test_of_an_overlap_only_the_new_part_is_recorded(pen: Pen) -> None:
    one, two, three = pen.activity(), pen.activity(), pen.activity()
    pen.send(one, two)

    outcome = pen.send(one, two, three, first=1, before=NO_ROOT)

    assert (outcome.recorded, outcome.fault) == (1, None)
    assert (facts(pen), pen.number) == (3, 3)


def test_an_overlap_with_another_past_is_refused(pen: Pen) -> None:
    one, two, three = pen.activity(), pen.activity(), pen.activity()
    pen.send(one, two)

    outcome = pen.send(one, pen.activity(), three, first=1, before=NO_ROOT)

    assert isinstance(outcome.fault, RootsDiffer)
    assert facts(pen) == 2


def test_a_repetition_with_a_changed_entry_is_refused_with_the_proof(pen: Pen) -> None:
    one, two, three = pen.activity(), pen.activity(), pen.activity()
    pen.send(one, two, three)
    changed = pen.entry(stream=one.stream, title="另一件事")
    wire = pen.wire(changed, two, first=1, before=NO_ROOT)

    outcome = pen.receiver.inbox.accept(wire)

    assert isinstance(outcome.fault, RootsDiffer)
    [kept] = pen.receiver.lanes.quarantined(0, 10)
    assert pen.receiver.lanes.evidence(kept["id"]) == (ORIGIN, wire, None)
    assert receipt_in(outcome, pen).number == 3


# Heartbeats.


def test_read_models_are_waited_for_when_nothing_more_is_due(pen: Pen) -> None:
    called = list[int]()
    pen.receiver.inbox.when_recorded = lambda: called.append(pen.number)

    first = pen.send(pen.activity(), head=2)
    assert (first.recorded, first.behind, called) == (1, True, [])
    second = pen.send(pen.activity(), head=2)

    assert (second.recorded, second.behind, called) == (1, False, [2])


def test_a_heartbeat_says_where_the_lane_stands(pen: Pen) -> None:
    pen.send(pen.activity())

    outcome = pen.send(head=1, sent_at=NOW.replace(hour=2))

    assert (outcome.recorded, outcome.fault) == (0, None)
    assert receipt_in(outcome, pen).number == 1


def test_a_heartbeat_shows_that_something_has_not_arrived(pen: Pen) -> None:
    assert pen.send(head=7).fault is None

    standing = pen.receiver.lanes.standing_in(ORIGIN)
    assert (standing.number, standing.root, standing.head) == (0, NO_ROOT, 7)
    assert standing.at is not None


def test_an_old_heartbeat_proves_no_life(pen: Pen, three: Staged) -> None:
    old = pen.wire(head=1)
    pen.receiver.inbox.accept(old)
    heard = pen.receiver.lanes.standing_in(ORIGIN).at
    three.clock.pass_(hours=1)

    pen.receiver.inbox.accept(old)

    assert pen.receiver.lanes.standing_in(ORIGIN).at == heard
    pen.send(head=1, sent_at=three.clock.now)
    assert pen.receiver.lanes.standing_in(ORIGIN).at == three.clock.now


def test_a_heartbeat_beyond_ours_asks_for_what_is_missing(pen: Pen) -> None:
    assert isinstance(pen.send(first=4, head=3, before=SOME_ROOT).fault, Gap)


def test_a_heartbeat_after_another_history_is_refused(pen: Pen) -> None:
    pen.send(pen.activity())

    assert isinstance(pen.send(before=SOME_ROOT).fault, RootsDiffer)


# Evidence.


def test_evidence_is_bounded_and_every_refusal_counted(
    pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_in, "EVIDENCE_MAX", 3)
    wire = pen.wire(pen.activity(), before=SOME_ROOT)

    for _ in range(5):
        pen.receiver.inbox.accept(wire)

    assert len(pen.receiver.lanes.quarantined(0, 10)) == 3
    assert pen.receiver.lanes.refused_counts() == {(ORIGIN, "roots-differ"): 5}


def test_forgeries_do_not_crowd_out_what_the_sender_signed(
    pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_in, "EVIDENCE_MAX", 1)
    for _ in range(3):
        pen.send(pen.activity(), keys=NodeKeys.generate())

    pen.send(pen.activity(), before=SOME_ROOT)

    reasons = [row["reason"] for row in pen.receiver.lanes.quarantined(0, 10)]
    assert reasons == ["forged", "roots-differ"]


def test_of_what_nobody_signed_little_is_kept(pen: Pen) -> None:
    pen.receiver.inbox.accept(b"x" * 100_000)

    [kept] = pen.receiver.lanes.quarantined(0, 10)
    kept_wire = pen.receiver.lanes.evidence(kept["id"])
    assert kept_wire == (evidence.UNKNOWN_SENDER, b"x" * evidence.UNSIGNED_BYTES, None)


@pytest.mark.parametrize("keeper", ["\\u0000", "\\", '"', "\\\\u0000", "\\ud800", "🚉" * 50])
def test_evidence_holds_whatever_was_sent(pen: Pen, keeper: str) -> None:
    outcome = pen.raw('{"meta":{"keeper":"' + keeper + '"}}')

    assert outcome.fault is None or isinstance(outcome.fault, Malformed)
    assert len(pen.receiver.lanes.quarantined(0, 10)) == 1


def test_the_sender_is_told_why(pen: Pen) -> None:
    outcome = pen.send(pen.activity(), before=SOME_ROOT)

    assert (receipt_in(outcome, pen).refused or "").startswith(RootsDiffer.sentence())


def test_after_a_refusal_the_lane_goes_on(pen: Pen) -> None:
    pen.send(pen.activity(), before=SOME_ROOT)

    assert pen.send(pen.activity()).recorded == 1


def test_a_batch_reads_as_it_was_written(pen: Pen) -> None:
    message = pen.message([pen.activity(), pen.entry("future.thing", uuid4())])

    read = Sealed(message.signed(pen.sender.keys)).open(Batch, pen.sender.keys.verify_key)

    assert read == message


def to_json(body: object) -> bytes:
    import json  # noqa: PLC0415

    return json.dumps(body, ensure_ascii=False).encode()
