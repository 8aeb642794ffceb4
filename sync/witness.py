"""互证: takes what peers say of their ledgers only if it continues what they said before."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

from domain.organization import Organization
from domain.tree import ProofInvalid, consistent, ours
from domain.values import OrgCode
from sync.book_witness import Rumour, Seen
from sync.checkpoint import believed, epoch_of, verifiers, witness_of
from sync.contradiction import Evidence, Kind, proof_from
from sync.envelope import Batch
from sync.errors import (
    CheckpointMissing,
    LaneFault,
    NotOurCheckpoint,
    Rewritten,
    RolledBack,
    SplitView,
    Unproven,
)
from sync.keys import NodeKeys
from sync.ledger_said import PROOFS_MAX, LogHeard
from sync.note import Note, cosigned
from sync.renewal import Renewing
from sync.store import LaneStore

UNPROVEN_MAX = 100
"""Batches in a row whose checkpoint is proved from a size we did not name; then they are refused.

A receipt that is under way explains a few.
"""

SHORT_S = 60.0
"""For how long a peer may show only a shorter ledger than we know: what was under way arrives."""

_log = logging.getLogger(__name__)


class Witness:
    """One for a node: what it takes of the ledgers of others, and cosigns."""

    def __init__(
        self, org: OrgCode, store: LaneStore, keys: NodeKeys, clock: Callable[[], datetime]
    ) -> None:
        self.org, self._store, self._keys, self._clock = org, store, keys, clock
        self._renewing = Renewing(store, clock)
        self._unproven: Counter[tuple[OrgCode, int]] = Counter()
        self._told: dict[OrgCode, tuple[str, ...]] = {}
        self._short: dict[OrgCode, datetime] = {}
        self._locks: defaultdict[OrgCode, Lock] = defaultdict(Lock)

    def turn(self, peer: OrgCode) -> Lock:
        """Held while a batch of a peer is judged and recorded: two could each seem to continue."""
        return self._locks[peer]

    def newest(self, org: OrgCode) -> Seen | None:
        """The last checkpoint of a peer that was taken here."""
        return self._store.witnessed(org)

    def keep(self, seen: Seen) -> None:
        """Take one that came without a batch."""
        self._store.witness(seen)

    # What others say of theirs.

    def heard(self, peer: OrgCode) -> LogHeard:
        """What a receipt tells a peer: its newest checkpoint taken here, cosigned."""
        seen = self._store.witnessed(peer)
        rumoured = (rumour.seen.size for rumour in self._store.rumours(peer))
        asks = (*self._renewing.asks(peer), *rumoured)[: PROOFS_MAX - 1]
        return LogHeard(checkpoint=seen.note if seen else None, asks=asks)

    def judge(
        self, batch: Batch, wire: bytes, us: Organization | None, *, fresh: bool
    ) -> Seen | None:
        """The checkpoint of a batch, to be kept with what it brings; None if it says nothing new.

        `fresh` is whether it brings entries: one that does not may have been long under way.

        Raises:
            SplitView, Rewritten, RolledBack: and the evidence is kept.
            CheckpointMissing, Unproven, NoteInvalid, NoteForged, NoteUnsigned, CheckpointInvalid.
            AnotherEpoch, RenewalInvalid, RenewalTooOld: and nothing is taken.
        """
        known = self._store.witnessed(batch.sender)
        if batch.log is None:
            if known is not None and fresh:
                raise CheckpointMissing(peer=batch.sender, known=known.size)
            return None
        said = batch.log.checkpoint
        again = known is not None and _text(known.note) == _text(said)
        claim = known if known and again else self.claim(batch.sender, said, us)
        if known is not None and known.epoch != claim.epoch:
            if not self._renewing.take(known, claim, batch, keys_of(claim.org, us)):
                self._bear(known, claim)
                return None
            _log.error("%s has begun epoch %d of its ledger", claim.org, claim.epoch)
        elif known is None:
            pass
        elif claim.size <= known.size:
            self._must_be_known(known, claim, batch, wire, fresh=fresh)
            self._must_settle(batch, claim, wire)
            return None
        elif not self._continues(known, claim, batch, wire):
            return None
        self._short.pop(batch.sender, None)
        self._must_settle(batch, claim, wire)
        return claim

    def claim(self, org: OrgCode, raw: str, us: Organization | None) -> Seen:
        """A checkpoint of an organization's ledger under signatures we know, and under ours."""
        origin = raw.partition("\n")[0]
        known = verifiers(origin, keys_of(org, us))
        said, note = believed(raw.encode(), known)
        of, epoch = epoch_of(said.origin)
        if of != org:
            raise NotOurCheckpoint(peer=org, origin=said.origin)
        proved = Note(note.text, tuple(line for _, line in note.proved(known)))
        now, name = self._clock(), witness_of(self.org)
        lines = [cosigned(note.text, name, pair, now) for pair in self._keys.signers]
        return Seen(org, epoch, said.size, said.root, bytes(proved.with_lines(lines)).decode(), now)

    def _must_be_known(
        self, known: Seen, claim: Seen, batch: Batch, wire: bytes, *, fresh: bool
    ) -> None:
        """One that is not longer was seen before, with the same root."""
        before = self._store.witnessed_at(claim.org, claim.epoch, claim.size)
        if before is not None and before.root != claim.root:
            self._accuse("split-view", before, batch, wire)
            raise SplitView(peer=claim.org, size=claim.size)
        if claim.size == known.size:
            self._short.pop(claim.org, None)
            return
        if fresh:
            self._accuse("rolled-back", known, batch, wire)
            raise RolledBack(peer=claim.org, known=known.size, size=claim.size)
        self._short.setdefault(claim.org, self._clock())

    def _continues(self, known: Seen, claim: Seen, batch: Batch, wire: bytes) -> bool:
        """Whether it is proved that a longer one continues what we have cosigned."""
        assert batch.log is not None
        proof = proof_from(batch.log, known.size)
        if proof is None:
            self._bear(known, claim)
            return False
        if not _holds(known, claim, proof):
            self._accuse("failing-proof", known, batch, wire)
            raise Rewritten(peer=claim.org, known=known.size, size=claim.size)
        self._unproven.pop((claim.org, known.size), None)
        return True

    def _bear(self, known: Seen, claim: Seen) -> None:
        """A proof is missing: a receipt may be under way that asks for it, but not for ever."""
        self._unproven[claim.org, known.size] += 1
        if self._unproven[claim.org, known.size] > UNPROVEN_MAX:
            raise Unproven(peer=claim.org, known=known.size, size=claim.size)

    def _must_settle(self, batch: Batch, claim: Seen, wire: bytes) -> None:
        """What others have told of this ledger is part of it."""
        assert batch.log is not None
        for rumour in self._store.rumours(claim.org):
            told = rumour.seen
            if told.epoch != claim.epoch or told.size > claim.size:
                continue
            if told.size == claim.size:
                if told.root != claim.root:
                    self._accuse("split-view", told, batch, wire)
                    raise SplitView(peer=claim.org, size=claim.size, via=rumour.via)
            elif (proof := proof_from(batch.log, told.size)) is None:
                self._bear(told, claim)
                continue
            elif not _holds(told, claim, proof):
                self._accuse("failing-proof", told, batch, wire)
                raise Rewritten(peer=claim.org, known=told.size, size=claim.size, via=rumour.via)
            self._unproven.pop((told.org, told.size), None)
            self._store.settle_rumour(rumour)

    def _accuse(self, kind: Kind, known: Seen, batch: Batch, wire: bytes) -> None:
        assert batch.log is not None
        evidence = Evidence(known.note, batch.log.checkpoint, wire if kind != "split-view" else b"")
        self._keep(known.org, kind, evidence)

    def _keep(self, org: OrgCode, kind: Kind, evidence: Evidence) -> None:
        if self._store.keep_contradiction(org, kind, self._clock(), bytes(evidence)):
            _log.error("Contradiction of %s kept as evidence: %s", org, kind)

    # What they say of third parties.

    def listen(self, batch: Batch, us: Organization | None) -> None:
        """Compare what a peer has seen of others with what was seen here."""
        told_before = self._told.get(batch.sender, ())
        others = batch.log.others if batch.log else ()
        for raw in tuple(others):
            if raw in told_before:
                continue
            try:
                org, _ = epoch_of(raw.partition("\n")[0])
                if us is None or org not in us.peers or org == batch.sender:
                    continue
                told = self.claim(org, raw, us)
            except LaneFault:
                continue  # By a key we do not know: it says nothing about anybody.
            if not self._compare(told, batch.sender):
                others = tuple(each for each in others if each != raw)
        self._told[batch.sender] = others

    def _compare(self, told: Seen, via: OrgCode) -> bool:
        """Whether anything is known here to compare with."""
        known = self._store.witnessed_at(told.org, told.epoch, told.size)
        others = [rumour.seen for rumour in self._store.rumours(told.org)]
        same = [s for s in (known, *others) if s and s[1:3] == told[1:3]]
        for each in same:
            if each.root != told.root:
                self._keep(told.org, "split-view", Evidence(each.note, told.note))
                return True
        if known is None:
            if self._store.witnessed(told.org) is None:
                return False
            self._store.hear_rumour(Rumour(told, via))
        return True

    # How it stands.

    def alarms(self) -> dict[str, int]:
        """What is wrong with ledgers of others, by rule; over when its cause is over."""
        now, long = self._clock(), timedelta(seconds=SHORT_S)
        return {
            "ledger-contradiction": len(self._store.accused()),
            **self._renewing.alarms(),
            "ledger-short": sum(now - since > long for since in self._short.values()),
        }


def _holds(first: Seen, second: Seen, proof: list[bytes]) -> bool:
    try:
        consistent(ours(), first.size, second.size, proof, first.root, second.root)
    except ProofInvalid:
        return False
    return True


def keys_of(org: OrgCode, us: Organization | None) -> list[str]:
    """Keys whose word on a ledger counts: in use, and given up; never one that may be stolen."""
    if us is None or org not in us.peers:
        return []
    former = (key.verify_key for key in us.former.get(org, ()) if not key.revoked)
    return [us.peers[org].verify_key, *former]


def _text(note: str) -> str:
    return note.partition("\n\n")[0]
