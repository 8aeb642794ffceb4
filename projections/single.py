"""单行: one row of a list, as some facts alone would leave it, without a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from domain.ledger import Entry
from domain.policy import DEFAULT, Edition, Policy
from domain.sealing import Keyring
from domain.values import OrgCode
from projections import custody as board
from projections import transfers as passing
from projections.affiliations import FILE, Affiliations
from projections.contacts import ABSENCE, CONTACT, EDITION, Contacts
from projections.custody import Custody
from projections.projection import Projection, Row, Rows
from projections.roster import ARRIVAL, FLOW, PERSON, Roster
from projections.transfers import ANSWER, TRANSFER, Transfers


class Folded:
    """The rows of some read models, fact by fact, and the policies beside them."""

    def __init__(self, models: Sequence[type[Projection]], keyring: Keyring) -> None:
        self._models = [model(keyring) for model in models]
        self.rows = {t.name: Rows(t, ()) for model in self._models for t in model.tables}
        self._policies: dict[OrgCode, Policy] = {}

    def take(self, entry: Entry) -> None:
        """One more fact."""
        if entry.fact is not None and entry.fact.AGGREGATE is Policy:
            org = entry.fact.meta.keeper
            policy = entry.fact.mutate(self._policies.get(org))
            assert isinstance(policy, Policy)
            self._policies[org] = policy
        for model in self._models:
            if model.wants(entry.record.topic):
                model.apply([entry], self.rows)

    def edition(self, org: OrgCode, on: date) -> Edition:
        """The edition of a policy that was in force, as far as was taken."""
        policy = self._policies.get(org)
        return policy.on(on) if policy else DEFAULT


Show = Callable[[Folded, UUID, date], Row | None]


class List(NamedTuple):
    """A list that people read: the read models behind it, and how a row of it comes about."""

    models: tuple[type[Projection], ...]
    show: Show


def _first(rows: Iterable[Row], by: str) -> Row | None:
    """The row with the greatest value, none coming last; of equals by the key."""
    found = [r for r in rows if r[by] is not None] or list(rows)
    newest = max((r[by] for r in found if r[by] is not None), default=None)
    equals = [r for r in found if r[by] == newest]
    return min(equals, key=lambda row: str(next(iter(row.values()))), default=None)


def _roster(folded: Folded, outflow: UUID, on: date) -> Row | None:
    del on
    flow = folded.rows[FLOW.name].get(outflow)
    person = folded.rows[PERSON.name].get(flow["member"]) if flow else None
    if flow is None or person is None:
        return None
    at_host = [
        row
        for row in folded.rows[ARRIVAL.name].all()
        if row["outflow"] == outflow and row["host"] == flow["host"]
    ]
    arrival = _first(at_host, "accepted_on") or dict.fromkeys(ARRIVAL.columns)
    of_person = ("name", "number", "sex", "category", "branch", "released_to")
    of_flow = ("outflow", "member", "origin", "left_on", "reason", "destination", "state")
    more_of_flow = ("host", "host_since", "ended_on", "lost")
    return {
        **{name: flow[name] for name in (*of_flow, *more_of_flow)},
        **{name: person[name] for name in of_person},
        "host_branch": arrival["branch"],
        **{name: arrival[name] for name in ("party_group", "liaison")},
        **{name: _either(arrival[name], person[name]) for name in ("phone", "address")},
    }


def _either(one: Any, other: Any) -> Any:
    return other if one is None else one


def _custody(folded: Folded, outflow: UUID, on: date) -> Row | None:
    flow = folded.rows[board.FLOW.name].get(outflow)
    if flow is None:
        return None
    asked = [
        row
        for row in folded.rows[board.ARRIVAL.name].all()
        if row["outflow"] == outflow and row["host"] == flow["offered_to"]
    ]
    arrival = _first(asked, "answered_offer") or dict.fromkeys(board.ARRIVAL.columns)
    names = ("inflow", "answered_offer", "answer", "answered_at", "ended_at", "ended_because")
    row = {**flow, **{name: arrival[name] for name in names}}
    turn = board.turn(row, folded.edition(flow["origin"], on).terms)
    return {**row, "turn": turn._asdict() if turn else None}


def _due(folded: Folded, outflow: UUID, on: date) -> Row | None:
    absence = folded.rows[ABSENCE.name].get(outflow)
    if absence is None or not absence["open"]:
        return None
    rows = folded.rows[CONTACT.name].all()
    made = [r for r in rows if r["outflow"] == outflow and not r["withdrawn"] and r["on_day"] <= on]
    editions = [
        (e["effective_from"], e["days"])
        for e in folded.rows[EDITION.name].all()
        if e["org"] == absence["origin"] and e["effective_from"] <= on
    ]
    days = max(editions)[1] if editions else DEFAULT.terms.contact_interval_days
    reached = max((row["on_day"] for row in made if row["reached"]), default=None)
    next_due = (reached or absence["left_on"]) + timedelta(days=days)
    return {
        **{name: absence[name] for name in ("outflow", "member", "origin", "carer")},
        "last_reached": reached,
        "last_tried": max((row["on_day"] for row in made), default=None),
        "contacts": len(made),
        "interval_days": days,
        "next_due": next_due,
        "overdue": next_due < on,
    }


def _member(folded: Folded, member: UUID, on: date) -> Row | None:
    del on
    return folded.rows[FILE.name].get(member)


def _transfer(folded: Folded, transfer: UUID, on: date) -> Row | None:
    row = folded.rows[TRANSFER.name].get(transfer)
    if row is None:
        return None
    given = folded.rows[ANSWER.name].all()
    answers = [r for r in given if r["transfer"] == transfer and r["org"] == row["receiver"]]
    answer = answers[0] if answers else dict.fromkeys(ANSWER.columns)
    names = set(ANSWER.columns) - {"transfer", "org", "filed_at"}
    row = {**row, **{name: answer[name] for name in names}}
    turn = passing.turn(row, folded.edition(row["origin"], on).terms.transfers)
    return {**row, "turn": turn._asdict() if turn else None}


LISTS = {
    "roster": List((Roster,), _roster),
    "custody": List((Custody,), _custody),
    "due": List((Contacts,), _due),
    "members": List((Affiliations,), _member),
    "transfers": List((Transfers,), _transfer),
}
"""By the name of the list; the key of a row is the absence's, the file's or the transfer's id."""
