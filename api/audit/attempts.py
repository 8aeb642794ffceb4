"""查找与证据: what was tried to reach a member, with his last signs, before a decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from api.audit.picture import CAME
from api.audit.reading import Known, Reader, Seen
from domain.attendance import Attendance
from domain.contact import Contact
from domain.errors import Refusal
from domain.inflow import Inflow
from domain.ledger import NotFound
from domain.member import Member
from domain.outflow import Outflow
from domain.records import PERSONAL, open_field
from domain.transfer import Transfer
from domain.values import FactId

DUES = (
    "党费缴纳尚未纳入本系统；介绍信上写明的“党费交至”列在此处。"
    "Dues are not recorded in this system yet; what a letter of introduction says stands here."
)
NO_DECISION = "没有登记此类决定，以下为至今的情况。No such decision is recorded; this is as of now."

DECISIONS = (Outflow.ContactLost, Outflow.Closed, Member.Ended)
"""失联、结束、党籍终止; 停止党籍 has no fact of its own yet."""

_ATTEMPTS = (Contact.Made, Contact.Visited)
_CHANGES = (Contact.Corrected, Contact.Withdrawn)
_SIGNS = (Inflow.Reported, Inflow.Accepted, Inflow.Linked, Inflow.DetailsRecorded)


class NotADecision(Refusal):
    """所指的事实不是关于此人的决定。That fact is no decision about this member."""

    kind = "missing"
    mend = "请从 decisions 中选择。Choose one of those under decisions."


def attempts(
    reader: Reader,
    member: UUID,
    decision: FactId | None,
    after: int,
    limit: int,
) -> dict[str, Any]:
    """Every attempt before a decision, a page of them, with the last signs of the member.

    Without a decision named, before the newest one, if there is any.

    Raises:
        NotFound, NotADecision.
    """
    seen = reader.about(reader.person(member), Known(), member)
    if not seen:
        raise NotFound(kind="member", id=member)
    decided = [each for each in seen if _decides(each)]
    chosen = _chosen(decided, decision)
    before = [e for e in seen if chosen is None or _happened_before(e, chosen)]
    tried = [_attempt(reader, each, seen, chosen) for each in before if _is(each, _ATTEMPTS)]
    page = [each for each in tried if each["fact"]["position"] > after][:limit]
    more = bool(page) and page[-1] is not tried[-1]
    return {
        "member": member,
        "decision": _told(reader, chosen) if chosen else None,
        "says": None if chosen else NO_DECISION,
        "decisions": [each.fact.id for each in decided],
        "attempts": len(tried),
        "reached": sum(each["reached"] and not each["withdrawn"] for each in tried),
        "last": {
            "contact": _last(reader, [e for e in before if _reached(e, seen)]),
            "attendance": _last(reader, [e for e in before if _came(e)]),
            "host": _last(reader, [e for e in before if _is(e, _SIGNS)]),
        },
        "dues": {"says": DUES, "letter": _last(reader, [e for e in before if _dues(e)])},
        "items": page,
        "next": page[-1]["fact"]["position"] if more else None,
    }


def _is(seen: Seen, kinds: tuple[type, ...]) -> bool:
    return isinstance(seen.fact, kinds)


def _decides(seen: Seen) -> bool:
    fact = seen.fact
    return _is(seen, DECISIONS) and getattr(fact, "how", None) != "transferred"


def _chosen(decided: Sequence[Seen], decision: FactId | None) -> Seen | None:
    if decision is None:
        return decided[-1] if decided else None
    found = next((each for each in decided if each.fact.id == decision), None)
    if found is None:
        raise NotADecision(asked=decision.model_dump(), decisions=[e.fact.id for e in decided])
    return found


def _happened_before(seen: Seen, decision: Seen) -> bool:
    """By the day; what was told of only afterwards is shown as such."""
    return seen.fact.meta.occurred.on <= decision.fact.meta.occurred.on


def _attempt(
    reader: Reader, seen: Seen, everything: Sequence[Seen], decision: Seen | None
) -> dict[str, Any]:
    fact = seen.fact
    assert isinstance(fact, Contact.Made | Contact.Visited)
    later = [e for e in everything if e.fact.originator_id == fact.originator_id][1:]
    return {
        "on": fact.meta.occurred.on,
        "org": fact.meta.keeper,
        "method": fact.method if isinstance(fact, Contact.Made) else "走访 visit",
        "by": fact.by,
        "reached": _reached_at_last(seen, later),
        "withdrawn": any(isinstance(e.fact, Contact.Withdrawn) for e in later),
        # Nobody can have decided by what was recorded here only afterwards.
        "known_at_decision": decision is None or seen.position < decision.position,
        "changed_by": [reader.evidence(e) for e in later if _is(e, _CHANGES)],
        "fact": reader.evidence(seen),
    }


def _reached_at_last(seen: Seen, later: Sequence[Seen]) -> bool:
    reached = isinstance(seen.fact, Contact.Visited) or bool(getattr(seen.fact, "reached", False))
    for each in later:
        if isinstance(each.fact, Contact.Corrected) and each.fact.reached is not None:
            reached = each.fact.reached
    return reached


def _reached(seen: Seen, everything: Sequence[Seen]) -> bool:
    if not _is(seen, _ATTEMPTS):
        return False
    later = [e for e in everything if e.fact.originator_id == seen.fact.originator_id][1:]
    gone = any(isinstance(each.fact, Contact.Withdrawn) for each in later)
    return not gone and _reached_at_last(seen, later)


def _came(seen: Seen) -> bool:
    fact = seen.fact
    return isinstance(fact, Attendance.Marked | Attendance.Corrected) and fact.mark in CAME


def _dues(seen: Seen) -> bool:
    return isinstance(seen.fact, Transfer.Sent)


def _last(reader: Reader, seen: Sequence[Seen]) -> dict[str, Any] | None:
    """The one that happened last; of one day, the one told last."""
    last = max(seen, key=lambda e: (e.fact.meta.occurred.on, e.position), default=None)
    return None if last is None else _told(reader, last)


def _told(reader: Reader, seen: Seen) -> dict[str, Any]:
    """The evidence of a fact with what it says, as far as this node may read it."""
    fact, sealed = seen.fact, dict(PERSONAL[seen.fact.TOPIC])
    names = [n for n in type(fact).model_fields if n not in {"originator_id", "originator_version"}]
    said = {
        name: open_field(fact, name, reader.ledger.keyring) if name in sealed else value
        for name in names
        if name != "meta" and (value := getattr(fact, name)) is not None
    }
    return {**reader.evidence(seen), "said": said}
