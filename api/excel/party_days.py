"""主题党日签到表: the party-day sheet, a row a member, a column a day, a mark a cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from api.excel import cells
from api.excel.codes import MARKS
from api.excel.examining import Examination
from api.excel.faults import Fault
from api.excel.headings import Column, Head
from api.excel.outflows import NAME, NUMBER
from api.excel.rows import AttendanceRow
from api.excel.rules import message
from api.excel.sheets import Cell, Special
from domain.errors import BadDate

COLUMNS = (NAME, NUMBER)

_YEAR = re.compile(r"(\d{4})\s*年")
_MONTH_AND_DAY = re.compile(r"(\d{1,2})(?:月|[./-])(\d{1,2})日?")
_LIKE_A_DATE = re.compile(r"\d+\s*[年月./-]\s*\d+")


class PartyDayJudge:
    """Judges the rows of party-day sheets; knows the days of the sheet it is in."""

    columns: Sequence[Column] = COLUMNS

    def __init__(self) -> None:
        self.days: dict[int, date] = {}
        self.met: dict[tuple[str, date], tuple[str, int]] = {}

    def begin(self, head: Head) -> Iterable[Fault]:
        """Read the days from the headings; a heading like 13月5日 is a fault of its own."""
        self.days, faults = {}, []
        year = _year_above(head)
        for at, label in enumerate(head.labels):
            if at in head.positions.values() or cells.is_blank(label):
                continue
            if found := _heading_day(label, year, head.sheet.epoch):
                self.days[at] = found
            elif _LIKE_A_DATE.search(cells.narrow(label)):
                faults.append(_fault(head, cells.text(label)[:40], "date_nonsense"))
        if not self.days and not faults:
            faults.append(_fault(head, "日期", "no_date_columns"))
        return faults

    def judge(self, row: Examination) -> Sequence[AttendanceRow]:
        name, number = row.person("name", required=True), row.number()
        marks = {on: mark for at, on in self.days.items() if (mark := _mark(row, at, on))}
        if number:
            for on in marks:
                self._refuse_second(row, number, on)
        station = row.line.sheet.title.strip().removesuffix("站")
        common = {"station": station, "name": name, "number": number}
        values = [
            row.build(AttendanceRow, {**common, "on": on, "mark": mark})
            for on, mark in marks.items()
        ]
        return [value for value in values if value]

    def _refuse_second(self, row: Examination, number: str, on: date) -> None:
        place = (row.line.sheet.title, row.line.number)
        first = self.met.setdefault((number, on), place)
        if first != place:
            row.fault("number", "duplicate", sheet=first[0], row=first[1])


def _fault(head: Head, heading: str, rule: str) -> Fault:
    return Fault(head.sheet.title, head.row, heading, rule, message(rule))


def _year_above(head: Head) -> int | None:
    """The year in the title, which short headings such as 1月5日 rely on."""
    for line in head.above:
        for cell in line.cells:
            if found := _YEAR.search(cells.narrow(cell)):
                return int(found[1])
    return None


def _heading_day(label: Cell, year: int | None, epoch: date) -> date | None:
    if not isinstance(label, str | datetime | int | float):
        return None
    try:
        return cells.day(label, epoch)
    except BadDate:
        pass
    short = _MONTH_AND_DAY.fullmatch(cells.narrow(label))
    if not short or not year:
        return None
    try:
        return date(year, int(short[1]), int(short[2]))
    except ValueError:
        return None


def _mark(row: Examination, at: int, on: date) -> str | None:
    """The mark in one cell; a day still to come can have none."""
    cell = row.line.at(at)
    if cells.is_blank(cell):
        return None
    if isinstance(cell, Special):
        row.fault_at(on.isoformat(), "formula" if cell is Special.FORMULA else "error_cell")
        return None
    mark = MARKS.get(cells.text(cell))
    if not mark:
        row.fault_at(on.isoformat(), "unknown_symbol")
    elif on > row.today:
        row.fault_at(on.isoformat(), "in_the_future")
    return mark
