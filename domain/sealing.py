"""密封: how a personal field is encrypted inside a fact, and opened by whoever holds its key."""

from __future__ import annotations

import base64
import hmac
import os
import re
from binascii import b2a_base64
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from pydantic import PlainSerializer, PlainValidator, ValidationInfo

from domain import suite
from domain.errors import Refusal
from domain.values import DataClass

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


class Closure(StrEnum):
    """封闭: why a person's data of one class do not open, the more final after the less."""

    HELD = "已封存"
    RESTRICTED = "限制处理"
    ERASED = "已删除"


purpose: ContextVar[str | None] = ContextVar("purpose", default=None)
"""The named purpose for which restricted data are opened; set for one reading, and recorded."""


class PersonClosed(Refusal):
    """该人员的这类信息已封存、限制处理或删除。Data of that person and class are closed."""

    kind = "forbidden"
    mend = (
        "请查看该人员的删除申请；已删除的不再登记。"
        "See the request to erase; of who is erased nothing more is recorded."
    )


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key of one person for one class of data, minted by one organization.

    It encrypts nothing itself: each field has a key of its own that follows from it.
    """

    id: UUID
    subject: UUID
    data_class: DataClass
    secret: bytes = field(repr=False)


def key_id_of(secret: bytes) -> UUID:
    """The id of a key: a hash of its secret, so that nobody can grant another under its id."""
    return UUID(bytes=suite.digest(b"waystation/key-id/v1" + secret)[:16])


class Keyring(Protocol):
    """Finds the keys of this node; how they are kept is the node's affair."""

    def ours(self, subject: UUID, data_class: DataClass) -> DataKey:
        """The key this organization seals with for this person and class, minted if need be.

        Raises:
            PersonClosed.
        """

    def closed(self, subject: UUID, data_class: DataClass) -> Closure | None:
        """Whether data of this person and class do not open here, and why."""

    def key(self, key_id: UUID) -> DataKey | None:
        """The key of that id, minted here or granted by a peer; None if not held, or closed."""

    def preload(self, key_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Those of many keys that this node holds, fetched at once."""

    def blind(self, kind: str, value: str) -> UUID:
        """A keyed pseudonym: equal for equal values here, meaningless elsewhere."""

    def mark(self, kind: str, value: str) -> bytes:
        """What a value is searched by: as `blind`, by a key that can be changed."""

    @property
    def mark_key(self) -> str:
        """The id of the key that marks are made by."""


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
            f"waystation/sealed/v1\n{suite.chosen().seals}\n{self.keeper}\n{self.stream}\n{self.version}\n"
            f"{self.topic}\n{self.schema}\n{name}\n{key_id}"
        ).encode()


_URLSAFE = bytes.maketrans(b"+/", b"-_")


def _b64(raw: bytes) -> str:
    return b2a_base64(raw, newline=False).rstrip(b"=").translate(_URLSAFE).decode()


def _unb64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _field_secret(key: DataKey, nonce: bytes, binding: bytes) -> bytes:
    # HKDF-Expand (RFC 5869) of one block. A key a field, so that one can be shown without others.
    return suite.mac(key.secret, b"waystation/field/v1" + nonce + binding + b"\x01")


def _commitment(secret: bytes) -> bytes:
    # GCM does not commit to its key: without this, two keys could open one box differently.
    return suite.digest(b"waystation/commit/v1" + secret)


def seal(plain: str, key: DataKey, name: str, place: Place) -> Sealed:
    """Encrypt one field for the place where it will stand."""
    nonce, binding = draw(_NONCE_BYTES), place.binding(name, key.id)
    secret = _field_secret(key, nonce, binding)
    box = suite.chosen().cipher(secret).encrypt(nonce, plain.encode(), binding)
    parts = (_b64(nonce), _b64(_commitment(secret)), _b64(box))
    return Sealed(f"{suite.chosen().seals}.{key.id.hex}.{'.'.join(parts)}")


def unseal(sealed: Sealed, key: DataKey, name: str, place: Place) -> str:
    """Decrypt one field.

    Raises:
        Unopenable: when suite, key, commitment, place or box do not fit.
    """
    return _opened(sealed, key, name, place)[1]


def field_secret(sealed: Sealed, key: DataKey, name: str, place: Place) -> bytes:
    """What opens this one value and nothing else: to be shown to somebody who may read it.

    Raises:
        Unopenable: as unseal; a secret that opens nothing is not shown.
    """
    return _opened(sealed, key, name, place)[0]


def _opened(sealed: Sealed, key: DataKey, name: str, place: Place) -> tuple[bytes, str]:
    try:
        name_of_suite, key_id, nonce, commitment, box = sealed.split(".")
        raw, binding = _unb64(nonce), place.binding(name, key.id)
        secret = _field_secret(key, raw, binding)
        fits = (
            name_of_suite == suite.chosen().seals
            and key_id == key.id.hex
            and hmac.compare_digest(_unb64(commitment), _commitment(secret))
        )
        if not fits:
            raise Unopenable(sealed[:50])
        return secret, suite.chosen().cipher(secret).decrypt(raw, _unb64(box), binding).decode()
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
