"""交接看板: for every open step, whose turn it is, since when, until when, and what unblocks it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple

from domain.absence import State
from domain.aggregate import Fact
from domain.claim import Claim
from domain.inflow import Inflow
from domain.outflow import Outflow
from projections.projection import Projection, Row, Rows, Table

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


class Turn(NamedTuple):
    """Whose turn it is; `until` is the clock, `otherwise` what happens when it runs out."""

    whose: str
    since: datetime | None
    until: datetime | None
    action: str
    otherwise: str


def turn(row: Row, register_days: int, report_in_days: int) -> Turn | None:
    """Whose turn an absence waits for; None when nobody has anything to do."""
    origin, since = row["origin"], row["since"]
    if row["offer_state"] == "open":
        return _offer_turn(row)
    match row["state"]:
        case State.REPORTED:
            until = since + timedelta(days=register_days)
            action = "补正 ReportOutflow" if row["reason"] else "外出登记 RegisterOutflow"
            return Turn(origin, since, until, action, "提醒 reminder")
        case State.AWAITING:
            until = since + timedelta(days=report_in_days)
            return Turn(origin, since, until, "发出邀约 OfferCare", "提醒 reminder")
        case State.UNKNOWN:
            until = since + timedelta(days=report_in_days)
            action = "查明去向 RecordRelocation | OfferCare"
            return Turn(origin, since, until, action, "提醒 reminder")
        case State.IN_CARE if row["ended_at"] is not None:
            action = "登记转移或返回 RecordRelocation | RecordReturn"
            return Turn(origin, row["ended_at"], None, action, "不变 nothing changes")
    return None


def _offer_turn(row: Row) -> Turn:
    if row["answered_offer"] == row["offer"]:
        action = "自动答复 answered by itself"
        return Turn(row["origin"], row["answered_at"], None, action, "自动 by itself")
    action = "接收或不接收 AcceptInflow | DeclineInflow"
    lapses = "邀约到期，由流出地重新发出 the offer lapses"
    return Turn(row["offered_to"], row["since"], row["until"], action, lapses)


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
                back = {"carer": origin, "care_since": fact.moved_on}
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
