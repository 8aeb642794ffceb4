"""交接看板: for every open step, whose turn it is, since when, until when, and what unblocks it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from domain.absence import State
from domain.aggregate import Fact
from domain.claim import Claim
from domain.inflow import Inflow
from domain.outflow import Outflow
from domain.policy import Terms
from projections.projection import Projection, Row, Rows, Table
from projections.turn import Turn

FLOW = Table(
    "custody_flow",
    {
        "outflow": "uuid",
        "member": "uuid",
        "origin": "text",
        "state": "text",
        "carer": "text",
        "care_since": "date",
        "offer": "int",
        "offered_to": "text",
        "until": "timestamptz",
        "offer_state": "text",
        "reason": "text",
        "since": "timestamptz",
        "limbo_since": "timestamptz",
    },
    ("origin", "carer"),
)
ARRIVAL = Table(
    "custody_arrival",
    {
        "inflow": "uuid",
        "outflow": "uuid",
        "origin": "text",
        "host": "text",
        "found": "bool",
        "answered_offer": "int",
        "answer": "text",
        "answered_at": "timestamptz",
        "ended_at": "timestamptz",
        "ended_because": "text",
        "since": "timestamptz",
    },
    ("outflow",),
)
CLAIM = Table("custody_claim", {"claim": "uuid", "inflow": "uuid", "answer": "text"}, ("inflow",))

BOARD = """
    SELECT f.*, a.inflow, a.answered_offer, a.answer, a.answered_at, a.ended_at, a.ended_because
    FROM custody_flow f LEFT JOIN LATERAL (
        SELECT * FROM custody_arrival WHERE outflow = f.outflow AND host = f.offered_to
        ORDER BY answered_offer DESC NULLS LAST, inflow LIMIT 1
    ) a ON true
    WHERE (%(outflow)s::uuid IS NULL OR f.outflow = %(outflow)s)
      AND (NOT %(open)s OR f.state IN ('待登记', '待报到', '去向未明', '在流入地管理'))
      AND (%(after)s::uuid IS NULL OR f.outflow > %(after)s)
    ORDER BY f.outflow LIMIT %(limit)s
"""
CLAIMS = """
    SELECT a.inflow, a.origin, a.host, a.since FROM custody_arrival a
    LEFT JOIN custody_claim c ON c.inflow = a.inflow
    WHERE a.found AND c.inflow IS NULL AND a.outflow IS NULL ORDER BY a.since LIMIT %(limit)s
"""


REMINDS = "提醒，并列入不断线警示 a reminder, and an alarm"


def turn(row: Row, terms: Terms) -> Turn | None:
    """Whose turn an absence waits for; None when nobody has anything to do."""
    if row["offer_state"] == "open":
        return _offer_turn(row)
    match row["state"]:
        case State.REPORTED:
            action = "补正 ReportOutflow" if row["reason"] else "外出登记 RegisterOutflow"
            return _origin_turn(row, row["since"], "registration_days", action, terms)
        case State.AWAITING:
            return _origin_turn(row, row["since"], "report_in_days", "发出邀约 OfferCare", terms)
        case State.UNKNOWN:
            action = "查明去向 RecordRelocation | OfferCare"
            return _origin_turn(row, row["since"], "report_in_days", action, terms)
        case State.IN_CARE if row["ended_at"] is not None:
            action = "登记转移或返回 RecordRelocation | RecordReturn"
            return _origin_turn(row, row["ended_at"], "registration_days", action, terms)
    return None


def claim_turn(row: Row, terms: Terms) -> Turn:
    """A member whom a host found, and for whom the origin has to answer."""
    action = "认领或不认领 RecognizeClaim | RefuseClaim"
    return _origin_turn(row, row["since"], "registration_days", action, terms)


def _origin_turn(row: Row, since: datetime, clock: str, action: str, terms: Terms) -> Turn:
    until = since + timedelta(days=int(getattr(terms, clock)))
    return Turn(row["origin"], since, until, clock, action, REMINDS)


def _offer_turn(row: Row) -> Turn:
    if row["answered_offer"] == row["offer"]:
        return Turn.of_node(row["origin"], row["answered_at"], "自动答复 answered by itself")
    action = "接收或不接收 AcceptInflow | DeclineInflow"
    lapses = "邀约到期，由流出地重新发出 the offer lapses"
    host, clock = row["offered_to"], "offer_validity_days"
    return Turn(host, row["since"], row["until"], clock, action, lapses)


class Custody(Projection):
    """The outflow's own order decides; the host's answers are shown beside it."""

    name: ClassVar[str] = "custody"
    topics: ClassVar[tuple[str, ...]] = ("outflow.", "inflow.", "claim.")
    tables: ClassVar[tuple[Table, ...]] = (FLOW, ARRIVAL, CLAIM)

    def project(self, fact: Fact, rows: dict[str, Rows]) -> None:
        """One fact changes one row of one table."""
        match fact:
            case Claim.Recognized() | Claim.Refused():
                answer = "recognized" if isinstance(fact, Claim.Recognized) else "refused"
                rows[CLAIM.name].put(fact.originator_id, inflow=fact.inflow, answer=answer)
            case _ if fact.TOPIC.startswith("outflow."):
                self._flow(fact, rows[FLOW.name])
            case _:
                self._arrival(fact, rows[ARRIVAL.name])

    def _flow(self, fact: Fact, rows: Rows) -> None:
        key, at = fact.originator_id, fact.meta.recorded_at
        origin = fact.meta.keeper
        match fact:
            case Outflow.Reported():
                self._begin(fact, rows, State.REPORTED)
            case Outflow.Registered():
                self._begin(fact, rows, fact.state)
            case Outflow.CorrectionAsked():
                rows.put(key, reason=fact.reason, since=at)
            case Outflow.Relocated():
                back = {"carer": origin, "care_since": fact.moved_on, "limbo_since": at}
                rows.put(key, state=State.AWAITING, since=at, **back)
            case Outflow.Returned():
                self._end(fact, rows, State.RETURNED)
            case Outflow.Closed():
                self._end(fact, rows, State.CLOSED)
            case Outflow.Voided():
                self._end(fact, rows, State.VOIDED)
            case _:
                self._offer(fact, rows)

    def _begin(self, fact: Outflow.Reported | Outflow.Registered, rows: Rows, state: State) -> None:
        origin = fact.meta.keeper
        rows.put(
            fact.originator_id,
            member=fact.member,
            origin=origin,
            carer=origin,
            state=state,
            reason=None,
            since=fact.meta.recorded_at,
            limbo_since=None if state is State.REPORTED else fact.meta.recorded_at,
        )

    def _end(self, fact: Fact, rows: Rows, state: State) -> None:
        key = fact.originator_id
        answered = (rows.get(key) or {}).get("offer_state")
        rows.put(
            key,
            state=state,
            carer=fact.meta.keeper,
            offer_state="ended" if answered == "open" else answered,
            since=fact.meta.recorded_at,
            limbo_since=None,
        )

    def _offer(self, fact: Fact, rows: Rows) -> None:
        key, at = fact.originator_id, fact.meta.recorded_at
        match fact:
            case Outflow.Offered():
                rows.put(
                    key,
                    state=State.AWAITING,
                    offer=fact.offer,
                    offered_to=fact.host,
                    until=fact.until,
                    offer_state="open",
                    reason=None,
                    since=at,
                )
            case Outflow.Confirmed():
                care: dict[str, Any] = {"carer": fact.host, "care_since": fact.since}
                care["limbo_since"] = None
                rows.put(key, state=State.IN_CARE, offer_state="confirmed", since=at, **care)
            case Outflow.TurnedDown():
                rows.put(key, offer_state="turned_down", reason=fact.reason_code, since=at)
            case Outflow.Lapsed():
                rows.put(key, offer_state="lapsed", since=at)
            case Outflow.Recalled():
                rows.put(key, offer_state="recalled", reason=fact.reason, since=at)
            case Outflow.AcceptanceVoid():
                rows.put(key, reason=f"acceptance void: {fact.because}")

    def _arrival(self, fact: Fact, rows: Rows) -> None:
        key, at, host = fact.originator_id, fact.meta.recorded_at, fact.meta.keeper
        match fact:
            case Inflow.Found():
                rows.put(key, origin=fact.origin, host=host, found=True, since=at)
            case Inflow.Reported() | Inflow.Linked():
                rows.put(key, outflow=fact.outflow, host=host, since=at)
            case Inflow.Accepted() | Inflow.Declined():
                rows.put(
                    key,
                    outflow=fact.outflow,
                    host=host,
                    answered_offer=fact.offer,
                    answer=fact.TOPIC.split(".")[1],
                    answered_at=at,
                    ended_at=None,
                    ended_because=None,
                )
            case Inflow.Ended():
                rows.put(key, ended_at=at, ended_because=fact.because)
