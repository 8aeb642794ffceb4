"""同步约定: what can be asked of a pact with a peer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from domain.commands.command import Command
from domain.pact import PactTerms
from domain.values import OrgCode, Stated


class ConcludePact(Command):
    """订立同步约定."""

    peer: OrgCode
    terms: PactTerms


class ChangePact(Command):
    """变更或续期同步约定."""

    peer: OrgCode
    terms: PactTerms
    reason: Stated | None = None


class EndPact(Command):
    """提前终止同步约定."""

    peer: OrgCode
    reason: Stated


class ResumeKeys(Command):
    """补送此前未送的密钥."""

    peer: OrgCode
    keys: Annotated[int, Field(ge=1)]
