"""运行维护: health, the read models with their rebuild."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from api.access import readings
from api.access.reading import shows, shows_nobody
from api.app_state import Running, running
from api.inspection import inspect
from api.stale import held
from api.storage.errors import DatabaseAway
from api.watch import unwitnessed_s
from domain.ledger import NotFound
from sync import lag

router = APIRouter(tags=["运行 upkeep"])


@router.get("/health")
@shows_nobody
async def health(request: Request) -> dict[str, Any]:
    """健康: alive, and what has stopped, if anything has."""
    node = running(request)
    stopped = {**node.worker.ailing(), **node.node.projector.stopped}
    stopped |= await asyncio.to_thread(_shut, node)
    if damage := node.node.recorder.damage:
        stopped["ledger"] = str(damage)
    if raised := node.node.fence.raised:
        stopped["fence"] = f"since {raised.at.isoformat()}, shown by {raised.by}"
    if node.worker.kafka is not None:
        broker = node.worker.kafka.status()
        stopped.update({} if broker["reachable"] else {"broker": str(broker["last_error"])})
        stopped.update(broker["threads"])
    return {
        "status": "ok" if not stopped else "degraded",
        "stopped": sorted(stopped),
        "alarms": node.worker.watch.counts,
        "unwitnessed_s": await asyncio.to_thread(unwitnessed_s, node.node),
        **await asyncio.to_thread(_behind, node),
    }


def _behind(node: Running) -> dict[str, Any]:
    """How far the worst lane of each direction is behind."""
    known, lanes = node.node.relay.peers(), node.node.lanes
    out, in_ = lag.outgoing(lanes, known), lag.incoming(lanes, known, node.node.clock())
    return {
        "out_lag": lag.worst(out.values())._asdict(),
        "in_lag": lag.worst(in_.values())._asdict(),
    }


def _shut(node: Running) -> dict[str, str]:
    """What cannot be reached, or opened."""
    try:
        return (
            {} if node.node.keyring.opens() else {"keys": "the master key opens nothing kept here"}
        )
    except DatabaseAway as fault:
        return {"database": str(fault)}


@router.get("/read-models")
@shows_nobody
async def read_models(request: Request) -> list[dict[str, Any]]:
    """读模型: how far each has come, and why one has stopped, at which fact."""
    projector = running(request).node.projector
    head = running(request).node.ledger.head
    return [
        {
            "name": name,
            "position": await asyncio.to_thread(projector.position, name),
            "head": head,
            "stopped": projector.stopped.get(name),
            "held_by": held(running(request).node, name),
        }
        for name in projector.projections
    ]


@router.post("/read-models/{name}/rebuild")
@shows_nobody
async def rebuild(request: Request, name: str) -> dict[str, Any]:
    """重建: beside the live one, which answers until the new one takes over."""
    projector = running(request).node.projector
    if name not in projector.projections:
        raise NotFound(kind="read-model", id=name)
    same = await asyncio.to_thread(projector.rebuild, name)
    return {"name": name, "equal": same}


@router.post("/inspection")
@shows(readings.INSPECTION)
def inspection(request: Request) -> dict[str, Any]:
    """台账自查: what in this node's database does not fit the rest of it; none, and it is whole.

    A read model that differs is built anew.
    """
    node = running(request).node
    found = [each._asdict() for each in inspect(node)]
    return {"entries": node.ledger.head, "findings": found}
