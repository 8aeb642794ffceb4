"""转出: what the origin may record about a transfer, and what passes with it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from domain.aggregate import InTheFuture
from domain.commands import (
    ApproveTransfer,
    CompleteTransfer,
    EndMembership,
    ExpireTransfer,
    ForwardRecord,
    NoteAdmission,
    NoteRefusal,
    RecordAddress,
    RecordPhone,
    RecordSlip,
    RegisterMember,
    RegisterOutflow,
    ReissueLetter,
    RejectTransfer,
    ReportLetterLost,
    RequestTransfer,
    SendTransfer,
    WithdrawTransfer,
)
from domain.contact import Contact
from domain.ledger import NotFound
from domain.member import Member, MemberReleased, MembershipOver
from domain.organization import PeerUnknown
from domain.outflow import Outflow
from domain.passage import (
    LETTER_VALID_MAX_DAYS,
    TRANSFERS_MAX,
    AdmittedOutsideValidity,
    LetterNotDue,
    LetterNumberMissing,
    LetterNumberUsed,
    NoLetter,
    NotThisLevel,
    OnlyByLetter,
    SamePersonApproves,
    SlipBeforeAdmission,
    SlipFromPeer,
    State,
    TargetIsOrigin,
    TargetUnclear,
    TooManyTransfers,
    TransferNotThere,
    TransferOpen,
)
from domain.policy import Policy, Terms, TransferTerms
from domain.records import digest
from domain.transfer import Transfer
from tests.support.people import AWAY, LEFT, ZHANG, ZHANG_NUMBER, away, on_file, register_member
from tests.support.story import CHENGDU, NOW, ORIGIN, TODAY, Said, Story, fact, name

MOVE = Transfer.id_of(ZHANG, 1)
PAID = date(2026, 1, 1)
UNTIL = NOW + timedelta(days=30)
ADMISSION, SLIP, REFUSAL = "a" * 64, "c" * 64, "b" * 64
LEVELS = ("branch", "committee")

REQUESTED = fact(Transfer.Requested, member=ZHANG, to=CHENGDU, by="member", levels=LEVELS)
ON_PAPER = fact(
    Transfer.Requested, member=ZHANG, to_name="某县县委组织部", by="member", levels=("branch",)
)
BRANCH = fact(Transfer.Approved, level="branch")
COMMITTEE = fact(Transfer.Approved, level="committee")
ONLINE = fact(Transfer.Sent, dispatch=1, channel="online", until=UNTIL, dues_paid_to=PAID)
BY_LETTER = fact(
    Transfer.Sent, dispatch=1, channel="letter", letter="第17号", until=UNTIL, dues_paid_to=PAID
)
LOST = fact(Transfer.LetterLost, dispatch=1, reason="途中遗失")
EXPIRED = fact(Transfer.Expired, dispatch=1)
CONTESTED = fact(Transfer.Contested, dispatch=1, reason_code="not_here", refusal=REFUSAL)
ADMITTED = fact(Transfer.Admitted, dispatch=1, admitted_on=TODAY, admission=ADMISSION)
COMPLETED = fact(Transfer.Completed, dispatch=1, admitted_on=TODAY, returned_on=TODAY, slip=SLIP)
WITHDRAWN = fact(Transfer.Withdrawn, reason="暂不转出")
REJECTED = fact(Transfer.Rejected, reason="材料不全")
RELEASED = fact(Member.Released, transfer=MOVE, to=CHENGDU)

APPROVED = (REQUESTED, BRANCH, COMMITTEE)
SENT = (*APPROVED, ONLINE)
LETTER = (*APPROVED, BY_LETTER)
PAPER = (ON_PAPER, BRANCH, BY_LETTER)


def moving(origin: Story, *facts: Said) -> Story:
    """Zhang is on file, and so far has come his transfer."""
    on_file(origin)
    origin.given(MOVE, *facts, about=ZHANG, heard_by=(CHENGDU,))
    return origin


def admission(dispatch: int = 1, **said: Any) -> NoteAdmission:
    body = {"host": CHENGDU, "admitted_on": TODAY, "admission": ADMISSION, **said}
    return NoteAdmission(transfer=MOVE, dispatch=dispatch, **body)


def slip(dispatch: int = 1, **said: Any) -> CompleteTransfer:
    body = {"host": CHENGDU, "returned_on": TODAY, "slip": SLIP, **said}
    return CompleteTransfer(transfer=MOVE, dispatch=dispatch, **body)


def paper_slip(**said: Any) -> RecordSlip:
    body = {"admitted_on": TODAY, "returned_on": TODAY, "handler": "赵干事", **said}
    return RecordSlip.model_validate({"transfer": MOVE, "phone": "13900001234", **body})


# Requested.


def test_a_transfer_is_requested(origin: Story) -> None:
    on_file(origin)

    origin.when(RequestTransfer(member=ZHANG, to=CHENGDU, reason="已在成都定居")).then(
        fact(
            Transfer.Requested,
            member=ZHANG,
            to=CHENGDU,
            by="member",
            levels=LEVELS,
            reason="已在成都定居",
        )
    )


def test_a_transfer_may_go_to_an_organization_without_a_node(origin: Story) -> None:
    on_file(origin)

    asked = RequestTransfer(member=ZHANG, to_name="某县县委组织部", by="organization")
    origin.when(asked).then(
        fact(
            Transfer.Requested,
            member=ZHANG,
            to_name="某县县委组织部",
            by="organization",
            levels=LEVELS,
        )
    )


def test_the_levels_are_those_of_the_policy_in_force(origin: Story) -> None:
    on_file(origin)
    terms = Terms(transfer=TransferTerms(levels=("committee",)))
    origin.given(Policy.id_of(ORIGIN), fact(Policy.Adopted, effective_from=PAID, terms=terms))

    origin.when(RequestTransfer(member=ZHANG, to=CHENGDU)).then(
        fact(Transfer.Requested, member=ZHANG, to=CHENGDU, by="member", levels=("committee",))
    )

    assert origin.told[0].meta.policy == 1


@pytest.mark.parametrize(
    "levels", [(), ("committee", "branch"), ("branch", "branch"), ("province",)]
)
def test_levels_go_upwards_each_once(levels: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        TransferTerms.model_validate({"levels": levels})


@pytest.mark.parametrize("target", [{}, {"to": CHENGDU, "to_name": "成都"}])
def test_the_receiver_is_named_in_one_way(origin: Story, target: dict[str, str]) -> None:
    on_file(origin)

    origin.when(RequestTransfer(member=ZHANG, **target)).then_refused(TargetUnclear)


def test_a_member_is_not_transferred_to_where_he_is(origin: Story) -> None:
    on_file(origin)

    origin.when(RequestTransfer(member=ZHANG, to=ORIGIN)).then_refused(TargetIsOrigin)


def test_a_receiver_with_a_node_is_enrolled(origin: Story) -> None:
    on_file(origin)

    origin.when(RequestTransfer(member=ZHANG, to="wuhan")).then_refused(PeerUnknown, peer="wuhan")


def test_one_transfer_is_open_at_a_time(origin: Story) -> None:
    moving(origin, REQUESTED)

    origin.when(RequestTransfer(member=ZHANG, to=CHENGDU)).then_refused(TransferOpen, transfer=MOVE)


def test_after_one_is_over_another_is_requested_under_its_own_id(origin: Story) -> None:
    moving(origin, REQUESTED, REJECTED)

    receipt = origin.when(RequestTransfer(member=ZHANG, to=CHENGDU)).then(REQUESTED)

    assert receipt.id == Transfer.id_of(ZHANG, 2)


def test_a_file_sees_only_so_many_transfers(origin: Story) -> None:
    on_file(origin)
    for number in range(1, TRANSFERS_MAX + 1):
        origin.given(Transfer.id_of(ZHANG, number), REQUESTED, REJECTED, about=ZHANG)

    origin.when(RequestTransfer(member=ZHANG, to=CHENGDU)).then_refused(
        TooManyTransfers, maximum=TRANSFERS_MAX
    )


def test_whose_membership_has_ended_is_not_transferred(origin: Story) -> None:
    on_file(origin, fact(Member.Ended, how="died", document="死亡证明"))

    origin.when(RequestTransfer(member=ZHANG, to=CHENGDU)).then_refused(MembershipOver)


# Approved, or not.


def test_each_level_approves_in_order(origin: Story) -> None:
    moving(origin, REQUESTED)
    origin.when(ApproveTransfer(transfer=MOVE, level="branch")).then(BRANCH)

    origin.when(ApproveTransfer(transfer=MOVE, level="committee", note="同意"), person="li").then(
        fact(Transfer.Approved, level="committee", note="同意")
    )

    assert origin.ledger.look_up(Transfer, MOVE).state is State.APPROVED


@pytest.mark.parametrize(
    ("before", "level", "next_"),
    [((REQUESTED,), "committee", "branch"), ((REQUESTED, BRANCH), "branch", "committee")],
)
def test_a_level_waits_for_its_turn(
    origin: Story, before: tuple[Said, ...], level: Any, next_: str
) -> None:
    moving(origin, *before)

    origin.when(ApproveTransfer(transfer=MOVE, level=level), person="li").then_refused(
        NotThisLevel, next=next_
    )


def test_one_person_does_not_approve_at_two_levels(origin: Story) -> None:
    moving(origin, REQUESTED, BRANCH)

    origin.when(ApproveTransfer(transfer=MOVE, level="committee")).then_refused(
        SamePersonApproves, person="wang"
    )


@pytest.mark.parametrize("before", [(REQUESTED,), (REQUESTED, BRANCH)])
def test_a_request_is_rejected_with_its_reason(origin: Story, before: tuple[Said, ...]) -> None:
    moving(origin, *before)

    origin.when(RejectTransfer(transfer=MOVE, reason="材料不全")).then(REJECTED)


def test_what_is_approved_is_rejected_no_more(origin: Story) -> None:
    moving(origin, *APPROVED)

    origin.when(RejectTransfer(transfer=MOVE, reason="材料不全")).then_refused(
        TransferNotThere, state=State.APPROVED
    )


@pytest.mark.parametrize(
    "before",
    [(REQUESTED,), APPROVED, SENT, (*SENT, EXPIRED), (*LETTER, LOST), (*SENT, CONTESTED)],
)
def test_a_transfer_is_withdrawn_until_it_is_admitted(
    origin: Story, before: tuple[Said, ...]
) -> None:
    moving(origin, *before)

    origin.when(WithdrawTransfer(transfer=MOVE, reason="暂不转出")).then(WITHDRAWN)


@pytest.mark.parametrize("last", [ADMITTED, WITHDRAWN])
def test_what_is_admitted_or_over_is_not_withdrawn(origin: Story, last: Said) -> None:
    moving(origin, *SENT, last)

    origin.when(WithdrawTransfer(transfer=MOVE, reason="暂不转出")).then_refused(TransferNotThere)


# Sent.


def test_it_is_sent_online_and_the_receiver_hears_of_the_member(origin: Story) -> None:
    moving(origin, *APPROVED)

    origin.when(SendTransfer(transfer=MOVE, dues_paid_to=PAID)).then(
        ONLINE,
        fact(Member.Disclosed, to=CHENGDU, purpose="组织关系转接 transfer of the affiliation"),
    )

    assert [f.meta.audience for f in origin.told] == [(CHENGDU,), (CHENGDU,)]


def test_it_is_sent_by_letter(origin: Story) -> None:
    moving(origin, ON_PAPER, BRANCH)

    origin.when(
        SendTransfer(transfer=MOVE, channel="letter", letter="第17号", dues_paid_to=PAID)
    ).then(BY_LETTER)


def test_how_long_a_letter_is_valid_is_policy_unless_it_is_said(origin: Story) -> None:
    moving(origin, *APPROVED)
    terms = Terms(transfer=TransferTerms(letter_validity_days=10))
    origin.given(Policy.id_of(ORIGIN), fact(Policy.Adopted, effective_from=PAID, terms=terms))
    origin.when(SendTransfer(transfer=MOVE, dues_paid_to=PAID))
    sent = origin.ledger.look_up(Transfer, MOVE).last

    origin.given(MOVE, CONTESTED, about=ZHANG)
    origin.when(SendTransfer(transfer=MOVE, valid_days=60, dues_paid_to=PAID))

    assert sent.until == NOW + timedelta(days=10)
    assert origin.ledger.look_up(Transfer, MOVE).last.until == NOW + timedelta(days=60)


@pytest.mark.parametrize("days", [0, LETTER_VALID_MAX_DAYS + 1])
def test_a_letter_is_valid_for_a_day_to_ninety(days: int) -> None:
    with pytest.raises(ValidationError):
        SendTransfer.model_validate(
            {"transfer": str(MOVE), "valid_days": days, "dues_paid_to": "2026-01-01"}
        )
    with pytest.raises(ValidationError):
        TransferTerms(letter_validity_days=days)


def test_what_is_not_approved_is_not_sent(origin: Story) -> None:
    moving(origin, REQUESTED, BRANCH)

    origin.when(SendTransfer(transfer=MOVE, dues_paid_to=PAID)).then_refused(
        TransferNotThere, state=State.APPROVING
    )


def test_without_a_node_there_is_only_the_letter(origin: Story) -> None:
    moving(origin, ON_PAPER, BRANCH)

    origin.when(SendTransfer(transfer=MOVE, dues_paid_to=PAID)).then_refused(OnlyByLetter)


def test_a_letter_has_a_number(origin: Story) -> None:
    moving(origin, *APPROVED)

    origin.when(SendTransfer(transfer=MOVE, channel="letter", dues_paid_to=PAID)).then_refused(
        LetterNumberMissing
    )


def test_a_transfer_online_has_no_letter(origin: Story) -> None:
    moving(origin, *SENT)

    origin.when(ReportLetterLost(transfer=MOVE, reason="遗失")).then_refused(NoLetter)
    origin.given(MOVE, CONTESTED, about=ZHANG)
    origin.when(SendTransfer(transfer=MOVE, letter="第1号", dues_paid_to=PAID)).then_refused(
        NoLetter
    )


# Expired, lost, reissued.


def test_at_its_last_moment_a_letter_expires(origin: Story) -> None:
    moving(origin, *SENT)
    origin.when(ExpireTransfer(transfer=MOVE, dispatch=1)).then_refused(
        LetterNotDue, until=UNTIL.isoformat()
    )

    origin.after(days=30).when(ExpireTransfer(transfer=MOVE, dispatch=1)).then(EXPIRED)


def test_a_letter_that_is_admitted_does_not_expire(origin: Story) -> None:
    moving(origin, *SENT, ADMITTED).after(days=31)

    origin.when(ExpireTransfer(transfer=MOVE, dispatch=1)).then_refused(TransferNotThere)


def test_a_lost_letter_is_void_at_once_and_the_receiver_hears_it(origin: Story) -> None:
    moving(origin, *LETTER)

    origin.when(ReportLetterLost(transfer=MOVE, reason="途中遗失")).then(LOST)

    assert origin.told[0].meta.audience == (CHENGDU,)


@pytest.mark.parametrize("last", [LOST, EXPIRED])
def test_after_loss_or_expiry_a_letter_is_reissued_and_its_number_void(
    origin: Story, last: Said
) -> None:
    moving(origin, *LETTER, last)

    origin.when(ReissueLetter(transfer=MOVE, letter="第21号", basis="支部证明、本人申请")).then(
        fact(
            Transfer.Reissued,
            dispatch=2,
            letter="第21号",
            voids="第17号",
            until=UNTIL,
            basis="支部证明、本人申请",
        )
    )


def test_a_number_is_not_used_twice(origin: Story) -> None:
    moving(origin, *LETTER, LOST)

    origin.when(ReissueLetter(transfer=MOVE, letter="第17号", basis="遗失")).then_refused(
        LetterNumberUsed, letter="第17号"
    )


def test_what_is_on_its_way_is_not_reissued(origin: Story) -> None:
    moving(origin, *LETTER)

    origin.when(ReissueLetter(transfer=MOVE, letter="第21号", basis="x")).then_refused(
        TransferNotThere, state=State.SENT
    )


# Refused by the receiver.


def test_a_refusal_is_a_dispute(origin: Story) -> None:
    moving(origin, *SENT)
    note = NoteRefusal(
        transfer=MOVE, dispatch=1, host=CHENGDU, reason_code="not_here", refusal=REFUSAL
    )

    origin.when(note).then(CONTESTED)

    origin.when(note).then_nothing()


def test_a_dispute_is_resolved_by_sending_anew(origin: Story) -> None:
    moving(origin, *SENT, CONTESTED)

    origin.when(SendTransfer(transfer=MOVE, dues_paid_to=PAID))

    assert origin.ledger.look_up(Transfer, MOVE).awaits(2)


def test_a_refusal_by_somebody_else_changes_nothing(origin: Story) -> None:
    moving(origin, *SENT)

    origin.when(
        NoteRefusal(
            transfer=MOVE, dispatch=1, host="shenzhen", reason_code="other", refusal=REFUSAL
        )
    ).then_nothing()


# Admitted.


def test_an_admission_is_noted_once(origin: Story) -> None:
    moving(origin, *SENT)

    origin.when(admission()).then(ADMITTED)

    origin.when(admission()).then_nothing()


@pytest.mark.parametrize(
    ("before", "because"),
    [
        ((*SENT, EXPIRED), "expired"),
        ((*SENT, WITHDRAWN), "withdrawn"),
        ((*LETTER, LOST), "lost"),
        ((*SENT, CONTESTED), "disputed"),
    ],
)
def test_an_admission_that_comes_too_late_is_void(
    origin: Story, before: tuple[Said, ...], because: str
) -> None:
    moving(origin, *before)
    void = fact(Transfer.AdmissionVoid, dispatch=1, admission=ADMISSION, because=because)

    origin.when(admission()).then(void)

    origin.when(admission()).then_nothing()
    origin.when(slip()).then_nothing()


def test_the_admission_of_a_lost_letter_does_not_count_for_the_new_one(origin: Story) -> None:
    again = fact(
        Transfer.Reissued, dispatch=2, letter="第21号", voids="第17号", until=UNTIL, basis="遗失"
    )
    moving(origin, *LETTER, LOST, again)

    origin.when(admission(1)).then(
        fact(Transfer.AdmissionVoid, dispatch=1, admission=ADMISSION, because="sent anew")
    )

    assert origin.ledger.look_up(Transfer, MOVE).awaits(2)


def test_an_admission_by_somebody_else_changes_nothing(origin: Story) -> None:
    moving(origin, *SENT)

    origin.when(admission(host="shenzhen")).then_nothing()


# Completed.


def test_with_the_slip_the_affiliation_passes(origin: Story) -> None:
    moving(origin, *SENT, ADMITTED)

    origin.when(slip()).then(COMPLETED, RELEASED)

    member = origin.ledger.look_up(Member, ZHANG)
    assert member.holder_on(TODAY) == CHENGDU
    assert member.holder_on(TODAY - timedelta(days=1)) == ORIGIN
    origin.when(slip()).then_nothing()


@pytest.mark.parametrize("before", [SENT, (*SENT, EXPIRED)])
def test_a_slip_without_an_admission_completes_nothing(
    origin: Story, before: tuple[Said, ...]
) -> None:
    moving(origin, *before)

    origin.when(slip()).then_nothing()


def test_a_slip_from_somebody_else_completes_nothing(origin: Story) -> None:
    moving(origin, *SENT, ADMITTED)

    origin.when(slip(host="shenzhen")).then_nothing()


def test_the_open_absence_ends_in_the_same_commit(origin: Story) -> None:
    offered = fact(Outflow.Offered, offer=1, host="shenzhen", until=UNTIL)
    confirmed = fact(
        Outflow.Confirmed, offer=1, host="shenzhen", since=date(2025, 4, 1), acceptance=ADMISSION
    )
    away(origin, offered, confirmed, heard_by=("shenzhen",))
    origin.given(MOVE, *SENT, ADMITTED, about=ZHANG, heard_by=(CHENGDU,))

    origin.when(slip()).then(
        COMPLETED,
        fact(Outflow.Closed, how="transferred", closed_on=TODAY),
        fact(Member.CameBack, outflow=AWAY),
        RELEASED,
    )

    absence = origin.ledger.look_up(Outflow, AWAY)
    assert absence.audience == ("shenzhen", CHENGDU)
    assert absence.carer_on(TODAY - timedelta(days=1)) == "shenzhen"
    assert absence.carer_on(TODAY) == ORIGIN


def test_an_absence_that_is_over_goes_with_him(origin: Story) -> None:
    away(origin, fact(Outflow.Returned, returned_on=date(2025, 9, 1)))
    origin.given(ZHANG, fact(Member.CameBack, outflow=AWAY), about=ZHANG)
    origin.given(MOVE, *SENT, ADMITTED, about=ZHANG, heard_by=(CHENGDU,))

    origin.when(slip()).then(
        COMPLETED,
        fact(Outflow.Shared, to=CHENGDU, purpose="组织关系转接 transfer of the affiliation"),
        RELEASED,
    )


def test_a_departure_that_is_only_planned_ends_too(origin: Story) -> None:
    on_file(origin, fact(Member.Left, outflow=AWAY))
    planned = fact(Outflow.Reported, member=ZHANG, planned_on=TODAY + timedelta(days=30))
    origin.given(AWAY, planned, about=ZHANG)
    origin.given(MOVE, *SENT, ADMITTED, about=ZHANG)

    origin.when(slip())

    assert origin.refusal is None
    assert origin.ledger.look_up(Member, ZHANG).away is None


# On paper.


def test_the_origin_records_a_paper_slip(origin: Story) -> None:
    moving(origin, *PAPER).after(days=5)
    day = TODAY + timedelta(days=2)

    origin.when(paper_slip(admitted_on=day, returned_on=day, branch="第三支部")).then(
        fact(
            Transfer.Completed,
            dispatch=1,
            admitted_on=day,
            returned_on=day,
            branch="第三支部",
            handler="赵干事",
            phone="+8613900001234",
        ),
        fact(Member.Released, transfer=MOVE, to_name="某县县委组织部"),
    )

    member = origin.ledger.look_up(Member, ZHANG)
    assert member.holder_on(TODAY + timedelta(days=5)) == "某县县委组织部"


def test_a_paper_slip_may_come_after_the_letters_last_day(origin: Story) -> None:
    moving(origin, *PAPER, EXPIRED).after(days=45)

    origin.when(paper_slip(returned_on=TODAY + timedelta(days=40)))

    assert origin.refusal is None


@pytest.mark.parametrize("days", [-1, 31])
def test_who_was_admitted_outside_the_validity_was_not(origin: Story, days: int) -> None:
    moving(origin, *PAPER, EXPIRED).after(days=45)
    day = TODAY + timedelta(days=days)

    origin.when(paper_slip(admitted_on=day, returned_on=day)).then_refused(AdmittedOutsideValidity)


def test_a_slip_is_not_older_than_its_admission(origin: Story) -> None:
    moving(origin, *PAPER).after(days=5)

    origin.when(paper_slip(admitted_on=TODAY + timedelta(days=2), returned_on=TODAY)).then_refused(
        SlipBeforeAdmission
    )


def test_a_slip_does_not_come_from_the_future(origin: Story) -> None:
    moving(origin, *PAPER)

    origin.when(paper_slip(returned_on=TODAY + timedelta(days=1))).then_refused(InTheFuture)


def test_the_slip_of_a_peer_is_not_typed_in(origin: Story) -> None:
    moving(origin, *SENT, ADMITTED)

    origin.when(paper_slip()).then_refused(SlipFromPeer, to=CHENGDU)


# Afterwards.


@pytest.mark.parametrize(
    "command",
    [
        RecordPhone(member=ZHANG, phone="13900008888"),
        RecordAddress(member=ZHANG, address="成都"),
        RegisterOutflow(member=ZHANG, left_on=PAID),
        RequestTransfer(member=ZHANG, to=CHENGDU),
        EndMembership(member=ZHANG, how="died", document="死亡证明", on=TODAY),
    ],
)
def test_who_is_released_is_recorded_elsewhere(origin: Story, command: Any) -> None:
    on_file(origin, RELEASED)

    origin.when(command).then_refused(MemberReleased, to=CHENGDU)


def test_who_went_to_a_peer_is_not_registered_anew(origin: Story) -> None:
    pseudonym = origin.ledger.keyring.blind("member", ZHANG_NUMBER)
    on_file(origin, RELEASED, member=pseudonym)

    origin.when(register_member()).then_refused(MemberReleased, to=CHENGDU)


def test_who_comes_back_from_an_organization_without_a_node_is_the_same_person(
    origin: Story,
) -> None:
    pseudonym = origin.ledger.keyring.blind("member", ZHANG_NUMBER)
    on_file(
        origin, fact(Member.Released, transfer=MOVE, to_name="某县县委组织部"), member=pseudonym
    )

    receipt = origin.when(RegisterMember.model_validate(register_member().model_dump())).receipt

    assert receipt is not None
    assert receipt.id == Member.id_of(pseudonym, 2)
    assert origin.ledger.look_up(Member, receipt.id).person == pseudonym


def test_the_end_of_a_membership_ends_its_transfer(origin: Story) -> None:
    moving(origin, *SENT, ADMITTED)

    origin.when(EndMembership(member=ZHANG, how="died", document="死亡证明", on=TODAY)).then(
        fact(Member.Ended, how="died", document="死亡证明"),
        fact(Transfer.Withdrawn, reason="死亡证明"),
    )

    origin.when(slip()).then_nothing()


def test_an_absence_names_the_person_whatever_his_file(origin: Story) -> None:
    absence = origin.given(AWAY, LEFT, about=ZHANG)

    assert origin.ledger.look_up(Outflow, absence).person == ZHANG


# What a third party has recorded.


def recorded_elsewhere(origin: Story) -> Any:
    made = fact(Contact.Made, outflow=AWAY, method="电话", by="骆干事", reached=True)
    return origin.given(name("contact"), made, by="shenzhen", about=ZHANG, heard_by=(ORIGIN,))


def test_a_third_partys_record_is_passed_on_once_and_byte_for_byte(origin: Story) -> None:
    moving(origin, *SENT, ADMITTED, COMPLETED)
    record = recorded_elsewhere(origin)
    forward = ForwardRecord(transfer=MOVE, record=record, version=1)

    origin.when(forward)

    [told] = origin.told
    assert isinstance(told, Transfer.Forwarded)
    assert [told.stored] == origin.ledger.stream(record)
    assert told.digest == digest(told.stored)
    origin.when(forward).then_nothing()


def test_nothing_is_passed_on_before_the_transfer_is_complete(origin: Story) -> None:
    moving(origin, *SENT)
    record = recorded_elsewhere(origin)

    origin.when(ForwardRecord(transfer=MOVE, record=record, version=1)).then_refused(
        TransferNotThere
    )


def test_what_was_never_recorded_is_not_passed_on(origin: Story) -> None:
    moving(origin, *SENT, ADMITTED, COMPLETED)

    origin.when(ForwardRecord(transfer=MOVE, record=name("none"), version=1)).then_refused(NotFound)
