"""党员: what can be asked about a person's file."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from domain.commands.command import Command
from domain.member import Category
from domain.values import Day, IdNumber, Name, Notes, Phone, Stated, Text


class RegisterMember(Command):
    """党员建档."""

    name: Name
    number: IdNumber
    ethnic: Text | None = None
    education: Text | None = None
    category: Category = "正式党员"
    joined_on: Day
    full_on: Day | None = None
    branch: Stated
    former_occupation: Text | None = None
    phone: Phone | None = None
    address: Text | None = None
    family: Notes | None = None


class RegisterByLetter(RegisterMember):
    """凭介绍信建档: whom a letter without our code has brought; the person keeps his id."""

    person: UUID


class RecordPhone(Command):
    """登记新的联系电话."""

    member: UUID
    phone: Phone
    on: Day | None = None


class RecordAddress(Command):
    """登记新的联系地址."""

    member: UUID
    address: Stated
    on: Day | None = None


class CorrectIdentity(Command):
    """更正身份信息."""

    member: UUID
    name: Name | None = None
    number: IdNumber | None = None
    reason: Stated


class EndMembership(Command):
    """登记党籍终止（依据文件）."""

    member: UUID
    how: Literal["died", "left_party", "removed", "expelled"]
    document: Stated
    on: Day
