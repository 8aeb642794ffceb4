"""验证: what the verifier's page shows holds, and what it names is what the catalogue names."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pytest

from domain import suite
from domain.catalogue import FACTS
from domain.sealing import DataKey, Place, Sealed, field_secret, unseal
from domain.tree import SHA256
from domain.values import DataClass
from sync.keys import b64
from sync.verifier import defect, notes, passport, records, story
from sync.verifier.defect import Defect

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "passport.md").read_text()
SHOWN = (
    *("activity", "attendance", "claim", "contact", "inflow", "member", "outflow"),
    *("transfer", "admission", "erasure", "destruction"),
)


def found(pattern: str) -> str:
    match = re.search(pattern, PAGE)
    assert match is not None
    return match[1]


def test_the_worked_example_holds() -> None:
    data = records.leaf(UUID(int=1), 1, "a.b", b"{}")
    hashed = SHA256.leaf(data)
    text = found(r"text +(jiuquan.*)").replace("\\n", "\n")
    note = f"{text}\n{found('(— jiuquan/ledger/1 .*)')}\n"

    said = notes.read(note, "example")

    assert data.hex() == found("leaf data +(.*)").replace(" ", "")
    assert hashed.hex() == found("leaf hash +(.*)")
    assert (said.size, said.root) == (1, hashed)
    said.must_be_by([found("1f`: `([^`]*)`")], "example")
    assert said.lines[0].id.hex() == found("ledger/1` is `([^`]*)`")
    with pytest.raises(Defect):
        said.must_be_by([found("1f`: `([^`]*)`").swapcase()], "example")


def test_the_sealed_field_of_the_example_opens() -> None:
    kept = suite.chosen().name
    suite.choose("international")
    try:
        place = Place("jiuquan", UUID(int=1), 3, "member.phone_recorded", 1)
        key = DataKey(UUID(int=(1 << 128) - 1), UUID(int=0), DataClass.CONTACT, bytes(range(32)))
        sealed, secret = Sealed(found(r"sealed +(\S+\.\S+)")), found("secret +(.{44})\n")

        assert unseal(sealed, key, "phone", place) == found("plain +(.*)")
        assert b64(field_secret(sealed, key, "phone", place)) == secret
    finally:
        suite.choose(kept)


def test_every_fact_of_an_absence_has_its_name_in_the_story() -> None:
    topics = {topic for topic in FACTS if topic.split(".")[0] in SHOWN}

    assert set(story.WHAT) == topics
    for topic, words in story.WHAT.items():
        said = (FACTS[topic].__doc__ or "").split("\n")[0]
        assert said.startswith(words[:2]) or said[:2] in words, topic


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}',
        b"[1]",
        b'{"a":"\\ud800"}',
        b'{"a":NaN}',
        b"\xff",
        b"{" * 100_000,
        b'{"a":',
        b"",
    ],
)
def test_what_has_two_meanings_is_not_read(raw: bytes) -> None:
    with pytest.raises(Defect):
        defect.read_json(raw, "here")


@pytest.mark.parametrize("raw", [b"", b"\n", b"{}\n", b'{"signatures":{}}\n', b"x" * 100])
def test_what_is_no_passport_is_refused(raw: bytes) -> None:
    with pytest.raises(Defect) as told:
        passport.verify(raw, {})
    assert told.value.facts["where"]
