"""守约: what a node does by itself when what a peer may open has become less, or more."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from eventsourcing.persistence import Tracking

from api.service import BY_ITSELF, Service
from domain.aggregate import CIVIL_ZONE
from domain.commands import ResumeKeys
from domain.pact import Pact, PactTerms
from domain.purposes import purposes_of
from domain.values import DataClass, OrgCode
from projections import erasing
from projections.store import Projector, RebuildUnderWay
from sync.relay import Relay
from sync.store import LaneStore

REST_MAX_TIMES = 10
"""Lists that were read anew are not read anew again before so many times as long have passed."""

_log = logging.getLogger(__name__)


def usual(
    classes: tuple[DataClass, ...], now: datetime, days: int, **agreed: Any
) -> PactTerms | None:
    """A pact from today on about these classes, for what they are processed; none for none.

    What was agreed otherwise is named; None stands for what is usual.
    """
    if not classes:
        return None
    today = now.astimezone(CIVIL_ZONE).date()
    said = {
        "purposes": purposes_of(classes),
        "classes": classes,
        "effective_from": today,
        "until": today + timedelta(days=days - 1),
    }
    return PactTerms.model_validate(said | {k: v for k, v in agreed.items() if v is not None})


class Pacts:
    """Level, not edge: looks at what is agreed today, and does what is lacking; a crash harms not.

    Less: nothing more is sealed with keys the peer holds. More: a fact brings the keys it lacks.
    And of a peer: with its keys, what stood closed is read anew.
    """

    def __init__(
        self, service: Service, relay: Relay, lanes: LaneStore, projector: Projector, recorder: Any
    ) -> None:
        self._service, self._relay, self._lanes = service, relay, lanes
        self._projector, self._recorder = projector, recorder
        self._ledger = service.ledger
        self._retired: dict[OrgCode, frozenset[DataClass]] = {}
        self._read: dict[OrgCode, int] = {}
        self._rest_until = 0.0

    def step(self, *, hurry: bool = True) -> int:
        """One turn for every peer; how much was done.

        Without `hurry` a peer that goes on sending keys has our lists read anew now and then only.
        """
        peers = list(self._relay.peers())
        done = sum(self._close(peer) + self._resume(peer) for peer in peers)
        if hurry or time.monotonic() >= self._rest_until:
            done += sum(self._read_anew(peer) for peer in peers)
        return done

    def _close(self, peer: OrgCode) -> int:
        """Looked at once for what is agreed: a key that is numbered later is held back."""
        closed = frozenset(DataClass) - set(self._relay.granting.open_to(peer))
        if self._retired.get(peer) == closed:
            return 0
        retired = self._ledger.keyring.retire(peer, closed)
        self._retired[peer] = closed
        if retired:
            _log.warning("%d keys that %s holds seal nothing more", retired, peer)
        return int(retired > 0)

    def _resume(self, peer: OrgCode) -> int:
        due = self._relay.granting.due(peer)
        pact = self._ledger.find(Pact, Pact.id_of(self._ledger.org, peer))
        if not due or pact is None:
            return 0
        if self._lanes.number_of(peer, pact.id, pact.version) is None:
            return 0  # What the newest fact of it brings is not on its way yet.
        self._service.execute(ResumeKeys(peer=peer, keys=len(due)), BY_ITSELF)
        return 1

    def _read_anew(self, peer: OrgCode) -> int:
        theirs = self._ledger.find(Pact, Pact.id_of(peer, self._ledger.org))
        if theirs is None or not theirs.resumed_in:
            return 0
        name = f"pact:{peer}"
        if peer not in self._read:
            self._read[peer] = self._recorder.max_tracking_id(name) or 0
        if theirs.resumed_in <= self._read[peer]:
            return 0
        begun = time.monotonic()
        with suppress(RebuildUnderWay):  # It is looked at again.
            for model in erasing.MODELS:
                self._projector.rebuild(model)
            self._recorder.insert_tracking(Tracking(name, theirs.resumed_in))
            self._read[peer] = theirs.resumed_in
        now = time.monotonic()
        self._rest_until = now + REST_MAX_TIMES * (now - begun)
        return 1
