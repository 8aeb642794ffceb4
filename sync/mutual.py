"""互证之件: what of a node proves and fences its own ledger, and witnesses those of its peers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from domain.values import OrgCode
from sync.fence import Fence
from sync.keys import NodeKeys
from sync.log import Log, Store
from sync.offering import Offering
from sync.store import LaneStore
from sync.witness import Witness


class Mutual:
    """One for a node."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        org: OrgCode,
        tree: Store,
        lanes: LaneStore,
        keys: NodeKeys,
        clock: Callable[[], datetime],
        hold: timedelta,
    ) -> None:
        self.log = Log(org, tree, keys, clock, lanes, lambda: self.fence.holds())  # noqa: PLW0108 - each knows the other.
        self.fence = Fence(org, self.log, lanes, keys, clock, hold)
        self.offering = Offering(org, self.log, lanes, keys, clock, self.fence)
        self.witness = Witness(org, lanes, keys, clock)
