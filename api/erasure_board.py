"""删除看板: every erasure, whom it was asked of, who has answered, and who has not since when."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from api.node import Node
from domain.destruction import Destruction
from domain.erasure import Erasure, State
from domain.values import OrgCode

ANSWER_DAYS = 1
"""How long a peer's node may take to destroy and say so: it does it by itself."""

REQUEST_DAYS = 15
"""How long a request may wait for its reasoned answer (PIPL practice: fifteen working days)."""

RULES = {
    "erasure-unanswered": "对方尚未答复销毁。A holder of keys has not answered an erasure.",
    "erasure-undecided": "删除申请尚未答复。A request to erase waits for its answer.",
    "restriction-over": "限制处理期限已到。A restriction has outlived its term.",
    "erasure-passed-on": "密钥曾转给他组织，尚待其答复。Who had keys from a holder is silent.",
    "log-kept": "数据库日志未能清除。The database's log of changes could not be let go of.",
}


def board(node: Node) -> list[dict[str, Any]]:
    """Every erasure known here, the newest first; ours with everybody who was asked."""
    found = [told(node, each) for each in node.eraser.erasures()]
    return sorted(found, key=lambda each: str(each["requested_at"]), reverse=True)


def told(node: Node, erasure: Erasure) -> dict[str, Any]:
    """One erasure, as people read it."""
    asked, granted = erasure.requested, erasure.granted
    restricted = erasure.restriction
    ours = erasure.keeper == node.settings.code
    return {
        "erasure": erasure.id,
        "person": erasure.person,
        "requester": erasure.keeper,
        "state": erasure.state,
        "classes": erasure.classes,
        "ground": asked and asked.ground,
        "by": asked and asked.by,
        "document": asked and asked.document,
        "officer": erasure.requester,
        "requested_at": asked and asked.meta.recorded_at,
        "granted_by": granted and granted.meta.author.person,
        "granted_at": granted and granted.meta.recorded_at,
        "restriction": restricted
        and {
            "reason": restricted.reason,
            "basis": restricted.basis,
            "until": restricted.until,
            "purposes": restricted.purposes,
        },
        "extends": erasure.extends,
        "holds": not ours and node.eraser.hold(erasure.person),
        "holders": [_holder(node, erasure, org) for org in erasure.holders],
        "version": erasure.version,
    }


def _holder(node: Node, erasure: Erasure, org: OrgCode) -> dict[str, Any]:
    answer = node.eraser.answer(erasure, org)
    fact = answer and (answer.done or answer.kept)
    asked_at = erasure.granted and erasure.granted.meta.recorded_at
    return {
        "org": org,
        "asked_at": asked_at,
        "heard": _heard(node, erasure, org),
        "answer": _word(answer),
        "answered_at": fact and fact.meta.recorded_at,
        "open_since": None if answer and answer.settled else asked_at,
        "keys": answer.done.keys if answer and answer.done else (),
        "passed_to": answer.done.passed_to if answer and answer.done else (),
        "awaited": answer.awaited if answer else (),
        "kept": _kept(answer),
        "kept_beyond": sorted(answer.keeping - {org}) if answer else [],
    }


def _heard(node: Node, erasure: Erasure, org: OrgCode) -> bool:
    """Whether the organization has acknowledged what was asked last."""
    us = node.settings.code
    if erasure.keeper != us or org == us:
        return org == us
    return org not in node.lanes.unaware([org], erasure.id, erasure.version)


def _word(answer: Destruction | None) -> str | None:
    if answer is None or not answer.answered:
        return None
    return "已销毁" if answer.done else "依法留存"


def _kept(answer: Destruction | None) -> dict[str, Any] | None:
    if answer is None or answer.kept is None or answer.done is not None:
        return None
    kept = answer.kept
    return {"reason": kept.reason, "basis": kept.basis, "until": kept.until}


def alarms(node: Node) -> list[dict[str, Any]]:
    """What of our erasures has waited for too long, as the alarms about absences are told."""
    now = node.clock()
    found = [alarm for each in node.eraser.erasures() for alarm in _overdue(node, each, now)]
    if node.eraser.log_kept:
        found.append(
            {"rule": "log-kept", "says": RULES["log-kept"], "erasure": None, "member": None}
        )
    return found


def _overdue(node: Node, erasure: Erasure, now: datetime) -> list[dict[str, Any]]:
    if erasure.keeper != node.settings.code or erasure.requested is None:
        return []
    match erasure.state:
        case State.REQUESTED if erasure.extends is None:
            since = erasure.requested.meta.recorded_at
            return _late("erasure-undecided", erasure, None, since, REQUEST_DAYS, now)
        case State.RESTRICTED if erasure.restriction is not None and erasure.extends is None:
            over = erasure.restriction.until <= now.date()
            since = erasure.restriction.meta.recorded_at
            return _late("restriction-over", erasure, None, since, 0, now) if over else []
        case State.GRANTED | State.COMPLETED if erasure.granted is not None:
            since = erasure.granted.meta.recorded_at
            return [
                alarm for org in erasure.holders for alarm in _of(node, erasure, org, since, now)
            ]
        case _:
            return []


def _of(
    node: Node, erasure: Erasure, org: OrgCode, since: datetime, now: datetime
) -> list[dict[str, Any]]:
    answer = node.eraser.answer(erasure, org)
    if answer is None or not answer.answered:
        return _late("erasure-unanswered", erasure, org, since, ANSWER_DAYS, now)
    rule = "erasure-passed-on"
    return [a for o in answer.awaited for a in _late(rule, erasure, o, since, ANSWER_DAYS, now)]


def _late(  # noqa: PLR0913, PLR0917 - one alarm.
    rule: str,
    erasure: Erasure,
    org: OrgCode | None,
    since: datetime,
    days: int,
    now: datetime,
) -> list[dict[str, Any]]:
    due = since + timedelta(days=days)
    if due >= now:
        return []
    subject: UUID = erasure.person
    return [
        {
            "rule": rule,
            "says": RULES[rule],
            "erasure": erasure.id,
            "member": subject,
            "org": org,
            "since": since,
            "due": due,
            "days": (now - since).days,
        }
    ]
