"""工作表: a workbook as plain cells, read by a child process that the node can lose."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import Enum
from hashlib import sha256
from pathlib import Path
from signal import SIGXCPU
from tempfile import TemporaryFile
from typing import IO, Any

from api.excel import errors
from api.excel.errors import DamagedWorkbook, FileTooLarge, ReadingTooSlow, WorkbookRefused
from api.excel.limits import KIB, WorkbookLimits

_ROOT = Path(__file__).parents[2]
_CHUNK = 256 * KIB
_LINE_SPARE = 64 * KIB
_REFUSALS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, WorkbookRefused)
}


class Special(Enum):
    """What a cell holds when it holds no value."""

    FORMULA = "formula"
    ERROR = "error"


Cell = str | int | float | bool | datetime | Special | None


@dataclass(frozen=True)
class Sheet:
    """One sheet; `epoch` is the day that numbers without a date format count from."""

    title: str
    hidden: bool
    epoch: date


@dataclass(frozen=True)
class Line:
    """One row that holds something, numbered as Excel shows it."""

    sheet: Sheet
    number: int
    cells: list[Cell]

    def at(self, column: int) -> Cell:
        """The cell in this column, None beyond the last."""
        return self.cells[column] if column < len(self.cells) else None


@dataclass(frozen=True)
class Workbook:
    """A workbook on its way through the child; `lines` can be walked once."""

    file: str
    digest: str
    lines: Iterator[Line]


@contextmanager
def opened(path: Path, limits: WorkbookLimits) -> Iterator[Workbook]:
    """Copy, digest and open a workbook; the child has ended when the block has.

    The copy has no name: what is digested, checked and parsed are the same bytes.

    Raises:
        WorkbookRefused: at once or while the lines are walked.
    """
    with TemporaryFile() as copy:
        digest = _copy(path, copy, limits)
        copy.seek(0)
        with _child(copy, limits) as child:
            yield Workbook(path.name, digest, decoded(_said(child, limits)))


def _copy(path: Path, copy: IO[bytes], limits: WorkbookLimits) -> str:
    digest, size = sha256(), 0
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > limits.file_bytes:
                raise FileTooLarge(bytes_max=limits.file_bytes)
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()


class Child:
    """The process, its clock, and whether the clock ran out."""

    def __init__(self, workbook: IO[bytes], limits: WorkbookLimits) -> None:
        # Neither the node's environment (its secrets) nor its folder is any business of a file.
        self.process = subprocess.Popen(  # noqa: S603 - our own module, no shell.
            [sys.executable, "-P", "-s", "-m", "api.excel.child", json.dumps(asdict(limits))],
            stdin=workbook,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": str(_ROOT), "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        self.late = False
        self.clock = threading.Timer(limits.seconds, self._stop)
        self.clock.daemon = True
        self.clock.start()

    def _stop(self) -> None:
        self.late = True
        self.process.kill()

    @property
    def out_of_time(self) -> bool:
        return self.late or self.process.wait() == -SIGXCPU


@contextmanager
def _child(workbook: IO[bytes], limits: WorkbookLimits) -> Iterator[Child]:
    child = Child(workbook, limits)
    try:
        yield child
    finally:
        child.clock.cancel()
        child.process.kill()
        child.process.wait()
        assert child.process.stdout
        child.process.stdout.close()


def decoded(lines: Iterable[Any]) -> Iterator[Line]:
    """The rows behind what the child says, each with its sheet."""
    sheet: Sheet | None = None
    for said in lines:
        if isinstance(said, dict):
            sheet = Sheet(said["sheet"], said["hidden"], date.fromisoformat(said["epoch"]))
        elif sheet:
            number, cells = said
            yield Line(sheet, number, [_cell(cell) for cell in cells])


def _said(child: Child, limits: WorkbookLimits) -> Iterator[Any]:
    """What the child says until it is done.

    Raises:
        WorkbookRefused: what the child refused, or why it fell silent.
    """
    longest = limits.columns * limits.cell_chars * 8 + _LINE_SPARE
    assert child.process.stdout
    first = child.process.stdout.readline(longest)
    if not first and not child.out_of_time:
        raise RuntimeError("api.excel.child does not start: is the package installed completely?")
    while (line := child.process.stdout.readline(longest)).endswith(b"\n"):
        said = json.loads(line)
        if isinstance(said, dict) and "stop" in said:
            raise _REFUSALS[said["stop"]](**said["facts"])
        if isinstance(said, dict) and "done" in said:
            return
        yield said
    if child.out_of_time:
        raise ReadingTooSlow(seconds_max=limits.seconds)
    raise DamagedWorkbook(cause="the reader broke off")


def _cell(cell: Any) -> Cell:
    if not isinstance(cell, dict):
        return cell  # type: ignore[no-any-return]
    if "d" in cell:
        return datetime.fromisoformat(cell["d"])
    return Special.FORMULA if "f" in cell else Special.ERROR
