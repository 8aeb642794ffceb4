"""对账: compare with a peer and show what differs; answer a peer that compares."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api.access import readings
from api.access.reading import shows, shows_nobody
from api.agreement import recompute
from api.agreement.kept import kept, last, paper
from api.agreement.reconcile import Reconciler, Report
from api.agreement.way import HttpWay
from api.app_state import running
from api.node import Node
from api.routes.lanes import admit
from domain.decisions.home import us
from domain.organization import Peer
from domain.values import OrgCode
from projections.shared import names_of
from sync.cloudevents import MEDIA_TYPE

router = APIRouter(tags=["对账 agreement"])


@router.post("/peers/{peer}/reconcile")
@shows(readings.RECONCILE)
def reconcile(
    request: Request,
    peer: OrgCode,
    dry_run: bool = False,  # noqa: FBT001, FBT002 - what it does without is harmless as well.
) -> dict[str, Any]:
    """对账: what differs, why, what was mended; if nothing differs, a certificate both signed."""
    return _reconcile(running(request).node, peer, dry_run=dry_run)


@router.get("/peers/{peer}/agreement")
@shows_nobody
async def agreement(request: Request, peer: OrgCode) -> dict[str, Any]:
    """一致证明: the newest certificate about a peer, as it is handed out."""
    return paper(kept(running(request).node, peer))


@router.get("/peers/{peer}/agreement/recomputed")
@shows_nobody
async def recomputed(
    request: Request, peer: OrgCode, version: Annotated[int | None, Query(ge=1)] = None
) -> dict[str, Any]:
    """重算证明: a kept certificate, the newest if none is named, held against the facts again."""
    node = running(request).node
    return recompute.told(await asyncio.to_thread(recompute.recompute, node, peer, version))


@router.post("/lanes/compare")
@shows_nobody
async def compare(request: Request) -> Response:
    """应答对账: one question of a peer's comparison."""
    node = running(request)
    wire = await request.body()
    caller = admit(node, request, None, wire)
    peer = node.node.relay.peer(caller)
    told = await asyncio.to_thread(node.answering.answer, peer, wire)
    return Response(told, media_type=MEDIA_TYPE)


def _reconcile(node: Node, code: OrgCode, *, dry_run: bool) -> dict[str, Any]:
    with closing(HttpWay(node, us(node.ledger).peer(code))) as way:

        def to(_: Peer) -> HttpWay:
            return way

        report = Reconciler(node, to).run(code, dry_run=dry_run)
    return told(node, report)


def told(node: Node, report: Report) -> dict[str, Any]:
    """A report as people read it: with the names that can be opened here."""
    found = report.last
    assert found is not None, "A run that did not compare has raised."
    still = {(each.model, each.key) for each in found.differences}
    members = {each.member for each in report.first.values() if each.member}
    with node.database.connection() as conn:
        names = names_of(conn, members)
    newest = last(node, report.peer)
    return {
        "peer": report.peer,
        "equal": report.equal,
        "dry_run": report.dry_run,
        "lanes": [lane._asdict() for lane in found.lanes],
        "rows": {name: len(hashes) for name, hashes in sorted(found.snapshot.hashes.items())},
        "differences": [
            each.told(names.get(each.member) if each.member else None, mended=key not in still)
            for key, each in report.first.items()
        ],
        "more": found.more,
        "moved": found.moved,
        "waiting": {
            org: [each.model_dump() for each in waiting]
            for org, waiting in found.pair.waiting.items()
            if waiting
        },
        "mended": report.cured,
        "not_mended": report.failed,
        "messages": report.messages,
        "proven_at": newest.at if newest else None,
    }
