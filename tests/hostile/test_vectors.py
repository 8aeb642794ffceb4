"""公开用例: the published hostile inputs against every parser of the wire."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from http_message_signatures import InvalidSignature

from sync import strict
from sync.card import make_card, read_card
from sync.envelope import Grant
from sync.errors import LaneFault, Malformed
from sync.keys import NodeKeys, b64, sealable, usable, verify
from sync.signed_http import Gate, _Ed25519
from tests.hostile.scene import Scene, scene
from tests.support.federation import CHENGDU, NOW, ORIGIN
from tests.support.memory.stage import MemoryStage
from tests.sync.conftest import vectors
from tests.sync.pen import receipt, sign

__all__ = ["vectors"]

ACCEPTED = 43
"""Of the 914 edge cases, signatures PyNaCl verifies; with `cryptography` it would be 208."""

TRUSTED = 1
"""Of those, by a key that could be enrolled."""

GOLDEN = "0a926497939b17c6efad01da9bb7a62f783271d48556800673380a813451a8c9"
"""SHA-256 over the numbers of the accepted cases: another library, or version, would show here."""


@pytest.fixture(scope="module")
def here() -> Iterator[Scene]:
    with scene(MemoryStage()) as made:
        yield made


def json_files(folder: Path) -> list[Path]:
    files = sorted((folder / "json-test-suite" / "test_parsing").glob("*.json"))
    assert len(files) == 318
    return files


def naughty(folder: Path) -> list[str]:
    strings: list[str] = json.loads((folder / "naughty-strings" / "blns.json").read_text())
    assert len(strings) == 515
    return strings


def readers(here: Scene) -> dict[str, Callable[[bytes], Any]]:
    """Every way in for a signed message: each raises, or says that it is refused."""

    def inbox(raw: bytes) -> None:
        outcome = here.victim.inbox.accept(sign(here.bad.keys, ORIGIN, raw))
        assert outcome.fault is not None
        raise outcome.fault

    def by_relay(kind: str) -> Callable[[bytes], Any]:
        take = {"receipt": here.victim.relay.acknowledge, "want": here.victim.relay.wanted}[kind]
        return lambda raw: take(sign(here.bad.keys, ORIGIN, raw, kind))

    def card(raw: bytes) -> None:
        read_card(sign(here.bad.keys, ORIGIN, raw, "card"))

    return {"batch": inbox, "receipt": by_relay("receipt"), "want": by_relay("want"), "card": card}


@pytest.mark.parametrize("kind", ["batch", "receipt", "want", "card"])
def test_no_json_vector_is_a_message(here: Scene, vectors: Path, kind: str) -> None:
    read, before = readers(here)[kind], here.look()

    for file in json_files(vectors):
        with pytest.raises(LaneFault):
            read(file.read_bytes())

    after = here.look()
    assert (after.entries, after.parked) == (before.entries, before.parked)
    counted = (after.refused - before.refused).total()
    # A card is shown by a person, to a person: he is told, and it is nobody's message yet.
    assert counted == (0 if kind == "card" else 318)


@pytest.mark.parametrize("kind", ["batch", "receipt", "want", "card"])
def test_no_naughty_string_is_a_message(here: Scene, vectors: Path, kind: str) -> None:
    read, before = readers(here)[kind], here.look()
    made = {
        "batch": here.pen.message().model_dump(mode="json"),
        "receipt": json.loads(receipt(here.bad, CHENGDU, 0, "0" * 64).partition(b"\n")[2]),
        "want": {"sender": ORIGIN, "receiver": CHENGDU, "after": 0, "at": NOW.isoformat()},
        "card": json.loads(here.bad.card().partition(b"\n")[2]),
    }[kind]
    field = {"batch": "root", "receipt": "number", "want": "at", "card": "verify_key"}[kind]

    for text in naughty(vectors):
        for body in (text.encode(), json.dumps({**made, field: text}).encode()):
            with pytest.raises(LaneFault):
                read(body)

    after = here.look()
    assert (after.entries, after.parked) == (before.entries, before.parked)
    assert (after.refused - before.refused).total() == (0 if kind == "card" else 1030)


def test_a_card_shows_any_name_or_is_refused(vectors: Path) -> None:
    """What it shows is what was signed: text that a table and a screen can hold."""
    keys, taken = NodeKeys.of(*(bytes([n]) * 32 for n in range(4))), 0
    body = json.loads(make_card(keys, ORIGIN, "酒泉", "http://x", NOW).partition(b"\n")[2])
    for text in naughty(vectors):
        wire = sign(keys, ORIGIN, json.dumps({**body, "name": text}).encode(), "card")
        try:
            card = read_card(wire)
        except LaneFault:
            continue
        taken += 1
        assert card.name.strip()
        assert "\x00" not in card.name
    assert taken >= 300


@pytest.mark.parametrize("name", ["Signature", "Signature-Input", "Content-Digest"])
def test_no_naughty_header_opens_the_gate(here: Scene, vectors: Path, name: str) -> None:
    gate = Gate(here.victim.relay)
    for text in naughty(vectors):
        headers = {"Signature": "pyhms=:AAAA:", "Signature-Input": "pyhms=()", name: text}
        with pytest.raises(LaneFault):
            gate.admit("POST", "http://x/lanes/receipts", headers, b"x")


def test_no_naughty_grant_is_a_key(here: Scene, vectors: Path) -> None:
    """A grant that does not open gives no key, and stops nothing."""
    key = here.pen.state("activity.held")["meta"]["correlation"]
    for text in naughty(vectors):
        if len(text) > 400:
            continue
        said = {"key": key, "subject": key, "data_class": "notes", "wrapped": text}
        outcome = here.pen.send(here.pen.activity(), grants=(Grant(**said),))
        assert (outcome.fault, outcome.recorded) == (None, 1), text
    rows = here.made.stage.key_rows(CHENGDU)  # type: ignore[attr-defined]
    assert ORIGIN not in {row[3] for row in rows}


# Ed25519.


def edge_cases(folder: Path) -> list[dict[str, Any]]:
    file = folder / "cctv-ed25519" / "ed25519" / "ed25519vectors.json"
    cases: list[dict[str, Any]] = json.loads(file.read_text())
    assert len(cases) == 914
    return cases


def test_what_is_accepted_of_the_edge_cases_is_pinned(vectors: Path) -> None:
    accepted, trusted = [], []
    for case in edge_cases(vectors):
        key = b64(bytes.fromhex(case["key"]))
        if verify(key, case["msg"].encode(), bytes.fromhex(case["sig"])):
            accepted.append(case["number"])
            trusted += [case["number"]] if usable(key) else []

    assert (len(accepted), len(trusted)) == (ACCEPTED, TRUSTED)
    assert hashlib.sha256(json.dumps(accepted).encode()).hexdigest() == GOLDEN


def test_no_weak_key_is_enrolled(vectors: Path) -> None:
    """Of the keys of the edge cases one is a proper point; the others are refused on a card."""
    keys = sorted({case["key"] for case in edge_cases(vectors)})
    enrolled = [key for key in keys if usable(b64(bytes.fromhex(key)))]
    ours = NodeKeys.of(*(bytes([n]) * 32 for n in range(4)))
    body = json.loads(make_card(ours, ORIGIN, "酒泉", "http://x", NOW).partition(b"\n")[2])

    for key in keys:
        said = {**body, "verify_key": b64(bytes.fromhex(key))}
        with pytest.raises(LaneFault) as refused:
            read_card(sign(ours, ORIGIN, json.dumps(said).encode(), "card"))
        # The proper one did not sign this card: possession is proved by signing.
        assert isinstance(refused.value, Malformed) == (key not in enrolled)

    assert (len(keys), len(enrolled)) == (22, 1)
    assert all(not sealable(b64(bytes.fromhex(key))) for key in ("00" * 32, "01" + "00" * 31))


def test_signatures_are_judged_as_wycheproof_does(vectors: Path) -> None:
    file = vectors / "wycheproof" / "testvectors_v1" / "ed25519_test.json"
    suite = json.loads(file.read_text())
    judged = 0
    for group in suite["testGroups"]:
        key = b64(bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            expected = case["result"] == "valid"
            assert verify(key, message, signature) == expected, case["tcId"]
            judged += 1
    assert judged == suite["numberOfTests"] == 151


def test_the_gate_signs_and_verifies_as_rfc_9421_does(vectors: Path) -> None:
    suite = json.loads((vectors / "rfc9421" / "rfc9421.json").read_text())
    [case] = [c for c in suite["cases"] if c["keyid"] == "test-key-ed25519"]
    pem = suite["public_keys"]["test-key-ed25519"].splitlines()[1]
    public = base64.b64decode(pem)[-32:]
    signature = base64.b64decode(case["signature"].split(":", 1)[1].rstrip(":"))
    base = case["signature_base"].encode()

    _Ed25519(public_key=public).verify(signature, base)
    for at in range(0, len(base), 7):
        changed = base[:at] + bytes([base[at] ^ 1]) + base[at + 1 :]
        with pytest.raises(InvalidSignature):
            _Ed25519(public_key=public).verify(signature, changed)


def test_json_is_read_one_way_or_not_at_all(vectors: Path) -> None:
    """Whatever is read reads the same after it was written again."""
    for file in json_files(vectors):
        try:
            value = strict.read(file.read_bytes(), "vector")
        except Malformed:
            continue
        assert strict.read(json.dumps(value), "vector") == value
