"""流出党员台账: the outflow ledger, its columns and the rules its rows must keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from api.excel.codes import CATEGORIES, SEXES, ethnic_group
from api.excel.examining import Examination
from api.excel.faults import Fault
from api.excel.headings import Column, Head
from api.excel.rows import OutflowRow
from domain.values import born_on, sex_of

NUMBER = Column(
    "number",
    "公民身份号码",
    required=True,
    aliases=(
        "公民身份证号",
        "公民身份证号码",
        "居民身份证号码",
        "身份证号",
        "身份证号码",
        "身份号码",
    ),
)
NAME = Column("name", "姓名", required=True, aliases=("党员姓名",))

COLUMNS = (
    NAME,
    Column("sex", "性别", required=True),
    Column("ethnic", "民族"),
    Column("born_on", "出生日期", required=True, aliases=("出生年月日", "出生年月")),
    NUMBER,
    Column("education", "学历", aliases=("文化程度",)),
    Column("category", "人员类别", required=True, aliases=("党员类别",)),
    Column("joined_on", "入党日期", required=True, aliases=("入党时间", "加入党组织日期")),
    Column("full_on", "转正日期", aliases=("转正时间", "转为正式党员日期")),
    Column("branch", "所在党支部", required=True, aliases=("流出地党组织", "所属党支部")),
    Column("branch_contact", "流出党支部联系人", aliases=("党支部联系人",)),
    Column(
        "branch_phone",
        "联系电话",
        aliases=("流出党支部联系电话", "流出党支部联系方式", "党支部联系电话"),
    ),
    Column("former_occupation", "原职业"),
    Column("left_on", "流出日期", required=True, aliases=("流出时间", "外出日期", "外出时间")),
    Column("reason", "流动原因", aliases=("流出原因", "外出原因")),
    Column("scope", "流动范围"),
    Column("destination", "外出地点", aliases=("流出地点",)),
    Column("station", "联络服务站", aliases=("驻外联络服务站",)),
    Column(
        "phone",
        "本人联系方式",
        aliases=("本人联系电话", "手机号", "手机号码", "移动电话", "联系方式"),
    ),
    # 注入地址 stands in a widely copied report for 住址.
    Column("address", "联系地址", aliases=("现居住地", "现住址", "住址", "注入地址")),
    Column(
        "permit_held",
        "是否持有《流动党员活动证》",
        aliases=(
            "是否持有流动党员活动证",
            "是否持有《中国共产党流动党员活动证》",
            "是否持活动证",
        ),
    ),
    Column("permit_number", "活动证号码", aliases=("活动证号", "流动党员活动证号码")),
    Column("contact_state", "与党组织联系情况", aliases=("联系情况",)),
    Column("remark", "备注"),
)

NO_PROBATION = (date(1969, 4, 1), date(1977, 8, 11))
"""Who joined on these days, or between them, became a full member at once."""

_AS_WRITTEN = (
    "education",
    "former_occupation",
    "reason",
    "scope",
    "destination",
    "station",
    "address",
    "permit_number",
    "contact_state",
    "remark",
)


class OutflowJudge:
    """Judges the rows of one outflow ledger and remembers whom it has met."""

    columns: Sequence[Column] = COLUMNS

    def __init__(self) -> None:
        self.met: dict[str, tuple[str, int]] = {}

    def begin(self, head: Head) -> Iterable[Fault]:
        # Without a branch contact there is no branch telephone: 联系电话 is then the member's.
        places = head.positions
        if "phone" not in places and "branch_contact" not in places and "branch_phone" in places:
            places["phone"] = places.pop("branch_phone")
        return ()

    def judge(self, row: Examination) -> Sequence[OutflowRow]:
        fields: dict[str, object] = {name: row.text(name) for name in _AS_WRITTEN}
        fields |= {
            "name": row.person("name", required=True),
            "category": row.choice("category", CATEGORIES),
            "ethnic": _ethnic(row),
            "branch": row.text("branch", required=True),
            "branch_contact": row.person("branch_contact"),
            "branch_phone": row.phone("branch_phone"),
            "phone": row.phone("phone"),
            "permit_held": row.answer("permit_held"),
        }
        fields |= self._identity(row) | _dates(row)
        _check_lifetime(row, fields)
        if not fields["phone"] and not row.faults:
            row.warn("phone", "missing_phone")
        value = row.build(OutflowRow, fields)
        return (value,) if value else ()

    def _identity(self, row: Examination) -> dict[str, object]:
        number, sex, born = (
            row.number(),
            row.choice("sex", SEXES),
            row.day("born_on", required=True),
        )
        if number:
            if sex and sex != sex_of(number):
                row.fault("sex", "sex_contradicts_number")
            if born and born != born_on(number):
                row.fault("born_on", "birth_contradicts_number")
            place = (row.line.sheet.title, row.line.number)
            if (first := self.met.setdefault(number, place)) != place:
                row.fault("number", "duplicate", sheet=first[0], row=first[1])
        return {"number": number, "sex": sex, "born_on": born}


def _ethnic(row: Examination) -> str | None:
    written = row.text("ethnic")
    if written and not ethnic_group(written):
        row.warn("ethnic", "unknown_ethnic_group")
    return written and (ethnic_group(written) or written)


def _dates(row: Examination) -> dict[str, object]:
    joined, full = row.past_day("joined_on", required=True), row.past_day("full_on")
    left = row.day("left_on", required=True)
    if left and left > row.today:
        row.fault("left_on", "left_in_the_future")
    if joined and full:
        _check_probation(row, joined, full)
    return {"joined_on": joined, "full_on": full, "left_on": left}


def _check_lifetime(row: Examination, fields: Mapping[str, object]) -> None:
    born = fields["born_on"]
    for name in ("joined_on", "left_on"):
        on = fields[name]
        if isinstance(born, date) and isinstance(on, date) and on <= born:
            row.fault(name, "before_birth")


def _check_probation(row: Examination, joined: date, full: date) -> None:
    if full < joined:
        row.fault("full_on", "full_before_joined")
    elif full == joined and not NO_PROBATION[0] <= joined <= NO_PROBATION[1]:
        row.fault("full_on", "equal_dates_outside_1969_1977")
