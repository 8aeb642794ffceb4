"""核对: one row, examined field by field; a fault is noted and the rest still examined."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import phonenumbers
from pydantic import ValidationError

from api.excel import cells
from api.excel.faults import Fault
from api.excel.headings import Column, Head
from api.excel.rules import message
from api.excel.sheets import Cell, Line, Special
from domain.errors import BadDate, BadIdNumber, BadPhone
from domain.values import Value, id_number, telephone

V = TypeVar("V", bound=Value)

_NAME_FIELDS = frozenset({"name", "branch_contact", "by"})
_FORMULA_STARTS = ("=", "+", "@")
_PRECISE_DIGITS = 15
"""Excel keeps fifteen digits of a number, whatever was typed."""

_NUMBER_RULES = {
    "truncated": "truncated_number",
    "characters": "bad_characters",
    "check_digit": "bad_check_digit",
    "birth_date": "birth_date_in_number",
}
_FULL_LENGTH = 18
_FOOTER = re.compile("填表人|填报人|审核人|制表|负责人|合计|总计|小计|备注[：:]|说明[：:]|注[：:]")
_FOOTER_CELLS_MAX = 3


@dataclass
class Examination:
    """One row; the fields it is asked for are those of the head's columns."""

    head: Head
    line: Line
    columns: Mapping[str, Column]
    today: date
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)

    def cell(self, name: str) -> Cell:
        at = self.head.positions.get(name)
        return None if at is None else self.line.at(at)

    def fault(self, name: str, rule: str, **facts: object) -> None:
        """The row is refused for this."""
        self.faults.append(self._fault(self._heading(name), rule, facts))

    def warn(self, name: str, rule: str, **facts: object) -> None:
        """The row is accepted, and this is worth a look."""
        self.warnings.append(self._fault(self._heading(name), rule, facts))

    def fault_at(self, heading: str, rule: str) -> None:
        """As fault, for a column that is no field."""
        self.faults.append(self._fault(heading, rule, {}))

    def _heading(self, name: str) -> str:
        column = self.columns.get(name)
        return column.heading if column else name

    def _fault(self, heading: str, rule: str, facts: Mapping[str, object]) -> Fault:
        return Fault(self.line.sheet.title, self.line.number, heading, rule, message(rule, **facts))

    def is_person(self) -> bool:
        """Whether the row is about a person: no blank, repeated heading or footer."""
        filled = [cell for name in self.columns if not cells.is_blank(cell := self.cell(name))]
        if not filled or cells.text(self.cell("name")) == self.columns["name"].heading:
            return False
        if not cells.is_blank(self.cell("number")):
            return True
        first = next((said for cell in self.line.cells if (said := cells.text(cell))), "")
        if _FOOTER.match(first):
            return False
        return len(filled) > _FOOTER_CELLS_MAX or not cells.is_blank(self.cell("name"))

    def _usable(self, name: str, *, required: bool) -> bool:
        """Whether the cell holds a value of its own; what is amiss is noted."""
        cell = self.cell(name)
        if isinstance(cell, Special):
            formula = "formula_as_name" if name in _NAME_FIELDS else "formula"
            self.fault(name, formula if cell is Special.FORMULA else "error_cell")
            return False
        if cells.is_blank(cell):
            if required:
                self.fault(name, "missing")
            return False
        return True

    def text(self, name: str, *, required: bool = False) -> str | None:
        """The text as written."""
        return cells.text(self.cell(name)) if self._usable(name, required=required) else None

    def person(self, name: str, *, required: bool = False) -> str | None:
        """A person's name; what a spreadsheet would evaluate is none."""
        if not self._usable(name, required=required):
            return None
        if cells.text(self.cell(name)).startswith(_FORMULA_STARTS):
            self.fault(name, "formula_as_name")
            return None
        return cells.person_name(self.cell(name))

    def day(self, name: str, *, required: bool = False) -> date | None:
        """A date in any spelling."""
        if not self._usable(name, required=required):
            return None
        try:
            return cells.day(self.cell(name), self.line.sheet.epoch)
        except BadDate:
            self.fault(name, "date_nonsense")
            return None

    def past_day(self, name: str, *, required: bool = False) -> date | None:
        """A date that is not after today."""
        found = self.day(name, required=required)
        if found and found > self.today:
            self.fault(name, "in_the_future")
            return None
        return found

    def choice(self, name: str, allowed: Mapping[str, str]) -> str | None:
        """One of a closed list; required."""
        written = self.text(name, required=True)
        if written and written not in allowed:
            self.fault(name, "unknown_value", allowed="、".join(dict.fromkeys(allowed.values())))
        return allowed.get(written) if written else None

    def answer(self, name: str, *, required: bool = False) -> bool | None:
        """是 or 否, in which 无 is an answer and no empty mark."""
        said = cells.yes_or_no(self.cell(name))
        if said is None and self._usable(name, required=required):
            self.fault(name, "unknown_value", allowed="是、否")
        return said

    def number(self) -> str | None:
        """The 18 characters of the national id number, upper-case and checked."""
        if not self._usable("number", required=True):
            return None
        written = re.sub(r"\s", "", cells.narrow(self.cell("number")))
        if isinstance(self.cell("number"), int | float) and len(written) > _PRECISE_DIGITS:
            self.fault("number", "truncated_number")
            return None
        if not written.isascii():
            self.fault("number", "bad_characters")
            return None
        try:
            return id_number(written)
        except BadIdNumber as refusal:
            self._fault_number(refusal.facts)
            return None

    def _fault_number(self, facts: Mapping[str, object]) -> None:
        problem, length = str(facts["problem"]), facts.get("length", 0)
        if problem == "length":
            short = isinstance(length, int) and length < _FULL_LENGTH
            self.fault("number", "short_number" if short else "long_number", length=length)
        else:
            self.fault("number", _NUMBER_RULES[problem])

    def phone(self, name: str) -> str | None:
        """The telephone in E.164; a range the tables do not know is only remarked upon."""
        if not self._usable(name, required=False):
            return None
        try:
            found = telephone(cells.narrow(self.cell(name)))
        except BadPhone:
            self.fault(name, "bad_phone")
            return None
        if not phonenumbers.is_valid_number(phonenumbers.parse(found)):
            self.warn(name, "unallocated_phone")
        return found

    def build(self, model: type[V], fields: Mapping[str, object]) -> V | None:
        """The row's value, if nothing is amiss; what only the model knows is noted as well."""
        if self.faults:
            return None
        try:
            return model.model_validate(fields)
        except ValidationError as refused:
            for error in refused.errors():
                rule = "too_long" if error["type"] == "string_too_long" else "invalid_value"
                self.fault(str(error["loc"][0]), rule)
            return None


def by_field(columns: Sequence[Column]) -> dict[str, Column]:
    """The columns by their field."""
    return {column.field: column for column in columns}
