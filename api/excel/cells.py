"""单元格: what one cell says, once its blanks, full-width forms and spellings are seen through."""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime, timedelta

from api.excel.sheets import Cell, Special
from domain.errors import BadDate
from domain.values import civil_date

EMPTY_MARKS = frozenset({"", "无", "暂无", "—", "——", "–", "―", "-", "--", "/", "／"})
"""What offices write into a cell that has nothing to say."""

YES = frozenset({"是", "有", "√", "✓", "✔", "☑", "y", "yes", "true"})
NO = frozenset({"否", "无", "×", "✗", "✘", "x", "n", "no", "false"})

_INVISIBLE = re.compile("[\u200b-\u200f\u2060\ufeff\u00ad]")
_CARRIAGE = re.compile("_x000D_|\r")
_MIDDLE_DOTS = re.compile("[•・‧∙⋅･]")
_STOP_BETWEEN = re.compile(r"(?<=[^\W\d_a-zA-Z])[.．](?=[^\W\d_a-zA-Z])")
_CHINESE = re.compile("[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")

_YEARS = (1900, 2100)
_SERIALS = (3654, 73050)
"""Excel's day numbers from 1910 to the end of 2099; smaller ones are more likely an age."""


def text(cell: Cell) -> str:
    """The cell as text without what surrounds it; a whole number without a decimal point."""
    if cell is None or isinstance(cell, Special):
        return ""
    if isinstance(cell, bool):
        return "是" if cell else "否"
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    return _CARRIAGE.sub("", _INVISIBLE.sub("", str(cell))).strip()


def narrow(cell: Cell) -> str:
    """As text, with full-width digits, letters and signs as plain ones: １３９ → 139."""
    return unicodedata.normalize("NFKC", text(cell)).strip()


def is_blank(cell: Cell) -> bool:
    """Whether the cell says nothing, or says that there is nothing."""
    return not isinstance(cell, Special) and text(cell) in EMPTY_MARKS


def person_name(cell: Cell) -> str:
    """A name without the blanks that align it in a table: 龚　䶮 → 龚䶮, 阿依古丽•买买提 → ·."""
    name = _STOP_BETWEEN.sub("·", _MIDDLE_DOTS.sub("·", text(cell)))
    return re.sub(r"\s+", "" if _CHINESE.search(name) else " ", name)


def day(cell: Cell, epoch: date) -> date:
    """A date in any spelling that ledgers use, numbers and Excel's day numbers included.

    Raises:
        BadDate: when it is no date, or none of a living person's time.
    """
    found = _numeric_day(cell, epoch) or civil_date(_spelling(cell))
    if not _YEARS[0] <= found.year <= _YEARS[1]:
        raise BadDate(problem="year")
    return found


def _numeric_day(cell: Cell, epoch: date) -> date | None:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    if cell == int(cell) and _SERIALS[0] <= cell <= _SERIALS[1]:
        return epoch + timedelta(days=int(cell))
    return None


def _spelling(cell: Cell) -> object:
    if isinstance(cell, datetime):
        return cell
    spelled = narrow(cell)
    compact = re.sub(r"\s", "", spelled)
    # A time of day at midnight is a date that went through a program; keep its blank.
    return spelled if spelled.endswith("00:00:00") else compact


def yes_or_no(cell: Cell) -> bool | None:
    """是, 有, √ or 否, 无, ×; None for anything else."""
    said = text(cell).lower()
    if said in YES:
        return True
    return False if said in NO else None
