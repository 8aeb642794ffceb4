"""内存通道簿: sync/store.py's lane book over containers."""

from __future__ import annotations

from sync.store import LaneStore
from tests.support.memory.files import Files
from tests.support.memory.given import GivenBack
from tests.support.memory.hops import Hops
from tests.support.memory.received import Received
from tests.support.memory.returned import Returning
from tests.support.memory.sent import Sent
from tests.support.memory.witnessed import Witnessed


class MemoryLanes(Sent, Received, Hops, Files, Witnessed, Returning, GivenBack, LaneStore):
    """The lane book of one node."""
