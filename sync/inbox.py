"""收件: checks what a peer sent, in a fixed order, and records what passes in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent, Tracking

from domain.ledger import Beside, Ledger, Overtaken
from domain.records import digest
from domain.sealing import DataKey
from domain.values import OrgCode
from sync import evidence, succession, trust
from sync.book_witness import Seen
from sync.checks import Arrivals
from sync.envelope import REASON_MAX, Batch, Grant, LaneEntry, LaneReceipt, Refused, Sealed, Want
from sync.errors import (
    Fenced,
    Gap,
    LaneFault,
    Misaddressed,
    RootsDiffer,
    StreamStopped,
    TooManyParked,
    told,
)
from sync.granted import GrantKeyring, opened_grant
from sync.keys import NodeKeys
from sync.numbering import next_root
from sync.relay import Relay
from sync.standing import Standing
from sync.store import LaneStore

PARKED_MAX = 10_000
"""Quarantined entries open at once for one sender; beyond it the lane waits for an operator."""


class Outcome(NamedTuple):
    """What the inbox made of a message: the answer, how many entries were new, why not.

    And how many were set aside, if a checkpoint was new that the answer cosigns, if more follow.
    """

    answer: bytes
    recorded: int
    fault: LaneFault | None = None
    parked: int = 0
    witnessed: bool = False
    behind: bool = False

    @property
    def new(self) -> bool:
        """Whether the answer says something that the last one did not."""
        return bool(self.recorded or self.parked or self.witnessed)


class _Fault(NamedTuple):
    """One entry that is set aside."""

    number: int
    record: StoredEvent
    fault: LaneFault
    about: evidence.About


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
        self._relay, self._witness = relay, relay.witness
        self._keyring, self._clock = keyring, clock
        self.when_recorded: Callable[[], object] = lambda: None
        """Called after the commit of a lane's newest: read models go before its answer is made."""
        # How often entries of each were set aside, and at which count none was open.
        self._parkings: Counter[OrgCode] = Counter()
        self._clear: dict[OrgCode, int] = {}

    def accept(self, wire: bytes) -> Outcome:
        """Check and record one batch; the answer is a receipt, or a want for missing numbers.

        The answer is empty for a sender nobody has enrolled, and behind a fence.
        """
        sender = evidence.UNKNOWN_SENDER
        try:
            sealed = Sealed(wire)
            peer = self._relay.peer(sealed.sender)
            sender = peer.code
            batch, former = trust.opened(Batch, sealed, self._relay.us())
            self._relay.fence.look(sender, batch.log.others if batch.log else ())
            with self._witness.turn(sender):
                outcome = self._take(batch, wire, repeated=former is not None)
                if former is None:
                    self._witness.listen(batch, self._relay.us())
                return outcome
        except Fenced as fault:
            return Outcome(b"", 0, fault)  # No answer is signed either.
        except LaneFault as fault:
            return self._refuse(sender, wire, fault)

    def want(self, peer: OrgCode) -> bytes:
        """Ask for what follows the last entry recorded."""
        self._relay.fence.must_be_down()
        after = self._store.standing_in(peer).number
        message = Want(sender=self._ledger.org, receiver=peer, after=after, at=self._clock())
        return message.signed(self._keys)

    def receipt(self, peer: OrgCode, refused: str | None = None) -> bytes:
        """How far the lane from a peer is recorded."""
        parkings = self._parkings[peer]
        standing, found = self._store.answer_in(peer)
        if not found:
            self._clear[peer] = parkings
        return self._receipt(peer, standing.number, standing.root, found, refused)

    def _receipt(
        self,
        peer: OrgCode,
        number: int,
        root: str,
        found: Sequence[dict[str, Any]],
        refused: str | None = None,
    ) -> bytes:
        parked = tuple(
            Refused(
                number=each["number"],
                code=each["reason"],
                said=evidence.plain(told(each["reason"], each["evidence"]))[:REASON_MAX],
                behind=each["behind"],
            )
            for each in found
        )
        self._relay.fence.must_be_down()
        message = LaneReceipt(
            sender=self._ledger.org,
            receiver=peer,
            number=number,
            root=root,
            at=self._clock(),
            refused=refused,
            parked=parked,
            stopped=found[0]["stopped"] if found else 0,
            log=self._witness.heard(peer),
        )
        return message.signed(self._keys)

    def _take(self, batch: Batch, wire: bytes, *, repeated: bool) -> Outcome:
        if batch.receiver != self._ledger.org:
            raise Misaddressed(receiver=batch.receiver)
        standing = self._store.standing_in(batch.sender)
        if batch.first > standing.number + 1:
            # Nothing of it is taken but the lane's head: it tells how far we are behind.
            self._store.hear(batch.sender, self._clock(), batch.head, self._sent(batch))
            raise Gap(expected=standing.number + 1, got=batch.first)
        records = [_record(entry) for entry in batch.entries]
        here = self._store.records({_stream(record) for record in records}) if records else {}
        self._must_agree(batch, records, standing, here)
        fresh = records[standing.number + 1 - batch.first :]
        if not fresh:
            # A former key says nothing of today: whoever holds it may have stolen it.
            seen = None if repeated else self._hear(batch, wire)
            return Outcome(self.receipt(batch.sender), 0, witnessed=seen is not None)
        seen = self._witness.judge(batch, wire, self._relay.us(), fresh=True)
        granted = self._granted(batch)
        arrivals = Arrivals(self._ledger, batch.sender, here, granted)
        arrivals.look_ahead(fresh, self._store)
        good, faults = self._sort(arrivals, standing.number + 1, fresh)
        if faults and self._store.parked(batch.sender) + len(faults) > PARKED_MAX:
            raise TooManyParked(peer=batch.sender, maximum=PARKED_MAX)
        return self._record(batch, granted, good, faults, wire, seen)

    def _hear(self, batch: Batch, wire: bytes) -> Seen | None:
        """Take in what a batch without news says of its sender; the checkpoint, if it is new."""
        seen = self._witness.judge(batch, wire, self._relay.us(), fresh=False)
        if seen is not None:
            self._store.witness(seen)
        self._store.hear(batch.sender, self._clock(), batch.head, self._sent(batch))
        self._relay.prove_step(batch.sender)
        return seen

    def _must_agree(
        self,
        batch: Batch,
        records: Sequence[StoredEvent],
        standing: Standing,
        here: dict[UUID, list[StoredEvent]],
    ) -> None:
        """The batch continues, or repeats, the very history that was recorded before."""
        root, number = batch.before, batch.first - 1
        agreed = number != standing.number or root == standing.root
        aside: dict[int, str] = {}
        for record in records:
            root, number = next_root(root, record), number + 1
            agreed = agreed and (number != standing.number or root == standing.root)
            # A repetition that ends before our root says nothing about it: compare the bytes, with
            # what was recorded or, at that number, set aside.
            if number <= standing.number and record not in here[_stream(record)]:
                aside = aside or self._store.aside(batch.sender, batch.first, standing.number)
                agreed = agreed and aside.get(number) == digest(record)
        if not agreed or root != batch.root:
            raise RootsDiffer(peer=batch.sender, first=batch.first, last=batch.last)

    def _sent(self, batch: Batch) -> datetime:
        """Never later than now: a clock set years ahead would make all that follows look old."""
        return min(batch.sent_at, self._clock())

    def _record(  # noqa: PLR0913, PLR0917 - all that one commit holds.
        self,
        batch: Batch,
        granted: dict[UUID, DataKey],
        good: Sequence[StoredEvent],
        faults: Sequence[_Fault],
        wire: bytes,
        seen: Seen | None,
    ) -> Outcome:
        now, peer = self._clock(), batch.sender
        beside = (
            *(self._keyring.row(key, peer) for key in granted.values()),
            # The signed batch is the evidence; it is kept once, with the first entry it parks.
            *(
                evidence.parked(peer, now, f.fault, f.number, f.record, b"" if i else wire, f.about)
                for i, f in enumerate(faults)
            ),
            Beside("lane_in", (peer, batch.last, batch.root, now, batch.head, self._sent(batch))),
            *((seen.beside(),) if seen else ()),
        )
        rekeyed = succession.adopted(self._ledger, good, batch.last, now)
        try:
            self._ledger.replicate([*good, *rekeyed], Tracking(f"lane:{peer}", batch.last), beside)
        except Overtaken:
            # Another delivery of the same entries was faster; what it recorded is what we answer.
            return Outcome(self.receipt(peer), 0)
        if faults:
            self._parkings[peer] += 1
        if level := batch.last >= batch.head:
            self.when_recorded()
            self._relay.prove_step(peer)
        clear = self._clear.get(peer) == self._parkings[peer]
        answer = self._receipt(peer, batch.last, batch.root, ()) if clear else self.receipt(peer)
        return Outcome(answer, len(good), None, len(faults), seen is not None, not level)

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
                faults.append(_Fault(number, record, fault, arrivals.about(record)))
            else:
                good.append(record)
        return good, faults

    def _granted(self, batch: Batch) -> dict[UUID, DataKey]:
        """The keys that travel with the batch and are new here; a key once held stays as it is."""
        new = (grant for grant in batch.grants if self._is_new(grant))
        opened = (opened_grant(grant, batch.sender, self._ledger.org, self._keys) for grant in new)
        return {key.id: key for key in opened if key is not None}

    def _is_new(self, grant: Grant) -> bool:
        """Of whom is erased or closed here, no key is taken in: neither a new one nor an old."""
        closed = self._keyring.closed(grant.subject, grant.data_class)
        return closed is None and self._keyring.key(grant.key) is None

    def _refuse(self, sender: OrgCode, wire: bytes, fault: LaneFault) -> Outcome:
        if isinstance(fault, Gap):
            return Outcome(self.want(sender), 0, fault)
        self._store.refuse(evidence.refused(sender, self._clock(), fault, wire))
        if sender == evidence.UNKNOWN_SENDER:
            return Outcome(b"", 0, fault)
        return Outcome(self.receipt(sender, evidence.plain(str(fault))[:REASON_MAX]), 0, fault)


def _record(entry: LaneEntry) -> StoredEvent:
    return StoredEvent(entry.stream, entry.version, entry.topic, entry.state.encode())


def _stream(record: StoredEvent) -> UUID:
    assert isinstance(record.originator_id, UUID)
    return record.originator_id
