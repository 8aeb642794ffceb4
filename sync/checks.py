"""逐条核对: what each arriving entry must fulfil before it is recorded beside our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from pydantic import BaseModel

from domain.aggregate import Aggregate, Fact, Meta
from domain.ledger import Ledger
from domain.records import PERSONAL, Unreadable, decode, head, place_of, sealing_keys
from domain.sealing import DataKey, Sealed, Unopenable, unseal
from domain.values import OrgCode
from sync import affiliation, authority, destroyed, handover, strict, succession
from sync.errors import DoesNotFit, LaneFault, Malformed, NotTheKeeper, VersionGap
from sync.evidence import NOBODY, About
from sync.store import LaneStore

A = TypeVar("A", bound=Aggregate)

COUNT_MAX = 2**31 - 1
"""The largest number in a fact: read models count in 32 bits."""

_YEARS = range(1900, 9000)
"""In which a moment of a fact may lie."""


@dataclass(slots=True)
class _Stream:
    """What a stream has said so far."""

    version: int = 0
    keeper: OrgCode | None = None
    aggregate: Aggregate | None = None
    first: StoredEvent | None = None


_Read = tuple[Meta, Fact | None]


class Arrivals:
    """Checks entries of one sender in their order; what has passed counts as known for the next.

    `granted` are the keys that travel beside the entries and are not kept yet.
    """

    def __init__(
        self,
        ledger: Ledger,
        sender: OrgCode,
        here: Mapping[UUID, list[StoredEvent]],
        granted: Mapping[UUID, DataKey],
    ) -> None:
        self.org, self.sender = ledger.org, sender
        self._ledger = ledger
        self._keys: dict[UUID, DataKey | None] = dict(granted)
        self._streams = {stream: _folded(records) for stream, records in here.items()}
        self._read: dict[StoredEvent, _Read | LaneFault] = {}

    def look_ahead(self, records: Sequence[StoredEvent], store: LaneStore) -> None:
        """Read what is to be checked, and fetch what its checks will ask for, in two queries."""
        for record in records:
            try:
                self._read[record] = _read(record)
            except LaneFault as fault:
                self._read[record] = fault
        facts = [r[1] for r in self._read.values() if isinstance(r, tuple) and r[1] is not None]
        keys = {key for fact in facts for key in sealing_keys(fact)}
        held = self._ledger.keyring.preload(keys)
        self._keys = {key: held.get(key) for key in keys} | self._keys
        absences = {fact.outflow for fact in facts if hasattr(fact, "outflow")}
        self._ledger.preload(absences, lambda ids: store.records(ids).values())

    def find(self, kind: type[A], id: UUID) -> A | None:  # noqa: A002
        """An aggregate as it is known here, or has just arrived."""
        stream = self._streams.get(id)
        if stream is None:
            return self._ledger.find(kind, id)
        return stream.aggregate if isinstance(stream.aggregate, kind) else None

    def take(self, record: StoredEvent) -> None:
        """Check one entry, and count it as known.

        Raises:
            LaneFault: it must not be recorded; nothing has changed.
        """
        read = self._read.pop(record, None) or _read(record)
        if isinstance(read, LaneFault):
            raise read
        meta, fact = read
        stream = record.originator_id
        assert isinstance(stream, UUID)
        known = self._streams[stream]
        if meta.keeper != self.sender or known.keeper not in (None, self.sender):
            raise NotTheKeeper(stream=stream, keeper=known.keeper or meta.keeper)
        authority.check_author(record.topic, stream, meta.author.org, self)
        if record.originator_version != known.version + 1:
            raise VersionGap(expected=known.version + 1, got=record.originator_version)
        if fact is not None:
            authority.check(fact, self)
            handover.check(fact, known.aggregate, self._ledger)
            succession.check(fact, known.aggregate, self.sender)
            affiliation.check(fact, known.aggregate, self, self._ledger)
            destroyed.check(fact, self.sender, self._ledger)
            self._must_open(fact)
            known.aggregate = _after(fact, known.aggregate)
        known.keeper, known.version = meta.keeper, record.originator_version
        known.first = known.first or record

    def about(self, record: StoredEvent) -> About:
        """Whom an entry concerns: as it says itself, or as its stream has said before."""
        stream = record.originator_id
        assert isinstance(stream, UUID)
        first = self._streams[stream].first
        before = said_about(first) if first is not None else NOBODY
        said = said_about(record)
        outflow = stream if record.topic.startswith("outflow.") else said.outflow or before.outflow
        return About(said.subject or before.subject, outflow)

    def _must_open(self, fact: Fact) -> None:
        """A value that does not open with its key would stop whoever reads it, for ever."""
        for name, _ in PERSONAL[fact.TOPIC]:
            value = getattr(fact, name)
            if not isinstance(value, Sealed):
                continue
            try:
                key = self._key(value.key_id)
                plain = "" if key is None else unseal(value, key, name, place_of(fact))
            except (ValueError, IndexError, Unopenable):
                raise Malformed(topic=fact.TOPIC, field=name, because="it does not open") from None
            if "\x00" in plain:
                raise Malformed(topic=fact.TOPIC, field=name, because="NUL")

    def _key(self, key_id: UUID) -> DataKey | None:
        if key_id not in self._keys:
            self._keys[key_id] = self._ledger.keyring.key(key_id)
        return self._keys[key_id]


def said_about(record: StoredEvent) -> About:
    """What an entry says of whom it concerns; nothing where it cannot be read."""
    try:
        said = head(record)
        return About(said.meta.subject, None if said.outflow is None else UUID(said.outflow))
    except (ValueError, TypeError, AttributeError, Unreadable):
        return NOBODY


def _folded(records: Iterable[StoredEvent]) -> _Stream:
    stream = _Stream()
    for record in records:
        fact = decode(record)
        if fact is not None:
            stream.aggregate = fact.mutate(stream.aggregate)
        stream.keeper = stream.keeper or head(record).meta.keeper
        stream.version = record.originator_version
        stream.first = stream.first or record
    return stream


def _read(record: StoredEvent) -> _Read:
    """What every fact says, of whatever topic, and the fact itself if its topic is known here.

    Raises:
        Malformed.
    """
    strict.read(record.state, "state")
    if not record.state.startswith(b'{"meta"'):
        raise Malformed(topic=record.topic, because="the state does not open with its meta")
    try:
        fact = decode(record)
        meta = head(record).meta if fact is None else fact.meta
    except (ValueError, LookupError, Unreadable) as fault:
        raise Malformed(topic=record.topic, because=str(fault)[:200]) from None
    _must_be_usual(meta if fact is None else fact, record.topic)
    return meta, fact


def _must_be_usual(value: object, topic: str) -> None:
    """Refuse what pydantic and Python hold, but a column or a calendar does not."""
    if isinstance(value, BaseModel):
        for part in value.__dict__.values():
            _must_be_usual(part, topic)
    elif isinstance(value, tuple):
        for part in value:
            _must_be_usual(part, topic)
    elif isinstance(value, datetime):
        if value.tzinfo is None or value.year not in _YEARS:
            raise Malformed(topic=topic, because=f"not a moment: {value.isoformat()}")
    elif isinstance(value, int) and abs(value) > COUNT_MAX:
        raise Malformed(topic=topic, because="number too large")


def _after(fact: Fact, aggregate: Aggregate | None) -> Aggregate:
    """Try the fact on a copy: what cannot be applied would make its stream unloadable."""
    if aggregate is not None:
        if type(aggregate) is not fact.AGGREGATE:
            raise DoesNotFit(topic=fact.TOPIC, stream=type(aggregate).__name__.lower())
        if fact.meta.subject != aggregate.subject:
            raise DoesNotFit(topic=fact.TOPIC, because="another subject")
        aggregate = aggregate.private_copy()
    try:
        return fact.mutate(aggregate)
    except Exception as fault:  # noqa: BLE001 - whatever it is, it would happen at every reading.
        raise DoesNotFit(topic=fact.TOPIC, because=type(fault).__name__) from None
