"""密封: a sealed value opens with its key, where it stands, and nowhere else."""

from __future__ import annotations

import base64
import hmac
import random
from dataclasses import replace
from itertools import combinations
from threading import Thread
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.records import decode, open_field
from domain.sealing import SUITE, DataKey, Place, Sealed, Unopenable, draw, seal, unseal
from domain.values import DataClass
from tests.support.golden import FixedKeyring, encode_fixed, example
from tests.support.story import name

KEY = DataKey.of(name("key"), name("zhang"), DataClass.CONTACT, b"k" * 32)
PLACE = Place("jiuquan", name("stream"), 3, "member.phone_recorded", 1)
PHONE = "+8613900001234"
SEALED = seal(PHONE, KEY, "phone", PLACE)

ELSEWHERE = {
    "keeper": replace(PLACE, keeper="chengdu"),
    "stream": replace(PLACE, stream=name("other")),
    "version": replace(PLACE, version=4),
    "topic": replace(PLACE, topic="inflow.details_recorded"),
    "schema": replace(PLACE, schema=2),
}


def parts(sealed: str) -> list[str]:
    return sealed.split(".")


def test_a_sealed_value_opens_where_it_stands() -> None:
    assert unseal(SEALED, KEY, "phone", PLACE) == PHONE


def test_a_sealed_value_names_its_suite_and_key() -> None:
    assert parts(SEALED)[:2] == [SUITE, KEY.id.hex]
    assert SEALED.key_id == KEY.id


def test_the_same_value_is_sealed_differently_each_time() -> None:
    again = seal(PHONE, KEY, "phone", PLACE)

    assert set(parts(again)[2:]).isdisjoint(parts(SEALED)[2:])


@pytest.mark.parametrize("moved", ELSEWHERE)
def test_a_sealed_value_does_not_open_elsewhere(moved: str) -> None:
    with pytest.raises(Unopenable):
        unseal(SEALED, KEY, "phone", ELSEWHERE[moved])


def test_a_sealed_value_does_not_open_under_another_field() -> None:
    with pytest.raises(Unopenable):
        unseal(SEALED, KEY, "address", PLACE)


def test_another_key_does_not_open_it() -> None:
    other = DataKey.of(KEY.id, KEY.subject, KEY.data_class, b"o" * 32)

    with pytest.raises(Unopenable):
        unseal(SEALED, other, "phone", PLACE)


def test_another_key_does_not_open_it_even_with_a_valid_tag() -> None:
    """AES-GCM does not commit to its key; the value does."""
    other = DataKey.of(KEY.id, KEY.subject, KEY.data_class, b"o" * 32)
    suite, key_id, nonce, commitment, _ = parts(SEALED)
    raw = base64.urlsafe_b64decode(nonce + "==")
    box = AESGCM(b"o" * 32).encrypt(raw, b"forged", PLACE.binding("phone", KEY.id))
    forged = base64.urlsafe_b64encode(box).rstrip(b"=").decode()

    with pytest.raises(Unopenable):
        unseal(Sealed(f"{suite}.{key_id}.{nonce}.{commitment}.{forged}"), other, "phone", PLACE)


@pytest.mark.parametrize("number", range(5))
def test_an_altered_value_does_not_open(number: int) -> None:
    altered = parts(SEALED)
    first = altered[number][0]
    altered[number] = ("1" if first != "1" else "2") + altered[number][1:]

    with pytest.raises(Unopenable):
        unseal(Sealed(".".join(altered)), KEY, "phone", PLACE)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "plain",
        "a.b.c.d.e",
        ".".join(("X", *parts(SEALED)[1:])),
        ".".join(parts(SEALED)[:4]),
        ".".join((*parts(SEALED), "more")),
        ".".join((*parts(SEALED)[:4], "!!!!")),
        ".".join((*parts(SEALED)[:4], "")),
    ],
)
def test_what_is_no_sealed_value_does_not_open(wrong: str) -> None:
    with pytest.raises(Unopenable):
        unseal(Sealed(wrong), KEY, "phone", PLACE)


def test_no_two_of_a_thousand_values_can_be_swapped() -> None:
    """The same person, class and key throughout: only the place tells them apart."""
    draw = random.Random(20260105)
    fields = ("phone", "address", "name", "note")
    standing = []
    for number in range(1_000):
        place = replace(PLACE, stream=UUID(int=draw.getrandbits(128)), version=1 + number % 7)
        field = draw.choice(fields)
        standing.append((field, place, seal(f"value {number}", KEY, field, place)))
    opened = []
    for (field, place, _), (_, _, other) in combinations(draw.sample(standing, 60), 2):
        try:
            opened.append(unseal(other, KEY, field, place))
        except Unopenable:
            continue
    for position, (field, place, _) in enumerate(standing):
        try:
            opened.append(unseal(standing[position - 1][2], KEY, field, place))
        except Unopenable:
            continue

    assert opened == []
    assert all(unseal(sealed, KEY, field, place) for field, place, sealed in standing)


def test_bindings_cannot_run_into_one_another() -> None:
    bindings = {
        place.binding(field, KEY.id)
        for place in (PLACE, *ELSEWHERE.values())
        for field in ("phone", "address")
    }

    assert len(bindings) == 12
    assert all(binding.count(b"\n") == 8 for binding in bindings)


def test_the_commitment_is_an_hmac() -> None:
    _, _, nonce, commitment, _ = parts(SEALED)
    raw = base64.urlsafe_b64decode(nonce + "==")

    mac = hmac.digest(KEY.secret, b"waystation/commit/v1" + raw, "sha256")

    assert base64.urlsafe_b64decode(commitment + "==") == mac


def test_no_nonce_is_given_out_twice() -> None:
    drawn: list[bytes] = []

    def take() -> None:
        drawn.extend(draw(12) for _ in range(2_000))

    threads = [Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(drawn)) == len(drawn) == 8_000


def test_secrets_do_not_show() -> None:
    assert "k" * 8 not in repr(KEY)
    assert "cipher" not in repr(KEY)


# Fields of facts.


def test_a_field_opens_for_whoever_holds_the_key() -> None:
    keyring = FixedKeyring()
    read = decode(encode_fixed(example("member.phone_recorded")).record)
    assert read is not None
    assert read.meta.subject is not None
    assert open_field(read, "phone", keyring) is None

    keyring.ours(read.meta.subject, DataClass.CONTACT)

    assert open_field(read, "phone", keyring) == PHONE


def test_a_field_does_not_open_with_a_wrong_key_of_the_right_name() -> None:
    read = decode(encode_fixed(example("member.phone_recorded")).record)
    assert read is not None

    class Wrong(FixedKeyring):
        def key(self, key_id: UUID) -> DataKey | None:
            return DataKey.of(key_id, name("zhang"), DataClass.CONTACT, b"w" * 32)

    with pytest.raises(Unopenable):
        open_field(read, "phone", Wrong())


def test_an_absent_field_is_absent() -> None:
    read = decode(encode_fixed(example("inflow.details_recorded", {"phone": PHONE})).record)
    assert read is not None

    assert open_field(read, "address", FixedKeyring()) is None
