"""The contact record: a year is read in seconds, and a row entered twice counts once."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.excel.contacts import ContactJudge
from api.excel.reading import read_contacts
from tests.api.excel.support import TODAY, book, places, read_here, rules, shared

SOUND: dict[str, object] = {
    "日期": "2015-01-05",
    "站点": "北京",
    "姓名": "祁晓岚",
    "公民身份号码": "620902195001010017",
    "联系方式": "电话",
    "联系人": "屈干事",
    "是否联系上": "是",
    "生活工作情况": "工作稳定",
    "反映问题": "无",
    "下次联系": "2015-01-12",
}


def sheet(tmp_path: Path, *changes: dict[str, object]) -> Path:
    rows = [[*(SOUND | change).values()] for change in changes]
    return book(tmp_path / "联系记录.xlsx", {"联系记录": [[*SOUND], *rows]})


@pytest.mark.slow
def test_the_shared_year_is_read_whole() -> None:
    reading = read_contacts(shared("联系记录.xlsx"), today=TODAY)

    assert (len(reading.accepted), len(reading.refused)) == (9_016, 0)
    assert sum(row.value.reached for row in reading.accepted) == 8_551


def test_a_contact_arrives_in_its_normal_form(tmp_path: Path) -> None:
    reading = read_here(sheet(tmp_path, {}), ContactJudge())

    assert reading.accepted[0].value.model_dump(mode="json") == {
        "on": "2015-01-05",
        "station": "北京",
        "name": "祁晓岚",
        "number": "620902195001010017",
        "method": "电话",
        "by": "屈干事",
        "reached": True,
        "condition": "工作稳定",
        "matters": None,
        "next_on": "2015-01-12",
    }


@pytest.mark.parametrize(
    ("column", "written", "rule"),
    [
        ("日期", "2016-01-09", "in_the_future"),
        ("日期", None, "missing"),
        ("联系人", "=A1", "formula_as_name"),
        ("是否联系上", "不详", "unknown_value"),
        ("是否联系上", None, "missing"),
        ("下次联系", "2015-01-05", "next_before_contact"),
        ("公民身份号码", 6.20902195001010e17, "truncated_number"),
        ("联系方式", "—", "missing"),
    ],
)
def test_a_fault_is_named_by_column_and_rule(
    tmp_path: Path, column: str, written: object, rule: str
) -> None:
    reading = read_here(sheet(tmp_path, {column: written}), ContactJudge())

    assert rules(reading.refused) == [(column, rule)]
    assert reading.accepted == ()


def test_the_same_row_twice_counts_once_and_a_second_contact_counts(tmp_path: Path) -> None:
    reading = read_here(sheet(tmp_path, {}, {}, {"联系方式": "微信"}), ContactJudge())

    assert [row.source.row for row in reading.accepted] == [2, 4]
    assert places(reading.refused) == [("联系记录", 3, "公民身份号码", "duplicate")]
