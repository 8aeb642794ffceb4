"""数据包: lanes as files, made for a peer and taken in from one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import APIRouter, Request, Response

from api.access import readings
from api.access.reading import shows, shows_nobody
from api.app_state import running
from domain.values import OrgCode
from sync.bundle_report import Packed, Taken
from sync.errors import LaneFault

MEDIA_TYPE = "application/vnd.waystation.bundle"
SAYS = "Waystation-Bundle"
"""The header that says what a file holds, as JSON: its body can be read by its receiver alone."""

router = APIRouter(tags=["数据包 bundles"])


@router.post("/bundles/{peer}")
@shows(readings.BUNDLE)
def export(
    request: Request,
    peer: OrgCode,
    again: bool = False,  # noqa: FBT001, FBT002 - a query parameter.
    go_on: bool = False,  # noqa: FBT001, FBT002 - a query parameter.
) -> Response:
    """导出数据包: what the peer has not confirmed, with our receipt; 204 where nothing is new."""
    bundles = running(request).node.bundles
    made = bundles.pack(peer, again=again, go_on=go_on)
    if made is None:
        said = bundles.status(peer)
        return Response(status_code=204, headers={SAYS: json.dumps(said, default=str)})
    headers = {
        SAYS: json.dumps(_exported(made)),
        "Content-Disposition": f'attachment; filename="{made.header.name}"',
    }
    return Response(made.wire, media_type=MEDIA_TYPE, headers=headers)


@router.post("/bundles")
@shows_nobody
async def import_bundle(request: Request) -> dict[str, Any]:
    """导入数据包: what was new, known, missing, refused; importing it again is harmless."""
    node = running(request).node
    taken = await asyncio.to_thread(node.bundles.take, await request.body())
    return _imported(taken)


def _exported(made: Packed) -> dict[str, Any]:
    return {
        "name": made.header.name,
        "number": made.header.number,
        "first": made.cover.first,
        "last": made.cover.last,
        "facts": made.cover.facts,
        "told": made.told,
        "more": made.more,
        "asks": made.asks,
        "gives": made.gives,
    }


def _imported(taken: Taken) -> dict[str, Any]:
    header, cover = taken.header, taken.cover
    return {
        "sha256": taken.sha256,
        "sender": header.sender if header else None,
        "receiver": header.receiver if header else None,
        "number": header.number if header else None,
        "first": cover.first if cover else None,
        "last": cover.last if cover else None,
        "facts": cover.facts if cover else None,
        "recorded": taken.recorded,
        "known": taken.known,
        "parked": taken.parked,
        "again": taken.again,
        "twin": taken.twin,
        "unseen": taken.unseen,
        "missing": taken.missing,
        "confirmed": taken.confirmed,
        "they_refused": taken.they_refused,
        "answer": taken.answer,
        "asks": taken.asks,
        "gives": taken.gives,
        "refused": [_refused(fault) for fault in taken.faults],
    }


def _refused(fault: LaneFault) -> dict[str, Any]:
    facts = {name: str(value) for name, value in fault.facts.items()}
    return {"code": fault.code(), "title": fault.sentence(), "mend": fault.mend, "facts": facts}
