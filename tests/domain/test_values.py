"""值: what is checked where it enters, whatever the way in."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from domain.errors import BadDate, BadIdNumber, BadPhone
from domain.values import (
    NAME_MAX,
    NOTES_MAX,
    TEXT_MAX,
    Author,
    Day,
    Digest,
    IdNumber,
    Name,
    Notes,
    Occurred,
    OfferNumber,
    OrgCode,
    Phone,
    Precision,
    Source,
    Stated,
    Text,
    born_on,
    civil_date,
    id_number,
    sex_of,
    telephone,
)

KINDS = {
    "Text": Text,
    "Notes": Notes,
    "Name": Name,
    "Stated": Stated,
    "OrgCode": OrgCode,
    "Digest": Digest,
    "OfferNumber": OfferNumber,
    "IdNumber": IdNumber,
    "Phone": Phone,
    "Day": Day,
}


def check(kind: str, value: object) -> object:
    return TypeAdapter(KINDS[kind]).validate_python(value)


@pytest.mark.parametrize(
    ("kind", "limit"), [("Text", TEXT_MAX), ("Stated", TEXT_MAX), ("Notes", NOTES_MAX)]
)
def test_a_text_has_a_limit(kind: str, limit: int) -> None:
    assert check(kind, "话" * limit) == "话" * limit
    with pytest.raises(ValidationError, match=str(limit)):
        check(kind, "话" * (limit + 1))


def test_a_name_has_a_limit() -> None:
    assert check("Name", "名" * NAME_MAX) == "名" * NAME_MAX
    with pytest.raises(ValidationError):
        check("Name", "名" * (NAME_MAX + 1))


@pytest.mark.parametrize("kind", ["Text", "Notes", "Name", "Stated"])
@pytest.mark.parametrize(
    "bad",
    [
        "\x00",
        "\x07",
        "\x0b",
        "\x1b",
        "\x7f",
        "\x9b",
        "\ud800",
        "\u202e",
        "\u2066",
        "\uffff",
    ],
    ids=ascii,
)
def test_what_is_no_text_is_refused(kind: str, bad: str) -> None:
    with pytest.raises(ValidationError):
        check(kind, f"张{bad}三")


@pytest.mark.parametrize("kind", ["Text", "Notes"])
def test_a_text_may_have_lines(kind: str) -> None:
    assert check(kind, " 一\n\t二 ") == "一\n\t二"


@pytest.mark.parametrize("name", ["阿卜杜拉·买买提", "Батбаяр", "李 明", "\u3000张三 "])
def test_a_name_is_in_any_script(name: str) -> None:
    assert check("Name", name) == name.strip()


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+86",
        "-x",
        "@SUM(A1)",
        " =1",
        "＝1",
        "＋1",
        "－1",
        "＠1",
        "张\n三",
        "张\t三",
        "",
        "  ",
    ],
)
def test_a_name_is_no_formula_and_one_line(name: str) -> None:
    with pytest.raises(ValidationError):
        check("Name", name)


@pytest.mark.parametrize("empty", ["", " ", "\u3000", "\n"])
def test_what_must_be_stated_is_not_empty(empty: str) -> None:
    with pytest.raises(ValidationError):
        check("Stated", empty)


@pytest.mark.parametrize(
    "code", ["", "a", "A1", "1a", "a_b", "a.b", "a b", "甘肃", "a" * 41, "a\n"]
)
def test_a_code_is_a_slug(code: str) -> None:
    with pytest.raises(ValidationError):
        check("OrgCode", code)


@pytest.mark.parametrize("digest", ["", "a" * 63, "A" * 64, "g" * 64, "a" * 64 + "\n"])
def test_a_digest_is_sha_256_in_hex(digest: str) -> None:
    with pytest.raises(ValidationError):
        check("Digest", digest)


@pytest.mark.parametrize("number", [0, -1, 10_001, 10**30])
def test_an_offer_has_a_small_number(number: int) -> None:
    with pytest.raises(ValidationError):
        check("OfferNumber", number)


# Id numbers.


@pytest.mark.parametrize(
    "raw",
    ["620902198803151237", " 620902 19880315 1237", "620902880315123", "6209-0219880315\u30001237"],
)
def test_an_id_number_is_read(raw: str) -> None:
    assert id_number(raw) == check("IdNumber", raw) == "620902198803151237"


def test_an_id_number_may_end_in_x() -> None:
    assert id_number("11010519491231002x") == "11010519491231002X"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("6.20902E+17", "truncated"),
        ("62090219880315", "length"),
        ("6209021988031512370", "length"),
        ("62090219880315123A", "characters"),
        ("620902198803151238", "check_digit"),
        ("620902198813151230", "birth_date"),
        ("", "length"),
    ],
)
def test_an_id_number_says_what_is_wrong(raw: str, problem: str) -> None:
    with pytest.raises(BadIdNumber) as refused:
        id_number(raw)

    assert refused.value.facts["problem"] == problem


def test_an_id_number_says_birth_and_sex() -> None:
    assert born_on("620902198803151237") == date(1988, 3, 15)
    assert (sex_of("620902198803151237"), sex_of("620902197702264860")) == ("男", "女")


# Telephones and dates.


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        ("13900001234", "+8613900001234"),
        ("139 0000-1234", "+8613900001234"),
        ("+86 139 0000 1234", "+8613900001234"),
        ("0937-2612345", "+869372612345"),
        ("+1 650 253 0000", "+16502530000"),
    ],
)
def test_a_telephone_number_is_read(raw: str, number: str) -> None:
    assert telephone(raw) == check("Phone", raw) == number


@pytest.mark.parametrize(
    ("raw", "problem"), [("电话", "characters"), ("12", "length"), ("1" * 30, "characters")]
)
def test_a_telephone_number_says_what_is_wrong(raw: str, problem: str) -> None:
    with pytest.raises(BadPhone) as refused:
        telephone(raw)

    assert refused.value.facts["problem"] == problem


@pytest.mark.parametrize(
    "raw",
    [
        "2016年01月04日",
        "2016年1月4日",
        "2016-01-04",
        "2016.1.4",
        "2016/1/4",
        "20160104",
        " 2016-01-04 00:00:00 ",
        date(2016, 1, 4),
        datetime(2016, 1, 4, 12, tzinfo=UTC),
    ],
)
def test_a_date_is_read(raw: object) -> None:
    assert civil_date(raw) == check("Day", raw) == date(2016, 1, 4)


@pytest.mark.parametrize(
    "raw", ["2016-02-30", "2016年13月1日", "42373", "昨天", "", "2016-1", None, "0000-01-01"]
)
def test_what_is_no_date_is_refused(raw: object) -> None:
    with pytest.raises(BadDate):
        civil_date(raw)
    with pytest.raises(ValidationError, match="日期不正确"):
        check("Day", raw)


# Who, when, from where.


def test_an_author_is_named_in_plain_text() -> None:
    for wrong in ({"person": ""}, {"person": "a\x00"}, {"person": "a" * 65}, {"role": "\x1b[2J"}):
        with pytest.raises(ValidationError):
            Author.model_validate({"org": "jiuquan", "person": "wang", **wrong})


def test_a_source_is_named_in_plain_text() -> None:
    wrongs: tuple[dict[str, object], ...] = (
        {"file": "a\udc80.xlsx"},
        {"file": "a" * 201},
        {"sheet": "a" * 65},
        {"digest": "a"},
        {"row": 0},
        {"reference": "\x00"},
    )
    for wrong in wrongs:
        with pytest.raises(ValidationError):
            Source.model_validate(wrong)


def test_a_moment_names_its_zone() -> None:
    with pytest.raises(ValidationError):
        Occurred(on=date(2025, 1, 1), precision=Precision.MINUTE, at=datetime(2025, 1, 1, 8))  # noqa: DTZ001
