"""逐条核对: an entry that fails stops its own stream and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.aggregate import Fact
from domain.agreement import Agreement
from domain.outflow import Outflow
from domain.policy import Policy
from domain.sealing import DataKey, Place, key_id_of, seal
from domain.values import DataClass
from sync import inbox
from sync.envelope import Grant, LaneEntry
from sync.inbox import Outcome
from sync.keys import b64, grant_binding, wrap
from tests.support.federation import CHENGDU, NOW, ORIGIN, SHENZHEN, depart, register
from tests.support.stage import Staged
from tests.sync.pen import Pen

KEY = DataKey(key_id_of(b"k" * 32), uuid4(), DataClass.NOTES, b"k" * 32)


def parked(pen: Pen) -> list[tuple[int, UUID, int, str]]:
    """Number, stream, version and reason of what is set aside."""
    rows = pen.receiver.lanes.quarantined(0, 100)
    return [(r["number"], r["stream"], r["version"], r["reason"]) for r in rows]


def stops_only_itself(pen: Pen, entry: LaneEntry, code: str) -> None:
    """The entry is set aside with its evidence; what stands beside it is recorded."""
    before, after = pen.activity(), pen.activity()
    number = pen.number
    wire = pen.wire(before, entry, after)

    outcome = pen.receiver.inbox.accept(wire)

    assert (outcome.fault, outcome.recorded) == (None, 2)
    assert parked(pen) == [(number + 2, entry.stream, entry.version, code)]
    assert pen.receiver.lanes.evidence(only(pen)) == (pen.org, wire, number + 2)
    assert pen.receiver.ledger.stream(before.stream)
    assert pen.receiver.ledger.stream(after.stream)
    assert pen.number == number + 3
    # Reading goes on: nothing that was recorded stops a read model or the node's own answers.
    pen.receiver.settle()
    assert pen.receiver.projector.stopped == {}


def only(pen: Pen) -> int:
    [row] = pen.receiver.lanes.quarantined(0, 100)
    number: int = row["id"]
    return number


def absence(three: Staged) -> Outflow:
    """An absence that the origin has shared with Chengdu."""
    origin = three[ORIGIN]
    outflow = depart(origin, register(origin))
    share(three, outflow, CHENGDU)
    found = three[ORIGIN].ledger.find(Outflow, outflow)
    assert found is not None
    return found


def share(three: Staged, outflow: UUID, *codes: str) -> None:
    from domain.commands import ShareOutflow  # noqa: PLC0415

    for code in codes:
        command = ShareOutflow(outflow=outflow, to=code, purpose="联合管理")
        three[ORIGIN].execute(command)
    three.settle()


# The keeper of the stream is the sender.


def test_a_fact_kept_by_another_organization_is_set_aside(pen: Pen) -> None:
    stops_only_itself(pen, pen.activity(keeper=SHENZHEN), "not-the-keeper")


def test_a_fact_kept_by_us_is_set_aside(pen: Pen) -> None:
    stops_only_itself(pen, pen.activity(keeper=CHENGDU), "not-the-keeper")


def test_nobody_goes_on_with_our_stream(pen: Pen) -> None:
    policy = Policy.id_of(CHENGDU)

    stops_only_itself(pen, pen.entry("policy.shared", policy, 2), "not-their-topic")


def test_nobody_goes_on_with_the_stream_of_a_third(three: Staged) -> None:
    chengdu, shenzhen = Pen(three[CHENGDU], three[ORIGIN]), Pen(three[SHENZHEN], three[ORIGIN])
    opened = chengdu.activity()
    chengdu.send(opened)

    stops_only_itself(shenzhen, shenzhen.activity(2, opened.stream), "not-the-keeper")


def test_nobody_goes_on_with_a_third_s_stream_of_an_unknown_topic(three: Staged) -> None:
    chengdu, shenzhen = Pen(three[CHENGDU], three[ORIGIN]), Pen(three[SHENZHEN], three[ORIGIN])
    opened = chengdu.entry("future.begun")
    chengdu.send(opened)

    taken = shenzhen.entry("future.ended", opened.stream, 2)
    stops_only_itself(shenzhen, taken, "not-the-keeper")


# The sender may author the topic.


@pytest.mark.parametrize(
    "topic", ["organization.founded", "organization.peer_enrolled", "organization.of_the_future"]
)
def test_an_organization_s_own_stream_never_arrives(pen: Pen, topic: str) -> None:
    entry = pen.entry(topic, code=ORIGIN, name="酒泉", kind="department", peer=peer())

    stops_only_itself(pen, entry, "not-their-topic")


def peer() -> dict[str, str]:
    names = ("name", "address", "verify_key", "sealing_key", "fingerprint")
    return {"code": "evil", **dict.fromkeys(names, "x")}


def test_nobody_speaks_in_another_s_name(pen: Pen) -> None:
    stops_only_itself(pen, pen.activity(author=SHENZHEN), "not-their-topic")


def test_nobody_speaks_in_another_s_name_about_the_unknown(pen: Pen) -> None:
    stops_only_itself(pen, pen.entry("future.thing", author=CHENGDU), "not-their-topic")


@pytest.mark.parametrize("topic", ["policy.adopted", "activity.held", "future.thing"])
def test_nobody_takes_the_place_of_our_policy(pen: Pen, topic: str) -> None:
    stops_only_itself(pen, pen.entry(topic, Policy.id_of(CHENGDU), **POLICY), "not-their-topic")


POLICY: dict[str, Any] = {"effective_from": "2026-02-01", "terms": {}}


def test_a_policy_stands_in_its_organization_s_place(pen: Pen) -> None:
    assert pen.send(pen.entry("policy.adopted", Policy.id_of(ORIGIN), **POLICY)).recorded == 1
    stops_only_itself(pen, pen.entry("policy.adopted", **POLICY), "not-their-topic")


def outflow_entry(pen: Pen, member: UUID, stream: UUID | None = None, **said: Any) -> LaneEntry:
    return pen.entry(
        "outflow.registered",
        stream or Outflow.id_of(member, 1),
        **{"subject": member, "member": str(member), "left_on": "2025-03-01", **said},
    )


CERTIFIED = {
    "peer": CHENGDU,
    "at": "2026-01-05T01:00:00Z",
    "certificate": '{"parties":[]}',
    "signatures": [],
    "salt": "5" * 64,
    "position": 1,
}


def test_a_certificate_stands_in_the_place_of_its_pair(pen: Pen) -> None:
    right = pen.entry("agreement.certified", Agreement.id_of(ORIGIN, CHENGDU), **CERTIFIED)

    assert pen.send(right).recorded == 1
    ours = pen.entry("agreement.certified", Agreement.id_of(CHENGDU, ORIGIN), **CERTIFIED)
    stops_only_itself(pen, ours, "not-their-topic")


def test_an_absence_takes_the_place_that_follows_from_its_member(pen: Pen) -> None:
    assert pen.send(outflow_entry(pen, uuid4())).recorded == 1
    stops_only_itself(pen, outflow_entry(pen, uuid4(), uuid4()), "not-their-topic")


def test_nobody_sends_away_a_member_kept_by_another(three: Staged) -> None:
    member = absence(three).member
    pen = Pen(three[CHENGDU], three[ORIGIN])
    taken = outflow_entry(pen, member, Outflow.id_of(member, 2))

    stops_only_itself(pen, taken, "not-their-topic")


def test_nobody_takes_the_place_of_a_member_s_next_absence(three: Staged) -> None:
    member = absence(three).member
    pen = Pen(three[CHENGDU], three[ORIGIN])
    taken = outflow_entry(pen, uuid4(), Outflow.id_of(member, 2))

    stops_only_itself(pen, taken, "not-their-topic")


@pytest.mark.parametrize("topic", ["claim.recognized", "claim.refused"])
def test_only_a_find_of_ours_is_claimed_or_refused(pen: Pen, topic: str) -> None:
    from domain.claim import Claim  # noqa: PLC0415

    inflow = uuid4()
    said = {"inflow": str(inflow), "outflow": str(uuid4()), "reason": "x"}

    stops_only_itself(pen, pen.entry(topic, Claim.id_of(inflow), **said), "not-their-topic")


def test_who_takes_no_part_in_an_absence_has_nothing_to_say_about_it(three: Staged) -> None:
    outflow = absence(three)
    pen = Pen(three[SHENZHEN], three[ORIGIN])

    stops_only_itself(pen, pen.contact(outflow), "not-their-topic")


def test_who_takes_part_may_say_so(three: Staged) -> None:
    outflow = absence(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])

    assert pen.send(pen.contact(outflow)).recorded == 1


def test_a_contact_is_with_the_member_of_the_absence(three: Staged) -> None:
    outflow = absence(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])

    stops_only_itself(pen, pen.contact(outflow, subject=uuid4()), "not-their-topic")


def test_what_concerns_an_unknown_absence_waits(pen: Pen) -> None:
    stops_only_itself(pen, pen.contact(uuid4(), subject=uuid4()), "unknown")


def test_an_absence_may_arrive_in_the_same_batch(pen: Pen) -> None:
    member = uuid4()
    opened = outflow_entry(pen, member)

    assert pen.send(opened, pen.contact(opened.stream, subject=member)).recorded == 2


def test_an_inflow_takes_the_place_that_follows_from_its_absence(three: Staged) -> None:
    outflow = absence(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])
    said = {"subject": outflow.member, "outflow": str(outflow.id), "via": "qr"}

    stops_only_itself(pen, pen.entry("inflow.reported", uuid4(), **said), "not-their-topic")


def test_attendance_takes_the_place_that_follows_from_activity_and_absence(three: Staged) -> None:
    outflow = absence(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])
    said = {"outflow": str(outflow.id), "activity": str(uuid4()), "mark": "present"}

    entry = pen.entry("attendance.marked", uuid4(), subject=outflow.member, **said)
    stops_only_itself(pen, entry, "not-their-topic")


# The version follows.


@pytest.mark.parametrize("version", [2, 3, 2**31 - 1])
def test_a_stream_begins_with_its_first_version(pen: Pen, version: int) -> None:
    stops_only_itself(pen, pen.activity(version), "version-gap")


@pytest.mark.parametrize("version", [1, 3])
def test_a_version_follows_the_one_before(pen: Pen, version: int) -> None:
    opened = pen.activity()
    pen.send(opened)

    stops_only_itself(pen, pen.entry("activity.shared", opened.stream, version), "version-gap")


def test_a_fault_stops_its_stream_and_the_others_go_on(pen: Pen) -> None:
    bad, good = uuid4(), uuid4()

    outcome = pen.send(
        pen.activity(1, bad),
        pen.activity(3, bad),
        pen.activity(1, good),
        pen.activity(2, bad),
        pen.activity(2, good),
    )

    assert outcome.recorded == 3
    assert parked(pen) == [(2, bad, 3, "version-gap"), (4, bad, 2, "stream-stopped")]


def test_a_stopped_stream_stays_stopped_in_later_batches(pen: Pen) -> None:
    bad = uuid4()
    pen.send(pen.activity(2, bad))

    outcome = pen.send(pen.activity(1, bad), pen.activity())

    assert outcome.recorded == 1
    assert parked(pen) == [(1, bad, 2, "version-gap"), (2, bad, 1, "stream-stopped")]


def test_a_stream_stopped_for_one_peer_goes_on_for_another(three: Staged) -> None:
    chengdu, shenzhen = Pen(three[CHENGDU], three[ORIGIN]), Pen(three[SHENZHEN], three[ORIGIN])
    stream = uuid4()
    chengdu.send(chengdu.activity(2, stream))

    assert shenzhen.send(shenzhen.activity(1, stream)).recorded == 1


# The state is what its topic promises.


def bad_states() -> dict[str, str]:
    good = json.dumps(Pen.state(_Nobody(), "activity.held"))  # type: ignore[arg-type]
    body = good[:-1]
    return {
        "empty": "",
        "no object": "[]",
        "null": "null",
        "not json": '{"meta":',
        "meta is not first": '{"kind":"theme_day",' + good[1:],
        "meta is a list": '{"meta":[]}',
        "no meta": '{"meta":null}',
        "spaces before it": " " + good,
        "a field is missing": good.replace("kind", "kin"),
        "not one of the values": good.replace("theme_day", "party"),
        "control character": good.replace("theme_day", "theme_day\\u0000"),
        "duplicate key": body + ',"kind":"theme_day"}',
        "duplicate key inside": good.replace(
            '"source": {}', '"source":{"kind":"api","kind":"api"}'
        ),
        "nan": body + ',"more":NaN}',
        "infinity": body + ',"more":1e400}',
        "vanishing number": body + ',"more":1e-400}',
        "large number": body + ',"more":9007199254740992}',
        "long number": body + ',"more":' + "9" * 30_000 + "}",
        "lone surrogate": body + ',"more":"\\ud800"}',
        "nul": body + ',"more":"\\u0000"}',
        "nul as a key": body + ',"\\u0000":1}',
        "raw control character": body + ',"more":"\x01"}',
        "raw nul": body + ',"more":"\x00"}',
        "deep": body + ',"more":' + "[" * 33 + "]" * 33 + "}",
        "very deep": body + ',"more":' + "[" * 30_000 + "]" * 30_000 + "}",
        "more after it": good + "{}",
        "no zone": good.replace("+00:00", ""),
        "before the calendar": good.replace("2026-01-05", "0001-01-01"),
        "after the calendar": good.replace("2026-01-05", "9999-12-31"),
        "a schema nobody has": good.replace('"meta": {', '"meta": {"schema_version": 4294967296,'),
    }


class _Nobody:
    org, to = ORIGIN, CHENGDU


OURS = ("organization.", "pact.")
"""What a node has put down about its peers before any of them says a word."""


def malformed() -> Iterator[Any]:
    """Of a topic known here every one, of an unknown one what no topic can say."""
    for name, state in bad_states().items():
        yield pytest.param(state, "activity.held", id=f"{name}-activity.held")
        if 'kin":' not in state and 'party"' not in state:
            yield pytest.param(state, "future.thing", id=f"{name}-future.thing")


@pytest.mark.parametrize(("state", "topic"), list(malformed()))
def test_a_malformed_state_is_set_aside(pen: Pen, state: str, topic: str) -> None:
    outcome = pen.raw(state, topic)

    assert (outcome.fault, outcome.recorded) == (None, 0)
    assert pen.receiver.ledger.since(0)[-1].record.topic.startswith(OURS)
    assert [reason for *_, reason in parked(pen)] == ["malformed"]


@pytest.mark.parametrize("offer", [2**31, -(2**31), 2**53 - 1])
def test_a_number_no_column_holds_is_set_aside(pen: Pen, offer: int) -> None:
    member = uuid4()
    opened = outflow_entry(pen, member)
    said = {"offer": offer, "host": CHENGDU, "until": NOW.isoformat(), "subject": member}

    pen.send(opened, pen.entry("outflow.offered", opened.stream, 2, **said))

    assert parked(pen) == [(2, opened.stream, 2, "malformed")]


# The fact fits what its stream has said so far.


@pytest.mark.parametrize("topic", ["outflow.confirmed", "outflow.lapsed", "outflow.turned_down"])
def test_an_offer_never_made_is_not_answered(pen: Pen, topic: str) -> None:
    member = uuid4()
    opened = outflow_entry(pen, member)
    answer = pen.entry(topic, opened.stream, 2, subject=member, **ANSWER)

    pen.send(opened, answer)

    assert parked(pen) == [(2, opened.stream, 2, "does-not-fit")]
    assert pen.receiver.ledger.find(Outflow, opened.stream) is not None


ANSWER: dict[str, Any] = {
    "offer": 7,
    "host": CHENGDU,
    "since": "2025-04-01",
    "acceptance": "ab" * 32,
    "declination": "ab" * 32,
    "reason_code": "capacity",
}


def test_a_stream_is_of_one_kind(pen: Pen) -> None:
    opened = pen.activity()
    pen.send(opened)

    stops_only_itself(
        pen, pen.entry("contact.withdrawn", opened.stream, 2, reason="误登"), "does-not-fit"
    )


def test_a_stream_is_about_one_person(pen: Pen) -> None:
    member = uuid4()
    opened = outflow_entry(pen, member)

    pen.send(opened, pen.entry("outflow.contact_restored", opened.stream, 2, subject=uuid4()))

    assert parked(pen) == [(2, opened.stream, 2, "does-not-fit")]


@pytest.mark.parametrize("topic", ["activity.cancelled", "contact.withdrawn", "outflow.voided"])
def test_a_stream_does_not_open_with_its_end(pen: Pen, topic: str) -> None:
    entry = pen.entry(topic, reason="误登", second_person="李")

    stops_only_itself(pen, entry, "does-not-fit")


def test_what_a_stream_opens_with_is_known_for_every_kind() -> None:
    from domain.catalogue import FACTS  # noqa: PLC0415
    from sync.authority import OPENING  # noqa: PLC0415

    kinds: set[type] = {fact.AGGREGATE for fact in FACTS.values()}
    opened: set[type] = {FACTS[topic].AGGREGATE for topic in OPENING}
    assert {kind.__name__ for kind in kinds - opened} == {"Organization", "Access"}
    assert all(issubclass(FACTS[topic], Fact) for topic in OPENING)


# What is sealed opens, where the key is held.


def noted(pen: Pen, sealed: str, stream: UUID) -> tuple[LaneEntry, LaneEntry]:
    """An absence, and a contact with a sealed note."""
    opened = outflow_entry(pen, KEY.subject)
    said = {"outflow": str(opened.stream), "method": "电话", "by": "王", "reached": True}
    contact = pen.entry("contact.made", stream, subject=KEY.subject, condition=sealed, **said)
    return opened, contact


def send_noted(pen: Pen, sealed: str, stream: UUID, *, granted: bool) -> Outcome:
    binding = grant_binding(pen.org, pen.to, KEY.id, KEY.subject, KEY.data_class)
    wrapped = b64(wrap(KEY.secret, pen.receiver.keys.sealing_key, binding))
    grant = Grant(key=KEY.id, subject=KEY.subject, data_class=KEY.data_class, wrapped=wrapped)
    entries = noted(pen, sealed, stream)
    outcome: Outcome = pen.send(*entries, grants=(grant,) if granted else ())
    return outcome


def sealed_note(stream: UUID, plain: str = "身体健康", version: int = 1) -> str:
    return seal(plain, KEY, "condition", Place(ORIGIN, stream, version, "contact.made", 1))


def test_a_sealed_note_that_opens_is_taken_in(pen: Pen) -> None:
    stream = uuid4()

    assert send_noted(pen, sealed_note(stream), stream, granted=True).recorded == 2


@pytest.mark.parametrize("sealed", ["", "in the clear", "A256GCM-HS256.x.y.z", "....", "A.B.C.D.E"])
def test_a_value_that_names_no_key_is_set_aside(pen: Pen, sealed: str) -> None:
    stream = uuid4()
    send_noted(pen, sealed, stream, granted=True)

    assert parked(pen) == [(2, stream, 1, "malformed")]


def test_a_value_sealed_for_another_place_is_set_aside(pen: Pen) -> None:
    stream = uuid4()
    send_noted(pen, sealed_note(uuid4()), stream, granted=True)

    assert parked(pen) == [(2, stream, 1, "malformed")]


def test_a_value_that_holds_nul_is_set_aside(pen: Pen) -> None:
    stream = uuid4()
    send_noted(pen, sealed_note(stream, "健康\x00"), stream, granted=True)

    assert parked(pen) == [(2, stream, 1, "malformed")]


def test_a_value_whose_key_was_not_granted_stays_sealed(pen: Pen) -> None:
    stream = uuid4()

    assert send_noted(pen, sealed_note(uuid4()), stream, granted=False).recorded == 2
    pen.receiver.settle()
    assert pen.receiver.projector.stopped == {}


def test_a_key_once_held_is_not_replaced(pen: Pen) -> None:
    one, two = uuid4(), uuid4()
    send_noted(pen, sealed_note(one), one, granted=True)
    other = DataKey(KEY.id, KEY.subject, KEY.data_class, b"o" * 32)
    binding = grant_binding(pen.org, pen.to, KEY.id, KEY.subject, KEY.data_class)
    wrapped = b64(wrap(other.secret, pen.receiver.keys.sealing_key, binding))
    grant = Grant(key=KEY.id, subject=KEY.subject, data_class=KEY.data_class, wrapped=wrapped)

    pen.send(noted(pen, sealed_note(two), two)[1], grants=(grant,))

    held = pen.receiver.keyring.key(KEY.id)
    assert held is not None
    assert held.secret == KEY.secret
    assert parked(pen) == []


def test_a_key_that_is_not_the_one_of_its_id_is_not_kept(pen: Pen) -> None:
    stream = uuid4()
    binding = grant_binding(pen.org, pen.to, KEY.id, KEY.subject, KEY.data_class)
    junk = b64(wrap(b"o" * 32, pen.receiver.keys.sealing_key, binding))
    grant = Grant(key=KEY.id, subject=KEY.subject, data_class=KEY.data_class, wrapped=junk)

    pen.send(*noted(pen, sealed_note(stream), stream), grants=(grant,))

    assert pen.receiver.keyring.key(KEY.id) is None


# Bounds.


def test_too_many_entries_set_aside_halt_the_lane(
    pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PARKED_MAX", 2)
    pen.send(pen.activity(2), pen.activity(2))
    wire = pen.wire(pen.activity(), pen.activity(2))

    outcome = pen.receiver.inbox.accept(wire)

    assert type(outcome.fault).__name__ == "TooManyParked"
    assert (outcome.recorded, pen.number) == (0, 2)
    assert len(parked(pen)) == 3
    assert pen.receiver.lanes.refused_counts() == {(ORIGIN, "too-many-parked"): 1}
    # It waits; as soon as there is room, the same batch passes.
    monkeypatch.setattr(inbox, "PARKED_MAX", 3)
    assert pen.receiver.inbox.accept(wire).recorded == 1


def test_a_lane_that_is_halted_still_takes_what_is_in_order(
    pen: Pen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PARKED_MAX", 1)
    pen.send(pen.activity(2))

    assert pen.send(pen.activity()).recorded == 1
