"""命令: what can be asked of a node, one model for every way in; an unknown field is refused."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from domain.activity import ActivityKind
from domain.attendance import Mark
from domain.inflow import Because, Via
from domain.inflow import Reason as DeclineReason
from domain.member import Category
from domain.organization import OrgKind, Peer
from domain.policy import Terms
from domain.unit import UnitKind
from domain.values import Day, IdNumber, Name, Notes, OrgCode, Phone, Text, Value


class Command(Value):
    """What somebody asks for."""


class FoundOrganization(Command):
    """组织建档."""

    code: OrgCode
    name: Text
    kind: OrgKind = "department"
    city: Text | None = None


class EnrolPeer(Command):
    """登记对方名片，并约定可见的数据类别."""

    peer: Peer


class AdoptPolicy(Command):
    """发布制度参数."""

    terms: Terms
    effective_from: Day


class EstablishStation(Command):
    """设立联络服务站."""

    code: OrgCode
    name: Text
    city: Text
    approval: Text
    host_office: Text | None = None


class OpenUnit(Command):
    """设立党组织."""

    name: Text
    kind: UnitKind = "branch"
    parent: UUID | None = None


class RenameUnit(Command):
    """组织更名."""

    unit: UUID
    name: Text


class CloseUnit(Command):
    """撤销党组织."""

    unit: UUID
    reason: Text


class RegisterMember(Command):
    """党员建档."""

    name: Name
    number: IdNumber
    ethnic: Text | None = None
    education: Text | None = None
    category: Category = "正式党员"
    joined_on: Day
    full_on: Day | None = None
    branch: Text
    former_occupation: Text | None = None
    phone: Phone | None = None
    address: Text | None = None
    family: Notes | None = None


class RecordPhone(Command):
    """登记新的联系电话."""

    member: UUID
    phone: Phone
    on: Day | None = None


class RecordAddress(Command):
    """登记新的联系地址."""

    member: UUID
    address: Text
    on: Day | None = None


class CorrectIdentity(Command):
    """更正身份信息."""

    member: UUID
    name: Name | None = None
    number: IdNumber | None = None
    reason: Text


class EndMembership(Command):
    """登记党籍终止（依据文件）."""

    member: UUID
    how: Literal["died", "left_party", "removed", "expelled"]
    document: Text
    on: Day


class ReportOutflow(Command):
    """外出报告."""

    member: UUID
    planned_on: Day
    reason: Text | None = None
    destination: Text | None = None


class AskCorrection(Command):
    """退回补正."""

    outflow: UUID
    reason: Text


class RegisterOutflow(Command):
    """外出登记."""

    member: UUID
    left_on: Day
    reason: Text | None = None
    scope: Text | None = None
    destination: Text | None = None
    host: OrgCode | None = None
    permit: Text | None = None


class OfferCare(Command):
    """发出接收邀约; `claim` names the inflow of a host that found the member first."""

    outflow: UUID
    host: OrgCode
    valid_days: Annotated[int, Field(ge=1, le=365)] | None = None
    claim: UUID | None = None


class RecallOffer(Command):
    """撤回邀约."""

    outflow: UUID
    offer: int
    reason: Text


class LapseOffer(Command):
    """邀约到期（自动）."""

    outflow: UUID
    offer: int


class ConfirmCare(Command):
    """答复对方的接收（自动）."""

    outflow: UUID
    offer: int
    host: OrgCode
    since: date
    acceptance: Text


class NoteDeclination(Command):
    """记下对方不接收（自动）."""

    outflow: UUID
    offer: int
    host: OrgCode
    reason_code: Text
    declination: Text


class RecordRelocation(Command):
    """登记转移."""

    outflow: UUID
    moved_on: Day
    destination: Text
    host: OrgCode | None = None


class RecordReturn(Command):
    """登记返回."""

    outflow: UUID
    returned_on: Day
    conduct: Text | None = None


class CloseOutflow(Command):
    """结束流动."""

    outflow: UUID
    how: Literal["transferred", "died", "membership_ended"]
    closed_on: Day


class VoidOutflow(Command):
    """作废（登记错误，须第二人复核）."""

    outflow: UUID
    reason: Text
    second_person: Text


class ReportLost(Command):
    """登记失联."""

    outflow: UUID
    basis: Text


class ReportRestored(Command):
    """登记恢复联系."""

    outflow: UUID


class ShareOutflow(Command):
    """告知另一组织."""

    outflow: UUID
    to: OrgCode
    purpose: Text


class RecognizeClaim(Command):
    """确认对方发现的是本组织党员."""

    inflow: UUID
    outflow: UUID


class RefuseClaim(Command):
    """答复对方：不是本组织党员."""

    inflow: UUID
    reason: Text


class ReportInflow(Command):
    """党员报到."""

    outflow: UUID
    via: Via = "in_person"
    on: Day | None = None


class FindMember(Command):
    """先行发现党员."""

    origin: OrgCode
    name: Name
    number: IdNumber | None = None
    phone: Phone | None = None
    via: Via = "visit"
    note: Text | None = None
    on: Day | None = None


class AcceptInflow(Command):
    """接收."""

    outflow: UUID
    offer: int
    branch: Text
    group: Text | None = None
    liaison: Text
    accepted_on: Day


class DeclineInflow(Command):
    """不接收."""

    outflow: UUID
    offer: int
    reason_code: DeclineReason
    reason: Text


class LinkParticipation(Command):
    """参加本组织的组织生活."""

    outflow: UUID
    note: Text | None = None


class RecordInflowDetails(Command):
    """核实联系方式."""

    inflow: UUID
    phone: Phone | None = None
    address: Text | None = None
    on: Day | None = None


class EndInflow(Command):
    """流入结束."""

    inflow: UUID
    because: Because
    ended_on: Day
    destination: Text | None = None


class RecordContact(Command):
    """联系."""

    outflow: UUID
    on: Day
    method: Text
    by: Text
    reached: bool = True
    condition: Notes | None = None
    matters: Notes | None = None
    next_on: Day | None = None


class RecordVisit(Command):
    """走访慰问."""

    outflow: UUID
    on: Day
    by: Text
    festival: Text | None = None
    help_given: Notes | None = None
    condition: Notes | None = None


class CorrectContact(Command):
    """更正联系记录."""

    contact: UUID
    reached: bool | None = None
    condition: Notes | None = None
    matters: Notes | None = None
    reason: Text


class WithdrawContact(Command):
    """撤回联系记录."""

    contact: UUID
    reason: Text


class HoldActivity(Command):
    """活动."""

    on: Day
    kind: ActivityKind = "theme_day"
    title: Text
    place: Text | None = None


class CancelActivity(Command):
    """取消活动."""

    activity: UUID
    reason: Text


class MarkAttendance(Command):
    """考勤."""

    activity: UUID
    outflow: UUID
    mark: Mark


class CorrectAttendance(Command):
    """考勤更正."""

    activity: UUID
    outflow: UUID
    mark: Mark
    reason: Text
