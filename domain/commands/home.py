"""本组织: what can be asked about an organization itself, its peers, units, stations, policy."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from domain.commands.command import Command
from domain.organization import OrgKind, Peer
from domain.pact import PactTerms
from domain.policy import Terms
from domain.signet import How, PublicKey, Reads, Succession
from domain.unit import UnitKind
from domain.values import Day, OrgCode, Short, Stated, Text


class FoundOrganization(Command):
    """组织建档."""

    code: OrgCode
    name: Stated
    kind: OrgKind = "department"
    city: Text | None = None


class EnrolPeer(Command):
    """登记对方名片，并可同时订立同步约定."""

    peer: Peer
    pact: PactTerms | None = None


class RekeyPeer(Command):
    """重新登记对方名片（旧密钥遗失或被盗，须第二人复核）."""

    peer: Peer
    until: Annotated[int, Field(ge=0)]
    reason: Stated
    second_person: Annotated[Short, StringConstraints(min_length=1)]


class OpenSignet(Command):
    """启用密钥."""

    verify_key: PublicKey
    sealing_key: PublicKey
    reads: Reads


class TellReads(Command):
    """告知对方本节点可读取的记录种类."""

    reads: Reads


class ChangeKeys(Command):
    """更换、吊销或补发密钥（吊销、补发须第二人复核）."""

    how: How
    succession: Succession
    reason: Stated | None = None
    second_person: Short | None = None


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
