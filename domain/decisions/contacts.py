"""联系: decisions about contacts and visits, by whoever has or had the care, or is answerable."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from domain.aggregate import current as stamp
from domain.commands import CorrectContact, RecordContact, RecordVisit, WithdrawContact
from domain.contact import Contact
from domain.decisions.home import arrival_here, policy_of
from domain.decisions.table import Decision, decide
from domain.errors import Refusal
from domain.ledger import Ledger
from domain.outflow import Outflow
from domain.values import OrgCode


class NotInOurCare(Refusal):
    """该党员在这一天不由本组织管理。The member was not in this organization's care that day."""

    kind = "forbidden"
    mend = "请核对日期，或先完成接收。Check the date, or complete the acceptance first."


def with_access(ledger: Ledger, outflow: Outflow, on: date) -> tuple[OrgCode, ...]:
    """Who else must hear of what we record about an absence on a day.

    Raises:
        NotInOurCare: neither origin, nor the carer of that day, nor linked to it.
        NotRegistered, BeforeDeparture, FlowNotOpen: the day is not one of the absence.
    """
    outflow.must_cover(on)
    if outflow.keeper == ledger.org:
        carer = outflow.carer_on(on)
        return () if carer == ledger.org else (carer,)
    if not outflow.stayed_at(ledger.org, on):
        link = arrival_here(ledger, outflow)
        if link is None or not link.linked:
            raise NotInOurCare(outflow=outflow.id, on=on.isoformat())
    return (outflow.keeper,)


def judged_by(ledger: Ledger, outflow: Outflow, on: date) -> None:
    """Note the edition of the origin's policy that was in force."""
    edition = policy_of(ledger, outflow.keeper).on(on)
    stamp.set(replace(stamp.get(), policy=edition.version))


@decide.register
def _(command: RecordContact, ledger: Ledger) -> Decision:
    outflow = ledger.look_up(Outflow, command.outflow)
    hearers = with_access(ledger, outflow, command.on)
    judged_by(ledger, outflow, command.on)
    contact = Contact.make(
        stamp.get().new_id("contact"),
        member=outflow.person,
        share_with=hearers,
        **vars(command),
    )
    return (contact,)


@decide.register
def _(command: RecordVisit, ledger: Ledger) -> Decision:
    outflow = ledger.look_up(Outflow, command.outflow)
    hearers = with_access(ledger, outflow, command.on)
    visit = Contact.visit(
        stamp.get().new_id("contact"),
        member=outflow.person,
        share_with=hearers,
        **vars(command),
    )
    return (visit,)


@decide.register
def _(command: CorrectContact, ledger: Ledger) -> Decision:
    contact = ledger.open(Contact, command.contact)
    contact.correct(**command.model_dump(exclude={"contact"}))
    return (contact,)


@decide.register
def _(command: WithdrawContact, ledger: Ledger) -> Decision:
    contact = ledger.open(Contact, command.contact)
    contact.withdraw(command.reason)
    return (contact,)
