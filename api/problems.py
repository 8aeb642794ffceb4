"""问题: every refusal as an RFC 9457 problem, whose type is the refusal's class."""

from __future__ import annotations

import json
import logging
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from domain.errors import Invalid, Kind, Refusal
from sync.errors import LaneFault

STATUS: dict[Kind, int] = {
    "missing": 404,
    "forbidden": 403,
    "invalid": 422,
    "conflict": 409,
    "stale": 412,
    "busy": 503,
}
MEDIA_TYPE = "application/problem+json"

_log = logging.getLogger(__name__)


class InvalidRequest(Invalid):
    """请求内容不符合要求。The request does not meet its rules."""

    mend = "请按 errors 逐项改正。Mend each of the errors."


class TooLarge(Invalid):
    """请求内容过大。The request is larger than the limit."""

    mend = "请分批提交。Send it in parts."


def problem(status: int, code: str, title: str, instance: str, **members: Any) -> Response:
    """A problem document."""
    body = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "instance": instance,
        **members,
    }
    text = json.dumps(body, ensure_ascii=False, default=str)
    headers = {"Retry-After": "1"} if status == STATUS["busy"] else None
    return Response(text, status, headers=headers, media_type=MEDIA_TYPE)


def of_refusal(refusal: Refusal, instance: str) -> Response:
    """The problem of a refusal."""
    status = STATUS[refusal.kind]
    return problem(
        status, refusal.code(), refusal.sentence(), instance, mend=refusal.mend, **refusal.facts
    )


def of_validation(fault: ValidationError | RequestValidationError, instance: str) -> Response:
    """The problem of a body that does not fit its model; values are not repeated."""
    errors = [
        {
            "pointer": "/" + "/".join(str(part) for part in error["loc"]),
            "rule": error["type"],
            "detail": error["msg"],
        }
        for error in fault.errors()
    ]
    return of_refusal(InvalidRequest(errors=errors), instance)


def install(app: FastAPI) -> None:
    """Let an application answer in problems only."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> Response:
        return of_refusal(refusal, request.url.path)

    @app.exception_handler(ValidationError)
    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, fault: ValidationError) -> Response:
        return of_validation(fault, request.url.path)

    @app.exception_handler(LaneFault)
    async def lane(request: Request, fault: LaneFault) -> Response:
        path = request.url.path
        return problem(403, fault.code(), fault.sentence(), path, **fault.facts)

    @app.exception_handler(HTTPException)
    async def http(request: Request, fault: HTTPException) -> Response:
        code = {404: "no-such-route", 405: "method-not-allowed"}.get(fault.status_code, "http")
        return problem(fault.status_code, code, str(fault.detail), request.url.path)

    @app.exception_handler(Exception)
    async def bug(request: Request, fault: Exception) -> Response:
        _log.error("A bug answered %s", request.url.path, exc_info=fault)
        title = "系统内部错误，已记录。An internal error; it is logged."
        return problem(500, "internal", title, request.url.path)
