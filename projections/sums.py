"""分层合计: steps summed up in blocks of blocks, so that any prefix is a few hundred rows."""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

BLOCK_BITS = 11
"""Positions of one block: 2^11. What is not a whole block yet is added step by step."""

_FOUR, _EIGHT = 2, 3
"""Bits: four blocks make one of the next level, eight days one of the next span."""

_LEVELS, _SPANS = 20, 6
STEP_BITS = 20
"""A step's number: the position of its fact, and its own number within that fact."""

_EPOCH = date(1900, 1, 1)
_BEYOND = 8**_SPANS - 1

_DAY = f"least(greatest(on_day - DATE '{_EPOCH}', 0), {_BEYOND})"
_NODE = "md5(concat_ws('/', %s::int, %s::bigint, n.span, n.bucket, n.org, n.cell, n.mark))::uuid"

_FIRST = f"""
    INSERT INTO figure_sum{{suffix}}
    SELECT {_NODE}, %s, %s, span, bucket, org, cell, mark, amount FROM (
        SELECT span, {_DAY} >> (span * {_EIGHT}) AS bucket, org, cell, mark, sum(amount) AS amount
        FROM figure_step{{suffix}} CROSS JOIN generate_series(0, {_SPANS - 1}) AS span
        WHERE step >= %s AND step < %s GROUP BY 1, 2, 3, 4, 5 HAVING sum(amount) <> 0
        UNION ALL SELECT 0, -1, '', '', '', 0
    ) n
"""  # noqa: S608 - nothing but the constants above.
_NEXT = f"""
    INSERT INTO figure_sum{{suffix}}
    SELECT {_NODE}, %s, %s, span, bucket, org, cell, mark, amount FROM (
        SELECT span, bucket, org, cell, mark, sum(amount) AS amount FROM figure_sum{{suffix}}
        WHERE level = %s AND block >= %s AND block < %s
        GROUP BY 1, 2, 3, 4, 5 HAVING sum(amount) <> 0
    ) n
"""  # noqa: S608
_DONE = "SELECT max(block) FROM figure_sum{suffix} WHERE level = 0"

_AS_AT = """
    WITH covered AS (
        SELECT level, block, span, first, past FROM unnest(
            %(levels)s::int[], %(froms)s::bigint[], %(tos)s::bigint[]
        ) AS b (level, low, high) CROSS JOIN generate_series(low, high - 1) AS block
        CROSS JOIN unnest(%(spans)s::int[], %(firsts)s::int[], %(pasts)s::int[])
            AS d (span, first, past)
    )
    SELECT org, cell, mark, sum(amount)::bigint AS amount FROM (
        SELECT s.org, s.cell, s.mark, s.amount FROM covered c CROSS JOIN LATERAL (
            SELECT org, cell, mark, amount FROM figure_sum
            WHERE level = c.level AND block = c.block AND span = c.span
            AND bucket >= c.first AND bucket < c.past OFFSET 0
        ) s
        UNION ALL
        SELECT org, cell, mark, amount FROM figure_step
        WHERE step >= %(step)s AND step < %(past)s AND on_day <= %(on)s
    ) a
    WHERE %(org)s::text IS NULL OR org = %(org)s
    GROUP BY org, cell, mark HAVING sum(amount) <> 0 ORDER BY org, cell, mark
"""


class Cell(NamedTuple):
    """One figure: whose, which, and its further mark."""

    org: str
    cell: str
    mark: str


def condense(conn: Any, suffix: str, position: int) -> None:
    """Sum up the blocks that are whole now that everything up to a position is applied."""
    whole = (position + 1) >> BLOCK_BITS
    (done,) = conn.execute(_DONE.format(suffix=suffix)).fetchone()
    for block in range(0 if done is None else done + 1, whole):
        edges = [(b << BLOCK_BITS) << STEP_BITS for b in (block, block + 1)]
        conn.execute(_FIRST.format(suffix=suffix), (0, block, 0, block, *edges))
        for level in range(1, _LEVELS):
            if (block + 1) % 4**level:
                break
            above = ((block + 1) >> (level * _FOUR)) - 1
            below = (level - 1, above << _FOUR, (above + 1) << _FOUR)
            conn.execute(_NEXT.format(suffix=suffix), (level, above, level, above, *below))


def as_at(conn: Any, on: date, position: int, org: str | None = None) -> dict[Cell, int]:
    """Every figure that is not nought on a day, by what was known up to a position."""
    (done,) = conn.execute(_DONE.format(suffix="")).fetchone()
    whole = min((position + 1) >> BLOCK_BITS, 0 if done is None else done + 1)
    blocks = list(_cover(whole, _FOUR, _LEVELS))
    day = min(max((on - _EPOCH).days, 0), _BEYOND)
    days = list(_cover(day + 1, _EIGHT, _SPANS))
    asked = {
        **dict(zip(("levels", "froms", "tos"), _columns(blocks), strict=True)),
        **dict(zip(("spans", "firsts", "pasts"), _columns(days), strict=True)),
        "step": (whole << BLOCK_BITS) << STEP_BITS,
        "past": (position + 1) << STEP_BITS,
        "on": on,
        "org": org,
    }
    return {Cell(o, c, m): n for o, c, m, n in conn.execute(_AS_AT, asked).fetchall()}


def _cover(count: int, bits: int, levels: int) -> Any:
    """The first `count` units as ranges of ever larger groups: level, from, up to."""
    for level in range(levels):
        low = (count >> (bits * (level + 1))) << bits if level + 1 < levels else 0
        high = count >> (bits * level)
        if low < high:
            yield level, low, high


def _columns(rows: list[tuple[int, int, int]]) -> list[list[int]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
