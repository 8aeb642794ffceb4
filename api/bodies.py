"""请求内容: a body is read as JSON only if it says it is, and nests no deeper than a command."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel
from pydantic_core import from_json

from api.problems import InvalidRequest, NotJson
from domain.errors import Invalid

M = TypeVar("M", bound=BaseModel)

DEPTH_MAX = 32
"""Levels of lists and objects in a body; a command has three."""

_BRACKETS = re.compile(rb"[\[\]{}]")


class TooDeep(Invalid):
    """请求内容嵌套过深。The request is nested too deeply."""

    mend = "请按接口说明的结构提交。Send it in the shape the interface describes."


def must_be_shallow(body: bytes) -> None:
    """Refuse a body that nests too deeply, before any parser walks down it."""
    if body.count(b"{") + body.count(b"[") <= DEPTH_MAX:
        return
    depth = 0
    for bracket in _BRACKETS.finditer(body):
        # Brackets inside a text count as well: nobody writes 32 of them, and no parser is needed.
        depth += 1 if bracket.group() in b"{[" else -1
        if depth > DEPTH_MAX:
            raise TooDeep(maximum=DEPTH_MAX)


async def read(request: Request) -> bytes:
    """The bytes of a JSON body.

    A page of another site can make a browser post a form or a text to this machine, but not JSON:
    for that the browser asks first, and is not answered.

    Raises:
        NotJson, TooDeep.
    """
    body = await request.body()
    if body:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise NotJson(expected="application/json")
        must_be_shallow(body)
    return body


def parse(body: bytes) -> Any:
    """The value a body holds.

    Raises:
        InvalidRequest: it is no JSON.
    """
    try:
        return from_json(body)
    except ValueError as fault:
        error = {"pointer": "/body", "rule": "json_invalid", "detail": str(fault)}
        raise InvalidRequest(errors=[error]) from None


async def take(request: Request, kind: type[M]) -> M:
    """The body as a model.

    Raises:
        ValidationError, NotJson, TooDeep.
    """
    return kind.model_validate_json(await read(request))


def takes(kind: type[BaseModel]) -> dict[str, Any]:
    """How OpenAPI shows a route that takes this body."""
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
