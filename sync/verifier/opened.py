"""启封: a personal field in the clear, by the key that the file carries for it alone."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag

from domain import suite
from sync.verifier.defect import fail, get, unb64, uuid
from sync.verifier.records import Record

_SECRET = 32
_SHAPE = re.compile(r"([A-Z0-9-]+)\.([0-9a-f]{32})\.([\w-]+)\.([\w-]+)\.([\w-]+)", re.ASCII)


def is_sealed(value: Any) -> bool:
    """Whether a value is a sealed field."""
    parts = _SHAPE.fullmatch(value) if isinstance(value, str) else None
    return parts is not None and parts[1] == suite.chosen().seals


def sealed_fields(said: dict[str, Any]) -> Iterator[str]:
    """The names of a fact's sealed fields."""
    return (name for name, value in said.items() if is_sealed(value))


class Field(NamedTuple):
    """One field of one fact."""

    stream: UUID
    version: int
    name: str


def show(
    said: dict[str, Any], at: str, made: Mapping[tuple[UUID, int], Record], shown: dict[Field, str]
) -> None:
    """Open a field of what was made, by the key that a line gives for it alone.

    Raises:
        Defect: there is no such field, the key is another one's, or it was there before.
    """
    stream, version = uuid(said.get("stream"), at), get(said, "version", int, at)
    field = Field(stream, version, get(said, "field", str, at))
    record = made.get((stream, version))
    if record is None or field in shown:
        fail(at, "a key of a fact that is not here, or the same key again")
    shown[field] = _opened(record, field.name, unb64(said.get("secret"), at, _SECRET), at)


def _opened(record: Record, name: str, secret: bytes, at: str) -> str:
    value = record.said.get(name)
    if not is_sealed(value):
        fail(at, f"a key for {name} of {record.where}, where nothing is sealed")
    seals, key, *coded = str(value).split(".")
    place = (
        f"waystation/sealed/v1\n{seals}\n{record.keeper}\n{record.stream}\n{record.version}\n"
        f"{record.topic}\n{record.meta.get('schema_version', 1)}\n{name}\n{UUID(key)}"
    )
    try:
        nonce, commitment, box = map(_urlsafe, coded)
        if not hmac.compare_digest(commitment, suite.digest(b"waystation/commit/v1" + secret)):
            fail(at, f"the key is not that of {name} of {record.where}")
        return suite.chosen().cipher(secret).decrypt(nonce, box, place.encode()).decode()
    except (ValueError, InvalidTag):
        fail(at, f"{name} of {record.where} does not open with its key")


def _urlsafe(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
