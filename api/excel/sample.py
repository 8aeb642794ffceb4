"""样例工作簿: writes the three workbooks of the demonstration, with the dirt that real ones have.

Run `python -m api.excel.sample` in the project's root to write api/samples anew.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from random import Random

from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from api.excel.sample_people import COUNTIES, STATIONS, Person, people, without_probation

SEED = 2025
MEMBERS, SPARE = 24, 5
YEAR = 2025
FOLDER = Path(__file__).parents[1] / "samples"

_UPPER = (
    *("序号", "姓名", "性别", "民族", "出生日期", "公民身份号码 ", "学历", "人员类别"),
    *("党内信息", None, "所在党支部", "流出党支部联系人", "联系电话", "原职业"),
    *("外出情况", None, None, None, None, "本人联系方式", "联系地址"),
    *("是否持有《流动党员活动证》", "活动证号码", "与党组织联系情况", "备注"),
)
_LOWER = {9: "入党日期", 10: "转正日期", 15: "流出日期", 16: "流动原因", 17: "流动范围"}
_LOWER |= {18: "外出地点", 19: "联络服务站"}
_GROUPS = ("I3:J3", "O3:S3")
_WIDTH = len(_UPPER)
_ROW_BEFORE_GAP = 9

_CONTACT_HEADINGS = (
    *("日期", "站点", "姓名", "公民身份号码", "联系方式", "联系人"),
    *("是否联系上", "生活工作情况", "反映问题", "下次联系"),
)
_METHODS = ("电话", "微信", "上门走访", "座谈")
_OFFICERS = {"成都": "骆干事", "深圳": "柯干事"}
_CONDITIONS = ("工作稳定", "身体健康", "子女上学", None)
_MATTERS = ("医保异地报销", "求职", None, None)
_MARKS, _WEIGHTS = "√#O★△×", (80, 5, 5, 4, 4, 2)


def write_samples(folder: Path = FOLDER, *, seed: int = SEED) -> tuple[Path, Path, Path]:
    """Write ledger, contact record and party-day sheet; the same seed gives the same cells."""
    random = Random(seed)  # noqa: S311 - a demonstration, not a secret.
    everybody = list(people(random, MEMBERS + SPARE))
    members, spare = everybody[:MEMBERS], everybody[MEMBERS:]
    members[5] = without_probation(members[5])
    books = {
        "流出党员台账.xlsx": _ledger(random, members, spare),
        "联系记录.xlsx": _contacts(random, members),
        "主题党日签到表.xlsx": _party_days(random, members),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, book in books.items():
        book.save(folder / name)
    ledger, contacts, party_days = (folder / name for name in books)
    return ledger, contacts, party_days


# 流出党员台账.


def _ledger(random: Random, members: Sequence[Person], spare: Sequence[Person]) -> Workbook:
    book = Workbook()
    book.remove(book.worksheets[0])
    for county in COUNTIES:
        rows = [_ledger_row(random, person) for person in members if person.county == county]
        half = spare[:3] if county == "肃州区" else spare[3:]
        dirty = [_spoil(_ledger_row(random, replace(p, county=county)), p, spare) for p in half]
        _ledger_sheet(book.create_sheet(county), county, [*rows[:7], *dirty, *rows[7:]])
    return book


def _ledger_sheet(sheet: Worksheet, county: str, rows: Sequence[list[object]]) -> None:
    sheet.append(["流出党员台账（样例，人员均为虚构）"])
    sheet.append(
        [f"填报单位（盖章）：中共{county}委员会组织部", *[None] * 20, "填报时间：2025年1月6日"]
    )
    sheet.append(_UPPER)
    sheet.append([_LOWER.get(column) for column in range(1, _WIDTH + 1)])
    _merge_head(sheet)
    for serial, row in enumerate(rows, 1):
        if serial == _ROW_BEFORE_GAP:
            sheet.append([])
        sheet.append([serial, *row])
    sheet.cell(sheet.max_row + 2, 1, "填表人：　　　　审核人：　　　　联系电话：")
    sheet.column_dimensions["M"].hidden = True


def _merge_head(sheet: Worksheet) -> None:
    sheet.merge_cells(start_row=1, end_row=1, start_column=1, end_column=_WIDTH)
    for group in _GROUPS:
        sheet.merge_cells(group)
    for column in range(1, _WIDTH + 1):
        if column not in _LOWER:
            sheet.merge_cells(start_row=3, end_row=4, start_column=column, end_column=column)


def _ledger_row(random: Random, person: Person) -> list[object]:
    city, station = STATIONS[person.station]
    name = person.name if len(person.name) > 2 or random.random() < 0.5 else "　".join(person.name)  # noqa: PLR2004
    permit = (
        random.choice(("是", "有", "√")) if person.permit else random.choice(("否", "无", None))
    )
    return [
        name,
        person.sex,
        random.choice((person.ethnic, person.ethnic.removesuffix("族"))),
        _spelled(random, person.born_on),
        random.choice((person.number, person.number.lower(), f" {person.number} ")),
        person.education,
        person.category if random.random() < 0.7 else person.category[:2],  # noqa: PLR2004
        _spelled(random, person.joined_on),
        _spelled(random, person.full_on) if person.full_on else "—",
        person.branch,
        person.contact,
        person.branch_phone,
        person.occupation,
        _spelled(random, person.left_on),
        person.reason,
        "跨省",
        city,
        station,
        random.choice((person.phone, str(person.phone), _hyphened(person.phone))),
        f"{city}样例路{random.randrange(1, 200)}号",
        permit,
        f"62{random.randrange(10**7, 10**8)}" if person.permit else "无",
        "正常",
        random.choice((None, "无", "—", "村后备干部")),
    ]


def _spelled(random: Random, day: date) -> object:
    return random.choice(
        (f"{day:%Y年%m月%d日}", f"{day:%Y-%m-%d}", f"{day:%Y.%m.%d}", f"{day:%Y%m%d}", day)
    )


def _hyphened(phone: int) -> str:
    digits = str(phone)
    return f"{digits[:3]}-{digits[3:7]}-{digits[7:]}"


def _spoil(row: list[object], person: Person, spare: Sequence[Person]) -> list[object]:
    """One of the five faults that the demonstration shows being refused."""
    number, equal, future = person.number, date(1995, 7, 1), date(2061, 5, 1)
    wrong_digit = "0" if number[-1] != "0" else "1"
    spoiled: tuple[dict[int, object], ...] = (
        {4: number[:-1] + wrong_digit},
        {4: float(f"{number[:15]}000")},
        {0: '=CONCATENATE("祁","某")'},
        {7: f"{equal:%Y.%m.%d}", 8: f"{equal:%Y.%m.%d}"},
        {13: future},
    )
    for at, value in spoiled[spare.index(person)].items():
        row[at] = value
    return row


# 联系记录.


def _contacts(random: Random, members: Sequence[Person]) -> Workbook:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "联系记录"
    sheet.append(_CONTACT_HEADINGS)
    for month in range(1, 13):
        for person in members:
            sheet.append(_contact_row(random, person, month))
    return book


def _contact_row(random: Random, person: Person, month: int) -> list[object]:
    on = random.choice(_workdays(month))
    reached = random.random() < 0.95  # noqa: PLR2004 - one in twenty does not answer.
    return [
        on.isoformat(),
        person.station,
        person.name,
        person.number,
        random.choice(_METHODS),
        _OFFICERS[person.station],
        "是" if reached else "否",
        random.choice(_CONDITIONS) if reached else None,
        random.choice(_MATTERS) if reached else None,
        (on + timedelta(days=monthrange(on.year, on.month)[1])).isoformat(),
    ]


def _workdays(month: int) -> list[date]:
    """Weekdays from the 9th to the 25th, clear of every public holiday of 2025."""
    days = (date(YEAR, month, day) for day in range(9, 26))
    return [day for day in days if day.isoweekday() <= 5]  # noqa: PLR2004 - Friday.


# 主题党日签到表.


def _party_days(random: Random, members: Sequence[Person]) -> Workbook:
    book = Workbook()
    book.remove(book.worksheets[0])
    days = [_workdays(month)[0] for month in range(1, 13)]
    for station, (_, title) in STATIONS.items():
        sheet = book.create_sheet(f"{station}站")
        sheet.append([f"{title} {YEAR}年主题党日签到表"])
        sheet.append(["√到会 #迟到 O病假 ★公假 △事假 ×无故缺席"])
        sheet.append(["姓名", "公民身份号码", *days])
        for person in members:
            if person.station == station:
                marks: Iterable[str] = random.choices(_MARKS, _WEIGHTS, k=len(days))
                sheet.append([person.name, person.number, *marks])
    return book


if __name__ == "__main__":
    write_samples()
