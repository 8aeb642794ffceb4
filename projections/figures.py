"""统计: figures of every organization, as they step from day to day because of a fact."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, ClassVar
from uuid import UUID

from domain.aggregate import Fact
from domain.inflow import Inflow
from domain.ledger import Entry
from domain.outflow import Outflow
from domain.policy import DEFAULT, Policy
from domain.records import decode
from domain.transfer import Transfer
from projections import sums
from projections.counted import said
from projections.projection import Projection, Row, Rows, Table
from projections.steps import State, late, steps

STREAM = Table("figure_stream", {"stream": "uuid", "said": "jsonb"})
ABSENCE = Table(
    "figure_absence",
    {
        "outflow": "uuid",
        "member": "uuid",
        "origin": "text",
        "host": "text",
        "destination": "text",
        "left_on": "date",
        "register_by": "date",
        "register_done": "date",
        "report_by": "date",
        "report_done": "date",
        "late": "bool",
        "said": "jsonb",
    },
    ("outflow WHERE late",),
)
EDITIONS = Table("figure_policy", {"policy": "uuid", "editions": "jsonb"})
STEP = Table(
    "figure_step",
    {
        "step": "bigint",
        "org": "text",
        "cell": "text",
        "mark": "text",
        "on_day": "date",
        "amount": "int",
    },
)
SUM = Table(
    "figure_sum",
    {
        "node": "uuid",
        "level": "int",
        "block": "bigint",
        "span": "int",
        "bucket": "int",
        "org": "text",
        "cell": "text",
        "mark": "text",
        "amount": "bigint",
    },
    ("level, block, span, bucket",),
)

LATE_LOOKED_MAX = 2_000
"""Late absences that one page looks through."""

LATE = """
    SELECT outflow, member, origin, host, destination, left_on, register_by,
        register_done AS registered_on, report_by, report_done AS reported_on, fits
    FROM (
        SELECT *, count(*) FILTER (WHERE fits) OVER (ORDER BY outflow) AS place FROM (
            SELECT outflow, member, origin, host, destination, left_on, register_by,
                register_done, report_by, report_done,
                (%(origin)s::text IS NULL OR origin = %(origin)s)
                AND (%(destination)s::text IS NULL OR starts_with(destination, %(destination)s))
                AND (%(from_day)s::date IS NULL OR left_on >= %(from_day)s)
                AND (%(to_day)s::date IS NULL OR left_on <= %(to_day)s) AS fits
            FROM figure_absence
            WHERE late AND outflow > %(after)s
            ORDER BY outflow LIMIT %(looked)s
        ) looked
    ) numbered
    WHERE place < %(limit)s OR (place = %(limit)s AND fits) ORDER BY outflow
"""
"""Those looked through up to the last that fits on the page: where it ends, the next goes on."""


class Figures(Projection):
    """What a stream says now is counted, what it said before is taken back: both are steps.

    A step has the number of the fact that caused it, so that figures can be asked for as they were
    known at any moment, and every change of one names its cause.
    """

    name: ClassVar[str] = "figures"
    topics: ClassVar[tuple[str, ...]] = (
        "member.",
        "outflow.",
        "inflow.",
        "contact.",
        "attendance.",
        "policy.adopted",
        Transfer.Forwarded.TOPIC,
    )
    tables: ClassVar[tuple[Table, ...]] = (STREAM, ABSENCE, EDITIONS, STEP, SUM)

    def keys(self, entries: Sequence[Entry]) -> dict[str, list[UUID]]:
        """Of departures also the policy they are judged by; of arrivals the absence."""
        keys: dict[str, set[Any]] = {table.name: set() for table in self.tables}
        for entry in entries:
            if (fact := entry.fact) is not None:
                for table, key in self._touched(fact):
                    keys[table.name].add(key)
        return {name: list(found) for name, found in keys.items()}

    def _touched(self, fact: Fact) -> list[tuple[Table, UUID]]:
        key = fact.originator_id
        if fact.TOPIC.startswith("outflow."):
            return [(ABSENCE, key), (EDITIONS, Policy.id_of(fact.meta.keeper))]
        if isinstance(fact, Policy.Adopted):
            return [(EDITIONS, key)]
        if isinstance(fact, Inflow.Reported | Inflow.Accepted):
            return [(ABSENCE, fact.outflow)]
        return [(STREAM, fact.record if isinstance(fact, Transfer.Forwarded) else key)]

    def apply(self, entries: Sequence[Entry], rows: dict[str, Rows]) -> None:
        """Project a batch, in order; nothing sealed is opened."""
        for entry in entries:
            if (fact := entry.fact) is not None:
                self._count(fact, entry.position, rows)

    def settle(self, conn: Any, suffix: str, entries: Sequence[Entry]) -> None:
        """Sum up the blocks that have become whole."""
        first, last = entries[0].position, entries[-1].position
        if (first - 1) >> sums.BLOCK_BITS != (last + 1) >> sums.BLOCK_BITS:
            sums.condense(conn, suffix, last)

    def _count(self, fact: Fact, position: int, rows: dict[str, Rows]) -> None:
        if isinstance(fact, Transfer.Forwarded):
            told = decode(fact.stored) if fact.record_topic.startswith("contact.") else None
            if told is None:
                return
            fact = told
        if isinstance(fact, Policy.Adopted):
            self._adopt(fact, rows[EDITIONS.name])
            return
        (table, key), *_ = self._touched(fact)
        row = rows[table.name].get(key)
        before = row and row["said"]
        after = said(fact, before, self._allowed(fact, rows))
        if after is None:
            return
        rows[table.name].put(key, said=after, **(_columns(after) if table is ABSENCE else {}))
        counted = steps(after)
        counted.subtract(steps(before))
        self._put(position, counted, rows[STEP.name])

    def _allowed(self, fact: Fact, rows: dict[str, Rows]) -> tuple[int, int]:
        """The days for registering and reporting in, by the policy known here when it was told."""
        if not isinstance(fact, Outflow.Registered):
            return 0, 0
        row = rows[EDITIONS.name].get(Policy.id_of(fact.meta.keeper)) or {}
        day = fact.left_on.isoformat()
        editions = [edition for edition in row.get("editions") or [] if edition[0] <= day]
        if not editions:
            return DEFAULT.terms.registration_days, DEFAULT.terms.report_in_days
        _, register, report = max(editions)
        return int(register), int(report)

    def _put(self, position: int, counted: Any, rows: Rows) -> None:
        changed = sorted((*step, amount) for step, amount in counted.items() if amount)
        for number, (org, cell, mark, day, amount) in enumerate(changed):
            step = position << sums.STEP_BITS | number
            values = (step, org, cell, mark, date.fromisoformat(day), amount)
            rows.changed[step] = dict(zip(STEP.columns, values, strict=True))

    def _adopt(self, fact: Policy.Adopted, rows: Rows) -> None:
        key, terms = fact.originator_id, fact.terms
        known = (rows.get(key) or {}).get("editions") or []
        said = [fact.effective_from.isoformat(), terms.registration_days, terms.report_in_days]
        if said not in known:
            rows.put(key, editions=[*known, said])


def _columns(state: State) -> Row:
    days = ("left_on", "register_by", "register_done", "report_by", "report_done")
    void = bool(state.get("void"))
    return {
        **{n: state.get(n) for n in ("origin", "host", "destination")},
        "member": UUID(state["member"]) if "member" in state else None,
        **{n: date.fromisoformat(state[n]) if state.get(n) else None for n in days},
        "late": not void and any(late(state, clock) for clock in ("register", "report")),
    }
