"""查询: the read models, paged and stable under appends, and the auditor's questions."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator

from api import watch
from api.access import readings
from api.access.reading import shows, shows_nobody
from api.app_state import Running, running
from api.paging import Limit, Part, page, part_of
from api.watch import terms_of
from domain.aggregate import CIVIL_ZONE
from domain.ledger import NotFound
from domain.outflow import Outflow
from domain.policy import Policy, Terms
from domain.values import FactId, OrgCode, Short
from projections import activities, contacts, custody, roster
from projections.turn import Turn


def civil(moment: datetime) -> datetime:
    """A moment that names no zone is one of the civil clock."""
    return moment if moment.tzinfo else moment.replace(tzinfo=CIVIL_ZONE)


Moment = Annotated[datetime, AfterValidator(civil)]
KnownTo = Annotated[
    OrgCode | None, Query(description="对方何时知悉 as far as that organization had received it")
]


HeldAsked = Annotated[Part, part_of("activities")]

router = APIRouter(tags=["查询 questions"])


@router.get("/outflows")
@shows(readings.ROSTER)
def away(
    request: Request,
    asked: Annotated[Part, part_of("roster")],
    origin: Short | None = None,
    host: Short | None = None,
    member: UUID | None = None,
    state: Short | None = None,
) -> dict[str, Any]:
    """花名册 roster."""
    narrowed = {"origin": origin, "host": host, "member": member, "state": state}
    return page(running(request), "roster", roster.AWAY, "outflow", asked, **narrowed)


@router.get("/outflows/{outflow}")
@shows(readings.ABSENCE)
def one(request: Request, response: Response, outflow: UUID) -> dict[str, Any]:
    """一次流动: its state, stays and offers, and whose turn it is; the version as ETag."""
    node = running(request)
    absence = node.node.ledger.look_up(Outflow, outflow)
    response.headers["ETag"] = f'"{absence.version}"'
    found = _board(node, Part(limit=1), outflow=outflow, open=True)
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
        "stale": found["items"][0]["stale"] if found["items"] else [],
        "version": absence.version,
    }


@router.get("/outflows/{outflow}/responsible")
@shows(readings.RESPONSIBLE)
def responsible(
    request: Request,
    outflow: UUID,
    on: date,
    known_at: Moment | None = None,
    known_to: KnownTo = None,
) -> dict[str, Any]:
    """谁负责: who held affiliation and care on a day, as known at a moment, and who saw what."""
    asked = running(request).auditor.responsible
    return asked(outflow, on, known_at, known_to)


@router.get("/outflows/{outflow}/known")
@shows(readings.KNOWN)
def known(
    request: Request,
    outflow: UUID,
    on: date,
    known_at: Moment | None = None,
    known_to: KnownTo = None,
) -> dict[str, Any]:
    """当时所知: what this node, or a peer of it, knew at a moment about a day."""
    asked = running(request).auditor.known
    return asked(outflow, on, known_at, known_to)


@router.get("/members/{member}/trail/{field}")
@shows(readings.TRAIL)
def trail(
    request: Request,
    member: UUID,
    field: str,
    known_at: Moment | None = None,
    known_to: KnownTo = None,
) -> list[dict[str, Any]]:
    """来历: every value a field had, with file, sheet and row."""
    asked = running(request).auditor.trail
    return asked(member, field, known_at, known_to)


def fact_of(name: str | None) -> FactId | None:
    """The fact that is named STREAM/VERSION."""
    if name is None:
        return None
    stream, version = name.split("/")
    return FactId.model_validate({"stream": stream, "version": version})


@router.get("/custody")
@shows(readings.CUSTODY)
def board(
    request: Request,
    asked: Annotated[Part, part_of("custody")],
    outflow: UUID | None = None,
    open: bool = True,  # noqa: A002, FBT001, FBT002 - the query's own name.
) -> dict[str, Any]:
    """交接看板: whose turn, since when, until when, and what unblocks it."""
    return _board(running(request), asked, outflow=outflow, open=open)


def _board(node: Running, part: Part, **narrowed: Any) -> dict[str, Any]:
    found = page(node, "custody", custody.BOARD, "outflow", part, **narrowed)
    for row in found["items"]:
        row["turn"] = told(node, custody.turn(row, terms_of(node.node, row["origin"])))
    return found


def told(node: Running, turn: Turn | None) -> dict[str, Any] | None:
    """Whose turn it is, also by name, and how its clock stands."""
    if turn is None:
        return None
    known = node.node
    names = {code: peer.name for code, peer in known.relay.peers().items()}
    names[known.settings.code] = known.settings.name
    more = {"name": names.get(turn.whose), "urgency": turn.urgency(known.clock())}
    return {**turn._asdict(), **more}


@router.get("/claims")
@shows(readings.CLAIMS)
def claims(request: Request, limit: Limit = 100) -> dict[str, Any]:
    """待认领: members a host found and nobody has answered for; whose turn, and until when."""
    node = running(request)
    found = page(node, "custody", custody.CLAIMS, "inflow", Part(limit=limit))
    for row in found["items"]:
        row["turn"] = told(node, custody.claim_turn(row, terms_of(node.node, row["origin"])))
    return found


@router.get("/alarms")
@shows(readings.ALARMS)
def alarms(request: Request, outflow: UUID | None = None) -> dict[str, Any]:
    """不断线: absences in nobody's care but on paper, or in two, with the facts that prove it."""
    return watch.shown(running(request).node, outflow)


@router.get("/contacts/due")
@shows(readings.DUE)
def due(
    request: Request,
    asked: Annotated[Part, part_of("contacts")],
    carer: Short | None = None,
    outflow: UUID | None = None,
    overdue: bool = False,  # noqa: FBT001, FBT002 - a query parameter.
    on: date | None = None,
) -> dict[str, Any]:
    """联系情况: last contact, next due, overdue, by the origin's policy."""
    node = running(request)
    narrowed = {
        "carer": carer,
        "outflow": outflow,
        "overdue": overdue,
        "today": on or node.node.clock().astimezone(CIVIL_ZONE).date(),
        "default_days": Terms().contact_interval_days,
    }
    return page(node, "contacts", contacts.DUE, "outflow", asked, **narrowed)


@router.get("/activities")
@shows_nobody
def held(request: Request, asked: HeldAsked, org: Short | None = None) -> dict[str, Any]:
    """活动."""
    node = running(request)
    return page(node, "activities", activities.HELD, "activity", asked, org=org)


@router.get("/attendance")
@shows(readings.MARKS)
def marks(
    request: Request,
    asked: HeldAsked,
    activity: UUID | None = None,
    outflow: UUID | None = None,
) -> dict[str, Any]:
    """考勤."""
    node, narrowed = running(request), {"activity": activity, "outflow": outflow}
    return page(node, "activities", activities.MARKS, "attendance", asked, **narrowed)


@router.get("/policies/{org}")
@shows_nobody
def policy(request: Request, org: str) -> dict[str, Any]:
    """制度: every edition of an organization's policy, with effective dates."""
    known = running(request).node.ledger.find(Policy, Policy.id_of(org))
    if known is None:
        raise NotFound(kind="policy", id=org)
    return {"org": org, "editions": [edition.model_dump() for edition in known.editions]}
