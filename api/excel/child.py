"""子进程: reads one workbook under hard limits and prints its cells as JSON lines, nothing else.

It runs as `python -m api.excel.child`, the workbook on standard input, the limits as its only
argument. The lines are {"ready"}, then for each sheet {"sheet"} and its rows [number, [cells]],
and at the end {"done"}, or {"stop"} with the refusal. A cell is a JSON scalar, {"d": moment},
{"f": 1} for a formula (never its value) or {"e": 1} for an error.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import warnings
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import IO, Any

import openpyxl

from api.excel import gate
from api.excel.errors import (
    CellTooLong,
    DamagedWorkbook,
    InflatesTooFar,
    ReadingTooLarge,
    TooManyColumns,
    TooManyRows,
    TooManySheets,
    WorkbookRefused,
)
from api.excel.limits import WorkbookLimits

_EXCEL_ROWS = 1_048_576
_NUMBER_MAX = 10**30
_NO_VALUE = {"f": {"f": 1}, "e": {"e": 1}}
"""openpyxl's type of a cell that holds a formula or an error, and how we say it."""


def main() -> None:
    """Read standard input, write standard output, and end."""
    if not openpyxl.DEFUSEDXML:
        raise SystemExit("defusedxml is not installed: workbooks are not read without it")
    limits = WorkbookLimits(**json.loads(sys.argv[1]))
    _bind(limits)
    warnings.simplefilter("ignore")
    _say({"ready": 1})
    try:
        for line in lines(sys.stdin.buffer, limits):
            _say(line)
        _say({"done": 1})
    except WorkbookRefused as refusal:
        _say({"stop": type(refusal).__name__, "facts": refusal.facts})
    except MemoryError:
        _say({"stop": ReadingTooLarge.__name__, "facts": {"bytes_max": limits.memory_bytes}})
    except BrokenPipeError:
        sys.stderr.close()
    except Exception as error:  # noqa: BLE001 - whatever a hostile file provokes is a refusal.
        _say({"stop": DamagedWorkbook.__name__, "facts": {"cause": type(error).__name__}})


def _bind(limits: WorkbookLimits) -> None:
    for kind, soft, hard in (
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        # A second between the two, so that the signal tells the parent what happened.
        (resource.RLIMIT_CPU, limits.seconds, limits.seconds + 1),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(kind, (soft, hard))


def _say(line: object) -> None:
    sys.stdout.buffer.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def lines(file: IO[bytes], limits: WorkbookLimits) -> Iterator[object]:
    """The lines of one workbook, checked at the gate first.

    Raises:
        WorkbookRefused: when it is no plain workbook or exceeds a limit.
    """
    gate.check(file, limits)
    book = openpyxl.load_workbook(file, read_only=True, data_only=False, keep_links=False)
    sheets = book.worksheets
    if len(sheets) > limits.sheets:
        raise TooManySheets(sheets=len(sheets), sheets_max=limits.sheets)
    meter = Meter(limits)
    for sheet in sheets:
        epoch = book.epoch.date().isoformat()
        hidden = sheet.sheet_state != "visible"
        yield {"sheet": sheet.title, "hidden": hidden, "epoch": epoch}
        # A wrong dimension tag would cut the sheet short without a word.
        sheet.reset_dimensions()
        yield from meter.rows(sheet.title, sheet.iter_rows())


class Meter:
    """计量: counts rows, columns and characters over the whole workbook."""

    def __init__(self, limits: WorkbookLimits) -> None:
        self.limits = limits
        self.filled = self.characters = 0

    def rows(self, title: str, rows: Iterable[Iterable[Any]]) -> Iterator[object]:
        """The rows that hold something, numbered as in Excel.

        Raises:
            WorkbookRefused: TooManyRows, TooManyColumns, CellTooLong or InflatesTooFar.
        """
        for number, row in enumerate(rows, 1):
            cells = [_plain(cell) for cell in row]
            while cells and cells[-1] is None:
                cells.pop()
            if number > _EXCEL_ROWS:
                raise DamagedWorkbook(sheet=title, cause="row number")
            if cells:
                self._count(title, number, cells)
                yield [number, cells]

    def _count(self, title: str, number: int, cells: list[Any]) -> None:
        limits, place = self.limits, {"sheet": title[:60], "row": number}
        self.filled += 1
        if self.filled > limits.rows:
            raise TooManyRows(**place, rows_max=limits.rows)
        if len(cells) > limits.columns:
            raise TooManyColumns(**place, columns=len(cells), columns_max=limits.columns)
        lengths = [len(cell) for cell in cells if isinstance(cell, str)]
        if max(lengths, default=0) > limits.cell_chars:
            raise CellTooLong(**place, chars=max(lengths), chars_max=limits.cell_chars)
        # One shared string may be referred to a million times: the sum is bounded as well.
        self.characters += sum(lengths)
        if self.characters > limits.inflated_bytes:
            raise InflatesTooFar(**place, inflated_max=limits.inflated_bytes)


def _plain(cell: Any) -> object:
    """One cell as JSON can say it; a blank string counts as nothing."""
    value = cell.value
    if value is None:
        return None
    if cell.data_type in _NO_VALUE:
        return _NO_VALUE[cell.data_type]
    if isinstance(value, int | float):
        return value if math.isfinite(value) and abs(value) < _NUMBER_MAX else _NO_VALUE["e"]
    if isinstance(value, datetime | date):
        return {"d": value.isoformat()}
    text = str(value)
    return text if text.strip() else None


if __name__ == "__main__":
    main()
