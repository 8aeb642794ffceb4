"""流入地: decisions of a host about members who arrive, stay and leave."""

from __future__ import annotations

from uuid import UUID

from domain.absence import NoSuchOffer
from domain.aggregate import current as stamp
from domain.commands import (
    AcceptInflow,
    DeclineInflow,
    EndInflow,
    FindMember,
    LinkParticipation,
    RecordInflowDetails,
    ReportInflow,
)
from domain.decisions.home import arrival_here, us
from domain.decisions.table import Decision, decide
from domain.errors import Invalid, Refusal
from domain.inflow import Inflow
from domain.ledger import Ledger
from domain.outflow import Outflow


class NotOfferedToUs(Refusal):
    """该邀约不是发给本组织的。That offer was made to another organization."""

    kind = "forbidden"


class OfferNotWaiting(Refusal):
    """该邀约已不再等待答复。That offer no longer waits for an answer."""

    mend = "请联系流出地重新发出邀约。Ask the origin to make a new offer."


class OwnMember(Invalid):
    """这是本组织自己的党员。The member is this organization's own."""


class AcceptedBeforeDeparture(Invalid):
    """接收日期早于流出日期。Accepted before the member left."""


def _arrival(ledger: Ledger, outflow: Outflow) -> Inflow:
    """A copy of the inflow of this absence here, or a new one."""
    if known := arrival_here(ledger, outflow):
        return ledger.open(Inflow, known.id)
    return Inflow.begin(Inflow.id_of(outflow.id, ledger.org), outflow.person)


def _theirs(ledger: Ledger, id_: UUID) -> Outflow:
    """A registered absence of somebody else's member."""
    outflow = ledger.look_up(Outflow, id_)
    if outflow.keeper == ledger.org:
        raise OwnMember(outflow=outflow.id)
    outflow.must_be_registered()
    return outflow


def _offered(command: AcceptInflow | DeclineInflow, ledger: Ledger) -> tuple[Outflow, Inflow]:
    outflow = ledger.look_up(Outflow, command.outflow)
    made = outflow.offers.get(command.offer)
    if made is None:
        raise NoSuchOffer(outflow=outflow.id, offer=command.offer)
    if made.host != ledger.org:
        raise NotOfferedToUs(offer=command.offer, host=made.host)
    if made.state != "open":
        raise OfferNotWaiting(offer=command.offer, state=made.state)
    return outflow, _arrival(ledger, outflow)


@decide.register
def _(command: ReportInflow, ledger: Ledger) -> Decision:
    outflow = _theirs(ledger, command.outflow)
    outflow.must_follow_departure(command.on or stamp.get().today)
    inflow = _arrival(ledger, outflow)
    inflow.report(outflow.id, outflow.keeper, command.via, command.on)
    return (inflow,)


@decide.register
def _(command: FindMember, ledger: Ledger) -> Decision:
    if command.origin == ledger.org:
        raise OwnMember(origin=command.origin)
    us(ledger).peer(command.origin)
    # Nobody knows yet which person of the origin's this is: the host mints a pseudonym of its own.
    id_ = stamp.get().new_id("inflow")
    inflow = Inflow.begin(id_, subject=stamp.get().new_id("person"))
    inflow.find(**dict(command))
    return (inflow,)


@decide.register
def _(command: AcceptInflow, ledger: Ledger) -> Decision:
    outflow, inflow = _offered(command, ledger)
    if command.accepted_on < outflow.left_on:
        raise AcceptedBeforeDeparture(left_on=outflow.left_on.isoformat())
    said = command.model_dump(exclude={"outflow", "offer"})
    inflow.accept(outflow.id, outflow.keeper, command.offer, **said)
    return (inflow,)


@decide.register
def _(command: DeclineInflow, ledger: Ledger) -> Decision:
    outflow, inflow = _offered(command, ledger)
    inflow.decline(outflow.id, outflow.keeper, command.offer, command.reason_code, command.reason)
    return (inflow,)


@decide.register
def _(command: LinkParticipation, ledger: Ledger) -> Decision:
    outflow = _theirs(ledger, command.outflow)
    inflow = _arrival(ledger, outflow)
    inflow.link(outflow.id, outflow.keeper, command.note)
    return (inflow,)


@decide.register
def _(command: RecordInflowDetails, ledger: Ledger) -> Decision:
    inflow = ledger.open(Inflow, command.inflow)
    inflow.record_details(command.phone, command.address, command.on)
    return (inflow,)


@decide.register
def _(command: EndInflow, ledger: Ledger) -> Decision:
    inflow = ledger.open(Inflow, command.inflow)
    inflow.end(command.because, command.ended_on, command.destination)
    return (inflow,)
