"""统计: the figures of a day as they were known, and between two moments what changed them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from api.audit.auditor import MomentsReversed
from api.audit.reading import Reader
from domain.values import OrgCode
from projections import sums, tables
from projections.projection import Row
from projections.steps import CELLS
from projections.sums import Cell

LOOKED_MAX = 5_000
"""Steps that one page of causes looks through."""

_BETWEEN = """
    SELECT step, org, cell, mark, on_day, amount FROM figure_step
    WHERE step >= %(step)s AND step < %(past)s ORDER BY step LIMIT %(looked)s
"""


def figures(
    reader: Reader, on: date, known_at: datetime | None = None, org: OrgCode | None = None
) -> dict[str, Any]:
    """Every figure that is not nought."""
    until = reader.known(known_at).until
    with reader.node.database.connection() as conn:
        found = sums.as_at(conn, on, until, org)
    return {
        "on": on,
        "known_at": known_at,
        "cells": [{**cell._asdict(), "amount": amount} for cell, amount in found.items()],
        "means": CELLS,
    }


def changed(  # noqa: PLR0913, PLR0917 - two moments, and where in the causes to go on.
    reader: Reader,
    on: date,
    moments: tuple[datetime, datetime],
    org: OrgCode | None,
    after: int,
    limit: int,
) -> dict[str, Any]:
    """Which figures of a day differ between two moments, and a page of the facts because of which.

    Raises:
        MomentsReversed.
    """
    first, second = moments
    if first >= second:
        raise MomentsReversed(first=first, second=second)
    edges = [reader.known(moment).until for moment in moments]
    with reader.node.database.connection() as conn:
        before, now = (sums.as_at(conn, on, until, org) for until in edges)
        cells = [c for c in sorted({*before, *now}) if before.get(c, 0) != now.get(c, 0)]
        first_step, past = ((until + 1) << sums.STEP_BITS for until in edges)
        asked = {"step": max(first_step, after + 1), "past": past, "looked": LOOKED_MAX}
        looked = tables.ask(conn, _BETWEEN, asked)
    page, go_on = _causes(looked, set(cells), on, limit)
    facts = reader.at([row["step"] >> sums.STEP_BITS for row in page])
    for row in page:
        row["fact"] = facts[row["step"] >> sums.STEP_BITS]
    differ = [{**c._asdict(), "before": before.get(c, 0), "after": now.get(c, 0)} for c in cells]
    told = {"on": on, "from": first, "to": second, "cells": differ, "means": CELLS}
    return {**told, "items": page, "next": go_on}


def _causes(
    looked: list[Row], cells: set[Cell], on: date, limit: int
) -> tuple[list[Row], int | None]:
    """The steps in the cells that differ, and where the next page goes on."""
    fits = [
        row
        for row in looked
        if row["on_day"] <= on and Cell(row["org"], row["cell"], row["mark"]) in cells
    ]
    if len(fits) > limit:
        return fits[:limit], fits[limit - 1]["step"]
    return fits, looked[-1]["step"] if len(looked) == LOOKED_MAX else None
