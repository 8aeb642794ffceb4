"""外出登记表一行: a member and an absence registered together, or neither."""

from __future__ import annotations

from typing import Any

from domain.commands import Command, RegisterMember, RegisterOutflow
from domain.decisions.table import Decision, decide
from domain.ledger import Ledger
from domain.member import Member
from domain.outflow import Outflow
from domain.values import born_on, sex_of


class RegisterDeparture(Command):
    """一行台账: the person as far as not yet on file, and the absence."""

    person: RegisterMember
    absence: dict[str, Any]
    """RegisterOutflow without its member, who may not have a file yet."""


@decide.register
def _(command: RegisterDeparture, ledger: Ledger) -> Decision:
    said = command.person
    id_ = ledger.keyring.blind("member", said.number)
    known = ledger.find(Member, id_)
    member = known.private_copy() if known else _file(said, ledger)
    absence = RegisterOutflow.model_validate({**command.absence, "member": member.id})
    outflow = Outflow.begin(Outflow.id_of(member.id, member.absences + 1), member.id)
    member.leave(outflow.id, absence.left_on)
    outflow.register(**dict(absence))
    return outflow, member


def _file(said: RegisterMember, ledger: Ledger) -> Member:
    return Member.register(
        ledger.keyring.blind("member", said.number),
        born=born_on(said.number),
        sex=sex_of(said.number),
        **dict(said),
    )
