"""分页: a page of a read model, once it has caught up, with what may be missing from it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from fastapi import Depends, Query, Request

from api.app_state import Running, running
from api.node import Node
from api.stale import mark
from domain.errors import Refusal
from domain.member import Member
from projections import erasing
from projections.projection import Row

PAGE_MAX = 500
"""Rows of one page."""

WAIT_S = 2.0
"""How long ?after= waits for a read model to catch up with one's own write."""

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
After = Annotated[int | None, Query(ge=0, description="回单的 position：读到自己的写入")]


class Part(NamedTuple):
    """Which part of a read model: so many rows, after a key."""

    cursor: Any = None
    limit: int = 100


class NotYet(Refusal):
    """读模型尚未跟上。The read model has not caught up yet."""

    kind = "busy"
    mend = "请稍后再读。Read again in a moment."


async def caught_up(node: Running, model: str, position: int | None) -> None:
    """Wait until a read model has reached a position.

    Raises:
        NotYet: after WAIT_S seconds.
    """
    if position is None:
        return
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                news = node.worker.read_news.listen()
                if await asyncio.to_thread(node.node.projector.position, model) >= position:
                    return
                await news.wait()
    except TimeoutError:
        raise NotYet(model=model, after=position) from None


def part_of(model: str) -> Any:
    """A dependency: the part of a read model that a request asks for, once it has caught up.

    Raises:
        NotYet: the read model has not reached the position asked for.
    """

    async def part(
        request: Request, cursor: UUID | None = None, limit: Limit = 100, after: After = None
    ) -> Part:
        await caught_up(running(request), model, after)
        return Part(cursor, limit)

    return Depends(part)


def say_closed(node: Node, rows: list[Row]) -> None:
    """What is closed of a row's member says so in the place of every personal value."""
    if not node.keyring.any_closed:
        return
    for row in rows:
        file = node.ledger.find(Member, row["member"]) if row.get("member") else None
        for name in erasing.CLASSES.keys() & row.keys() if file else ():
            why = node.keyring.closed(file.person, erasing.CLASSES[name])  # type: ignore[union-attr]
            row[name] = row[name] if why is None else why.value


def page(
    node: Running, model: str, query: str, key: str, asked: Part, **values: Any
) -> dict[str, Any]:
    """A page: items, and the cursor of the next one, if there is one.

    Each item and the page say in `stale` what may be missing from them.
    """
    rows = node.node.database.rows(query, {**values, "limit": asked.limit, "after": asked.cursor})
    say_closed(node.node, rows)
    following = rows[-1][key] if len(rows) == asked.limit else None
    return {"items": rows, "next": following, "stale": mark(node.node, model, key, rows)}
