"""收件: checks what a peer sent, in a fixed order, and records what passes in one transaction."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from eventsourcing.persistence import StoredEvent, Tracking
from pydantic_core import from_json

from domain.aggregate import Aggregate, Fact
from domain.ledger import Beside, KeptKeyring, Ledger, Overtaken
from domain.records import Unreadable, decode
from domain.sealing import DataKey
from domain.values import OrgCode
from sync import authority
from sync.envelope import BATCH_BYTES, Batch, Grant, LaneReceipt, Sealed, Want
from sync.errors import (
    Gap,
    LaneFault,
    Malformed,
    Misaddressed,
    NotTheKeeper,
    RootsDiffer,
    StreamStopped,
    TooLarge,
    TooManyParked,
    VersionGap,
)
from sync.keys import NodeKeys, grant_binding
from sync.relay import Relay, next_root
from sync.store import LaneStore, Standing

PARKED_MAX = 10_000
"""Quarantined entries open at once for one sender; beyond it the lane waits for an operator."""

_UNKNOWN_SENDER = "?"


class Outcome(NamedTuple):
    """What the inbox made of a message: the answer to send, how many entries were new, why not."""

    answer: bytes
    recorded: int
    fault: LaneFault | None = None


class GrantKeyring(KeptKeyring, Protocol):
    """A keyring that can also say how a granted key is kept."""

    def row(self, key: DataKey, minted_by: OrgCode) -> Beside:
        """The row, wrapped."""


class Inbox:
    """One for a node; its state is in the store, so accepting again is harmless."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        ledger: Ledger,
        store: LaneStore,
        keys: NodeKeys,
        relay: Relay,
        keyring: GrantKeyring,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger, self._store, self._keys = ledger, store, keys
        self._relay, self._keyring, self._clock = relay, keyring, clock

    def accept(self, wire: bytes) -> Outcome:
        """Check and record one batch; the answer is a receipt, or a want for missing numbers."""
        sender = _UNKNOWN_SENDER
        try:
            if len(wire) > BATCH_BYTES * 2:
                raise TooLarge(bytes=len(wire), maximum=BATCH_BYTES * 2)
            sealed = Sealed(wire)
            peer = self._relay.peer(sealed.sender)
            sender = peer.code
            batch = sealed.open(Batch, peer.verify_key)
            return self._take(batch, wire)
        except LaneFault as fault:
            return self._refuse(sender, wire, fault)

    def want(self, peer: OrgCode) -> bytes:
        """Ask for what follows the last entry recorded."""
        after = self._store.standing_in(peer).number
        message = Want(sender=self._ledger.org, receiver=peer, after=after, at=self._clock())
        return message.signed(self._keys)

    def receipt(self, peer: OrgCode, refused: str | None = None) -> bytes:
        """How far the lane from a peer is recorded."""
        standing = self._store.standing_in(peer)
        message = LaneReceipt(
            sender=self._ledger.org,
            receiver=peer,
            number=standing.number,
            root=standing.root,
            at=self._clock(),
            refused=refused,
        )
        return message.signed(self._keys)

    def _take(self, batch: Batch, wire: bytes) -> Outcome:
        if batch.receiver != self._ledger.org:
            raise Misaddressed(receiver=batch.receiver)
        standing = self._store.standing_in(batch.sender)
        if batch.first > standing.number + 1:
            raise Gap(expected=standing.number + 1, got=batch.first)
        self._check_roots(batch, standing)
        fresh = batch.entries[standing.number + 1 - batch.first :]
        if not fresh:
            return Outcome(self.receipt(batch.sender), 0)
        records = [_record(e.stream, e.version, e.topic, e.state) for e in fresh]
        good, parked = self._sort(batch, standing.number + 1, records)
        if parked and self._store.parked(batch.sender) + len(parked) > PARKED_MAX:
            raise TooManyParked(peer=batch.sender, maximum=PARKED_MAX)
        now = self._clock()
        beside = (
            *self._grant_rows(batch),
            *self._parked_rows(batch.sender, now, parked, wire),
            Beside("lane_in", (batch.sender, batch.last, batch.root, now, batch.head)),
        )
        try:
            self._ledger.replicate(good, Tracking(f"lane:{batch.sender}", batch.last), beside)
        except Overtaken:
            # Another delivery of the same entries was faster; what it recorded is what we answer.
            return Outcome(self.receipt(batch.sender), 0)
        return Outcome(self.receipt(batch.sender), len(good))

    def _check_roots(self, batch: Batch, standing: Standing) -> None:
        root = batch.before
        number = batch.first - 1
        agreed = number != standing.number or root == standing.root
        for entry in batch.entries:
            root = next_root(root, _record(entry.stream, entry.version, entry.topic, entry.state))
            number += 1
            agreed = agreed and (number != standing.number or root == standing.root)
        if not agreed or root != batch.root:
            raise RootsDiffer(peer=batch.sender, first=batch.first, last=batch.last)

    def _sort(
        self, batch: Batch, first: int, records: list[StoredEvent]
    ) -> tuple[list[StoredEvent], list[tuple[int, StoredEvent, LaneFault]]]:
        """What may be recorded, and what is parked with its fault; a fault stops its stream."""
        streams = [r.originator_id for r in records if isinstance(r.originator_id, UUID)]
        versions = self._store.versions(streams)
        stopped = self._store.stopped(batch.sender, streams)
        arriving: dict[UUID, Fact] = {}
        good: list[StoredEvent] = []
        parked: list[tuple[int, StoredEvent, LaneFault]] = []
        for number, record in enumerate(records, first):
            stream = record.originator_id
            assert isinstance(stream, UUID)
            try:
                if stream in stopped:
                    raise StreamStopped(stream=stream)
                fact = self._check(record, batch.sender, versions.get(stream, 0), arriving)
            except LaneFault as fault:
                stopped.add(stream)
                parked.append((number, record, fault))
                continue
            versions[stream] = record.originator_version
            good.append(record)
            if fact is not None and record.originator_version == 1:
                arriving[stream] = fact
        return good, parked

    def _check(
        self, record: StoredEvent, sender: OrgCode, version: int, arriving: dict[UUID, Fact]
    ) -> Fact | None:
        try:
            keeper = from_json(record.state)["meta"]["keeper"]
            fact = decode(record)
        except (ValueError, KeyError, TypeError, Unreadable) as fault:
            raise Malformed(topic=record.topic, because=str(fault)[:200]) from None
        if keeper != sender:
            raise NotTheKeeper(keeper=str(keeper)[:40], sender=sender)
        if record.originator_version != version + 1:
            raise VersionGap(expected=version + 1, got=record.originator_version)
        if version and self._kept_by_another(record, sender):
            raise NotTheKeeper(stream=record.originator_id, sender=sender)
        if fact is not None:
            authority.check(fact, sender, self._ledger, arriving)
        return fact

    def _kept_by_another(self, record: StoredEvent, sender: OrgCode) -> bool:
        stream = record.originator_id
        assert isinstance(stream, UUID)
        known = self._ledger.find(Aggregate, stream)
        return known is not None and known.keeper != sender

    def _grant_rows(self, batch: Batch) -> list[Beside]:
        return [
            self._keyring.row(key, batch.sender)
            for grant in batch.grants
            if (key := self._granted(batch.sender, grant)) is not None
        ]

    def _granted(self, sender: OrgCode, grant: Grant) -> DataKey | None:
        binding = grant_binding(
            sender, self._ledger.org, grant.key, grant.subject, grant.data_class
        )
        try:
            secret = self._keys.unwrap(base64.b64decode(grant.wrapped, validate=True), binding)
        except binascii.Error:
            return None
        if secret is None or len(secret) != 32:  # noqa: PLR2004 - AES-256.
            return None
        return DataKey.of(grant.key, grant.subject, grant.data_class, secret)

    def _parked_rows(
        self,
        sender: OrgCode,
        now: datetime,
        parked: list[tuple[int, StoredEvent, LaneFault]],
        wire: bytes,
    ) -> list[Beside]:
        # The signed batch is the evidence; it is kept once, with the first entry it parks.
        return [
            self._evidence(sender, now, number, record, fault, wire=b"" if i else wire)
            for i, (number, record, fault) in enumerate(parked)
        ]

    def _refuse(self, sender: OrgCode, wire: bytes, fault: LaneFault) -> Outcome:
        if isinstance(fault, Gap):
            return Outcome(self.want(sender), 0, fault)
        kept = wire[: BATCH_BYTES * 2]
        row = self._evidence(sender, self._clock(), None, None, fault, wire=kept)
        self._store.refuse(row)
        answer = b"" if sender == _UNKNOWN_SENDER else self.receipt(sender, str(fault)[:300])
        return Outcome(answer, 0, fault)

    def _evidence(  # noqa: PLR0913 - one row.
        self,
        peer: OrgCode,
        at: datetime,
        number: int | None,
        record: StoredEvent | None,
        fault: LaneFault,
        *,
        wire: bytes,
    ) -> Beside:
        evidence = json.dumps(fault.facts, default=str, ensure_ascii=False).replace("\\u0000", "")
        address: tuple[object, ...] = (None, None, None, None)
        if record:
            address = (
                record.originator_id,
                record.originator_version,
                record.topic,
                record.state,
            )
        return Beside("quarantine", (peer, at, fault.code(), evidence, number, *address, wire))


def _record(stream: UUID, version: int, topic: str, state: str) -> StoredEvent:
    return StoredEvent(stream, version, topic, state.encode())
