"""同步约定: what each side lets the other open, concluded, changed, ended; and what is closed."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from api import pact_board as board
from api.access.reading import shows_nobody
from api.app_state import running

router = APIRouter(tags=["同步约定 pacts"])


@router.get("/pacts")
@shows_nobody
async def pacts(request: Request) -> list[dict[str, Any]]:
    """约定看板: of every peer both pacts, how they stand today, and how many keys wait."""
    return await asyncio.to_thread(board.board, running(request).node)


@router.get("/outflows/{outflow}/sealed")
@shows_nobody
async def sealed(request: Request, outflow: UUID) -> list[dict[str, Any]]:
    """为何不可见: the classes of an absence that do not open here, and why."""
    return await asyncio.to_thread(board.sealed, running(request).node, outflow)
