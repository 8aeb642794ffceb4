"""交接看板: for every open step, whose turn it is, since when, until when."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.commands import (
    AskCorrection,
    DeclineInflow,
    EndInflow,
    FindMember,
    LapseOffer,
    RecallOffer,
    RecognizeClaim,
    RecordRelocation,
    RecordReturn,
    RefuseClaim,
    ReportInflow,
    ReportOutflow,
)
from domain.policy import Terms
from projections.custody import BOARD, CLAIMS, turn
from projections.turn import Turn
from tests.projections.conftest import Pair, accept, leave, offer, stay
from tests.support.people import LI_NUMBER, register_member
from tests.support.sides import Side
from tests.support.story import CHENGDU, NOW, ORIGIN

REGISTER, REPORT_IN = 10, 30


def board(side: Side, outflow: UUID, *, open_: bool = True) -> list[dict[str, Any]]:
    return side.rows(BOARD, outflow=outflow, open=open_, after=None, limit=10)


def whose(side: Side, outflow: UUID) -> Turn | None:
    rows = board(side, outflow, open_=False)
    assert len(rows) == 1
    return turn(rows[0], Terms())


def both(pair: Pair, outflow: UUID) -> Turn | None:
    """Whose turn, as both sides see it."""
    pair.settle()
    ours, theirs = whose(pair.origin, outflow), whose(pair.host, outflow)
    assert ours == theirs
    return ours


def test_a_report_waits_for_the_origin_to_register_it(pair: Pair) -> None:
    member = pair.origin.do(register_member()).id
    outflow = pair.origin.do(ReportOutflow(member=member, planned_on=date(2026, 2, 1))).id
    pair.settle()

    found = whose(pair.origin, outflow)

    assert found is not None
    assert found[:3] == (ORIGIN, NOW, NOW + timedelta(days=REGISTER))
    assert "RegisterOutflow" in found.action


def test_what_was_sent_back_waits_to_be_reported_anew(pair: Pair) -> None:
    member = pair.origin.do(register_member()).id
    outflow = pair.origin.do(ReportOutflow(member=member, planned_on=date(2026, 2, 1))).id
    pair.origin.story.after(hours=1)
    pair.origin.do(AskCorrection(outflow=outflow, reason="缺少去向"))
    pair.settle()

    found = whose(pair.origin, outflow)

    assert found is not None
    assert found.since == NOW + timedelta(hours=1)
    assert "ReportOutflow" in found.action
    assert board(pair.origin, outflow)[0]["reason"] == "缺少去向"


@pytest.mark.parametrize(
    ("destination", "action"), [("成都", "OfferCare"), (None, "RecordRelocation | OfferCare")]
)
def test_an_absence_waits_for_an_offer(pair: Pair, destination: str | None, action: str) -> None:
    outflow = leave(pair, destination=destination)
    pair.settle()

    found = whose(pair.origin, outflow)

    assert found is not None
    assert found[:3] == (ORIGIN, NOW, NOW + timedelta(days=REPORT_IN))
    assert found.action.endswith(action)


def test_an_offer_waits_for_the_host(pair: Pair) -> None:
    outflow = leave(pair)
    offer(pair, outflow, valid_days=5)

    found = both(pair, outflow)

    assert found is not None
    assert found[:3] == (CHENGDU, NOW, NOW + timedelta(days=5))
    assert "AcceptInflow | DeclineInflow" in found.action
    assert "lapses" in found.otherwise


def test_a_report_does_not_answer_the_offer(pair: Pair) -> None:
    outflow = leave(pair)
    offer(pair, outflow)
    pair.host.do(ReportInflow(outflow=outflow))

    found = both(pair, outflow)

    assert found is not None
    assert found.whose == CHENGDU


def test_an_answer_waits_for_the_origins_node(pair: Pair) -> None:
    outflow = leave(pair)
    offer(pair, outflow)
    pair.host.do(
        DeclineInflow(outflow=outflow, offer=1, reason_code="other", reason="支部尚未成立")
    )
    pair.host.project()

    found = whose(pair.host, outflow)

    assert found is not None
    assert (found.whose, found.since, found.until) == (ORIGIN, NOW, None)
    assert "by itself" in found.otherwise


def test_while_a_host_has_the_care_nobody_is_waited_for(pair: Pair) -> None:
    outflow = stay(pair)

    assert both(pair, outflow) is None
    assert board(pair.host, outflow)[0]["carer"] == CHENGDU


def test_a_stay_that_has_ended_waits_for_the_origin(pair: Pair) -> None:
    outflow = stay(pair)
    inflow = board(pair.host, outflow)[0]["inflow"]
    pair.host.do(EndInflow(inflow=inflow, because="returned", ended_on=date(2025, 6, 1)))

    found = both(pair, outflow)

    assert found is not None
    assert found[:3] == (ORIGIN, NOW, NOW + timedelta(days=REGISTER))
    assert found.clock == "registration_days"
    assert "RecordReturn" in found.action


def test_the_next_stay_with_the_same_host_is_not_over(pair: Pair) -> None:
    outflow = stay(pair)
    inflow = board(pair.host, outflow)[0]["inflow"]
    pair.host.do(EndInflow(inflow=inflow, because="relocated", ended_on=date(2025, 6, 1)))
    pair.settle()
    pair.origin.do(RecordRelocation(outflow=outflow, moved_on=date(2025, 6, 1), destination="成都"))
    offer(pair, outflow)
    accept(pair, outflow, 2, date(2025, 6, 2))

    assert both(pair, outflow) is None


@pytest.mark.parametrize("how", ["declined", "recalled", "lapsed", "relocated"])
def test_after_an_offer_is_over_the_origin_makes_another(pair: Pair, how: str) -> None:
    outflow = leave(pair)
    offer(pair, outflow)
    if how == "declined":
        pair.host.do(
            DeclineInflow(outflow=outflow, offer=1, reason_code="other", reason="支部尚未成立")
        )
    elif how == "recalled":
        pair.origin.do(RecallOffer(outflow=outflow, offer=1, reason="有误"))
    elif how == "lapsed":
        pair.origin.story.after(days=31)
        pair.origin.do(LapseOffer(outflow=outflow, offer=1))
    else:
        accept(pair, outflow)
        pair.origin.do(
            RecordRelocation(outflow=outflow, moved_on=date(2025, 6, 1), destination="深圳")
        )

    found = both(pair, outflow)

    assert found is not None
    assert (found.whose, found.since) == (ORIGIN, pair.origin.story.now)
    assert "OfferCare" in found.action


def test_a_void_acceptance_says_why_on_both_sides(pair: Pair) -> None:
    outflow = leave(pair)
    offer(pair, outflow)
    pair.origin.do(RecallOffer(outflow=outflow, offer=1, reason="有误"))
    accept(pair, outflow)

    reasons = {board(side, outflow)[0]["reason"] for side in pair}

    assert reasons == {"acceptance void: recalled"}


def test_what_is_over_waits_for_nobody_and_leaves_the_board(pair: Pair) -> None:
    outflow = leave(pair)
    offer(pair, outflow)
    pair.origin.do(RecordReturn(outflow=outflow, returned_on=date(2025, 6, 1)))

    assert both(pair, outflow) is None
    assert board(pair.origin, outflow) == []
    assert board(pair.origin, outflow, open_=False)[0]["offer_state"] == "ended"


def test_a_find_waits_as_a_claim_until_it_is_answered(pair: Pair) -> None:
    found = [
        pair.host.do(FindMember(origin=ORIGIN, name=name)).id for name in ("张三", "王五", "李四")
    ]
    pair.settle()
    outflow = leave(pair)
    pair.origin.do(RefuseClaim(inflow=found[0], reason="不是本组织党员"))
    pair.origin.do(RecognizeClaim(inflow=found[1], outflow=outflow))
    pair.settle()

    for side in pair:
        waiting = side.rows(CLAIMS, limit=10)
        assert [(row["inflow"], row["origin"], row["host"]) for row in waiting] == [
            (found[2], ORIGIN, CHENGDU)
        ]


def test_a_host_that_knows_a_member_twice_is_shown_once(pair: Pair) -> None:
    """It found him, and then he reported: two streams, one stay."""
    outflow = leave(pair)
    offer(pair, outflow)
    pair.host.do(ReportInflow(outflow=outflow))
    pair.settle()
    with pair.origin.database.connection() as conn:
        conn.execute(
            "INSERT INTO custody_arrival (inflow, outflow, host)"
            " VALUES (gen_random_uuid(), %s, %s)",
            (outflow, CHENGDU),
        )

    assert len(board(pair.origin, outflow)) == 1


def test_the_board_is_read_page_by_page_while_it_grows(pair: Pair) -> None:
    first = leave(pair)
    pair.settle()
    page = pair.origin.rows(BOARD, outflow=None, open=True, after=None, limit=1)
    second = leave(pair, LI_NUMBER)
    pair.settle()

    rest = pair.origin.rows(BOARD, outflow=None, open=True, after=page[-1]["outflow"], limit=5)

    assert page[0]["outflow"] == first
    assert {row["outflow"] for row in rest} == ({second} if second > first else set())
