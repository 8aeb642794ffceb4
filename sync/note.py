"""签名文本: text under one or more signatures (C2SP signed-note), read strictly or not at all."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import NamedTuple, Self

from sync.errors import LaneFault
from sync.keys import SEED_SIZE, Pair, verify

NOTE_BYTES = 64 * 1024
"""Of a whole note."""

SIGNATURES_MAX = 100
"""Lines of signatures; the specification wants at least 16."""

ED25519, COSIGNATURE = 0x01, 0x04
"""Kinds of signatures: of whoever wrote the text, and of a witness, with its time."""

_ID, _TIME = 4, 8
_DASH = "— "


class NoteInvalid(LaneFault):
    """签名文本格式不正确。The text is not a signed note as specified."""

    mend = "请按 C2SP signed-note 改正所指之处。Mend what is named, as C2SP signed-note has it."


class NoteForged(LaneFault):
    """签名文本的签名不符。A signature under the note is not that of the key it names."""

    mend = "请核对签名者的密钥。Compare the signer's key with what its card says."


class NoteUnsigned(LaneFault):
    """签名文本没有任何已知密钥的签名。No known key has signed the note."""

    mend = "请登记签名者的密钥。Say whose key it should be signed by."


class Line(NamedTuple):
    """One signature: a name, and the bytes behind the id of its key."""

    name: str
    id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_DASH}{self.name} {base64.b64encode(self.id + self.signature).decode()}\n"


@dataclass(frozen=True)
class Verifier:
    """A key under a name, for one kind of signature."""

    name: str
    key: bytes
    kind: int = ED25519

    @classmethod
    def read(cls, vkey: str) -> Self:
        """From its text form, `name+id+key`.

        Raises:
            NoteInvalid.
        """
        name, _, rest = vkey.partition("+")
        told, _, coded = rest.partition("+")
        raw = unb64(coded)
        if not is_name(name) or len(raw) != SEED_SIZE + 1 or raw[0] not in {ED25519, COSIGNATURE}:
            raise NoteInvalid(because="not a key of Ed25519, or no name", vkey=vkey[:200])
        made = cls(name, raw[1:], raw[0])
        if told != made.id.hex():
            raise NoteInvalid(because="the id is not that of the key", vkey=vkey[:200])
        return made

    @classmethod
    def of(cls, name: str, verify_key: str, kind: int = ED25519) -> Self:
        """From a key as cards have it: base64."""
        return cls(name, base64.b64decode(verify_key), kind)

    @cached_property
    def id(self) -> bytes:
        """Which key it is: with the name it is unique for all practical purposes."""
        said = self.name.encode() + b"\n" + bytes([self.kind]) + self.key
        return hashlib.sha256(said).digest()[:_ID]

    def __str__(self) -> str:
        coded = base64.b64encode(bytes([self.kind]) + self.key).decode()
        return f"{self.name}+{self.id.hex()}+{coded}"

    def is_on(self, line: Line) -> bool:
        """Whether a line claims to be by this key."""
        return (line.name, line.id) == (self.name, self.id)

    def proves(self, text: str, signature: bytes) -> bool:
        """Whether the signature is this key's."""
        key = base64.b64encode(self.key).decode()
        if self.kind == ED25519:
            return verify(key, text.encode(), signature)
        time = int.from_bytes(signature[:_TIME])
        return time < 1 << 63 and verify(key, witnessed(text, time), signature[_TIME:])


@dataclass(frozen=True)
class Note:
    """A text that ends in a newline, and the lines of those who have signed it."""

    text: str
    lines: tuple[Line, ...]

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """From its bytes; nothing is proved yet.

        Raises:
            NoteInvalid.
        """
        if len(raw) > NOTE_BYTES:
            raise NoteInvalid(because="too large", bytes=len(raw), maximum=NOTE_BYTES)
        try:
            whole = raw.decode()
        except UnicodeDecodeError as fault:
            raise NoteInvalid(because="not UTF-8", at=fault.start) from None
        if any(letter < " " and letter != "\n" for letter in whole):
            raise NoteInvalid(because="a control character")
        text, between, under = whole.rpartition("\n\n")
        if not between or not under.endswith("\n"):
            raise NoteInvalid(because="no signature under it, or its last line does not end")
        lines = under[:-1].split("\n")
        if len(lines) > SIGNATURES_MAX:
            raise NoteInvalid(because="too many signatures", maximum=SIGNATURES_MAX)
        return cls(text + "\n", tuple(map(_line, lines)))

    def __bytes__(self) -> bytes:
        return f"{self.text}\n{''.join(map(str, self.lines))}".encode()

    def proved(self, known: Sequence[Verifier]) -> list[tuple[Verifier, Line]]:
        """Who of the known has signed; lines of others are passed over, as is a second one.

        Raises:
            NoteForged: a line names a known key, and is not by it; or the key is known twice.
            NoteUnsigned: none of the known has signed.
        """
        found: dict[Verifier, Line] = {}
        for line in self.lines:
            named = [verifier for verifier in known if verifier.is_on(line)]
            if not named or named[0] in found:
                continue
            if len(named) > 1 or not named[0].proves(self.text, line.signature):
                raise NoteForged(name=line.name, id=line.id.hex())
            found[named[0]] = line
        if not found:
            raise NoteUnsigned(signed_by=sorted({line.name for line in self.lines})[:5])
        return list(found.items())

    def with_lines(self, lines: Iterable[Line]) -> Note:
        """The same text under more signatures; none stands there twice."""
        return Note(self.text, tuple(dict.fromkeys((*self.lines, *lines))))


def signed(text: str, name: str, pair: Pair) -> Line:
    """The line of whoever wrote the text."""
    verifier = Verifier.of(name, pair.verify_key)
    return Line(name, verifier.id, pair.sign(text.encode()))


def cosigned(text: str, name: str, pair: Pair, at: datetime) -> Line:
    """见证: the line of a witness (C2SP tlog-cosignature, v1): nothing newer by then."""
    verifier, time = Verifier.of(name, pair.verify_key, COSIGNATURE), int(at.timestamp())
    signature = pair.sign(witnessed(text, time))
    return Line(name, verifier.id, time.to_bytes(_TIME) + signature)


def witnessed(text: str, time: int) -> bytes:
    """What a witness signs."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def witnessed_at(line: Line) -> datetime:
    """When a witness signed, as it says."""
    return datetime.fromtimestamp(int.from_bytes(line.signature[:_TIME]), UTC)


def is_name(name: str) -> bool:
    """Whether it can name a key: not empty, no space of any kind, no plus."""
    return bool(name) and not any(letter.isspace() or letter == "+" for letter in name)


def unb64(coded: str) -> bytes:
    """Standard base64 in its one spelling.

    Raises:
        NoteInvalid.
    """
    try:
        raw = base64.b64decode(coded, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if base64.b64encode(raw).decode() != coded:
        raise NoteInvalid(because="not base64", at=coded[:60])
    return raw


def _line(written: str) -> Line:
    name, _, coded = written.removeprefix(_DASH).partition(" ")
    if not written.startswith(_DASH) or not is_name(name):
        raise NoteInvalid(because="not a line of a signature", line=written[:120])
    raw = unb64(coded)
    if len(raw) <= _ID:
        raise NoteInvalid(because="no signature", line=written[:120])
    return Line(name, raw[:_ID], raw[_ID:])
