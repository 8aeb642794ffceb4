"""事实在哪里: one fact, hop by hop, at this node and at those it concerns."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from api.access import readings
from api.access.reading import shows, shows_nobody
from api.app_state import Running, running
from api.where import ASKED_MAX
from sync.proof import MEDIA_TYPE, Proof

router = APIRouter(tags=["事实 facts"])


@router.get("/facts/{position}/where")
@shows(readings.WHERE)
async def where_at(
    request: Request, position: Annotated[int, Path(ge=1, le=2**63 - 1)]
) -> dict[str, Any]:
    """在哪里: by the `position` of a receipt, that of the last fact its command recorded."""
    node = running(request)
    fact = await asyncio.to_thread(node.tracker.at, position)
    stream = fact.record.originator_id
    assert isinstance(stream, UUID)
    return await _where(node, stream, fact.record.originator_version)


@router.get("/facts/{stream}/{version}/where")
@shows(readings.WHERE)
async def where(
    request: Request, stream: UUID, version: Annotated[int, Path(ge=1, le=2**31 - 1)]
) -> dict[str, Any]:
    """在哪里: recorded, numbered, sent and how, taken in, read models, receipt, with each time."""
    return await _where(running(request), stream, version)


@router.get("/facts/{position}/proof")
@shows_nobody
async def proof_at(
    request: Request, position: Annotated[int, Path(ge=1, le=2**63 - 1)]
) -> Response:
    """证明: that the fact at this position is in the ledger this node has signed; a .tlog-proof."""
    log = running(request).node.log
    return _file(await asyncio.to_thread(log.proof, position))


@router.get("/facts/{stream}/{version}/proof")
@shows_nobody
async def proof(
    request: Request, stream: UUID, version: Annotated[int, Path(ge=1, le=2**31 - 1)]
) -> Response:
    """证明: as above, by the fact's stream and version."""
    log = running(request).node.log
    position = await asyncio.to_thread(log.position, stream, version)
    return _file(await asyncio.to_thread(log.proof, position))


def _file(proof: Proof) -> Response:
    name = f'attachment; filename="{proof.index + 1}.tlog-proof"'
    return Response(bytes(proof), media_type=MEDIA_TYPE, headers={"Content-Disposition": name})


async def _where(node: Running, stream: UUID, version: int) -> dict[str, Any]:
    tracker = node.tracker
    found = await asyncio.to_thread(tracker.where, stream, version)
    legs = found["peers"]
    asked = (asyncio.to_thread(tracker.ask, leg, stream, version) for leg in legs[:ASKED_MAX])
    await asyncio.gather(*asked)
    for leg in legs[ASKED_MAX:]:
        leg["not_asked"] = f"more than {ASKED_MAX} peers"
    return found
