"""历史: every fact in one list, narrowed by any of its marks, on both axes of time."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import StoredEvent, Tracking

from domain.commands import EndInflow, RecordContact, RecordPhone, WithdrawContact
from projections import search
from projections.search import find, position_at
from tests.projections.conftest import Pair, leave, stay
from tests.support.golden import golden
from tests.support.people import LI_NUMBER
from tests.support.sides import Side
from tests.support.story import CHENGDU, ORIGIN, name


def page(side: Side, after: int = 0, limit: int = 500, **asked: Any) -> list[dict[str, Any]]:
    with side.database.connection() as conn:
        if moment := asked.pop("known_at", None):
            asked["until"] = position_at(conn, moment)
        return find(conn, asked, after, limit).rows


def topics(rows: list[dict[str, Any]]) -> list[str]:
    return [row["topic"] for row in rows]


def test_every_entry_is_a_row(history: Pair) -> None:
    rows = page(history.origin)

    entries = history.origin.ledger.since(0)
    assert [row["position"] for row in rows] == [entry.position for entry in entries]
    assert [bytes(row["state"]) for row in rows] == [entry.record.state for entry in entries]


def test_a_cursor_stays_where_it_is_while_the_ledger_grows(pair: Pair) -> None:
    leave(pair)
    pair.settle()
    first = page(pair.origin, limit=3)
    leave(pair, LI_NUMBER)
    pair.settle()

    pages = [first]
    while pages[-1]:
        pages.append(page(pair.origin, after=pages[-1][-1]["position"], limit=3))

    assert [row for each in pages for row in each] == page(pair.origin)


def test_one_asks_about_a_member(history: Pair) -> None:
    subject = next(iter(history.origin.table("roster_person")))

    rows = page(history.origin, subject=subject)

    assert {row["subject"] for row in rows} == {subject}
    assert len(rows) > 3


def test_one_asks_about_an_absence_and_gets_every_stream_that_names_it(pair: Pair) -> None:
    outflow = stay(pair)
    call = RecordContact(outflow=outflow, on=date(2025, 4, 1), method="电话", by="李干事")
    contact = pair.host.do(call).id
    pair.host.do(WithdrawContact(contact=contact, reason="重复"))
    inflow = next(iter(pair.host.table("custody_arrival")))
    pair.host.do(EndInflow(inflow=inflow, because="lost", ended_on=date(2025, 6, 1)))
    leave(pair, LI_NUMBER)
    pair.settle()

    assert topics(page(pair.origin, outflow=outflow, org=CHENGDU)) == [
        "inflow.accepted",
        "contact.made",
        "contact.withdrawn",
        "inflow.ended",
    ]


def test_one_asks_by_keeper_topic_person_and_chain(history: Pair) -> None:
    side = history.origin
    everything = page(side)
    some = everything[-1]

    assert {row["org"] for row in page(side, org=CHENGDU)} == {CHENGDU}
    assert {row["org"] for row in page(side, org=ORIGIN)} == {ORIGIN}
    assert set(topics(page(side, topic="contact."))) == {
        "contact.made",
        "contact.visited",
        "contact.corrected",
        "contact.withdrawn",
    }
    wangs = [row for row in everything if row["person"] == "wang"]
    assert page(side, person="wang") == wangs != everything
    assert page(side, person="nobody") == []
    chain = page(side, correlation=some["correlation"])
    assert some in chain
    assert {row["correlation"] for row in chain} == {some["correlation"]}


def test_one_asks_by_the_file_it_came_from(pair: Pair) -> None:
    imported = golden("member.phone_recorded")
    state = imported["state"].encode()
    record = StoredEvent(UUID(imported["stream"]), 1, imported["topic"], state)
    pair.origin.ledger.replicate([record], Tracking("import", 1))
    pair.settle()

    assert topics(page(pair.origin, source="f" * 64)) == ["member.phone_recorded"]
    assert page(pair.origin, source="e" * 64) == []


def test_one_asks_for_days_on_which_something_happened(pair: Pair) -> None:
    outflow = leave(pair)
    pair.settle()
    subject = pair.origin.table("roster_flow")[outflow]["member"]
    for day in (date(2025, 5, 1), date(2025, 6, 1), date(2025, 7, 1)):
        pair.origin.do(RecordPhone(member=subject, phone="13900001234", on=day))
    pair.settle()
    days: dict[str, Any] = {"from_day": date(2025, 5, 2), "to_day": date(2025, 6, 1)}

    rows = page(pair.origin, topic="member.phone", **days)

    assert [row["on_day"] for row in rows] == [date(2025, 6, 1)]


def test_one_asks_what_was_known_at_a_moment(pair: Pair) -> None:
    """Late facts: what happened in May and was heard of only later was not known then."""
    outflow = leave(pair)
    pair.settle()
    subject = pair.origin.table("roster_flow")[outflow]["member"]
    known_before = page(pair.origin)
    moment = known_before[-1]["entered_at"]
    pair.origin.do(RecordPhone(member=subject, phone="13900001234", on=date(2025, 5, 1)))
    pair.settle()

    then = page(pair.origin, known_at=moment)
    may = page(pair.origin, known_at=moment, to_day=date(2025, 5, 31), topic="member.phone")
    now = page(pair.origin, to_day=date(2025, 5, 31), topic="member.phone")

    assert then == known_before
    assert (len(may), len(now)) == (0, 1)


def test_a_topic_from_a_newer_peer_is_a_row_too(pair: Pair) -> None:
    state = golden("inflow.reported")["state"].replace(str(name("outflow")), "no id at all")
    later = StoredEvent(uuid4(), 1, "inflow.blessed", state.encode())
    pair.origin.ledger.replicate([later], Tracking("newer", 1))

    pair.settle()

    row = page(pair.origin)[-1]
    assert (row["topic"], row["outflow"], row["subject"]) == (
        "inflow.blessed",
        None,
        name("member"),
    )
    assert row["recorded_at"] == datetime(2026, 1, 5, 1, 0, tzinfo=UTC)


# Pages.

MARKS: dict[str, Any] = {
    "person": "wang",
    "org": ORIGIN,
    "topic": "outflow.",
    "from_day": date(2025, 3, 2),
    "to_day": date(2025, 12, 31),
}


@pytest.mark.slow
@pytest.mark.parametrize("few", [pytest.param(1, marks=pytest.mark.slow), 5, 500])
def test_pages_that_look_through_little_leave_nothing_out(
    history: Pair, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every combination of marks, in pages that look through a few entries each."""
    monkeypatch.setattr(search, "LOOKED_MAX", few)
    everything = page(history.origin)
    combinations = [c for n in range(len(MARKS) + 1) for c in itertools.combinations(MARKS, n)]

    for names in combinations:
        asked = {name: MARKS[name] for name in names}
        found, after = list[dict[str, Any]](), 0
        with history.origin.database.connection() as conn:
            while True:
                got = find(conn, asked, after, 4)
                found += got.rows
                if got.next is None:
                    break
                assert got.next > after
                after = got.next
        assert found == [row for row in everything if _bears(row, asked)], names


def _bears(row: dict[str, Any], asked: dict[str, Any]) -> bool:
    plain = all(row[n] == v for n, v in asked.items() if n in {"person", "org"})
    since = asked.get("from_day", date.min) <= row["on_day"]
    until = row["on_day"] <= asked.get("to_day", date.max)
    return plain and since and until and row["topic"].startswith(asked.get("topic", ""))
