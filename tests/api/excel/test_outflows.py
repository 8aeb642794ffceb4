"""The outflow ledger: every row is accepted whole, or refused with a reason and a remedy."""

from __future__ import annotations

import json
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from api.excel.outflows import OutflowJudge
from api.excel.reading import read_outflows
from tests.api.excel.support import (
    SOUND,
    TODAY,
    book,
    ledger,
    places,
    read_here,
    read_one,
    rules,
    shared,
)

LEDGER = "流出党员台账.xlsx"


@pytest.mark.slow
def test_the_shared_ledger_is_judged_row_by_row_as_expected() -> None:
    path = shared(LEDGER)
    sheets = json.loads(shared("expected.json").read_text())["files"][LEDGER]["sheets"]
    expected = [
        (sheet, int(row), said) for sheet, rows in sheets.items() for row, said in rows.items()
    ]

    reading = read_outflows(path, today=TODAY)

    assert {(row.source.sheet, row.source.row): row.value.number for row in reading.accepted} == {
        (sheet, row): said["number"] for sheet, row, said in expected if said["verdict"] == "accept"
    }
    assert sorted(places(reading.refused)) == sorted(
        (sheet, row, said["field"], said["why"])
        for sheet, row, said in expected
        if said["verdict"] == "reject"
    )
    assert (len(reading.accepted), len(reading.refused)) == (196, 17)


def test_an_accepted_row_names_file_digest_sheet_and_row(tmp_path: Path) -> None:
    path = ledger(tmp_path / "台账.xlsx", {})

    reading = read_outflows(path, today=TODAY)

    source = reading.accepted[0].source
    digest = sha256(path.read_bytes()).hexdigest()
    assert (source.kind, source.file, source.sheet, source.row) == (
        *("import", "台账.xlsx", "肃州区"),
        2,
    )
    assert source.digest == reading.digest == digest


def test_every_field_arrives_in_its_normal_form(tmp_path: Path) -> None:
    reading = read_one(tmp_path)

    assert reading.accepted[0].warnings == ()
    assert reading.accepted[0].value.model_dump() == {
        "name": "祁晓岚",
        "sex": "男",
        "ethnic": "汉族",
        "born_on": date(1950, 1, 1),
        "number": "620902195001010017",
        "education": "高中",
        "category": "正式党员",
        "joined_on": date(1980, 7, 1),
        "full_on": date(1981, 7, 1),
        "branch": "肃州区白杨镇清泉村党支部",
        "branch_contact": "屈怀远",
        "branch_phone": "+8613600002000",
        "former_occupation": "农牧渔民",
        "left_on": date(2014, 2, 2),
        "reason": "务工",
        "scope": "跨省",
        "destination": "四川省成都市",
        "station": "酒泉市驻成都联络服务站",
        "phone": "+8613900001000",
        "address": "成都市样例路1号",
        "permit_held": True,
        "permit_number": "6210000001",
        "contact_state": "正常",
        "remark": None,
    }


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("龚　䶮", "龚䶮"),
        (" 𠮷 野 ", "𠮷野"),
        ("阿依古丽•买买提", "阿依古丽·买买提"),
        ("阿依古丽．买买提", "阿依古丽·买买提"),
        ("\u200b祁\xa0晓岚\ufeff", "祁晓岚"),
        ("John   Smith", "John Smith"),
    ],
)
def test_a_name_loses_its_blanks_and_keeps_its_dot(tmp_path: Path, written: str, read: str) -> None:
    assert read_one(tmp_path, 姓名=written).accepted[0].value.name == read


@pytest.mark.parametrize(
    "written",
    [
        "2014年02月03日",
        "2014年2月3日",
        "2014-02-03",
        "2014.2.3",
        "2014/02/03",
        "20140203",
        "２０１４－０２－０３",
        "2014 年 2 月 3 日",
        "2014-02-03 00:00:00",
        20140203,
        41673,
        41673.0,
        datetime(2014, 2, 3),  # noqa: DTZ001 - Excel knows no time zones.
        date(2014, 2, 3),
    ],
)
def test_a_date_is_read_in_every_spelling(tmp_path: Path, written: object) -> None:
    assert read_one(tmp_path, 流出日期=written).accepted[0].value.left_on == date(2014, 2, 3)


@pytest.mark.parametrize(
    ("written", "read"),
    [("是", True), ("有", True), ("√", True), ("否", False), ("无", False), ("×", False)],
)
def test_a_permit_is_held_or_not_or_unsaid(tmp_path: Path, written: str, *, read: bool) -> None:
    assert (
        read_one(tmp_path, **{"是否持有《流动党员活动证》": written}).accepted[0].value.permit_held
        == read
    )


@pytest.mark.parametrize("mark", [None, "", "无", "—", "-", "/", "　", "——"])
def test_an_empty_mark_is_nothing(tmp_path: Path, mark: str | None) -> None:
    row = read_one(tmp_path, 活动证号码=mark, 备注=mark, 转正日期=mark, 联络服务站=mark).accepted[0]

    assert (row.value.permit_number, row.value.remark) == (None, None)
    assert (row.value.full_on, row.value.station) == (None, None)


@pytest.mark.parametrize(
    ("column", "written", "rule"),
    [
        ("公民身份号码", "620902195001010011", "bad_check_digit"),
        ("公民身份号码", 6.20902195001010e17, "truncated_number"),
        ("公民身份号码", 620902195001010017, "truncated_number"),
        ("公民身份号码", "6.20902E+17", "truncated_number"),
        ("公民身份号码", "62090219500101001", "short_number"),
        ("公民身份号码", "6209021950010100172", "long_number"),
        ("公民身份号码", "62090219500101OO17", "bad_characters"),
        ("公民身份号码", "62090219500101𐩀017", "bad_characters"),
        ("公民身份号码", "620902195013010014", "birth_date_in_number"),
        ("公民身份号码", None, "missing"),
        ("公民身份号码", "=A1", "formula"),
        ("姓名", '=HYPERLINK("x","点击")', "formula_as_name"),
        ("姓名", "+祁晓岚", "formula_as_name"),
        ("姓名", "@SUM(A1)", "formula_as_name"),
        ("流出党支部联系人", "=A1", "formula_as_name"),
        ("姓名", "无", "missing"),
        ("姓名", "祁" * 61, "too_long"),
        ("性别", "女", "sex_contradicts_number"),
        ("性别", "M", "unknown_value"),
        ("出生日期", "1951-01-01", "birth_contradicts_number"),
        ("出生日期", "=MID(E2,7,8)", "formula"),
        ("出生日期", "66", "date_nonsense"),
        ("人员类别", "群众", "unknown_value"),
        ("入党日期", "2003年13月40日", "date_nonsense"),
        ("入党日期", "1980.07", "date_nonsense"),
        ("入党日期", 36, "date_nonsense"),
        ("入党日期", 0.5, "date_nonsense"),
        ("入党日期", "0980-07-01", "date_nonsense"),
        ("入党日期", "2017-01-01", "in_the_future"),
        ("入党日期", "1949-10-01", "before_birth"),
        ("转正日期", "1980-07-01", "equal_dates_outside_1969_1977"),
        ("转正日期", "1979-07-01", "full_before_joined"),
        ("流出日期", "2061-05-01", "left_in_the_future"),
        ("流出日期", "1949-12-31", "before_birth"),
        ("流出日期", None, "missing"),
        ("本人联系方式", "139", "bad_phone"),
        ("本人联系方式", "问他哥哥", "bad_phone"),
        ("联系电话", "13600002000/13600002001", "bad_phone"),
        ("是否持有《流动党员活动证》", "遗失", "unknown_value"),
        ("联系地址", "路" * 501, "too_long"),
        ("学历", "=VLOOKUP(A1,B:C,2)", "formula"),
    ],
)
def test_a_fault_is_named_by_column_and_rule(
    tmp_path: Path, column: str, written: object, rule: str
) -> None:
    reading = read_one(tmp_path, **{column: written})

    assert (column, rule) in rules(reading.refused)
    assert reading.accepted == ()


def test_a_row_is_told_all_its_faults_at_once(tmp_path: Path) -> None:
    reading = read_one(tmp_path, 姓名="=A1", 性别="女", 流出日期="2061-05-01", 本人联系方式="12")

    assert rules(reading.refused) == [
        ("姓名", "formula_as_name"),
        ("本人联系方式", "bad_phone"),
        ("性别", "sex_contradicts_number"),
        ("流出日期", "left_in_the_future"),
    ]


def test_a_message_is_chinese_then_english_and_repeats_no_personal_value(tmp_path: Path) -> None:
    secrets: dict[str, Any] = {
        "姓名": "@祁晓岚",
        "公民身份号码": "620902195001010011",
        "本人联系方式": "139",
        "出生日期": "1951年1月1号",
    }

    for fault in read_one(tmp_path, **secrets).refused:
        assert "\u4e00" <= fault.message[0] <= "\u9fff" or fault.message[0].isupper()
        assert fault.message.isascii() is False
        assert not [value for value in secrets.values() if value in fault.message]


@pytest.mark.parametrize("joined", ["1969-04-01", "1975-07-01", "1977-08-11"])
def test_who_joined_without_probation_may_have_equal_dates(tmp_path: Path, joined: str) -> None:
    assert read_one(tmp_path, 入党日期=joined, 转正日期=joined).refused == ()


@pytest.mark.parametrize("joined", ["1969-03-31", "1977-08-12"])
def test_a_day_outside_those_years_is_refused(tmp_path: Path, joined: str) -> None:
    assert rules(read_one(tmp_path, 入党日期=joined, 转正日期=joined).refused) == [
        ("转正日期", "equal_dates_outside_1969_1977")
    ]


def test_a_number_counts_once_in_the_whole_file(tmp_path: Path) -> None:
    path = book(
        tmp_path / "台账.xlsx",
        {"肃州区": [[*SOUND], [*SOUND.values()]], "玉门市": [[*SOUND], [*SOUND.values()]]},
    )

    reading = read_here(path, OutflowJudge())

    assert [row.source.sheet for row in reading.accepted] == ["肃州区"]
    assert places(reading.refused) == [("玉门市", 2, "公民身份号码", "duplicate")]
    assert "“肃州区”第 2 行" in reading.refused[0].message


def test_an_old_number_of_fifteen_digits_becomes_eighteen(tmp_path: Path) -> None:
    for written in ("620902500101001", 620902500101001):
        reading = read_one(tmp_path, 公民身份号码=written)

        assert [row.value.number for row in reading.accepted] == ["620902195001010017"]


@pytest.mark.parametrize(
    ("column", "written", "rule"),
    [
        ("本人联系方式", "12012345678", "unallocated_phone"),
        ("本人联系方式", None, "missing_phone"),
        ("民族", "穿青人", "unknown_ethnic_group"),
    ],
)
def test_a_doubt_is_accepted_with_a_warning(
    tmp_path: Path, column: str, written: object, rule: str
) -> None:
    reading = read_one(tmp_path, **{column: written})

    assert rules(reading.accepted[0].warnings) == [(column, rule)]
    assert reading.refused == ()


def test_blank_rows_repeated_headings_and_footers_are_nobody(tmp_path: Path) -> None:
    numbered_only = ["1"]
    footer = ["填表人：祁某", "审核人：", "", "", "", "", "2016-01-04"]
    path = book(
        tmp_path / "台账.xlsx",
        {
            "肃州区": [
                ["流出党员台账"],
                ["填报单位：", None, "填报时间：2016年1月4日"],
                ["序号", *SOUND],
                [1, *SOUND.values()],
                [],
                numbered_only,
                ["序号", *SOUND],
                ["合计", None, "1人"],
                footer,
            ]
        },
    )

    reading = read_here(path, OutflowJudge())

    assert [row.source.row for row in reading.accepted] == [4]
    assert reading.refused == ()


def test_a_row_that_lost_name_and_number_is_reported_not_passed_over(tmp_path: Path) -> None:
    reading = read_one(tmp_path, 姓名=None, 公民身份号码=None)

    assert rules(reading.refused) == [("姓名", "missing"), ("公民身份号码", "missing")]
