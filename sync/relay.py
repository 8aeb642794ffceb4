"""转发: numbers what each peer must hear, and packs it into signed batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from domain.ledger import Ledger
from domain.organization import Organization, Peer
from domain.values import OrgCode
from sync import evidence
from sync.envelope import (
    BATCH_BYTES,
    ENTRIES_MAX,
    GRANT_BYTES,
    GRANTS_MAX,
    Batch,
    Grant,
    LaneEntry,
    LaneReceipt,
    Sealed,
    Want,
)
from sync.errors import LaneFault, Misaddressed, NotEnrolled, RootsDiffer
from sync.keys import NodeKeys, b64, grant_binding, wrap
from sync.numbering import Page, next_root
from sync.standing import Standing
from sync.store import LaneStore, Outgoing

__all__ = ["NUMBER_MAX", "Relay", "next_root"]

M = TypeVar("M", LaneReceipt, Want)

NUMBER_MAX = 500
"""Ledger entries numbered in one transaction."""

_ROOM = 1024
"""Bytes for the header and the batch's own fields."""


class Relay:
    """Turns the ledger into lanes; state is in the store, so a crash repeats nothing."""

    def __init__(
        self, ledger: Ledger, store: LaneStore, keys: NodeKeys, clock: Callable[[], datetime]
    ) -> None:
        self._ledger, self._store, self._keys, self._clock = ledger, store, keys, clock
        self._passed = 0
        self._bookmark: int | None = None
        self._heads: dict[OrgCode, Standing] = {}

    def peers(self) -> dict[OrgCode, Peer]:
        """The enrolled peers."""
        us = self._ledger.find(Organization, Organization.id_of(self._ledger.org))
        return us.peers if us else {}

    def peer(self, code: OrgCode) -> Peer:
        """One of them.

        Raises:
            NotEnrolled.
        """
        try:
            return self.peers()[code]
        except KeyError:
            raise NotEnrolled(sender=code) from None

    @property
    def looked_through(self) -> int:
        """The ledger position up to which nothing is left to number."""
        return max(self._store.bookmark(), self._passed)

    def number(self) -> int:
        """Number the next entries of the ledger; how many ledger entries were passed."""
        # Known from the last pass: the store refuses numbers for a bookmark that has moved since.
        bookmark, heads = self._bookmark, self._heads
        self._bookmark, self._heads = None, {}
        if bookmark is None:
            bookmark = self._store.bookmark()
        entries = self._ledger.since(max(bookmark, self._passed), NUMBER_MAX)
        if entries:
            page = Page(self._ledger, self._store, self.peers(), heads)
            page.take(entries)
            last = entries[-1].position
            # What nobody must hear of is looked through again after a crash, at no harm.
            if page.rows or last >= bookmark + NUMBER_MAX:
                if not self._store.number(page.rows, page.grants, bookmark, last):
                    return len(entries)
                bookmark = last
            self._passed = last
        self._bookmark, self._heads = bookmark, heads
        return len(entries)

    def batch(self, peer: OrgCode, after: int) -> tuple[bytes, int]:
        """The signed batch that follows a number, and its last number; without news a heartbeat."""
        known = self.peer(peer)
        found = self._store.outgoing(peer, after, ENTRIES_MAX)
        keys: dict[int, list[UUID]] = {}
        if found:
            for number, key in self._store.grants(peer, after + 1, found[-1].number):
                keys.setdefault(number, []).append(key)
        entries, grants = _fill(found, keys)
        head = self._store.head_out(peer)
        before = self._store.root_out(peer, after) or head.root
        message = Batch(
            sender=self._ledger.org,
            receiver=peer,
            first=after + 1,
            before=before,
            root=found[len(entries) - 1].root if entries else before,
            head=head.number,
            sent_at=self._clock(),
            entries=tuple(entries),
            grants=self._grants(known, grants),
        )
        return message.signed(self._keys), message.last

    def acknowledge(self, wire: bytes) -> LaneReceipt:
        """Take a receipt in: signed by the peer, and of the history we sent.

        Raises:
            NotEnrolled, Forged, Malformed, Misaddressed.
            RootsDiffer: the peer has acknowledged something we did not send.
        """
        receipt = self._read(LaneReceipt, wire)
        self._store.keep_receipt(receipt.sender, receipt.number, receipt.root, receipt.at, wire)
        return receipt

    def wanted(self, wire: bytes) -> Want:
        """Read a peer's request to send again; `batch(want.sender, want.after)` answers it.

        Raises:
            NotEnrolled, Forged, Malformed, Misaddressed.
        """
        return self._read(Want, wire)

    def standing(self, peer: OrgCode) -> tuple[Standing, Standing]:
        """The lane's head and what the peer has acknowledged of it."""
        return self._store.head_out(peer), self._store.acknowledged(peer)

    def _read(self, kind: type[M], wire: bytes) -> M:
        sender = evidence.UNKNOWN_SENDER
        try:
            sealed = Sealed(wire)
            peer = self.peer(sealed.sender)
            sender = peer.code
            message = sealed.open(kind, peer.verify_key)
            if message.receiver != self._ledger.org:
                raise Misaddressed(receiver=message.receiver)
            if isinstance(message, LaneReceipt):
                self._must_be_ours(message)
        except LaneFault as fault:
            self._store.refuse(evidence.refused(sender, self._clock(), fault, wire))
            raise
        return message

    def _must_be_ours(self, receipt: LaneReceipt) -> None:
        ours = self._store.root_out(receipt.sender, receipt.number)
        if ours != receipt.root:
            raise RootsDiffer(peer=receipt.sender, number=receipt.number, theirs=receipt.root)

    def _grants(self, peer: Peer, key_ids: Sequence[UUID]) -> tuple[Grant, ...]:
        grants = []
        for key_id in key_ids:
            key = self._ledger.keyring.key(key_id)
            if key is None:
                continue  # Destroyed since: nobody is granted it any more.
            binding = grant_binding(
                self._ledger.org, peer.code, key.id, key.subject, key.data_class
            )
            grants.append(
                Grant(
                    key=key.id,
                    subject=key.subject,
                    data_class=key.data_class,
                    wrapped=b64(wrap(key.secret, peer.sealing_key, binding)),
                )
            )
        return tuple(grants)


def _fill(
    found: Sequence[Outgoing], keys: dict[int, list[UUID]]
) -> tuple[list[LaneEntry], list[UUID]]:
    """As many entries, with the keys they bring, as one message holds; at least one."""
    entries: list[LaneEntry] = []
    grants: list[UUID] = []
    size = _ROOM
    for number, record, _ in found:
        stream = record.originator_id
        assert isinstance(stream, UUID)
        entry = LaneEntry(
            stream=stream,
            version=record.originator_version,
            topic=record.topic,
            state=record.state.decode(),
        )
        brought = keys.get(number, [])
        size += entry.weight + GRANT_BYTES * len(brought)
        full = size > BATCH_BYTES or len(grants) + len(brought) > GRANTS_MAX
        if entries and full:
            break
        entries.append(entry)
        grants += brought
    return entries, grants
