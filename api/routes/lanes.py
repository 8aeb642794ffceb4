"""通道与节点: cards and peers for people, batches and receipts for peers, health for everybody."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api import pact_board
from api.access.reading import shows_nobody
from api.agreement.kept import proven_at
from api.app_state import Running, running
from api.bodies import take, takes
from api.enrolment import Enrolment, compared
from api.routes.commands import answer
from api.settings import POLL_MAX_S
from api.versions import reading
from domain.ledger import NotFound, Receipt
from domain.values import OrgCode
from sync import lag
from sync.card import read_card
from sync.cloudevents import MEDIA_TYPE
from sync.envelope import BATCH_BYTES, NUMBER_MAX
from sync.errors import Misaddressed
from sync.lane_http import LAST
from sync.standing import Standing

REFUSED_PAGE_MAX = 500

AWAIT_S = 0.2
"""How often a request looks again while we wait, after a start, for that peer's own word."""

SILENT_S = 120.0
"""Without a word of a peer, be it that it has nothing to say, its silence is called so."""


router = APIRouter(tags=["通道 lanes"])


@router.get("/card")
@shows_nobody
async def card(request: Request) -> Response:
    """名片: this node's, signed; its fingerprint is in a header, for whoever has no suite."""
    wire = running(request).node.card()
    said = {"Waystation-Fingerprint": read_card(wire).fingerprint}
    return Response(wire, media_type=MEDIA_TYPE, headers=said)


@router.post("/peers", status_code=201, response_model=Receipt, openapi_extra=takes(Enrolment))
@shows_nobody
async def enrol(request: Request) -> Response:
    """登记对方名片; the fingerprint was compared by telephone."""
    asked = await take(request, Enrolment)
    enrol = partial(running(request).node.enrol, **asked.agreed())
    receipt = await asyncio.to_thread(enrol, compared(asked), asked.grants, asked.lane)
    return answer(receipt)


@router.get("/peers")
@shows_nobody
async def peers(request: Request) -> list[dict[str, Any]]:
    """同步情况: every peer with where both directions of its lane stand."""
    node = running(request)
    return await asyncio.to_thread(_standings, node)


def _standings(node: Running) -> list[dict[str, Any]]:
    known, lanes = node.node.relay.peers(), node.node.lanes
    out_lag, in_lag = lag.outgoing(lanes, known), lag.incoming(lanes, known, node.node.clock())
    pacts = {each["peer"]: each for each in pact_board.board(node.node)}
    over_kafka = node.worker.kafka.status()["peers"] if node.worker.kafka else {}
    return [
        {
            "peer": code,
            "name": peer.name,
            "fingerprint": peer.fingerprint,
            "grants": pacts[code]["ours"]["classes"],
            "pact": pacts[code]["ours"],
            "their_pact": pacts[code]["theirs"],
            **_standing(node, code),
            "out_lag": out_lag[code]._asdict(),
            "in_lag": in_lag[code]._asdict(),
            "channel": peer.lane or ("kafka" if node.worker.kafka else "http"),
            "proven_at": proven_at(node.node, code),
            "reading": reading(node.node, code),
            "lane": vars(node.worker.pullers[code].state)
            if code in node.worker.pullers
            else over_kafka.get(code),
            "bundles": node.node.bundles.status(code),
        }
        for code, peer in known.items()
    ]


def _standing(node: Running, code: OrgCode) -> dict[str, Any]:
    lanes = node.node.lanes
    head, acknowledged = node.node.relay.standing(code)
    incoming, told, step = lanes.standing_in(code), lanes.told(code), lanes.in_step(code)
    return {
        "out_head": head.number,
        "out_acknowledged": acknowledged.number,
        "acknowledged_at": acknowledged.at,
        "out_refused": told.refused,
        "out_stopped": max(told.stopped or 0, told.known),
        "in_number": incoming.number,
        "in_head": incoming.head,
        "in_at": incoming.at,
        "in_stopped": lanes.stopped_streams(code),
        "hears": heard(incoming, node.node.clock()),
        "in_step_at": step.at if step else None,
    }


def heard(incoming: Standing, now: datetime) -> str:
    """What the last word of a peer means: that nothing happened, or that nothing arrived."""
    if incoming.at is None:
        return "never 从未收到"
    if now - incoming.at > timedelta(seconds=SILENT_S):
        return "silent 无音讯"
    if incoming.number < incoming.head:
        return "behind 尚有未收"
    return "nothing to say 无新内容"


@router.post("/peers/{peer}/retry", status_code=202)
@shows_nobody
async def retry(request: Request, peer: OrgCode) -> dict[str, Any]:
    """立即重试: both directions of a peer's lane at once, the failures counted anew."""
    node = running(request)
    _must_know(node, peer)
    await asyncio.to_thread(node.worker.retry, peer)
    return {"peer": peer, "retrying": True}


@router.get("/peers/{peer}/refused")
@shows_nobody
async def refused(
    request: Request,
    peer: OrgCode,
    resolved: bool = False,  # noqa: FBT001, FBT002 - a query parameter.
    cursor: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=REFUSED_PAGE_MAX)] = 100,
) -> dict[str, Any]:
    """对方未收: our facts that a peer has set aside, why, what to do, and how many wait behind."""
    node = running(request)
    _must_know(node, peer)
    lanes = node.node.lanes
    told = await asyncio.to_thread(lanes.told, peer)
    items = await asyncio.to_thread(lanes.refused, peer, cursor, limit, also_resolved=resolved)
    more = len(items) == limit
    return {
        "peer": peer,
        "stopped": max(told.stopped or 0, told.known),
        "whole_batch": told.refused,
        "items": items,
        "next": items[-1]["number"] if more else None,
    }


def _must_know(node: Running, peer: OrgCode) -> None:
    if peer not in node.node.relay.peers():
        raise NotFound(kind="peer", id=peer)


# For peers: every request is signed.


@router.get("/lanes/{peer}")
@shows_nobody
async def batch(
    request: Request,
    peer: OrgCode,
    of: OrgCode,
    after: Annotated[int, Query(ge=0)],
    wait: Annotated[float, Query(ge=0, le=POLL_MAX_S)] = 0.0,
) -> Response:
    """取件: the batch that follows a number; waits for news, then answers with a heartbeat."""
    node = running(request)
    _admit_to_us(node, request, peer, of)
    relay = node.node.relay
    found = await _news(node, peer, after, wait) if wait else None
    if found is None:  # A heartbeat, unless there is something after all.
        found = await asyncio.to_thread(relay.batch, peer, after)
    wire, last = found
    if last > after:
        relay.sent(peer, last, "HTTP")
    return Response(wire, media_type=MEDIA_TYPE, headers={LAST: str(last)})


async def _news(node: Running, peer: OrgCode, after: int, wait: float) -> tuple[bytes, int] | None:
    """What follows a number, as soon as there is something; None after so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait):
            while not node.worker.stopping:
                news = node.worker.lane_news.listen()
                if found := await asyncio.to_thread(node.node.relay.news, peer, after):
                    return found
                if node.node.fence.awaits(peer):
                    await asyncio.sleep(AWAIT_S)  # Its word is no news, and ends the waiting.
                else:
                    await news.wait()
    return None


@router.get("/lanes/{peer}/where")
@shows_nobody
async def whereabouts(
    request: Request,
    peer: OrgCode,
    of: OrgCode,
    stream: UUID,
    version: Annotated[int, Query(ge=1, le=2**31 - 1)],
    number: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
) -> Response:
    """在哪里: what this node knows of a fact that the peer sent, or holds; signed."""
    node = running(request)
    _admit_to_us(node, request, peer, of)
    wire = await asyncio.to_thread(node.tracker.half, peer, stream, version, number)
    return Response(wire, media_type=MEDIA_TYPE)


@router.get("/lanes/{peer}/returned")
@shows_nobody
async def returned(
    request: Request,
    peer: OrgCode,
    of: OrgCode,
    after: Annotated[int, Query(ge=0, le=NUMBER_MAX)],
    cursor: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
    size: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
) -> Response:
    """归还: what the peer itself sent us, for one that has restored an old backup; signed."""
    node = running(request)
    _admit_to_us(node, request, peer, of)
    wire = await asyncio.to_thread(node.node.restoring.page, peer, after, cursor, size)
    return Response(wire, media_type=MEDIA_TYPE)


@router.post("/lanes/receipts", status_code=204)
@shows_nobody
async def receipts(request: Request) -> Response:
    """收回单: what a peer has recorded of our lane, or wants once more."""
    node = running(request)
    wire = await request.body()
    admit(node, request, None, wire)
    await asyncio.to_thread(node.node.relay.answered, wire[: BATCH_BYTES * 2])
    return Response(status_code=204)


def _admit_to_us(node: Running, request: Request, peer: OrgCode, of: OrgCode) -> None:
    """As admit, for what is asked `of` us: a request to another node is no good here."""
    admit(node, request, peer, None)
    if of != node.node.settings.code:
        raise Misaddressed(receiver=of)


def admit(node: Running, request: Request, peer: OrgCode | None, body: bytes | None) -> OrgCode:
    """The peer that signed a request.

    Raises:
        NotEnrolled, Forged, Misaddressed: it is not the one whose lane is asked for.
    """
    headers = dict(request.headers)
    caller = node.gate.admit(request.method, str(request.url), headers, body)
    if peer is not None and caller != peer:
        raise Misaddressed(receiver=peer, caller=caller)
    return caller
