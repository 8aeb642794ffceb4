"""转入: how a receiver answers a transfer, and how the member's file goes on there."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from domain.activity import Activity
from domain.admission import (
    Admission,
    DispatchAnswered,
    NotAdmitted,
    SlipReturnedAlready,
    SlipTooEarly,
)
from domain.aggregate import InTheFuture
from domain.attendance import Attendance
from domain.commands import (
    AdmitByLetter,
    AdmitTransfer,
    HandOn,
    PassOn,
    ReceiveMember,
    RefuseTransfer,
    ReturnSlip,
    TraceFile,
)
from domain.contact import Contact
from domain.decisions.admissions import (
    AdmissionIsVoid,
    AdmittedBeforeSent,
    DispatchNotWaiting,
    FileUnreadable,
    HistoryBroken,
    NotSentToUs,
)
from domain.decisions.members import MemberKnown
from domain.inflow import Inflow
from domain.ledger import NotFound, NotOurs
from domain.member import Member
from domain.organization import PeerUnknown
from domain.outflow import Outflow
from domain.passage import TransferNotThere
from domain.records import digest
from domain.sealing import Unopenable
from domain.transfer import Transfer
from tests.domain.test_transfer import (
    ADMITTED,
    APPROVED,
    COMPLETED,
    CONTESTED,
    EXPIRED,
    MOVE,
    RELEASED,
    SENT,
    WITHDRAWN,
)
from tests.support.people import AWAY, LEFT, ON_FILE, ZHANG, ZHANG_NUMBER, on_file, register_member
from tests.support.story import CHENGDU, NOW, ORIGIN, TODAY, Said, Story, fact, name

OURS = Admission.id_of(MOVE, CHENGDU)
BRANCH = "武侯区第一党支部"
TAKEN = fact(Admission.Admitted, transfer=MOVE, dispatch=1, branch=BRANCH, admitted_on=TODAY)
SLIP = fact(
    Admission.SlipReturned,
    transfer=MOVE,
    dispatch=1,
    returned_on=TODAY,
    handler="赵干事",
    phone="+8613900001234",
)


def arriving(host: Story, *facts: Said) -> Story:
    """Zhang's file at the origin and his transfer to Chengdu, as Chengdu has heard of them."""
    host.given(ZHANG, ON_FILE, about=ZHANG, by=ORIGIN, heard_by=(CHENGDU,))
    host.given(MOVE, *facts, about=ZHANG, by=ORIGIN, heard_by=(CHENGDU,))
    return host


def admit(**said: Any) -> AdmitTransfer:
    body = {"dispatch": 1, "branch": BRANCH, "admitted_on": TODAY, **said}
    return AdmitTransfer.model_validate({"transfer": MOVE, **body})


def admit_by_letter(**said: Any) -> AdmitByLetter:
    body = {
        **admit().model_dump(),
        "origin": ORIGIN,
        "person": ZHANG,
        "sent_on": TODAY,
        "until": NOW + timedelta(days=30),
        "number": ZHANG_NUMBER,
        **said,
    }
    return AdmitByLetter.model_validate(body)


def refuse(**said: Any) -> RefuseTransfer:
    body = {"dispatch": 1, "reason_code": "not_here", "reason": "查无此人", **said}
    return RefuseTransfer.model_validate({"transfer": MOVE, **body})


def give_slip(**said: Any) -> ReturnSlip:
    body = {"transfer": MOVE, "handler": "赵干事", "phone": "13900001234", **said}
    return ReturnSlip.model_validate(body)


# The answer, by a letter that came before any lane.


def test_a_letter_is_admitted_by_the_same_fact_on_the_same_stream(host: Story) -> None:
    receipt = host.when(admit_by_letter()).then(TAKEN)

    assert receipt.id == OURS
    assert host.told[0].meta.audience == (ORIGIN,)
    assert host.told[0].meta.subject == ZHANG


def test_where_the_transfer_is_known_its_own_rules_decide(host: Story) -> None:
    arriving(host, *SENT, WITHDRAWN)

    host.when(admit_by_letter()).then_refused(DispatchNotWaiting, state="撤销")


def test_a_letter_is_answered_once(host: Story) -> None:
    host.given(OURS, TAKEN, about=ZHANG)

    host.when(admit_by_letter()).then_refused(DispatchAnswered, dispatch=1)


def test_another_letter_of_the_same_transfer_is_another_answer(host: Story) -> None:
    host.given(OURS, TAKEN, about=ZHANG)

    host.when(admit_by_letter(dispatch=2)).then(
        fact(Admission.Admitted, **{**TAKEN.fields, "dispatch": 2})
    )


def test_a_letter_from_nobody_known_is_not_admitted(host: Story) -> None:
    host.when(admit_by_letter(origin="xian")).then_refused(PeerUnknown, peer="xian")


def test_a_letter_is_admitted_within_its_validity(host: Story) -> None:
    host.when(admit_by_letter(until=NOW)).then_refused(DispatchNotWaiting, dispatch=1)
    early = admit_by_letter(admitted_on=TODAY - timedelta(days=1))
    host.when(early).then_refused(AdmittedBeforeSent, sent_on=TODAY.isoformat())


def test_a_letter_does_not_admit_whose_affiliation_is_here(host: Story) -> None:
    host.when(register_member()).then(ON_FILE)

    host.when(admit_by_letter()).then_refused(MemberKnown)


# The answer.


def test_a_transfer_is_admitted_into_a_branch(host: Story) -> None:
    arriving(host, *SENT)

    receipt = host.when(admit()).then(TAKEN)

    assert receipt.id == OURS
    assert host.told[0].meta.audience == (ORIGIN,)
    assert host.told[0].meta.subject == ZHANG


def test_a_transfer_is_refused_with_a_reason(host: Story) -> None:
    arriving(host, *SENT)

    host.when(refuse()).then(
        fact(
            Admission.Refused, transfer=MOVE, dispatch=1, reason_code="not_here", reason="查无此人"
        )
    )


@pytest.mark.parametrize("command", [admit(), refuse()])
def test_a_dispatch_is_answered_once(host: Story, command: Any) -> None:
    arriving(host, *SENT)
    host.given(OURS, TAKEN, about=ZHANG)

    host.when(command).then_refused(DispatchAnswered, dispatch=1)


@pytest.mark.parametrize("command", [admit(), refuse(), give_slip()])
def test_only_the_receiver_answers(host: Story, command: Any) -> None:
    elsewhere = fact(
        Transfer.Requested, member=ZHANG, to="shenzhen", by="member", levels=("branch",)
    )
    arriving(host, elsewhere, *SENT[1:])

    host.when(command).then_refused(NotSentToUs, to="shenzhen")


def test_nobody_answers_what_was_never_heard_of(host: Story) -> None:
    host.when(admit()).then_refused(NotFound)


@pytest.mark.parametrize("last", [EXPIRED, WITHDRAWN, CONTESTED, ADMITTED])
def test_what_waits_no_more_is_not_answered(host: Story, last: Said) -> None:
    arriving(host, *SENT, last)

    host.when(admit()).then_refused(DispatchNotWaiting, dispatch=1)


@pytest.mark.parametrize(("before", "dispatch"), [(SENT, 2), (APPROVED, 1)])
def test_what_was_not_sent_is_not_answered(
    host: Story, before: tuple[Said, ...], dispatch: int
) -> None:
    arriving(host, *before)

    host.when(admit(dispatch=dispatch)).then_refused(DispatchNotWaiting)


def test_after_its_last_moment_nothing_is_admitted(host: Story) -> None:
    arriving(host, *SENT).after(days=30)

    host.when(admit()).then_refused(DispatchNotWaiting)


@pytest.mark.parametrize(("days", "refusal"), [(-1, AdmittedBeforeSent), (1, InTheFuture)])
def test_the_day_of_admission_lies_between_sending_and_today(
    host: Story, days: int, refusal: Any
) -> None:
    arriving(host, *SENT)

    host.when(admit(admitted_on=TODAY + timedelta(days=days))).then_refused(refusal)


def test_who_is_on_file_here_is_not_admitted_again(host: Story) -> None:
    arriving(host, *SENT)
    host.when(register_member())

    host.when(admit()).then_refused(MemberKnown)


def test_a_file_that_does_not_open_here_is_not_admitted(
    host: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    arriving(host, *SENT)
    monkeypatch.setattr(host.ledger.keyring, "key", lambda _: None)

    host.when(admit()).then_refused(FileUnreadable, fields=["name", "number", "born_on"])


def test_a_file_that_was_sealed_wrongly_is_not_admitted(
    host: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object) -> str:
        raise Unopenable("x")

    arriving(host, *SENT)
    monkeypatch.setattr("domain.decisions.admissions.open_field", closed)

    host.when(admit()).then_refused(FileUnreadable)


# The slip.


def test_the_slip_is_returned_with_who_handled_it(host: Story) -> None:
    arriving(host, *SENT, ADMITTED)
    host.given(OURS, TAKEN, about=ZHANG)

    host.when(give_slip()).then(SLIP)

    host.when(give_slip()).then_refused(SlipReturnedAlready)


def test_whose_file_does_not_open_here_is_given_no_slip(
    host: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A letter admits before the file has come; with the slip the affiliation would pass."""
    arriving(host, *SENT)
    host.given(OURS, TAKEN, about=ZHANG)
    monkeypatch.setattr(host.ledger.keyring, "key", lambda _: None)

    host.when(give_slip()).then_refused(FileUnreadable, fields=["name", "number", "born_on"])


def test_without_an_admission_there_is_no_slip(host: Story) -> None:
    arriving(host, *SENT)
    host.when(give_slip()).then_refused(NotFound)
    refused = fact(
        Admission.Refused, transfer=MOVE, dispatch=1, reason_code="other", reason="材料不全"
    )
    host.given(OURS, refused, about=ZHANG)

    host.when(give_slip()).then_refused(NotAdmitted)


@pytest.mark.parametrize(("day", "refusal"), [(-1, SlipTooEarly), (1, InTheFuture)])
def test_a_slip_is_dated_between_admission_and_today(host: Story, day: int, refusal: Any) -> None:
    arriving(host, *SENT, ADMITTED)
    host.given(OURS, TAKEN, about=ZHANG)

    host.when(give_slip(returned_on=TODAY + timedelta(days=day))).then_refused(refusal)


@pytest.mark.parametrize(
    "since",
    [
        (EXPIRED,),
        (WITHDRAWN,),
        (CONTESTED, fact(Transfer.Sent, **{**SENT[-1].fields, "dispatch": 2})),
    ],
)
def test_of_an_admission_that_is_void_no_slip_is_returned(
    host: Story, since: tuple[Said, ...]
) -> None:
    arriving(host, *SENT, *since)
    host.given(OURS, TAKEN, about=ZHANG)

    host.when(give_slip()).then_refused(AdmissionIsVoid)


# The file goes on.


def released(host: Story, *more: Said) -> Story:
    """The transfer is complete, and the origin has released the member to Chengdu."""
    arriving(host, *SENT, ADMITTED, COMPLETED)
    host.given(OURS, TAKEN, SLIP, about=ZHANG)
    host.given(ZHANG, *more, RELEASED, about=ZHANG, by=ORIGIN, heard_by=(CHENGDU, "shenzhen"))
    return host


def test_the_file_goes_on_under_our_keys_and_names_where_it_came_from(host: Story) -> None:
    released(host)
    last = digest(host.ledger.stream(ZHANG)[-1])
    here = host.ledger.keyring.blind("member", ZHANG_NUMBER)

    host.when(ReceiveMember(transfer=MOVE)).then(
        fact(
            Member.Received,
            **{**ON_FILE.fields, "branch": BRANCH},
            transfer=MOVE,
            origin=ORIGIN,
            file=ZHANG,
            last=last,
        ),
        fact(Admission.Filed, transfer=MOVE, file=here, last=last),
    )

    member = host.ledger.look_up(Member, here)
    assert (member.keeper, member.person, member.continues) == (CHENGDU, ZHANG, ZHANG)
    assert member.audience == ()


def test_it_goes_on_with_what_was_said_last(host: Story) -> None:
    corrected = fact(
        Member.IdentityCorrected, name="张叁", number="620902198803151237", reason="录入错误"
    )
    released(host, fact(Member.PhoneRecorded, phone="+8613900008888"), corrected)

    host.when(ReceiveMember(transfer=MOVE))

    said = host.said(host.told[0]).fields
    assert (said["name"], said["phone"]) == ("张叁", "+8613900008888")
    assert (said["number"], said["born_on"], said["sex"]) == (
        "620902198803151237",
        "1988-03-15",
        "男",
    )


def test_it_goes_on_once(host: Story) -> None:
    released(host).when(ReceiveMember(transfer=MOVE))

    host.when(ReceiveMember(transfer=MOVE)).then_nothing()


def test_who_was_here_before_is_given_another_file(host: Story) -> None:
    first = host.ledger.keyring.blind("member", ZHANG_NUMBER)
    on_file(host, fact(Member.Released, transfer=name("earlier"), to=ORIGIN), member=first)
    released(host)

    receipt = host.when(ReceiveMember(transfer=MOVE)).receipt

    assert receipt is not None
    assert receipt.id == Member.id_of(first, 2)


def test_who_was_released_to_somebody_else_is_not_received(host: Story) -> None:
    arriving(host, *SENT, ADMITTED, COMPLETED)
    host.given(OURS, TAKEN, SLIP, about=ZHANG)

    host.when(ReceiveMember(transfer=MOVE)).then_refused(NotSentToUs)


# It goes on further, or has come from further back.

HERE, FIRST = name("here"), name("first")
FILED = fact(Admission.Filed, transfer=MOVE, file=HERE, last="e" * 64)


def received(file: Any, last: str) -> Said:
    came = {"transfer": MOVE, "origin": ORIGIN, "file": file, "last": last}
    return fact(Member.Received, **{**ON_FILE.fields, **came})


def gone_on(host: Story, *more: Said) -> Story:
    """Chengdu has filed Zhang."""
    host.given(OURS, TAKEN, SLIP, FILED, about=ZHANG)
    host.given(HERE, received(ZHANG, "e" * 64), *more, about=ZHANG)
    return host


def test_to_whom_a_file_has_gone_on_is_told_once_and_to_him_too(host: Story) -> None:
    gone_on(host, fact(Member.Released, transfer=name("next"), to=ORIGIN))
    go_on = PassOn(transfer=MOVE, to=ORIGIN)

    host.when(go_on).then(fact(Admission.PassedOn, transfer=MOVE, to=ORIGIN))

    assert host.told[0].meta.audience == (ORIGIN,)
    host.when(go_on).then_nothing()


def test_to_whom_it_has_gone_is_told_also_of_an_organization_we_do_not_know(host: Story) -> None:
    gone_on(host, fact(Member.Released, transfer=name("next"), to="wuhan"))

    host.when(PassOn(transfer=MOVE, to="wuhan"))

    assert host.told[0].meta.audience == ()


def test_a_file_that_is_still_here_has_not_gone_on(host: Story) -> None:
    gone_on(host)

    host.when(PassOn(transfer=MOVE, to=ORIGIN)).then_refused(NotFound)
    host.given(Admission.id_of(name("other"), CHENGDU), TAKEN, about=ZHANG)
    host.when(PassOn(transfer=name("other"), to=ORIGIN)).then_refused(NotFound)


def earlier(host: Story, *, last: str | None = None, absences: bool = True) -> str:
    """Zhang's file of the origin went on at the one before ours, and has come here since."""
    left = fact(Member.Left, outflow=Outflow.id_of(FIRST, 1))
    told: dict[str, Any] = {"about": ZHANG, "by": "wuhan", "heard_by": (CHENGDU, ORIGIN)}
    host.given(FIRST, ON_FILE, left, fact(Member.Released, transfer=MOVE, to=ORIGIN), **told)
    if absences:
        host.given(Outflow.id_of(FIRST, 1), LEFT, **told)
    named = last or digest(host.ledger.stream(FIRST)[-1])
    host.given(ZHANG, received(FIRST, named), about=ZHANG, by=ORIGIN, heard_by=(CHENGDU,))
    gone_on(host)
    return named


def test_an_earlier_file_is_traced_once_and_its_people_are_told(host: Story) -> None:
    last = earlier(host)
    trace = TraceFile(transfer=MOVE, file=FIRST)

    host.when(trace).then(fact(Admission.Traced, transfer=MOVE, file=FIRST, last=last))

    assert host.told[0].meta.audience == (ORIGIN,)
    host.when(trace).then_nothing()


def test_an_earlier_file_is_traced_when_all_of_it_is_here(host: Story) -> None:
    earlier(host, absences=False)

    host.when(TraceFile(transfer=MOVE, file=FIRST)).then_refused(NotFound)


def test_a_file_that_is_not_the_one_named_is_not_traced(host: Story) -> None:
    earlier(host, last="f" * 64)

    host.when(TraceFile(transfer=MOVE, file=FIRST)).then_refused(HistoryBroken, keeper="wuhan")


def test_a_file_nobody_went_on_from_is_not_traced(host: Story) -> None:
    earlier(host)
    stranger = name("stranger")
    host.given(stranger, ON_FILE, about=ZHANG, by=ORIGIN, heard_by=(CHENGDU,))

    host.when(TraceFile(transfer=MOVE, file=stranger)).then_refused(NotFound)


# History follows.


def contacted(story: Story) -> Any:
    made = fact(Contact.Made, outflow=AWAY, method="电话", by="李干事", reached=True)
    return story.given(name("contact"), made, about=ZHANG)


def test_what_we_keep_of_a_member_is_handed_on_once(origin: Story) -> None:
    contact = contacted(origin)

    origin.when(HandOn(record=contact, to=CHENGDU)).then(fact(Contact.Shared, to=CHENGDU))

    origin.when(HandOn(record=contact, to=CHENGDU)).then_nothing()


def test_a_mark_is_handed_on_with_its_activity(origin: Story) -> None:
    day = origin.given(name("day"), fact(Activity.Held, kind="theme_day", title="主题党日"))
    mark = origin.given(
        Attendance.id_of(day, AWAY),
        fact(Attendance.Marked, activity=day, outflow=AWAY, mark="present"),
        about=ZHANG,
    )

    origin.when(HandOn(record=mark, to=CHENGDU)).then(
        fact(Attendance.Shared, to=CHENGDU), fact(Activity.Shared)
    )


@pytest.mark.parametrize(
    ("stream", "kept", "handed"),
    [
        (AWAY, LEFT, Outflow.Shared),
        (ZHANG, ON_FILE, Member.Disclosed),
        (
            Inflow.id_of(AWAY, ORIGIN),
            fact(Inflow.Reported, outflow=AWAY, via="qr"),
            Inflow.Shared,
        ),
    ],
)
def test_absences_stays_and_files_are_handed_on(
    origin: Story, stream: Any, kept: Said, handed: Any
) -> None:
    origin.given(stream, kept, about=ZHANG, on=date(2025, 3, 1))

    origin.when(HandOn(record=stream, to=CHENGDU))

    assert [type(each) for each in origin.told] == [handed]
    assert origin.told[0].meta.audience == (CHENGDU,)


def test_a_transfer_is_handed_on_once_it_is_complete(origin: Story) -> None:
    origin.given(MOVE, *SENT, ADMITTED, about=ZHANG)
    origin.when(HandOn(record=MOVE, to=CHENGDU)).then_refused(TransferNotThere)
    origin.given(MOVE, COMPLETED, about=ZHANG)

    origin.when(HandOn(record=MOVE, to=CHENGDU)).then(fact(Transfer.Shared, to=CHENGDU))

    origin.when(HandOn(record=MOVE, to=CHENGDU)).then_nothing()


def test_what_somebody_else_keeps_is_not_ours_to_hand_on(origin: Story) -> None:
    contact = contacted(origin)
    origin.given(AWAY, LEFT, about=ZHANG, by="shenzhen")

    origin.when(HandOn(record=AWAY, to=CHENGDU)).then_refused(NotOurs)
    origin.when(HandOn(record=contact, to="wuhan")).then_refused(PeerUnknown)


def test_what_is_not_about_a_member_is_not_handed_on(origin: Story) -> None:
    origin.given(name("day"), fact(Activity.Held, kind="theme_day", title="主题党日"))

    origin.when(HandOn(record=name("day"), to=CHENGDU)).then_refused(NotFound)
