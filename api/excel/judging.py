"""逐行核定: walks a workbook row by row, keeping what is sound, naming what is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import chain, groupby, islice
from typing import Protocol, TypeVar

from api.excel.errors import EmptyWorkbook, HeadingsNotFound
from api.excel.examining import Examination, by_field
from api.excel.faults import Fault, Reading, Row
from api.excel.headings import HEAD_ROWS, Column, Head, find_head
from api.excel.sheets import Line, Workbook
from domain.values import Source

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

_SHEET_NAME_MAX, _FILE_NAME_MAX = 60, 200


class Judge(Protocol[T_co]):
    """Knows one kind of workbook: its columns, and what a row of it must satisfy."""

    columns: Sequence[Column]

    def begin(self, head: Head) -> Iterable[Fault]:
        """A sheet begins; what is wrong with its heading, though data may follow."""

    def judge(self, row: Examination) -> Sequence[T_co]:
        """The values of one row; they count only if the examination ends without a fault."""


class Findings(list[Row[T]]):
    """The rows accepted so far, with the faults of the others."""

    def __init__(self, book: Workbook) -> None:
        super().__init__()
        self.book = book
        self.refused: list[Fault] = []

    def take(self, row: Examination, values: Sequence[T]) -> None:
        """Keep the values of a sound row, or the faults of any other."""
        self.refused += row.faults
        if row.faults:
            return
        source = Source(
            kind="import",
            file=self.book.file[-_FILE_NAME_MAX:],
            digest=self.book.digest,
            sheet=row.line.sheet.title[:_SHEET_NAME_MAX],
            row=row.line.number,
        )
        self.extend(Row(source, value, tuple(row.warnings)) for value in values)

    def reading(self) -> Reading[T]:
        return Reading(self.book.file, self.book.digest, tuple(self), tuple(self.refused))


def walk(book: Workbook, judge: Judge[T], findings: Findings[T], today: date) -> None:
    """Judge all rows of all sheets.

    Raises:
        WorkbookRefused: when headings are missing, a limit is met, or there is nothing to read.
    """
    columns, read = by_field(judge.columns), 0
    for sheet, lines in groupby(book.lines, key=lambda line: line.sheet):
        top = list(islice(lines, HEAD_ROWS))
        try:
            head = find_head(sheet, top, judge.columns)
        except HeadingsNotFound:
            # Forms keep their code lists in hidden sheets; a hidden sheet of data has headings.
            if sheet.hidden:
                continue
            raise
        read += 1
        findings.refused += judge.begin(head)
        for line in _below(head, chain(top, lines)):
            row = Examination(head, line, columns, today)
            if row.is_person():
                findings.take(row, judge.judge(row))
    if not read:
        raise EmptyWorkbook


def _below(head: Head, lines: Iterable[Line]) -> Iterator[Line]:
    return (line for line in lines if line.number > head.row)
