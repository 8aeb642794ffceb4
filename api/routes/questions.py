"""查询: the read models, paged and stable under appends, and the auditor's questions."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, Field

from api.app_state import Running, running
from api.bodies import take, takes
from domain.aggregate import CIVIL_ZONE
from domain.errors import Refusal
from domain.ledger import NotFound
from domain.member import Member
from domain.outflow import Outflow
from domain.policy import Policy, Terms
from domain.values import IdNumber, Short, Text, Value
from projections import activities, contacts, custody, history, roster
from projections.projection import Row

PAGE_MAX = 500
"""Rows of one page."""

WAIT_S = 2.0
"""How long ?after= waits for a read model to catch up with one's own write."""

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
After = Annotated[
    int | None, Query(alias="after", ge=0, description="回单的 position：读到自己的写入")
]
Cursor = Annotated[UUID | None, Query(alias="cursor")]


def civil(moment: datetime) -> datetime:
    """A moment that names no zone is one of the civil clock."""
    return moment if moment.tzinfo else moment.replace(tzinfo=CIVIL_ZONE)


Moment = Annotated[datetime, AfterValidator(civil)]


class NotYet(Refusal):
    """读模型尚未跟上。The read model has not caught up yet."""

    kind = "busy"
    mend = "请稍后再读。Read again in a moment."


router = APIRouter(tags=["查询 questions"])


async def caught_up(node: Running, model: str, position: int | None) -> None:
    """Wait until a read model has reached a position.

    Raises:
        NotYet: after WAIT_S seconds.
    """
    if position is None:
        return
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                news = node.worker.read_news.listen()
                if await asyncio.to_thread(node.node.projector.position, model) >= position:
                    return
                await news.wait()
    except TimeoutError:
        raise NotYet(model=model, after=position) from None


async def page(
    node: Running, query: str, values: dict[str, Any], key: str, cursor: Any
) -> dict[str, Any]:
    """A page: items, and the cursor of the next one, if there is one."""
    rows = await asyncio.to_thread(node.node.database.rows, query, {**values, "after": cursor})
    more = len(rows) == values["limit"]
    return {"items": rows, "next": rows[-1][key] if more else None}


@router.get("/outflows")
async def away(
    request: Request,
    origin: Short | None = None,
    host: Short | None = None,
    member: UUID | None = None,
    state: Short | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
    after: After = None,
) -> dict[str, Any]:
    """花名册 roster."""
    node = running(request)
    await caught_up(node, "roster", after)
    values = {"origin": origin, "host": host, "member": member, "state": state, "limit": limit}
    return await page(node, roster.AWAY, values, "outflow", cursor)


@router.get("/outflows/{outflow}")
async def one(request: Request, response: Response, outflow: UUID) -> dict[str, Any]:
    """一次流动: its state, stays and offers, and whose turn it is; the version as ETag."""
    node = running(request)
    absence = await asyncio.to_thread(node.node.ledger.look_up, Outflow, outflow)
    response.headers["ETag"] = f'"{absence.version}"'
    found = await board(request, outflow=outflow, limit=1)
    return {
        "outflow": outflow,
        "member": absence.member,
        "origin": absence.keeper,
        "carer": absence.carer,
        "state": absence.state,
        "left_on": absence.left_on,
        "destination": absence.destination,
        "offers": [offer._asdict() for offer in absence.offers.values()],
        "stays": [stay._asdict() for stay in absence.stays],
        "turn": found["items"][0]["turn"] if found["items"] else None,
        "version": absence.version,
    }


@router.get("/outflows/{outflow}/responsible")
async def responsible(
    request: Request, outflow: UUID, on: date, known_at: Moment | None = None
) -> dict[str, Any]:
    """谁负责: who held affiliation and care on a day, as known at a moment."""
    return await asyncio.to_thread(running(request).auditor.responsible, outflow, on, known_at)


@router.get("/outflows/{outflow}/known")
async def known(
    request: Request, outflow: UUID, on: date, known_at: Moment | None = None
) -> dict[str, Any]:
    """当时所知: what this node knew at a moment about a day."""
    return await asyncio.to_thread(running(request).auditor.known, outflow, on, known_at)


@router.get("/members/{member}/trail/{field}")
async def trail(
    request: Request, member: UUID, field: str, known_at: Moment | None = None
) -> list[dict[str, Any]]:
    """来历: every value a field had, with file, sheet and row."""
    return await asyncio.to_thread(running(request).auditor.trail, member, field, known_at)


class FindByNumber(Value):
    """按公民身份号码查找; in the body, because addresses are logged."""

    number: IdNumber


@router.post("/members/find", openapi_extra=takes(FindByNumber))
async def find(request: Request) -> dict[str, Any]:
    """按公民身份号码查找: by a keyed pseudonym, so that nothing is searched in the clear."""
    asked = await take(request, FindByNumber)
    ledger = running(request).node.ledger
    person = ledger.keyring.blind("member", asked.number)
    member = await asyncio.to_thread(ledger.look_up, Member, person)
    return {"member": member.id, "outflow": member.away, "version": member.version}


@router.get("/custody")
async def board(
    request: Request,
    outflow: UUID | None = None,
    open: bool = True,  # noqa: A002, FBT001, FBT002 - the query's own name.
    cursor: Cursor = None,
    limit: Limit = 100,
    after: After = None,
) -> dict[str, Any]:
    """交接看板: whose turn, since when, until when, and what unblocks it."""
    node = running(request)
    await caught_up(node, "custody", after)
    values = {"outflow": outflow, "open": open, "limit": limit}
    found = await page(node, custody.BOARD, values, "outflow", cursor)
    for row in found["items"]:
        terms = _terms(node, row["origin"])
        turn = custody.turn(row, terms.registration_days, terms.report_in_days)
        names = {code: peer.name for code, peer in node.node.relay.peers().items()}
        names[node.node.settings.code] = node.node.settings.name
        row["turn"] = {**turn._asdict(), "name": names.get(turn.whose)} if turn else None
    return found


def _terms(node: Running, origin: str) -> Terms:
    policy = node.node.ledger.find(Policy, Policy.id_of(origin))
    today = node.node.clock().astimezone(CIVIL_ZONE).date()
    return policy.on(today).terms if policy else Terms()


@router.get("/claims")
async def claims(request: Request, limit: Limit = 100) -> list[Row]:
    """待认领: members a host found and nobody has answered for."""
    return await asyncio.to_thread(
        running(request).node.database.rows, custody.CLAIMS, {"limit": limit}
    )


@router.get("/contacts/due")
async def due(
    request: Request,
    carer: Short | None = None,
    outflow: UUID | None = None,
    overdue: bool = False,  # noqa: FBT001, FBT002 - a query parameter.
    on: date | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
    after: After = None,
) -> dict[str, Any]:
    """联系情况: last contact, next due, overdue, by the origin's policy."""
    node = running(request)
    await caught_up(node, "contacts", after)
    values = {
        "carer": carer,
        "outflow": outflow,
        "overdue": overdue,
        "today": on or node.node.clock().astimezone(CIVIL_ZONE).date(),
        "default_days": Terms().contact_interval_days,
        "limit": limit,
    }
    return await page(node, contacts.DUE, values, "outflow", cursor)


@router.get("/activities")
async def held(
    request: Request, org: Short | None = None, cursor: Cursor = None, limit: Limit = 100
) -> dict[str, Any]:
    """活动."""
    values = {"org": org, "limit": limit}
    return await page(running(request), activities.HELD, values, "activity", cursor)


@router.get("/attendance")
async def marks(
    request: Request,
    activity: UUID | None = None,
    outflow: UUID | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """考勤."""
    values = {"activity": activity, "outflow": outflow, "limit": limit}
    return await page(running(request), activities.MARKS, values, "attendance", cursor)


class HistoryQuery(Value):
    """Which facts; every field narrows."""

    subject: UUID | None = None
    outflow: UUID | None = None
    person: Short | None = None
    org: Short | None = None
    topic: Short | None = None
    source: Text | None = None
    correlation: UUID | None = None
    from_day: date | None = None
    to_day: date | None = None
    known_at: Moment | None = None
    cursor: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = 100
    after: Annotated[int, Field(ge=0)] | None = None


@router.get("/history")
async def facts(request: Request, asked: Annotated[HistoryQuery, Query()]) -> dict[str, Any]:
    """历史: every fact, by member, actor, organization, type and period, on both time axes."""
    node = running(request)
    await caught_up(node, "history", asked.after)
    values = asked.model_dump(exclude={"cursor", "after"})
    for name in ("from_day", "to_day"):
        values[name] = values[name].isoformat() if values[name] else None
    found = await page(node, history.PAGE, values, "position", asked.cursor)
    for row in found["items"]:
        row["state"] = bytes(row["state"]).decode()
    return found


@router.get("/policies/{org}")
async def policy(request: Request, org: str) -> dict[str, Any]:
    """制度: every edition of an organization's policy, with effective dates."""
    known = await asyncio.to_thread(running(request).node.ledger.find, Policy, Policy.id_of(org))
    if known is None:
        raise NotFound(kind="policy", id=org)
    return {"org": org, "editions": [edition.model_dump() for edition in known.editions]}
