"""数据包: a file of signed messages, sealed to its receiver, signed and numbered by its sender."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.values import OrgCode
from sync import strict
from sync.envelope import BATCH_BYTES, NUMBER_MAX, Moment, Number
from sync.errors import Altered, Malformed, NotABundle, OtherVersion, TooLarge, Unopened
from sync.keys import NodeKeys, b64, verify, wrap

VERSION = "v1"
SUFFIX = ".bundle"

BATCHES_MAX = 128
"""Batches of one file: 12,800 facts; what is more goes into the next file."""

BUNDLE_BYTES = 33 * 1024 * 1024
"""Bytes of one file: the most batches at their largest, and a mebibyte for the rest."""

HEADER_MAX = 300
"""Bytes of the first line; two codes, a number and two signatures need 298."""

_HEADER = re.compile(
    rb"waystation/bundle/v1 ([a-z][a-z0-9-]{1,39}) ([a-z][a-z0-9-]{1,39}) ([1-9][0-9]{0,15})"
    rb" ([A-Za-z0-9+/]{86}==(?: [A-Za-z0-9+/]{86}==)?)"
)
_NAMED = re.compile(rb"waystation/([a-z]{1,20})/(v[0-9]{1,4})[ \n]")
_LENGTH_BYTES = 4
_OTHERS = {b"PK": "zip, xlsx, docx", b"%PDF": "pdf", b"\x1f\x8b": "gzip", b"\x89PNG": "png"}


class Header(NamedTuple):
    """What stands in the clear, so that whoever finds a file can say whose it is."""

    sender: OrgCode
    receiver: OrgCode
    number: int
    signatures: tuple[bytes, ...] = ()
    """By the key in use, and by the one before while the receiver may know only that."""

    @property
    def name(self) -> str:
        """What the file is called; its names sort as its numbers do."""
        return f"{self.sender}-{self.receiver}-{self.number:06}{SUFFIX}"

    def binding(self) -> bytes:
        """What the sealed part is bound to, and the first half of what is signed."""
        return f"waystation/bundle/{VERSION} {self.sender} {self.receiver} {self.number}".encode()


class Cover(BaseModel):
    """封面: which lane numbers the file covers; `last` is `first` - 1 where it brings no fact."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    first: Annotated[Number, Field(ge=1)]
    last: Number
    made_at: Moment

    @classmethod
    def empty(cls, made_at: datetime) -> Cover:
        """Of a file that brings no number."""
        return cls(first=1, last=0, made_at=made_at)

    @property
    def facts(self) -> int:
        """How many."""
        return max(0, self.last - self.first + 1)


def read_header(wire: bytes) -> Header:
    """Whose file it is.

    Raises:
        NotABundle, OtherVersion, TooLarge, Altered: it cannot be one that was exported whole.
    """
    named = _NAMED.match(wire)
    if named is None or named[1] != b"bundle":
        raise NotABundle(found=_what(wire, named))
    if named[2] != VERSION.encode():
        raise OtherVersion(version=named[2].decode(), known=VERSION)
    if len(wire) > BUNDLE_BYTES:
        raise TooLarge(bytes=len(wire), maximum=BUNDLE_BYTES)
    line, newline, _ = wire[:HEADER_MAX].partition(b"\n")
    read = _HEADER.fullmatch(line)
    if not newline or read is None or int(read[3]) > NUMBER_MAX:
        raise Altered(where="header")
    signatures = tuple(base64.b64decode(each) for each in read[4].split(b" "))
    if _spelled(signatures) != read[4]:
        raise Altered(where="header")  # Of one signature there is one spelling.
    return Header(read[1].decode(), read[2].decode(), int(read[3]), signatures)


def pack(
    header: Header, cover: Cover, messages: Sequence[bytes], keys: NodeKeys, sealing_key: str
) -> bytes:
    """The file: header, then cover and messages, each behind its length, sealed as one piece."""
    frames = (cover.__pydantic_serializer__.to_json(cover), *messages)
    plain = b"".join(len(f).to_bytes(_LENGTH_BYTES) + f for f in frames)
    sealed = wrap(plain, sealing_key, header.binding())
    signatures = keys.signatures(_signed(header, sealed))
    return header.binding() + b" " + _spelled(signatures) + b"\n" + sealed


def unpack(
    wire: bytes, header: Header, verify_keys: Sequence[str], keys: NodeKeys
) -> tuple[Cover, list[bytes]]:
    """The cover and the messages, if the file is whole, the sender's, and sealed to us.

    One of the sender's keys has signed it; each message inside is judged by its own signature.

    Raises:
        Altered, Unopened, Malformed: before any message is read.
    """
    sealed = wire[wire.index(b"\n") + 1 :]
    signed = _signed(header, sealed)
    if not any(verify(key, signed, each) for key in verify_keys for each in header.signatures):
        raise Altered(where="signature")
    plain = keys.unwrap(sealed, header.binding())
    if plain is None:
        raise Unopened(sender=header.sender, bundle=header.number)
    frames = _frames(plain)
    return _cover(frames[0]), frames[1:]


def _spelled(signatures: Sequence[bytes]) -> bytes:
    return " ".join(map(b64, signatures)).encode()


def _signed(header: Header, sealed: bytes) -> bytes:
    # The digest, not the bytes: a signer would hold several copies of a large file.
    return header.binding() + b"\n" + hashlib.sha256(sealed).hexdigest().encode()


def _frames(plain: bytes) -> list[bytes]:
    frames, at = [], 0
    while at < len(plain):
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(plain[begin - _LENGTH_BYTES : begin])
        if at > len(plain) or at - begin > BATCH_BYTES:
            raise Malformed(where="bundle", because="a length does not fit")
        frames.append(plain[begin:at])
        # A cover, a receipt and a want stand beside the batches.
        if len(frames) > BATCHES_MAX + 3:
            raise Malformed(where="bundle", because=f"more than {BATCHES_MAX} batches")
    if not frames:
        raise Malformed(where="bundle", because="no cover")
    return frames


def _cover(frame: bytes) -> Cover:
    strict.read(frame, "cover")
    try:
        cover = Cover.model_validate_json(frame)
    except ValidationError:
        raise Malformed(where="cover") from None
    if cover.last < cover.first - 1:
        raise Malformed(where="cover", because="the numbers run backwards")
    return cover


def _what(wire: bytes, named: re.Match[bytes] | None) -> str:
    """What it looks like instead, for the person who picked it."""
    if named is not None:
        return named[1].decode()
    if not wire:
        return "empty"
    return next((what for magic, what in _OTHERS.items() if wire.startswith(magic)), "unknown")
