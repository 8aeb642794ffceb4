"""不断线: who is in nobody's care but on paper, or in two, and for how long."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from domain.commands import (
    AcceptInflow,
    EndInflow,
    LapseOffer,
    RecallOffer,
    RecordRelocation,
    RecordReturn,
)
from domain.policy import Terms
from projections.limbo import CANDIDATES, RULES, Alarm, alarm
from tests.projections.conftest import Pair, accept, leave, offer, stay
from tests.support.sides import Side
from tests.support.story import NOW

TERMS = Terms()


def adrift(side: Side, after: timedelta) -> list[str]:
    """The rules that raise an alarm, so long after the beginning."""
    side.project()
    raised = (alarm(row, TERMS, NOW + after) for row in side.rows(CANDIDATES, limit=10))
    return [each.rule for each in raised if each is not None]


def both(pair: Pair, after: timedelta) -> list[str]:
    pair.settle()
    ours, theirs = adrift(pair.origin, after), adrift(pair.host, after)
    assert ours == theirs
    return ours


def days(number: float) -> timedelta:
    return timedelta(days=number)


def take(side: Side, outflow: UUID, **said: Any) -> None:
    """The host accepts, and the origin has not heard of it."""
    place = {"branch": "第一支部", "liaison": "李干事", "accepted_on": date(2025, 3, 10)}
    side.do(AcceptInflow.model_validate({"outflow": outflow, "offer": 1, **place, **said}))


def test_a_member_whom_no_host_takes_over_is_a_pocket_member(pair: Pair) -> None:
    leave(pair)

    assert adrift(pair.origin, days(TERMS.report_in_days)) == []
    assert adrift(pair.origin, days(TERMS.report_in_days + 1)) == ["pocket"]


def test_an_offer_that_waits_is_no_limbo_and_one_that_lapsed_does_not_start_the_clock_anew(
    pair: Pair,
) -> None:
    outflow = leave(pair)
    offer(pair, outflow)
    waiting = both(pair, days(29))

    pair.origin.story.after(days=31)
    pair.origin.do(LapseOffer(outflow=outflow, offer=1))

    assert waiting == []
    assert both(pair, days(32)) == ["pocket"]


def test_in_care_nobody_is_adrift(pair: Pair) -> None:
    stay(pair)

    assert both(pair, days(3000)) == []


def test_each_thinks_the_other_has_the_care(pair: Pair) -> None:
    outflow = leave(pair)
    offer(pair, outflow)
    inflow = accept(pair, outflow)
    pair.host.do(EndInflow(inflow=inflow, because="relocated", ended_on=date(2025, 6, 1)))

    assert both(pair, days(TERMS.registration_days)) == []
    assert both(pair, days(TERMS.registration_days + 1)) == ["left-behind"]

    pair.origin.do(RecordReturn(outflow=outflow, returned_on=date(2025, 6, 1)))

    assert both(pair, days(3000)) == []


def test_after_a_relocation_the_clock_runs_from_there(pair: Pair) -> None:
    outflow = leave(pair)
    offer(pair, outflow)
    accept(pair, outflow)
    pair.origin.story.after(days=10)
    moved = {"moved_on": date(2026, 1, 1), "destination": "深圳"}
    pair.origin.do(RecordRelocation.model_validate({"outflow": outflow, **moved}))

    assert "pocket" not in both(pair, days(10 + TERMS.report_in_days))
    assert "pocket" in both(pair, days(11 + TERMS.report_in_days))


def test_an_acceptance_that_is_not_answered_is_noticed_by_the_host(pair: Pair) -> None:
    outflow = leave(pair)
    offer(pair, outflow)
    take(pair.host, outflow)

    assert adrift(pair.host, days(1)) == []
    assert adrift(pair.host, days(2)) == ["unconfirmed"]


def test_an_acceptance_after_the_offer_was_recalled_is_held_twice_until_it_is_answered(
    pair: Pair,
) -> None:
    outflow = leave(pair)
    offer(pair, outflow)
    pair.origin.do(RecallOffer(outflow=outflow, offer=1, reason="去向有误"))
    take(pair.host, outflow)
    pair.host.hear(pair.origin)

    assert "held-twice" not in adrift(pair.host, days(1))
    assert "held-twice" in adrift(pair.host, days(2))


def test_every_rule_says_what_is_the_case_and_names_a_clock() -> None:
    for rule in RULES.values():
        assert "。" in rule.says
        assert rule.clock == "ANSWER_DAYS" or getattr(TERMS, rule.clock) > 0


def test_an_alarm_is_raised_when_its_time_is_over() -> None:
    row = {"rule": "pocket", "since": NOW}
    due = NOW + days(TERMS.report_in_days)

    assert alarm(row, TERMS, due) is None
    assert alarm(row, TERMS, due + days(0.1)) == Alarm("pocket", NOW, due)
