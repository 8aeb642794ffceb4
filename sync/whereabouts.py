"""在哪里: what one node tells another of a fact that the other sent, or holds."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from domain.values import OrgCode
from sync.envelope import Message, Moment, Number

HOPS_TOLD_MAX = 40
"""Hops of one fact that a peer is told."""


class HopTold(BaseModel):
    """途经: one hop of a fact, when it was passed, and how."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hop: Annotated[str, StringConstraints(max_length=60)]
    at: Moment | None = None
    note: Annotated[str, StringConstraints(max_length=200)] | None = None


class Whereabouts(Message):
    """The answer to a signed request; without hops where the asker has nothing to do with it."""

    KIND: ClassVar[str] = "where"

    receiver: OrgCode
    stream: UUID
    version: Number
    at: Moment
    hops: Annotated[tuple[HopTold, ...], Field(max_length=HOPS_TOLD_MAX)] = ()
