"""Columns are found by what their headings say, and a sheet without them is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest

from api.excel.errors import EmptyWorkbook, HeadingsNotFound, HeadingsRepeated
from api.excel.outflows import OutflowJudge
from api.excel.rows import OutflowRow
from tests.api.excel.support import SOUND, book, ledger, read_here, rules


def renamed(**names: str) -> list[str]:
    return [names.get(heading, heading) for heading in SOUND]


def read_sheet(tmp_path: Path, *rows: Sequence[object]) -> OutflowRow:
    path = book(tmp_path / "台账.xlsx", {"肃州区": rows})
    reading = read_here(path, OutflowJudge())
    assert reading.refused == ()
    return reading.accepted[0].value


@pytest.mark.parametrize(
    "names",
    [
        {"公民身份号码": "公民身份证号"},
        {"公民身份号码": " 公 民\n身份号码　"},
        {"人员类别": "人员类别（正式/预备）"},
        {"所在党支部": "所在党支部(流出地党组织)"},
        {"姓名": "*姓名"},
        {"联系地址": "注入地址"},
    ],
)
def test_a_heading_may_be_spelled_otherwise(tmp_path: Path, names: dict[str, str]) -> None:
    usual = read_sheet(tmp_path, [*SOUND], [*SOUND.values()])

    assert read_sheet(tmp_path, renamed(**names), [*SOUND.values()]) == usual


def test_columns_may_stand_in_any_order_among_others(tmp_path: Path) -> None:
    usual = read_sheet(tmp_path, [*SOUND], [*SOUND.values()])

    headings = ["序号", *reversed(SOUND), "家庭人口"]
    values = [1, *reversed(SOUND.values()), 4]
    assert read_sheet(tmp_path, headings, values) == usual


def test_a_head_of_two_merged_rows_is_read_as_one(tmp_path: Path) -> None:
    usual = read_sheet(tmp_path, [*SOUND], [*SOUND.values()])
    grouped = {"入党日期": "党内信息", "转正日期": None, "流出日期": "外出情况", "流动原因": None}

    upper = [grouped.get(heading, heading) for heading in SOUND]
    lower = [heading if heading in grouped else None for heading in SOUND]
    assert read_sheet(tmp_path, ["流出党员台账"], upper, lower, [*SOUND.values()]) == usual


def test_a_telephone_column_without_a_branch_contact_is_the_members(tmp_path: Path) -> None:
    left = {k: v for k, v in SOUND.items() if k not in {"流出党支部联系人", "本人联系方式"}}

    value = read_sheet(tmp_path, [*left], [*left.values()])

    assert value.phone == "+8613600002000"
    assert value.branch_phone is None


def test_missing_headings_refuse_the_file_and_are_named(tmp_path: Path) -> None:
    path = book(
        tmp_path / "台账.xlsx",
        {"肃州区": [[*SOUND], [*SOUND.values()]], "玉门市": [["姓名", "性别"], ["祁晓岚", "男"]]},
    )

    with pytest.raises(HeadingsNotFound) as refused:
        read_here(path, OutflowJudge())

    assert refused.value.facts == {
        "sheet": "玉门市",
        "missing": ["出生日期", "公民身份号码", "人员类别", "入党日期", "所在党支部", "流出日期"],
    }


def test_a_repeated_heading_is_refused_rather_than_guessed(tmp_path: Path) -> None:
    path = book(tmp_path / "台账.xlsx", {"肃州区": [[*SOUND, "姓名"], [*SOUND.values(), "屈"]]})

    with pytest.raises(HeadingsRepeated) as refused:
        read_here(path, OutflowJudge())

    assert refused.value.facts == {"sheet": "肃州区", "repeated": ["姓名"]}


def test_empty_sheets_and_hidden_code_lists_are_passed_over(tmp_path: Path) -> None:
    path = ledger(tmp_path / "台账.xlsx", {})
    written = openpyxl.load_workbook(path)
    written.create_sheet("Sheet2")
    codes = written.create_sheet("代码")
    codes.append(["正式党员", "预备党员"])
    codes.sheet_state = "hidden"
    written.save(path)

    assert len(read_here(path, OutflowJudge()).accepted) == 1


def test_a_hidden_sheet_of_people_is_read(tmp_path: Path) -> None:
    path = ledger(tmp_path / "台账.xlsx", {"性别": "女"})
    written = openpyxl.load_workbook(path)
    written.create_sheet("Sheet2")
    written["肃州区"].sheet_state = "veryHidden"
    written.save(path)

    assert rules(read_here(path, OutflowJudge()).refused) == [("性别", "sex_contradicts_number")]


def test_a_workbook_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmptyWorkbook):
        read_here(book(tmp_path / "台账.xlsx", {"Sheet1": []}), OutflowJudge())
