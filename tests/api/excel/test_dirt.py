"""Whatever stands in the cells, a reader answers with faults or a refusal and never breaks."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.excel.contacts import COLUMNS as CONTACT_COLUMNS
from api.excel.contacts import ContactJudge
from api.excel.errors import WorkbookRefused
from api.excel.judging import Findings, walk
from api.excel.outflows import COLUMNS as OUTFLOW_COLUMNS
from api.excel.outflows import OutflowJudge
from api.excel.party_days import PartyDayJudge
from api.excel.reading import Reading, read_outflows
from api.excel.rules import RULES
from api.excel.sample import FOLDER
from api.excel.sheets import Line, Sheet, Special, Workbook
from tests.api.excel.support import SOUND, TODAY

SHEET = Sheet("肃州区", hidden=False, epoch=date(1899, 12, 30))
CELLS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.sampled_from([*Special]),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31)),  # noqa: DTZ001 - as Excel's.
    st.text(max_size=40),
    st.text("0123456789Xx０-./年月日 ", max_size=20),
    st.sampled_from([*SOUND.values(), *SOUND, "无", "—", "√", "=1+1", "填表人：", "合计"]),
)
JUDGES = {
    OutflowJudge: [column.heading for column in OUTFLOW_COLUMNS],
    ContactJudge: [column.heading for column in CONTACT_COLUMNS],
    PartyDayJudge: ["姓名", "公民身份号码", "2015-01-05", "2015年2月5日", "3月5日", "备注"],
}


def judged(judge: Any, rows: list[list[Any]]) -> Reading[Any]:
    lines = [Line(SHEET, number, cells) for number, cells in enumerate(rows, 1)]
    findings: Findings[Any] = Findings(Workbook("台账.xlsx", "0" * 64, iter(lines)))
    walk(findings.book, judge, findings, TODAY)
    return findings.reading()


@pytest.mark.slow
@pytest.mark.parametrize("judge", JUDGES)
@settings(max_examples=60, deadline=None, database=None)
@given(data=st.data())
def test_no_cell_breaks_a_reader(judge: Any, data: st.DataObject) -> None:
    headings = JUDGES[judge]
    wild = st.lists(CELLS, max_size=len(headings) + 2)
    sound = [SOUND.get(heading, "√") for heading in headings]
    one_off = st.tuples(st.integers(0, len(headings) - 1), CELLS).map(
        lambda change: [*sound[: change[0]], change[1], *sound[change[0] + 1 :]]
    )
    rows = data.draw(st.lists(st.one_of(wild, one_off), max_size=6))

    reading = judged(judge(), [[*headings], *rows])

    faulty = {fault.row for fault in reading.refused}
    assert not faulty & {row.source.row for row in reading.accepted}
    assert {fault.rule for fault in reading.refused} <= set(RULES)


@settings(max_examples=60, deadline=None, database=None)
@given(rows=st.lists(st.lists(CELLS, max_size=8), min_size=1, max_size=8))
def test_no_heading_breaks_a_reader(rows: list[list[Any]]) -> None:
    for judge in JUDGES:
        with suppress(WorkbookRefused):
            judged(judge(), rows)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_a_file_damaged_in_transit_is_read_or_refused(tmp_path: Path, seed: int) -> None:
    random, path = Random(seed), tmp_path / "台账.xlsx"
    content = bytearray((FOLDER / "流出党员台账.xlsx").read_bytes())
    for _ in range(seed + 1):
        content[random.randrange(4, len(content))] = random.randrange(256)
    path.write_bytes(content[: random.choice((len(content), len(content) // 2))])

    with suppress(WorkbookRefused):
        # Only a byte that the archive does not vouch for, such as a time, may go unnoticed.
        assert len(read_outflows(path, today=date(2026, 1, 8)).accepted) == 24
