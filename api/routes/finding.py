"""检索: who has an id number or a telephone, asked in the body, since addresses are logged."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request

from api.access import readings
from api.access.reading import shows
from api.app_state import Running, running
from api.bodies import take, takes
from api.who import who
from domain.aggregate import Aggregate
from domain.decisions.members import on_file
from domain.inflow import Inflow
from domain.ledger import NotFound
from domain.member import Member
from domain.outflow import Outflow
from domain.values import IdNumber, Phone, Value
from projections import phones
from projections.projection import Row

router = APIRouter(tags=["检索 finding"])


class FindByNumber(Value):
    """按公民身份号码查找."""

    number: IdNumber


class FindByPhone(Value):
    """按电话查找; in any usual spelling."""

    phone: Phone


@router.post("/members/find", openapi_extra=takes(FindByNumber))
@shows(readings.FINDING)
async def find(request: Request) -> dict[str, Any]:
    """按公民身份号码查找: by a keyed pseudonym, so that nothing is searched in the clear."""
    node, asked = running(request), await take(request, FindByNumber)
    node.searches.begin(who(request).person)
    member = await asyncio.to_thread(on_file, node.node.ledger, asked.number)
    if member is None:
        raise NotFound(kind="member", id=None)
    return {"member": member.id, "outflow": member.away, "version": member.version}


@router.post("/phones/find", openapi_extra=takes(FindByPhone))
@shows(readings.PHONE)
async def find_phone(request: Request) -> dict[str, Any]:
    """按电话查找: whoever has or had it, here and in our care, the present ones first."""
    node, asked = running(request), await take(request, FindByPhone)
    node.searches.begin(who(request).person)
    return await asyncio.to_thread(_reached_by, node, asked.phone)


def _reached_by(node: Running, phone: Phone) -> dict[str, Any]:
    with node.node.database.connection() as conn:
        found = phones.find(conn, node.node.keyring, phone)
    items = [_told(node, row) for row in found[: phones.FOUND_MAX]]
    return {"items": items, "more": len(found) > phones.FOUND_MAX}


def _told(node: Running, row: Row) -> Row:
    """Under which ids the person is known, whose record has the telephone, and if it still does."""
    ledger, stream = node.node.ledger, row.pop("stream")
    known = {"person": row.pop("subject") or stream, "member": stream, "inflow": None}
    record = ledger.look_up(Aggregate, stream)
    if isinstance(record, Inflow):
        away = record.outflow and ledger.find(Outflow, record.outflow)
        known |= {"member": away and away.member, "inflow": stream}
        outflow = record.outflow
    else:
        assert isinstance(record, Member)
        outflow = record.away
    return {**known, "outflow": outflow, "recorded_on": row.pop("on_day"), **row}
