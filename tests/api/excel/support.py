"""Small workbooks for tests: a ledger row by row, and archives that no office program writes."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import openpyxl
import pytest

from api.excel import child
from api.excel.judging import Findings, Judge, walk
from api.excel.limits import DEFAULT_LIMITS
from api.excel.outflows import COLUMNS, OutflowJudge
from api.excel.reading import Fault, OutflowRow, Reading
from api.excel.sheets import Workbook, decoded

T = TypeVar("T")

TODAY = date(2016, 1, 8)
SHARED = Path(__file__).parents[4] / "shared" / "data"

# A sound row by heading; its number is computed, nobody has it.
SOUND: dict[str, object] = {
    "姓名": "祁晓岚",
    "性别": "男",
    "民族": "汉",
    "出生日期": "1950-01-01",
    "公民身份号码": "620902195001010017",
    "学历": "高中",
    "人员类别": "正式",
    "入党日期": "1980-07-01",
    "转正日期": "1981-07-01",
    "所在党支部": "肃州区白杨镇清泉村党支部",
    "流出党支部联系人": "屈怀远",
    "联系电话": 13600002000,
    "原职业": "农牧渔民",
    "流出日期": "2014.02.02",
    "流动原因": "务工",
    "流动范围": "跨省",
    "外出地点": "四川省成都市",
    "联络服务站": "酒泉市驻成都联络服务站",
    "本人联系方式": "139-0000-1000",
    "联系地址": "成都市样例路1号",
    "是否持有《流动党员活动证》": "是",
    "活动证号码": "6210000001",
    "与党组织联系情况": "正常",
    "备注": "—",
}
assert set(SOUND) == {column.heading for column in COLUMNS}


def shared(name: str) -> Path:
    """A workbook of the project's shared data, where it is at hand."""
    if (SHARED / name).exists():
        return SHARED / name
    reason = f"the shared ledgers are not at {SHARED}"
    if os.environ.get("WAYSTATION_REQUIRE_SHARED") == "1":
        pytest.fail(f"{reason}, and WAYSTATION_REQUIRE_SHARED=1 asks for them")
    pytest.skip(reason)


def book(path: Path, sheets: Mapping[str, Iterable[Sequence[Any]]]) -> Path:
    """A workbook with these sheets, cell by cell."""
    written = openpyxl.Workbook()
    written.remove(written.worksheets[0])
    for title, rows in sheets.items():
        sheet = written.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    written.save(path)
    return path


def ledger(path: Path, *changes: Mapping[str, object]) -> Path:
    """An outflow ledger with one heading row, and a sound row per change with the change made."""
    rows = [[*(SOUND | dict(change)).values()] for change in changes]
    return book(path, {"肃州区": [[*SOUND], *rows]})


def read_one(path: Path, **change: object) -> Reading[OutflowRow]:
    """Read a ledger of one row."""
    return read_here(ledger(path / "台账.xlsx", change), OutflowJudge())


def read_here(path: Path, judge: Judge[T]) -> Reading[T]:
    """As the readers do, without the child: its start costs most of a small reading's time."""
    with path.open("rb") as file:
        said = (json.loads(json.dumps(line)) for line in child.lines(file, DEFAULT_LIMITS))
        opened = Workbook(path.name, "0" * 64, decoded(said))
        findings: Findings[T] = Findings(opened)
        walk(opened, judge, findings, TODAY)
    return findings.reading()


def places(faults: Iterable[Fault]) -> list[tuple[str, int, str, str]]:
    return [(fault.sheet, fault.row, fault.column, fault.rule) for fault in faults]


def rules(faults: Iterable[Fault]) -> list[tuple[str, str]]:
    return [(fault.column, fault.rule) for fault in faults]


def tampered(path: Path, parts: Mapping[str, bytes | None], source: Path) -> Path:
    """`source` once more, with these parts replaced, added, or (None) left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name not in parts:
                new.writestr(name, old.read(name))
        for name, content in parts.items():
            if content is not None:
                new.writestr(name, content)
    return path
