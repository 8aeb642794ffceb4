"""转接查询: transfers with whose turn each is, and who holds which member's affiliation."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.access import readings
from api.access.reading import shows
from api.app_state import Running, running
from api.paging import Part, page, part_of
from api.routes.questions import told
from api.watch import terms_of
from domain.transfer import Transfer
from domain.values import Short
from projections import affiliations, transfers

router = APIRouter(tags=["查询 questions"])


@router.get("/transfers")
@shows(readings.TRANSFERS)
def board(
    request: Request,
    asked: Annotated[Part, part_of("transfers")],
    transfer: UUID | None = None,
    member: UUID | None = None,
    open: bool = True,  # noqa: A002, FBT001, FBT002 - the query's own name.
) -> dict[str, Any]:
    """转接看板: whose turn, since when, until when, what unblocks it, and how its clock stands."""
    node = running(request)
    return _board(node, asked, transfer=transfer, member=member, open=open)


def _board(node: Running, part: Part, **narrowed: Any) -> dict[str, Any]:
    narrowed["org"] = node.node.settings.code
    found = page(node, "transfers", transfers.BOARD, "transfer", part, **narrowed)
    for row in found["items"]:
        terms = terms_of(node.node, row["origin"]).transfers
        row["turn"] = told(node, transfers.turn(row, terms))
    return found


@router.get("/transfers/{transfer}")
@shows(readings.TRANSFER)
def one(request: Request, response: Response, transfer: UUID) -> dict[str, Any]:
    """一次转接: its state, levels and letters, and whose turn it is; the version as ETag."""
    node = running(request)
    known = node.node.ledger.look_up(Transfer, transfer)
    response.headers["ETag"] = f'"{known.version}"'
    found = _board(node, Part(limit=1), transfer=transfer, member=None, open=False)
    return {
        "transfer": transfer,
        "member": known.member,
        "origin": known.keeper,
        "to": known.to,
        "to_name": known.to_name,
        "state": known.state,
        "levels": known.levels,
        "approved_by": known.approvers,
        "dispatches": [dispatch._asdict() for dispatch in known.dispatches],
        "voided_admissions": known.voided_admissions,
        "turn": found["items"][0]["turn"] if found["items"] else None,
        "version": known.version,
    }


@router.get("/members")
@shows(readings.MEMBERS)
def held(
    request: Request,
    asked: Annotated[Part, part_of("affiliations")],
    keeper: Short | None = None,
    person: UUID | None = None,
    held: bool = True,  # noqa: FBT001, FBT002 - a query parameter.
) -> dict[str, Any]:
    """组织关系: each member at the one organization that holds, and counts, him."""
    node, narrowed = running(request), {"keeper": keeper, "person": person, "held": held}
    return page(node, "affiliations", affiliations.HELD, "member", asked, **narrowed)
