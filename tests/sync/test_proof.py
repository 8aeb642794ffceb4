"""证明: the published trees and proofs get their verdicts, and a proof file has one spelling."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.tiles import Growth
from domain.tree import SHA256, ProofInvalid, consistent, included
from sync.add_checkpoint import Asked
from sync.checkpoint import Checkpoint, CheckpointInvalid, believed, verifiers
from sync.keys import NodeKeys
from sync.note import Note, NoteForged, NoteInvalid, NoteUnsigned, signed
from sync.proof import (
    EXTRA_BYTES,
    PROOF_BYTES,
    PROOF_LINES_MAX,
    NotProved,
    Proof,
    ProofFileInvalid,
)
from tests.domain.test_tree import Kept, data

ORIGIN = "jiuquan/ledger/1"


def cases(vectors: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((vectors / "merkle" / "testdata" / kind).rglob("*.json")):
        yield str(file), json.loads(file.read_text())


def raw(coded: str | None) -> bytes:
    return base64.b64decode(coded or "")


def test_every_published_inclusion_proof_gets_its_verdict(vectors: Path) -> None:
    seen = {True: 0, False: 0}
    for file, case in cases(vectors, "inclusion"):
        proof = [raw(each) for each in case["proof"] or ()]
        try:
            leaf, root = raw(case["leafHash"]), raw(case["root"])
            included(SHA256, leaf, case["leafIdx"], case["treeSize"], proof, root)
            refused = False
        except ProofInvalid:
            refused = True
        assert refused == case["wantErr"], file
        seen[refused] += 1

    assert seen == {True: 92, False: 6}


def test_every_published_consistency_proof_gets_its_verdict(vectors: Path) -> None:
    seen = {True: 0, False: 0}
    for file, case in cases(vectors, "consistency"):
        proof = [raw(each) for each in case["proof"] or ()]
        try:
            roots = raw(case["root1"]), raw(case["root2"])
            consistent(SHA256, case["size1"], case["size2"], proof, *roots)
            refused = False
        except ProofInvalid:
            refused = True
        assert refused == case["wantErr"], file
        seen[refused] += 1

    assert seen == {True: 92, False: 6}


def test_there_are_no_published_cases_that_are_not_tried(vectors: Path) -> None:
    assert {each.name for each in (vectors / "merkle" / "testdata").iterdir()} == {
        "inclusion",
        "consistency",
    }


def test_the_reference_tree_grows_as_published(vectors: Path) -> None:
    told = json.loads((vectors / "merkle" / "reference-tree.json").read_text())
    growth, roots = Growth.empty(SHA256), [Growth.empty(SHA256).root.hex()]
    for leaf, hashed in zip(told["leaf_inputs_hex"], told["leaf_hashes_hex"], strict=True):
        assert SHA256.leaf(bytes.fromhex(leaf)).hex() == hashed
        growth = growth.and_then([bytes.fromhex(leaf)])
        roots.append(growth.root.hex())

    assert roots == told["roots_by_size_hex"]


def test_the_published_consistency_of_a_witness_holds(vectors: Path) -> None:
    said = json.loads((vectors / "signed-note" / "signed-note.json").read_text())["witness_test"]
    five, eight = (
        Checkpoint.read(said[name].partition("\n\n")[0] + "\n")
        for name in ("checkpoint_5", "checkpoint_8")
    )
    proof = [bytes.fromhex(each) for each in said["consistency_5_8"]]

    consistent(SHA256, 5, 8, proof, five.root, eight.root)


def test_every_step_of_a_published_witness_gets_its_verdict(vectors: Path) -> None:
    told = json.loads((vectors / "tlog-witness" / "add-checkpoint.json").read_text())
    key = bytes.fromhex("ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f")
    origin = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562"
    known = verifiers(origin, [base64.b64encode(key).decode()])
    witness = Witness(known)

    said = [witness.add(step["body"]) for step in told["litewitness"]["steps"]]

    expected = [step["status"] for step in told["litewitness"]["steps"]]
    assert expected[2] == 403
    assert said == [*expected[:2], 404, *expected[3:]]


class Witness:
    """What sync/add_checkpoint.py decides, for a log of another name."""

    def __init__(self, known: list[Any]) -> None:
        self._known, self._size, self._root = known, 0, b""

    def add(self, body: str) -> int:
        asked = Asked.read(body.encode())
        if not asked.note.startswith(f"{self._known[0].name}\n".encode()):
            return 404
        try:
            said, _ = believed(asked.note, self._known)
        except (NoteForged, NoteUnsigned, NoteInvalid):
            return 403
        if refused := asked.refused(said, self._size, self._root, SHA256):
            return refused.status
        self._size, self._root = said.size, said.root
        return 200


# The file.


@pytest.fixture
def keys() -> NodeKeys:
    return NodeKeys.generate()


def proof(keys: NodeKeys, index: int = 5, size: int = 300, extra: bytes | None = None) -> Proof:
    kept = Kept(data(size))
    note = Checkpoint(ORIGIN, size, kept.growth.root).signed(keys)
    return Proof(index, tuple(kept.inclusion(index, size)), bytes(note), extra)


@pytest.mark.parametrize("extra", [None, b"", b"said beside it"])
def test_a_proof_is_read_as_it_was_written(keys: NodeKeys, extra: bytes | None) -> None:
    made = proof(keys, extra=extra)
    known = verifiers(ORIGIN, [keys.verify_key])

    read = Proof.read(bytes(made))

    assert read == made
    assert read.proves(data(300)[5], known).size == 300
    with pytest.raises(NotProved):
        read.proves(b"something else", known)
    with pytest.raises(NoteUnsigned):
        read.proves(data(300)[5], verifiers(ORIGIN, [NodeKeys.generate().verify_key]))


def test_no_byte_of_a_proof_may_be_another(keys: NodeKeys) -> None:
    """But in the middle of base64 that nobody vouches for, there is none in our files."""
    whole, known = bytes(proof(keys, size=9)), verifiers(ORIGIN, [keys.verify_key])
    for at in range(len(whole)):
        bent = bytearray(whole)
        bent[at] ^= 1
        with pytest.raises((NotProved, ProofFileInvalid, NoteInvalid, NoteForged, NoteUnsigned)):
            Proof.read(bytes(bent)).proves(data(9)[5], known)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"@v1", b"@v2"),
        (b"index 5", b"index 05"),
        (b"index 5", b"index -5"),
        (b"index 5", b"extra x\nindex 5"),
        (b"index 5\n", b""),
        (b"index 5", b"Index 5"),
        (b"c2sp.org", b"\xffc2sp.org"),
    ],
)
def test_another_spelling_is_refused(keys: NodeKeys, before: bytes, after: bytes) -> None:
    whole = bytes(proof(keys))
    assert before in whole

    with pytest.raises(ProofFileInvalid):
        Proof.read(whole.replace(before, after, 1))


def test_a_proof_is_of_so_many_lines_and_bytes_at_most() -> None:
    line, note = b"\x00" * 32, b"x"
    Proof.read(bytes(Proof(0, (line,) * PROOF_LINES_MAX, note, b"e" * EXTRA_BYTES)))

    for made in (
        Proof(0, (line,) * (PROOF_LINES_MAX + 1), note),
        Proof(0, (), note, b"e" * (EXTRA_BYTES + 1)),
    ):
        with pytest.raises(ProofFileInvalid):
            Proof.read(bytes(made))
    with pytest.raises(ProofFileInvalid, match="too large"):
        Proof.read(bytes(Proof(0, (), b"x" * PROOF_BYTES)))


def test_a_checkpoint_that_is_none_proves_nothing(keys: NodeKeys) -> None:
    note = Note("no checkpoint\n", (signed("no checkpoint\n", ORIGIN, keys.signers[0]),))

    with pytest.raises(CheckpointInvalid):
        Proof(0, (), bytes(note)).proves(b"", verifiers(ORIGIN, [keys.verify_key]))
