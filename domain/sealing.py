"""密封: how a personal field is encrypted inside a fact, and opened by whoever holds its key."""

from __future__ import annotations

import base64
import hmac
import os
import re
from binascii import b2a_base64
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any, Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import PlainSerializer, PlainValidator, ValidationInfo

from domain.values import DataClass

SUITE = "A256GCM-HS256"
"""AES-256-GCM with HMAC-SHA256 key commitment; named in every sealed value."""

_NONCE_BYTES = 12

_DRAWN_AT_ONCE = 256
_drawn: dict[int, list[bytes]] = {}
os.register_at_fork(after_in_child=_drawn.clear)


def draw(size: int) -> bytes:
    """Random bytes from the system, drawn many at once and each given out once.

    Asking the system gives the interpreter lock away; a thread under load waits milliseconds
    to get it back.
    """
    pool = _drawn.setdefault(size, [])
    try:
        return pool.pop()
    except IndexError:
        raw = os.urandom(size * _DRAWN_AT_ONCE)
        pool += (raw[i : i + size] for i in range(size, len(raw), size))
        return raw[:size]


_SHAPE = re.compile(r"[A-Z0-9-]{1,32}\.[0-9a-f]{32}(\.[A-Za-z0-9_-]+){1,8}")


class Sealed(str):
    """A sealed value: suite.key-id.nonce.commitment.box, the last three in base64url."""

    __slots__ = ()

    @property
    def key_id(self) -> UUID:
        """The key that opens it."""
        return UUID(self.split(".", 2)[1])


class Unopenable(Exception):  # noqa: N818 - what is the case, not what went wrong.
    """A sealed value does not open: another key, another place, or altered."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key of one person for one class of data, minted by one organization."""

    id: UUID
    subject: UUID
    data_class: DataClass
    secret: bytes = field(repr=False)
    cipher: AESGCM = field(repr=False, compare=False)

    @classmethod
    def of(cls, key_id: UUID, subject: UUID, data_class: DataClass, secret: bytes) -> DataKey:
        """The key with its cipher set up once."""
        return cls(key_id, subject, data_class, secret, AESGCM(secret))


def key_id_of(secret: bytes) -> UUID:
    """The id of a key: a hash of its secret, so that nobody can grant another under its id."""
    return UUID(bytes=sha256(b"waystation/key-id/v1" + secret).digest()[:16])


class Keyring(Protocol):
    """Finds the keys of this node; how they are kept is the node's affair."""

    def ours(self, subject: UUID, data_class: DataClass) -> DataKey:
        """The key this organization seals with for this person and class, minted if need be."""

    def key(self, key_id: UUID) -> DataKey | None:
        """The key of that id, minted here or granted by a peer; None if not held."""

    def blind(self, kind: str, value: str) -> UUID:
        """A keyed pseudonym: equal for equal values here, meaningless elsewhere."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed value stands; it opens nowhere else."""

    keeper: str
    stream: UUID
    version: int
    topic: str
    schema: int

    def binding(self, name: str, key_id: UUID) -> bytes:
        """The associated data for the field of that name."""
        return (
            f"waystation/sealed/v1\n{SUITE}\n{self.keeper}\n{self.stream}\n{self.version}\n"
            f"{self.topic}\n{self.schema}\n{name}\n{key_id}"
        ).encode()


_URLSAFE = bytes.maketrans(b"+/", b"-_")


def _b64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).rstrip(b"=").translate(_URLSAFE).decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


_INNER, _OUTER = (bytes(x ^ pad for x in range(256)) for pad in (0x36, 0x5C))
_BLOCK = 64


def _commitment(key: DataKey, nonce: bytes) -> bytes:
    # AES-GCM does not commit to its key: without this, two keys could open one box differently.
    # HMAC-SHA256 written out (RFC 2104): hmac.digest gives the interpreter lock away each time.
    block = key.secret.ljust(_BLOCK, b"\0")
    inner = sha256(block.translate(_INNER) + b"waystation/commit/v1" + nonce).digest()
    return sha256(block.translate(_OUTER) + inner).digest()


def seal(plain: str, key: DataKey, name: str, place: Place) -> Sealed:
    """Encrypt one field for the place where it will stand."""
    nonce = draw(_NONCE_BYTES)
    box = key.cipher.encrypt(nonce, plain.encode(), place.binding(name, key.id))
    parts = (_b64(nonce), _b64(_commitment(key, nonce)), _b64(box))
    return Sealed(f"{SUITE}.{key.id.hex}.{'.'.join(parts)}")


def unseal(sealed: Sealed, key: DataKey, name: str, place: Place) -> str:
    """Decrypt one field.

    Raises:
        Unopenable: when suite, key, commitment, place or box do not fit.
    """
    try:
        suite, key_id, nonce, commitment, box = sealed.split(".")
        raw = _unb64(nonce)
        fits = (
            suite == SUITE
            and key_id == key.id.hex
            and hmac.compare_digest(_unb64(commitment), _commitment(key, raw))
        )
        if not fits:
            raise Unopenable(sealed[:50])
        return key.cipher.decrypt(raw, _unb64(box), place.binding(name, key.id)).decode()
    except (ValueError, InvalidTag) as fault:
        raise Unopenable(sealed[:50]) from fault


def _read(value: Any, info: ValidationInfo) -> str:
    if not isinstance(value, str):
        raise ValueError("必须是文字。It must be text.")  # noqa: TRY004 - pydantic wants ValueError.
    if info.mode != "json":
        return value
    # What is read from JSON is a stored fact, and stored facts hold only ciphertext.
    if not _SHAPE.fullmatch(value):
        raise ValueError("A personal field is stored unsealed.")
    return Sealed(value)


def _write(value: str) -> str:
    if not isinstance(value, Sealed):
        raise ValueError("A personal field is never written unsealed.")  # noqa: TRY004
    return value


def _personal(data_class: DataClass) -> tuple[Any, ...]:
    return (data_class, PlainValidator(_read), PlainSerializer(_write, return_type=str))


Identity = Annotated[str, *_personal(DataClass.IDENTITY)]
Contactable = Annotated[str, *_personal(DataClass.CONTACT)]
Familial = Annotated[str, *_personal(DataClass.FAMILY)]
Noted = Annotated[str, *_personal(DataClass.NOTES)]
Restricted = Annotated[str, *_personal(DataClass.RESTRICTED)]
