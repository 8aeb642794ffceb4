"""删除: a request to erase a person, its answers, and how far it has come at every holder."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api import erasure_board as board
from api import retention
from api.access import readings
from api.access.reading import shows, shows_nobody
from api.app_state import Running, running
from api.bodies import take, takes
from api.erasure.eraser import Asking
from api.routes.commands import answer
from api.who import who
from domain.commands import ConsultRestricted
from domain.commands.erasures import Purpose
from domain.erasure import AskedBy, Classes, Erasure, ErasureGround
from domain.sealing import purpose
from domain.values import DataClass, Text, Value

router = APIRouter(tags=["删除 erasures"])


class Asked(Value):
    """申请删除: of whose file, which classes, on what ground."""

    member: UUID
    classes: Classes = tuple(DataClass)
    ground: ErasureGround
    by: AskedBy = "person"
    document: Text | None = None


class Consulted(Value):
    """Which field, for which of the purposes."""

    member: UUID
    purpose: Purpose
    field: Purpose


@router.get("/erasures")
@shows(readings.ERASURES)
def erasures(request: Request) -> list[dict[str, Any]]:
    """删除看板: whom each was asked of and when, who has answered, who is still open since when."""
    return board.board(running(request).node)


@router.post("/erasures", status_code=201, openapi_extra=takes(Asked))
@shows_nobody
async def ask(request: Request) -> Response:
    """申请删除: nothing of the person opens any more when this answers."""
    asked, by = await take(request, Asked), who(request)
    eraser = running(request).node.eraser
    asking = Asking(asked.member, asked.ground, asked.classes, asked.by, asked.document)
    return answer(await asyncio.to_thread(eraser.request, asking, by))


@router.get("/retention")
@shows(readings.RETENTION)
def due(request: Request) -> list[dict[str, Any]]:
    """到期: whose data have been kept as long as they may; people, or the policy, decide."""
    return retention.due(running(request).node)


@router.get("/erasures/{erasure}")
@shows(readings.ERASURES)
def one(request: Request, response: Response, erasure: UUID) -> dict[str, Any]:
    """一次删除: as on the board."""
    node = running(request).node
    known = node.ledger.look_up(Erasure, erasure)
    response.headers["ETag"] = f'"{known.version}"'
    return board.told(node, known)


@router.post("/erasures/{erasure}/grant", status_code=201)
@shows_nobody
async def grant(request: Request, erasure: UUID) -> Response:
    """同意删除: by a second person; the keys are destroyed here when this answers, for good."""
    eraser = running(request).node.eraser
    return answer(await asyncio.to_thread(eraser.grant, erasure, who(request)))


@router.post("/erasures/{erasure}/consultations", openapi_extra=takes(Consulted))
@shows(readings.CONSULTED)
async def consult(request: Request, erasure: UUID) -> list[dict[str, Any]]:
    """查阅: recorded first, then every value of the field, opened for that purpose."""
    said = await take(request, Consulted)
    command = ConsultRestricted(erasure=erasure, **dict(said))
    await running(request).node.service.submit(command, who(request), None)
    return await asyncio.to_thread(_opened, running(request), said)


def _opened(node: Running, said: Consulted) -> list[dict[str, Any]]:
    token = purpose.set(said.purpose)
    try:
        return node.auditor.trail(said.member, said.field)
    finally:
        purpose.reset(token)
