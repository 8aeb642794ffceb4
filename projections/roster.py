"""花名册: who is away, from where, to where, and since when; one class for origin and host."""

from __future__ import annotations

from typing import ClassVar

from domain.absence import State
from domain.aggregate import Fact
from domain.errors import BadIdNumber
from domain.inflow import Inflow
from domain.member import Member
from domain.outflow import Outflow
from domain.values import DataClass, born_on, id_number, sex_of
from projections.projection import Projection, Rows, Table

PERSON = Table(
    "roster_person",
    {
        "member": "uuid",
        "keeper": "text",
        "name": "text",
        "number": "text",
        "sex": "text",
        "ethnic": "text",
        "born_on": "text",
        "education": "text",
        "category": "text",
        "joined_on": "date",
        "full_on": "date",
        "branch": "text",
        "former_occupation": "text",
        "phone": "text",
        "address": "text",
        "ended": "bool",
        "released_to": "text",
    },
    personal=(
        *("name", "number", "sex", "ethnic", "born_on", "education", "former_occupation"),
        *("phone", "address"),
    ),
)
FLOW = Table(
    "roster_flow",
    {
        "outflow": "uuid",
        "member": "uuid",
        "origin": "text",
        "left_on": "date",
        "reason": "text",
        "scope": "text",
        "destination": "text",
        "planned_host": "text",
        "host": "text",
        "host_since": "date",
        "state": "text",
        "ended_on": "date",
        "lost": "bool",
        "permit": "text",
    },
    ("member", "host"),
    ("permit",),
)
ARRIVAL = Table(
    "roster_arrival",
    {
        "inflow": "uuid",
        "outflow": "uuid",
        "host": "text",
        "found_name": "text",
        "reported_on": "date",
        "branch": "text",
        "party_group": "text",
        "liaison": "text",
        "accepted_on": "date",
        "phone": "text",
        "address": "text",
        "ended_on": "date",
        "because": "text",
    },
    ("outflow",),
    ("found_name", "phone", "address"),
)

_SEALED = ("name", "number", "born_on", "ethnic", "former_occupation", "phone", "address")


def _said_by(number: str | None) -> dict[str, str]:
    """What a corrected id number says besides; a peer may have sealed anything."""
    try:
        checked = id_number(number or "")
    except BadIdNumber:
        return {}
    return {"born_on": born_on(checked).isoformat(), "sex": sex_of(checked)}


AWAY = """
    SELECT f.outflow, f.member, p.name, p.number, p.sex, p.category, p.branch, f.origin, f.left_on,
        f.reason, f.destination, f.state, f.host, f.host_since, a.branch AS host_branch,
        a.party_group, a.liaison, coalesce(a.phone, p.phone) AS phone,
        coalesce(a.address, p.address) AS address, f.ended_on, f.lost, p.released_to
    FROM roster_flow f
    JOIN roster_person p USING (member)
    LEFT JOIN LATERAL (
        SELECT * FROM roster_arrival WHERE outflow = f.outflow AND host = f.host
        ORDER BY accepted_on DESC NULLS LAST, inflow LIMIT 1
    ) a ON true
    WHERE (%(origin)s::text IS NULL OR f.origin = %(origin)s)
      AND (%(host)s::text IS NULL OR f.host = %(host)s)
      AND (%(member)s::uuid IS NULL OR f.member = %(member)s)
      AND (%(state)s::text IS NULL OR f.state = %(state)s)
      AND (%(after)s::uuid IS NULL OR f.outflow > %(after)s)
    ORDER BY f.outflow LIMIT %(limit)s
"""
"""A page of the roster: stable under changes, because it goes on after an id."""


class Roster(Projection):
    """Three tables, each row one stream: the person, the absence, the arrival."""

    name: ClassVar[str] = "roster"
    topics: ClassVar[tuple[str, ...]] = ("member.", "outflow.", "inflow.")
    tables: ClassVar[tuple[Table, ...]] = (PERSON, FLOW, ARRIVAL)

    def project(self, fact: Fact, rows: dict[str, Rows]) -> None:
        """One fact changes one row of one table."""
        match fact.TOPIC.split(".", 1)[0]:
            case "member":
                self._person(fact, rows[PERSON.name])
            case "outflow":
                self._flow(fact, rows[FLOW.name])
            case _:
                self._arrival(fact, rows[ARRIVAL.name])

    def _person(self, fact: Fact, rows: Rows) -> None:
        key = fact.originator_id
        match fact:
            case Member.Registered():
                same = ("education", "category", "joined_on", "full_on", "branch")
                rows.put(
                    key,
                    keeper=fact.meta.keeper,
                    ended=False,
                    sex=None if self.closed(fact, DataClass.IDENTITY) else fact.sex,
                    **{n: getattr(fact, n) for n in same},
                    **{n: self.clear(fact, n) for n in _SEALED},
                )
            case Member.PhoneRecorded():
                rows.put(key, phone=self.clear(fact, "phone"))
            case Member.AddressRecorded():
                rows.put(key, address=self.clear(fact, "address"))
            case Member.IdentityCorrected():
                said = {n: self.clear(fact, n) for n in ("name", "number") if getattr(fact, n)}
                rows.put(key, **said, **_said_by(said.get("number")))
            case Member.Ended():
                rows.put(key, ended=True)
            case Member.Released():
                rows.put(key, released_to=fact.to or fact.to_name)

    def _flow(self, fact: Fact, rows: Rows) -> None:
        key = fact.originator_id
        match fact:
            case Outflow.Reported() | Outflow.Registered():
                self._departure(fact, rows)
            case Outflow.Confirmed():
                rows.put(key, host=fact.host, host_since=fact.since, state=State.IN_CARE)
            case Outflow.Relocated():
                rows.put(
                    key,
                    destination=fact.destination,
                    planned_host=fact.host,
                    host=None,
                    host_since=None,
                    state=State.AWAITING,
                )
            case Outflow.Offered():
                rows.put(key, state=State.AWAITING)
            case Outflow.ContactLost() | Outflow.ContactRestored():
                rows.put(key, lost=isinstance(fact, Outflow.ContactLost))
            case Outflow.Returned():
                rows.put(key, state=State.RETURNED, ended_on=fact.returned_on)
            case Outflow.Closed():
                rows.put(key, state=State.CLOSED, ended_on=fact.closed_on)
            case Outflow.Voided():
                rows.put(key, state=State.VOIDED, ended_on=fact.meta.occurred.on)

    def _departure(self, fact: Outflow.Reported | Outflow.Registered, rows: Rows) -> None:
        key, origin = fact.originator_id, fact.meta.keeper
        said = {"reason": fact.reason, "destination": fact.destination}
        rows.put(key, member=fact.member, origin=origin, lost=False, **said)
        if isinstance(fact, Outflow.Reported):
            rows.put(key, left_on=fact.planned_on, state=State.REPORTED)
        else:
            rows.put(
                key,
                left_on=fact.left_on,
                scope=fact.scope,
                planned_host=fact.host,
                permit=self.clear(fact, "permit"),
                state=fact.state,
            )

    def _arrival(self, fact: Fact, rows: Rows) -> None:
        key, on = fact.originator_id, fact.meta.occurred.on
        match fact:
            case Inflow.Reported():
                rows.put(key, host=fact.meta.keeper, outflow=fact.outflow, reported_on=on)
            case Inflow.Found():
                name = self.clear(fact, "name")
                rows.put(key, host=fact.meta.keeper, found_name=name, reported_on=on)
            case Inflow.Accepted():
                rows.put(
                    key,
                    host=fact.meta.keeper,
                    outflow=fact.outflow,
                    branch=fact.branch,
                    party_group=fact.group,
                    liaison=fact.liaison,
                    accepted_on=fact.accepted_on,
                    ended_on=None,
                    because=None,
                )
            case Inflow.DetailsRecorded():
                said = {n: self.clear(fact, n) for n in ("phone", "address") if getattr(fact, n)}
                rows.put(key, **said)
            case Inflow.Declined() | Inflow.Linked():
                rows.put(key, host=fact.meta.keeper, outflow=fact.outflow)
            case Inflow.Ended():
                rows.put(key, ended_on=fact.ended_on, because=fact.because)
