"""组织关系转接: what origin and receiver can be asked about a transfer."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from domain.admission import Ground
from domain.commands.command import Command
from domain.passage import LETTER_VALID_MAX_DAYS, Channel, Level
from domain.values import (
    Day,
    DispatchNumber,
    IdNumber,
    Notes,
    OrgCode,
    Phone,
    Short,
    Stated,
    Text,
)

ValidDays = Annotated[int, Field(ge=1, le=LETTER_VALID_MAX_DAYS)]
Letter = Annotated[Short, Field(min_length=1)]


class RequestTransfer(Command):
    """转接申请; `to` names an organization with a node, `to_name` one without."""

    member: UUID
    to: OrgCode | None = None
    to_name: Stated | None = None
    by: Literal["member", "organization"] = "member"
    reason: Notes | None = None


class ApproveTransfer(Command):
    """审批（一级）."""

    transfer: UUID
    level: Level
    note: Text | None = None


class RejectTransfer(Command):
    """退回转接."""

    transfer: UUID
    reason: Stated


class WithdrawTransfer(Command):
    """撤销转接."""

    transfer: UUID
    reason: Stated


class SendTransfer(Command):
    """转出: by letter, with its number, or online; after a refusal, again."""

    transfer: UUID
    channel: Channel = "online"
    letter: Letter | None = None
    valid_days: ValidDays | None = None
    dues_paid_to: Day


class ReportLetterLost(Command):
    """登记介绍信遗失."""

    transfer: UUID
    reason: Stated


class ReissueLetter(Command):
    """重新开具; `basis` is the branch's certificate and the member's request."""

    transfer: UUID
    letter: Letter | None = None
    valid_days: ValidDays | None = None
    basis: Stated


class RecordSlip(Command):
    """登记纸质回执（接收组织没有节点）."""

    transfer: UUID
    admitted_on: Day
    returned_on: Day
    branch: Text | None = None
    handler: Stated
    phone: Phone


class AdmitTransfer(Command):
    """接收组织关系."""

    transfer: UUID
    dispatch: DispatchNumber
    branch: Stated
    admitted_on: Day


class AdmitByLetter(Command):
    """凭介绍信接收组织关系: what a checked letter says, before its facts have come on a lane."""

    transfer: UUID
    dispatch: DispatchNumber
    origin: OrgCode
    person: UUID
    sent_on: Day
    until: AwareDatetime
    number: IdNumber
    branch: Stated
    admitted_on: Day


class RefuseTransfer(Command):
    """不予接收组织关系."""

    transfer: UUID
    dispatch: DispatchNumber
    reason_code: Ground
    reason: Stated


class ReturnSlip(Command):
    """返回回执."""

    transfer: UUID
    returned_on: Day | None = None
    handler: Stated
    phone: Phone
