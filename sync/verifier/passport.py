"""流动护照: facts of one absence or member in a file that proves itself; here it is checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

from domain.tree import ProofInvalid, included, ours
from sync.verifier import keys, notes
from sync.verifier.defect import fail, get, must_be_our_suite, read_json, unb64, uuid, write_json
from sync.verifier.keys import Chain
from sync.verifier.notes import Checkpoint, Known, Witness
from sync.verifier.opened import Field, sealed_fields, show
from sync.verifier.records import Record, Streams, leaf, record

FORMAT = "waystation/passport/v1"

FACTS_MAX = 5_000
"""Facts of one part."""

PASSPORT_BYTES = 64 * 1024 * 1024
"""Of a whole file, with all its parts."""

PARTS_MAX = 16
"""Organizations whose parts one file holds."""

_HASH = 32


Kind = Literal["absence", "member"]
"""What a passport is about."""


class About(NamedTuple):
    """One absence, or all that is recorded of a member."""

    kind: Kind
    id: UUID


class Part(NamedTuple):
    """What one organization's ledger says of an absence or member, proved."""

    about: About
    by: str
    to: str | None
    made_at: str
    checkpoint: Checkpoint
    records: tuple[Record, ...]
    ends: dict[UUID, int]
    """By stream, the last version that the organization says there was."""
    chain: Chain
    known: bool
    """Whether the reader knew one of its keys; else they were taken on first sight."""
    witnesses: tuple[Witness, ...]
    opened: Mapping[Field, str]
    """In the clear, as far as the file carries the keys."""
    hidden: Sequence[str]
    """The fields that the maker has chosen not to show; their ciphertext is there."""


def signed_text(body: bytes) -> bytes:
    """What the organization signs: the format, and the hash of all lines before the last."""
    return f"{FORMAT}\n{hashlib.sha256(body).hexdigest()}\n".encode()


def verify(raw: bytes, known: Known, witnesses: int = 0) -> list[Part]:
    """Check a file, part by part, and the parts against each other.

    Raises:
        Defect: with the first bad place.
    """
    if len(raw) > PASSPORT_BYTES:
        fail("文件 file", f"larger than {PASSPORT_BYTES} bytes")
    found = [_part(name, lines, known, witnesses) for name, lines in _split(raw)]
    for part in found[1:]:
        if part.about != found[0].about:
            fail(f"{part.by} 的部分 part", "it is about something else", **part.about._asdict())
    for at, part in enumerate(found):
        for other in found[:at]:
            _must_agree(other, part)
    return found


def _split(raw: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """The parts, each its lines: the last one of a part is its signatures."""
    lines, parts = raw.split(b"\n"), 1
    if lines.pop() != b"" or not lines:
        fail("文件 file", "it is cut: the last line does not end")
    taken: list[bytes] = []
    for line in lines:
        taken.append(line)
        if line.startswith(b'{"signatures":'):
            yield f"第 {parts} 部分 part {parts}", taken
            taken, parts = [], parts + 1
            if parts > PARTS_MAX + 1:
                fail("文件 file", f"more than {PARTS_MAX} parts")
    if taken:
        fail(f"第 {parts} 部分 part {parts}", "it is cut: no signatures at its end")


def _part(where: str, lines: Sequence[bytes], known: Known, witnesses: int) -> Part:
    head = read_json(lines[0], f"{where} 首行 first line")
    if head.get("format") != FORMAT:
        fail(where, "not a passport of this version", format=str(head.get("format"))[:60])
    must_be_our_suite(head, where)
    by, to = get(head, "by", str, where), head.get("to")
    checkpoint = notes.read(get(head, "checkpoint", str, where), f"{where} 检查点 checkpoint")
    if checkpoint.org != by:
        fail(f"{where} 检查点 checkpoint", "it is another organization's", org=checkpoint.org)
    records, shown = _records(where, lines[1:-1], checkpoint)
    chain = keys.chain(by, [each for each in records if each.stream == keys.signet_of(by)])
    pinned = known.get(by, ())
    if pinned:
        chain.must_be_vouched(pinned)
    _must_be_signed(f"{where} 签名 signature", lines, chain)
    checkpoint.must_be_by(chain.signers, f"{where} 检查点 checkpoint")
    seen = tuple(checkpoint.witnesses(known, f"{where} 见证 cosignatures"))
    if len(seen) < witnesses:
        fail(f"{where} 见证 cosignatures", "too few known witnesses", found=len(seen), of=witnesses)
    about = _about(where, head, records)
    ends = _ends(where, get(head, "streams", dict, where), records)
    hidden = _hidden(where, head, records, shown)
    _must_concern(to, by, records)
    made_at, vouched = get(head, "made_at", str, where), bool(pinned)
    return Part(
        about, by, to, made_at, checkpoint, records, ends, chain, vouched, seen, shown, hidden
    )


def _records(
    where: str, lines: Sequence[bytes], checkpoint: Checkpoint
) -> tuple[tuple[Record, ...], dict[Field, str]]:
    made: dict[tuple[UUID, int], Record] = {}
    shown: dict[Field, str] = {}
    streams, last = Streams(), -1
    for number, line in enumerate(lines, 2):
        at = f"{where} 第 {number} 行 line {number}"
        said = read_json(line, at)
        if "field" in said:
            show(said, at, made, shown)
            continue
        each = _record(said, at, checkpoint)
        if shown or len(made) == FACTS_MAX or each.place <= last:
            fail(at, f"facts are not in their order, or more than {FACTS_MAX}")
        streams.take(each)
        made[each.stream, each.version] = each
        last = each.place
    return tuple(made.values()), shown


def _record(said: dict[str, Any], at: str, checkpoint: Checkpoint) -> Record:
    stream, version = uuid(said.get("stream"), at), get(said, "version", int, at)
    topic, state = get(said, "topic", str, at), get(said, "state", str, at)
    index, proof = get(said, "index", int, at), get(said, "proof", list, at)
    if not 0 < version < 1 << 31:
        fail(at, "no version")
    hashes = [unb64(each, at, _HASH) for each in proof]
    try:
        data = leaf(stream, version, topic, state.encode())
        hashed = ours().leaf(data)
        included(ours(), hashed, index, checkpoint.size, hashes, checkpoint.root)
    except (ProofInvalid, ValueError, OverflowError) as fault:
        fail(f"{at}（{topic[:80]} {stream}/{version}）", f"it is not in the signed ledger: {fault}")
    return record(index, stream, version, topic, state.encode())


def _must_be_signed(where: str, lines: Sequence[bytes], chain: Chain) -> None:
    said = read_json(lines[-1], where)
    if write_json(said) != lines[-1] + b"\n" or set(said) != {"signatures"}:
        fail(where, "the last line is not in its one spelling")
    text = signed_text(b"".join(line + b"\n" for line in lines[:-1]))
    chain.must_have_signed(where, text, get(said, "signatures", dict, where))


def _about(where: str, head: dict[str, Any], records: Sequence[Record]) -> About:
    named: list[Kind] = [kind for kind in get_args(Kind) if kind in head]
    if len(named) != 1:
        fail(where, "it must be about an absence or about a member")
    about = About(named[0], uuid(head[named[0]], where))
    if about.kind == "absence":
        found = any(each.stream == about.id for each in records)
    else:
        found = any(each.meta.get("subject") == str(about.id) for each in records)
    if not found:
        fail(where, f"nothing of the {about.kind} itself", id=about.id)
    return about


def _hidden(
    where: str, head: dict[str, Any], records: Sequence[Record], shown: Mapping[Field, str]
) -> list[str]:
    """What is said to be hidden is here, sealed, and no key of it is."""
    hidden: list[str] = get(head, "hidden", list, where)
    if hidden != sorted({name for name in hidden if isinstance(name, str)}):
        fail(where, "hidden fields are not names in their order")
    sealed = {name for each in records for name in sealed_fields(each.said)}
    open_ = {field.name for field in shown}
    for name in hidden:
        if name not in sealed:
            fail(where, "a field is said to be hidden, and is nowhere", field=name)
        if name in open_:
            fail(where, "a field is said to be hidden, and a key of it is here", field=name)
    return hidden


def _ends(where: str, said: dict[str, Any], records: Sequence[Record]) -> dict[UUID, int]:
    told = {uuid(stream, where): version for stream, version in said.items()}
    held: dict[UUID, int] = {each.stream: each.version for each in records}
    for stream in {**told, **held}:
        if told.get(stream) != held.get(stream):
            because = "a stream does not end where the first line says it does"
            fail(where, because, stream=stream, said=told.get(stream), shown=held.get(stream))
    return held


def _must_concern(to: Any, by: str, records: Sequence[Record]) -> None:
    """What is made out to somebody shows only what that organization hears of, and the keys."""
    if to is None:
        return
    heard = {each.stream for each in records if to == each.keeper or to in each.audience}
    for each in records:
        if each.stream not in heard and each.stream != keys.signet_of(by):
            fail(each.where, "it does not concern the organization it is made out to", to=to)


def _must_agree(one: Part, other: Part) -> None:
    """Two parts say the same of what both show; of one ledger, neither leaves out the other's."""
    held = {(each.stream, each.version): each for each in one.records}
    for each in other.records:
        twin = held.get((each.stream, each.version))
        if twin and (twin.topic, twin.state) != (each.topic, each.state):
            fail(each.where, f"{one.by} and {other.by} hold different facts in one place")
    if one.checkpoint.origin != other.checkpoint.origin:
        return
    if (
        one.checkpoint.size == other.checkpoint.size
        and one.checkpoint.root != other.checkpoint.root
    ):
        fail(f"{one.by} 的检查点 checkpoints", "two roots of one size: the ledger has two faces")
    for whole, part in ((one, other), (other, one)):
        for each in whole.records:
            if (
                each.place < part.checkpoint.size
                and part.ends.get(each.stream, 1 << 63) < each.version
            ):
                fail(each.where, "left out of the other part, whose ledger had it already")
