"""转发: numbers what each peer must hear, and packs it into signed batches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from threading import Lock
from typing import Protocol, TypeVar

from domain.ledger import Ledger
from domain.organization import Organization, Peer
from domain.values import OrgCode
from sync import evidence, trust
from sync.envelope import (
    ENTRIES_MAX,
    Batch,
    LaneReceipt,
    Sealed,
    Want,
)
from sync.errors import LaneFault, LaneHeld, Misaddressed, NotEnrolled, RootsDiffer
from sync.granting import Granting
from sync.keys import NodeKeys
from sync.mutual import Mutual
from sync.numbering import Page, next_root
from sync.packing import fill
from sync.standing import Standing
from sync.store import LaneStore, Outgoing

__all__ = ["NUMBER_MAX", "Relay", "next_root"]

M = TypeVar("M", LaneReceipt, Want)

NUMBER_MAX = 500
"""Ledger entries numbered in one transaction."""

SENT_MAX = 1_000
"""Batches that went out and no receipt has followed, whose time is remembered."""

STEP_PAUSE = timedelta(seconds=1)
"""Between two looks whether both ends of a lane are level."""

_ROOM = 1024
"""Bytes for the header and the batch's own fields."""


class Acquainted(Protocol):
    """Whoever can say which keys a peer signs with."""

    def peer(self, code: OrgCode) -> Peer:
        """An enrolled peer.

        Raises:
            NotEnrolled.
        """


class Relay:
    """Turns the ledger into lanes; state is in the store, so a crash repeats nothing."""

    def __init__(
        self,
        ledger: Ledger,
        store: LaneStore,
        keys: NodeKeys,
        clock: Callable[[], datetime],
        mutual: Mutual,
    ) -> None:
        self._ledger, self._store, self._keys, self._clock = ledger, store, keys, clock
        self._offering, self.fence, self.witness = mutual.offering, mutual.fence, mutual.witness
        self.granting = Granting(ledger, store, clock)
        self.numbered = 0
        """How many rows were numbered since the start, for all peers."""
        self._passed = 0
        self._bookmark: int | None = None
        self._heads: dict[OrgCode, Standing] = {}
        self._sent: OrderedDict[tuple[OrgCode, int], tuple[datetime, str]] = OrderedDict()
        self._proven: dict[OrgCode, datetime] = {}
        self._lock = Lock()
        self._again, self._held = store.relearned()
        self.fence.await_word(self._witnesses())

    def us(self) -> Organization | None:
        """Our organization, which knows the peers' keys."""
        return self._ledger.find(Organization, Organization.id_of(self._ledger.org))

    def peers(self) -> dict[OrgCode, Peer]:
        """The enrolled peers."""
        us = self.us()
        return us.peers if us else {}

    def _witnesses(self) -> list[OrgCode]:
        """Those that have witnessed this ledger, and may be heard at any moment."""
        near = [peer.code for peer in self.peers().values() if peer.lane is None]
        return [code for code in near if any(self._store.cosigned(code))]

    def peer(self, code: OrgCode) -> Peer:
        """One of them.

        Raises:
            NotEnrolled.
        """
        try:
            return self.peers()[code]
        except KeyError:
            raise NotEnrolled(sender=code) from None

    def relearn(self) -> None:
        """Our own facts were taken back: what is known of the lanes is read anew."""
        self._passed, self._bookmark, self._heads = 0, None, {}
        self._offering.forget()
        self._again, self._held = self._store.relearned()

    @property
    def held(self) -> dict[OrgCode, bool]:
        """Whose lanes wait until what they hold is taken back; false: for a person's word first."""
        return dict(self._held)

    @property
    def looked_through(self) -> int:
        """The ledger position up to which nothing is left to number."""
        return max(self._store.bookmark(), self._passed)

    def number(self) -> int:
        """Number the next entries of the ledger; how many ledger entries were passed."""
        if self.fence.holds():
            return 0
        # Known from the last pass: the store refuses numbers for a bookmark that has moved since.
        bookmark, heads = self._bookmark, self._heads
        self._bookmark, self._heads = None, {}
        if bookmark is None:
            bookmark = self._store.bookmark()
        entries = self._ledger.since(max(bookmark, self._passed), NUMBER_MAX)
        if entries:
            again = entries[0].position <= self._again
            page = Page(
                self._ledger,
                self._store,
                self.granting,
                self.peers(),
                heads,
                again=again,
                held=self._held,
            )
            page.take(entries)
            last = entries[-1].position
            # What nobody must hear of is looked through again after a crash, at no harm.
            if page.rows or last >= bookmark + NUMBER_MAX:
                now = self._clock()
                said = page.rows, page.grants, bookmark, last, now, page.withheld
                if not self._store.number(*said):
                    return len(entries)
                self.numbered += len(page.rows)
                bookmark = last
            self._passed = last
        self._bookmark, self._heads = bookmark, heads
        return len(entries)

    def batch(self, peer: OrgCode, after: int) -> tuple[bytes, int]:
        """The signed batch that follows a number, and its last number; without news a heartbeat.

        Who has not spoken since our start gets no more: of a ledger that was put back, facts under
        a checkpoint that is older than the one it has would look like a ledger that was cut.
        """
        limit = 0 if self.fence.awaits(peer) else ENTRIES_MAX
        return self._packed(peer, after, *self._store.page(peer, after, limit))

    def news(self, peer: OrgCode, after: int) -> tuple[bytes, int] | None:
        """As batch; None where nothing follows."""
        if self.fence.awaits(peer):
            return None
        before, found = self._store.page(peer, after, ENTRIES_MAX)
        return self._packed(peer, after, before, found) if found else None

    def _packed(
        self, peer: OrgCode, after: int, before: str | None, found: Sequence[Outgoing]
    ) -> tuple[bytes, int]:
        self.fence.must_be_down()
        if peer in self._held:
            raise LaneHeld(peer=peer)
        known = self.peer(peer)
        log = self._offering.said(peer, self.peers())
        entries, grants = fill(found, _ROOM + (len(log.model_dump_json()) if log else 0))
        whole = 0 < len(found) < ENTRIES_MAX
        head = found[-1] if whole else self._store.head_out(peer)
        before = before or head.root
        message = Batch(
            sender=self._ledger.org,
            receiver=peer,
            first=after + 1,
            before=before,
            root=found[len(entries) - 1].root if entries else before,
            head=head.number,
            sent_at=self._clock(),
            entries=tuple(entries),
            grants=self.granting.wrapped(known, grants),
            log=log,
        )
        return message.signed(self._keys), message.last

    def acknowledge(self, wire: bytes) -> LaneReceipt:
        """Take a receipt in: signed by the peer, and of the history we sent.

        Raises:
            NotEnrolled, Forged, Malformed, Misaddressed.
            RootsDiffer: the peer has acknowledged something we did not send.
            NotOurCheckpoint, NoteInvalid, NoteForged, NoteUnsigned, CheckpointInvalid.
        """
        receipt = self._read(LaneReceipt, wire)
        self._keep_sent()
        self._store.keep_receipt(receipt, self._clock(), wire)
        self.prove_step(receipt.sender)
        return receipt

    def sent(self, peer: OrgCode, last: int, way: str) -> None:
        """A batch up to a number went out that way; kept in memory until the next receipt."""
        with self._lock:
            self._sent[peer, last] = (self._clock(), way)
            while len(self._sent) > SENT_MAX:
                self._sent.popitem(last=False)

    def sent_at(self, peer: OrgCode, number: int) -> tuple[datetime, str] | None:
        """When a number went out, if no receipt has come since."""
        with self._lock:
            found = [last for code, last in self._sent if code == peer and last >= number]
            return self._sent[peer, min(found)] if found else None

    def prove_step(self, peer: OrgCode) -> None:
        """Put down that both ends are level, if they are; asked at most once a second."""
        now, last = self._clock(), self._proven.get(peer)
        if last is not None and timedelta(0) < now - last < STEP_PAUSE:
            return
        if self.looked_through >= self._ledger.head:
            self._store.prove_step(peer, now)
            self._proven[peer] = now

    def _keep_sent(self) -> None:
        with self._lock:
            rows = [(*key, *how) for key, how in self._sent.items()]
            self._sent.clear()
        if rows:
            self._store.keep_sent(rows)

    def answered(self, wire: bytes) -> None:
        """Take in what a peer answers that pulls: a receipt is kept.

        A want is only read: the pull that follows names the number itself.

        Raises:
            NotEnrolled, Forged, Malformed, Misaddressed, RootsDiffer.
        """
        take = self.wanted if wire.startswith(b"waystation/want/") else self.acknowledge
        take(wire)

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
            message, _ = trust.opened(kind, sealed, self.us())
            if message.receiver != self._ledger.org:
                raise Misaddressed(receiver=message.receiver)
            if isinstance(message, LaneReceipt):
                self._take_in(message)
        except LaneFault as fault:
            self._store.refuse(evidence.refused(sender, self._clock(), fault, wire))
            raise
        return message

    def _take_in(self, receipt: LaneReceipt) -> None:
        ours = self._store.root_out(receipt.sender, receipt.number)
        if ours != receipt.root:
            raise RootsDiffer(peer=receipt.sender, number=receipt.number, theirs=receipt.root)
        self._offering.acknowledged(receipt, self.us())
