"""转接核对: a peer cannot say a member here or away, nor us into what we did not answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent

from domain.admission import Admission
from domain.commands import (
    AdmitTransfer,
    ApproveTransfer,
    RefuseTransfer,
    RequestTransfer,
    ReturnSlip,
    SendTransfer,
)
from domain.member import Member
from domain.outflow import Outflow
from domain.records import digest
from domain.transfer import Transfer
from sync.envelope import LaneEntry
from tests.support.federation import CHENGDU, NOW, ORIGIN, SHENZHEN, Federation, register
from tests.support.stage import Staged
from tests.sync.pen import Pen

MEMBER = uuid4()
MOVE = Transfer.id_of(MEMBER, 1)
DIGEST = "ab" * 32
DAY = NOW.date()


def step(pen: Pen, version: int, name: str, **said: Any) -> LaneEntry:
    return pen.entry(f"transfer.{name}", MOVE, version, subject=MEMBER, **said)


def requested(pen: Pen, to: str = SHENZHEN, **said: Any) -> LaneEntry:
    body = {"member": str(MEMBER), "to": to, "by": "member", "levels": ["branch"], **said}
    return step(pen, 1, "requested", **body)


def approved(pen: Pen, version: int = 2, level: str = "branch") -> LaneEntry:
    return step(pen, version, "approved", level=level)


def sent(pen: Pen, version: int = 3, dispatch: int = 1, **said: Any) -> LaneEntry:
    until = (NOW + timedelta(days=30)).isoformat()
    body = {"channel": "online", "until": until, "dues_paid_to": "2026-01-01", **said}
    return step(pen, version, "sent", dispatch=dispatch, **body)


def admitted(pen: Pen, version: int = 4, dispatch: int = 1) -> LaneEntry:
    said = {"admitted_on": "2026-01-05", "admission": DIGEST}
    return step(pen, version, "admitted", dispatch=dispatch, **said)


def completed(pen: Pen, version: int = 5, **said: Any) -> LaneEntry:
    body = {"admitted_on": "2026-01-05", "returned_on": "2026-01-05", "slip": DIGEST, **said}
    return step(pen, version, "completed", dispatch=1, **body)


def reasons(pen: Pen) -> list[tuple[str, int, str]]:
    found = pen.receiver.lanes.quarantined(0, 100)
    return [(r["topic"], r["version"], r["reason"]) for r in found]


# What an origin says of its transfer.


def test_a_transfer_in_order_is_taken_in(pen: Pen) -> None:
    steps = [requested(pen), approved(pen), sent(pen), admitted(pen), completed(pen)]

    assert pen.send(*steps).recorded == 5


def test_a_transfer_s_id_follows_from_the_file(pen: Pen) -> None:
    said = {"member": str(MEMBER), "to": SHENZHEN, "by": "member", "levels": ["branch"]}
    pen.send(pen.entry("transfer.requested", uuid4(), subject=MEMBER, **said))

    assert reasons(pen) == [("transfer.requested", 1, "not-their-topic")]


EXPIRES = {"recorded_at": (NOW + timedelta(days=31)).isoformat()}
OUT_OF_ORDER: dict[str, Any] = {
    "sent before it is approved": lambda pen: [requested(pen), sent(pen, 2)],
    "a level that is not next": lambda pen: [requested(pen), approved(pen, 2, "committee")],
    "approved once more": lambda pen: [requested(pen), approved(pen), approved(pen, 3)],
    "sent twice": lambda pen: [requested(pen), approved(pen), sent(pen), sent(pen, 4, 2)],
    "numbers with a gap": lambda pen: [requested(pen), approved(pen), sent(pen, 3, 2)],
    "another dispatch admitted": lambda pen: [
        requested(pen),
        approved(pen),
        sent(pen),
        admitted(pen, 4, 2),
    ],
    "admitted before it is sent": lambda pen: [requested(pen), approved(pen), admitted(pen, 3)],
    "expired too early": lambda pen: [
        requested(pen),
        approved(pen),
        sent(pen),
        step(pen, 4, "expired", dispatch=1),
    ],
    "reissued while on its way": lambda pen: [
        requested(pen),
        approved(pen),
        sent(pen),
        step(pen, 4, "reissued", dispatch=2, until=NOW.isoformat(), basis="x"),
    ],
    "completed before it is admitted": lambda pen: [
        requested(pen),
        approved(pen),
        sent(pen),
        completed(pen, 4),
    ],
    "withdrawn when it is complete": lambda pen: [
        requested(pen),
        approved(pen),
        sent(pen),
        admitted(pen),
        completed(pen),
        step(pen, 6, "withdrawn", reason="x"),
    ],
    "one person for two levels": lambda pen: [
        requested(pen, levels=["branch", "committee"]),
        approved(pen),
        approved(pen, 3, "committee"),
    ],
}


@pytest.mark.parametrize("case", OUT_OF_ORDER)
def test_a_step_out_of_order_is_set_aside(pen: Pen, case: str) -> None:
    steps = OUT_OF_ORDER[case](pen)

    outcome = pen.send(*steps)

    assert outcome.recorded == len(steps) - 1
    assert [(version, reason) for _, version, reason in reasons(pen)] == [
        (len(steps), "does-not-fit")
    ]


def test_a_letter_that_has_run_out_expires_and_is_reissued(pen: Pen) -> None:
    expired = step(pen, 4, "expired", dispatch=1, **EXPIRES)
    again = {"dispatch": 2, "until": (NOW + timedelta(days=60)).isoformat(), "basis": "证明"}

    steps = [requested(pen), approved(pen), sent(pen), expired]
    assert pen.send(*steps, step(pen, 5, "reissued", **again)).recorded == 5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("admitted", {"admitted_on": "2026-01-05", "admission": DIGEST}),
        ("contested", {"reason_code": "other", "refusal": DIGEST}),
    ],
)
def test_we_are_not_said_to_have_answered(pen: Pen, name: str, said: dict[str, str]) -> None:
    steps = [requested(pen, CHENGDU), approved(pen), sent(pen)]

    pen.send(*steps, step(pen, 4, name, dispatch=1, **said))

    assert reasons(pen) == [(f"transfer.{name}", 4, "does-not-fit")]


# Between two that have played by the rules so far.


def moved(three: Federation, to: str = CHENGDU) -> tuple[UUID, UUID]:
    """A member, and a transfer of his that is on its way."""
    origin = three[ORIGIN]
    member = register(origin)
    transfer = origin.execute(RequestTransfer(member=member, to=to)).id
    origin.execute(ApproveTransfer(transfer=transfer, level="branch"), person="one")
    origin.execute(ApproveTransfer(transfer=transfer, level="committee"), person="two")
    origin.execute(SendTransfer(transfer=transfer, dues_paid_to=DAY))
    three.settle()
    return member, transfer


def admit(three: Federation, transfer: UUID, at: str = CHENGDU) -> None:
    said = {"dispatch": 1, "branch": "武侯区第一党支部", "admitted_on": DAY}
    three[at].execute(AdmitTransfer(transfer=transfer, **said))
    three.settle()


def give_slip(three: Federation, transfer: UUID, at: str = CHENGDU) -> None:
    phone = "+8613900001234"
    three[at].execute(ReturnSlip(transfer=transfer, handler="赵干事", phone=phone))
    three.settle()


def test_we_are_not_said_to_have_returned_the_slip(three: Staged) -> None:
    member, transfer = moved(three)
    admit(three, transfer)
    pen = Pen(three[ORIGIN], three[CHENGDU])
    said = {"admitted_on": "2026-01-05", "returned_on": "2026-01-05", "dispatch": 1}
    version = three[ORIGIN].ledger.look_up(Transfer, transfer).version + 1

    for slip in ({}, {"slip": DIGEST}):
        said = {**said, **slip}
        entry = pen.entry("transfer.completed", transfer, version, subject=member, **said)
        pen.send(entry)

    assert {r[2] for r in reasons(pen)} == {"does-not-fit", "stream-stopped"}
    assert three[CHENGDU].ledger.look_up(Member, member).released_on is None


def answer(pen: Pen, name: str, transfer: UUID, version: int = 1, **said: Any) -> LaneEntry:
    stream = said.pop("stream", Admission.id_of(transfer, pen.org))
    body = {"transfer": str(transfer), "dispatch": 1, **said}
    return pen.entry(f"admission.{name}", stream, version, **body)


TAKEN = {"branch": "支部", "admitted_on": "2026-01-05"}


def test_nobody_admits_what_was_sent_to_another(three: Staged) -> None:
    member, transfer = moved(three)
    pen = Pen(three[SHENZHEN], three[ORIGIN])

    pen.send(answer(pen, "admitted", transfer, subject=member, **TAKEN))

    assert reasons(pen) == [("admission.admitted", 1, "does-not-fit")]
    three[ORIGIN].settle()
    assert three[ORIGIN].ledger.look_up(Transfer, transfer).awaits(1)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"dispatch": 2}, "does-not-fit"),
        ({"subject": str(uuid4())}, "does-not-fit"),
        ({"stream": uuid4()}, "not-their-topic"),
    ],
)
def test_nobody_admits_what_was_never_sent(
    three: Staged, said: dict[str, Any], reason: str
) -> None:
    member, transfer = moved(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])

    pen.send(answer(pen, "admitted", transfer, **{"subject": member, **TAKEN, **said}))

    assert reasons(pen) == [("admission.admitted", 1, reason)]


def test_a_dispatch_is_answered_once_and_a_slip_follows_an_admission(three: Staged) -> None:
    member, transfer = moved(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])
    slip = {"returned_on": "2026-01-05", "handler": "赵", "phone": "x"}
    refused = {"reason_code": "other", "reason": "不全", "subject": member}
    first = answer(pen, "refused", transfer, **refused)

    pen.send(first, answer(pen, "admitted", transfer, 2, subject=member, **TAKEN))
    pen.send(answer(pen, "slip_returned", transfer, 1, subject=member, **slip))

    assert [reason for _, _, reason in reasons(pen)] == ["does-not-fit", "stream-stopped"]


def test_a_stream_answers_one_transfer(three: Staged) -> None:
    member, transfer = moved(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])
    stream = Admission.id_of(transfer, CHENGDU)
    refused = {"reason_code": "other", "reason": "不全", "subject": member}
    pen.send(answer(pen, "refused", transfer, **refused))

    other = {**refused, "stream": stream}
    pen.send(answer(pen, "refused", uuid4(), 2, **other))

    assert [reason for _, _, reason in reasons(pen)] == ["does-not-fit"]


@pytest.mark.parametrize("name", ["slip_returned", "filed"])
def test_a_slip_or_a_file_does_not_come_first(three: Staged, name: str) -> None:
    member, transfer = moved(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])
    said = {"returned_on": "2026-01-05", "handler": "赵", "file": str(uuid4()), "last": DIGEST}

    pen.send(answer(pen, name, transfer, subject=member, **said))

    [(_, _, reason)] = reasons(pen)
    assert reason in {"does-not-fit", "malformed"}


@pytest.mark.parametrize("name", ["passed_on", "traced"])
def test_nothing_follows_whom_nobody_has_filed(three: Staged, name: str) -> None:
    member, transfer = moved(three)
    admit(three, transfer)
    pen = Pen(three[CHENGDU], three[ORIGIN])
    said = {"to": SHENZHEN, "file": str(uuid4()), "last": DIGEST, "subject": member}

    pen.send(answer(pen, name, transfer, 2, **said))

    assert reasons(pen) == [(f"admission.{name}", 2, "does-not-fit")]


def test_a_file_is_not_announced_before_the_transfer_is_complete(three: Staged) -> None:
    member, transfer = moved(three)
    admit(three, transfer)
    pen = Pen(three[CHENGDU], three[ORIGIN])

    filed = {"file": str(uuid4()), "last": DIGEST, "subject": member}
    pen.send(answer(pen, "filed", transfer, 2, **filed))

    assert reasons(pen) == [("admission.filed", 2, "does-not-fit")]


# Released and received.


def released(pen: Pen, member: UUID, version: int, **said: Any) -> LaneEntry:
    body = {"transfer": str(uuid4()), "to": pen.to, **said}
    return pen.entry("member.released", member, version, subject=member, **body)


def test_nobody_is_released_to_us_whom_we_were_not_sent(three: Staged) -> None:
    member, _ = moved(three)
    pen = Pen(three[ORIGIN], three[CHENGDU])
    version = three[ORIGIN].ledger.look_up(Member, member).version + 1

    pen.send(released(pen, member, version))

    assert reasons(pen) == [("member.released", version, "does-not-fit")]


def test_nobody_is_released_before_the_transfer_is_complete(three: Staged) -> None:
    member, transfer = moved(three)
    pen = Pen(three[ORIGIN], three[CHENGDU])
    version = three[ORIGIN].ledger.look_up(Member, member).version + 1

    pen.send(released(pen, member, version, transfer=str(transfer)))

    assert reasons(pen) == [("member.released", version, "does-not-fit")]


def test_nobody_releases_our_member(three: Staged) -> None:
    member, _ = moved(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])

    pen.send(released(pen, member, 3))

    assert reasons(pen) == [("member.released", 3, "not-the-keeper")]


def test_after_the_release_the_file_says_nothing_more(three: Staged) -> None:
    member, transfer = moved(three)
    admit(three, transfer)
    give_slip(three, transfer)
    pen = Pen(three[ORIGIN], three[CHENGDU])
    version = three[ORIGIN].ledger.look_up(Member, member).version + 1

    pen.send(pen.entry("member.came_back", member, version, subject=member, outflow=str(uuid4())))

    assert reasons(pen) == [("member.came_back", version, "does-not-fit")]


@pytest.mark.slow
def test_who_was_released_does_not_leave_from_there_again(three: Staged) -> None:
    member, transfer = moved(three)
    admit(three, transfer)
    give_slip(three, transfer)
    pen = Pen(three[ORIGIN], three[CHENGDU])
    said = {"member": str(member), "left_on": "2026-02-01", "subject": member}
    entry = pen.entry("outflow.registered", Outflow.id_of(member, 1), **said)
    late = entry.model_copy(update={"state": entry.state.replace("2026-01-04", "2026-02-01")})

    pen.send(late)

    assert reasons(pen) == [("outflow.registered", 1, "does-not-fit")]


FILE = {
    "name": None,
    "sex": "女",
    "category": "正式党员",
    "joined_on": "2000-07-01",
    "branch": "支部",
}


def received(pen: Pen, person: UUID, **said: Any) -> LaneEntry:
    """A file that claims to go on from another; its seals are of the right shape."""
    seal = f"A256GCM-HS256.{'0' * 32}.AA.AA.AA"
    sealed = dict.fromkeys(("name", "number", "born_on"), seal)
    body = {**FILE, **sealed, "origin": pen.to, "file": str(person), "last": DIGEST, **said}
    body = {"transfer": str(uuid4()), **body}
    return pen.entry("member.received", uuid4(), subject=person, **body)


def test_nobody_receives_whom_we_have_not_released(three: Staged) -> None:
    member, _ = moved(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])

    pen.send(received(pen, member))

    assert reasons(pen) == [("member.received", 1, "not-their-topic")]


def test_nobody_registers_a_person_whom_we_hold(three: Staged) -> None:
    member, _ = moved(three)
    pen = Pen(three[CHENGDU], three[ORIGIN])
    entry = received(pen, member)

    pen.send(entry.model_copy(update={"topic": "member.registered"}))

    assert reasons(pen) == [("member.registered", 1, "not-their-topic")]


@pytest.mark.slow
@pytest.mark.parametrize("lie", ["last", "file", "origin", "subject"])
def test_a_file_that_goes_on_names_what_was_released(three: Staged, lie: str) -> None:
    member, transfer = moved(three)
    admit(three, transfer)
    give_slip(three, transfer)
    other = uuid4()
    said: dict[str, Any] = {
        "last": {"last": DIGEST},
        "file": {"file": str(other)},
        "origin": {"origin": SHENZHEN},
        "subject": {"file": str(member)},
    }[lie]
    pen = Pen(three[CHENGDU], three[ORIGIN])

    pen.send(received(pen, other if lie == "subject" else member, **said))

    assert reasons(pen) == [("member.received", 1, "does-not-fit")]


def test_an_honest_transfer_leaves_nothing_in_quarantine(three: Staged) -> None:
    member, transfer = moved(three)
    said = {"reason_code": "other", "reason": "材料不全"}
    three[CHENGDU].execute(RefuseTransfer(transfer=transfer, dispatch=1, **said))
    three.settle()
    three[ORIGIN].execute(SendTransfer(transfer=transfer, dues_paid_to=DAY))
    three.settle()
    three[CHENGDU].execute(
        AdmitTransfer(transfer=transfer, dispatch=2, branch="支部", admitted_on=DAY)
    )
    three.settle()
    give_slip(three, transfer)

    assert three[CHENGDU].ledger.look_up(Member, member).released_to == CHENGDU
    assert [node.lanes.quarantined(0, 10) for node in three.nodes.values()] == [[], [], []]


# Passed on for a third party.


@pytest.fixture
def complete(three: Staged) -> tuple[Pen, UUID, UUID]:
    """Zhang has been transferred to Chengdu; what the origin may say of it now."""
    member, transfer = moved(three)
    admit(three, transfer)
    give_slip(three, transfer)
    return Pen(three[ORIGIN], three[CHENGDU]), member, transfer


def passed_on(pen: Pen, member: UUID, transfer: UUID, **said: Any) -> LaneEntry:
    """A contact that Shenzhen is said to have made."""
    body = {"topic": "contact.made", "keeper": SHENZHEN, "subject": member, **said}
    told = {"outflow": str(uuid4()), "method": "电话", "by": "骆", "reached": True}
    inner = pen.entry(body["topic"], keeper=body["keeper"], subject=body["subject"], **told)
    if body["topic"] == "unit.closed":
        inner = pen.entry("unit.closed", keeper=SHENZHEN, subject=member, reason="x")
    state = body.get("state", inner.state)
    record = StoredEvent(inner.stream, 1, inner.topic, state.encode())
    version = pen.sender.ledger.look_up(Transfer, transfer).version + 1
    return pen.entry(
        "transfer.forwarded",
        transfer,
        version,
        subject=member,
        record=str(inner.stream),
        record_version=1,
        record_topic=inner.topic,
        record_state=state,
        digest=body.get("digest", digest(record)),
    )


def test_a_third_partys_record_is_taken_in(complete: tuple[Pen, UUID, UUID]) -> None:
    pen, member, transfer = complete

    assert pen.send(passed_on(pen, member, transfer)).recorded == 1

    pen.receiver.settle()
    [row] = pen.receiver.database.rows("SELECT * FROM contact", {})
    assert (row["org"], row["by"]) == (SHENZHEN, "骆")


@pytest.mark.parametrize(
    "lie",
    [
        {"digest": DIGEST},
        {"keeper": ORIGIN},
        {"keeper": CHENGDU},
        {"subject": uuid4()},
        {"topic": "unit.closed"},
        {"state": "nonsense"},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_a_record_that_is_passed_on_is_what_it_says(
    complete: tuple[Pen, UUID, UUID], lie: dict[str, Any]
) -> None:
    pen, member, transfer = complete

    pen.send(passed_on(pen, member, transfer, **lie))

    assert [reason for _, _, reason in reasons(pen)] == ["does-not-fit"]
