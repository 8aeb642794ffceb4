"""联系情况: the last contact, when the next is due, and what is overdue."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from domain.commands import (
    AdoptPolicy,
    CorrectContact,
    RecordContact,
    RecordRelocation,
    RecordReturn,
    RecordVisit,
    WithdrawContact,
)
from domain.policy import Terms
from projections.contacts import DUE
from tests.projections.conftest import Pair, leave, stay
from tests.support.people import LI_NUMBER
from tests.support.sides import Side
from tests.support.story import CHENGDU, ORIGIN

TODAY = date(2026, 1, 5)


def due(side: Side, **asked: Any) -> list[dict[str, Any]]:
    said = {
        "carer": None,
        "outflow": None,
        "overdue": False,
        "today": TODAY,
        "default_days": 7,
        "after": None,
        "limit": 10,
        **asked,
    }
    return side.rows(DUE, **said)


def one(pair: Pair, **asked: Any) -> dict[str, Any]:
    """The one absence there is, as both sides see it."""
    pair.settle()
    ours, theirs = due(pair.origin, **asked), due(pair.host, **asked)
    assert len(ours) == 1
    assert ours == theirs
    return ours[0]


def call(pair: Pair, outflow: UUID, on: date, *, reached: bool = True) -> UUID:
    contact = RecordContact(outflow=outflow, on=on, method="电话", by="李干事", reached=reached)
    return pair.host.do(contact).id


def test_without_a_contact_the_first_is_due_after_the_departure(pair: Pair) -> None:
    stay(pair)

    row = one(pair)

    assert (row["last_reached"], row["contacts"]) == (None, 0)
    assert (row["next_due"], row["overdue"]) == (date(2025, 3, 8), True)


def test_the_next_is_due_after_the_last_that_reached_the_member(pair: Pair) -> None:
    outflow = stay(pair)
    call(pair, outflow, date(2026, 1, 1))
    call(pair, outflow, date(2025, 12, 1))
    call(pair, outflow, date(2026, 1, 4), reached=False)

    row = one(pair)

    assert (row["last_reached"], row["last_tried"]) == (date(2026, 1, 1), date(2026, 1, 4))
    assert (row["next_due"], row["overdue"], row["contacts"]) == (date(2026, 1, 8), False, 3)


def test_overdue_begins_the_day_after(pair: Pair) -> None:
    outflow = stay(pair)
    call(pair, outflow, date(2026, 1, 1))

    assert one(pair, today=date(2026, 1, 8))["overdue"] is False
    assert one(pair, today=date(2026, 1, 9))["overdue"] is True


def test_a_visit_counts(pair: Pair) -> None:
    outflow = stay(pair)
    pair.host.do(RecordVisit(outflow=outflow, on=date(2026, 1, 2), by="李干事"))

    assert one(pair)["last_reached"] == date(2026, 1, 2)


def test_what_was_withdrawn_or_corrected_does_not_count(pair: Pair) -> None:
    outflow = stay(pair)
    call(pair, outflow, date(2025, 12, 1))
    wrong = call(pair, outflow, date(2026, 1, 1))
    missed = call(pair, outflow, date(2026, 1, 2))
    pair.host.do(WithdrawContact(contact=wrong, reason="重复"))
    pair.host.do(CorrectContact(contact=missed, reached=False, reason="未接通"))

    row = one(pair)

    assert (row["last_reached"], row["last_tried"]) == (date(2025, 12, 1), date(2026, 1, 2))
    assert row["contacts"] == 2


def test_what_happened_later_was_not_known_then(pair: Pair) -> None:
    outflow = stay(pair)
    call(pair, outflow, date(2025, 5, 1))
    call(pair, outflow, date(2026, 1, 1))

    assert one(pair, today=date(2025, 6, 1))["last_reached"] == date(2025, 5, 1)


@pytest.mark.parametrize(
    ("today", "days"),
    [(date(2025, 3, 31), 7), (date(2025, 4, 1), 14), (date(2025, 12, 31), 14), (TODAY, 30)],
)
def test_both_sides_count_by_the_edition_of_the_origins_policy(
    pair: Pair, today: date, days: int
) -> None:
    """The host has a policy of its own; it does not count here."""
    for year, month, interval in ((2025, 4, 14), (2026, 1, 30)):
        pair.origin.do(
            AdoptPolicy(
                terms=Terms(contact_interval_days=interval), effective_from=date(year, month, 1)
            )
        )
    pair.host.do(AdoptPolicy(terms=Terms(contact_interval_days=1), effective_from=date(2024, 1, 1)))
    stay(pair)

    assert one(pair, today=today)["interval_days"] == days


def test_one_asks_for_ones_own(pair: Pair) -> None:
    first, second = stay(pair), leave(pair, LI_NUMBER)
    pair.settle()

    assert [row["outflow"] for row in due(pair.origin, carer=CHENGDU)] == [first]
    assert [row["outflow"] for row in due(pair.origin, carer=ORIGIN)] == [second]

    pair.origin.do(RecordRelocation(outflow=first, moved_on=date(2025, 6, 1), destination="深圳"))
    pair.settle()

    assert due(pair.origin, carer=CHENGDU) == []


def test_one_asks_for_what_is_overdue(pair: Pair) -> None:
    first, second = stay(pair), leave(pair, LI_NUMBER)
    call(pair, first, date(2026, 1, 1))
    pair.settle()

    assert [row["outflow"] for row in due(pair.origin, overdue=True)] == [second]


def test_after_the_return_nothing_is_due(pair: Pair) -> None:
    outflow = stay(pair)
    pair.origin.do(RecordReturn(outflow=outflow, returned_on=date(2025, 6, 1)))
    pair.settle()

    assert due(pair.origin) == due(pair.host) == []


def test_pages_go_on_after_an_id(pair: Pair) -> None:
    outflows = sorted((leave(pair), leave(pair, LI_NUMBER)))
    pair.settle()

    first = due(pair.origin, limit=1)
    second = due(pair.origin, limit=1, after=first[0]["outflow"])

    assert [row["outflow"] for row in (*first, *second)] == outflows
