"""流入地: what a host can be asked about members who arrive, stay and leave."""

from __future__ import annotations

from uuid import UUID

from domain.commands.command import Command
from domain.inflow import Because, Via
from domain.inflow import Reason as DeclineReason
from domain.values import Day, IdNumber, Name, OfferNumber, OrgCode, Phone, Stated, Text


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
    offer: OfferNumber
    branch: Stated
    group: Text | None = None
    liaison: Stated
    accepted_on: Day


class DeclineInflow(Command):
    """不接收."""

    outflow: UUID
    offer: OfferNumber
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
