"""值: the small things facts and commands are made of, each checked where it enters."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import phonenumbers
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from stdnum.cn import ric
from stdnum.exceptions import ValidationError as NumberError

from domain.errors import BadDate, BadIdNumber, BadPhone

TEXT_MAX = 500
NOTES_MAX = 4_000
NAME_MAX = 60
AUDIENCE_MAX = 64
"""Organizations that hear of one stream."""

OrgCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,39}$")]
"""An organization's code (组织代码): a lower-case slug, because topics and paths are made of it."""


# C0 but for tab and newline, DEL and C1, lone surrogates, and what turns the writing direction.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)


def _plain(text: str) -> str:
    """Refuse what is not text."""
    if _CONTROL.search(text):
        raise ValueError("含有控制字符。It holds control characters.")
    return text.strip()


def _name(text: str) -> str:
    """Refuse a formula in disguise, also in the full-width spelling, and a second line."""
    if text.startswith(tuple("=+-@＝＋－＠")) or "\n" in text or "\t" in text:
        raise ValueError("姓名不能是公式，也不能换行。A name is no formula, and one line.")
    return text


Text = Annotated[str, StringConstraints(max_length=TEXT_MAX), AfterValidator(_plain)]
Stated = Annotated[
    str,
    StringConstraints(min_length=1, max_length=TEXT_MAX, strip_whitespace=True),
    AfterValidator(_plain),
]
"""Text that must say something. For commands alone: a rule may be tightened, a fact stays."""

Notes = Annotated[str, StringConstraints(max_length=NOTES_MAX), AfterValidator(_plain)]
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=NAME_MAX, strip_whitespace=True),
    AfterValidator(_plain),
    AfterValidator(_name),
]
Short = Annotated[str, StringConstraints(max_length=64), AfterValidator(_plain)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in hex."""

OfferNumber = Annotated[int, Field(ge=1, le=10_000)]
DispatchNumber = Annotated[int, Field(ge=1, le=10_000)]


class Value(BaseModel):
    """A frozen value; a field nobody knows is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataClass(StrEnum):
    """数据类别: who may open a personal field is granted by class, per person."""

    IDENTITY = "identity"
    CONTACT = "contact"
    FAMILY = "family"
    NOTES = "notes"
    RESTRICTED = "restricted"


class Precision(StrEnum):
    """How exactly it is known when something happened."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


class Occurred(Value):
    """发生时间: when it happened, as exactly as anybody knows.

    `on` is the civil date in Asia/Shanghai; for month and year it is the first day of the period.
    `at` is the moment in UTC, given if and only if the precision is a minute.
    """

    on: date
    precision: Precision = Precision.DAY
    at: AwareDatetime | None = None

    @classmethod
    def day(cls, on: date) -> Self:
        return cls(on=on)


Channel = Literal["screen", "api", "import", "bundle", "paper", "automatic"]


class Author(Value):
    """经办人: who recorded it, for which organization, in which role, on whose behalf."""

    org: OrgCode
    person: Annotated[Short, StringConstraints(min_length=1)]
    role: Short = "officer"
    on_behalf_of: Short | None = None
    channel: Channel = "api"


class Source(Value):
    """来源: where a value came from; for a file its SHA-256 digest, name, sheet and row."""

    kind: Channel = "api"
    file: Annotated[Text, StringConstraints(max_length=200)] | None = None
    digest: Digest | None = None
    sheet: Short | None = None
    row: Annotated[int, Field(ge=1, le=2_000_000)] | None = None
    reference: Annotated[Text, StringConstraints(max_length=200)] | None = None


FactName = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F-]{36}/[1-9][0-9]{0,8}$")]
"""A recorded fact as people name it: STREAM/VERSION."""


class FactId(Value):
    """Names one recorded fact: its stream and version."""

    stream: UUID
    version: Annotated[int, Field(ge=1, le=2**31)]


# National id number, telephone and dates: the libraries check the number, we check the person.

_OLD_LENGTH, _NEW_LENGTH = 15, 18


def id_number(raw: str) -> str:
    """The 18-character national id number (GB 11643-1999), from 18 or the old 15 digits.

    The place code is not refused when the list of counties does not know it for the year of
    birth: numbers are issued at registration, and counties are renamed.

    Raises:
        BadIdNumber: with `problem` one of truncated, length, characters, check_digit, birth_date.
    """
    number = re.sub(r"[\s\-\u3000]", "", raw).upper()
    if re.fullmatch(r"\d+\.?\d*E\+?\d+", number):
        raise BadIdNumber(problem="truncated")
    if len(number) == _OLD_LENGTH and number.isdigit():
        number = f"{number[:6]}19{number[6:]}"
        number += ric.calc_check_digit(number + "0")
    if len(number) != _NEW_LENGTH:
        raise BadIdNumber(problem="length", length=len(number))
    if not re.fullmatch(r"[0-9]{17}[0-9X]", number):
        raise BadIdNumber(problem="characters")
    if number[-1] != ric.calc_check_digit(number):
        raise BadIdNumber(problem="check_digit")
    try:
        ric.get_birth_date(number)
    except NumberError:
        raise BadIdNumber(problem="birth_date") from None
    return number


def born_on(number: str) -> date:
    """The date of birth inside a checked id number."""
    return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))


def sex_of(number: str) -> Literal["男", "女"]:
    """The sex inside a checked id number (odd order code: male)."""
    return "男" if int(number[16]) % 2 else "女"


def telephone(raw: str) -> str:
    """The number in E.164 (+8613800138000); allocated-range tables lag, so length decides.

    Raises:
        BadPhone: when no telephone in China or abroad could have this number.
    """
    try:
        number = phonenumbers.parse(raw, "CN")
    except phonenumbers.NumberParseException:
        raise BadPhone(problem="characters") from None
    if not phonenumbers.is_possible_number(number):
        raise BadPhone(problem="length")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


_DATE_SHAPES = (
    re.compile(r"(\d{4})年(\d{1,2})月(\d{1,2})日"),
    re.compile(r"(\d{4})[-./](\d{1,2})[-./](\d{1,2})(?:[ T]00:00:00)?"),
    re.compile(r"(\d{4})(\d{2})(\d{2})"),
)


def civil_date(raw: object) -> date:
    """A date from any of the spellings ledgers use: 2016年01月04日, 2016-01-04, 2016.1.4, 20160104.

    Raises:
        BadDate: when it is no date of the calendar.
    """
    if isinstance(raw, datetime):
        return raw.date()
    if isinstance(raw, date):
        return raw
    text = str(raw).strip()
    for shape in _DATE_SHAPES:
        if found := shape.fullmatch(text):
            try:
                return date(*map(int, found.groups()))
            except ValueError:
                raise BadDate(value=text[:40]) from None
    raise BadDate(value=text[:40])


def _checked(check: Any) -> Any:
    def validate(value: str) -> Any:
        try:
            return check(value)
        except (BadIdNumber, BadPhone, BadDate) as refusal:
            raise ValueError(str(refusal)) from refusal

    return validate


IdNumber = Annotated[str, AfterValidator(_checked(id_number))]
Phone = Annotated[str, AfterValidator(_checked(telephone))]
Day = Annotated[date, BeforeValidator(_checked(civil_date))]


def utc_now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)
