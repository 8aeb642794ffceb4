"""本组织: what can be asked about an organization itself, its peers, units, stations, policy."""

from __future__ import annotations

from uuid import UUID

from domain.commands.command import Command
from domain.organization import OrgKind, Peer
from domain.policy import Terms
from domain.unit import UnitKind
from domain.values import Day, OrgCode, Stated, Text


class FoundOrganization(Command):
    """组织建档."""

    code: OrgCode
    name: Stated
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
    name: Stated
    city: Stated
    approval: Stated
    host_office: Text | None = None


class CloseStation(Command):
    """撤销联络服务站."""

    station: UUID
    reason: Stated


class OpenUnit(Command):
    """设立党组织."""

    name: Stated
    kind: UnitKind = "branch"
    parent: UUID | None = None


class RenameUnit(Command):
    """组织更名."""

    unit: UUID
    name: Stated


class CloseUnit(Command):
    """撤销党组织."""

    unit: UUID
    reason: Stated
