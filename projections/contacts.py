"""联系情况: for every absence the last contact, when the next is due, and what is overdue."""

from __future__ import annotations

from typing import ClassVar

from domain.aggregate import Fact
from domain.contact import Contact
from domain.outflow import Outflow
from domain.policy import Policy
from projections.projection import Projection, Rows, Table

CONTACT = Table(
    "contact",
    {
        "contact": "uuid",
        "outflow": "uuid",
        "member": "uuid",
        "org": "text",
        "on_day": "date",
        "kind": "text",
        "method": "text",
        "by": "text",
        "reached": "bool",
        "next_on": "date",
        "withdrawn": "bool",
    },
    ("outflow, on_day",),
)
ABSENCE = Table(
    "contact_absence",
    {
        "outflow": "uuid",
        "member": "uuid",
        "origin": "text",
        "carer": "text",
        "left_on": "date",
        "open": "bool",
    },
)
EDITION = Table(
    "contact_policy",
    {"policy": "uuid", "org": "text", "editions": "jsonb"},
    ("org",),
)

DUE = """
    WITH last AS (
        SELECT outflow, max(on_day) FILTER (WHERE reached) AS last_reached,
            max(on_day) AS last_tried, count(*) AS contacts
        FROM contact WHERE NOT withdrawn GROUP BY outflow
    ), dated AS (
        SELECT a.*, l.last_reached, l.last_tried, coalesce(l.contacts, 0) AS contacts,
            (
                SELECT (e ->> 'days')::int FROM contact_policy p,
                    jsonb_array_elements(p.editions) e
                WHERE p.org = a.origin AND (e ->> 'from')::date <= %(today)s
                ORDER BY (e ->> 'from')::date DESC LIMIT 1
            ) AS days
        FROM contact_absence a LEFT JOIN last l USING (outflow)
    )
    SELECT outflow, member, origin, carer, last_reached, last_tried, contacts,
        coalesce(days, %(default_days)s) AS interval_days,
        coalesce(last_reached, left_on) + coalesce(days, %(default_days)s) AS next_due,
        coalesce(last_reached, left_on) + coalesce(days, %(default_days)s) < %(today)s AS overdue
    FROM dated
    WHERE open
      AND (%(carer)s::text IS NULL OR carer = %(carer)s)
      AND (%(outflow)s::uuid IS NULL OR outflow = %(outflow)s)
      AND (NOT %(overdue)s
           OR coalesce(last_reached, left_on) + coalesce(days, %(default_days)s) < %(today)s)
      AND (%(after)s::uuid IS NULL OR outflow > %(after)s)
    ORDER BY outflow LIMIT %(limit)s
"""
"""Due by the origin's policy in force today, so that both sides count the same days."""


class Contacts(Projection):
    """A row a contact; what was said stays sealed in the facts."""

    name: ClassVar[str] = "contacts"
    topics: ClassVar[tuple[str, ...]] = ("contact.", "outflow.", "policy.")
    tables: ClassVar[tuple[Table, ...]] = (CONTACT, ABSENCE, EDITION)

    def project(self, fact: Fact, rows: dict[str, Rows]) -> None:
        """One fact changes one row of one table."""
        key = fact.originator_id
        match fact:
            case Contact.Made():
                self._begin(fact, rows[CONTACT.name], "contact", fact.method, reached=fact.reached)
                rows[CONTACT.name].put(key, next_on=fact.next_on)
            case Contact.Visited():
                self._begin(fact, rows[CONTACT.name], "visit", fact.festival, reached=True)
            case Contact.Corrected() if fact.reached is not None:
                rows[CONTACT.name].put(key, reached=fact.reached)
            case Contact.Withdrawn():
                rows[CONTACT.name].put(key, withdrawn=True)
            case Policy.Adopted():
                self._edition(fact, rows[EDITION.name])
            case _ if fact.TOPIC.startswith("outflow."):
                self._absence(fact, rows[ABSENCE.name])

    def _begin(
        self,
        fact: Contact.Made | Contact.Visited,
        rows: Rows,
        kind: str,
        method: str | None,
        *,
        reached: bool,
    ) -> None:
        rows.put(
            fact.originator_id,
            outflow=fact.outflow,
            member=fact.meta.subject,
            org=fact.meta.keeper,
            on_day=fact.meta.occurred.on,
            kind=kind,
            method=method,
            by=fact.by,
            reached=reached,
            withdrawn=False,
        )

    def _edition(self, fact: Policy.Adopted, rows: Rows) -> None:
        known = (rows.get(fact.originator_id) or {}).get("editions") or []
        edition = {
            "from": fact.effective_from.isoformat(),
            "days": fact.terms.contact_interval_days,
        }
        rows.put(fact.originator_id, org=fact.meta.keeper, editions=[*known, edition])

    def _absence(self, fact: Fact, rows: Rows) -> None:
        key, origin = fact.originator_id, fact.meta.keeper
        match fact:
            case Outflow.Registered():
                rows.put(
                    key,
                    member=fact.member,
                    origin=origin,
                    carer=origin,
                    left_on=fact.left_on,
                    open=True,
                )
            case Outflow.Confirmed():
                rows.put(key, carer=fact.host)
            case Outflow.Relocated():
                rows.put(key, carer=origin)
            case Outflow.Returned() | Outflow.Closed() | Outflow.Voided():
                rows.put(key, carer=origin, open=False)
