"""The sample workbooks are ours, invented, and what their generator writes."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import openpyxl
import pytest

from api.excel.reading import read_contacts, read_outflows, read_party_days
from api.excel.sample import FOLDER, write_samples
from tests.api.excel.support import TODAY, places, shared

THIS_YEAR = date(2026, 1, 8)
NAMES = ("流出党员台账.xlsx", "联系记录.xlsx", "主题党日签到表.xlsx")


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    return {sheet.title: list(sheet.values) for sheet in openpyxl.load_workbook(path)}


@pytest.mark.parametrize("name", NAMES)
def test_writing_the_samples_again_gives_the_same_cells(tmp_path: Path, name: str) -> None:
    written = {path.name: path for path in write_samples(tmp_path)}

    assert contents(written[name]) == contents(FOLDER / name)


def test_the_sample_ledger_has_two_stations_and_five_faults() -> None:
    reading = read_outflows(FOLDER / NAMES[0], today=THIS_YEAR)

    assert Counter(row.value.station for row in reading.accepted) == {
        "酒泉市驻成都联络服务站": 14,
        "酒泉市驻深圳联络服务站": 10,
    }
    assert places(reading.refused) == [
        ("肃州区", 12, "公民身份号码", "bad_check_digit"),
        ("肃州区", 14, "公民身份号码", "truncated_number"),
        ("肃州区", 15, "姓名", "formula_as_name"),
        ("玉门市", 12, "转正日期", "equal_dates_outside_1969_1977"),
        ("玉门市", 14, "流出日期", "left_in_the_future"),
    ]
    assert all(row.value.left_on < date(2025, 1, 1) for row in reading.accepted)
    assert not [row for row in reading.accepted if row.warnings]


@pytest.mark.slow
def test_contacts_and_marks_are_of_the_members_in_the_ledger() -> None:
    members = {
        (row.value.name, row.value.number)
        for row in read_outflows(FOLDER / NAMES[0], today=THIS_YEAR).accepted
    }
    contacts = read_contacts(FOLDER / NAMES[1], today=THIS_YEAR)
    marks = read_party_days(FOLDER / NAMES[2], today=THIS_YEAR)

    assert (contacts.refused, marks.refused) == ((), ())
    assert {(row.value.name, row.value.number) for row in contacts.accepted} == members
    assert {(row.value.name, row.value.number) for row in marks.accepted} == members
    assert Counter(row.value.on.month for row in contacts.accepted) == dict.fromkeys(
        range(1, 13), 24
    )
    assert len({(row.value.station, row.value.on) for row in marks.accepted}) == 24


@pytest.mark.slow
def test_nobody_in_the_samples_is_in_the_shared_ledger() -> None:
    theirs = read_outflows(shared(NAMES[0]), today=TODAY).accepted
    ours = read_outflows(FOLDER / NAMES[0], today=THIS_YEAR).accepted

    assert not {row.value.name for row in ours} & {row.value.name for row in theirs}
    assert not {row.value.number for row in ours} & {row.value.number for row in theirs}
