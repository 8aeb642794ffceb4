"""样例人员: invented members for the sample workbooks; no such person, number or branch exists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from random import Random

from domain.errors import Invalid
from domain.values import id_number, sex_of

COUNTIES = {"肃州区": "620902", "玉门市": "620981"}
STATIONS = {
    "成都": ("四川省成都市", "酒泉市驻成都联络服务站"),
    "深圳": ("广东省深圳市", "酒泉市驻深圳联络服务站"),
}

# No surname here is in the ledgers we were given to test with, nor is any of the given names.
_SURNAMES = "祁屈柯翁骆鄢蔺褚费路游濮"
_GIVEN = (
    "晓岚",
    "怀远",
    "若溪",
    "承业",
    "望舒",
    "沐阳",
    "景行",
    "书瑶",
    "立言",
    "知夏",
    "闻笛",
    "思齐",
)
_UNUSUAL = {3: ("𠮷野", "汉族"), 11: ("帕丽旦·热依木", "维吾尔族"), 17: ("巴特尔", "蒙古族")}
_VILLAGES = ("白杨", "红柳", "清泉", "丰收", "胡杨")
_EDUCATION = ("大学本科", "大学专科", "高中", "中专", "初中")
_OCCUPATIONS = ("农牧渔民", "个体工商户", "外出务工经商人员", "离退休人员", "专业技术人员")
_REASONS = ("务工", "经商", "随子女居住", "异地定居", "就学")
_DAYS_OF_PROBATION = 366


@dataclass(frozen=True)
class Person:
    """A member as the sample ledger has him or her; dates are dates, whatever the cell will say."""

    name: str
    county: str
    station: str
    ethnic: str
    number: str
    education: str
    category: str
    joined_on: date
    full_on: date | None
    branch: str
    contact: str
    occupation: str
    left_on: date
    reason: str
    phone: int
    branch_phone: int
    permit: bool

    @property
    def sex(self) -> str:
        return sex_of(self.number)

    @property
    def born_on(self) -> date:
        return date(int(self.number[6:10]), int(self.number[10:12]), int(self.number[12:14]))


def people(random: Random, count: int) -> Iterator[Person]:
    """That many members; of twelve, seven live in Chengdu and five in Shenzhen."""
    for index in range(count):
        yield _person(random, index)


def _person(random: Random, index: int) -> Person:
    county = "肃州区" if index % 2 else "玉门市"
    name = _SURNAMES[index % 12] + _GIVEN[(index * 5 + index // 12) % 12]
    name, ethnic = _UNUSUAL.get(index, (name, "汉族"))
    born = date(1955, 1, 1) + timedelta(days=random.randrange(365 * 43))
    joined = _later(random, born, 19, 8)
    probationary = index == 20  # noqa: PLR2004 - one member of the sample is on probation.
    if probationary:
        joined = date(2024, 6, 28)
    return Person(
        name=name,
        county=county,
        station="成都" if index % 12 < 7 else "深圳",  # noqa: PLR2004 - seven of twelve.
        ethnic=ethnic,
        number=_number(random, COUNTIES[county], born),
        education=random.choice(_EDUCATION),
        category="预备党员" if probationary else "正式党员",
        joined_on=joined,
        full_on=None if probationary else joined + timedelta(days=_DAYS_OF_PROBATION),
        branch=f"{county}{random.choice(_VILLAGES)}镇{random.choice(_VILLAGES)}村党支部",
        contact=f"{random.choice(_SURNAMES)}{random.choice(_GIVEN)}",
        occupation=random.choice(_OCCUPATIONS),
        left_on=date(2024, 7, 8) if probationary else _departure(random),
        reason=random.choice(_REASONS),
        # Numbers of this shape are not given to anybody.
        phone=13_900_001_000 + index,
        branch_phone=13_600_002_000 + index,
        permit=random.random() < 0.6,  # noqa: PLR2004 - a little more than half hold one.
    )


def _later(random: Random, day: date, years: int, spread: int) -> date:
    return day + timedelta(days=365 * years + random.randrange(1, 365 * spread))


def _departure(random: Random) -> date:
    return date(2019, 3, 1) + timedelta(days=random.randrange(365 * 5))


def _number(random: Random, area: str, born: date) -> str:
    stem = f"{area}{born:%Y%m%d}{random.randrange(100, 999)}"
    # Eleven candidates, one of which carries the right digit.
    return next(number for digit in "0123456789X" if (number := _sound(stem + digit)))


def _sound(number: str) -> str | None:
    try:
        return id_number(number)
    except Invalid:
        return None


def without_probation(person: Person) -> Person:
    """A member of the years in which joining was full membership at once."""
    born, joined = date(1954, 9, 17), date(1975, 7, 1)
    number = _number(Random(born.toordinal()), COUNTIES[person.county], born)  # noqa: S311
    return replace(person, number=number, joined_on=joined, full_on=joined)
