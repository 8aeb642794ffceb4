"""限额: how much of a workbook is read before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, kw_only=True)
class WorkbookLimits:
    """Every bound a workbook meets; exceeding any of them refuses the whole file.

    `rows` counts rows that hold something, over all sheets. `ratio` is inflated to stored bytes
    and is not applied below a mebibyte, where it harms nobody. `seconds` bounds both the clock
    and the processor time of the child, `memory_bytes` its address space.
    """

    file_bytes: int = 20 * MIB
    inflated_bytes: int = 200 * MIB
    ratio: int = 100
    members: int = 1_000
    rows: int = 100_000
    columns: int = 200
    sheets: int = 60
    cell_chars: int = 4_000
    seconds: int = 60
    memory_bytes: int = 512 * MIB


DEFAULT_LIMITS = WorkbookLimits()
