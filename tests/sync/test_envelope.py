"""信封与密钥: what is read of a message, and which keys are trusted; also the published vectors."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_is_valid_point

from sync import strict
from sync.card import Card, make_card, read_card
from sync.envelope import BATCH_BYTES, HEADER_MAX, Sealed
from sync.errors import Forged, LaneFault, Malformed, TooLarge
from sync.keys import NodeKeys, fingerprint, sealable, usable, verify, wrap
from tests.support.federation import NOW, ORIGIN
from tests.support.stage import Staged
from tests.sync.pen import Pen, sign

KEYS = NodeKeys.of(*(bytes([n]) * 32 for n in range(4)))

# By RFC 7748 and RFC 8032, in base64: points of low order.
LOW_ORDER_X25519 = [
    base64.b64encode(raw).decode()
    for raw in (
        bytes(32),
        b"\x01" + bytes(31),
        bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    )
]


def card(**said: Any) -> bytes:
    made = make_card(KEYS, ORIGIN, "酒泉", "http://127.0.0.1:1", NOW)
    body = {**json.loads(made.partition(b"\n")[2]), **said}
    return sign(KEYS, ORIGIN, json.dumps(body).encode(), "card")


# Cards.


def test_a_card_vouches_for_itself() -> None:
    read = read_card(make_card(KEYS, ORIGIN, "酒泉", "http://127.0.0.1:1", NOW))

    assert (read.sender, read.verify_key) == (ORIGIN, KEYS.verify_key)
    assert read.fingerprint == fingerprint(KEYS.verify_key, KEYS.sealing_key)


def test_a_card_shows_the_key_that_signed_it() -> None:
    with pytest.raises(Forged):
        read_card(card(verify_key=NodeKeys.generate().verify_key))


@pytest.mark.parametrize("key", ["", "x", "AAAA", base64.b64encode(bytes(32)).decode(), "汉" * 20])
def test_a_card_with_a_key_that_checks_nothing_is_refused(key: str) -> None:
    with pytest.raises(Malformed):
        read_card(card(verify_key=key))


@pytest.mark.parametrize("key", ["", "x", "AAAA", "汉" * 20, *LOW_ORDER_X25519])
def test_a_card_to_which_nothing_can_be_sealed_is_refused(key: str) -> None:
    assert not sealable(key)
    with pytest.raises(Malformed):
        read_card(card(sealing_key=key))


@pytest.mark.parametrize("suite", ["SM2", "", None])
def test_a_card_of_another_suite_is_refused(suite: str | None) -> None:
    with pytest.raises(Malformed):
        read_card(card(suite=suite))


# Keys.


def test_keys_do_not_show_in_what_is_printed() -> None:
    assert repr(KEYS) == "NodeKeys()"


def test_what_is_sealed_opens_for_its_receiver_and_its_purpose_alone() -> None:
    wrapped = wrap(b"s" * 32, KEYS.sealing_key, b"purpose")

    assert KEYS.unwrap(wrapped, b"purpose") == b"s" * 32
    assert KEYS.unwrap(wrapped, b"another") is None
    assert NodeKeys.generate().unwrap(wrapped, b"purpose") is None
    assert KEYS.unwrap(wrapped[:20], b"purpose") is None
    assert KEYS.unwrap(b"", b"purpose") is None


@pytest.mark.parametrize("signature", [b"", b"x", b"x" * 64, b"x" * 65])
def test_what_is_no_signature_verifies_nothing(signature: bytes) -> None:
    assert not verify(KEYS.verify_key, b"message", signature)
    assert not verify("not a key", b"message", signature)


# Any bytes at all.


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(wire: bytes) -> None:
    try:
        Sealed(wire).card()
    except LaneFault:
        return
    pytest.fail("it was taken for a card")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    with pytest.raises(LaneFault):
        Sealed(sign(KEYS, ORIGIN, body, "card")).open(Card, KEYS.verify_key)


def test_the_limits_are_those_that_are_named() -> None:
    with pytest.raises(TooLarge):
        Sealed(b"x" * (BATCH_BYTES + 1))
    with pytest.raises(Malformed):
        Sealed(b"waystation/card/v1 " + b"a" * HEADER_MAX + b" c2ln\n{}")


# Published vectors.

OURS_TO_REFUSE = {
    "y_object_duplicated_key.json",
    "y_object_duplicated_key_and_value.json",
    "y_object_escaped_null_in_key.json",
    "y_string_null_escape.json",
    "y_string_backslash_and_u_escaped_zero.json",
}
"""Correct JSON that two readers read differently, or that no column of text can hold."""


def json_suite(vectors: Path) -> list[Path]:
    files = sorted((vectors / "json-test-suite" / "test_parsing").glob("*.json"))
    assert len(files) == 318
    return files


def test_json_is_read_strictly(vectors: Path) -> None:
    read, refused = set(), set()
    for file in json_suite(vectors):
        try:
            strict.read(file.read_bytes(), "vector")
            read.add(file.name)
        except Malformed:
            refused.add(file.name)

    correct = {file.name for file in json_suite(vectors) if file.name.startswith("y_")}
    assert correct - read <= OURS_TO_REFUSE
    assert read <= correct
    assert len(refused) >= 188 + 35


def test_no_json_vector_is_taken_for_a_message_or_recorded(vectors: Path, pen: Pen) -> None:
    for file in json_suite(vectors):
        outcome = pen.receiver.inbox.accept(pen.body(file.read_bytes()))

        assert isinstance(outcome.fault, LaneFault), file.name
    assert pen.number == 0
    topics = {entry.record.topic for entry in pen.receiver.ledger.since(0)}
    assert topics == {"organization.founded", "organization.peer_enrolled", "pact.concluded"}


@pytest.mark.slow
def test_no_json_vector_is_recorded_as_a_state(vectors: Path, pen: Pen) -> None:
    topics = ("activity.held", "future.thing")
    entries = []
    for file in json_suite(vectors):
        text = file.read_bytes().decode("utf-8", "replace")[:60_000]
        entries += [pen.entry(topic).model_copy(update={"state": text}) for topic in topics]
    for start in range(0, len(entries), 4):
        outcome = pen.send(*entries[start : start + 4])

        assert (outcome.fault, outcome.recorded) == (None, 0)
    assert pen.receiver.lanes.parked(ORIGIN) == len(entries) == 636


@pytest.mark.slow
def test_a_json_vector_inside_a_state_is_kept_or_refused(vectors: Path, pen: Pen) -> None:
    """What is kept is correct JSON, byte for byte; every read model goes on."""
    kept = 0
    for file in json_suite(vectors):
        raw = file.read_bytes()
        try:
            inner = raw.decode()[:50_000]
        except UnicodeDecodeError:
            continue
        state = json.dumps(pen.state("activity.held"))[:-1] + ',"more":' + inner + "}"
        outcome = pen.raw(state)
        assert outcome.fault is None
        assert not outcome.recorded or file.name.startswith("y_"), file.name
        kept += outcome.recorded
    assert kept >= 95 - len(OURS_TO_REFUSE) - 4
    pen.receiver.settle()
    assert pen.receiver.projector.stopped == {}


@pytest.mark.slow
def test_naughty_strings_are_kept_or_refused(vectors: Path, three: Staged, pen: Pen) -> None:
    strings = json.loads((vectors / "naughty-strings" / "blns.json").read_text())
    assert len(strings) == 515

    for text in strings:
        for said in ({"title": text}, {"more": {text: text}}):
            outcome = pen.send(pen.entry(**said))
            assert outcome.fault is None, text
        body = json.dumps({**pen.message().model_dump(mode="json"), "receiver": text}).encode()
        for wire in (text.encode(), pen.body(body), pen.body(text.encode())):
            assert isinstance(pen.receiver.inbox.accept(wire).fault, LaneFault), text
    pen.receiver.settle()
    assert pen.receiver.projector.stopped == {}
    assert three.nodes


def test_keys_and_signatures_of_the_edge_cases_are_refused(vectors: Path) -> None:
    """A key that is no proper point is never enrolled; with the rest PyNaCl alone decides."""
    cases = json.loads((vectors / "cctv-ed25519" / "ed25519" / "ed25519vectors.json").read_text())
    assert len(cases) == 914

    for case in cases:
        key = base64.b64encode(bytes.fromhex(case["key"])).decode()
        signature = bytes.fromhex(case["sig"])
        valid = verify(key, case["msg"].encode(), signature)
        flags = set(case["flags"] or [])
        if {"low_order_A", "non_canonical_A"} & flags:
            assert not usable(key), case["number"]
        if usable(key):
            assert crypto_core_ed25519_is_valid_point(bytes.fromhex(case["key"]))
        if {"low_order_R", "non_canonical_R", "low_order_A", "non_canonical_A"} & flags:
            assert not (valid and usable(key)) or "low_order_R" in flags, case["number"]
