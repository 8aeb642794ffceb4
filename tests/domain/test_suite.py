"""算法组: published values of both suites, and what the choice of one means."""

from __future__ import annotations

import random
from collections.abc import Iterator
from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hashes import SHA256, SM3, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC

from domain import suite
from domain.sealing import DataKey, Place, Unopenable, key_id_of, seal, unseal
from domain.suite import SUITES, Sm4Gcm, SuiteName
from domain.values import DataClass

HASHES: dict[SuiteName, HashAlgorithm] = {"international": SHA256(), "guomi": SM3()}
SECRET = b"k" * suite.SECRET_SIZE

GB_32905 = {
    b"abc": "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
    b"abcd" * 16: "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
}
"""GB/T 32905-2016, appendix A."""

RFC_8998 = {
    "key": "0123456789abcdeffedcba9876543210",
    "nonce": "00001234567800000000abcd",
    "data": "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
    "eeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa",
    "associated": "feedfacedeadbeeffeedfacedeadbeefabaddad2",
    "box": "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
    "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
    "83de3541e4c2b58177e065a9bf7b62ec",
}
"""RFC 8998, appendix A.1; the tag behind the box."""


@pytest.fixture(params=SUITES)
def each(request: pytest.FixtureRequest) -> Iterator[SuiteName]:
    """Both suites, one after the other."""
    before = suite.chosen().name
    suite.choose(request.param)
    yield request.param
    suite.choose(before)


@pytest.mark.parametrize("data", GB_32905)
def test_sm3_gives_the_published_values(data: bytes) -> None:
    assert suite.sm3(data).hex() == GB_32905[data]


def test_sm4_in_gcm_gives_the_published_box() -> None:
    said = {name: bytes.fromhex(value) for name, value in RFC_8998.items()}
    cipher = Sm4Gcm(said["key"])

    assert cipher.encrypt(said["nonce"], said["data"], said["associated"]) == said["box"]
    assert cipher.decrypt(said["nonce"], said["box"], said["associated"]) == said["data"]


@pytest.mark.parametrize("bent", [0, 30, -1, None])
def test_sm4_in_gcm_opens_nothing_that_was_bent(bent: int | None) -> None:
    said = {name: bytes.fromhex(value) for name, value in RFC_8998.items()}
    box = bytearray(said["box"])
    if bent is None:
        box = box[:10]
    else:
        box[bent] ^= 1

    with pytest.raises(InvalidTag):
        Sm4Gcm(said["key"]).decrypt(said["nonce"], bytes(box), said["associated"])


def test_the_mac_is_an_hmac_of_the_chosen_hash(each: SuiteName) -> None:
    seed = 20_261_126
    rng = random.Random(seed)
    for _ in range(50):
        key, data = rng.randbytes(rng.randint(1, 150)), rng.randbytes(rng.randint(0, 300))
        mac = HMAC(key, HASHES[each])
        mac.update(data)

        assert suite.mac(key, data) == mac.finalize(), f"seed {seed}"


def test_a_value_opens_under_its_own_suite_alone(each: SuiteName) -> None:
    subject, stream = uuid4(), uuid4()
    place = Place("jiuquan", stream, 1, "contact.made", 1)
    key = DataKey(key_id_of(SECRET), subject, DataClass.NOTES, SECRET)

    sealed = seal("在岗", key, "condition", place)

    assert sealed.startswith(SUITES[each].seals + ".")
    assert unseal(sealed, key, "condition", place) == "在岗"
    other: SuiteName = "guomi" if each == "international" else "international"
    suite.choose(other)
    with pytest.raises(Unopenable):
        unseal(sealed, key, "condition", place)


def test_suites_share_no_key_id(each: SuiteName) -> None:
    ids = set()
    for name in SUITES.values():
        suite.choose(name.name)
        ids.add(key_id_of(SECRET))

    assert len(ids) == len(SUITES), each
