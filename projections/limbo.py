"""不断线: which absences are in nobody's care but on paper, or in two, and for how long."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from domain.policy import Terms
from projections.projection import Row

ANSWER_DAYS = 1
"""How long an acceptance may wait for the answer that the origin's node gives by itself."""

CANDIDATES = """
    SELECT 'pocket' AS rule, f.outflow, f.member, f.origin, f.carer, f.state,
        NULL::text AS host, NULL::uuid AS inflow, f.limbo_since AS since
    FROM custody_flow f
    WHERE f.limbo_since IS NOT NULL AND f.offer_state IS DISTINCT FROM 'open'
    UNION ALL
    SELECT 'unconfirmed', f.outflow, f.member, f.origin, f.carer, f.state, a.host, a.inflow,
        a.answered_at
    FROM custody_flow f JOIN custody_arrival a
        ON a.outflow = f.outflow AND a.host = f.offered_to AND a.answered_offer = f.offer
    WHERE f.offer_state = 'open' AND a.answer = 'accepted'
    UNION ALL
    SELECT 'left-behind', f.outflow, f.member, f.origin, f.carer, f.state, a.host, a.inflow,
        a.ended_at
    FROM custody_flow f JOIN custody_arrival a ON a.outflow = f.outflow AND a.host = f.carer
    WHERE f.state = '在流入地管理' AND a.ended_at IS NOT NULL
    UNION ALL
    SELECT 'held-twice', f.outflow, f.member, f.origin, f.carer, f.state, a.host, a.inflow,
        a.answered_at
    FROM custody_flow f JOIN custody_arrival a ON a.outflow = f.outflow
    WHERE a.answer = 'accepted' AND a.ended_at IS NULL AND a.host <> f.carer
        AND (f.offer_state = 'open' AND f.offered_to = a.host AND f.offer = a.answered_offer)
            IS NOT TRUE
    ORDER BY since, outflow LIMIT %(limit)s
"""
"""Longest first. What is held twice is told from what was answered by the streams themselves."""


class Rule(NamedTuple):
    """What must not last, and the parameter that says how long it may."""

    says: str
    clock: str


RULES = {
    "pocket": Rule(
        "外出已久，没有流入地接收。Away for long, and no host has taken over.", "report_in_days"
    ),
    "unconfirmed": Rule(
        "流入地已接收，流出地尚未确认。The host has accepted, the origin has not confirmed.",
        "ANSWER_DAYS",
    ),
    "left-behind": Rule(
        "流入地已结束管理，流出地尚未办理：两边都以为对方在管。"
        "The host has let go, the origin has not taken back: each thinks the other has the care.",
        "registration_days",
    ),
    "held-twice": Rule(
        "流入地认为在管，流出地从未确认。A host counts on a care that never passed to it.",
        "ANSWER_DAYS",
    ),
}


class Alarm(NamedTuple):
    """One absence that is adrift: by which rule, since when, and when it became an alarm."""

    rule: str
    since: datetime
    due: datetime


def alarm(row: Row, terms: Terms, now: datetime) -> Alarm | None:
    """Whether a candidate has lasted too long, by the origin's policy."""
    clock = RULES[row["rule"]].clock
    days = ANSWER_DAYS if clock == "ANSWER_DAYS" else int(getattr(terms, clock))
    due = row["since"] + timedelta(days=days)
    return Alarm(row["rule"], row["since"], due) if due < now else None
