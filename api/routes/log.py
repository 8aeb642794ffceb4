"""可验证台账: the ledger as a transparency log (C2SP tlog-tiles), with its consistency proofs."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from api.access import readings
from api.access.reading import shows, shows_nobody
from api.app_state import Running, running
from api.gate import from_here
from api.ledger_export import export
from api.routes.lanes import admit
from domain.recording import NotFound
from sync import tile_path
from sync.add_checkpoint import CONFLICT, add
from sync.checkpoint import SIZE_MAX, SUITE
from sync.tile_path import TilePath

FOR_EVER = "private, max-age=31536000, immutable"
"""A tile never changes; it is not for everybody, so no cache that others share keeps it."""

router = APIRouter(tags=["可验证台账 log"])


def _reader(request: Request) -> Running:
    """Whoever is at this machine; a peer by its signed request.

    Raises:
        NotEnrolled, Forged.
    """
    node = running(request)
    if not from_here(request.scope):
        admit(node, request, None, None)
    return node


@router.get("/log/checkpoint")
@shows_nobody
async def checkpoint(request: Request) -> Response:
    """检查点: size and root of this ledger, signed; at most a second old on an idle node."""
    log = _reader(request).node.log
    signed = await asyncio.to_thread(log.checkpoint)
    headers = {"Cache-Control": "no-store", "Waystation-Suite": SUITE}
    return Response(signed.note, media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/ledger/export")
@shows(readings.LEDGER)
async def whole(request: Request) -> Response:
    """台账导出: all entries, tiles and checkpoints, signed, as one file; on this machine only."""
    node = running(request).node
    pieces = export(node.log, node.keys, node.ledger.head, node.clock())
    # What can be refused is refused before the answer begins.
    first = await asyncio.to_thread(next, pieces)
    name = f'attachment; filename="{node.settings.code}.ledger"'
    return StreamingResponse(
        chain([first], pieces),
        media_type="application/octet-stream",
        headers={"Content-Disposition": name, "Cache-Control": "no-store"},
    )


@router.get("/log/tile/entries/{path:path}")
@shows(readings.ENTRIES)
async def entries(request: Request, path: str) -> Response:
    """条目: the entries below a tile, for whoever is at this machine."""
    asked = _tile(f"entries/{path}")
    log = running(request).node.log
    return _fixed(await asyncio.to_thread(log.entries, asked.tile.number, asked.width))


@router.get("/log/tile/{path:path}")
@shows_nobody
async def tile(request: Request, path: str) -> Response:
    """瓦片: 256 hashes of a level, or with `.p/W` the first W."""
    log, asked = _reader(request).node.log, _tile(path)
    return _fixed(await asyncio.to_thread(log.tile, asked.tile, asked.width))


def _tile(path: str) -> TilePath:
    asked = tile_path.read(path)
    if asked is None:
        raise NotFound(kind="tile", id=path[:100])
    return asked


def _fixed(body: bytes) -> Response:
    headers = {"Cache-Control": FOR_EVER}
    return Response(body, media_type="application/octet-stream", headers=headers)


@router.get("/log/consistency")
@shows_nobody
async def consistency(
    request: Request,
    from_: Annotated[int, Query(alias="from", ge=0, le=SIZE_MAX)],
    to: Annotated[int, Query(ge=0, le=SIZE_MAX)],
) -> dict[str, Any]:
    """一致性证明: that the ledger of one size is the beginning of that of the other."""
    log = _reader(request).node.log
    proof = await asyncio.to_thread(log.consistency, from_, to)
    hashes = [b64encode(each).decode() for each in proof]
    return {"from": from_, "to": to, "suite": SUITE, "proof": hashes}


@router.post("/log/add-checkpoint")
@shows_nobody
async def add_checkpoint(request: Request) -> Response:
    """加签: cosign a checkpoint of an enrolled peer, whoever brings it (C2SP tlog-witness)."""
    node, body = running(request).node, await request.body()
    node.fence.must_be_down()
    said = await asyncio.to_thread(add, body, node.witness, node.relay.us())
    kind = "text/x.tlog.size" if said.status == CONFLICT else "text/plain; charset=utf-8"
    return Response(said.body, said.status, media_type=kind)


@router.get("/log/contradictions")
@shows_nobody
async def contradictions(request: Request) -> list[dict[str, Any]]:
    """矛盾证据: what organizations have signed twice, not alike, or said of a ledger they cut."""
    node = running(request).node
    found = await asyncio.to_thread(node.lanes.contradictions)
    return [{"id": e.id, "org": e.org, "kind": e.kind, "at": e.at} for e in found]


@router.get("/log/contradictions/{contradiction}")
@shows_nobody
async def one(request: Request, contradiction: int) -> Response:
    """一份证据: the file, which verifies offline; what its batch says of people is sealed."""
    node = running(request).node
    for each in await asyncio.to_thread(node.lanes.contradictions):
        if each.id == contradiction:
            return Response(each.file, media_type="application/json")
    raise NotFound(kind="contradiction", id=contradiction)
