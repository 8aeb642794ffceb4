"""读取: from an official workbook to rows accepted, and faults that say how to mend them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TypeVar

from api.excel.contacts import ContactJudge
from api.excel.faults import Fault, Reading, Row
from api.excel.judging import Findings, Judge, walk
from api.excel.limits import DEFAULT_LIMITS, WorkbookLimits
from api.excel.outflows import OutflowJudge
from api.excel.party_days import PartyDayJudge
from api.excel.rows import AttendanceRow, ContactRow, OutflowRow
from api.excel.sheets import opened
from domain.values import Source

__all__ = [
    "AttendanceRow",
    "ContactRow",
    "Fault",
    "OutflowRow",
    "Reading",
    "Row",
    "Source",
    "WorkbookLimits",
    "read_contacts",
    "read_outflows",
    "read_party_days",
]

T = TypeVar("T")


def read_outflows(
    path: Path, *, today: date, limits: WorkbookLimits = DEFAULT_LIMITS
) -> Reading[OutflowRow]:
    """流出党员台账: a row a member; an id number counts once in the whole file.

    Raises:
        WorkbookRefused: when the file as a whole cannot be read (see docs/reference/workbooks.md).
    """
    return _read(path, OutflowJudge(), today, limits)


def read_contacts(
    path: Path, *, today: date, limits: WorkbookLimits = DEFAULT_LIMITS
) -> Reading[ContactRow]:
    """联系记录: a row a contact.

    Raises:
        WorkbookRefused: as for read_outflows.
    """
    return _read(path, ContactJudge(), today, limits)


def read_party_days(
    path: Path, *, today: date, limits: WorkbookLimits = DEFAULT_LIMITS
) -> Reading[AttendanceRow]:
    """主题党日签到表: a value a mark; a faulty row of the sheet yields none of its marks.

    Raises:
        WorkbookRefused: as for read_outflows.
    """
    return _read(path, PartyDayJudge(), today, limits)


def _read(path: Path, judge: Judge[T], today: date, limits: WorkbookLimits) -> Reading[T]:
    with opened(path, limits) as book:
        findings: Findings[T] = Findings(book)
        walk(book, judge, findings, today)
        return findings.reading()
