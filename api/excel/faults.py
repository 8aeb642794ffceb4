"""差错: what was found in a workbook: the rows accepted, the faults of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from domain.values import Source

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """One thing wrong in one row; `rule` is for machines, `message` says how to mend it."""

    sheet: str
    row: int
    column: str
    rule: str
    message: str


@dataclass(frozen=True)
class Row(Generic[T]):
    """An accepted value, where it came from, and what is worth a second look."""

    source: Source
    value: T
    warnings: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Reading(Generic[T]):
    """All of one file: a row stands in `accepted` or has its faults in `refused`, never both."""

    file: str
    digest: str
    accepted: tuple[Row[T], ...]
    refused: tuple[Fault, ...]
