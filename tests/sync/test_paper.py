"""纸面: the text of a code is read whole and as it was signed, or not at all."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import segno
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.paper.page import page
from api.paper.printing import QR_VERSION_MAX, Letter, picture
from domain.errors import Refusal
from domain.values import Name, Short, Text
from sync.keys import NodeKeys
from sync.paper import (
    LETTER_BYTES,
    PAPER_MAX,
    RECEIVER_BYTES,
    NotAPaper,
    Paper,
    PaperAltered,
    PaperCut,
    PaperNewer,
    Written,
    fitting,
    person_check,
    read,
)
from tests.api.scanner import read_picture

KEYS = NodeKeys.of(*(bytes([n]) * 32 for n in range(4)))
TRANSFER = UUID("6f0c1c5e-0f6b-5d7e-9c63-0a3f2d1b7a55")
NUMBER = "620902195001010016"
SENT = date(2026, 1, 5)
UNTIL = datetime(2026, 2, 4, 1, 0, tzinfo=UTC)
LONGEST = "j" + "-" * 39


def paper(**said: Any) -> Paper:
    body = {"kind": "letter", "transfer": TRANSFER, "dispatch": 1, "letter": "第17号"}
    return Paper.model_validate({**body, "sent_on": SENT, "until": UNTIL, "to": "chengdu", **said})


def text(**said: Any) -> str:
    return paper(**said).signed("jiuquan", KEYS)


def opened(scanned: str) -> Paper:
    return read(scanned).open(KEYS.verify_key)


def test_what_is_read_is_what_was_signed() -> None:
    said = paper(subject=TRANSFER, person=person_check(NUMBER, TRANSFER, 1))

    written = read(said.signed("jiuquan", KEYS))

    assert written.sender == "jiuquan"
    assert written.open(KEYS.verify_key) == said


def test_a_code_is_drawn_and_read_by_a_camera() -> None:
    scanned = read_picture(picture(text()))

    assert scanned == text()
    assert segno.make_qr(scanned).mode == "alphanumeric"


def test_blanks_breaks_and_small_letters_do_not_matter() -> None:
    scanned = re.sub("(.{60})", r"\1\r\n  ", text()).swapcase() + "\n"

    assert opened(scanned) == paper()


def test_every_character_that_is_altered_is_noticed() -> None:
    good = text()

    for place, there in enumerate(good):
        for other in "AQ27.-":
            if other != there:
                with pytest.raises(Refusal):
                    opened(good[:place] + other + good[place + 1 :])


def test_every_character_that_is_lost_is_noticed() -> None:
    good = text()

    for place in range(len(good)):
        for bad in (good[:place], good[place + 1 :], good[:place] + good[place + 1 :]):
            with pytest.raises(Refusal):
                opened(bad or "-")


def test_a_text_of_which_the_end_is_missing_is_not_whole() -> None:
    whole = text()

    assert {_problem(whole[:n]) for n in range(120, len(whole))} <= {PaperCut, PaperAltered}
    assert _problem(whole[:-8]) is PaperCut


def _problem(scanned: str) -> type[Refusal]:
    with pytest.raises(Refusal) as refusal:
        opened(scanned)
    return refusal.type


@pytest.mark.parametrize(
    ("scanned", "problem"),
    [
        ("", NotAPaper),
        ("你好", NotAPaper),
        ("WAYSTATION.1.JIUQUAN.AAAA\N{FULLWIDTH FULL STOP}", NotAPaper),
        ("WAYSTATION.01.JIUQUAN.AAAA", NotAPaper),
        ("WAYSTATION.2.X.Y", PaperNewer),
        ("WAYSTATION.99999.X.Y", PaperNewer),
        ("WAYSTATION.2", PaperCut),
    ],
)
def test_what_is_no_paper_says_so(scanned: str, problem: type[Refusal]) -> None:
    assert _problem(scanned) is problem


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"nonsense}",
        json.dumps({**paper().model_dump(mode="json"), "kind": "card"}).encode(),
        b'{"kind":"letter",' + json.dumps(paper().model_dump(mode="json")).encode()[1:],
        b"\xff}",
    ],
)
def test_nonsense_is_refused_though_it_is_signed(body: bytes) -> None:
    signature = KEYS.sign(b"waystation/paper/v1\njiuquan\n" + body)

    with pytest.raises(PaperAltered) as refusal:
        Written("jiuquan", signature, body).open(KEYS.verify_key)

    assert refusal.value.facts["problem"] == "form"


def test_a_member_of_a_newer_node_is_passed_over() -> None:
    body = json.dumps({**paper().model_dump(mode="json"), "more": 1}).encode()
    signature = KEYS.sign(b"waystation/paper/v1\njiuquan\n" + body)
    code = base64.b32encode(signature + body).decode().rstrip("=")

    assert opened(f"WAYSTATION.1.JIUQUAN.{code}") == paper()


def test_one_organizations_word_is_not_anothers() -> None:
    good = text()

    with pytest.raises(PaperAltered):
        opened(good.replace("JIUQUAN", "CHENGDU"))


def test_the_code_does_not_name_whom_it_is_about_but_knows_him() -> None:
    said = paper(person=person_check(NUMBER, TRANSFER, 1))

    assert said.is_about(NUMBER)
    assert not said.is_about("620902195001010024")
    assert not paper(transfer=UUID(int=1), person=said.person).is_about(NUMBER)
    assert not paper(dispatch=2, person=said.person).is_about(NUMBER)
    assert NUMBER.encode() not in read(said.signed("jiuquan", KEYS)).body


def test_the_example_of_the_reference_is_what_it_says() -> None:
    """A stranger's reader is tried with it: it is made of the keys of the test vectors."""
    told = (Path(__file__).parents[2] / "docs/reference/paper.md").read_text(encoding="utf-8")
    example = text(subject=TRANSFER, person=person_check(NUMBER, TRANSFER, 1))

    assert example in told
    assert KEYS.verify_key in told
    assert read(example).body.decode() in told


# Odd names, and the longest of everything.


def _allowed(kind: Any) -> st.SearchStrategy[str]:
    """Whatever a field of that type takes: also rare characters beyond the BMP."""
    check = TypeAdapter(kind)
    # 𠮷 and its like, emoji, quotes that JSON doubles, and anything else.
    rare = st.sampled_from("𠮷𬭩𰻝㐂·“\"\\<&'😀é\N{LINE SEPARATOR}")
    letters = rare | st.characters(exclude_categories=("Cs", "Cc"))

    def takes(words: str) -> bool:
        try:
            return bool(check.validate_python(words))
        except ValidationError:
            return False

    return st.text(letters, min_size=1, max_size=60).filter(takes).map(check.validate_python)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(letter=_allowed(Short), to_name=_allowed(Text), dispatch=st.integers(1, 10_000))
def test_any_number_and_any_name_fit_and_come_back(
    letter: str, to_name: str, dispatch: int
) -> None:
    said = paper(
        letter=fitting(letter, LETTER_BYTES),
        to=None,
        to_name=fitting(to_name, RECEIVER_BYTES),
        dispatch=dispatch,
        subject=TRANSFER,
        person="A" * 22,
    )

    scanned = read_picture(picture(said.signed(LONGEST, KEYS)))

    assert read(scanned).open(KEYS.verify_key) == said


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(name=_allowed(Name), number=_allowed(Short), to_name=_allowed(Text))
def test_any_name_stands_on_the_page_as_it_is(name: str, number: str, to_name: str) -> None:
    shown = page(letter(name=name, number=number, to_name=to_name))

    faces = unescape(re.sub(r"<[^>]*>", "", shown.partition("</style>")[2]))
    assert faces.count(name) >= 3
    assert number in faces
    assert to_name in faces
    assert all(picture(text(kind=kind)) in shown for kind in ("letter", "slip"))


def letter(name: str, number: str, to_name: str) -> Letter:
    file = {"name": name, "sex": "男", "ethnic": None, "number": NUMBER, "phone": None}
    return Letter(
        number=number,
        from_name="酒泉市委组织部",
        to_name=to_name,
        person=file,
        category="正式党员",
        age=76,
        sent_on=SENT,
        days=30,
        until=UNTIL,
        dues_paid_to=SENT - timedelta(days=5),
        letter_text=text(),
        slip_text=text(kind="slip"),
    )


@pytest.mark.parametrize("wide", ["𠮷", '"', "字", "a"])
def test_the_longest_of_everything_fits_one_code(wide: str) -> None:
    said = paper(
        letter=fitting(wide * 64, LETTER_BYTES),
        to=None,
        to_name=fitting(wide * 500, RECEIVER_BYTES),
        dispatch=10_000,
        subject=TRANSFER,
        person="A" * 22,
    )

    longest = said.signed(LONGEST, KEYS)

    assert len(longest) <= PAPER_MAX
    version = segno.make_qr(longest, error="m", mode="alphanumeric", boost_error=False).version
    assert isinstance(version, int)
    assert version <= QR_VERSION_MAX
    assert read_picture(picture(longest)) == longest


def test_a_version_holds_what_the_limit_says() -> None:
    full = segno.make_qr("A" * PAPER_MAX, error="m", mode="alphanumeric", boost_error=False)
    over = segno.make_qr("A" * (PAPER_MAX + 1), error="m", mode="alphanumeric", boost_error=False)

    assert (full.version, over.version) == (QR_VERSION_MAX, QR_VERSION_MAX + 1)


def test_what_does_not_fit_is_cut_at_a_character_and_shows_it() -> None:
    assert fitting("第17号", 96) == "第17号"
    assert fitting("字" * 40, 96) == "字" * 31 + "…"
    assert fitting('"' * 64, 96) == '"' * 46 + "…"
