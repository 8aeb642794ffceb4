"""流出地: what an origin can be asked about its members' absences and who has the care."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from domain.commands.command import Command
from domain.commands.members import RegisterMember
from domain.values import Day, Notes, OfferNumber, OrgCode, Phone, Stated, Text


class ReportOutflow(Command):
    """外出报告."""

    member: UUID
    planned_on: Day
    reason: Text | None = None
    destination: Text | None = None


class AskCorrection(Command):
    """退回补正."""

    outflow: UUID
    reason: Stated


class Departure(Command):
    """外出登记, but for who it is about."""

    left_on: Day
    reason: Text | None = None
    scope: Text | None = None
    destination: Text | None = None
    host: OrgCode | None = None
    permit: Text | None = None
    permit_held: bool | None = None
    branch_contact: Text | None = None
    branch_phone: Phone | None = None
    contact_state: Text | None = None
    remark: Notes | None = None


class RegisterOutflow(Departure):
    """外出登记."""

    member: UUID


class RegisterDeparture(Command):
    """外出登记表一行: the person as far as not yet on file, and the absence, both or neither."""

    person: RegisterMember
    absence: Departure


class OfferCare(Command):
    """发出接收邀约; `claim` names the inflow of a host that found the member first."""

    outflow: UUID
    host: OrgCode
    valid_days: Annotated[int, Field(ge=1, le=365)] | None = None
    claim: UUID | None = None


class RecallOffer(Command):
    """撤回邀约."""

    outflow: UUID
    offer: OfferNumber
    reason: Stated


class RecordRelocation(Command):
    """登记转移."""

    outflow: UUID
    moved_on: Day
    destination: Stated
    host: OrgCode | None = None


class RecordReturn(Command):
    """登记返回."""

    outflow: UUID
    returned_on: Day
    conduct: Text | None = None


class CloseOutflow(Command):
    """结束流动; a transfer ends it by itself."""

    outflow: UUID
    how: Literal["died", "membership_ended"]
    closed_on: Day


class VoidOutflow(Command):
    """作废（登记错误，须第二人复核）."""

    outflow: UUID
    reason: Stated
    second_person: Stated


class ReportLost(Command):
    """登记失联."""

    outflow: UUID
    basis: Stated


class ReportRestored(Command):
    """登记恢复联系."""

    outflow: UUID


class ShareOutflow(Command):
    """告知另一组织."""

    outflow: UUID
    to: OrgCode
    purpose: Stated


class RecognizeClaim(Command):
    """确认对方发现的是本组织党员."""

    inflow: UUID
    outflow: UUID


class RefuseClaim(Command):
    """答复对方：不是本组织党员."""

    inflow: UUID
    reason: Stated
