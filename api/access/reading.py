"""登记: a route that shows personal data is marked, and its answer recorded before it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from api.access.words import PURPOSES, Act, Purpose
from api.app_state import running
from api.storage.read import Read
from api.who import BadHeader, who
from domain.errors import Invalid, Refusal
from domain.sealing import draw
from sync.errors import LaneFault

E = TypeVar("E", bound=Callable[..., Any])

SHOWN = "shown"
"""How a read ends that was answered; every other ends in the code of a refusal."""

_MARK = "__reading__"


class PurposeNeeded(Invalid):
    """请说明查阅的用途。Say what the data is needed for."""

    mend = (
        "请在请求头 Waystation-Purpose（命令行 --purpose）中写 known 之一。"
        "Give one of those under known in the header Waystation-Purpose, or as --purpose."
    )


def shown_fields(_: Request, found: Any) -> Iterable[str]:
    """The names of what is shown: the columns of a list, the members of an object."""
    first: Any = next(iter(rows(found)), {})
    return first.keys() if isinstance(first, dict) else ()


def rows(found: Any) -> list[Any]:
    """The rows of a page, of a list, or the one object."""
    if isinstance(found, dict):
        page: list[Any] = found.get("items", [found])
        return page
    return found if isinstance(found, list) else []


class Reading(NamedTuple):
    """One kind of looking at personal data: how it is recorded, and what for unless it is said."""

    what: str
    says: str
    whose: Callable[[Request, Any], Iterable[UUID | None]]
    purpose: Purpose | None = None
    act: Act = "view"
    fields: Callable[[Request, Any], Iterable[str]] = shown_fields


def shows(reading: Reading) -> Callable[[E], E]:
    """Mark a route: its answer is recorded, durably, before it is shown.

    A route that awaits nothing is a plain function: it is answered and recorded by one thread.

    Raises:
        PurposeNeeded: before anything is read.
        ReadUnrecorded: nothing is shown.
    """

    def mark(endpoint: Callable[..., Any]) -> Any:
        answered = _awaited if iscoroutinefunction(endpoint) else _in_one_thread

        @wraps(endpoint)
        async def recorded(request: Request, **asked: Any) -> Any:
            about = _asked(request, reading)
            return await answered(about, partial(endpoint, request=request, **asked))

        setattr(recorded, _MARK, reading)
        return recorded

    return mark


def shows_nobody(endpoint: E) -> E:
    """Mark a route that shows nothing about a person."""
    setattr(endpoint, _MARK, None)
    return endpoint


def reading_of(route: APIRoute) -> Reading | None:
    """What a route is marked with.

    Raises:
        TypeError: it is not marked, and must not be served.
    """
    try:
        reading: Reading | None = getattr(route.endpoint, _MARK)
    except AttributeError:
        raise TypeError(f"{route.path} is marked neither `shows` nor `shows_nobody`.") from None
    return reading


def marked(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """The routes, each of which is marked.

    Raises:
        TypeError: one is not.
    """
    for route in routes:
        if isinstance(route, APIRoute):
            reading_of(route)
        yield route


class _Asked(NamedTuple):
    """Who asks for what, as it will be recorded."""

    request: Request
    reading: Reading
    account: str
    role: str
    purpose: Purpose
    number: UUID

    def put_down(self, found: Any, outcome: str) -> None:
        reading, node = self.reading, running(self.request).node
        subjects: Iterable[UUID | None] = ()
        fields: Iterable[str] = ()
        if outcome == SHOWN:
            subjects = reading.whose(self.request, found)
            fields = reading.fields(self.request, found)
        node.access.record(
            Read(
                at=node.clock(),
                account=self.account,
                role=self.role,
                purpose=self.purpose,
                act=reading.act,
                what=reading.what,
                subjects=tuple(dict.fromkeys(each for each in subjects if each is not None)),
                fields=tuple(fields),
                request=self.number,
                outcome=outcome,
            )
        )


async def _awaited(about: _Asked, ask: Callable[[], Awaitable[Any]]) -> Any:
    try:
        found = await ask()
    except (Refusal, LaneFault) as refusal:
        await asyncio.to_thread(about.put_down, None, refusal.code())
        raise
    await asyncio.to_thread(about.put_down, found, SHOWN)
    return found


async def _in_one_thread(about: _Asked, ask: Callable[[], Any]) -> Any:
    def answer() -> Any:
        try:
            found = ask()
        except (Refusal, LaneFault) as refusal:
            about.put_down(None, refusal.code())
            raise
        about.put_down(found, SHOWN)
        return found

    return await asyncio.to_thread(answer)


def _asked(request: Request, reading: Reading) -> _Asked:
    asking = who(request)
    said = request.headers.get("waystation-purpose", reading.purpose)
    if said not in PURPOSES:
        raise PurposeNeeded(reading=reading.what, known=PURPOSES)
    return _Asked(request, reading, asking.person, asking.role, said, _number(request))


def _number(request: Request) -> UUID:
    """The caller's own name for his request, so that his log and ours meet; else a new one."""
    named = request.headers.get("waystation-request")
    if named is None:
        return UUID(bytes=draw(16), version=4)
    try:
        return UUID(named)
    except ValueError:
        raise BadHeader(header="Waystation-Request") from None
