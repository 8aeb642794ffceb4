"""转发: numbers what each peer must hear, and packs it into signed batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from pydantic_core import from_json

from domain.ledger import Entry, Ledger
from domain.organization import Organization, Peer
from domain.records import digest, key_ids
from domain.values import OrgCode
from sync.envelope import BATCH_BYTES, ENTRIES_MAX, Batch, Grant, LaneEntry, LaneReceipt, Sealed
from sync.errors import NotEnrolled, RootsDiffer
from sync.keys import NodeKeys, b64, grant_binding, wrap
from sync.store import LaneStore, Standing

NUMBER_MAX = 500
"""Ledger entries numbered in one transaction."""

_ROOM = 8 * 1024
"""Bytes left for the batch's own fields and grants before it is full."""


def next_root(root: str, record: StoredEvent) -> str:
    """The lane's root after one more entry."""
    return hashlib.sha256(bytes.fromhex(root) + bytes.fromhex(digest(record))).hexdigest()


class Relay:
    """Turns the ledger into lanes; state is in the store, so a crash repeats nothing."""

    def __init__(
        self, ledger: Ledger, store: LaneStore, keys: NodeKeys, clock: Callable[[], datetime]
    ) -> None:
        self._ledger, self._store, self._keys, self._clock = ledger, store, keys, clock

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

    def number(self) -> int:
        """Number the next entries of the ledger; how many ledger entries were passed."""
        entries = self._ledger.since(self._store.bookmark(), NUMBER_MAX)
        if entries:
            page = _Page(self._ledger, self._store, self.peers())
            for entry in entries:
                page.take(entry)
            self._store.number(page.rows, page.grants, entries[-1].position)
        return len(entries)

    def batch(self, peer: OrgCode, after: int) -> tuple[bytes, int]:
        """The signed batch that follows a number, and its last number; without news a heartbeat."""
        known = self.peer(peer)
        found = self._store.outgoing(peer, after, ENTRIES_MAX)
        entries: list[LaneEntry] = []
        size = _ROOM
        root = before = self._store.root_out(peer, after) or self._store.head_out(peer).root
        for number, record, root_here in found:
            size += len(record.state) + 300
            if entries and size > BATCH_BYTES:
                break
            entries.append(_lane_entry(record))
            root, last = root_here, number
        message = Batch(
            sender=self._ledger.org,
            receiver=peer,
            first=after + 1,
            before=before,
            root=root,
            head=self._store.head_out(peer).number,
            sent_at=self._clock(),
            entries=tuple(entries),
            grants=self._grants(known, after + 1, last) if entries else (),
        )
        return message.signed(self._keys), message.last

    def acknowledge(self, wire: bytes) -> LaneReceipt:
        """Take a receipt in: signed by the peer, and of the history we sent.

        Raises:
            NotEnrolled, Forged, Malformed.
            RootsDiffer: the peer has acknowledged something we did not send.
        """
        sealed = Sealed(wire)
        receipt = sealed.open(LaneReceipt, self.peer(sealed.sender).verify_key)
        if receipt.receiver != self._ledger.org:
            raise RootsDiffer(receiver=receipt.receiver)
        ours = self._store.root_out(receipt.sender, receipt.number)
        if ours != receipt.root:
            raise RootsDiffer(peer=receipt.sender, number=receipt.number, theirs=receipt.root)
        self._store.keep_receipt(receipt.sender, receipt.number, receipt.root, receipt.at, wire)
        return receipt

    def standing(self, peer: OrgCode) -> tuple[Standing, Standing]:
        """The lane's head and what the peer has acknowledged of it."""
        return self._store.head_out(peer), self._store.acknowledged(peer)

    def _grants(self, peer: Peer, first: int, last: int) -> tuple[Grant, ...]:
        grants = []
        for key_id in self._store.grants(peer.code, first, last):
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


class _Page:
    """One pass over some ledger entries: the rows that number them."""

    def __init__(self, ledger: Ledger, store: LaneStore, peers: dict[OrgCode, Peer]) -> None:
        self._ledger, self._store, self._peers = ledger, store, peers
        self._heads: dict[OrgCode, Standing] = {}
        self._heard: set[tuple[OrgCode, UUID]] = set()
        self._granted: set[tuple[OrgCode, UUID]] = set()
        self.rows: list[tuple[OrgCode, int, UUID, int, int, bytes]] = []
        self.grants: list[tuple[OrgCode, UUID, int]] = []

    def take(self, entry: Entry) -> None:
        """Number an entry for each organization that must hear of it; our own facts alone."""
        meta = from_json(entry.record.state)["meta"]
        if meta["keeper"] != self._ledger.org:
            return
        stream = entry.record.originator_id
        assert isinstance(stream, UUID)
        for code in meta.get("audience", ()):
            if code not in self._peers:
                raise NotEnrolled(sender=code, position=entry.position)
            if self._hears(code, stream):
                self._add(code, entry.record, entry.position)
            else:
                # Whoever joins receives the stream from its first fact.
                for record in self._ledger.stream(stream):
                    if record.originator_version <= entry.record.originator_version:
                        self._add(code, record, entry.position)
                self._heard.add((code, stream))

    def _hears(self, code: OrgCode, stream: UUID) -> bool:
        if (code, stream) not in self._heard and self._store.heard_streams(code, [stream]):
            self._heard.add((code, stream))
        return (code, stream) in self._heard

    def _add(self, code: OrgCode, record: StoredEvent, position: int) -> None:
        head = self._heads.get(code) or self._store.head_out(code)
        root = next_root(head.root, record)
        number = head.number + 1
        self._heads[code] = Standing(number, root)
        stream = record.originator_id
        assert isinstance(stream, UUID)
        version = record.originator_version
        self.rows.append((code, number, stream, version, position, bytes.fromhex(root)))
        for key_id in key_ids(record):
            self._grant(code, key_id, number)

    def _grant(self, code: OrgCode, key_id: UUID, number: int) -> None:
        if (code, key_id) in self._granted:
            return
        self._granted.add((code, key_id))
        key = self._ledger.keyring.key(key_id)
        allowed = key is not None and key.data_class in self._peers[code].grants
        if allowed and not self._store.granted(code, [key_id]):
            self.grants.append((code, key_id, number))


def _lane_entry(record: StoredEvent) -> LaneEntry:
    stream = record.originator_id
    assert isinstance(stream, UUID)
    return LaneEntry(
        stream=stream,
        version=record.originator_version,
        topic=record.topic,
        state=record.state.decode(),
    )
