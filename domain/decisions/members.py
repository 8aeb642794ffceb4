"""党员: decisions about a person's file at the organization that holds the affiliation."""

from __future__ import annotations

from itertools import count
from uuid import UUID

from domain.commands import (
    CorrectIdentity,
    EndMembership,
    RecordAddress,
    RecordPhone,
    RegisterMember,
)
from domain.decisions.home import here
from domain.decisions.table import Decision, decide
from domain.decisions.transfers import newest_transfer
from domain.errors import Refusal
from domain.ledger import Ledger
from domain.member import Member
from domain.outflow import Outflow
from domain.passage import OVER
from domain.sealing import Closure
from domain.transfer import Transfer
from domain.values import DataClass, IdNumber, born_on, sex_of


class PersonTaken(Refusal):
    """介绍信上的人员编号在本组织属于他人。The letter gives him the id of somebody else here."""

    mend = "不要办理，请电话向开出组织核实。Do nothing by it, and call the issuer."


class MemberKnown(Refusal):
    """该公民身份号码已建档。A member with this id number is on file."""

    mend = "请在已有档案上办理。Use the file that exists."


def files_of(ledger: Ledger, number: IdNumber) -> tuple[list[Member], UUID]:
    """Our files of that id number, oldest first, and the id of the next; found by its pseudonym.

    Who was transferred away and comes back is given another file.
    """
    pseudonym = ledger.keyring.blind("member", number)
    files: list[Member] = []
    for nth in count(1):
        id_ = Member.id_of(pseudonym, nth)
        known = ledger.find(Member, id_)
        if known is None:
            return files, id_
        if known.keeper == ledger.org:
            files.append(known)
    raise AssertionError  # One of the ids is free.


def on_file(ledger: Ledger, number: IdNumber) -> Member | None:
    """Our newest file of that id number, also of somebody who was transferred away.

    Of somebody who was erased there is none: the number leads to nobody any more.
    """
    files, _ = files_of(ledger, number)
    known = [file for file in files if not _forgotten(ledger, file)]
    return known[-1] if known else None


def _forgotten(ledger: Ledger, file: Member) -> bool:
    return ledger.keyring.closed(file.person, DataClass.IDENTITY) is Closure.ERASED


def held(ledger: Ledger, number: IdNumber) -> Member | None:
    """The file of a member whose affiliation is here; None for whom we may open one.

    Raises:
        MemberReleased: it is with an organization that has a node; only a transfer brings it back.
    """
    known = on_file(ledger, number)
    if known is None or known.released_on is None:
        return known
    if known.released_to is not None:
        known.must_be_held()
    return None


def open_file(ledger: Ledger, command: RegisterMember) -> Member:
    """A new file; what the id number says is not asked again."""
    files, id_ = files_of(ledger, command.number)
    said = dict(command)
    person = said.pop("person", None)
    other = ledger.find(Member, person) if person else None
    if known := [file for file in files if not _forgotten(ledger, file)]:
        person = known[0].person
    elif other is not None and other.keeper == ledger.org:
        # A letter's word for who he is does not reach somebody else's file.
        raise PersonTaken(person=person)
    return Member.register(
        id_, person=person, born=born_on(command.number), sex=sex_of(command.number), **said
    )


@decide.register
def _(command: RegisterMember, ledger: Ledger) -> Decision:
    if known := held(ledger, command.number):
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
    member.must_be_member()
    more: Decision = ()
    if member.away is not None:
        if here(ledger, member.away):
            outflow = ledger.open(Outflow, member.away)
            outflow.close("died" if command.how == "died" else "membership_ended", command.on)
            more += (outflow,)
        member.come_back(member.away, command.on)
    _, known = newest_transfer(ledger, member)
    if known is not None and known.state not in OVER:
        transfer = ledger.open(Transfer, known.id)
        transfer.cease(command.document)
        more += (transfer,)
    member.end(command.how, command.document, command.on)
    return member, *more
