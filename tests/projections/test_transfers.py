"""转接看板: for every transfer whose turn it is, since when, until when; and who counts whom."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.aggregate import CIVIL_ZONE
from domain.commands import (
    ApproveTransfer,
    CorrectIdentity,
    EndMembership,
    ExpireTransfer,
    RecordSlip,
    RefuseTransfer,
    ReissueLetter,
    RejectTransfer,
    ReportLetterLost,
    RequestTransfer,
    ReturnSlip,
    SendTransfer,
    WithdrawTransfer,
)
from domain.passage import State
from domain.policy import TransferTerms
from projections.affiliations import HELD, RELEASED
from projections.transfers import BOARD, EXPIRED, turn
from projections.turn import Turn
from tests.projections.conftest import Pair, admit, approve, send
from tests.support.people import ZHANG_NUMBER, register_member
from tests.support.sides import Side
from tests.support.story import CHENGDU, NOW, ORIGIN, TODAY

TERMS = TransferTerms()


def member(pair: Pair) -> UUID:
    return pair.origin.do(register_member()).id


def request(pair: Pair, **to: str) -> UUID:
    asked = {"member": member(pair), **(to or {"to": CHENGDU})}
    return pair.origin.do(RequestTransfer.model_validate(asked)).id


def board(side: Side, transfer: UUID, *, open_: bool = False) -> list[dict[str, Any]]:
    asked = {"transfer": transfer, "member": None, "open": open_, "after": None, "limit": 10}
    return side.rows(BOARD, **asked, org=side.org)


def whose(side: Side, transfer: UUID) -> Turn | None:
    side.project()
    [row] = board(side, transfer)
    return turn(row, TERMS)


def both(pair: Pair, transfer: UUID) -> Turn | None:
    """Whose turn, as both sides see it."""
    pair.settle()
    ours, theirs = whose(pair.origin, transfer), whose(pair.host, transfer)
    assert ours == theirs
    return ours


def give_slip(pair: Pair, transfer: UUID) -> None:
    said = {"transfer": transfer, "handler": "赵干事", "phone": "13900001234"}
    pair.host.do(ReturnSlip.model_validate(said))


def test_a_request_waits_for_the_next_level(pair: Pair) -> None:
    transfer = request(pair)
    first = whose(pair.origin, transfer)
    pair.origin.do(ApproveTransfer(transfer=transfer, level="branch"))

    second = whose(pair.origin, transfer)

    assert first is not None
    assert second is not None
    assert (first.whose, first.until) == (ORIGIN, NOW + timedelta(days=TERMS.approval_days))
    assert first.clock == "approval_days"
    assert "branch" in first.action
    assert "committee" in second.action
    assert board(pair.origin, transfer)[0]["state"] == State.APPROVING


def test_what_is_approved_waits_to_be_sent(pair: Pair) -> None:
    transfer = request(pair)
    approve(pair, transfer)

    found = whose(pair.origin, transfer)

    assert found is not None
    assert (found.whose, found.until, found.urgency(NOW)) == (ORIGIN, None, None)
    assert "SendTransfer" in found.action


def test_what_is_sent_waits_for_the_receiver_as_long_as_the_letter_is_valid(pair: Pair) -> None:
    transfer = send(pair, member(pair), valid_days=10)

    found = both(pair, transfer)

    assert found is not None
    assert (found.whose, found.since) == (CHENGDU, NOW)
    assert (found.warn, found.until) == (NOW + timedelta(days=7), NOW + timedelta(days=10))
    assert [found.urgency(NOW + timedelta(days=n)) for n in (6, 7, 10)] == ["正常", "临期", "超期"]
    assert "expires" in found.otherwise


def test_an_answer_waits_for_the_origins_node(pair: Pair) -> None:
    transfer = send(pair, member(pair))
    refused = {"dispatch": 1, "reason_code": "other", "reason": "材料不全"}
    pair.host.do(RefuseTransfer.model_validate({"transfer": transfer, **refused}))

    found = whose(pair.host, transfer)

    assert found is not None
    assert (found.whose, found.until) == (ORIGIN, None)
    assert "by itself" in found.otherwise


def test_a_refusal_is_a_dispute_with_a_clock(pair: Pair) -> None:
    transfer = send(pair, member(pair))
    refused = {"dispatch": 1, "reason_code": "not_here", "reason": "查无此人"}
    pair.host.do(RefuseTransfer.model_validate({"transfer": transfer, **refused}))

    found = both(pair, transfer)

    assert found is not None
    assert (found.whose, found.until) == (ORIGIN, NOW + timedelta(days=TERMS.dispute_days))
    assert "SendTransfer | WithdrawTransfer" in found.action
    assert "escalates" in found.otherwise
    [row] = board(pair.host, transfer, open_=True)
    assert (row["state"], row["reason"]) == (State.DISPUTED, "not_here")


def test_an_admission_waits_for_its_slip_a_month(pair: Pair) -> None:
    transfer = send(pair, member(pair))
    admit(pair, transfer)

    found = both(pair, transfer)

    assert found is not None
    since = datetime.combine(TODAY, datetime.min.time(), CIVIL_ZONE)
    assert (found.whose, found.since) == (CHENGDU, since)
    assert (found.warn, found.until) == (since + timedelta(days=20), since + timedelta(days=30))
    assert "ReturnSlip" in found.action


def test_a_slip_waits_for_the_origins_node(pair: Pair) -> None:
    transfer = send(pair, member(pair))
    admit(pair, transfer)
    give_slip(pair, transfer)

    found = whose(pair.host, transfer)

    assert found is not None
    assert (found.whose, "by itself" in found.otherwise) == (ORIGIN, True)


def test_what_is_complete_waits_for_nobody_once_the_file_goes_on(pair: Pair) -> None:
    transfer = send(pair, member(pair))
    admit(pair, transfer)
    give_slip(pair, transfer)
    pair.origin.hear(pair.host)
    waiting = whose(pair.origin, transfer)

    done = both(pair, transfer)

    assert waiting is not None
    assert (waiting.whose, done) == (CHENGDU, None)
    assert board(pair.origin, transfer, open_=True) == []


@pytest.mark.parametrize("how", ["lost", "expired"])
def test_a_letter_that_is_lost_or_expired_waits_to_be_reissued(pair: Pair, how: str) -> None:
    transfer = send(pair, member(pair), channel="letter", letter="第17号", valid_days=5)
    pair.origin.story.after(days=5)
    if how == "lost":
        pair.origin.do(ReportLetterLost(transfer=transfer, reason="途中遗失"))
    else:
        pair.origin.do(ExpireTransfer(transfer=transfer, dispatch=1))

    found = both(pair, transfer)

    assert found is not None
    assert (found.whose, found.since) == (ORIGIN, pair.origin.story.now)
    assert "ReissueLetter" in found.action
    pair.origin.do(ReissueLetter(transfer=transfer, letter="第21号", basis="支部证明"))
    again = both(pair, transfer)
    assert again is not None
    assert again.whose == CHENGDU
    assert board(pair.host, transfer)[0]["letter"] == "第21号"


def test_letters_whose_time_has_run_out_are_found(pair: Pair) -> None:
    transfer = send(pair, member(pair), valid_days=5)
    due = NOW + timedelta(days=5)

    found = [pair.origin.rows(EXPIRED, org=ORIGIN, now=n) for n in (due - timedelta(1), due)]

    assert found == [[], [{"transfer": transfer, "dispatch": 1}]]
    assert pair.host.rows(EXPIRED, org=CHENGDU, now=due) == []


def test_a_void_admission_says_why_on_both_sides(pair: Pair) -> None:
    transfer = send(pair, member(pair))
    pair.origin.do(WithdrawTransfer(transfer=transfer, reason="暂不转出"))
    admit(pair, transfer)

    assert both(pair, transfer) is None
    assert {board(side, transfer)[0]["void"] for side in pair} == {"withdrawn"}


def test_what_is_rejected_waits_for_nobody_and_leaves_the_board(pair: Pair) -> None:
    transfer = request(pair)
    pair.origin.do(RejectTransfer(transfer=transfer, reason="材料不全"))

    assert whose(pair.origin, transfer) is None
    assert board(pair.origin, transfer, open_=True) == []


def test_a_letter_to_an_organization_without_a_node_waits_for_the_origin(pair: Pair) -> None:
    transfer = request(pair, to_name="某县县委组织部")
    approve(pair, transfer)
    sent = {"channel": "letter", "letter": "第17号", "dues_paid_to": TODAY}
    pair.origin.do(SendTransfer.model_validate({"transfer": transfer, **sent}))

    found = whose(pair.origin, transfer)

    assert found is not None
    assert (found.whose, "RecordSlip" in found.action) == (ORIGIN, True)
    slip = {"admitted_on": TODAY, "returned_on": TODAY, "handler": "赵", "phone": "13900001234"}
    pair.origin.do(RecordSlip.model_validate({"transfer": transfer, **slip}))
    assert whose(pair.origin, transfer) is None
    assert board(pair.origin, transfer, open_=True) == []


# Who counts whom.


def counted(side: Side, *, held: bool = True) -> list[tuple[str, str | None]]:
    side.project()
    rows = side.rows(HELD, keeper=None, person=None, held=held, after=None, limit=10)
    return sorted((row["keeper"], row["released_to"] or row["released_to_name"]) for row in rows)


def test_a_member_is_counted_by_exactly_one_keeper(pair: Pair) -> None:
    transfer = send(pair, member(pair))
    admit(pair, transfer)
    before = [counted(side) for side in pair]
    give_slip(pair, transfer)
    pair.origin.hear(pair.host)
    between = pair.origin.rows(RELEASED, org=CHENGDU)
    pair.settle()

    assert before == [[(ORIGIN, None)]] * 2
    assert [counted(side) for side in pair] == [[], [(CHENGDU, None)]]
    assert counted(pair.host, held=False) == [(CHENGDU, None), (ORIGIN, CHENGDU)]
    assert between == []
    assert pair.host.rows(RELEASED, org=CHENGDU) == []


def test_the_roster_shows_where_somebody_has_gone(pair: Pair) -> None:
    id_ = member(pair)
    transfer = send(pair, id_)
    admit(pair, transfer)
    give_slip(pair, transfer)
    pair.settle()

    people = pair.host.table("roster_person")

    assert people.pop(id_)["released_to"] == CHENGDU
    [here] = people.values()
    assert (here["keeper"], here["branch"], here["released_to"]) == (CHENGDU, "第一支部", None)
    assert (here["name"], here["number"]) == ("张三", ZHANG_NUMBER)


def test_who_was_released_to_us_and_has_no_file_is_found(pair: Pair) -> None:
    transfer = send(pair, member(pair))
    admit(pair, transfer)
    give_slip(pair, transfer)
    pair.settle()
    with pair.host.database.connection() as conn:
        conn.execute("DELETE FROM affiliation WHERE keeper = %s", (CHENGDU,))

    assert pair.host.rows(RELEASED, org=CHENGDU) == [{"transfer": transfer}]


def test_a_name_is_the_corrected_one_and_who_has_died_is_not_counted(pair: Pair) -> None:
    id_ = member(pair)
    pair.origin.do(CorrectIdentity(member=id_, name="张叁", reason="录入错误"))
    pair.origin.project()
    assert pair.origin.table("affiliation")[id_]["name"] == "张叁"

    pair.origin.do(EndMembership(member=id_, how="died", document="死亡证明", on=date(2025, 9, 1)))

    assert counted(pair.origin) == []
