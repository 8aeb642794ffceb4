"""落后: how far one direction of a lane is behind, in facts and in seconds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from domain.values import OrgCode
from sync.store import LaneStore


class Lag(NamedTuple):
    """So many facts are missing at the far end, the oldest of them for so long."""

    facts: int
    seconds: float


IN_STEP = Lag(0, 0.0)


def outgoing(store: LaneStore, peers: Iterable[OrgCode]) -> dict[OrgCode, Lag]:
    """What we have for each peer and it has not confirmed; the age is that of the oldest of it."""
    codes = list(peers)
    waiting = {peer: Lag(facts, seconds) for peer, facts, seconds in store.waiting(codes)}
    return dict.fromkeys(codes, IN_STEP) | waiting


def incoming(store: LaneStore, peers: Iterable[OrgCode], now: datetime) -> dict[OrgCode, Lag]:
    """What each peer said it has for us and is not recorded here, and since when we know of it."""
    behind = {
        peer: Lag(facts, max(0.0, (now - since).total_seconds()))
        for peer, facts, since in store.behind()
    }
    return {peer: behind.get(peer, IN_STEP) for peer in peers}


def worst(lags: Iterable[Lag]) -> Lag:
    """The most facts and the most seconds, be it of two lanes."""
    known = [IN_STEP, *lags]
    return Lag(max(lag.facts for lag in known), max(lag.seconds for lag in known))
