"""示检: shows each peer our newest checkpoint with what proves it, and keeps its cosignatures."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from domain.organization import Organization
from domain.values import OrgCode
from sync.checkpoint import Checkpoint, epoch_of, origin_of, witness_of
from sync.envelope import LaneReceipt
from sync.errors import NotOurCheckpoint
from sync.fence import Fence, made_again
from sync.keys import NodeKeys, b64
from sync.ledger_said import OTHERS_MAX, PROOFS_MAX, Consistency, LogHeard, LogSaid
from sync.log import Log, Signed
from sync.note import COSIGNATURE, Note, NoteUnsigned, Verifier
from sync.store import LaneStore
from sync.witness import keys_of


class _Offer(NamedTuple):
    """What a peer is shown of our ledger until it has cosigned it."""

    at: tuple[int, int]
    """Epoch and size."""
    key: str | None
    """Of ours, if it is the one in use: what another has signed is shown no longer than it must."""
    said: LogSaid


class _Taken(NamedTuple):
    """What a peer has said it took: epoch and size, and in which words."""

    at: tuple[int, int]
    heard: LogHeard


class Offering:
    """One for a node. In memory: what is lost with it, the next receipt says again.

    A peer is shown one checkpoint until its receipt cosigns it, so that every batch sent meanwhile
    proves from a size at which that peer stands.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        org: OrgCode,
        log: Log,
        store: LaneStore,
        keys: NodeKeys,
        clock: Callable[[], datetime],
        fence: Fence,
    ) -> None:
        self._org, self._log, self._store = org, log, store
        self._keys, self._clock, self.fence = keys, clock, fence
        self._offers: dict[OrgCode, _Offer] = {}
        self._taken: dict[OrgCode, _Taken] = {}
        self._turns: Counter[OrgCode] = Counter()

    def said(self, peer: OrgCode, known: Iterable[OrgCode]) -> LogSaid | None:
        """The checkpoint a peer is to witness, with the proofs it needs; None before the first.

        Beside it are those of the known peers that were taken here. Who has not spoken since our
        start is shown what it has cosigned: a newer one would overtake facts that are under way.
        """
        if (old := self._cosigned(peer)) is not None:
            return LogSaid(checkpoint=old.note.decode(), others=self._others(peer, known))
        offer, taken = self._offers.get(peer), self._taken.get(peer)
        done = taken is not None and offer is not None and offer.at <= taken.at
        if offer is None or done or offer.key != self._keys.verify_key:
            newest = self._log.newest()
            if newest is None:
                return None
            offer = self._offers[peer] = self._offer(peer, newest)
        return offer.said.model_copy(update={"others": self._others(peer, known)})

    def _cosigned(self, peer: OrgCode) -> Signed | None:
        epoch, size = self._store.cosigned(peer) if self.fence.awaits(peer) else (0, 0)
        return self._log.signed_at(epoch, size) if epoch == self._log.epoch else None

    def forget(self) -> None:
        """What was shown so far is of a ledger that has changed: show its newest checkpoint."""
        self._offers.clear()

    def _offer(self, peer: OrgCode, newest: Signed) -> _Offer:
        taken = self._taken.get(peer)
        epoch, size = taken.at if taken else self._store.cosigned(peer)
        asks = taken.heard.asks if taken else ()
        begun = self._store.renewal() if epoch < newest.epoch else None
        # Of a former epoch no size is proved but those that both have, as the statement has it.
        stood = (begun.size, begun.shared) if begun else (size,)
        sizes = {*stood, *asks[: PROOFS_MAX - len(stood)]}
        wanted = sorted(size for size in sizes if 0 < size < newest.size)
        proofs = tuple(self._proof(size, newest.size) for size in wanted)
        said = LogSaid(
            checkpoint=newest.note.decode(), proofs=proofs, renewal=begun.wire if begun else None
        )
        ours = Verifier.of(origin_of(self._org, newest.epoch), self._keys.verify_key)
        signed = any(ours.is_on(line) for line in Note.read(newest.note).lines)
        return _Offer(newest[:2], self._keys.verify_key if signed else None, said)

    def _proof(self, first: int, second: int) -> Consistency:
        hashes = self._log.consistency(first, second)
        return Consistency(
            size=first, hashes=tuple(base64.b64encode(each).decode() for each in hashes)
        )

    def _others(self, peer: OrgCode, known: Iterable[OrgCode]) -> tuple[str, ...]:
        """What we have seen of the peer itself, and of third parties; of many, each in turn."""
        seen = self._store.all_witnessed(known)
        theirs = [each.note for each in seen if each.org == peer]
        notes = [each.note for each in seen if each.org != peer]
        room = OTHERS_MAX - len(theirs)
        start = self._turns[peer] % len(notes) if len(notes) > room else 0
        self._turns[peer] += room
        return (*theirs, *(notes + notes)[start : start + min(room, len(notes))])

    def acknowledged(self, receipt: LaneReceipt, us: Organization | None) -> None:
        """Keep the cosignatures of a receipt; what is shown next is proved from there.

        Raises:
            Fenced, NotOurCheckpoint, NoteInvalid, NoteForged, CheckpointInvalid.
        """
        heard, known = receipt.log, self._taken.get(receipt.sender)
        if heard is not None:
            self.fence.look(receipt.sender, filter(None, (heard.checkpoint,)))
        if heard is None or (known is not None and known.heard == heard):
            return
        peer, at = receipt.sender, (0, 0)
        if heard.checkpoint is not None:
            at, lines = self._cosignatures(peer, heard.checkpoint, us)
            said = [(peer, line) for line in lines]
            self._store.keep_cosignatures(*at, said, self._clock())
        self._taken[peer] = _Taken(at, heard)
        self._offers.pop(peer, None)

    def _cosignatures(
        self, peer: OrgCode, raw: str, us: Organization | None
    ) -> tuple[tuple[int, int], list[str]]:
        """Which checkpoint of ours a peer has cosigned, by epoch and size, and its lines.

        One that was given up with its epoch, or is of what was made again after a restore, counts
        for nothing; it says where the peer stands.
        """
        note = Note.read(raw.encode())
        claim = Checkpoint.read(note.text)
        org, epoch = epoch_of(claim.origin)
        mine = self._log.signed_at(epoch, claim.size) if org == self._org else None
        if mine is None or mine.root != claim.root:
            newest = self._log.newest()
            given_up = newest is not None and epoch < newest.epoch
            again = made_again(self._log, epoch, claim.size, b64(claim.root))
            if org == self._org and (given_up or again):
                return (epoch, claim.size), []
            raise NotOurCheckpoint(peer=peer, origin=claim.origin, size=claim.size)
        known = [Verifier.of(witness_of(peer), key, COSIGNATURE) for key in keys_of(peer, us)]
        try:
            return mine[:2], [str(line) for _, line in note.proved(known)]
        except NoteUnsigned:
            return mine[:2], []  # By a key that was revoked since: it proves no time any more.
