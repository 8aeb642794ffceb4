"""超期: which absences were registered or reported in later than policy allows, by destination."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from api.audit.reading import Reader
from domain.outflow import Outflow
from domain.values import OrgCode, Short, Value
from projections import sums, tables
from projections.figures import LATE, LATE_LOOKED_MAX
from projections.search import FAR

REMINDED = (Outflow.Offered, Outflow.CorrectionAsked, Outflow.Recalled, Outflow.Lapsed)
SAYS = (
    "提醒本身尚不作为事实登记；这里列出台账里有的催办：邀约、退回补正、撤回、到期。"
    "Reminders are not recorded as facts yet; listed is what the ledger has: offers, corrections "
    "asked, recalls, lapses."
)
CELLS = ("registered_late", "reported_late")


class Narrowed(Value):
    """Which of them; every field narrows, the days are those of departure."""

    origin: OrgCode | None = None
    destination: Short | None = None
    from_day: date | None = None
    to_day: date | None = None


def late(reader: Reader, asked: Narrowed, after: UUID | None, limit: int) -> dict[str, Any]:
    """A page of them, each with its two clocks and who was asked to act; and all, by destination.

    Few of those looked through may fit: a page is then shorter than asked for, and `next` says
    where it goes on.
    """
    narrow = asked.model_dump()
    looked = LATE_LOOKED_MAX if any(narrow.values()) else limit
    values = {**narrow, "after": after or UUID(int=0), "limit": limit, "looked": looked}
    with reader.node.database.connection() as conn:
        rows = tables.ask(conn, LATE, values, prepare=False)
        by = _by_destination(conn, asked)
    items = [row for row in rows if row.pop("fits")]
    reminded = _reminded(reader, [row["outflow"] for row in items])
    for row in items:
        row["days_late"] = {
            "registered": _days(row["register_by"], row["registered_on"]),
            "reported": _days(row["report_by"], row["reported_on"]),
        }
        row["reminded"] = reminded[row["outflow"]]
    go_on = len(items) == limit or len(rows) == looked
    return {
        "items": items,
        "next": rows[-1]["outflow"] if rows and go_on else None,
        "by_destination": by,
        "reminders": SAYS,
    }


def _days(until: date | None, done: date | None) -> int:
    """How many days too late; nought where it was in time."""
    return max((done - until).days, 0) if until and done else 0


def _by_destination(conn: Any, asked: Narrowed) -> list[dict[str, Any]]:
    """As far as is known today, over all days, from the figures."""
    found = sums.as_at(conn, date.max, FAR, asked.origin)
    by: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for cell, amount in found.items():
        if cell.cell in CELLS:
            by[cell.org, cell.mark][cell.cell] = amount
    return [
        {"origin": org, "destination": mark, **{cell: said.get(cell, 0) for cell in CELLS}}
        for (org, mark), said in sorted(by.items())
        if asked.destination is None or mark.startswith(asked.destination)
    ]


def _reminded(reader: Reader, outflows: Sequence[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    told: dict[UUID, list[dict[str, Any]]] = {outflow: [] for outflow in outflows}
    for each in reader.streams(outflows):
        if isinstance(each.fact, REMINDED):
            whom = getattr(each.fact, "host", None)
            said = {"whom": whom, "until": getattr(each.fact, "until", None)}
            told[each.fact.originator_id].append({**said, "fact": reader.evidence(each)})
    return told
