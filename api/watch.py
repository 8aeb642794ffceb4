"""守望: who is adrift at this moment, by what this node knows of both sides, with the proof."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

from api import erasure_board as board
from api import pact_board
from api.node import Node
from api.stale import mark
from domain.aggregate import CIVIL_ZONE
from domain.inflow import Inflow
from domain.outflow import Outflow
from domain.policy import DEFAULT, Policy, Terms
from domain.records import digest
from projections import limbo
from projections.projection import Row

ALARMS_MAX = 1_000
"""Candidates looked at, the longest adrift first."""

_log = logging.getLogger(__name__)


def terms_of(node: Node, origin: str) -> Terms:
    """What the policy of an origin says today."""
    policy = node.ledger.find(Policy, Policy.id_of(origin))
    today = node.clock().astimezone(CIVIL_ZONE).date()
    return policy.on(today).terms if policy else DEFAULT.terms


def alarms(node: Node, outflow: UUID | None = None) -> list[dict[str, Any]]:
    """Every absence that has been adrift for too long, the longest first."""
    rows = node.database.rows(limbo.CANDIDATES, {"limit": ALARMS_MAX})
    now = node.clock()
    told = (_told(node, row, now) for row in rows if outflow in (None, row["outflow"]))
    return [each for each in told if each is not None]


def shown(node: Node, outflow: UUID | None = None) -> dict[str, Any]:
    """The alarms, with what may be wrong about each or missing: it was set aside, or not read.

    Also what of an erasure has waited for too long, and pacts that lapse; not where one
    absence is asked about.
    """
    rows = alarms(node, outflow)
    stale = mark(node, "custody", "outflow", rows)
    more = [] if outflow else board.alarms(node) + pact_board.alarms(node)
    return {"items": rows + more, "stale": stale}


def _told(node: Node, row: Row, now: datetime) -> dict[str, Any] | None:
    raised = limbo.alarm(row, terms_of(node, row["origin"]), now)
    if raised is None or (raised.rule == "held-twice" and _answered(node, row)):
        return None
    rule = limbo.RULES[raised.rule]
    streams = filter(None, (row["outflow"], row["inflow"]))
    other = row["host"] if row["origin"] == node.settings.code else row["origin"]
    return {
        **row,
        "says": rule.says,
        "clock": rule.clock,
        "due": raised.due,
        "days": (now - raised.since).days,
        "heard": node.lanes.standing_in(other).at if other else None,
        "facts": [fact for stream in streams for fact in _newest(node, stream)],
    }


def _answered(node: Node, row: Row) -> bool:
    """Whether the origin has answered the acceptance: then the host counts on nothing."""
    outflow = node.ledger.look_up(Outflow, row["outflow"])
    accepted = (r for r in node.ledger.stream(row["inflow"]) if r.topic == Inflow.Accepted.TOPIC)
    newest = [digest(record) for record in accepted][-1]
    confirmed = (offer.acceptance for offer in outflow.offers.values())
    return newest in {*confirmed, *outflow.voided_acceptances}


def _newest(node: Node, stream: UUID) -> list[dict[str, Any]]:
    """The last word of a stream, by name and digest."""
    return [
        {
            "stream": stream,
            "version": record.originator_version,
            "topic": record.topic,
            "digest": digest(record),
        }
        for record in node.ledger.stream(stream)[-1:]
    ]


def unwitnessed_s(node: Node) -> float | None:
    """Seconds since we signed what no peer has witnessed yet; None where there is no peer."""
    return node.log.unwitnessed_s() if node.relay.peers() else None


class Watch:
    """Looks again and again, and says once when somebody goes adrift or is found."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._known: set[tuple[str, str]] = set()
        self._wrong: set[str] = set()
        self.counts: dict[str, int] = {}

    def look(self) -> None:
        """Compare with the last look."""
        found = {(each["rule"], f"absence {each['outflow']}") for each in alarms(self._node)}
        found |= {
            (each["rule"], f"erasure {each['erasure']} {each.get('org') or ''}".rstrip())
            for each in board.alarms(self._node)
        }
        found |= {
            (each["rule"], f"pact {each['keeper']} → {each['peer']}")
            for each in pact_board.alarms(self._node)
        }
        for rule, about in sorted(found - self._known):
            _log.warning("Alarm %s: %s", rule, about)
        for rule, about in sorted(self._known - found):
            _log.warning("Alarm %s is over: %s", rule, about)
        self._known = found
        self.counts = dict(Counter(rule for rule, _ in found)) | self._ledgers()

    def _ledgers(self) -> dict[str, int]:
        """What is wrong with ledgers, ours and those of others; said in the log once."""
        node = self._node
        late = (unwitnessed_s(node) or 0) > node.settings.witness_alarm_seconds
        rules = {
            **node.witness.alarms(),
            "ledger-unwitnessed": int(late),
            "ledger-fenced": int(node.fence.raised is not None),
            "lanes-held": len(node.relay.held),
        }
        found = {rule: count for rule, count in rules.items() if count}
        for rule in found.keys() - self._wrong:
            _log.warning("Alarm %s", rule)
        for rule in self._wrong - found.keys():
            _log.warning("Alarm %s is over", rule)
        self._wrong = set(found)
        return found
