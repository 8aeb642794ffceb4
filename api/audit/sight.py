"""可见: which organizations had facts about a person by a moment, and what each could open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from api.audit.reading import Reader, Seen
from domain.records import PERSONAL
from domain.sealing import Sealed

OWN = "本组织台账 in this ledger"
SIGNED = "对方签收 acknowledged by its signature"
KEPT = "对方自己登记 recorded by itself"
ELSEWHERE = "由保管组织告知，本组织不知详情 told by the keeper; what it could open is known there"


def saw(reader: Reader, seen: Sequence[Seen], by: datetime) -> list[dict[str, Any]]:
    """Every organization that had something of him by then, this one first."""
    ours = reader.ledger.org
    told = _ours(reader, seen, by)
    peers = reader.node.relay.peers()
    answers = [told, *_peers(reader, seen, by)]
    known = {ours, *(each["org"] for each in answers)}
    for org, facts in _keepers(seen, by).items():
        if org not in known:
            answers.append(_told(org, KEPT, facts, None, []))
            known.add(org)
    for org, facts in _audience(seen, by, ours).items():
        if org not in known:
            answers.append(_told(org, ELSEWHERE, facts, None, None))
    for each in answers:
        org = each["org"]
        each["name"] = (
            reader.node.settings.name if org == ours else peers[org].name if org in peers else None
        )
    return answers


def _told(
    org: str, how: str, facts: int, since: datetime | None, classes: list[dict[str, Any]] | None
) -> dict[str, Any]:
    return {"org": org, "how": how, "facts": facts, "since": since, "classes": classes}


def _ours(reader: Reader, seen: Sequence[Seen], by: datetime) -> dict[str, Any]:
    """This organization: what it has the keys of, from when on."""
    had = [each for each in seen if each.entered_at <= by]
    opened: dict[str, datetime] = {}
    for each in had:
        for name, kind in PERSONAL[each.fact.TOPIC]:
            value = getattr(each.fact, name)
            if kind in opened or not isinstance(value, Sealed):
                continue
            if reader.ledger.keyring.key(value.key_id) is not None:
                opened[kind] = each.entered_at
    classes = [{"class": kind, "since": since} for kind, since in opened.items()]
    since = had[0].entered_at if had else None
    return _told(reader.ledger.org, OWN, len(had), since, classes)


def _peers(reader: Reader, seen: Sequence[Seen], by: datetime) -> list[dict[str, Any]]:
    """Our peers: what each had signed for, and the keys that had gone with it."""
    lanes, peers = reader.node.lanes, list(reader.node.relay.peers())
    streams = list({each.fact.originator_id for each in seen})
    subjects = list({each.fact.meta.subject for each in seen if each.fact.meta.subject})
    granted = lanes.classes_granted(peers, subjects)
    kept, answers = _keepers(seen, by), []
    for listener in lanes.listeners(peers, streams):
        peer = listener.peer
        number = lanes.heard_up_to(peer, by)
        heard = lanes.received(peer, streams, number, by)
        if not heard and peer not in kept:
            continue
        keys = [(kind, first) for org, kind, first in granted if org == peer and first <= number]
        firsts = [first for _, first in keys] + [fact.number for fact in heard.values()]
        signed = lanes.signed_at(peer, firsts)
        since = signed.get(min((f.number for f in heard.values()), default=0))
        classes = [{"class": kind, "since": signed.get(first)} for kind, first in keys]
        how = f"{KEPT}；{SIGNED}" if kept[peer] else SIGNED
        answers.append(_told(peer, how, len(heard) + kept[peer], since, classes))
    return answers


def _keepers(seen: Sequence[Seen], by: datetime) -> Counter[str]:
    return Counter(e.fact.meta.keeper for e in seen if e.fact.meta.recorded_at <= by)


def _audience(seen: Sequence[Seen], by: datetime, ours: str) -> Counter[str]:
    """Who is told by others of what they keep."""
    return Counter(
        org
        for each in seen
        if each.fact.meta.keeper != ours and each.fact.meta.recorded_at <= by
        for org in each.fact.meta.audience
    )
