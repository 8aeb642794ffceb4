"""承运: what goes to each peer next, and what becomes of what arrives, whoever carries it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from domain.values import OrgCode
from sync.envelope import Batch, LaneReceipt, Sealed, Want
from sync.errors import Gap, LaneFault, RootsDiffer
from sync.inbox import Inbox
from sync.lane import Lane
from sync.relay import Relay

_log = logging.getLogger(__name__)


class Parcel(NamedTuple):
    """A message on its way out; a batch says from which number to which it goes."""

    kind: str
    wire: bytes
    receiver: OrgCode
    after: int = 0
    last: int = 0


class Carrier:
    """The lanes of one node; one thread sends, another takes in."""

    def __init__(self, relay: Relay, inbox: Inbox, clock: Callable[[], datetime]) -> None:
        self._relay, self._inbox, self._clock = relay, inbox, clock
        self.lanes: dict[OrgCode, Lane] = {}

    def look(self) -> bool:
        """Take up new peers and new heads from the ledger; whether the peers are others now."""
        known = {}
        for code, peer in self._relay.peers().items():
            if peer.lane is not None:
                continue  # Its lanes travel as files.
            head, acknowledged = self._relay.standing(code)
            lane = self.lanes.get(code) or Lane(code, confirmed=acknowledged.number)
            lane.head = head.number
            known[code] = lane
        changed = known.keys() != self.lanes.keys()
        self.lanes = known
        return changed

    def outgoing(self, lane: Lane, now: float) -> Iterator[Parcel]:
        """What may go to a peer now: answers, then batches or a heartbeat; `handed` counts them."""
        while wire := lane.next_answer(now):
            yield Parcel(Sealed(wire).kind, wire, lane.peer)
        while lane.may_send(now):
            after = lane.cursor
            wire, last = self._relay.batch(lane.peer, after)
            yield Parcel(Batch.KIND, wire, lane.peer, after, last)
            if last == after:
                return

    def enter(self, lane: Lane) -> None:
        """Begin to read a peer: both ways start over, for nobody knows what the broker lost."""
        lane.answer(self._inbox.want(lane.peer), plain=False)
        lane.entered()

    def take(self, wire: bytes, lane: Lane) -> None:
        """Deal with a message that came in on a lane; whatever it is, the next one is read."""
        try:
            if not self._told(wire, lane):
                self._accept(wire, lane)
        except Exception as fault:  # noqa: BLE001 - shown in the status; the sender repeats it.
            lane.last_error = f"{type(fault).__name__}: {fault}"
            _log.warning("Message on the lane of %s", lane.peer, exc_info=True)

    def status(self, now: float) -> dict[OrgCode, dict[str, Any]]:
        """How each lane stands; shown to people as it is."""
        return {
            code: {
                "head": lane.head,
                "acknowledged": lane.confirmed,
                "sent": lane.cursor,
                "last_heard": lane.last_heard,
                "last_error": lane.last_error,
                "failures": lane.trouble.failures,
                "retry_at": self.moment(lane.trouble.until, now),
            }
            for code, lane in self.lanes.items()
        }

    def retry(self, peer: OrgCode) -> None:
        """Try a peer's lane at once."""
        if lane := self.lanes.get(peer):
            lane.reset()

    def tell(self, peer: OrgCode) -> None:
        """Have a peer told where its lane stands here, and what is set aside."""
        lane = self.lanes.get(peer)
        if lane is not None:
            lane.answer(self._inbox.receipt(peer), plain=True)

    def delivered(self, lane: Lane, parcel: Parcel, way: str) -> None:
        """The broker has a message, at that place."""
        lane.delivered()
        if parcel.last > parcel.after:
            self._relay.sent(lane.peer, parcel.last, way)

    def moment(self, until: float, now: float) -> datetime | None:
        """A moment of monotonic time on the clock; None where it is past."""
        return self._clock() + timedelta(seconds=until - now) if until > now else None

    def _told(self, wire: bytes, lane: Lane) -> bool:
        """Whether it was a peer's receipt or want, which is never answered: no endless echo."""
        try:
            sealed = Sealed(wire)
            peer = self.lanes.get(sealed.sender)
        except LaneFault:
            return False
        if peer is None or sealed.kind not in {LaneReceipt.KIND, Want.KIND}:
            return False
        try:
            if sealed.kind == Want.KIND:
                self._want(wire, peer)
            else:
                self._receipt(wire, peer)
        except LaneFault as fault:
            self._blame(lane, fault)
        return True

    def _receipt(self, wire: bytes, peer: Lane) -> None:
        receipt = self._relay.acknowledge(wire)
        peer.last_heard = self._clock()
        if receipt.number > peer.confirmed:
            peer.last_error = None
        peer.receipt(receipt.number, time.monotonic())
        if receipt.refused:
            peer.last_error = f"refused by {peer.peer}: {receipt.refused}"

    def _want(self, wire: bytes, peer: Lane) -> None:
        after = self._relay.wanted(wire).after
        head, _ = self._relay.standing(peer.peer)
        if after > head.number:
            raise RootsDiffer(peer=peer.peer, wanted_after=after, head=head.number)
        peer.last_heard = self._clock()
        peer.want(after, time.monotonic())

    def _accept(self, wire: bytes, lane: Lane) -> None:
        outcome = self._inbox.accept(wire)
        heard = outcome.fault is None or isinstance(outcome.fault, Gap)
        if outcome.fault is None:
            lane.last_error = None
        elif not heard:
            self._blame(lane, outcome.fault)
        if not outcome.answer:
            return
        # The inbox answers whom the message claims to be from: no other lane may carry that.
        peer = self.lanes.get(Sealed(wire).sender, lane)
        if heard:
            peer.last_heard = self._clock()
        peer.answer(outcome.answer, plain=outcome.fault is None)

    def _blame(self, lane: Lane, fault: LaneFault) -> None:
        lane.last_error = str(fault)
        _log.warning("Message on the lane of %s refused: %s", lane.peer, fault)
