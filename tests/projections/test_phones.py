"""电话索引: whoever has or had a telephone is found by it, and no table tells the number."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest

from domain import suite
from domain.commands import FindMember, RecordInflowDetails, RecordPhone
from domain.purposes import PURPOSES
from projections import phones
from projections.phones import FOUND_MAX, SearchKeyOther, must_fit
from projections.projection import Row
from tests.projections.conftest import NUMBERS, Pair, stay
from tests.support.people import LI_NUMBER, register_member
from tests.support.sides import Side
from tests.support.story import ORIGIN

FIRST, SECOND, THERE = "+8613900001234", "+8613911112222", "+8613933334444"


def found(side: Side, phone: str) -> list[Row]:
    with side.database.connection() as conn:
        return phones.find(conn, side.keyring, phone)


def test_a_telephone_leads_to_the_one_who_has_it(pair: Pair) -> None:
    member = pair.origin.do(register_member(phone=FIRST)).id
    pair.origin.project()

    (row,) = found(pair.origin, FIRST)

    assert (row["stream"], row["org"], row["current"]) == (member, ORIGIN, True)
    assert found(pair.origin, SECOND) == []


def test_an_earlier_one_leads_to_him_too_and_says_that_it_is_earlier(pair: Pair) -> None:
    member = pair.origin.do(register_member(phone=FIRST)).id
    pair.origin.do(RecordPhone(member=member, phone=SECOND))
    pair.origin.project()

    assert [row["current"] for row in found(pair.origin, FIRST)] == [False]
    assert [row["current"] for row in found(pair.origin, SECOND)] == [True]
    # And who goes back to it has it again, once.
    pair.origin.do(RecordPhone(member=member, phone=FIRST))
    pair.origin.project()
    assert [row["current"] for row in found(pair.origin, FIRST)] == [True]


def test_who_has_it_comes_before_who_had_it(pair: Pair) -> None:
    had = pair.origin.do(register_member(phone=FIRST)).id
    pair.origin.do(RecordPhone(member=had, phone=SECOND))
    has = pair.origin.do(register_member(number=LI_NUMBER, phone=FIRST)).id
    pair.origin.project()

    assert [row["stream"] for row in found(pair.origin, FIRST)] == [has, had]


def test_both_sides_find_who_is_in_care_by_what_either_has_recorded(pair: Pair) -> None:
    stay(pair)
    inflow = next(iter(pair.host.table("roster_arrival")))
    pair.host.do(RecordInflowDetails(inflow=inflow, phone=THERE))
    pair.settle()

    for side in pair:
        assert [row["stream"] for row in found(side, THERE)] == [inflow]
        assert len(found(side, FIRST)) == 1


def test_whom_a_host_has_found_is_found_by_his_telephone(pair: Pair) -> None:
    known = {"origin": ORIGIN, "name": "王五", "number": NUMBERS[2], "phone": THERE}
    inflow = pair.host.do(FindMember.model_validate(known)).id
    pair.settle()

    assert [row["stream"] for row in found(pair.host, THERE)] == [inflow]


def test_every_fact_that_says_how_to_reach_a_person_is_read() -> None:
    reach = PURPOSES["member.phone_recorded"]["phone"]
    said = {topic for topic, fields in PURPOSES.items() if fields.get("phone") is reach}

    assert said == set(phones.Phones.topics)


def test_the_table_holds_neither_the_number_nor_a_hash_without_a_key(pair: Pair) -> None:
    pair.origin.do(register_member(phone=FIRST))
    pair.origin.project()
    (row,) = pair.origin.table("phone_index").values()

    told = repr(row).encode() + row["mark"] + row["mark_key"].encode()
    for spelling in (FIRST, FIRST[1:], FIRST[3:]):
        raw = spelling.encode()
        assert raw not in told
        for digest in (suite.digest(raw), hashlib.sha256(raw).digest(), hashlib.md5(raw).digest()):
            assert row["mark"][:8] not in digest


def test_the_same_telephone_has_another_mark_for_another_purpose_and_by_another_key(
    pair: Pair,
) -> None:
    keyring = pair.origin.keyring
    marks = {keyring.mark("phone", FIRST), keyring.mark("letter", FIRST)}
    before = keyring.mark_key
    keyring.search_by(os.urandom(32))

    assert len(marks | {keyring.mark("phone", FIRST)}) == 3
    assert keyring.mark_key != before


def test_a_page_ends_and_says_that_there_are_more(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.origin.do(register_member(phone=FIRST))
    pair.origin.do(register_member(number=LI_NUMBER, phone=FIRST))
    pair.origin.project()
    monkeypatch.setattr(phones, "FOUND_MAX", 1)

    assert len(found(pair.origin, FIRST)) == 2
    assert FOUND_MAX == 100


def test_another_key_does_not_fit_an_index_that_has_rows(pair: Pair) -> None:
    side = pair.origin
    side.keyring.search_by(os.urandom(32))
    must_fit(side.database, side.keyring)
    side.do(register_member(phone=FIRST))
    side.project()
    must_fit(side.database, side.keyring)

    side.keyring.search_by(os.urandom(32))

    with pytest.raises(SearchKeyOther) as refused:
        must_fit(side.database, side.keyring)
    assert refused.value.facts == {"file": "keys/search.key"}
    assert found(side, FIRST) == []
    # Built anew it is by the new key.
    assert side.projector.rebuild("phones") is False
    must_fit(side.database, side.keyring)
    assert len(found(side, FIRST)) == 1


@pytest.mark.parametrize("said", ["", "x", "+86 139 0000 1234\0"])
def test_what_a_peer_calls_a_telephone_stops_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    model: Any = pair.origin.projector.projections["phones"]
    monkeypatch.setattr(model, "clear", lambda *_: said.replace("\0", ""))
    pair.origin.do(register_member(phone=FIRST))
    pair.origin.project()

    assert pair.origin.projector.stopped == {}
    assert len(found(pair.origin, FIRST)) == ("139" in said)
