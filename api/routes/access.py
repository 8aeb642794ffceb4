"""查阅记录: who has read whose data, who received it, and whether the record is whole."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request

from api.access import readings
from api.access.asking import Inquiry
from api.access.reading import shows, shows_nobody
from api.access.verifying import verify
from api.access.words import Act
from api.app_state import running
from api.paging import Limit
from api.routes.questions import Moment
from domain.values import Short

router = APIRouter(tags=["查阅 access"])

Older = Annotated[int | None, Query(alias="cursor", ge=1, le=2**63 - 1)]


@router.get("/access")
@shows(readings.LOG)
def log(
    request: Request,
    account: Short | None = None,
    act: Act | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    cursor: Older = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """查阅记录: all that an account viewed, exported or printed between two moments."""
    narrowed = {"account": account, "act": act, "since": since, "until": until}
    inquiry = Inquiry(running(request).node)
    return inquiry.log(limit, cursor, **narrowed)


@router.get("/access/verified")
@shows_nobody
async def verified(request: Request) -> dict[str, Any]:
    """查验: whether every row is there, as the ledger has sealed it; the first that isn't."""
    node = running(request).node
    found = await asyncio.to_thread(verify, node.database)
    broken = found.broken._asdict() if found.broken else None
    return {**found._asdict(), "broken": broken}


@router.get("/members/{member}/access")
@shows(readings.SEEN)
def seen(
    request: Request, member: UUID, cursor: Older = None, limit: Limit = 100
) -> dict[str, Any]:
    """谁看过: everybody who read a member's data, and every organization that received it."""
    inquiry = Inquiry(running(request).node)
    return inquiry.seen(member, limit, cursor)


@router.get("/members/{member}/who-saw")
@shows(readings.MINE)
def who_saw(
    request: Request, member: UUID, cursor: Older = None, limit: Limit = 100
) -> dict[str, Any]:
    """谁看过我的信息: the same for the member, in words."""
    inquiry = Inquiry(running(request).node)
    return inquiry.who_saw(member, limit, cursor)
