"""列标题: finds the heading row of a sheet by what it says, never by where it stands."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from api.excel.errors import HeadingsNotFound, HeadingsRepeated
from api.excel.sheets import Cell, Line, Sheet

HEAD_ROWS = 30
"""How many filled rows at the top of a sheet may come before its data."""


@dataclass(frozen=True)
class Column:
    """A column of an official form: its name in code, its heading, and what else it is called."""

    field: str
    heading: str
    required: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Head:
    """The heading of one sheet: where each field stands, and below which row the data begins."""

    sheet: Sheet
    row: int
    positions: dict[str, int]
    labels: Sequence[Cell] = ()
    above: Sequence[Line] = field(default=(), repr=False)


def find_head(sheet: Sheet, top: Sequence[Line], columns: Sequence[Column]) -> Head:
    """The row, or two merged rows, of `top` in which most of `columns` are found.

    Raises:
        HeadingsNotFound: when a required heading is in none of them.
        HeadingsRepeated: when two columns of the sheet claim the same field.
    """
    names = _names(columns)
    best, best_score = Head(sheet, 0, {}), (0, 0, 0)
    for index, line in enumerate(top):
        for depth in (1, 2):
            labels = _labels(top, index, depth)
            positions = _match(labels, names)
            required = sum(column.required and column.field in positions for column in columns)
            score = (required, len(positions), -depth)
            if labels and score > best_score:
                row = line.number + depth - 1
                best, best_score = Head(sheet, row, positions, labels, top[:index]), score
    missing = [c.heading for c in columns if c.required and c.field not in best.positions]
    if missing:
        raise HeadingsNotFound(sheet=sheet.title, missing=missing)
    _refuse_repeated(best, names, columns)
    return best


def _names(columns: Sequence[Column]) -> dict[str, str]:
    return {
        _plain(name): column.field
        for column in columns
        for name in (column.heading, *column.aliases)
    }


def _plain(label: Cell) -> str:
    """A heading without its blanks, line breaks, asterisks and colons."""
    if not isinstance(label, str):
        return ""
    return re.sub(r"[\s*:]", "", unicodedata.normalize("NFKC", label))


def _field(label: Cell, names: dict[str, str]) -> str | None:
    """人员类别（正式/预备） is found as 人员类别."""
    plain = _plain(label)
    return names.get(plain) or names.get(re.sub(r"\([^)]*\)", "", plain))


def _labels(top: Sequence[Line], index: int, depth: int) -> Sequence[Cell]:
    """One row, or two laid over each other: the lower speaks where it says anything."""
    upper = top[index]
    if depth == 1:
        return upper.cells
    if index + 1 == len(top) or top[index + 1].number != upper.number + 1:
        return ()
    lower = top[index + 1]
    width = max(len(upper.cells), len(lower.cells))
    return [lower.at(at) if lower.at(at) is not None else upper.at(at) for at in range(width)]


def _match(labels: Sequence[Cell], names: dict[str, str]) -> dict[str, int]:
    positions: dict[str, int] = {}
    for at, label in enumerate(labels):
        if name := _field(label, names):
            positions.setdefault(name, at)
    return positions


def _refuse_repeated(head: Head, names: dict[str, str], columns: Sequence[Column]) -> None:
    found = [name for label in head.labels if (name := _field(label, names))]
    repeated = [column.heading for column in columns if found.count(column.field) > 1]
    if repeated:
        raise HeadingsRepeated(sheet=head.sheet.title, repeated=repeated)
