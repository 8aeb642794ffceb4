"""问题: every refusal as an RFC 9457 problem, whose type is the refusal's class."""

from __future__ import annotations

import json
import logging
from collections.abc import Container, Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from api.searching import TooManySearches
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


class NotJson(Invalid):
    """请求内容不是 JSON。The request does not say that it is JSON."""

    mend = "请以 application/json 提交。Send it as application/json."


class NoSuchRoute(Refusal):
    """没有这个地址。There is nothing at this path."""

    kind = "missing"
    mend = "接口说明见 /docs。The interface is described at /docs."


class MethodNotAllowed(Refusal):
    """该地址不接受这种请求方法。The path does not take this method."""

    mend = "接口说明见 /docs。The interface is described at /docs."


class BadRequest(Invalid):
    """请求不正确。The request is not valid."""


class Internal(Refusal):
    """系统内部错误，已记录。An internal error; it is logged."""

    mend = "请稍后再试；仍不行请告知管理员。Try again; if it stays, tell whoever runs the node."


OF_HTTP: dict[int, type[Refusal]] = {
    413: TooLarge,
    415: NotJson,
    404: NoSuchRoute,
    405: MethodNotAllowed,
    429: TooManySearches,
    500: Internal,
}
"""The refusals that HTTP has a status of its own for; every other has that of its kind."""

_OWN_STATUS = {kind: status for status, kind in OF_HTTP.items()}

ERRORS_MAX = 50
"""How many errors of one body are told."""


def document(refusal: Refusal, instance: str) -> dict[str, Any]:
    """The problem of a refusal."""
    return {
        "type": f"/problems/{refusal.code()}",
        "title": refusal.sentence(),
        "status": _OWN_STATUS.get(type(refusal)) or STATUS[refusal.kind],
        "instance": instance,
        "mend": refusal.mend,
        **refusal.facts,
    }


def of_refusal(refusal: Refusal, instance: str) -> Response:
    """The answer to what was refused."""
    return _answer(document(refusal, instance))


def _answer(said: dict[str, Any]) -> Response:
    text = json.dumps(said, ensure_ascii=False, default=str)
    headers = None
    if said["status"] in {STATUS["busy"], HTTPStatus.TOO_MANY_REQUESTS}:
        headers = {"Retry-After": str(said.get("retry_after", 1))}
    return Response(text, said["status"], headers=headers, media_type=MEDIA_TYPE)


def invalid(
    fault: ValidationError | RequestValidationError,
    in_path: Container[str] = (),
    within: tuple[str | int, ...] = ("body",),
) -> InvalidRequest:
    """The refusal of a body that does not fit its model; values are not repeated."""
    errors = list(fault.errors())
    if isinstance(fault, ValidationError):
        # FastAPI's own errors already say where: in the body, the path or the query.
        for error in errors:
            place = error["loc"]
            error["loc"] = (*(("path",) if place and place[0] in in_path else within), *place)
    return InvalidRequest(errors=[told(error) for error in errors[:ERRORS_MAX]])


def told(error: Any) -> dict[str, str]:
    """One of pydantic's errors, as a person reads it."""
    rule, detail = error["type"], error["msg"]
    refusal = getattr(error.get("ctx", {}).get("error"), "__cause__", None)
    if isinstance(refusal, Refusal):
        # Its evidence may be the value itself, or a part of it.
        problem = f" [{refusal.facts['problem']}]" if "problem" in refusal.facts else ""
        rule, detail = refusal.code(), f"{refusal.sentence()} {refusal.mend}{problem}"
    return {"pointer": pointer(error["loc"]), "rule": rule, "detail": detail}


def pointer(steps: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    escaped = (str(step)[:100].replace("~", "~0").replace("/", "~1") for step in steps)
    return "".join(f"/{step}" for step in escaped)


def _methods(request: Request) -> list[str]:
    """What the path takes, of all routes that share it; the framework names the first one's."""
    routes = (r for r in request.app.routes if isinstance(r, Route))
    there = (r for r in routes if r.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in there for method in route.methods or ()})


def install(app: FastAPI) -> None:
    """Let an application answer in problems only."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> Response:
        return of_refusal(refusal, request.url.path)

    @app.exception_handler(ValidationError)
    @app.exception_handler(RequestValidationError)
    async def does_not_fit(request: Request, fault: ValidationError) -> Response:
        return of_refusal(invalid(fault), request.url.path)

    @app.exception_handler(LaneFault)
    async def lane(request: Request, fault: LaneFault) -> Response:
        said = {"type": f"/problems/{fault.code()}", "title": fault.sentence(), "status": 403}
        return _answer({**said, "instance": request.url.path, **fault.facts})

    @app.exception_handler(HTTPException)
    async def http(request: Request, fault: HTTPException) -> Response:
        answer = of_refusal(OF_HTTP.get(fault.status_code, BadRequest)(), request.url.path)
        answer.headers.update(fault.headers or {})
        if fault.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            answer.headers["Allow"] = ", ".join(_methods(request))
        return answer

    @app.exception_handler(Exception)
    async def bug(request: Request, fault: Exception) -> Response:
        _log.error("A bug answered %s", request.url.path, exc_info=fault)
        return of_refusal(Internal(), request.url.path)
