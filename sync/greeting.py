"""问询: asks peers at a start how much of ours they hold, because a restored node does not know."""

from __future__ import annotations

import logging

from domain.values import OrgCode
from sync.errors import Fenced, LaneFault
from sync.fence import Fence
from sync.relay import Relay
from sync.store import LaneStore
from sync.taking_back import Asker, Listening

_log = logging.getLogger(__name__)


class Greeting:
    """One for a node. A claim alone stops the lane to whoever makes it, until a person has looked.

    Meanwhile nothing is done by itself, in places that the peer may hold; people go on. More would
    let any peer stop a node by its word.
    """

    def __init__(self, store: LaneStore, relay: Relay, fence: Fence, listening: Listening) -> None:
        self._store, self._relay, self._fence = store, relay, fence
        self._listening = listening
        self._ungreeted: set[OrgCode] = set()
        self.faults: dict[OrgCode, str] = {}
        self.claims: set[OrgCode] = set()
        """Who said at this start that it holds more of our lane than we do."""

    def near(self) -> list[OrgCode]:
        """The peers that can be asked."""
        return sorted(p.code for p in self._relay.peers().values() if p.lane is None)

    def answering(self) -> list[OrgCode]:
        """These, and those that have answered by file."""
        return sorted({*self.near(), *self._store.given_by()})

    def begin(self) -> None:
        """At a start: whoever has witnessed this ledger is asked before anything is signed."""
        self._ungreeted = {peer for peer in self.near() if any(self._store.cosigned(peer))}
        self._fence.await_greeting(self._ungreeted)

    def greet(self, ask: Asker) -> None:
        """Ask those that have not answered since the start."""
        for peer in sorted(self._ungreeted):
            try:
                more = self._listening.greet(ask, peer)
            except Fenced:
                return
            except LaneFault as fault:
                self.faults[peer] = str(fault)
                continue
            self.claims |= {peer} if more else set()
            if more and peer not in self._relay.held:
                _log.error("%s holds more of our lane than we do: the lane waits", peer)
                self._store.hold(peer, taken=False)
                self._relay.relearn()
            self.faults.pop(peer, None)
            self._ungreeted.discard(peer)
            self._fence.greeted(peer)
