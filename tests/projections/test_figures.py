"""统计: figures on any day as known at any moment, equal to a count over the facts themselves."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from typing import Any

import pytest

from domain.absence import State
from domain.aggregate import Aggregate
from domain.commands import (
    AdoptPolicy,
    CloseOutflow,
    CorrectContact,
    EndMembership,
    HoldActivity,
    MarkAttendance,
    RecordContact,
    RecordRelocation,
    RecordReturn,
    ReportLost,
    ReportRestored,
    VoidOutflow,
    WithdrawContact,
)
from domain.contact import Contact
from domain.ledger import Entry
from domain.member import Member
from domain.outflow import Outflow
from domain.policy import Terms
from projections import sums
from projections.figures import Figures
from projections.steps import place
from projections.sums import Cell, as_at
from tests.projections.conftest import Pair, accept, leave, offer, stay
from tests.support.people import LI_NUMBER
from tests.support.sides import Side
from tests.support.story import CHENGDU, ORIGIN, TODAY

FAR = date(2030, 1, 1)


def figures(side: Side, on: date = FAR, position: int = 2**42) -> dict[Cell, int]:
    with side.database.connection() as conn:
        return as_at(conn, on, position)


def test_an_absence_is_counted_where_it_stands_on_each_day(pair: Pair) -> None:
    stay(pair)

    for side in pair:
        before = figures(side, date(2025, 2, 28))
        waiting = figures(side, date(2025, 3, 9))
        cared_for = figures(side, date(2025, 3, 10))
        assert {c: n for c, n in before.items() if c.cell != "on_file"} == {}
        assert waiting == {Cell(ORIGIN, "away", State.AWAITING): 1}
        assert cared_for == {
            Cell(ORIGIN, "away", State.IN_CARE): 1,
            Cell(ORIGIN, "hosted", CHENGDU): 1,
            Cell(CHENGDU, "in_care", ORIGIN): 1,
        }


def test_what_is_void_was_never_counted(pair: Pair) -> None:
    outflow = stay(pair)
    known = pair.origin.ledger.head
    pair.origin.do(VoidOutflow(outflow=outflow, reason="重复", second_person="li"))
    pair.settle()

    on = date(2025, 6, 1)
    assert figures(pair.origin, on) == {}
    assert figures(pair.origin, on, known)[Cell(ORIGIN, "away", State.IN_CARE)] == 1


def test_a_contact_counts_by_what_is_said_of_it_last(pair: Pair) -> None:
    outflow = leave(pair)
    call = RecordContact(outflow=outflow, on=date(2025, 4, 1), method="电话", by="王", reached=True)
    first, second = pair.origin.do(call).id, pair.origin.do(call).id
    pair.origin.do(CorrectContact(contact=first, reached=False, reason="未接通"))
    pair.settle()

    counted = {c: n for c, n in figures(pair.origin).items() if c.cell == "contacts"}
    assert counted == {
        Cell(ORIGIN, "contacts", "reached"): 1,
        Cell(ORIGIN, "contacts", "missed"): 1,
    }
    pair.origin.do(WithdrawContact(contact=second, reason="重复"))
    pair.settle()
    assert Cell(ORIGIN, "contacts", "reached") not in figures(pair.origin)


def test_late_is_what_the_policy_known_then_calls_late(pair: Pair) -> None:
    """Left on 1 March 2025, registered on 5 January 2026, reported in on 10 March or 20 April."""
    pair.origin.do(AdoptPolicy(terms=Terms(report_in_days=60), effective_from=date(2025, 4, 1)))
    outflow = stay(pair)
    other = leave(pair, LI_NUMBER)
    offer(pair, other)
    accept(pair, other, on=date(2025, 4, 20))
    pair.settle()

    row = pair.origin.table("figure_absence")[outflow]
    assert (row["register_by"], row["register_done"]) == (date(2025, 3, 11), date(2026, 1, 5))
    assert (row["report_by"], row["report_done"]) == (date(2025, 3, 31), date(2025, 3, 10))
    assert pair.origin.table("figure_absence")[other]["report_done"] == date(2025, 4, 20)
    found = figures(pair.origin)
    assert found[Cell(ORIGIN, "registered_late", "成都")] == 2
    assert found[Cell(ORIGIN, "reported_late", "成都")] == 1


def test_a_second_relocation_does_not_take_back_the_care_that_ended_by_the_first(
    pair: Pair,
) -> None:
    outflow = stay(pair)
    for moved_on in (date(2025, 8, 20), date(2025, 6, 21)):
        said = {"moved_on": moved_on, "destination": "四川省绵阳市"}
        pair.origin.do(RecordRelocation(outflow=outflow, **said))
    pair.settle()

    on = date(2025, 7, 11)

    assert pair.origin.story.ledger.look_up(Outflow, outflow).carer_on(on) == CHENGDU
    head = pair.origin.ledger.head
    assert figures(pair.origin, on, head)[Cell(ORIGIN, "hosted", CHENGDU)] == 1
    assert Cell(ORIGIN, "hosted", CHENGDU) not in figures(pair.origin, date(2025, 8, 20), head)


def test_who_is_lost_is_counted_until_he_is_found_or_back(pair: Pair) -> None:
    outflow, other = leave(pair), leave(pair, LI_NUMBER)
    for each in (outflow, other):
        pair.origin.do(ReportLost(outflow=each, basis="联系不上"))
    pair.settle()
    assert figures(pair.origin)[Cell(ORIGIN, "lost", "")] == 2

    pair.origin.do(ReportRestored(outflow=outflow))
    pair.origin.do(RecordReturn(outflow=other, returned_on=date(2026, 1, 5)))
    pair.settle()

    assert Cell(ORIGIN, "lost", "") not in figures(pair.origin)


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ("四川省成都市武侯区桐梓林路 3 号", "四川省成都市"),
        ("成都市武侯区", "成都市"),
        ("内蒙古自治区阿拉善盟", "内蒙古自治区阿拉善盟"),
        ("甘肃省临夏回族自治州临夏县", "甘肃省临夏回族自治州"),
        ("新加坡乌节路三百号公寓十二层", "新加坡乌节路三百号公寓十"),
        ("", "去向未明"),
        (None, "去向未明"),
    ],
)
def test_a_destination_is_counted_by_its_city(said: str | None, counted: str) -> None:
    assert place(said) == counted


# Against a count over the facts.

DAYS = [date(2025, 2, 1) + timedelta(days=20 * n) for n in range(18)]


@pytest.mark.parametrize("block_bits", [1, 3, sums.BLOCK_BITS])
def test_any_day_at_any_moment_equals_a_count_over_the_facts(
    pair: Pair, block_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    monkeypatch.setattr(sums, "BLOCK_BITS", block_bits)
    _live(pair, chance)
    side = pair.origin
    entries = [e for page in (0, 1000) for e in side.ledger.since(page)]

    for _ in range(25):
        on, position = chance.choice(DAYS), chance.randrange(len(entries) + 2)
        told = [entry for entry in entries if entry.position <= position]
        found = {c: n for c, n in figures(side, on, position).items() if "late" not in c.cell}
        assert found == _counted(told, on), (seed, on, position)
    levels = {row["level"] for row in side.rows("SELECT level FROM figure_sum")}
    assert levels >= {1: {0, 1}, 3: {0}}.get(block_bits, set()), seed
    assert side.projector.rebuild(Figures.name) is True


def _live(pair: Pair, chance: random.Random) -> None:
    """A few absences with whatever befalls them, in an order of chance, in batches of chance."""
    numbers = (LI_NUMBER, "11010519491231002X", "620902195003151235")
    open_ = [stay(pair), *(leave(pair, number) for number in numbers)]
    held = pair.origin.do(HoldActivity(on=date(2025, 5, 1), title="主题党日")).id
    for outflow in open_[:2]:
        pair.origin.do(MarkAttendance(activity=held, outflow=outflow, mark="present"))
    acts = [_act(chance, outflow) for outflow in open_ for _ in range(6)]
    chance.shuffle(acts)
    for act in acts:
        pair.origin.story.when(act)  # Some are refused: that is no matter here.
        if chance.random() < 0.3:
            pair.settle()
    pair.settle()


def _act(chance: random.Random, outflow: Any) -> Any:
    on = chance.choice(DAYS[3:])
    return chance.choice(
        [
            RecordContact(
                outflow=outflow, on=on, method="电话", by="王", reached=chance.random() < 0.5
            ),
            RecordRelocation(outflow=outflow, moved_on=on, destination="四川省绵阳市"),
            ReportLost(outflow=outflow, basis="联系不上"),
            ReportRestored(outflow=outflow),
            RecordReturn(outflow=outflow, returned_on=on),
            CloseOutflow(outflow=outflow, how="died", closed_on=on),
            VoidOutflow(outflow=outflow, reason="重复", second_person="li"),
            RecordContact(outflow=outflow, on=on, method="微信", by="王", reached=True),
        ]
    )


def _counted(entries: list[Entry], on: date) -> dict[Cell, int]:
    """The same figures the slow way, from what the aggregates themselves say."""
    streams: dict[Any, Aggregate] = {}
    spells: dict[Any, list[tuple[date, Any]]] = {}
    contacts: dict[Any, tuple[str, date, bool]] = {}
    found: Counter[Cell] = Counter()
    for entry in entries:
        fact = entry.fact
        assert fact is not None
        key = fact.originator_id
        streams[key] = fact.mutate(streams.get(key))
        day = fact.meta.occurred.on
        match fact:
            case Contact.Made():
                contacts[key] = fact.meta.keeper, day, fact.reached
            case Outflow.ContactLost() | Outflow.ContactRestored():
                spells.setdefault(key, []).append((day, fact))
        if fact.TOPIC == "attendance.marked" and day <= on:
            found[Cell(fact.meta.keeper, "attendance", "present")] += 1
    for org, day, reached in contacts.values():
        found[Cell(org, "contacts", "reached" if reached else "missed")] += day <= on
    for key, each in streams.items():
        if isinstance(each, Member):
            registered = next(e.fact for e in entries if e.fact and e.fact.originator_id == key)
            found[Cell(each.keeper, "on_file", each.category)] += registered.meta.occurred.on <= on
        if isinstance(each, Outflow) and each.state is not State.VOIDED and each.left_on <= on:
            _absence(each, on, spells.get(key, []), found)
    return {cell: amount for cell, amount in found.items() if amount}


def _absence(
    outflow: Outflow, on: date, told: list[tuple[date, Any]], found: Counter[Cell]
) -> None:
    if outflow.ended_on is not None and outflow.ended_on <= on:
        return
    origin, carer = outflow.keeper, outflow.carer_on(on)
    state = State.AWAITING if carer == origin else State.IN_CARE
    found[Cell(origin, "away", state)] += 1
    if carer != origin:
        found[Cell(origin, "hosted", carer)] += 1
        found[Cell(carer, "in_care", origin)] += 1
    last = [fact for day, fact in told if day <= on][-1:]
    found[Cell(origin, "lost", "")] += any(isinstance(f, Outflow.ContactLost) for f in last)


def test_the_end_of_a_membership_takes_a_file_from_the_count(pair: Pair) -> None:
    outflow = leave(pair)
    pair.settle()
    member = pair.origin.table("roster_flow")[outflow]["member"]
    assert figures(pair.origin)[Cell(ORIGIN, "on_file", "正式党员")] == 1

    pair.origin.do(EndMembership(member=member, how="died", document="死亡证明 1 号", on=TODAY))
    pair.settle()

    assert not any(cell.cell == "on_file" for cell in figures(pair.origin))
