"""约定看板: what each side lets the other open, for what, until when, and what waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

from api.node import Node
from domain.aggregate import CIVIL_ZONE
from domain.ledger import NotFound
from domain.outflow import Outflow
from domain.pact import SHARING, Pact, PactState
from domain.purposes import PURPOSES, SAID
from domain.records import PERSONAL, decode
from domain.sealing import Sealed
from domain.values import OrgCode

RULES = {
    "pact-lapses": "同步约定即将到期。A pact on what is opened lapses soon.",
    "pact-lapsed": "同步约定已到期，新的密钥不再传递。A pact has lapsed: no new key passes.",
}


def today_of(node: Node) -> date:
    """The civil day, by the node's clock."""
    return node.clock().astimezone(CIVIL_ZONE).date()


def board(node: Node) -> list[dict[str, Any]]:
    """Every peer with both pacts: ours, by which it opens what we keep, and its own."""
    waiting: dict[OrgCode, dict[str, int]] = {}
    for peer, data_class, count in node.lanes.withheld_counts():
        waiting.setdefault(peer, {})[data_class] = count
    org = node.settings.code
    return [
        {
            "peer": peer,
            "ours": told(node, org, peer) | {"withheld": waiting.get(peer, {})},
            "theirs": told(node, peer, org),
        }
        for peer in node.relay.peers()
    ]


def told(node: Node, keeper: OrgCode, peer: OrgCode) -> dict[str, Any]:
    """One pact as people read it, by today: in force, or the newest version."""
    pact, today = node.ledger.find(Pact, Pact.id_of(keeper, peer)), today_of(node)
    if pact is None or not pact.editions:
        return {"state": PactState.NONE, "classes": (), "says": _says(PactState.NONE, None)}
    state, newest = pact.state_on(today), pact.editions[-1]
    terms = pact.on(today) or newest
    last = pact.runs_until(today) if state is PactState.IN_FORCE else None
    return {
        "state": state,
        "says": _says(state, last),
        "classes": terms.classes if state is PactState.IN_FORCE else (),
        "agreed": terms.model_dump(mode="json"),
        "purposes": {each: [SAID[each], *_bases(each)] for each in terms.purposes},
        "basis": SHARING[terms.basis],
        "next": None if newest is terms else newest.model_dump(mode="json"),
        "in_force_until": last,
        "days_left": None if last is None else (last - today).days,
        "ended": pact.ended and {"at": pact.ended.meta.recorded_at, "reason": pact.ended.reason},
        "version": pact.version,
    }


def _says(state: PactState, last: date | None) -> str:
    if state is PactState.IN_FORCE:
        return f"有效至 {last} in force until {last}"
    return f"{state.value}：新的密钥不传递，记录照常同步 no new key passes, facts flow sealed"


def _bases(purpose: str) -> list[str]:
    """On what the fields rest that are processed for a purpose."""
    handled = (each for fields in PURPOSES.values() for each in fields.values())
    return sorted({each.basis for each in handled if each.under == purpose})


def alarms(node: Node) -> list[dict[str, Any]]:
    """Agreements that lapse soon or have lapsed, ours and theirs; what was ended is no alarm."""
    org = node.settings.code
    pairs = [pair for peer in node.relay.peers() for pair in ((org, peer), (peer, org))]
    return [alarm for pair in pairs for alarm in _alarm(node, *pair)]


def _alarm(node: Node, keeper: OrgCode, peer: OrgCode) -> Iterable[dict[str, Any]]:
    pact, today = node.ledger.find(Pact, Pact.id_of(keeper, peer)), today_of(node)
    state = PactState.NONE if pact is None else pact.state_on(today)
    if pact is None or state not in {PactState.IN_FORCE, PactState.LAPSED}:
        return
    lapsed = state is PactState.LAPSED
    last = pact.editions[-1].until if lapsed else pact.runs_until(today)
    left = (last - today).days
    if lapsed or left < node.settings.pact_notice_days:
        rule = "pact-lapsed" if lapsed else "pact-lapses"
        said = {"keeper": keeper, "peer": peer, "until": last, "days_left": left}
        yield {"rule": rule, "says": RULES[rule], "erasure": None, "member": None, **said}


def sealed(node: Node, outflow: UUID) -> list[dict[str, Any]]:
    """What of an absence does not open here, by class, and how the keeper's pact stands."""
    absence = node.ledger.find(Outflow, outflow)
    if absence is None:
        raise NotFound(kind="outflow", id=outflow)
    keeper, org, key = absence.keeper, node.settings.code, node.keyring.key
    if keeper == org:
        return []
    facts = [decode(r) for s in (outflow, absence.member) for r in node.ledger.stream(s)]
    closed = {
        kind
        for fact in facts
        if fact is not None
        for name, kind in PERSONAL[fact.TOPIC]
        if isinstance(value := getattr(fact, name), Sealed) and key(value.key_id) is None
    }
    pact = told(node, keeper, org) if closed else {}
    return [
        {
            "class": kind,
            "keeper": keeper,
            "agreed": kind in pact["classes"],
            "state": pact["state"],
            "says": pact["says"],
        }
        for kind in sorted(closed)
    ]
