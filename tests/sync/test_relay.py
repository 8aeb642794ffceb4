"""转发: what a peer hears, from where on, with which keys, and what its receipts prove."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.commands import (
    AdoptPolicy,
    HoldActivity,
    OfferCare,
    RecordPhone,
    ShareOutflow,
)
from domain.member import Member
from domain.policy import Terms
from domain.records import PERSONAL, digest, open_field
from domain.values import DataClass
from sync.envelope import BATCH_BYTES, ENTRIES_MAX, NO_ROOT, Batch, Sealed, Want
from sync.errors import Forged, LaneFault, Malformed, Misaddressed, NotEnrolled, RootsDiffer
from sync.keys import NodeKeys
from sync.numbering import next_root
from sync.relay import NUMBER_MAX
from tests.support.federation import CHENGDU, NOW, ORIGIN, SHENZHEN, depart, register
from tests.support.stage import Staged
from tests.sync.pen import Pen, receipt, sign


def batch(three: Staged, peer: str = CHENGDU, after: int = 0) -> Batch:
    wire, last = three[ORIGIN].relay.batch(peer, after)
    assert len(wire) <= BATCH_BYTES
    read = Sealed(wire).open(Batch, three[ORIGIN].keys.verify_key)
    assert read.last == last
    return read


def number(three: Staged) -> None:
    while three[ORIGIN].relay.number():
        pass


def shared_absence(three: Staged, *codes: str) -> UUID:
    origin = three[ORIGIN]
    outflow = depart(origin, register(origin))
    for code in codes:
        origin.execute(ShareOutflow(outflow=outflow, to=code, purpose="联合管理"))
    number(three)
    return outflow


# What is numbered.


def test_what_concerns_nobody_is_heard_by_nobody(three: Staged) -> None:
    three[ORIGIN].execute(HoldActivity(on="2026-01-04", title="主题党日"))
    number(three)

    assert batch(three).entries == ()
    assert batch(three).head == 0


def test_whoever_joins_hears_the_stream_from_its_first_fact(three: Staged) -> None:
    outflow = shared_absence(three, CHENGDU)
    three[ORIGIN].execute(ShareOutflow(outflow=outflow, to=SHENZHEN, purpose="联合管理"))
    number(three)

    heard = {(e.stream, e.version) for e in batch(three, SHENZHEN).entries}
    stream = three[ORIGIN].ledger.stream(outflow)
    assert {(r.originator_id, r.originator_version) for r in stream} <= heard


def test_both_who_join_in_one_pass_hear_all_of_it(three: Staged) -> None:
    shared_absence(three, CHENGDU, SHENZHEN)

    said = [
        [(e.stream, e.version) for e in batch(three, peer).entries if e.topic.startswith("outflow")]
        for peer in (CHENGDU, SHENZHEN)
    ]
    assert len(said[0]) == len(said[1]) == 3


def test_a_lane_is_numbered_without_gaps_and_its_root_covers_all(three: Staged) -> None:
    shared_absence(three, CHENGDU)

    sent = batch(three)
    root = NO_ROOT
    for entry in sent.entries:
        record = three[ORIGIN].ledger.stream(entry.stream, entry.version - 1)[0]
        root = next_root(root, record)
    assert (sent.first, sent.before, sent.root) == (1, NO_ROOT, root)
    assert sent.head == len(sent.entries)


def test_numbering_again_changes_nothing(three: Staged) -> None:
    shared_absence(three, CHENGDU)
    before = batch(three)
    three.restart(ORIGIN)

    number(three)

    assert batch(three).model_copy(update={"grants": ()}) == before.model_copy(
        update={"grants": ()}
    )


def test_of_two_relays_at_once_one_numbers(three: Staged) -> None:
    origin = three[ORIGIN]
    shared_absence(three, CHENGDU)
    origin.execute(HoldActivity(on="2026-01-04", title="主题党日"))
    lanes = origin.lanes
    here = lanes.bookmark()

    assert lanes.number([], [], here, here + 1, NOW) is True
    assert lanes.number([], [], here, here + 1, NOW) is False


def test_a_page_of_the_relay_takes_a_few_queries(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = three[ORIGIN]
    for n in range(20):
        outflow = depart(origin, register(origin, number=number_of(n)))
        origin.execute(OfferCare(outflow=outflow, host=CHENGDU))
    asked = 0
    for name in ("_one", "_all"):
        original = getattr(origin.lanes, name)

        def counting(*args: Any, original: Any = original) -> Any:
            nonlocal asked
            asked += 1
            return original(*args)

        monkeypatch.setattr(origin.lanes, name, counting)

    assert origin.relay.number() <= NUMBER_MAX
    assert asked <= 6


def number_of(n: int) -> str:
    from stdnum.cn import ric  # noqa: PLC0415

    base = f"62090219770226{n:03d}"
    return base + ric.calc_check_digit(base + "0")


def test_facts_of_others_are_not_passed_on(three: Staged) -> None:
    pen = Pen(three[CHENGDU], three[ORIGIN])
    pen.send(pen.entry("activity.held", title="x"))
    three[ORIGIN].settle()

    assert batch(three, SHENZHEN).entries == ()


# What a batch holds.


def test_a_batch_holds_at_most_its_entries(three: Staged) -> None:
    origin = three[ORIGIN]
    outflow = shared_absence(three, CHENGDU)
    member = origin.ledger.look_up(Member, outflow_member(three, outflow))
    for n in range(ENTRIES_MAX):
        origin.execute(RecordPhone(member=member.id, phone=f"139{n:08d}"))
    number(three)

    first = batch(three)
    assert len(first.entries) == ENTRIES_MAX
    rest = batch(three, after=first.last)
    assert rest.before == first.root
    assert first.head == rest.head == rest.last


@pytest.mark.slow
def test_a_batch_stops_before_its_limit_however_its_states_are_written(three: Staged) -> None:
    origin = three[ORIGIN]
    quotes = Terms(document='"\\' * 250)
    for n in range(1, 300):
        day = f"{2026 + n // 12}-{n % 12 + 1:02d}-01"
        origin.execute(AdoptPolicy(terms=quotes, effective_from=day))
    number(three)
    pen = Pen(origin, three[CHENGDU])

    carried = 0
    while three.carry(ORIGIN, CHENGDU):
        carried += 1
        batch(three, after=pen.number)
    assert carried > 2
    assert pen.number == 299


def test_a_state_of_quotes_alone_still_travels(three: Staged) -> None:
    """Thirty thousand quotes are twice as many bytes inside a message."""
    origin = three[ORIGIN]
    pen = Pen(origin, three[CHENGDU])
    state = pen.state("activity.held", more='"' * 30_000)
    entries = [pen.entry("future.thing", more="x") for _ in range(2)]

    from eventsourcing.persistence import StoredEvent  # noqa: PLC0415

    raw = json.dumps(state, separators=(",", ":")).encode()
    records = [StoredEvent(uuid4(), 1, "future.thing", raw) for _ in range(20)]
    origin.recorder.insert_events(records)
    number(three)

    while three.carry(ORIGIN, CHENGDU):
        pass
    assert pen.number == 20
    assert entries


def test_without_news_a_batch_is_a_heartbeat(three: Staged) -> None:
    shared_absence(three, CHENGDU)
    head = batch(three).last

    beat = batch(three, after=head)
    assert (beat.entries, beat.first, beat.head) == ((), head + 1, head)
    assert beat.before == beat.root


def test_only_an_enrolled_peer_has_a_lane(three: Staged) -> None:
    with pytest.raises(NotEnrolled):
        three[ORIGIN].relay.batch("xian", 0)


# Verbatim.


def test_what_arrives_is_what_was_recorded(three: Staged) -> None:
    outflow = shared_absence(three, CHENGDU)
    three.settle()

    here, there = (three[code].ledger.stream(outflow) for code in (ORIGIN, CHENGDU))
    assert here == there
    assert [digest(r) for r in here] == [digest(r) for r in there]


@pytest.mark.parametrize("topic", ["future.thing", "activity.held"])
def test_what_a_newer_peer_has_added_is_kept_byte_for_byte(pen: Pen, topic: str) -> None:
    state = pen.state(topic, more={"深": [1, 2.5, True, None, "𠮷"]}, z=1, a=2)
    spaced = json.dumps(state, ensure_ascii=False, indent=1)
    spaced = '{"meta"' + spaced.partition('"meta"')[2]

    assert pen.raw(spaced, topic).recorded == 1

    [record] = [e.record for e in pen.receiver.ledger.since(0) if e.record.topic == topic]
    assert record.state == spaced.encode()
    pen.receiver.settle()
    assert pen.receiver.projector.stopped == {}


def test_an_unknown_topic_is_recorded_hashed_and_passed_over(pen: Pen) -> None:
    stream = uuid4()
    begun, gone_on = pen.entry("future.begun", stream), pen.entry("future.gone_on", stream, 2)

    assert pen.send(begun, gone_on).recorded == 2

    assert pen.receiver.ledger.facts(stream) == []
    assert len(pen.receiver.ledger.stream(stream)) == 2
    pen.receiver.settle()
    assert pen.receiver.projector.stopped == {}
    assert pen.send(pen.entry("future.ended", stream, 3)).recorded == 1


# Grants.


def sealed_fields(three: Staged, reader: str, member: UUID) -> dict[DataClass, set[bool]]:
    """By class, whether the reader opens the fields of a member's file."""
    ledger = three[reader].ledger
    opened: dict[DataClass, set[bool]] = {}
    for fact in ledger.facts(member):
        for name, data_class in PERSONAL[fact.TOPIC]:
            if getattr(fact, name) is not None:
                can = open_field(fact, name, ledger.keyring) is not None
                opened.setdefault(data_class, set()).add(can)
    return opened


def outflow_member(three: Staged, outflow: UUID) -> UUID:
    from domain.outflow import Outflow  # noqa: PLC0415

    return three[ORIGIN].ledger.look_up(Outflow, outflow).member


def test_a_peer_opens_the_classes_it_was_granted_and_no_other(three: Staged) -> None:
    origin = three[ORIGIN]
    member = register(origin, family="妻子李四", address="酒泉市肃州区")
    outflow = depart(origin, member)
    origin.execute(ShareOutflow(outflow=outflow, to=CHENGDU, purpose="联合管理"))
    three.settle()

    assert sealed_fields(three, CHENGDU, member) == {
        DataClass.IDENTITY: {True},
        DataClass.CONTACT: {True},
        DataClass.FAMILY: {False},
    }


def test_a_key_travels_once(three: Staged) -> None:
    outflow = shared_absence(three, CHENGDU)
    first = batch(three)
    member = outflow_member(three, outflow)
    three[ORIGIN].execute(RecordPhone(member=member, phone="13900005678"))
    number(three)

    assert len(first.grants) == 2
    assert batch(three, after=first.last).grants == ()
    # Asked for again, the entries bring their keys again.
    assert {g.key for g in batch(three).grants} == {g.key for g in first.grants}


def test_a_key_sealed_to_another_peer_does_not_open(three: Staged) -> None:
    shared_absence(three, CHENGDU, SHENZHEN)
    number(three)
    pen = Pen(three[ORIGIN], three[CHENGDU])
    own, other = batch(three, CHENGDU), batch(three, SHENZHEN)
    wire = own.model_copy(update={"grants": other.grants}).signed(pen.sender.keys)

    outcome = three[CHENGDU].inbox.accept(wire)

    assert outcome.recorded == len(own.entries)
    assert all(three[CHENGDU].keyring.key(grant.key) is None for grant in other.grants)


@pytest.mark.parametrize("change", ["subject", "data_class", "key", "wrapped"])
def test_a_key_is_bound_to_person_class_and_name(three: Staged, change: str) -> None:
    shared_absence(three, CHENGDU)
    sent = batch(three)
    values: dict[str, Any] = {
        "subject": uuid4(),
        "data_class": DataClass.RESTRICTED,
        "key": uuid4(),
        "wrapped": "AAAA",
    }
    bent = tuple(g.model_copy(update={change: values[change]}) for g in sent.grants)
    wire = sent.model_copy(update={"grants": bent}).signed(three[ORIGIN].keys)

    outcome = three[CHENGDU].inbox.accept(wire)

    assert (outcome.fault, outcome.recorded) == (None, len(sent.entries))
    assert all(three[CHENGDU].keyring.key(grant.key) is None for grant in (*bent, *sent.grants))


# Receipts.


def test_a_receipt_says_how_far_the_peer_is(three: Staged) -> None:
    shared_absence(three, CHENGDU)
    head = batch(three)

    three.carry(ORIGIN, CHENGDU)

    ours, theirs = three[ORIGIN].relay.standing(CHENGDU)
    assert (ours.number, ours.root) == (theirs.number, theirs.root) == (head.last, head.root)


def test_an_older_receipt_changes_nothing(three: Staged) -> None:
    shared_absence(three, CHENGDU)
    old = receipt(three[CHENGDU], ORIGIN, 0, NO_ROOT)
    three.carry(ORIGIN, CHENGDU)
    acknowledged = three[ORIGIN].lanes.acknowledged(CHENGDU)

    three[ORIGIN].relay.acknowledge(old)

    assert three[ORIGIN].lanes.acknowledged(CHENGDU) == acknowledged


def refuses(three: Staged, wire: bytes, fault: type[LaneFault], peer: str = CHENGDU) -> None:
    """The receipt is refused, counted, kept, and nothing is acknowledged."""
    lanes = three[ORIGIN].lanes
    with pytest.raises(fault):
        three[ORIGIN].relay.acknowledge(wire)

    assert lanes.acknowledged(CHENGDU).number == 0
    assert lanes.refused_counts() == {(peer, fault.code()): 1}
    assert [row["reason"] for row in lanes.quarantined(0, 10)] == [fault.code()]


def test_a_receipt_for_what_was_never_sent_is_refused(three: Staged) -> None:
    shared_absence(three, CHENGDU)

    refuses(three, receipt(three[CHENGDU], ORIGIN, 99, "ab" * 32), RootsDiffer)


def test_a_receipt_with_another_root_is_refused(three: Staged) -> None:
    shared_absence(three, CHENGDU)

    refuses(three, receipt(three[CHENGDU], ORIGIN, 1, "ab" * 32), RootsDiffer)


def test_a_receipt_signed_by_another_is_refused(three: Staged) -> None:
    wire = receipt(three[CHENGDU], ORIGIN, 0, NO_ROOT)
    body = wire.partition(b"\n")[2]

    refuses(three, sign(NodeKeys.generate(), CHENGDU, body, "receipt"), Forged)


def test_a_receipt_for_another_sender_is_refused(three: Staged) -> None:
    refuses(three, receipt(three[CHENGDU], SHENZHEN, 0, NO_ROOT), Misaddressed)


def test_a_receipt_of_a_stranger_is_refused(three: Staged) -> None:
    three.found("xian")

    refuses(three, receipt(three["xian"], ORIGIN, 0, NO_ROOT), NotEnrolled, "?")


def test_a_want_is_no_receipt(three: Staged) -> None:
    refuses(three, three[CHENGDU].inbox.want(ORIGIN), Malformed)


def test_a_want_is_read_and_answered(three: Staged) -> None:
    shared_absence(three, CHENGDU)
    want = three[ORIGIN].relay.wanted(three[CHENGDU].inbox.want(ORIGIN))

    assert isinstance(want, Want)
    assert batch(three, want.sender, want.after).first == 1


def test_a_receipt_out_of_time_is_refused(three: Staged) -> None:
    wire = receipt(three[CHENGDU], ORIGIN, 0, NO_ROOT, NOW)
    body = json.loads(wire.partition(b"\n")[2])
    early = json.dumps({**body, "at": "0001-01-01T00:00:00+14:00"}).encode()

    refuses(three, sign(three[CHENGDU].keys, CHENGDU, early, "receipt"), Malformed)
