"""流出地: decisions of the origin about its members, their absences and who has the care."""

from __future__ import annotations

from dataclasses import replace

from domain import custody
from domain.aggregate import current as stamp
from domain.claim import Claim
from domain.commands import (
    AskCorrection,
    CloseOutflow,
    ConfirmCare,
    CorrectIdentity,
    EndMembership,
    LapseOffer,
    NoteDeclination,
    OfferCare,
    RecallOffer,
    RecognizeClaim,
    RecordAddress,
    RecordPhone,
    RecordRelocation,
    RecordReturn,
    RefuseClaim,
    RegisterMember,
    RegisterOutflow,
    ReportLost,
    ReportOutflow,
    ReportRestored,
    ShareOutflow,
    VoidOutflow,
)
from domain.decisions.home import policy_of, us
from domain.decisions.table import Decision, decide
from domain.errors import Refusal
from domain.inflow import Inflow
from domain.ledger import Ledger
from domain.member import Member
from domain.outflow import Outflow
from domain.values import born_on, sex_of

CARE = "流动党员日常管理 daily care of a floating member"
"""The purpose stated when a member is disclosed to the organization that takes over the care."""


class MemberKnown(Refusal):
    """该公民身份号码已建档。A member with this id number is on file."""

    mend = "请在已有档案上办理。Use the file that exists."


@decide.register
def _(command: RegisterMember, ledger: Ledger) -> Decision:
    person = ledger.keyring.blind("member", command.number)
    if ledger.find(Member, person):
        raise MemberKnown(member=person)
    member = Member.register(
        person,
        born=born_on(command.number),
        sex=sex_of(command.number),
        **dict(command),
    )
    return (member,)


@decide.register
def _(command: RecordPhone, ledger: Ledger) -> Decision:
    member = ledger.open(Member, command.member)
    member.record_phone(command.phone, command.on)
    return (member,)


@decide.register
def _(command: RecordAddress, ledger: Ledger) -> Decision:
    member = ledger.open(Member, command.member)
    member.record_address(command.address, command.on)
    return (member,)


@decide.register
def _(command: CorrectIdentity, ledger: Ledger) -> Decision:
    member = ledger.open(Member, command.member)
    member.correct_identity(command.name, command.number, command.reason)
    return (member,)


@decide.register
def _(command: EndMembership, ledger: Ledger) -> Decision:
    member = ledger.open(Member, command.member)
    if member.away is None:
        member.end(command.how, command.document, command.on)
        return (member,)
    outflow = ledger.open(Outflow, member.away)
    outflow.close("died" if command.how == "died" else "membership_ended", command.on)
    member.come_back(outflow.id, command.on)
    member.end(command.how, command.document, command.on)
    return member, outflow


@decide.register
def _(command: ReportOutflow, ledger: Ledger) -> Decision:
    member = ledger.open(Member, command.member)
    id_ = Outflow.id_of(member.id, member.absences + 1)
    member.leave(id_, stamp.get().today)
    outflow = Outflow.report(id_, member.id, **command.model_dump(exclude={"member"}))
    return outflow, member


@decide.register
def _(command: AskCorrection, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    outflow.ask_correction(command.reason)
    return (outflow,)


@decide.register
def _(command: RegisterOutflow, ledger: Ledger) -> Decision:
    member = ledger.open(Member, command.member)
    reported = ledger.find(Outflow, member.away) if member.away else None
    if reported is not None and reported.state == "待登记":
        outflow = reported.private_copy()
    else:
        outflow = Outflow.begin(Outflow.id_of(member.id, member.absences + 1), member.id)
        member.leave(outflow.id, command.left_on)
    outflow.register(**dict(command))
    return outflow, member


@decide.register
def _(command: OfferCare, ledger: Ledger) -> Decision:
    us(ledger).peer(command.host)
    outflow = ledger.open(Outflow, command.outflow)
    member = ledger.open(Member, outflow.member)
    edition = policy_of(ledger, ledger.org).on(stamp.get().today)
    stamp.set(replace(stamp.get(), policy=edition.version))
    days = command.valid_days or edition.terms.offer_validity_days
    custody.offer(outflow, command.host, days, command.claim)
    member.disclose(command.host, CARE)
    return outflow, member


@decide.register
def _(command: RecallOffer, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    custody.recall(outflow, command.offer, command.reason)
    return (outflow,)


@decide.register
def _(command: LapseOffer, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    custody.lapse(outflow, command.offer)
    return (outflow,)


@decide.register
def _(command: ConfirmCare, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    custody.confirm(outflow, command.offer, command.host, command.since, command.acceptance)
    return (outflow,)


@decide.register
def _(command: NoteDeclination, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    custody.turn_down(
        outflow, command.offer, command.host, command.reason_code, command.declination
    )
    return (outflow,)


@decide.register
def _(command: RecordRelocation, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    outflow.relocate(command.moved_on, command.destination, command.host)
    return (outflow,)


def _home_again(ledger: Ledger, outflow: Outflow) -> Decision:
    member = ledger.open(Member, outflow.member)
    member.come_back(outflow.id, outflow.ended_on)
    return outflow, member


@decide.register
def _(command: RecordReturn, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    outflow.record_return(command.returned_on, command.conduct)
    return _home_again(ledger, outflow)


@decide.register
def _(command: CloseOutflow, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    outflow.close(command.how, command.closed_on)
    return _home_again(ledger, outflow)


@decide.register
def _(command: VoidOutflow, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    outflow.void(command.reason, command.second_person)
    return _home_again(ledger, outflow)


@decide.register
def _(command: ReportLost, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    outflow.lose_contact(command.basis)
    return (outflow,)


@decide.register
def _(command: ReportRestored, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    outflow.restore_contact()
    return (outflow,)


@decide.register
def _(command: ShareOutflow, ledger: Ledger) -> Decision:
    us(ledger).peer(command.to)
    outflow = ledger.open(Outflow, command.outflow)
    member = ledger.open(Member, outflow.member)
    outflow.share(command.to, command.purpose)
    member.disclose(command.to, command.purpose)
    return outflow, member


def _claim(ledger: Ledger, inflow: Inflow) -> Claim:
    id_ = Claim.id_of(inflow.id)
    known = ledger.find(Claim, id_)
    return known.private_copy() if known else Claim.begin(id_, inflow.subject)


@decide.register
def _(command: RecognizeClaim, ledger: Ledger) -> Decision:
    inflow = ledger.look_up(Inflow, command.inflow)
    outflow = ledger.open(Outflow, command.outflow)
    claim = _claim(ledger, inflow)
    claim.recognize(inflow.id, outflow.id, inflow.keeper)
    return (claim,)


@decide.register
def _(command: RefuseClaim, ledger: Ledger) -> Decision:
    inflow = ledger.look_up(Inflow, command.inflow)
    claim = _claim(ledger, inflow)
    claim.refuse(inflow.id, inflow.keeper, command.reason)
    return (claim,)
