"""检索: a page of the history by any of its marks, of the same cost in a ledger of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from projections import tables
from projections.projection import Row

LOOKED_MAX = 5_000
"""Entries that one page looks through, where more than one mark is asked for."""

FEW = 200
"""Entries of a mark that are so few that it is looked through before any other."""

DAYS_MERGED_MAX = 31
"""Days of a period that are put in order one beside another; a longer one is looked through."""

_BETWEEN = "position > %(after)s AND position <= %(until)s"
_TOPICS = """
    WITH RECURSIVE one AS (
        (SELECT topic FROM history ORDER BY topic LIMIT 1)
        UNION ALL
        SELECT (SELECT topic FROM history h WHERE h.topic > one.topic ORDER BY topic LIMIT 1)
        FROM one WHERE one.topic IS NOT NULL
    )
    SELECT topic FROM one WHERE starts_with(topic, %(topic)s)
"""
_IN_DAYS = """
    on_day >= coalesce(%(from_day)s::date, '-infinity')
    AND on_day <= coalesce(%(to_day)s::date, 'infinity')
"""
_MARKED = {
    "causation": "causation = %(causation)s AND causation_version = %(version)s",
    "correlation": "correlation = %(correlation)s",
    "source": "source_digest = %(source)s",
    "subject": "subject = %(subject)s",
    "person": "person = %(person)s",
    "org": "org = %(org)s",
}
_ORDER = ("causation", "correlation", "source", "outflow", "subject", "topic", "person", "days")
"""The marks in the order of how few bear them, as a rule; who keeps it comes last."""

# Of an absence the whole of every stream that names it: also the end of a stay, which does not
# name it again.
_OF_ABSENCE = f"""
    SELECT h.* FROM (SELECT DISTINCT stream FROM history WHERE outflow = %(outflow)s) s
    JOIN history h USING (stream) WHERE {_BETWEEN}
"""  # noqa: S608 - nothing but the constants above.

_TESTS = {
    **_MARKED,
    "topic": "starts_with(topic, %(topic)s)",
    "days": _IN_DAYS,
    "outflow": "stream IN (SELECT stream FROM history WHERE outflow = %(outflow)s)",
    "known_to": """
        (EXISTS (
            SELECT FROM lane_out o WHERE o.peer = %(known_to)s AND o.stream = h.stream
            AND o.version = h.version AND o.number <= %(number)s AND NOT EXISTS (
                SELECT FROM lane_refused f WHERE f.peer = o.peer AND f.stream = o.stream
                AND f.number <= o.number AND coalesce(f.resolved_at, 'infinity') > %(at)s
            )
        ) OR (h.org = %(known_to)s AND h.recorded_at <= %(at)s))
    """,
}

_AT = """
    SELECT greatest(
        (SELECT position FROM history WHERE entered_at <= %(at)s
         ORDER BY entered_at DESC, position DESC LIMIT 1),
        (SELECT max(notification_id) FROM stored_events WHERE entered_at <= %(at)s
         AND notification_id > coalesce((SELECT max(position) FROM history), 0)),
        0) AS position
"""

# Rows come in order from the index of a mark; a bitmap of them would be sorted first, all of it.
_AS_ONE = """
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL enable_bitmapscan = off
"""

FAR = 2**42
"""Beyond every position."""


_STRETCH = """
    SELECT * FROM (
        SELECT h.*, e.state, sum(length(e.state)) OVER (ORDER BY h.position) AS bytes
        FROM history h JOIN stored_events e ON e.notification_id = h.position
        WHERE h.position > %(after)s AND h.position <= %(upto)s
        ORDER BY h.position LIMIT %(entries)s
    ) s WHERE bytes - length(state) < %(most)s ORDER BY position
"""


class Found(NamedTuple):
    """A page, and after which position the next one goes on."""

    rows: list[Row]
    next: int | None


def position_at(conn: Any, moment: Any) -> int:
    """The last position that this ledger had taken in at a moment."""
    return int(tables.ask(conn, _AT, {"at": moment})[0]["position"])


def find(conn: Any, marks: Mapping[str, Any], after: int, limit: int) -> Found:
    """The facts that bear every one of these marks, after a position, in the ledger's order.

    Positions only grow, and of two the smaller is never visible later than the greater: while the
    ledger grows, pages neither leave out nor repeat. Where few of the entries looked through bear
    all the marks, a page is shorter than asked for, and `next` says where it goes on.
    """
    asked = {name: value for name, value in marks.items() if value is not None}
    values = {"until": FAR, **asked, "after": after, "limit": limit}
    values |= {name: asked.get(name) for name in ("from_day", "to_day")}
    with conn.transaction():
        # What one page looks at, and how far it has looked, is one state of the ledger.
        conn.execute(_AS_ONE)
        source, tests = _plan(conn, asked, values)
        values["looked"] = LOOKED_MAX if tests else limit
        looked = f"SELECT * FROM ({source}) s ORDER BY position LIMIT %(looked)s"  # noqa: S608
        query = f"""
            SELECT p.*, e.state FROM (
                SELECT h.* FROM ({looked}) h WHERE {" AND ".join(tests) or "true"}
                ORDER BY position LIMIT %(limit)s
            ) p JOIN stored_events e ON e.notification_id = p.position ORDER BY p.position
        """  # noqa: S608 - nothing but the constants above.
        rows = _ask(conn, query, values)
        if len(rows) == limit:
            return Found(rows, int(rows[-1]["position"]))
        if not tests:
            return Found(rows, None)
        query = f"SELECT count(*) AS n, max(position) AS last FROM ({looked}) h"  # noqa: S608
        told = _ask(conn, query, values)[0]
        return Found(rows, int(told["last"]) if told["n"] == LOOKED_MAX else None)


def stretch(conn: Any, after: int, upto: int, entries: int, most: int) -> list[Row]:
    """Every entry from a position on, as far as so many of them and so many bytes go; one at least.

    `bytes` is how many there are up to each.
    """
    asked = {"after": after, "upto": upto, "entries": entries, "most": most}
    return _ask(conn, _STRETCH, asked)


def _plan(conn: Any, asked: Mapping[str, Any], values: dict[str, Any]) -> tuple[str, list[str]]:
    """The rows to look through, and what is asked of each of them."""
    given = [name for name in (*_ORDER, "org", "known_to") if name in asked]
    if "from_day" in asked or "to_day" in asked:
        given.append("days")
    sources = {
        name: source
        for name in (*_ORDER, "org")
        if name in given
        if (source := _source(conn, name, values)) is not None
    }
    few = (n for n, source in sources.items() if len(given) > 1 and _is_few(conn, source, values))
    chosen = next(few, None) or next(iter(sources), None)
    source = sources[chosen] if chosen else f"SELECT * FROM history WHERE {_BETWEEN}"  # noqa: S608
    return source, [_TESTS[name] for name in given if name != chosen]


def _source(conn: Any, name: str, values: dict[str, Any]) -> str | None:
    """The rows that bear one mark, such that an index gives them in order."""
    if name == "outflow":
        return _OF_ABSENCE
    if name == "topic":
        topics = [row["topic"] for row in _ask(conn, _TOPICS, values)]
        return _merged("topic", topics, values)
    if name == "days":
        return _of_days(values)
    return f"SELECT * FROM history WHERE {_MARKED[name]} AND {_BETWEEN}"  # noqa: S608


def _of_days(values: dict[str, Any]) -> str | None:
    first, last = values["from_day"], values["to_day"]
    if first is None or last is None or (last - first).days >= DAYS_MERGED_MAX:
        return None
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return _merged("on_day", days, values)


def _merged(column: str, given: Sequence[Any], values: dict[str, Any]) -> str:
    """The rows that have one of these values; of each an index gives them in order."""
    names = {f"{column}_{number}": value for number, value in enumerate(given)}
    values |= names
    # Each ordered for itself, or all of them are collected and sorted.
    each = (
        f"(SELECT * FROM history WHERE {column} = %({name})s AND {_BETWEEN}"  # noqa: S608
        " ORDER BY position LIMIT %(looked)s)"
        for name in names
    )
    return " UNION ALL ".join(each) or "SELECT * FROM history WHERE false"


def _is_few(conn: Any, source: str, values: dict[str, Any]) -> bool:
    query = f"SELECT count(*) AS n FROM (SELECT FROM ({source}) s LIMIT %(looked)s) few"  # noqa: S608
    return bool(_ask(conn, query, {**values, "looked": FEW + 1})[0]["n"] <= FEW)


def _ask(conn: Any, query: str, values: dict[str, Any]) -> list[Row]:
    """Planned for its own values: one plan for all would be good for the commonest alone."""
    return tables.ask(conn, query, values, prepare=False)
