"""活动与考勤: what was held, and who came."""

from __future__ import annotations

from typing import ClassVar

from domain.activity import Activity
from domain.aggregate import Fact
from domain.attendance import Attendance
from projections.projection import Projection, Rows, Table

ACTIVITY = Table(
    "activity",
    {
        "activity": "uuid",
        "org": "text",
        "held_on": "date",
        "kind": "text",
        "title": "text",
        "place": "text",
        "cancelled": "bool",
    },
    ("held_on",),
)
ATTENDANCE = Table(
    "attendance",
    {
        "attendance": "uuid",
        "activity": "uuid",
        "outflow": "uuid",
        "member": "uuid",
        "mark": "text",
        "corrected": "bool",
    },
    ("activity", "outflow"),
)

HELD = """
    SELECT a.activity, a.org, a.held_on, a.kind, a.title, a.place, a.cancelled,
        count(t.mark) AS marked,
        count(*) FILTER (WHERE t.mark IN ('present', 'late')) AS came
    FROM activity a LEFT JOIN attendance t USING (activity)
    WHERE (%(org)s::text IS NULL OR a.org = %(org)s)
      AND (%(after)s::uuid IS NULL OR a.activity > %(after)s)
    GROUP BY a.activity, a.org, a.held_on, a.kind, a.title, a.place, a.cancelled
    ORDER BY a.activity LIMIT %(limit)s
"""
MARKS = """
    SELECT t.attendance, t.activity, a.held_on, a.title, t.outflow, t.member, t.mark, t.corrected
    FROM attendance t JOIN activity a USING (activity)
    WHERE (%(activity)s::uuid IS NULL OR t.activity = %(activity)s)
      AND (%(outflow)s::uuid IS NULL OR t.outflow = %(outflow)s)
      AND (%(after)s::uuid IS NULL OR t.attendance > %(after)s)
    ORDER BY t.attendance LIMIT %(limit)s
"""


class Activities(Projection):
    """A row an activity, a row a mark."""

    name: ClassVar[str] = "activities"
    topics: ClassVar[tuple[str, ...]] = ("activity.", "attendance.")
    tables: ClassVar[tuple[Table, ...]] = (ACTIVITY, ATTENDANCE)

    def project(self, fact: Fact, rows: dict[str, Rows]) -> None:
        """One fact changes one row of one table."""
        key = fact.originator_id
        match fact:
            case Activity.Held():
                rows[ACTIVITY.name].put(
                    key,
                    org=fact.meta.keeper,
                    held_on=fact.meta.occurred.on,
                    kind=fact.kind,
                    title=fact.title,
                    place=fact.place,
                    cancelled=False,
                )
            case Activity.Cancelled():
                rows[ACTIVITY.name].put(key, cancelled=True)
            case Attendance.Marked() | Attendance.Corrected():
                rows[ATTENDANCE.name].put(
                    key,
                    activity=fact.activity,
                    outflow=fact.outflow,
                    member=fact.meta.subject,
                    mark=fact.mark,
                    corrected=isinstance(fact, Attendance.Corrected),
                )
