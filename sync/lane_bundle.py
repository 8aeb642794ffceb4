"""数据包通道: carries lanes as files, for organizations that no network path joins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Lock
from typing import Any

from domain.ledger import Ledger
from domain.organization import Peer
from domain.values import OrgCode
from sync import evidence, trust
from sync.book_bundle import Exported, Imported
from sync.bundle_file import (
    BATCHES_MAX,
    HEADER_MAX,
    Cover,
    Header,
    pack,
    read_header,
    unpack,
)
from sync.bundle_report import Packed, Span, Taken
from sync.envelope import NUMBER_MAX, Batch, LaneReceipt, Sealed, Want
from sync.errors import ForAnother, Gap, LaneFault, Malformed, RootsDiffer
from sync.given_back import AskBack, ByFile
from sync.inbox import Inbox
from sync.keys import NodeKeys
from sync.relay import Relay
from sync.returned import Returned
from sync.store import LaneStore

_REASON_MAX = 300
_KINDS = {kind.KIND for kind in (Batch, LaneReceipt, Want, AskBack, Returned)}


class Bundles:
    """Exports and imports; state is in the store, so that doing either again is harmless."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        ledger: Ledger,
        store: LaneStore,
        keys: NodeKeys,
        relay: Relay,
        inbox: Inbox,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger, self._org = ledger, ledger.org
        self._store, self._keys = store, keys
        self._relay, self._inbox, self._clock = relay, inbox, clock
        self._lock = Lock()
        self.back: ByFile
        """What is asked back and given back; set once, before the first file."""

    # Out.

    def pack(self, code: OrgCode, *, again: bool = False, go_on: bool = False) -> Packed | None:
        """The next bundle to a peer: what it has not confirmed, our receipt, and our want.

        None where nothing is new since the last one, unless it is asked for again; `go_on` goes on
        where a file was full.

        Raises:
            NotEnrolled.
        """
        peer = self._relay.peer(code)
        with self._lock:
            if self.back.lacks(code):
                return None if go_on else self._pack_back(peer, [self.back.ask(code)], asks=True)
            if answer := self.back.answer(code, again=again, go_on=go_on):
                messages, pages, more = answer
                return self._pack_back(peer, messages, gives=pages, more=more)
            recorded = self._ledger.head
            while self._relay.looked_through < recorded and self._relay.number():
                pass  # What was recorded a moment ago is part of it.
            last, start = self._store.exported(code), self._start(code)
            head, told = self._head(code), self._store.standing_in(code).number
            unsent = head > start and (head > last.covered or start < last.begun)
            untold = told > last.told or last.refused is not None
            if (last.covered >= head) if go_on else not (again or unsent or untold):
                return None
            after, begun = (last.covered, last.begun) if go_on else (start, start)
            return self._pack(peer, last, after, begun)

    def _pack(self, peer: Peer, last: Exported, after: int, begun: int) -> Packed:
        code, now = peer.code, self._clock()
        told = self._store.standing_in(code).number
        batches, covered = self._batches(code, after)
        answers = (self._inbox.receipt(code, last.refused), self._inbox.want(code))
        header = Header(self._org, code, last.number + 1)
        cover = Cover(first=after + 1, last=covered, made_at=now)
        wire = pack(header, cover, (*answers, *batches), self._keys, peer.sealing_key)
        self._store.keep_export(code, Exported(header.number, now, begun, covered, told))
        if covered > after:
            self._relay.sent(code, covered, f"bundle {header.number}")
        return Packed(header, cover, told, covered < self._head(code), wire)

    def _pack_back(
        self, peer: Peer, messages: Sequence[bytes], *, more: bool = False, **said: Any
    ) -> Packed:
        """A file that asks, or gives back; of the lanes it says nothing."""
        last, now = self._store.exported(peer.code), self._clock()
        header, cover = Header(self._org, peer.code, last.number + 1), Cover.empty(now)
        wire = pack(header, cover, messages, self._keys, peer.sealing_key)
        self._store.keep_export(peer.code, last._replace(number=header.number, at=now))
        if last.refused is not None:
            self._store.keep_refusal(peer.code, last.refused)  # A receipt is still to say so.
        return Packed(header, cover, last.told, more, wire, **said)

    def _batches(self, code: OrgCode, after: int) -> tuple[list[bytes], int]:
        batches: list[bytes] = []
        while len(batches) < BATCHES_MAX:
            wire, last = self._relay.batch(code, after)
            if last > after or not batches:
                batches.append(wire)  # Without news one heartbeat: it tells the head.
            if last == after:
                break
            after = last
        return batches, after

    def _start(self, code: OrgCode) -> int:
        """After which number to begin: what was confirmed, as far as it was not lost since."""
        confirmed, asked = self._store.acknowledged(code), self._store.exported(code)
        if asked.wanted is None or asked.wanted_at is None:
            return confirmed.number
        regained = confirmed.at is not None and confirmed.at > asked.wanted_at
        return confirmed.number if regained else asked.wanted

    def _head(self, code: OrgCode) -> int:
        return self._store.head_out(code).number

    # In.

    def take(self, wire: bytes) -> Taken:
        """Take a file in; a refused one changes nothing, and everything is told, never raised."""
        taken = Taken(hashlib.sha256(wire).hexdigest())
        try:
            peer, messages = self._open(wire, taken)
        except LaneFault as fault:
            taken.faults.append(fault)
            self._keep_evidence(taken.header, fault, wire)
            return taken
        with self._lock:
            self._take(peer.code, messages, taken)
        return taken

    def _open(self, wire: bytes, taken: Taken) -> tuple[Peer, list[tuple[str, bytes]]]:
        header = taken.header = read_header(wire)
        if header.receiver != self._org:
            raise ForAnother(receiver=header.receiver, sender=header.sender, us=self._org)
        peer = self._relay.peer(header.sender)
        believed = trust.vouching(self._relay.us(), header.sender)
        cover, messages = unpack(wire, header, believed, self._keys)
        kinds = [_kind(message, header.sender) for message in messages]
        taken.cover = cover
        return peer, list(zip(kinds, messages, strict=True))

    def _take(self, peer: OrgCode, messages: Sequence[tuple[str, bytes]], taken: Taken) -> None:
        assert taken.header is not None
        assert taken.cover is not None
        number, cover = taken.header.number, taken.cover
        before = self._store.standing_in(peer).number
        self._compare(peer, number, taken)
        if self._taken_back(peer, messages, taken):
            return
        self._store.forget_ask(peer, cover.made_at)
        for kind, wire in messages:
            if kind != Batch.KIND:
                self._answered(kind, wire, taken)
        refusal = self._accept([wire for kind, wire in messages if kind == Batch.KIND], taken)
        after = self._store.standing_in(peer).number
        if refusal is None and taken.missing is None and after < cover.last:
            taken.faults.append(Malformed(where="cover", said=cover.last, found=after))
        taken.known = min(max(before - cover.first + 1, 0), cover.facts)
        taken.parked = max(0, after - before - taken.recorded)
        if refusal is not None:
            self._store.keep_refusal(peer, refusal)
        last = self._store.exported(peer)
        taken.answer = last.refused is not None or after > last.told
        if not taken.faults and taken.missing is None:
            self._keep_import(peer, taken)

    def _keep_import(self, peer: OrgCode, taken: Taken) -> None:
        assert taken.header is not None
        imported = Imported(taken.header.number, taken.sha256, self._clock())
        self._store.keep_import(peer, imported)

    def _taken_back(
        self, peer: OrgCode, messages: Sequence[tuple[str, bytes]], taken: Taken
    ) -> bool:
        """Whether the file asks for what the peer once sent us, or brings what we once sent it."""
        kinds = dict(messages)
        try:
            if AskBack.KIND in kinds:
                taken.asks = taken.answer = True
                if not taken.again:
                    self.back.take(kinds[AskBack.KIND])
            elif Returned.KIND in kinds:
                # Who has gone on needs nothing any more.
                taken.gives = self.back.keep(peer, messages) if self.back.lacks(peer) else 0
            else:
                return False
        except LaneFault as fault:
            taken.faults.append(fault)
        else:
            self._keep_import(peer, taken)
        return True

    def _compare(self, peer: OrgCode, number: int, taken: Taken) -> None:
        """Whether this number came before, and which ones before it did not."""
        known = self._store.imported(peer, number)
        previous = known.number if known else 0
        if known and previous == number:
            taken.again = known.sha256 == taken.sha256
            taken.twin = not taken.again
        elif previous < number - 1:
            taken.unseen = Span(previous + 1, number - 1)

    def _answered(self, kind: str, wire: bytes, taken: Taken) -> None:
        """A receipt or a want; one that is refused does not hold back the facts."""
        try:
            if kind == LaneReceipt.KIND:
                receipt = self._relay.acknowledge(wire)
                taken.confirmed, taken.they_refused = receipt.number, receipt.refused
            else:
                self._wanted(self._relay.wanted(wire))
        except LaneFault as fault:
            taken.faults.append(fault)
            if isinstance(fault, RootsDiffer) and "number" in fault.facts:
                self._claimed(fault.facts["peer"], fault.facts["number"])

    def _claimed(self, peer: OrgCode, number: int) -> None:
        """Who confirms more than we have sent may be right: its lane waits until a person looks."""
        if number > self._head(peer) and peer not in self._relay.held:
            self._store.hold(peer, taken=False)
            self._relay.relearn()

    def _wanted(self, want: Want) -> None:
        """What a peer does not have; it counts where that was confirmed before, and is lost."""
        peer = want.sender
        if want.after > (head := self._head(peer)):
            raise RootsDiffer(peer=peer, wanted_after=want.after, head=head)
        confirmed = self._store.acknowledged(peer)
        if want.after >= confirmed.number:
            self._store.forget_want(peer)
        elif confirmed.at is None or want.at > confirmed.at:
            self._store.keep_want(peer, want.after, want.at)

    def _accept(self, batches: Sequence[bytes], taken: Taken) -> str | None:
        """Record batch after batch; the first that is refused ends it, and the reason is told."""
        for wire in batches:
            outcome = self._inbox.accept(wire)
            taken.recorded += outcome.recorded
            if isinstance(outcome.fault, Gap):
                facts = outcome.fault.facts
                taken.missing = Span(facts["expected"], facts["got"] - 1)
                return None
            if outcome.fault is not None:
                taken.faults.append(outcome.fault)
                return evidence.plain(str(outcome.fault))[:_REASON_MAX]
        return None

    def _keep_evidence(self, header: Header | None, fault: LaneFault, wire: bytes) -> None:
        """Of a file nobody can be held to, its first line; of what is no bundle at all, nothing."""
        if header is not None:
            known = header.sender in self._relay.peers()
            sender = header.sender if known else evidence.UNKNOWN_SENDER
            self._store.refuse(evidence.refused(sender, self._clock(), fault, wire[:HEADER_MAX]))

    # Both.

    def status(self, code: OrgCode) -> dict[str, object]:
        """Where the files stand; shown to people as it is."""
        out, into = self._store.exported(code), self._store.imported(code, NUMBER_MAX)
        return {
            "exported": out.number,
            "exported_at": out.at,
            "imported": into.number if into else 0,
            "imported_at": into.at if into else None,
        }


def _kind(message: bytes, sender: OrgCode) -> str:
    """What a message is; only a lane's own messages travel here, and only the sender's.

    Raises:
        Malformed, TooLarge.
    """
    sealed = Sealed(message)
    if sealed.kind not in _KINDS:
        raise Malformed(where="kind", kind=sealed.kind[:20])
    if sealed.sender != sender:
        raise Malformed(where="sender", sender=sealed.sender[:40])
    return sealed.kind
