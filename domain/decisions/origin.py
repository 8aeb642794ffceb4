"""流出地: decisions of the origin about its members, their absences and who has the care."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from domain import custody
from domain.absence import State
from domain.aggregate import current as stamp
from domain.claim import Claim, ClaimNotRecognized, NotAClaim
from domain.commands import (
    AskCorrection,
    CloseOutflow,
    ConfirmCare,
    LapseOffer,
    NoteDeclination,
    OfferCare,
    RecallOffer,
    RecognizeClaim,
    RecordRelocation,
    RecordReturn,
    RefuseClaim,
    RegisterDeparture,
    RegisterOutflow,
    ReportLost,
    ReportOutflow,
    ReportRestored,
    ShareOutflow,
    VoidOutflow,
)
from domain.decisions.home import here, policy_of, us
from domain.decisions.members import held, open_file
from domain.decisions.table import Decision, decide
from domain.inflow import Inflow
from domain.ledger import Ledger
from domain.member import Member
from domain.outflow import Outflow

CARE = "流动党员日常管理 daily care of a floating member"
"""The purpose stated when a member is disclosed to the organization that takes over the care."""


@decide.register
def _(command: ReportOutflow, ledger: Ledger) -> Decision:
    member = ledger.open(Member, command.member)
    begun = _begun(ledger, member)
    outflow = begun or _next_absence(member)
    outflow.report(**dict(command))
    if begun is None:
        member.leave(outflow.id, stamp.get().today)
    return outflow, member


@decide.register
def _(command: AskCorrection, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    outflow.ask_correction(command.reason)
    return (outflow,)


@decide.register
def _(command: RegisterOutflow, ledger: Ledger) -> Decision:
    member = ledger.open(Member, command.member)
    return _register(ledger, member, dict(command))


@decide.register
def _(command: RegisterDeparture, ledger: Ledger) -> Decision:
    known = held(ledger, command.person.number)
    member = ledger.open(Member, known.id) if known else open_file(ledger, command.person)
    return _register(ledger, member, {**dict(command.absence), "member": member.id})


def _register(ledger: Ledger, member: Member, said: dict[str, Any]) -> Decision:
    begun = _begun(ledger, member)
    outflow = begun or _next_absence(member)
    outflow.register(**said)
    if begun is None:
        member.leave(outflow.id, said["left_on"])
    return outflow, member


def _begun(ledger: Ledger, member: Member) -> Outflow | None:
    """The departure that waits to be registered: reported, or lost with an old backup."""
    if member.away is None:
        return None
    if not here(ledger, member.away):
        return Outflow.begin(member.away, member.person)
    away = ledger.open(Outflow, member.away)
    return away if away.state is State.REPORTED else None


def _next_absence(member: Member) -> Outflow:
    return Outflow.begin(Outflow.id_of(member.id, member.absences + 1), member.person)


@decide.register
def _(command: OfferCare, ledger: Ledger) -> Decision:
    outflow = ledger.open(Outflow, command.outflow)
    if command.host != ledger.org:
        us(ledger).peer(command.host)
    if command.claim:
        _must_be_recognized(ledger, command.claim, command)
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


def _must_be_recognized(ledger: Ledger, inflow: UUID, command: OfferCare) -> None:
    found = ledger.look_up(Inflow, inflow)
    claim = ledger.find(Claim, Claim.id_of(inflow))
    if found.keeper != command.host or claim is None or claim.outflow != command.outflow:
        raise ClaimNotRecognized(inflow=inflow, host=found.keeper)


def _claim(ledger: Ledger, inflow: Inflow) -> Claim:
    """Our answer to a claim, as far as given."""
    if inflow.origin != ledger.org:
        raise NotAClaim(inflow=inflow.id)
    id_ = Claim.id_of(inflow.id)
    known = ledger.find(Claim, id_)
    return ledger.open(Claim, id_) if known else Claim.begin(id_, inflow.subject)


@decide.register
def _(command: RecognizeClaim, ledger: Ledger) -> Decision:
    inflow = ledger.look_up(Inflow, command.inflow)
    outflow = ledger.open(Outflow, command.outflow)
    outflow.must_be_registered()
    claim = _claim(ledger, inflow)
    claim.recognize(inflow.id, outflow.id, inflow.keeper)
    return (claim,)


@decide.register
def _(command: RefuseClaim, ledger: Ledger) -> Decision:
    inflow = ledger.look_up(Inflow, command.inflow)
    claim = _claim(ledger, inflow)
    claim.refuse(inflow.id, inflow.keeper, command.reason)
    return (claim,)
