"""所知: what some facts say of one absence about one day, as a pure function of those facts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from operator import attrgetter
from typing import Any
from uuid import UUID

from api.audit.reading import Seen
from domain.aggregate import Aggregate, Fact
from domain.attendance import Attendance
from domain.contact import Contact
from domain.inflow import Inflow
from domain.member import Member
from domain.outflow import Outflow
from domain.records import open_field
from domain.sealing import Keyring
from domain.values import OrgCode

ABOUT_A_PERSON = (
    Member.Registered,  # And what goes on from it elsewhere, which is one too.
    Member.PhoneRecorded,
    Member.AddressRecorded,
    Member.IdentityCorrected,
    Inflow.Found,
    Inflow.DetailsRecorded,
)

FIELDS = frozenset(
    name for kind in ABOUT_A_PERSON for name in kind.model_fields if name not in Fact.model_fields
) - {"transfer", "origin", "file", "last", "via", "note", "reason"}
"""What has a trail."""

CAME = ("present", "late")
"""Marks of somebody who was there."""


def fold(seen: Sequence[Seen]) -> Aggregate | None:
    """The aggregate of one stream."""
    aggregate: Aggregate | None = None
    for each in seen:
        aggregate = each.fact.mutate(aggregate)
    return aggregate


def responsible(seen: Sequence[Seen], outflow: UUID, on: date) -> dict[str, Any] | None:
    """Who held the affiliation and who had the care on a day; None where nothing was known."""
    absence = fold(of_stream(seen, outflow))
    if not isinstance(absence, Outflow):
        return None
    carer, holder = absence.carer_on(on), _holder(absence, seen, on)
    by_then = fold([each for each in of_stream(seen, outflow) if _by(each, on)])
    return {
        "affiliation": holder,
        # Where no host has the care, it is with whoever holds the affiliation.
        "care": holder if carer == absence.keeper else carer,
        "state": absence.state,
        "state_on": by_then.state if isinstance(by_then, Outflow) else None,
        "lost": isinstance(by_then, Outflow) and by_then.lost,
        "left_on": absence.left_on,
        "ended_on": absence.ended_on,
        "destination": absence.destination,
        "stays": [stay._asdict() for stay in absence.stays],
    }


def picture(
    seen: Sequence[Seen], outflow: UUID, on: date, keyring: Keyring
) -> dict[str, Any] | None:
    """As responsible, with what was known of the person, of contacts and attendance by the day."""
    answer = responsible(seen, outflow, on)
    if answer is None:
        return None
    contacts = _standing(seen, outflow, on)
    came = [day for day, mark in _marks(seen, outflow, on) if mark in CAME]
    values = _values(seen, on, keyring)
    return {
        **answer,
        **values,
        "contacts": len(contacts),
        "last_contact": max((day for day, _ in contacts), default=None),
        "last_reached": max((day for day, reached in contacts if reached), default=None),
        "attended": len(came),
        "last_attended": max(came, default=None),
    }


def of_stream(seen: Sequence[Seen], stream: UUID) -> list[Seen]:
    """The facts of one stream."""
    return [each for each in seen if each.fact.originator_id == stream]


def absences(seen: Sequence[Seen]) -> list[Outflow]:
    """Every absence that was known."""
    ids = dict.fromkeys(e.fact.originator_id for e in seen if e.fact.AGGREGATE is Outflow)
    folded = (fold(of_stream(seen, id_)) for id_ in ids)
    return [each for each in folded if isinstance(each, Outflow)]


def holder_on(seen: Sequence[Seen], on: date) -> OrgCode | str | None:
    """Who held the affiliation on a day, by the files alone; None where there was none yet."""
    files = _files(seen)
    first = next((f for f in files if f.continues not in {g.id for g in files}), None)
    return None if first is None else _follow(first, files, on)


def _by(seen: Seen, on: date) -> bool:
    return seen.fact.meta.occurred.on <= on


def _files(seen: Sequence[Seen]) -> list[Member]:
    by_stream: dict[UUID, list[Seen]] = defaultdict(list)
    for each in seen:
        if each.fact.AGGREGATE is Member:
            by_stream[each.fact.originator_id].append(each)
    return [file for told in by_stream.values() if isinstance(file := fold(told), Member)]


def _holder(absence: Outflow, seen: Sequence[Seen], on: date) -> OrgCode | str:
    """The absence's keeper, or whom he had released the member to by then."""
    files = _files(seen)
    file = next((file for file in files if file.id == absence.member), None)
    return absence.keeper if file is None else _follow(file, files, on)


def _follow(file: Member, files: Sequence[Member], on: date) -> OrgCode | str:
    at: Member | None = file
    holder: OrgCode | str = file.keeper
    while at is not None and (holder := at.holder_on(on)) != at.keeper:
        at = next((further for further in files if further.continues == at.id), None)
    return holder


def _values(seen: Sequence[Seen], on: date, keyring: Keyring) -> dict[str, Any]:
    """By field its value on a day: by the day it was the value; of one day the last told."""
    told = [e for e in seen if isinstance(e.fact, ABOUT_A_PERSON) and _by(e, on)]
    last: dict[str, Fact] = {}
    for each in sorted(told, key=attrgetter("fact.meta.occurred.on")):
        for name in FIELDS & set(type(each.fact).model_fields):
            if getattr(each.fact, name) is not None:
                last[name] = each.fact
    return {n: open_field(last[n], n, keyring) if n in last else None for n in sorted(FIELDS)}


def _standing(seen: Sequence[Seen], outflow: UUID, on: date) -> list[tuple[date, bool]]:
    """The contacts up to a day that stood: their days, and whether the member was reached."""
    standing: dict[UUID, tuple[date, bool]] = {}
    for each in seen:
        fact = each.fact
        key = fact.originator_id
        match fact:
            case Contact.Made() if fact.outflow == outflow and _by(each, on):
                standing[key] = fact.meta.occurred.on, fact.reached
            case Contact.Visited() if fact.outflow == outflow and _by(each, on):
                standing[key] = fact.meta.occurred.on, True
            case Contact.Corrected() if key in standing and fact.reached is not None:
                standing[key] = standing[key][0], fact.reached
            case Contact.Withdrawn():
                standing.pop(key, None)
    return list(standing.values())


def _marks(seen: Sequence[Seen], outflow: UUID, on: date) -> list[tuple[date, str]]:
    marks: dict[UUID, tuple[date, str]] = {}
    for each in seen:
        fact = each.fact
        if isinstance(fact, Attendance.Marked | Attendance.Corrected):
            day = marks.get(fact.originator_id, (fact.meta.occurred.on, ""))[0]
            if fact.outflow == outflow and day <= on:
                marks[fact.originator_id] = day, fact.mark
    return list(marks.values())
