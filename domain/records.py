"""记录: how a fact becomes bytes, once, and is read again; the only place that knows the format."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, get_args
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from pydantic import ValidationError
from pydantic_core import from_json

from domain.aggregate import Fact, Meta, Part
from domain.catalogue import FACTS
from domain.sealing import Closure, DataKey, Keyring, Place, Sealed, Unopenable, seal, unseal
from domain.tree import ours
from domain.upcasts import UPCASTS
from domain.values import DataClass, OrgCode

STATE_MAX = 60 * 1024
"""Bytes of one fact's state; a fact is about one person and small, its leaf below 64 KiB."""

_ADDRESS = {"originator_id", "originator_version"}


class Unreadable(Exception):  # noqa: N818 - what is the case.
    """A stored record does not hold what its topic promises."""


class Head(Part):
    """What can be read of any record, of a topic known here or not."""

    meta: Meta
    outflow: Any = None


class Encoded(NamedTuple):
    """A fact's record, with the keys that sealed it."""

    record: StoredEvent
    keys: tuple[DataKey, ...]


def _classes_of(annotation: Any) -> list[DataClass]:
    found = [a for a in getattr(annotation, "__metadata__", ()) if isinstance(a, DataClass)]
    return found or [c for arg in get_args(annotation) for c in _classes_of(arg)]


def _personal_fields(kind: type[Fact]) -> tuple[tuple[str, DataClass], ...]:
    fields = []
    for name, info in kind.model_fields.items():
        own = [m for m in info.metadata if isinstance(m, DataClass)]
        if classes := own or _classes_of(info.annotation):
            fields.append((name, classes[0]))
    return tuple(fields)


PERSONAL = {topic: _personal_fields(kind) for topic, kind in FACTS.items()}
"""By topic: the personal fields with their class."""


def leaf(record: StoredEvent) -> bytes:
    """The bytes that are hashed: stream, version, topic and state, each in one possible framing."""
    topic = record.topic.encode()
    stream = record.originator_id
    assert isinstance(stream, UUID)
    version = record.originator_version.to_bytes(8)
    return stream.bytes + version + len(topic).to_bytes(2) + topic + record.state


def digest(record: StoredEvent) -> str:
    """The RFC 6962 leaf hash of a record, in hex: equal on every node that holds it."""
    return ours().leaf(leaf(record)).hex()


def place_of(fact: Fact) -> Place:
    """Where the sealed fields of a fact stand."""
    meta = fact.meta
    return Place(
        meta.keeper, fact.originator_id, fact.originator_version, fact.TOPIC, meta.schema_version
    )


def encode(fact: Fact, keyring: Keyring) -> Encoded:
    """Seal the personal fields and write the fact down; called once in a fact's life."""
    keys = []
    if personal := PERSONAL[fact.TOPIC]:
        subject, place, sealed = fact.meta.subject, place_of(fact), {}
        assert subject is not None, "A fact with personal fields is about a person."
        for name, data_class in personal:
            plain = getattr(fact, name)
            if plain is not None:
                key = keyring.ours(subject, data_class)
                keys.append(key)
                sealed[name] = seal(plain, key, name, place)
        fact = fact.model_copy(update=sealed)
    state = fact.__pydantic_serializer__.to_json(fact, exclude=_ADDRESS, exclude_none=True)
    if len(state) > STATE_MAX:
        raise Unreadable(f"{fact.TOPIC}: {len(state)} bytes, at most {STATE_MAX}")
    record = StoredEvent(fact.originator_id, fact.originator_version, fact.TOPIC, state)
    return Encoded(record, tuple(keys))


def decode(record: StoredEvent) -> Fact | None:
    """Read a record; personal fields stay sealed. None for what only a newer version can read.

    Raises:
        Unreadable: when the state does not fit its topic, or its meta is none.
    """
    kind = FACTS.get(record.topic)
    if kind is None:
        head(record)
        return None
    state = record.state if kind.VERSION == 1 else _upcast(record, kind.VERSION)
    if not state.startswith(b'{"meta"'):
        raise Unreadable(f"{record.topic}: the state does not open with its meta")
    address = (
        f'{{"originator_id":"{record.originator_id}",'
        f'"originator_version":{record.originator_version},'
    )
    try:
        # What a newer peer has added, at any depth, is passed over; its bytes are kept.
        fact: Fact = kind.__pydantic_validator__.validate_json(
            address.encode() + state[1:], extra="ignore"
        )
    except ValidationError as fault:
        if head(record).meta.schema_version > kind.VERSION:
            return None
        raise Unreadable(f"{record.topic}: {fault.errors(include_input=False)}") from fault
    # A second address inside the state would win over ours.
    claimed = fact.originator_id, fact.originator_version
    if claimed != (record.originator_id, record.originator_version):
        raise Unreadable(f"{record.topic}: the state names another place in the ledger")
    return fact


def head(record: StoredEvent) -> Head:
    """The meta of a record of any topic.

    Raises:
        Unreadable: when there is none.
    """
    try:
        return Head.__pydantic_validator__.validate_json(record.state, extra="ignore")  # type: ignore[no-any-return]
    except ValidationError as fault:
        raise Unreadable(f"{record.topic}: {fault.errors(include_input=False)}") from fault


def _upcast(record: StoredEvent, newest: int) -> bytes:
    body: dict[str, Any] = from_json(record.state)
    version = body["meta"].get("schema_version", 1)
    if version >= newest:
        return record.state
    while version < newest:
        body = UPCASTS[record.topic, version](body)
        version += 1
    return json.dumps(body, ensure_ascii=False).encode()


def open_field(fact: Fact, name: str, keyring: Keyring) -> str | None:
    """A personal field in the clear; None when it is absent, or not granted to this node.

    Raises:
        Unopenable: when the key is held and the value does not fit it.
    """
    value = getattr(fact, name)
    if not isinstance(value, Sealed):
        return value  # type: ignore[no-any-return]
    try:
        key = keyring.key(value.key_id)
    except (ValueError, IndexError):
        raise Unopenable(value[:50]) from None
    return None if key is None else unseal(value, key, name, place_of(fact))


def closed(fact: Fact, name: str, keyring: Keyring) -> Closure | None:
    """Why a personal field does not open: 已删除, 限制处理, 已封存; None if it is not closed."""
    subject = fact.meta.subject
    data_class = dict(PERSONAL[fact.TOPIC]).get(name)
    return keyring.closed(subject, data_class) if subject and data_class else None


def sealing_keys(fact: Fact) -> list[UUID]:
    """The ids of the keys that sealed a fact's fields."""
    values = (getattr(fact, name) for name, _ in PERSONAL[fact.TOPIC])
    return [value.key_id for value in values if isinstance(value, Sealed)]


def key_ids(record: StoredEvent) -> list[UUID]:
    """As sealing_keys, of a record; none where only a newer version can read it."""
    fact = decode(record)
    return [] if fact is None else sealing_keys(fact)


def audience(record: StoredEvent) -> tuple[OrgCode, ...]:
    """Which organizations must hear of a record, of any topic, known here or not."""
    return head(record).meta.audience
