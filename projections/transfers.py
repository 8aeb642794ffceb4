"""转接看板: for every transfer its state, whose turn it is, until when, and what unblocks it."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any, ClassVar
from uuid import uuid5

from domain.admission import Admission
from domain.aggregate import CIVIL_ZONE, Fact
from domain.passage import UNDECIDED, State
from domain.policy import TransferTerms
from domain.transfer import Transfer
from projections.projection import Projection, Row, Rows, Table
from projections.turn import Turn

TRANSFER = Table(
    "transfer",
    {
        "transfer": "uuid",
        "member": "uuid",
        "person": "uuid",
        "origin": "text",
        "receiver": "text",
        "receiver_name": "text",
        "state": "text",
        "levels": "jsonb",
        "approved": "int",
        "dispatch": "int",
        "channel": "text",
        "letter": "text",
        "sent_at": "timestamptz",
        "until": "timestamptz",
        "dues_paid_to": "date",
        "reason": "text",
        "void": "text",
        "admitted_on": "date",
        "returned_on": "date",
        "completed_on": "date",
        "since": "timestamptz",
    },
    ("member", "state, until"),
)
ANSWER = Table(
    "transfer_answer",
    {
        "admission": "uuid",
        "transfer": "uuid",
        "org": "text",
        "answered_dispatch": "int",
        "answer": "text",
        "answered_at": "timestamptz",
        "branch": "text",
        "slip_dispatch": "int",
        "slip_on": "date",
        "file": "uuid",
        "filed_at": "timestamptz",
    },
    ("transfer",),
)
FORWARDED = Table(
    "transfer_forwarded",
    {"forwarded": "uuid", "transfer": "uuid", "record": "uuid", "version": "int"},
    ("record, version",),
)

BOARD = """
    SELECT t.*, a.admission, a.answered_dispatch, a.answer, a.answered_at, a.branch,
        a.slip_dispatch, a.slip_on, a.file
    FROM transfer t LEFT JOIN transfer_answer a ON a.transfer = t.transfer AND a.org = t.receiver
    WHERE (%(transfer)s::uuid IS NULL OR t.transfer = %(transfer)s)
      AND (%(member)s::uuid IS NULL OR t.member = %(member)s OR t.person = %(member)s)
      AND (NOT %(open)s OR t.state NOT IN ('办结', '退回', '撤销')
           OR (t.state = '办结' AND t.receiver IS NOT NULL AND a.file IS NULL
               AND %(org)s IN (t.origin, t.receiver)))
      AND (%(after)s::uuid IS NULL OR t.transfer > %(after)s)
    ORDER BY t.transfer LIMIT %(limit)s
"""
EXPIRED = """
    SELECT transfer, dispatch FROM transfer
    WHERE state = '在途' AND origin = %(org)s AND until <= %(now)s
    ORDER BY until, transfer LIMIT 1000
"""
LETTER_WARN = 0.7
"""The part of a letter's validity after which both sides are warned."""

RECEIPT_WARN = 2 / 3
"""The part of the time for a slip after which both committees are warned."""


def turn(row: Row, terms: TransferTerms) -> Turn | None:
    """Whose turn a transfer waits for; None when nobody has anything to do."""
    match row["state"]:
        case State.SENT:
            return _sent(row)
        case State.ADMITTED:
            return _admitted(row, terms)
        case State.COMPLETED if row["receiver"] and row["file"] is None:
            return Turn.of_node(row["receiver"], row["since"], "自动建档 filed by itself")
    return _origins(row, terms)


def _origins(row: Row, terms: TransferTerms) -> Turn | None:
    """What waits for the origin: how long for, and what it is to do."""
    state, since = row["state"], row["since"]
    remind, clock = "提醒 reminder", None
    if state in UNDECIDED:
        level, clock = row["levels"][row["approved"]], "approval_days"
        action = f"审批或退回（{level}） ApproveTransfer | RejectTransfer"
    elif state == State.APPROVED:
        action = "转出 SendTransfer"
    elif state in {State.EXPIRED, State.LOST}:
        action = "重新开具或撤销 ReissueLetter | WithdrawTransfer"
    elif state == State.DISPUTED:
        clock = "dispute_days"
        action = "协调后重新转出或撤销 SendTransfer | WithdrawTransfer"
        remind = "提请双方组织部门 escalates to both departments"
    else:
        return None
    until = since + timedelta(days=int(getattr(terms, clock))) if clock else None
    return Turn(row["origin"], since, until, clock, action, remind)


def _sent(row: Row) -> Turn:
    if row["answered_dispatch"] == row["dispatch"]:
        return Turn.of_node(row["origin"], row["answered_at"], "自动答复 answered by itself")
    since, until = row["sent_at"], row["until"]
    warn = since + (until - since) * LETTER_WARN
    whose = row["receiver"] or row["origin"]
    action = (
        "接收或不予接收 AdmitTransfer | RefuseTransfer"
        if row["receiver"]
        else "收到纸质回执后登记 RecordSlip"
    )
    expires = "介绍信超期 the letter expires"
    return Turn(whose, since, until, "letter_validity_days", action, expires, warn)


def _admitted(row: Row, terms: TransferTerms) -> Turn:
    if row["slip_dispatch"] == row["dispatch"]:
        return Turn.of_node(row["origin"], row["since"], "自动办结 completed by itself")
    since = datetime.combine(row["admitted_on"], time(), CIVIL_ZONE)
    span = timedelta(days=terms.receipt_days)
    warn, until = since + span * RECEIPT_WARN, since + span
    action, remind = "返回回执 ReturnSlip", "提醒 reminder"
    return Turn(row["receiver"], since, until, "receipt_days", action, remind, warn)


class Transfers(Projection):
    """The origin's own order decides; the receiver's answers are shown beside it."""

    name: ClassVar[str] = "transfers"
    topics: ClassVar[tuple[str, ...]] = ("transfer.", "admission.")
    tables: ClassVar[tuple[Table, ...]] = (TRANSFER, ANSWER, FORWARDED)

    def project(self, fact: Fact, rows: dict[str, Rows]) -> None:
        """One fact changes one row of one table."""
        match fact:
            case Transfer.Forwarded():
                _forward(fact, rows[FORWARDED.name])
            case _ if fact.TOPIC.startswith("transfer."):
                _step(fact, rows[TRANSFER.name])
            case _:
                _answer(fact, rows[ANSWER.name])


_STATES: dict[type[Fact], State] = {
    Transfer.Rejected: State.REJECTED,
    Transfer.Withdrawn: State.WITHDRAWN,
    Transfer.Sent: State.SENT,
    Transfer.Reissued: State.SENT,
    Transfer.Expired: State.EXPIRED,
    Transfer.LetterLost: State.LOST,
    Transfer.Contested: State.DISPUTED,
    Transfer.Admitted: State.ADMITTED,
    Transfer.Completed: State.COMPLETED,
}


def _step(fact: Fact, rows: Rows) -> None:
    key, at = fact.originator_id, fact.meta.recorded_at
    if state := _STATES.get(type(fact)):
        rows.put(key, state=state, since=at)
    match fact:
        case Transfer.Requested():
            _begin(fact, rows)
        case Transfer.Approved():
            _approve(fact, rows)
        case Transfer.Sent() | Transfer.Reissued():
            _dispatch(fact, rows)
        case _:
            rows.put(key, **_noted(fact))


def _noted(fact: Fact) -> dict[str, Any]:
    """What a step that is not a dispatch leaves besides its state."""
    match fact:
        case Transfer.Rejected() | Transfer.Withdrawn() | Transfer.LetterLost():
            return {"reason": fact.reason}
        case Transfer.Contested():
            return {"reason": fact.reason_code}
        case Transfer.AdmissionVoid():
            return {"void": fact.because}
        case Transfer.Admitted():
            return {"admitted_on": fact.admitted_on}
        case Transfer.Completed():
            days = {"admitted_on": fact.admitted_on, "returned_on": fact.returned_on}
            return {"completed_on": fact.meta.occurred.on, **days}
    return {}


def _begin(fact: Transfer.Requested, rows: Rows) -> None:
    rows.put(
        fact.originator_id,
        member=fact.member,
        person=fact.meta.subject,
        origin=fact.meta.keeper,
        receiver=fact.to,
        receiver_name=fact.to_name,
        state=State.REQUESTED,
        levels=list(fact.levels),
        approved=0,
        since=fact.meta.recorded_at,
    )


def _approve(fact: Transfer.Approved, rows: Rows) -> None:
    key = fact.originator_id
    known: dict[str, Any] = rows.get(key) or {}
    approved, levels = (known.get("approved") or 0) + 1, known.get("levels") or ()
    state = State.APPROVING if approved < len(levels) else State.APPROVED
    rows.put(key, approved=approved, state=state, since=fact.meta.recorded_at)


def _dispatch(fact: Transfer.Sent | Transfer.Reissued, rows: Rows) -> None:
    rows.put(
        fact.originator_id,
        dispatch=fact.dispatch,
        letter=fact.letter,
        sent_at=fact.meta.recorded_at,
        until=fact.until,
        reason=None,
    )
    if isinstance(fact, Transfer.Sent):
        rows.put(fact.originator_id, channel=fact.channel, dues_paid_to=fact.dues_paid_to)


def _forward(fact: Transfer.Forwarded, rows: Rows) -> None:
    rows.put(
        uuid5(fact.originator_id, str(fact.originator_version)),
        transfer=fact.originator_id,
        record=fact.record,
        version=fact.record_version,
    )


def _answer(fact: Fact, rows: Rows) -> None:
    key, at = fact.originator_id, fact.meta.recorded_at
    match fact:
        case Admission.Admitted() | Admission.Refused():
            rows.put(
                key,
                transfer=fact.transfer,
                org=fact.meta.keeper,
                answered_dispatch=fact.dispatch,
                answer=fact.TOPIC.split(".")[1],
                answered_at=at,
            )
            if isinstance(fact, Admission.Admitted):
                rows.put(key, branch=fact.branch)
        case Admission.SlipReturned():
            rows.put(key, slip_dispatch=fact.dispatch, slip_on=fact.returned_on)
        case Admission.Filed():
            rows.put(key, file=fact.file, filed_at=at)
