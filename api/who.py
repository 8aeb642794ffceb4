"""谁在办理: whom a request comes from, by its headers until people have accounts."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated
from urllib.parse import unquote

from fastapi import Request
from pydantic import StringConstraints, TypeAdapter, ValidationError

from api.service import Who
from domain.errors import Invalid
from domain.values import Short

KEY_MAX = 200


class BadHeader(Invalid):
    """请求头不正确。A request header is not valid."""

    mend = (
        "If-Match 为版本号；Idempotency-Key 不超过 200 字符；Waystation-Person 为姓名；"
        "Waystation-Request 为 UUID。If-Match is a version number, Waystation-Person a name, "
        "Waystation-Request a UUID."
    )


_PERSON = TypeAdapter(Annotated[Short, StringConstraints(min_length=1)])


def who(request: Request) -> Who:
    """Who asks: named by a header until people have accounts, and then only on loopback."""
    headers = request.headers
    key = headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= KEY_MAX:
        raise BadHeader(header="Idempotency-Key")
    return Who(person=_person(headers.get("waystation-person", "")), key=key)


@lru_cache(1024)
def _person(named: str) -> str:
    try:
        return _PERSON.validate_python(unquote(named) or "officer")
    except ValidationError:
        raise BadHeader(header="Waystation-Person") from None
