"""密钥: an organization's own keys, and what to do when a peer has lost its."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import StringConstraints

from api.access import readings
from api.access.reading import shows, shows_nobody
from api.app_state import running
from api.bodies import take, takes
from api.enrolment import Rekeying, compared
from api.routes.commands import answer
from api.service import Who
from api.who import who
from domain.decisions.home import us
from domain.ledger import NotFound, Receipt
from domain.organization import FormerKey, Organization
from domain.values import OrgCode, Short, Stated, Value
from sync import trust
from sync.errors import LaneFault

router = APIRouter(tags=["密钥 keys"])


def _officer(request: Request) -> Who:
    # No Idempotency-Key: a change of keys is made anew each time, and never the same command twice.
    return replace(who(request), key=None)


class Revocation(Value):
    """吊销: why, and who else says so."""

    reason: Stated
    second_person: Annotated[Short, StringConstraints(min_length=1)]


@router.get("/keys")
@shows_nobody
async def keys(request: Request) -> dict[str, Any]:
    """本组织的密钥: which is in use, which signs beside it, which peers have not confirmed it."""
    return await asyncio.to_thread(running(request).node.key_change.shown)


@router.post("/keys/rotate", status_code=201, response_model=Receipt)
@shows_nobody
async def rotate(request: Request) -> Response:
    """更换密钥: the old one signs beside the new one until every peer has confirmed."""
    change = running(request).node.key_change
    return answer(await asyncio.to_thread(change.rotate, _officer(request)))


@router.post(
    "/keys/revoke", status_code=201, response_model=Receipt, openapi_extra=takes(Revocation)
)
@shows_nobody
async def revoke(request: Request) -> Response:
    """吊销密钥并启用新的: what the old one signs after it is refused; two persons say so."""
    asked, change = await take(request, Revocation), running(request).node.key_change
    receipt = await asyncio.to_thread(
        change.revoke, _officer(request), asked.reason, asked.second_person
    )
    return answer(receipt)


@router.post("/peers/rekey", status_code=201, response_model=Receipt, openapi_extra=takes(Rekeying))
@shows_nobody
async def rekey(request: Request) -> Response:
    """重新登记名片: the old key is lost or stolen; the new card was compared by telephone."""
    asked, node = await take(request, Rekeying), running(request).node
    asking = _officer(request)
    receipt = await asyncio.to_thread(
        node.rekey, compared(asked), asked.reason, asked.second_person, person=asking.person
    )
    return answer(receipt)


@router.get("/peers/{peer}/keys")
@shows_nobody
async def peer_keys(request: Request, peer: OrgCode) -> dict[str, Any]:
    """对方的密钥: the one in use, and those before it with the lane number each counts up to."""
    node = running(request).node
    ours = us(node.ledger)
    known = ours.peer(peer)
    return {
        "peer": peer,
        "fingerprint": known.fingerprint,
        "verify_key": known.verify_key,
        "former": [_former(key) for key in ours.former.get(peer, ())],
    }


@router.get("/quarantine/{number}/evidence")
@shows(readings.EVIDENCE)
def evidence(request: Request, number: int) -> dict[str, Any]:
    """证据: the message as it came, and the key that signed it, be it valid still or not."""
    node = running(request).node
    found = node.lanes.evidence(number)
    if found is None:
        raise NotFound(kind="quarantined-entry", id=number)
    peer, wire, lane_number = found
    return {
        "peer": peer,
        "number": lane_number,
        "wire": base64.b64encode(wire).decode(),
        "signed_by": _signed_by(wire, us(node.ledger)),
    }


def _signed_by(wire: bytes, ours: Organization) -> dict[str, Any] | None:
    try:
        key = trust.signer(wire, ours)
    except LaneFault:
        return None
    if isinstance(key, FormerKey):
        return _former(key)
    return {"verify_key": key} if key else None


def _former(key: FormerKey) -> dict[str, Any]:
    return key.model_dump(mode="json")
