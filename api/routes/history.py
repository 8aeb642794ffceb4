"""历史: every fact by its marks, with its proof if that is asked for; as evidence, as a report."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.access import readings
from api.access.reading import shows
from api.app_state import Running, running
from api.evidence.issue import Asking, issue
from api.evidence.proving import Marks, NotProvable, Span, page, signed_for
from api.evidence.report import printed
from api.paging import PAGE_MAX, caught_up
from api.paper.page import HEADERS
from api.routes.passport import MEDIA_TYPE
from api.routes.questions import Moment, fact_of
from api.stale import mark
from api.who import who
from domain.values import DataClass, OrgCode
from projections import search
from projections.search import FAR
from sync.verifier.evidence import verify

router = APIRouter(tags=["历史 history"])

_MARKED = {*Marks.model_fields, "outflow"} - {"causation"}

Position = Annotated[int, Field(ge=0, le=FAR)]


class HistoryQuery(Marks):
    """Which facts; every field narrows."""

    outflow: UUID | None = None
    known_at: Moment | None = None
    known_to: OrgCode | None = None
    cursor: Position = 0
    upto: Position | None = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = 100
    after: Annotated[int, Field(ge=0)] | None = None
    proof: bool = False
    size: Annotated[int, Field(ge=1, le=FAR)] | None = None


@router.get("/history")
@shows(readings.HISTORY)
async def facts(request: Request, asked: Annotated[HistoryQuery, Query()]) -> dict[str, Any]:
    """历史: every fact, by any of its marks, on every axis of time; a page may hold fewer.

    With `proof=1` the page proves that it leaves nothing out and adds nothing: under the newest
    checkpoint, or that of `size`, so that several pages stand on one.
    """
    node = running(request)
    if asked.proof:
        return await _proved(node, asked)
    await caught_up(node, "history", asked.after)
    return await asyncio.to_thread(_facts, node, asked)


def _facts(node: Running, asked: HistoryQuery) -> dict[str, Any]:
    marks = asked.model_dump(include=_MARKED)
    if cause := fact_of(asked.causation):
        marks |= {"causation": cause.stream, "version": cause.version}
    marks |= _until(node, asked)
    with node.node.database.connection() as conn:
        rows, go_on = search.find(conn, marks, asked.cursor, asked.limit)
    for row in rows:
        row["state"] = bytes(row["state"]).decode()
    return {"items": rows, "next": go_on, "stale": mark(node.node, "history", "position", rows)}


def _until(node: Running, asked: HistoryQuery) -> dict[str, Any]:
    known = node.auditor.reader.known(asked.known_at, asked.known_to).marks()
    if asked.upto is not None:
        known["until"] = min(asked.upto, known.get("until", FAR))
    return known


async def _proved(node: Running, asked: HistoryQuery) -> dict[str, Any]:
    if asked.outflow or asked.known_to:
        raise NotProvable
    await caught_up(node, "history", node.node.ledger.head)
    until: int = (await asyncio.to_thread(_until, node, asked))["until"]
    span = Span(asked.cursor, None if until == FAR else until, asked.size)
    signed = await asyncio.to_thread(signed_for, node.node, span)
    await caught_up(node, "history", signed.size)
    return await asyncio.to_thread(page, node.node, asked.question(), span, signed, asked.limit)


class EvidenceQuery(Marks):
    """Which facts, within which range: of positions, or of moments at which they came in here."""

    cursor: Position = 0
    upto: Position | None = None
    entered_from: Moment | None = None
    entered_to: Moment | None = None
    size: Annotated[int, Field(ge=1, le=FAR)] | None = None
    opened: list[DataClass] = Field(default_factory=list)


@router.get("/history/evidence")
@shows(readings.EVIDENCE_FILE)
async def evidence(request: Request, asked: Annotated[EvidenceQuery, Query()]) -> Response:
    """审计证据: rows with the proof that none was left out, keys, definitions, as one signed file.

    `opened` names the classes whose fields the file may open; everything else stays sealed.
    """
    node, person = running(request), who(request)
    span = await asyncio.to_thread(_span, node, asked)
    purpose = request.headers.get("waystation-purpose", readings.EVIDENCE_FILE.purpose) or ""
    asking = Asking(person.person, person.role, purpose)
    wire = await issue(node, asked, span, asking, asked.opened)
    headers = {
        "Content-Disposition": f'attachment; filename="{node.node.settings.code}.evidence"',
        "Cache-Control": "no-store",
    }
    return Response(wire, media_type=MEDIA_TYPE, headers=headers)


def _span(node: Running, asked: EvidenceQuery) -> Span:
    """Moments as positions: what had come in before, and what had come in by then."""
    after, upto = asked.cursor, asked.upto
    with node.node.database.connection() as conn:
        if asked.entered_from is not None:
            after = max(after, search.position_at(conn, asked.entered_from))
        if asked.entered_to is not None:
            until = search.position_at(conn, asked.entered_to)
            upto = until if upto is None else min(upto, until)
    return Span(after, upto, asked.size)


@router.post("/history/report", response_class=Response)
@shows(readings.REPORT)
async def report(request: Request) -> Response:
    """打印证据: an evidence file of this node as a page to be printed; it is checked first."""
    node, raw = running(request).node, await request.body()
    known = {code: [peer.verify_key] for code, peer in node.relay.peers().items()}
    known[node.settings.code] = [pair.verify_key for pair in node.keys.signers]
    checked = await asyncio.to_thread(verify, raw, known)
    request.state.printed = checked
    made = await asyncio.to_thread(printed, checked, node.settings.code, node.settings.name)
    return Response(made, media_type="text/html; charset=utf-8", headers=HEADERS)
