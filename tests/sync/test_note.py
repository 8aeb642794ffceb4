"""签名文本: every published vector gives its verdict, and what we write others can read."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sync.checkpoint import EXTENSIONS_MAX, Checkpoint, CheckpointInvalid, believed, verifiers
from sync.errors import LaneFault
from sync.keys import NodeKeys, Pair
from sync.note import (
    COSIGNATURE,
    NOTE_BYTES,
    SIGNATURES_MAX,
    Line,
    Note,
    NoteForged,
    NoteInvalid,
    NoteUnsigned,
    Verifier,
    cosigned,
    signed,
    witnessed_at,
)

TEXT = "jiuquan/ledger/1\n3\n" + base64.b64encode(b"r" * 32).decode() + "\n"
NAME = "jiuquan/ledger/1"


@pytest.fixture
def published(vectors: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((vectors / "signed-note" / "signed-note.json").read_text())
    return found


@pytest.fixture
def pair() -> Pair:
    return Pair.generate()


def test_every_published_note_gives_its_verdict(published: dict[str, Any]) -> None:
    keys = {name: Verifier.read(vkey) for name, vkey in published["vkeys"].items()}
    verdicts = []
    for case in published["open"]:
        raw = bytes.fromhex(case.get("prefix_hex", "")) + case["note"].encode()
        known = [keys[name] for name in case["known"]]
        try:
            proved = [verifier.name for verifier, _ in Note.read(raw).proved(known)]
        except LaneFault:
            proved = []
        assert bool(proved) == case["ok"], case["desc"]
        assert proved == case.get("verified", []), case["desc"]
        verdicts.append(case["ok"])

    assert (len(verdicts), sum(verdicts)) == (15, 4)


def test_a_mangled_key_is_refused(published: dict[str, Any]) -> None:
    vkey = published["vkeys"]["peter"]
    parts = [vkey[a:b] for a in range(len(vkey)) for b in range(a, len(vkey) + 1)]
    mangled = [part for part in parts if part != vkey]
    mangled += [vkey[:at] + chr(ord(vkey[at]) + 1) + vkey[at + 1 :] for at in range(len(vkey))]

    assert str(Verifier.read(vkey)) == vkey
    assert len(mangled) > 2_300
    for bad in (*mangled, *published["bad_vkeys"]):
        with pytest.raises(NoteInvalid):
            Verifier.read(bad)


def test_what_is_signed_is_byte_for_byte_what_go_signs(published: dict[str, Any]) -> None:
    case = published["deterministic_sign"]
    seed = base64.b64decode(case["seed_note_key"].split("+", 4)[4])[1:]

    line = signed(case["text"], "PeterNeumann", Pair.of(seed, b"s" * 32))

    assert bytes(Note(case["text"], (line,))).decode() == case["want"]


def test_the_examples_of_the_specification_and_of_a_witness_hold(published: dict[str, Any]) -> None:
    example, witness = published["c2sp_example"], published["witness_test"]
    Note.read(example["note"].encode()).proved([Verifier.read(example["vkey"])])
    log = [Verifier.read(witness["vkeys"]["monkeys"])]

    five, _ = believed(witness["checkpoint_5"].encode(), log)
    eight, note = believed(witness["checkpoint_8"].encode(), log)

    assert (five.size, eight.size, eight.origin) == (5, 8, "monkeys")
    assert eight.text == note.text
    assert bytes(note).decode() == witness["checkpoint_8"]


def test_a_note_may_bear_so_many_signatures_and_no_more(pair: Pair) -> None:
    others = tuple(
        Line("w", hashlib.sha256(bytes([n])).digest()[:4], b"x") for n in range(SIGNATURES_MAX)
    )
    line, key = signed(TEXT, NAME, pair), Verifier.of(NAME, pair.verify_key)
    full = bytes(Note(TEXT, (*others[1:], line)))

    assert [v for v, _ in Note.read(full).proved([key])] == [key]
    with pytest.raises(NoteInvalid, match="too many"):
        Note.read(bytes(Note(TEXT, (*others, line))))


def test_a_note_may_be_so_large_and_no_larger(pair: Pair) -> None:
    raw = bytes(Note(TEXT, (signed(TEXT, NAME, pair),)))
    padded = b"x" * (NOTE_BYTES - len(raw) - 1) + b"\n" + raw

    Note.read(padded)
    with pytest.raises(NoteInvalid, match="too large"):
        Note.read(b"x" + padded)


def test_either_key_of_a_rotation_is_enough_and_a_stranger_is_not() -> None:
    keys = NodeKeys.generate()
    old, new = keys.signers[0], Pair.generate()
    keys.signers = (new, old)
    raw = bytes(Checkpoint(NAME, 3, b"r" * 32).signed(keys))

    for pair in (old, new):
        assert believed(raw, verifiers(NAME, [pair.verify_key]))[0].size == 3
    with pytest.raises(NoteUnsigned):
        believed(raw, verifiers(NAME, [Pair.generate().verify_key]))
    with pytest.raises(NoteForged):
        believed(raw.replace(b"\n3\n", b"\n4\n"), verifiers(NAME, [new.verify_key]))


def test_a_witness_signs_with_its_time_and_as_nobody_else(pair: Pair) -> None:
    at = datetime(2026, 11, 26, 1, 30, tzinfo=UTC)
    line = cosigned(TEXT, "chengdu/witness", pair, at)
    witness = Verifier.of("chengdu/witness", pair.verify_key, COSIGNATURE)
    note = Note.read(bytes(Note(TEXT, (line,))))

    assert note.proved([witness]) == [(witness, line)]
    assert witnessed_at(line) == at
    assert Verifier.read(str(witness)) == witness
    later = Line(line.name, line.id, (int(at.timestamp()) + 1).to_bytes(8) + line.signature[8:])
    with pytest.raises(NoteForged):
        Note(TEXT, (later,)).proved([witness])
    # The same key as the writer's is another verifier: one never counts as the other.
    with pytest.raises(NoteUnsigned):
        note.proved([Verifier.of("chengdu/witness", pair.verify_key)])


def test_a_signature_is_added_once(pair: Pair) -> None:
    line = signed(TEXT, NAME, pair)

    assert Note(TEXT, (line,)).with_lines([line, line]).lines == (line,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        "a\n1\n" + "A" * 43 + "=",
        "\n1\n" + "A" * 43 + "=\n",
        "a\n01\n" + "A" * 43 + "=\n",
        "a\n+1\n" + "A" * 43 + "=\n",
        "a\n1_0\n" + "A" * 43 + "=\n",
        "a\n１\n" + "A" * 43 + "=\n",
        "a\n-1\n" + "A" * 43 + "=\n",
        "a\n9007199254740992\n" + "A" * 43 + "=\n",
        "a\n1\n" + "A" * 40 + "\n",
        "a\n1\n" + "A" * 42 + "B=\n",
        "a\n1\n" + "A" * 43 + "=\n\nmore\n",
        "a\n1\n" + "A" * 43 + "=\n" + "more\n" * (EXTENSIONS_MAX + 1),
    ],
)
def test_a_checkpoint_has_one_spelling(text: str) -> None:
    with pytest.raises((CheckpointInvalid, NoteInvalid)):
        Checkpoint.read(text)


def test_a_checkpoint_may_say_more() -> None:
    text = "a\n9007199254740991\n" + "A" * 43 + "=\n" + "more\n" * EXTENSIONS_MAX

    assert Checkpoint.read(text).text == text
