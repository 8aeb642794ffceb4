"""花名册: who is away, from where, to where, and since when."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent, Tracking

from domain.commands import (
    CorrectIdentity,
    EndMembership,
    HoldActivity,
    MarkAttendance,
    RecordInflowDetails,
    RecordRelocation,
    ReportLost,
    VoidOutflow,
)
from domain.records import PERSONAL
from domain.sealing import Sealed
from projections.activities import HELD, MARKS
from projections.roster import AWAY
from tests.projections.conftest import Pair, leave, stay
from tests.support.golden import golden
from tests.support.people import LI_NUMBER, ZHANG_NUMBER
from tests.support.sides import Side
from tests.support.story import CHENGDU, ORIGIN

NOBODY = {"origin": None, "host": None, "member": None, "state": None, "after": None}


def away(side: Side, **asked: Any) -> list[dict[str, Any]]:
    return side.rows(AWAY, **{**NOBODY, "limit": 10, **asked})


def only(pair: Pair) -> dict[str, Any]:
    """The one row there is, as both sides see it."""
    pair.settle()
    ours, theirs = away(pair.origin), away(pair.host)
    assert len(ours) == 1
    assert ours == theirs
    return ours[0]


def test_a_stay_is_one_row_on_both_sides(pair: Pair) -> None:
    outflow = stay(pair)

    row = only(pair)

    assert (row["outflow"], row["name"], row["number"], row["state"]) == (
        outflow,
        "张三",
        ZHANG_NUMBER,
        "在流入地管理",
    )
    assert (row["origin"], row["host"], row["host_since"]) == (ORIGIN, CHENGDU, date(2025, 3, 10))
    assert (row["host_branch"], row["liaison"], row["phone"]) == (
        "第一支部",
        "李干事",
        "+8613900001234",
    )


def test_how_the_host_reaches_the_member_counts(pair: Pair) -> None:
    outflow = stay(pair)
    inflow = next(iter(pair.host.table("roster_arrival")))
    pair.host.do(RecordInflowDetails(inflow=inflow, phone="13900009999", address="武侯区"))

    row = only(pair)

    assert (row["outflow"], row["phone"], row["address"]) == (outflow, "+8613900009999", "武侯区")


def test_after_a_relocation_there_is_no_host(pair: Pair) -> None:
    outflow = stay(pair)
    pair.origin.do(RecordRelocation(outflow=outflow, moved_on=date(2025, 6, 1), destination="深圳"))

    row = only(pair)

    assert (row["host"], row["liaison"], row["destination"], row["state"]) == (
        None,
        None,
        "深圳",
        "待报到",
    )


def test_a_corrected_number_corrects_birth_and_sex(pair: Pair) -> None:
    stay(pair)
    member = next(iter(pair.origin.table("roster_person")))
    pair.origin.do(CorrectIdentity(member=member, number=LI_NUMBER, reason="录入错误"))

    row = only(pair)

    people = [side.table("roster_person")[member] for side in pair]
    assert row["number"] == LI_NUMBER
    assert [(p["born_on"], p["sex"]) for p in people] == [("1988-03-15", "男")] * 2


def test_an_ended_absence_keeps_its_dates(pair: Pair) -> None:
    outflow = stay(pair)
    member = only(pair)["member"]
    pair.origin.do(ReportLost(outflow=outflow, basis="三个月未联系上"))
    pair.origin.do(EndMembership(member=member, how="died", document="证明", on=date(2025, 9, 1)))

    row = only(pair)

    assert (row["state"], row["ended_on"], row["lost"]) == ("已结束", date(2025, 9, 1), True)
    assert pair.origin.table("roster_person")[member]["ended"] is True


def test_one_asks_for_some_of_them(pair: Pair) -> None:
    first, second = stay(pair), leave(pair, LI_NUMBER, destination=None)
    pair.settle()
    side = pair.origin

    assert [row["outflow"] for row in away(side, host=CHENGDU)] == [first]
    assert [row["outflow"] for row in away(side, state="去向未明")] == [second]
    assert len(away(side, origin=ORIGIN)) == 2
    member = side.table("roster_flow")[second]["member"]
    assert [row["outflow"] for row in away(side, member=member)] == [second]

    pages = [away(side, limit=1)]
    pages.append(away(side, limit=1, after=pages[0][0]["outflow"]))
    assert [row["outflow"] for each in pages for row in each] == sorted((first, second))


def test_what_was_voided_says_so(pair: Pair) -> None:
    outflow = leave(pair)
    pair.origin.do(VoidOutflow(outflow=outflow, reason="重复", second_person="li"))
    pair.settle()

    assert away(pair.origin)[0]["state"] == "作废"


# Keys not granted, values not well.


def test_what_is_not_granted_stays_empty(pair: Pair) -> None:
    stay(pair)
    with pair.host.database.connection() as conn:
        conn.execute("DELETE FROM subject_key WHERE data_class = 'identity'")
    pair.host.keyring._by_id.clear()  # noqa: SLF001 - as after a restart.

    assert pair.host.projector.rebuild("roster") is False
    row = away(pair.host)[0]
    assert (row["name"], row["number"], row["phone"]) == (None, None, "+8613900001234")


def test_what_a_peer_sealed_wrongly_stops_nothing(pair: Pair) -> None:
    stay(pair)
    stream = next(iter(pair.origin.table("roster_person")))
    record = pair.origin.ledger.stream(stream)[0]
    state = json.loads(record.state)
    state["name"], state["number"] = state["number"], state["name"]
    wrong = StoredEvent(
        UUID(golden("member.registered")["stream"]),
        1,
        "member.registered",
        json.dumps(state, ensure_ascii=False, separators=(",", ":")).encode(),
    )
    pair.origin.ledger.replicate([wrong], Tracking("wrong", 1))

    pair.settle()

    person = pair.origin.table("roster_person")[wrong.originator_id]
    assert (person["name"], person["number"], person["branch"]) == (None, None, "东沟村党支部")


def test_the_read_model_holds_no_sealed_value(history: Pair) -> None:
    values = [
        value
        for table in ("roster_person", "roster_flow", "roster_arrival")
        for row in history.origin.table(table).values()
        for value in row.values()
    ]

    assert not any(isinstance(value, Sealed) or str(value).startswith("A256") for value in values)
    assert PERSONAL["member.registered"]


# Activities.


def test_activities_and_marks_are_paged(pair: Pair) -> None:
    outflow = stay(pair)
    for month in (4, 5):
        day = pair.host.do(HoldActivity(on=date(2025, month, 5), title=f"{month}月主题党日")).id
        pair.host.do(MarkAttendance(activity=day, outflow=outflow, mark="present"))
    pair.settle()

    for side in pair:
        held = side.rows(HELD, org=CHENGDU, after=None, limit=10)
        assert [(row["marked"], row["came"]) for row in held] == [(1, 1), (1, 1)]
        asked = {"activity": None, "outflow": outflow}
        marks = side.rows(MARKS, **asked, after=None, limit=1)
        rest = side.rows(MARKS, **asked, after=marks[0]["attendance"], limit=5)
        assert {row["held_on"] for row in (*marks, *rest)} == {date(2025, 4, 5), date(2025, 5, 5)}
