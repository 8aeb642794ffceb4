"""纸面: letters as they are printed, and their codes as they are scanned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from api.access import readings
from api.access.reading import shows, shows_nobody
from api.app_state import running
from api.bodies import take, takes
from api.enrolment import CARD_MAX
from api.paper.page import HEADERS, page
from api.paper.printing import letter_of
from api.paper.scanning import admission_by, judged, registration_by, slip_by, source_of, told
from api.paper.trusting import checked
from api.routes.commands import answer
from api.service import Who
from api.who import who
from domain.aggregate import CIVIL_ZONE
from domain.commands import Command, RegisterMember
from domain.ledger import Receipt
from domain.values import Day, IdNumber, Phone, Stated, Text, Value
from sync.paper import SCANNED_MAX, read

router = APIRouter(tags=["纸面 paper"])

# Text that is too long is told apart from what is no text of ours by the reader.
Scanned = Annotated[str, Field(min_length=1, max_length=4 * SCANNED_MAX)]
Card = Annotated[str, Field(max_length=CARD_MAX)] | None


class Scan(Value):
    """扫描: the text of a code; the issuer's card, where it is not enrolled."""

    text: Scanned
    card: Card = None


class LetterAdmitted(Value):
    """凭介绍信接收: the text of the letter's code, and the number from the person's id card."""

    text: Scanned
    number: IdNumber
    branch: Stated
    admitted_on: Day


class LetterRegistered(Value):
    """凭介绍信建档: the text of the letter's code, and the member's file from its face."""

    text: Scanned
    card: Card = None
    member: RegisterMember


class SlipBack(Value):
    """登记回执: the text of the slip's code, and what is written on the slip."""

    text: Scanned
    admitted_on: Day
    returned_on: Day
    branch: Text | None = None
    handler: Stated
    phone: Phone


@router.get("/transfers/{transfer}/letter", response_class=Response)
@shows(readings.LETTER)
def letter(request: Request, transfer: UUID) -> Response:
    """打印介绍信: stub, letter and slip on one page, complete in itself; it holds personal data."""
    node = running(request).node
    today = node.clock().astimezone(CIVIL_ZONE).date()
    found = letter_of(node.ledger, node.keys, transfer, today)
    return Response(page(found), media_type="text/html; charset=utf-8", headers=HEADERS)


@router.post("/paper", openapi_extra=takes(Scan))
@shows(readings.SCAN)
async def scan(request: Request) -> dict[str, Any]:
    """扫描: who issued it, what it says, how it stands here, what to do; nothing is recorded."""
    asked, node = await take(request, Scan), running(request).node

    def look() -> dict[str, Any]:
        seen = checked(read(asked.text), node.ledger, asked.card)
        return told(seen, judged(seen, node.ledger, node.clock()), node.ledger)

    return await asyncio.to_thread(look)


@router.post(
    "/paper/admitted", status_code=201, response_model=Receipt, openapi_extra=takes(LetterAdmitted)
)
@shows_nobody
async def admitted(request: Request) -> Response:
    """凭介绍信接收: the same facts as online, also before those of the transfer have arrived."""
    return await _recorded(request, await take(request, LetterAdmitted), admission_by)


@router.post(
    "/paper/registered",
    status_code=201,
    response_model=Receipt,
    openapi_extra=takes(LetterRegistered),
)
@shows_nobody
async def registered(request: Request) -> Response:
    """凭介绍信建档: of whom a letter that names this organization without its code has brought."""
    return await _recorded(request, await take(request, LetterRegistered), registration_by)


@router.post("/paper/slip", status_code=201, response_model=Receipt, openapi_extra=takes(SlipBack))
@shows_nobody
async def slip(request: Request) -> Response:
    """登记纸质回执: completes the transfer that the slip's code names."""
    return await _recorded(request, await take(request, SlipBack), slip_by)


async def _recorded(
    request: Request,
    asked: LetterAdmitted | LetterRegistered | SlipBack,
    command_by: Callable[..., Command],
) -> Response:
    node = running(request).node

    def decided() -> tuple[Command, Who, Receipt | None]:
        seen = checked(read(asked.text), node.ledger, getattr(asked, "card", None))
        command = command_by(seen, **asked.model_dump(exclude={"text", "card"}))
        asking = replace(who(request), channel="paper", source=source_of(seen.paper))
        # The same request again has its receipt: that the paper is used up is its own doing.
        known = node.service.replayed(command, asking)
        if known is None:
            judged(seen, node.ledger, node.clock())
        return command, asking, known

    command, asking, known = await asyncio.to_thread(decided)
    return answer(known or await node.service.submit(command, asking))
