"""授钥规则: no data key leaves this node but under a pact in force that covers its class.

Asked twice of every key: when its entry is numbered, and when it is packed, for a peer may ask
for a batch long after that. By the node's own clock, in civil days.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from domain.aggregate import CIVIL_ZONE
from domain.ledger import Ledger
from domain.organization import Peer
from domain.pact import KEYS_PASSED_MAX, Pact
from domain.sealing import DataKey
from domain.values import DataClass, OrgCode
from sync.envelope import Grant
from sync.keys import b64, grant_binding, wrap
from sync.store import LaneStore

_FIRST = (0, UUID(int=0))


class Granting:
    """One for a node; every way a key leaves by leads through it."""

    def __init__(self, ledger: Ledger, store: LaneStore, clock: Callable[[], datetime]) -> None:
        self._ledger, self._store, self._clock = ledger, store, clock

    def open_to(self, peer: OrgCode) -> tuple[DataClass, ...]:
        """The classes whose keys may pass to a peer at this moment."""
        pact = self._ledger.find(Pact, Pact.id_of(self._ledger.org, peer))
        if pact is None:
            return ()
        terms = pact.on(self._clock().astimezone(CIVIL_ZONE).date())
        return terms.classes if terms else ()

    def wrapped(self, peer: Peer, key_ids: Iterable[UUID]) -> tuple[Grant, ...]:
        """These keys sealed to a peer; what may not pass any more is held back, and waits."""
        found = filter(None, map(self._ledger.keyring.key, key_ids))
        keys = list(found)  # What was destroyed since, nobody is granted any more.
        if not keys:
            return ()
        open_ = self.open_to(peer.code)
        if barred := [(key.id, key.data_class) for key in keys if key.data_class not in open_]:
            # They may have gone out and not been acknowledged: nothing more is sealed with them.
            ids, classes = [key for key, _ in barred], {each for _, each in barred}
            self._ledger.keyring.retire(peer.code, classes, ids)
            self._store.hold_back(peer.code, barred)
        return tuple(self._wrapped(peer, key) for key in keys if key.data_class in open_)

    def _wrapped(self, peer: Peer, key: DataKey) -> Grant:
        binding = grant_binding(self._ledger.org, peer.code, key.id, key.subject, key.data_class)
        return Grant(
            key=key.id,
            subject=key.subject,
            data_class=key.data_class,
            wrapped=b64(wrap(key.secret, peer.sealing_key, binding)),
        )

    def due(self, peer: OrgCode) -> Sequence[UUID]:
        """The oldest keys that were withheld from a peer and may pass now; no more than go at once.

        Keys that are closed here wait on, and keep none of the others waiting.
        """
        open_, after, due = self.open_to(peer), _FIRST, list[UUID]()
        while open_ and len(due) < KEYS_PASSED_MAX:
            found = self._store.withheld(peer, open_, after, KEYS_PASSED_MAX)
            here = self._ledger.keyring.preload(key for key, _ in found)
            due += (key for key, _ in found if key in here)
            if len(found) < KEYS_PASSED_MAX:
                break
            key, number = found[-1]
            after = number, key
        return due[:KEYS_PASSED_MAX]
