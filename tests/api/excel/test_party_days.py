"""The party-day sheet: one value a mark, and nothing of a row that has a fault."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from api.excel.party_days import PartyDayJudge
from api.excel.reading import read_party_days
from tests.api.excel.support import TODAY, book, places, read_here, shared

PERSON = ("祁晓岚", "620902195001010017")
DAYS = (date(2015, 1, 5), "2015年2月5日", "3月5日")


def sheet(tmp_path: Path, *marks: Any, days: Any = DAYS, title: str = "成都站") -> Path:
    rows = [["成都站 2015年主题党日签到表"], ["姓名", "公民身份号码", *days], [*PERSON, *marks]]
    return book(tmp_path / "签到表.xlsx", {title: rows})


@pytest.mark.slow
def test_the_shared_year_has_sixty_activities_and_all_their_marks() -> None:
    reading = read_party_days(shared("主题党日签到表.xlsx"), today=TODAY)

    values = [row.value for row in reading.accepted]
    assert reading.refused == ()
    assert len({(value.station, value.on) for value in values}) == 60
    assert len(values) == 2_218
    assert Counter(value.mark for value in values) == {
        "present": 1_754,
        "late": 103,
        "sick": 125,
        "official": 77,
        "personal": 116,
        "absent": 43,
    }


def test_a_mark_arrives_with_station_day_and_member(tmp_path: Path) -> None:
    reading = read_here(sheet(tmp_path, "√", None, "O"), PartyDayJudge())

    assert [row.value.model_dump(mode="json") for row in reading.accepted] == [
        {"station": "成都", "on": on, "name": PERSON[0], "number": PERSON[1], "mark": mark}
        for on, mark in (("2015-01-05", "present"), ("2015-03-05", "sick"))
    ]
    assert {row.source.row for row in reading.accepted} == {3}


@pytest.mark.parametrize(
    ("symbols", "mark"),
    [
        ("√✓✔", "present"),
        ("#＃", "late"),
        ("Oo○〇", "sick"),
        ("★", "official"),
        ("△", "personal"),
        ("×xX✗", "absent"),
    ],
)
def test_a_symbol_is_known_in_every_hand(tmp_path: Path, symbols: str, mark: str) -> None:
    for symbol in symbols:
        reading = read_here(sheet(tmp_path, symbol), PartyDayJudge())

        assert [row.value.mark for row in reading.accepted] == [mark]


@pytest.mark.parametrize(("mark", "rule"), [("?", "unknown_symbol"), ("=A1", "formula")])
def test_a_row_with_one_bad_mark_yields_none(tmp_path: Path, mark: str, rule: str) -> None:
    reading = read_here(sheet(tmp_path, "√", mark, "√"), PartyDayJudge())

    assert places(reading.refused) == [("成都站", 3, "2015-02-05", rule)]
    assert reading.accepted == ()


def test_a_day_still_to_come_has_no_marks(tmp_path: Path) -> None:
    reading = read_here(sheet(tmp_path, "√", days=["2016-02-05"]), PartyDayJudge())

    assert places(reading.refused) == [("成都站", 3, "2016-02-05", "in_the_future")]


def test_a_heading_that_is_no_day_is_a_fault_of_the_heading(tmp_path: Path) -> None:
    reading = read_here(sheet(tmp_path, "√", "√", days=["1月5日", "13月5日"]), PartyDayJudge())

    assert places(reading.refused) == [("成都站", 2, "13月5日", "date_nonsense")]
    assert [row.value.on for row in reading.accepted] == [date(2015, 1, 5)]


def test_a_sheet_without_days_says_so(tmp_path: Path) -> None:
    reading = read_here(sheet(tmp_path, days=["备注"]), PartyDayJudge())

    assert places(reading.refused) == [("成都站", 2, "日期", "no_date_columns")]


def test_a_member_is_marked_once_a_day(tmp_path: Path) -> None:
    head = ["姓名", "公民身份号码", "2015-01-05"]
    path = book(tmp_path / "签到表.xlsx", {"成都站": [head, [*PERSON, "√"], [*PERSON, "×"]]})

    reading = read_here(path, PartyDayJudge())

    assert [row.source.row for row in reading.accepted] == [2]
    assert places(reading.refused) == [("成都站", 3, "公民身份号码", "duplicate")]
