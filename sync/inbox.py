"""收件: checks what a peer sent, in a fixed order, and records what passes in one transaction."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from eventsourcing.persistence import StoredEvent, Tracking

from domain.ledger import Beside, KeptKeyring, Ledger, Overtaken
from domain.sealing import DataKey, key_id_of
from domain.values import OrgCode
from sync import evidence
from sync.checks import Arrivals
from sync.envelope import Batch, Grant, LaneEntry, LaneReceipt, Sealed, Want
from sync.errors import (
    Gap,
    LaneFault,
    Misaddressed,
    RootsDiffer,
    StreamStopped,
    TooManyParked,
)
from sync.keys import NodeKeys, grant_binding
from sync.numbering import next_root
from sync.relay import Relay
from sync.standing import Standing
from sync.store import LaneStore

PARKED_MAX = 10_000
"""Quarantined entries open at once for one sender; beyond it the lane waits for an operator."""

_KEY_BYTES = 32
_REASON_MAX = 300


class Outcome(NamedTuple):
    """What the inbox made of a message: the answer to send, how many entries were new, why not."""

    answer: bytes
    recorded: int
    fault: LaneFault | None = None


class GrantKeyring(KeptKeyring, Protocol):
    """A keyring that can also say how a granted key is kept."""

    def row(self, key: DataKey, minted_by: OrgCode) -> Beside:
        """The row, wrapped."""


class _Fault(NamedTuple):
    """One entry that is set aside."""

    number: int
    record: StoredEvent
    fault: LaneFault


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
        """Check and record one batch; the answer is a receipt, or a want for missing numbers.

        The answer is empty for a sender nobody has enrolled.
        """
        sender = evidence.UNKNOWN_SENDER
        try:
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
        records = [_record(entry) for entry in batch.entries]
        here = self._store.records({_stream(record) for record in records}) if records else {}
        _must_agree(batch, records, standing, here)
        fresh = records[standing.number + 1 - batch.first :]
        if not fresh:
            self._store.hear(batch.sender, self._clock(), batch.head, batch.sent_at)
            return Outcome(self.receipt(batch.sender), 0)
        granted = self._granted(batch)
        arrivals = Arrivals(self._ledger, batch.sender, here, granted)
        good, faults = self._sort(arrivals, standing.number + 1, fresh)
        if faults and self._store.parked(batch.sender) + len(faults) > PARKED_MAX:
            raise TooManyParked(peer=batch.sender, maximum=PARKED_MAX)
        return self._record(batch, granted, good, faults, wire)

    def _record(
        self,
        batch: Batch,
        granted: dict[UUID, DataKey],
        good: Sequence[StoredEvent],
        faults: Sequence[_Fault],
        wire: bytes,
    ) -> Outcome:
        now, peer = self._clock(), batch.sender
        beside = (
            *(self._keyring.row(key, peer) for key in granted.values()),
            # The signed batch is the evidence; it is kept once, with the first entry it parks.
            *(
                evidence.parked(peer, now, f.fault, f.number, f.record, b"" if i else wire)
                for i, f in enumerate(faults)
            ),
            Beside("lane_in", (peer, batch.last, batch.root, now, batch.head, batch.sent_at)),
        )
        try:
            self._ledger.replicate(good, Tracking(f"lane:{peer}", batch.last), beside)
        except Overtaken:
            # Another delivery of the same entries was faster; what it recorded is what we answer.
            return Outcome(self.receipt(peer), 0)
        return Outcome(self.receipt(peer), len(good))

    def _sort(
        self, arrivals: Arrivals, first: int, records: Sequence[StoredEvent]
    ) -> tuple[list[StoredEvent], list[_Fault]]:
        """What may be recorded, and what is parked with its fault; a fault stops its stream."""
        stopped = self._store.stopped(arrivals.sender, {_stream(record) for record in records})
        good: list[StoredEvent] = []
        faults: list[_Fault] = []
        for number, record in enumerate(records, first):
            stream = _stream(record)
            try:
                if stream in stopped:
                    raise StreamStopped(stream=stream)
                arrivals.take(record)
            except LaneFault as fault:
                stopped.add(stream)
                faults.append(_Fault(number, record, fault))
            else:
                good.append(record)
        return good, faults

    def _granted(self, batch: Batch) -> dict[UUID, DataKey]:
        """The keys that travel with the batch and are new here; a key once held stays as it is."""
        new = (grant for grant in batch.grants if self._keyring.key(grant.key) is None)
        opened = (self._opened(batch.sender, grant) for grant in new)
        return {key.id: key for key in opened if key is not None}

    def _opened(self, sender: OrgCode, grant: Grant) -> DataKey | None:
        """The key, if it was sealed to us by this sender for this person and class."""
        binding = grant_binding(
            sender, self._ledger.org, grant.key, grant.subject, grant.data_class
        )
        try:
            secret = self._keys.unwrap(base64.b64decode(grant.wrapped, validate=True), binding)
        except ValueError:
            return None
        if secret is None or len(secret) != _KEY_BYTES or key_id_of(secret) != grant.key:
            return None
        return DataKey.of(grant.key, grant.subject, grant.data_class, secret)

    def _refuse(self, sender: OrgCode, wire: bytes, fault: LaneFault) -> Outcome:
        if isinstance(fault, Gap):
            return Outcome(self.want(sender), 0, fault)
        self._store.refuse(evidence.refused(sender, self._clock(), fault, wire))
        if sender == evidence.UNKNOWN_SENDER:
            return Outcome(b"", 0, fault)
        return Outcome(self.receipt(sender, evidence.plain(str(fault))[:_REASON_MAX]), 0, fault)


def _must_agree(
    batch: Batch,
    records: Sequence[StoredEvent],
    standing: Standing,
    here: dict[UUID, list[StoredEvent]],
) -> None:
    """The batch continues, or repeats, the very history that was recorded before."""
    root, number = batch.before, batch.first - 1
    agreed = number != standing.number or root == standing.root
    for record in records:
        root, number = next_root(root, record), number + 1
        agreed = agreed and (number != standing.number or root == standing.root)
        if number <= standing.number:
            # A repetition that ends before our root says nothing about it: compare the bytes.
            same_place = [r for r in here[_stream(record)] if _version(r) == _version(record)]
            agreed = agreed and all(r == record for r in same_place)
    if not agreed or root != batch.root:
        raise RootsDiffer(peer=batch.sender, first=batch.first, last=batch.last)


def _record(entry: LaneEntry) -> StoredEvent:
    return StoredEvent(entry.stream, entry.version, entry.topic, entry.state.encode())


def _stream(record: StoredEvent) -> UUID:
    assert isinstance(record.originator_id, UUID)
    return record.originator_id


def _version(record: StoredEvent) -> int:
    return record.originator_version
