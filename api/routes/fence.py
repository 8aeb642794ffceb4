"""恢复栅栏: what is missing after a restore, what happens next, and an operator's word for it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from api.access.reading import shows_nobody
from api.app_state import running
from api.bodies import take, takes
from api.who import who
from domain.values import OrgCode, Stated, Value
from sync.fence import Wish

router = APIRouter(tags=["恢复 fence"])

WITHOUT_MAX = 200
"""Peers that are not waited for."""


class Renewed(Value):
    """启用新纪元: why, and which peers cannot be waited for."""

    reason: Stated
    without: Annotated[tuple[OrgCode, ...], Field(max_length=WITHOUT_MAX)] = ()


@router.get("/fence")
@shows_nobody
async def fence(request: Request) -> dict[str, Any]:
    """恢复情况: what is missing here, from whom, what happens next; new epochs, ours and theirs."""
    return await asyncio.to_thread(running(request).node.restoring.report)


@router.post("/fence/renewal", status_code=202, openapi_extra=takes(Renewed))
@shows_nobody
async def renew(request: Request) -> dict[str, Any]:
    """启用新纪元: what peers hold is fetched back; then a signed statement gives up the rest."""
    said, by = await take(request, Renewed), who(request)
    restoring = running(request).node.restoring
    await asyncio.to_thread(restoring.renew, Wish(said.reason, by.person, said.without))
    return await asyncio.to_thread(restoring.report)


@router.post("/fence/lanes/{peer}", status_code=202)
@shows_nobody
async def take_back(request: Request, peer: OrgCode) -> dict[str, Any]:
    """取回: what a peer says it holds of this organization is ours; its lane goes on after."""
    restoring = running(request).node.restoring
    await asyncio.to_thread(restoring.take, peer)
    return await asyncio.to_thread(restoring.report)
