"""审计证据: an answer with its proof of completeness, keys and definitions, in one signed file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from domain.tree import ProofInvalid, included, ours
from sync.verifier import complete, keys, notes, opened
from sync.verifier.complete import Proved, Stretch, Told, read_entry
from sync.verifier.defect import fail, get, must_be_our_suite, read_json, unb64, write_json
from sync.verifier.keys import Chain
from sync.verifier.notes import Checkpoint, Known, Witness
from sync.verifier.records import Record, Streams

FORMAT = "waystation/evidence/v1"
BEGINS = b'{"format":"waystation/evidence/v1",'

EVIDENCE_BYTES = 16 * 1024 * 1024
"""Of a whole file."""

ENTRIES_MAX = 20_000
"""Entries of its range."""

_HASH = 32

SAYS = ("made_at", "person", "role", "purpose")
"""Of the first line, what is said and proved by nothing: when, by whom and what for."""

_FIRST = "首行 first line"


class Claim(NamedTuple):
    """What a file claims in its first line: that this range answers this question."""

    question: dict[str, str]
    stretch: Stretch
    checkpoint: Checkpoint
    said: dict[str, str]


class Evidence(NamedTuple):
    """A file of which all holds."""

    claim: Claim
    proved: Proved
    facts: tuple[Record, ...]
    """The keys of the ledger's organization, and the policies by which rows were judged."""
    chain: Chain
    known: bool
    """Whether the reader knew one of its keys; else they were taken on first sight."""
    witnesses: tuple[Witness, ...]
    opened: Mapping[opened.Field, str]
    """What rows say in the clear, as far as the file carries the keys."""
    definitions: dict[str, Any]
    digest: str
    """SHA-256 of the whole file, in hex."""


class Field(NamedTuple):
    """One thing that a row says: its name, its name in Chinese, its value; None while sealed."""

    name: str
    label: str
    value: str | None


def signed_text(body: bytes) -> bytes:
    """What the organization signs: the format, and the hash of all lines before the last."""
    return f"{FORMAT}\n{hashlib.sha256(body).hexdigest()}\n".encode()


class _Lines(NamedTuple):
    """What stands between the first line and the last, by its kind."""

    facts: list[tuple[str, dict[str, Any]]]
    told: list[Told]
    keys: list[tuple[str, dict[str, Any]]]
    definitions: list[dict[str, Any]]


def verify(raw: bytes, known: Known, witnesses: int = 0) -> Evidence:
    """Check a file.

    Raises:
        Defect: with the first bad place.
    """
    if len(raw) > EVIDENCE_BYTES:
        fail("文件 file", f"larger than {EVIDENCE_BYTES} bytes")
    lines = raw.split(b"\n")
    if lines.pop() != b"" or len(lines) < 2:  # noqa: PLR2004 - the first and the last.
        fail("文件 file", "it is cut: the last line does not end")
    claim = _claim(read_json(lines[0], _FIRST))
    by, checkpoint = claim.checkpoint.org, claim.checkpoint
    held = _read(lines[1:-1])
    proved = complete.check(claim.stretch, claim.question, checkpoint, held.told)
    facts = tuple(_facts(held.facts, checkpoint))
    chain = keys.chain(by, [each for each in facts if each.stream == keys.signet_of(by)])
    if pinned := known.get(by, ()):
        chain.must_be_vouched(pinned)
    _must_be_signed(lines, chain)
    checkpoint.must_be_by(chain.signers, "检查点 checkpoint")
    seen = complete.must_be_witnessed(checkpoint, known, witnesses, "见证 cosignatures")
    if len(held.definitions) != 1:
        fail("定义 definitions", "there must be one line of them")
    rows = {(made.stream, made.version): made for made, _ in proved.rows}
    shown: dict[opened.Field, str] = {}
    for at, said in held.keys:
        opened.show(said, at, rows, shown)
    return Evidence(
        claim,
        proved,
        facts,
        chain,
        bool(pinned),
        seen,
        shown,
        held.definitions[0],
        hashlib.sha256(raw).hexdigest(),
    )


def must_follow(files: Sequence[Evidence]) -> None:
    """Several files are one answer: of one question, under one checkpoint, end to beginning.

    Raises:
        Defect.
    """
    for number, (one, other) in enumerate(pairwise(each.claim for each in files), 2):
        where = f"第 {number} 份 file {number}"
        if one.question != other.question:
            fail(where, "it answers another question than the file before")
        if one.checkpoint.text != other.checkpoint.text:
            fail(where, "it stands on another checkpoint than the file before: give both one size")
        if one.stretch.upto != other.stretch.after:
            fail(where, "it does not begin where the file before ends", ends=one.stretch.upto)


def _claim(head: dict[str, Any]) -> Claim:
    if head.get("format") != FORMAT:
        fail(_FIRST, "not evidence of this version", format=str(head.get("format"))[:60])
    must_be_our_suite(head, _FIRST)
    checkpoint = notes.read(get(head, "checkpoint", str, _FIRST), "检查点 checkpoint")
    if checkpoint.org != head.get("by"):
        fail("检查点 checkpoint", "it is another organization's", org=checkpoint.org)
    stretch = complete.read_stretch(head, _FIRST)
    if stretch.upto - stretch.after > ENTRIES_MAX:
        fail(_FIRST, f"a range of more than {ENTRIES_MAX} entries")
    question = complete.must_be_question(get(head, "question", dict, _FIRST), _FIRST)
    said = {name: get(head, name, str, _FIRST) for name in SAYS}
    return Claim(question, stretch, checkpoint, said)


def _read(lines: Sequence[bytes]) -> _Lines:
    made = _Lines([], [], [], [])
    for number, line in enumerate(lines, 2):
        at = f"第 {number} 行 line {number}"
        said = read_json(line, at)
        match said:
            case {"fact": dict(fact), **more} if not more:
                made.facts.append((at, fact))
            case {"row": dict(row), "hash": coded, **more} if not more:
                made.told.append(Told(row, unb64(coded, at, _HASH), row=True))
            case {"passed": dict(entry), "hash": coded, **more} if not more:
                made.told.append(Told(entry, unb64(coded, at, _HASH), row=False))
            case {"stream": _, "version": _, "field": _, "secret": _, **more} if not more:
                made.keys.append((at, said))
            case {"definitions": dict(definitions), **more} if not more:
                made.definitions.append(definitions)
            case _:
                fail(at, "a line that is none of this format's")
    return made


def _facts(lines: Sequence[tuple[str, dict[str, Any]]], checkpoint: Checkpoint) -> Iterator[Record]:
    """Keys and policies from their first on, each proved to stand in the ledger."""
    streams, before = Streams(), -1
    for at, said in lines:
        index = get(said, "index", int, at)
        proof = complete.hashes(get(said, "proof", list, at), at)
        made, data = read_entry(said, index, at)
        if index <= before:
            fail(at, "facts are not in their order")
        if made.stream not in {keys.signet_of(checkpoint.org), policy_of(made.keeper)}:
            fail(made.where, "neither a key of this ledger's organization nor a policy")
        try:
            hashed = ours().leaf(data)
            included(ours(), hashed, index, checkpoint.size, proof, checkpoint.root)
        except ProofInvalid as fault:
            fail(made.where, f"it is not in the signed ledger: {fault}")
        streams.take(made)
        before = index
        yield made


def policy_of(org: str) -> Any:
    """The stream of an organization's policy."""
    return uuid5(NAMESPACE_URL, f"policy:{org}")


def _must_be_signed(lines: Sequence[bytes], chain: Chain) -> None:
    where = "签名 signature"
    said = read_json(lines[-1], where)
    if write_json(said) != lines[-1] + b"\n" or set(said) != {"signatures"}:
        fail(where, "the last line is not in its one spelling")
    text = signed_text(b"".join(line + b"\n" for line in lines[:-1]))
    chain.must_have_signed(where, text, get(said, "signatures", dict, where))


# What it says, in the words that it defines itself.


def word(evidence: Evidence, *path: str) -> str:
    """What a name is defined to mean; the name itself where it is not."""
    found: Any = evidence.definitions
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    found = found.get("name") if isinstance(found, dict) else found
    return found if isinstance(found, str) else path[-1]


def fields(evidence: Evidence, made: Record) -> Iterator[Field]:
    """What a record says, field by field, opened as far as the keys are in the file."""
    for name, value in made.said.items():
        if name == "meta":
            continue
        label = word(evidence, "topics", made.topic, "fields", name)
        if opened.is_sealed(value):
            place = opened.Field(made.stream, made.version, name)
            yield Field(name, label, evidence.opened.get(place))
        elif isinstance(value, bool):
            yield Field(name, label, "是 yes" if value else "否 no")
        else:
            plain = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield Field(name, label, plain)
