"""办理: every command has a path; the command is the request body, less what the path says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from api.access.reading import shows_nobody
from api.bodies import parse, read
from api.problems import document, invalid
from api.service import Service, Who
from api.who import BadHeader, who
from domain import commands as c
from domain.commands import Command
from domain.errors import Invalid, Refusal
from domain.ledger import Receipt

COMMANDS: tuple[tuple[str, type[Command], str], ...] = (
    ("/policies", c.AdoptPolicy, "制度 policy"),
    ("/stations", c.EstablishStation, "联络服务站 stations"),
    ("/stations/{station}/close", c.CloseStation, "联络服务站 stations"),
    ("/units", c.OpenUnit, "党组织 units"),
    ("/units/{unit}/rename", c.RenameUnit, "党组织 units"),
    ("/units/{unit}/close", c.CloseUnit, "党组织 units"),
    ("/members", c.RegisterMember, "党员 members"),
    ("/members/{member}/phone", c.RecordPhone, "党员 members"),
    ("/members/{member}/address", c.RecordAddress, "党员 members"),
    ("/members/{member}/identity", c.CorrectIdentity, "党员 members"),
    ("/members/{member}/end", c.EndMembership, "党员 members"),
    ("/outflows/reported", c.ReportOutflow, "流出 outflows"),
    ("/outflows/{outflow}/correction", c.AskCorrection, "流出 outflows"),
    ("/outflows", c.RegisterOutflow, "流出 outflows"),
    ("/outflows/{outflow}/offers", c.OfferCare, "流出 outflows"),
    ("/outflows/{outflow}/offers/{offer}/recall", c.RecallOffer, "流出 outflows"),
    ("/outflows/{outflow}/relocation", c.RecordRelocation, "流出 outflows"),
    ("/outflows/{outflow}/return", c.RecordReturn, "流出 outflows"),
    ("/outflows/{outflow}/close", c.CloseOutflow, "流出 outflows"),
    ("/outflows/{outflow}/void", c.VoidOutflow, "流出 outflows"),
    ("/outflows/{outflow}/lost", c.ReportLost, "流出 outflows"),
    ("/outflows/{outflow}/restored", c.ReportRestored, "流出 outflows"),
    ("/outflows/{outflow}/share", c.ShareOutflow, "流出 outflows"),
    ("/claims/{inflow}/recognized", c.RecognizeClaim, "认领 claims"),
    ("/claims/{inflow}/refused", c.RefuseClaim, "认领 claims"),
    ("/inflows/{outflow}/reported", c.ReportInflow, "流入 inflows"),
    ("/inflows/found", c.FindMember, "流入 inflows"),
    ("/inflows/{outflow}/offers/{offer}/accepted", c.AcceptInflow, "流入 inflows"),
    ("/inflows/{outflow}/offers/{offer}/declined", c.DeclineInflow, "流入 inflows"),
    ("/inflows/{outflow}/linked", c.LinkParticipation, "流入 inflows"),
    ("/inflows/{inflow}/details", c.RecordInflowDetails, "流入 inflows"),
    ("/inflows/{inflow}/end", c.EndInflow, "流入 inflows"),
    ("/transfers", c.RequestTransfer, "转接 transfers"),
    ("/transfers/{transfer}/approvals", c.ApproveTransfer, "转接 transfers"),
    ("/transfers/{transfer}/rejection", c.RejectTransfer, "转接 transfers"),
    ("/transfers/{transfer}/withdrawal", c.WithdrawTransfer, "转接 transfers"),
    ("/transfers/{transfer}/dispatches", c.SendTransfer, "转接 transfers"),
    ("/transfers/{transfer}/letter/lost", c.ReportLetterLost, "转接 transfers"),
    ("/transfers/{transfer}/letter/reissued", c.ReissueLetter, "转接 transfers"),
    ("/transfers/{transfer}/slip", c.RecordSlip, "转接 transfers"),
    ("/admissions/{transfer}/dispatches/{dispatch}/admitted", c.AdmitTransfer, "转接 transfers"),
    ("/admissions/{transfer}/dispatches/{dispatch}/refused", c.RefuseTransfer, "转接 transfers"),
    ("/admissions/{transfer}/slip", c.ReturnSlip, "转接 transfers"),
    ("/erasures/{erasure}/restriction", c.RestrictProcessing, "删除 erasures"),
    ("/erasures/{erasure}/refusal", c.RefuseErasure, "删除 erasures"),
    ("/erasures/{erasure}/lifting", c.LiftRestriction, "删除 erasures"),
    ("/erasures/{erasure}/keeping", c.KeepInstead, "删除 erasures"),
    ("/pacts/{peer}", c.ConcludePact, "同步约定 pacts"),
    ("/pacts/{peer}/change", c.ChangePact, "同步约定 pacts"),
    ("/pacts/{peer}/end", c.EndPact, "同步约定 pacts"),
    ("/contacts", c.RecordContact, "联系 contacts"),
    ("/visits", c.RecordVisit, "联系 contacts"),
    ("/contacts/{contact}/correction", c.CorrectContact, "联系 contacts"),
    ("/contacts/{contact}/withdrawal", c.WithdrawContact, "联系 contacts"),
    ("/activities", c.HoldActivity, "活动 activities"),
    ("/activities/{activity}/cancel", c.CancelActivity, "活动 activities"),
    ("/activities/{activity}/attendance", c.MarkAttendance, "活动 activities"),
    ("/activities/{activity}/attendance/correction", c.CorrectAttendance, "活动 activities"),
)

BATCH_MAX = 500
"""Contacts in one request to /contacts/batch."""

_VERSION = re.compile(r'(?:W/)?"?([0-9]{1,9})"?')


def expected_version(request: Request) -> int | None:
    """The version in If-Match, if the caller gives one."""
    match = request.headers.get("if-match")
    if match is None:
        return None
    version = _VERSION.fullmatch(match.strip())
    if version is None:
        raise BadHeader(header="If-Match")
    return int(version.group(1))


def answer(receipt: Receipt, status: int = 201) -> Response:
    """A receipt, with the version as ETag."""
    body = receipt.__pydantic_serializer__.to_json(receipt)
    headers = {"ETag": f'"{receipt.version}"', "Content-Type": "application/json"}
    return Response(body, status, headers)


def _endpoint(kind: type[Command]) -> Callable[[Request], Awaitable[Response]]:
    validator = kind.__pydantic_validator__

    async def endpoint(request: Request) -> Response:
        body = await read(request)
        in_path = request.path_params
        try:
            if in_path:
                said = parse(body or b"{}")
                # What is no object is left to the model to refuse.
                asked = {**said, **in_path} if isinstance(said, dict) else said
                command = validator.validate_python(asked)
            else:
                command = validator.validate_json(body)
        except ValidationError as fault:
            raise invalid(fault, in_path) from None
        service: Service = request.app.state.node.service
        return answer(await service.submit(command, who(request), expected_version(request)))

    return shows_nobody(endpoint)


def _schema(kind: type[Command], path: str) -> dict[str, Any]:
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    for name in list(schema.get("properties", {})):
        if f"{{{name}}}" in path:
            del schema["properties"][name]
            schema["required"] = [r for r in schema.get("required", []) if r != name]
    return schema


def _parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    in_path = [
        {"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names
    ]
    in_header = [
        {"name": n, "in": "header", "required": False, "schema": {"type": "string"}}
        for n in ("Idempotency-Key", "If-Match", "Waystation-Person")
    ]
    return in_path + in_header


router = APIRouter()

for _path, _kind, _tag in COMMANDS:
    router.add_api_route(
        _path,
        _endpoint(_kind),
        methods=["POST"],
        status_code=201,
        tags=[_tag],
        name=_kind.__name__,
        summary=f"{(_kind.__doc__ or '').strip()} {_kind.__name__}",
        response_model=Receipt,
        openapi_extra={
            "parameters": _parameters(_path),
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _schema(_kind, _path)}},
            },
        },
    )


class TooMany(Invalid):
    """一次提交的条数过多。Too many in one request."""

    mend = "请分批提交。Send them in parts."


@router.post("/contacts/batch", tags=["联系 contacts"], status_code=207)
@shows_nobody
async def record_contacts(request: Request) -> list[dict[str, Any]]:
    """成批联系: a list of contacts, each recorded or refused alone, answered in order."""
    said = parse(await read(request))
    if not isinstance(said, list) or len(said) > BATCH_MAX:
        raise TooMany(maximum=BATCH_MAX)
    service: Service = request.app.state.node.service
    return await submit_each(service, c.RecordContact, said, who(request), request.url.path)


async def submit_each(
    service: Service, kind: type[Command], said: list[Any], asked: Who, path: str
) -> list[dict[str, Any]]:
    """Submit many commands at once, so that they share commits; a receipt or problem for each."""

    async def one(number: int, body: Any) -> dict[str, Any]:
        key = f"{asked.key}/{number}" if asked.key else None
        try:
            command = kind.model_validate(body)
            receipt = await service.submit(command, replace(asked, key=key))
            return receipt.model_dump(mode="json")
        except ValidationError as fault:
            return document(invalid(fault, within=("body", number)), path)
        except Refusal as refusal:
            return document(refusal, path)

    return await asyncio.gather(*(one(n, body) for n, body in enumerate(said)))
