"""通道与节点: cards and peers for people, batches and receipts for peers, health for everybody."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.app_state import Running, running
from api.bodies import take, takes
from api.routes.commands import answer
from api.settings import POLL_MAX_S
from domain.errors import Refusal
from domain.ledger import Receipt
from domain.values import DataClass, OrgCode, Value
from sync.envelope import BATCH_BYTES, read_card
from sync.errors import LaneFault, Misaddressed

MEDIA_TYPE = "application/vnd.waystation.message"

router = APIRouter(tags=["通道 lanes"])


class BadCard(Refusal):
    """名片不正确。The card is not valid."""

    kind = "invalid"
    mend = "请对方重新导出名片文件。Ask them to export their card again."


class Enrolment(Value):
    """登记对方: the card as its node gives it, and what its owner may open of ours."""

    card: Annotated[str, Field(max_length=4_000)]
    fingerprint: Annotated[str, Field(max_length=60)]
    grants: tuple[DataClass, ...] = (DataClass.IDENTITY, DataClass.CONTACT)


class FingerprintDiffers(Refusal):
    """核对码不一致。The fingerprint is not the card's."""

    kind = "invalid"
    mend = "请电话核对 8 组字符；不一致不要登记。Compare the 8 groups by telephone."


@router.get("/card")
async def card(request: Request) -> Response:
    """名片: this node's, signed."""
    return Response(running(request).node.card(), media_type=MEDIA_TYPE)


@router.post("/peers", status_code=201, response_model=Receipt, openapi_extra=takes(Enrolment))
async def enrol(request: Request) -> Response:
    """登记对方名片; the fingerprint was compared by telephone."""
    asked = await take(request, Enrolment)
    try:
        shown = read_card(asked.card.encode())
    except LaneFault as fault:
        raise BadCard(because=str(fault)) from None
    if shown.fingerprint != asked.fingerprint:
        raise FingerprintDiffers(shown=shown.fingerprint)
    receipt = await asyncio.to_thread(running(request).node.enrol, shown, asked.grants)
    return answer(receipt)


@router.get("/peers")
async def peers(request: Request) -> list[dict[str, Any]]:
    """同步情况: every peer with where both directions of its lane stand."""
    node = running(request)
    return await asyncio.to_thread(_standings, node)


def _standings(node: Running) -> list[dict[str, Any]]:
    shown = []
    over_kafka = node.worker.kafka.status()["peers"] if node.worker.kafka else {}
    for code, peer in node.node.relay.peers().items():
        head, acknowledged = node.node.relay.standing(code)
        incoming = node.node.lanes.standing_in(code)
        puller = node.worker.pullers.get(code)
        shown.append(
            {
                "peer": code,
                "name": peer.name,
                "fingerprint": peer.fingerprint,
                "grants": peer.grants,
                "out_head": head.number,
                "out_acknowledged": acknowledged.number,
                "acknowledged_at": acknowledged.at,
                "in_number": incoming.number,
                "in_at": incoming.at,
                "lane": vars(puller.state) if puller else over_kafka.get(code),
            }
        )
    return shown


# For peers: every request is signed.


@router.get("/lanes/{peer}")
async def batch(
    request: Request,
    peer: OrgCode,
    of: OrgCode,
    after: Annotated[int, Query(ge=0)],
    wait: Annotated[float, Query(ge=0, le=POLL_MAX_S)] = 0.0,
) -> Response:
    """取件: the batch that follows a number; waits for news, then answers with a heartbeat."""
    node = running(request)
    _admit(node, request, peer, None)
    if of != node.node.settings.code:
        raise Misaddressed(receiver=of)
    relay, wire = node.node.relay, None

    def look() -> bytes | None:
        news = node.node.lanes.head_out(peer).number > after or node.worker.stopping
        return relay.batch(peer, after)[0] if news else None

    try:
        async with asyncio.timeout(wait):
            while wire is None:
                news = node.worker.lane_news.listen()
                wire = await asyncio.to_thread(look)
                if wire is None:
                    await news.wait()
    except TimeoutError:
        # Nothing new: a heartbeat.
        wire, _ = await asyncio.to_thread(relay.batch, peer, after)
    return Response(wire, media_type=MEDIA_TYPE)


@router.post("/lanes/receipts", status_code=204)
async def receipts(request: Request) -> Response:
    """收回单: what a peer has recorded of our lane."""
    node = running(request)
    wire = await request.body()
    _admit(node, request, None, wire)
    await asyncio.to_thread(node.node.relay.acknowledge, wire[: BATCH_BYTES * 2])
    return Response(status_code=204)


def _admit(node: Running, request: Request, peer: OrgCode | None, body: bytes | None) -> None:
    headers = dict(request.headers)
    caller = node.gate.admit(request.method, str(request.url), headers, body)
    if peer is not None and caller != peer:
        raise Misaddressed(receiver=peer, caller=caller)
