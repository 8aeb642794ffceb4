"""党员: decisions about a person's file at the organization that holds the affiliation."""

from __future__ import annotations

from domain.commands import (
    CorrectIdentity,
    EndMembership,
    RecordAddress,
    RecordPhone,
    RegisterMember,
)
from domain.decisions.table import Decision, decide
from domain.errors import Refusal
from domain.ledger import Ledger
from domain.member import Member
from domain.outflow import Outflow
from domain.values import IdNumber, born_on, sex_of


class MemberKnown(Refusal):
    """该公民身份号码已建档。A member with this id number is on file."""

    mend = "请在已有档案上办理。Use the file that exists."


def on_file(ledger: Ledger, number: IdNumber) -> Member | None:
    """The file of that id number, found by its pseudonym."""
    return ledger.find(Member, ledger.keyring.blind("member", number))


def open_file(ledger: Ledger, command: RegisterMember) -> Member:
    """A new file; what the id number says is not asked again."""
    return Member.register(
        ledger.keyring.blind("member", command.number),
        born=born_on(command.number),
        sex=sex_of(command.number),
        **dict(command),
    )


@decide.register
def _(command: RegisterMember, ledger: Ledger) -> Decision:
    if known := on_file(ledger, command.number):
        raise MemberKnown(member=known.id)
    return (open_file(ledger, command),)


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
