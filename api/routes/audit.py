"""审计问题: who was responsible, what was tried, what came late, which figures changed, and why."""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request

from api.access import readings
from api.access.reading import shows, shows_nobody
from api.app_state import running
from api.audit.attempts import attempts
from api.audit.explain import Explainer, Name
from api.audit.figures import changed, figures
from api.audit.late import Narrowed, late
from api.paging import After, Limit, Part, caught_up, part_of
from api.routes.questions import KnownTo, Moment, fact_of
from domain.values import FactName, OrgCode, Short

router = APIRouter(tags=["审计 audit"])

From = Annotated[Moment, Query(alias="from")]
Place = Annotated[int, Query(alias="cursor", ge=0, le=2**62)]


@router.get("/members/{member}/responsible")
@shows(readings.CARED)
def responsible(
    request: Request,
    member: UUID,
    on: date,
    known_at: Moment | None = None,
    known_to: KnownTo = None,
) -> dict[str, Any]:
    """谁负责、谁可见: who held affiliation and care of a member on a day, who could see what."""
    asked = running(request).auditor.responsible_for
    return asked(member, on, known_at, known_to)


@router.get("/outflows/{outflow}/known/changes")
@shows(readings.CHANGES)
def changes(
    request: Request,
    outflow: UUID,
    on: date,
    from_: From,
    to: Moment,
    known_to: KnownTo = None,
) -> dict[str, Any]:
    """所知之变: what was known of a day at two moments, what differs, because of which facts."""
    asked = running(request).auditor.changes
    return asked(outflow, on, (from_, to), known_to)


@router.get("/members/{member}/attempts")
@shows(readings.ATTEMPTS)
def tried(
    request: Request,
    member: UUID,
    decision: FactName | None = None,
    cursor: Place = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """查找与证据: every attempt to reach a member and his last signs, before a decision."""
    reader = running(request).auditor.reader
    return attempts(reader, member, fact_of(decision), cursor, limit)


@router.get("/late")
@shows(readings.LATE)
def behind(
    request: Request,
    asked: Annotated[Part, part_of("figures")],
    origin: OrgCode | None = None,
    destination: Short | None = None,
    from_day: date | None = None,
    to_day: date | None = None,
) -> dict[str, Any]:
    """超期: absences registered or reported in later than policy allows, and who was asked when."""
    node = running(request)
    narrowed = Narrowed(origin=origin, destination=destination, from_day=from_day, to_day=to_day)
    return late(node.auditor.reader, narrowed, *asked)


@router.get("/figures")
@shows_nobody
async def counted(
    request: Request,
    on: date,
    known_at: Moment | None = None,
    org: OrgCode | None = None,
    after: After = None,
) -> dict[str, Any]:
    """统计: the figures of every organization on a day, as they were known at a moment."""
    node = running(request)
    await caught_up(node, "figures", after)
    return await asyncio.to_thread(figures, node.auditor.reader, on, known_at, org)


@router.get("/figures/changes")
@shows(readings.RECOUNTED)
def recounted(
    request: Request,
    on: date,
    from_: From,
    to: Moment,
    org: OrgCode | None = None,
    cursor: Place = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """统计之变: which figures of one day differ between two moments, and because of which facts."""
    moments: tuple[datetime, datetime] = (from_, to)
    reader = running(request).auditor.reader
    return changed(reader, on, moments, org, cursor, limit)


@router.get("/explain/{name}/{key}/{field}")
@shows(readings.EXPLAINED)
def explained(
    request: Request,
    name: Name,
    key: UUID,
    field: str,
    on: date | None = None,
    without: FactName | None = None,
    known_at: Moment | None = None,
    known_to: KnownTo = None,
) -> dict[str, Any]:
    """解释: the facts, people and rules behind a value in a list; what it would be without one."""
    explainer = Explainer(running(request).auditor.reader, name, key, on)
    left_out = fact_of(without)
    return explainer.explain(field, left_out, known_at, known_to)
