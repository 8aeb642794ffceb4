"""口径里的事实: what each stream says that counts, after each of its facts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from domain.absence import State as Absent
from domain.aggregate import CIVIL_ZONE, Fact
from domain.attendance import Attendance
from domain.contact import Contact
from domain.inflow import Inflow
from domain.member import Member
from domain.outflow import Outflow
from projections.steps import State, due, spell


def said(fact: Fact, known: State | None, allowed: tuple[int, int]) -> State | None:
    """What the stream of a fact says after it; None where it says nothing that counts."""
    stream, version = str(fact.originator_id), fact.originator_version
    seen: dict[str, int] = (known or {}).get("seen", {})
    if version <= seen.get(stream, 0):
        return None  # It has been counted.
    now = _said(fact, known, allowed)
    return now and {**now, "seen": {**seen, stream: version}}


def _said(fact: Fact, known: State | None, allowed: tuple[int, int]) -> State | None:
    if isinstance(fact, Inflow.Reported | Inflow.Accepted) or fact.TOPIC.startswith("outflow."):
        return _absence(fact, known, allowed)
    rule = _RULES.get(type(fact))
    if rule is not None:
        return {**(known or {}), **rule(fact)}
    changed = _CHANGES.get(type(fact))
    return {**known, **changed(fact)} if changed is not None and known else None


def _absence(fact: Fact, known: State | None, allowed: tuple[int, int]) -> State:
    state: State = known or {"kind": "absence", "spells": [], "lost": []}
    match fact:
        case Inflow.Reported() | Inflow.Accepted():
            on = fact.accepted_on if isinstance(fact, Inflow.Accepted) else fact.meta.occurred.on
            first = min(on.isoformat(), state.get("report_done") or "9999")
            return {**state, "report_done": first}
        case Outflow.Reported() | Outflow.Registered():
            return _departed(fact, state, allowed)
        case Outflow.Relocated():
            state = {**state, "destination": fact.destination}
        case Outflow.ContactLost() | Outflow.ContactRestored():
            lost = "lost" if isinstance(fact, Outflow.ContactLost) else None
            day = fact.meta.occurred.on.isoformat()
            return {**state, "lost": spell(state["lost"], day, lost)}
        case Outflow.Voided():
            return {**state, "void": True}
    return _moved(fact, state)


def _moved(fact: Fact, state: State) -> State:
    """The state of an absence passes into another, from a day on."""
    spells, on = state["spells"], fact.meta.occurred.on
    match fact:
        case Outflow.Offered() if not spells or spells[-1][1] != Absent.AWAITING:
            spells = spell(spells, on.isoformat(), Absent.AWAITING)
        case Outflow.Confirmed():
            spells = spell(spells, fact.since.isoformat(), Absent.IN_CARE, fact.host)
            state = {**state, "host": fact.host}
        case Outflow.Relocated() if not spells or spells[-1][1] != Absent.AWAITING:
            # As the care itself ends: once, and never before it began.
            begun = max([fact.moved_on.isoformat(), *(s[0] for s in spells[-1:])])
            spells = spell(spells, begun, Absent.AWAITING)
        case Outflow.Returned():
            spells = spell(spells, fact.returned_on.isoformat(), None)
        case Outflow.Closed():
            spells = spell(spells, fact.closed_on.isoformat(), None)
    return {**state, "spells": spells}


def _departed(
    fact: Outflow.Reported | Outflow.Registered, state: State, allowed: tuple[int, int]
) -> State:
    recorded = fact.meta.recorded_at.astimezone(CIVIL_ZONE).date()
    about = {"member": str(fact.member), "origin": fact.meta.keeper}
    state = {**state, **about, "destination": fact.destination}
    if isinstance(fact, Outflow.Reported):
        announced = state.get("announced") or recorded.isoformat()
        spells = spell([], recorded.isoformat(), Absent.REPORTED)
        return {**state, "announced": announced, "spells": spells}
    left, (register, report) = fact.left_on, allowed
    # Announced ahead, the clock of the registration runs from there if that is later.
    start = max(left, date.fromisoformat(state.get("announced") or left.isoformat()))
    return {
        **state,
        "spells": spell(state["spells"], left.isoformat(), fact.state),
        "left_on": left.isoformat(),
        "register_by": due(start, register),
        "register_done": recorded.isoformat(),
        "report_by": due(left, report),
    }


_Rule = Callable[[Any], State]


def _day(fact: Fact) -> str:
    return fact.meta.occurred.on.isoformat()


def _filed(fact: Member.Registered) -> State:
    org, category = fact.meta.keeper, fact.category
    return {"kind": "file", "org": org, "day": _day(fact), "category": category}


def _contacted(fact: Contact.Made | Contact.Visited) -> State:
    outcome = "visit" if isinstance(fact, Contact.Visited) else _outcome(reached=fact.reached)
    return {"kind": "contact", "org": fact.meta.keeper, "day": _day(fact), "outcome": outcome}


def _marked(fact: Attendance.Marked) -> State:
    return {"kind": "mark", "org": fact.meta.keeper, "day": _day(fact), "mark": fact.mark}


def _outcome(*, reached: bool) -> str:
    return "reached" if reached else "missed"


_RULES: dict[type[Fact], _Rule] = {
    Member.Registered: _filed,
    Member.Received: _filed,
    Contact.Made: _contacted,
    Contact.Visited: _contacted,
    Attendance.Marked: _marked,
}
_CHANGES: dict[type[Fact], _Rule] = {
    Member.Released: lambda fact: {"until": _day(fact)},
    Member.Ended: lambda fact: {"until": _day(fact)},
    Contact.Corrected: lambda fact: (
        {} if fact.reached is None else {"outcome": _outcome(reached=fact.reached)}
    ),
    Contact.Withdrawn: lambda _: {"void": True},
    Attendance.Corrected: lambda fact: {"mark": fact.mark},
}
