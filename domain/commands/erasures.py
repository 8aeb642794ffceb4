"""删除: what can be asked about a person's right to be forgotten, also by a node of itself."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from domain.commands.command import Command
from domain.destruction import Keys, SignatureText
from domain.erasure import AskedBy, Classes, ErasureGround, Streams
from domain.values import DataClass, Day, OrgCode, Short, Stated, Text

PURPOSES_MAX = 10
"""Purposes for which restricted data may be opened."""

Purpose = Annotated[Short, StringConstraints(min_length=1)]


class RequestErasure(Command):
    """申请删除个人信息：立即封存."""

    person: UUID
    streams: Streams
    classes: Classes = tuple(DataClass)
    ground: ErasureGround
    by: AskedBy = "person"
    document: Text | None = None
    hearers: tuple[OrgCode, ...] = ()


class GrantErasure(Command):
    """同意删除（须由另一人办理）：销毁密钥，不可撤回."""

    erasure: UUID
    asked: tuple[OrgCode, ...] = ()


class RestrictProcessing(Command):
    """依法留存，限制处理."""

    erasure: UUID
    reason: Stated
    basis: Stated
    until: Day
    purposes: Annotated[tuple[Purpose, ...], Field(min_length=1, max_length=PURPOSES_MAX)]


class RefuseErasure(Command):
    """不予删除，说明理由."""

    erasure: UUID
    reason: Stated


class LiftRestriction(Command):
    """解除限制处理."""

    erasure: UUID
    reason: Stated


class ConsultRestricted(Command):
    """按用途查阅限制处理的信息."""

    erasure: UUID
    member: UUID
    purpose: Purpose
    field: Purpose


class KeepInstead(Command):
    """对他组织的删除请求答复：依法留存."""

    erasure: UUID
    reason: Stated
    basis: Stated
    until: Day


class TellDestroyed(Command):
    """销毁回执（自动）."""

    erasure: UUID
    keys: Keys
    passed_to: tuple[OrgCode, ...] = ()
    signature: SignatureText


class ExtendErasure(Command):
    """转请销毁：请求曾从本组织取得密钥的组织（自动）."""

    erasure: UUID
    streams: Streams
    hearers: Annotated[tuple[OrgCode, ...], Field(min_length=1)]


class FollowErasure(Command):
    """转请随原申请办理（自动）."""

    extension: UUID


class TellExtended(Command):
    """转告销毁结果（自动）."""

    erasure: UUID
    answer: UUID
    org: OrgCode


class CompleteErasure(Command):
    """删除完毕（自动）."""

    erasure: UUID
    kept_by: tuple[OrgCode, ...] = ()
