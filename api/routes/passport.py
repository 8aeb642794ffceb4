"""流动护照: an absence or member as a file that proves itself, for people and peers it concerns."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from api.access import readings
from api.access.reading import shows, shows_nobody
from api.app_state import running
from api.disclosure import Choice
from api.passport import Asking, issue, of_member
from api.routes.lanes import admit
from domain.values import OrgCode
from sync.errors import Misaddressed
from sync.verifier.passport import PARTS_MAX, About, Kind

PEERS_MAX = PARTS_MAX - 1
"""Peers whose parts are asked for at once."""

FIELDS_MAX = 50
"""Fields that are named to be shown, or to be hidden."""

MEDIA_TYPE = "application/jsonl; charset=utf-8"

Fields = Annotated[list[str] | None, Query(max_length=FIELDS_MAX)]
Peers = Annotated[list[OrgCode] | None, Query(alias="with", max_length=PEERS_MAX)]


async def _choice(
    opened: bool = False,  # noqa: FBT001, FBT002 - a query.
    show: Fields = None,
    hide: Fields = None,
) -> Choice:
    return Choice(opened, tuple(show or ()), tuple(hide or ()))


Chosen = Annotated[Choice, Depends(_choice)]

router = APIRouter(tags=["流动护照 passport"])


@router.get("/outflows/{outflow}/passport")
@shows(readings.PASSPORT)
async def passport(
    request: Request,
    outflow: UUID,
    choice: Chosen,
    to: OrgCode | None = None,
    with_: Peers = None,
) -> Response:
    """流动护照: all that is held here of an absence, proved; `to`: what that organization may see.

    `opened` adds the keys of the personal fields, `show` of these alone, `hide` of all but these;
    `with` a peer's own part, which it is asked for.
    """
    return await _made(request, About("absence", outflow), choice, to, with_)


@router.get("/members/{member}/passport")
@shows(readings.PASSPORT)
async def of_one(
    request: Request,
    member: UUID,
    choice: Chosen,
    to: OrgCode | None = None,
    with_: Peers = None,
) -> Response:
    """流动护照: as above, all that is held here of a member, whichever absence it belongs to."""
    about = await asyncio.to_thread(of_member, running(request).node, member)
    return await _made(request, about, choice, to, with_)


@router.get("/lanes/{peer}/passport")
@shows_nobody
async def part(request: Request, peer: OrgCode, of: OrgCode, about: Kind, id: UUID) -> Response:  # noqa: A002
    """流动护照: this node's part for a peer, of what it hears of anyway."""
    node = running(request)
    admit(node, request, peer, None)
    if of != node.node.settings.code:
        raise Misaddressed(receiver=of)
    asked = About(about, id)
    return _file(asked, await issue(node, asked, peer))


async def _made(
    request: Request, about: About, choice: Choice, to: OrgCode | None, peers: list[OrgCode] | None
) -> Response:
    node = running(request)
    ours = await issue(node, about, to, choice)
    asking = Asking(node.node, node.worker.signer)
    asked = dict.fromkeys(peers or ())
    theirs = [await asyncio.to_thread(asking.part_of, peer, about) for peer in asked]
    return _file(about, b"".join((ours, *theirs)))


def _file(about: About, wire: bytes) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{about.id}.passport"',
        "Cache-Control": "no-store",
    }
    return Response(wire, media_type=MEDIA_TYPE, headers=headers)
