"""运行维护: health, the read models with their rebuild, the quarantine with its retry."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from api.app_state import running
from domain.ledger import NotFound
from sync.quarantine import Quarantine

QUARANTINE_PAGE_MAX = 500

router = APIRouter(tags=["运行 upkeep"])


@router.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """健康: alive, and what has stopped, if anything has."""
    node = running(request)
    stopped = {**node.worker.faults, **node.node.projector.stopped}
    if node.worker.kafka is not None:
        broker = node.worker.kafka.status()
        stopped.update({} if broker["reachable"] else {"broker": str(broker["last_error"])})
        stopped.update(broker["threads"])
    return {"status": "ok" if not stopped else "degraded", "stopped": sorted(stopped)}


@router.get("/read-models")
async def read_models(request: Request) -> list[dict[str, Any]]:
    """读模型: how far each has come, and why one has stopped."""
    projector = running(request).node.projector
    head = running(request).node.ledger.head
    return [
        {
            "name": name,
            "position": await asyncio.to_thread(projector.position, name),
            "head": head,
            "stopped": projector.stopped.get(name),
        }
        for name in projector.projections
    ]


@router.post("/read-models/{name}/rebuild")
async def rebuild(request: Request, name: str) -> dict[str, Any]:
    """重建: beside the live one, which answers until the new one takes over."""
    projector = running(request).node.projector
    if name not in projector.projections:
        raise NotFound(kind="read-model", id=name)
    same = await asyncio.to_thread(projector.rebuild, name)
    return {"name": name, "equal": same}


@router.get("/quarantine")
async def quarantine(request: Request, cursor: int = 0, limit: int = 100) -> list[dict[str, Any]]:
    """隔离区: what peers sent and was not recorded, with the reason and the evidence."""
    lanes = running(request).node.lanes
    limit = min(max(limit, 1), QUARANTINE_PAGE_MAX)
    return await asyncio.to_thread(lanes.quarantined, cursor, limit)


@router.post("/quarantine/{number}/retry")
async def retry(
    request: Request,
    number: int,
    dry_run: bool = True,  # noqa: FBT001, FBT002 - the safe way is the default.
) -> dict[str, Any]:
    """重试: by today's rules; a dry run shows what would be recorded, and what still fails."""
    node = running(request).node
    again = Quarantine(node.ledger, node.lanes, node.clock)
    difference = await asyncio.to_thread(again.retry, number, dry_run=dry_run)
    node.ledger.wake()
    return {
        "peer": difference.peer,
        "dry_run": difference.dry_run,
        "recorded": [entry._asdict() for entry in difference.recorded],
        "failing": [
            {**failing.entry._asdict(), "code": failing.code, "reason": failing.reason}
            for failing in difference.failing
        ],
    }
