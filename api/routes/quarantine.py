"""隔离区: what peers sent and was set aside, what is stale because of it, and its retry."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from api.access import readings
from api.access.reading import shows
from api.app_state import Running, running
from api.radius import Radius
from domain.ledger import NotFound
from domain.values import OrgCode
from sync.quarantine import Difference, Quarantine

QUARANTINE_PAGE_MAX = 500

router = APIRouter(tags=["隔离 quarantine"])


@router.get("/quarantine")
@shows(readings.QUARANTINE)
def quarantine(
    request: Request, cursor: int = 0, limit: int = 100, peer: OrgCode | None = None
) -> list[dict[str, Any]]:
    """隔离区: what peers sent and was not recorded, with the reason, the mend and the evidence."""
    lanes = running(request).node.lanes
    limit = min(max(limit, 1), QUARANTINE_PAGE_MAX)
    return lanes.quarantined(cursor, limit, peer)


@router.get("/quarantine/{number}")
@shows(readings.SET_ASIDE)
def one(request: Request, number: int) -> dict[str, Any]:
    """一条: with how many wait behind it, and which members, rows and obligations are stale."""
    node = running(request).node
    found = node.lanes.quarantined_one(number)
    if found is None:
        raise NotFound(kind="quarantined-entry", id=number)
    open_entry = found["stream"] is not None and found["resolved_at"] is None
    affects = Radius(node).of(found) if open_entry else None
    return {**found, "affects": affects}


@router.post("/quarantine/{number}/retry")
@shows(readings.RETRY)
async def retry(
    request: Request,
    number: int,
    dry_run: bool = True,  # noqa: FBT001, FBT002 - the safe way is the default.
) -> dict[str, Any]:
    """重试: by today's rules; a dry run shows what would be recorded and change, field by field."""
    node = running(request)
    return await _again(node, partial(_quarantine(node).retry, number, dry_run=dry_run))


@router.post("/quarantine/retry")
@shows(readings.RETRY)
async def retry_all(
    request: Request,
    peer: OrgCode,
    dry_run: bool = True,  # noqa: FBT001, FBT002 - the safe way is the default.
    count: Annotated[int | None, Query(ge=0)] = None,
) -> dict[str, Any]:
    """全部重试: all of a peer's; recorded only if `count` is the number that a dry run showed."""
    node = running(request)
    again = partial(_quarantine(node).retry_all, peer, dry_run=dry_run, count=count)
    return await _again(node, again)


def _quarantine(node: Running) -> Quarantine:
    return Quarantine(node.node.ledger, node.node.lanes, node.node.clock)


async def _again(node: Running, again: partial[Difference]) -> dict[str, Any]:
    done = await asyncio.to_thread(again)
    if not done.dry_run:
        node.node.ledger.wake()
        await asyncio.to_thread(node.worker.tell, done.peer)
    shown = None
    if done.dry_run and done.records:
        shown = await asyncio.to_thread(Radius(node.node).rehearse, done.peer, done.records)
    return {
        "peer": done.peer,
        "dry_run": done.dry_run,
        "waiting": done.waiting,
        "count": len(done.recorded),
        "recorded": [entry._asdict() for entry in done.recorded],
        "failing": [
            {**failing.entry._asdict(), "code": failing.code, "reason": failing.reason}
            for failing in done.failing
        ],
        "difference": shown,
    }
