"""联系情况: for every absence the last contact, when the next is due, and what is overdue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID, uuid5

from domain.aggregate import Fact
from domain.contact import Contact
from domain.ledger import Entry
from domain.outflow import Outflow
from domain.policy import Policy
from domain.records import decode
from domain.transfer import Transfer
from projections.projection import Projection, Rows, Table

FORWARDED = Transfer.Forwarded.TOPIC

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
    ("outflow, reached, withdrawn, on_day",),
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
    {"edition": "uuid", "org": "text", "effective_from": "date", "days": "int"},
    ("org, effective_from",),
)

DUE = """
    WITH edition AS (
        SELECT DISTINCT ON (org) org, days FROM contact_policy
        WHERE effective_from <= %(today)s ORDER BY org, effective_from DESC
    ), page AS (
        SELECT a.outflow, a.member, a.origin, a.carer, d.interval_days, r.last_reached, n.next_due
        FROM contact_absence a LEFT JOIN edition e ON e.org = a.origin
        CROSS JOIN LATERAL (SELECT coalesce(e.days, %(default_days)s) AS interval_days) d
        LEFT JOIN LATERAL (
            SELECT on_day AS last_reached FROM contact c
            WHERE c.outflow = a.outflow AND c.reached AND NOT c.withdrawn AND c.on_day <= %(today)s
            ORDER BY on_day DESC LIMIT 1
        ) r ON true
        CROSS JOIN LATERAL (
            SELECT coalesce(r.last_reached, a.left_on) + d.interval_days AS next_due
        ) n
        WHERE a.open
          AND (%(carer)s::text IS NULL OR a.carer = %(carer)s)
          AND (%(outflow)s::uuid IS NULL OR a.outflow = %(outflow)s)
          AND (NOT %(overdue)s OR n.next_due < %(today)s)
          AND (%(after)s::uuid IS NULL OR a.outflow > %(after)s)
        ORDER BY a.outflow LIMIT %(limit)s
    )
    SELECT outflow, member, origin, carer, last_reached, last_tried, contacts, interval_days,
        next_due, next_due < %(today)s AS overdue
    FROM page CROSS JOIN LATERAL (
        SELECT max(on_day) AS last_tried, count(*) AS contacts FROM contact c
        WHERE c.outflow = page.outflow AND NOT c.withdrawn AND c.on_day <= %(today)s
    ) l
    ORDER BY outflow
"""
"""Due by the origin's policy in force today, so that both sides count the same days."""


class Contacts(Projection):
    """A row a contact; what was said stays sealed in the facts."""

    name: ClassVar[str] = "contacts"
    topics: ClassVar[tuple[str, ...]] = ("contact.", "outflow.", "policy.", FORWARDED)
    tables: ClassVar[tuple[Table, ...]] = (CONTACT, ABSENCE, EDITION)

    def keys(self, entries: Sequence[Entry]) -> dict[str, list[UUID]]:
        """Also the contacts that were passed on inside another record."""
        keys = super().keys(entries)
        inside = [e.fact.record for e in entries if isinstance(e.fact, Transfer.Forwarded)]
        keys[CONTACT.name] = [*keys[CONTACT.name], *inside]
        return keys

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
            case Transfer.Forwarded() if fact.record_topic.startswith("contact."):
                # Of a record that is known here already, the beginning says nothing new.
                begun = rows[CONTACT.name].get(fact.record) is not None
                again = begun and fact.record_version == 1
                if not again and (told := decode(fact.stored)) is not None:
                    self.project(told, rows)
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
        edition = uuid5(fact.originator_id, str(fact.originator_version))
        rows.put(
            edition,
            org=fact.meta.keeper,
            effective_from=fact.effective_from,
            days=fact.terms.contact_interval_days,
        )

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
