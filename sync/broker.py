"""中转: what lanes ask of a broker that keeps a log a topic, and how it was last found."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from domain.values import OrgCode
from sync.carrier import Parcel
from sync.lane import Backoff

TEND_S = 10.0
"""How often the broker is asked whether it is there and has our topics: reading cannot tell."""

MISSING = "missing"
"""What ails a topic that is not there, and could be created."""

_log = logging.getLogger(__name__)


class Unreachable(Exception):  # noqa: N818 - a state of the broker.
    """The broker does not answer, or does not let us in."""


class Refused(Exception):  # noqa: N818 - a state of the topic.
    """A topic does not take a message, or may not be read."""


@dataclass(frozen=True)
class Read:
    """What a look at the topics gave: messages by topic, and topics that cannot be read on, why."""

    messages: list[tuple[str, bytes]] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    """To be entered again at their ends: where we stood in them is not there any more."""
    denied: dict[str, str] = field(default_factory=dict)


class Admin(Protocol):
    """Looks after topics; raises Unreachable."""

    def ailing(self, names: set[str]) -> dict[str, str]:
        """What is wrong with which of the topics."""

    def create(self, names: list[str]) -> dict[str, str]:
        """Create topics; what was refused, and why."""

    def close(self) -> None: ...


class Settle(Protocol):
    """Is told what became of a message."""

    def __call__(self, fault: str | None, way: str = "") -> None: ...


class Producer(Protocol):
    """Appends to topics."""

    def send(self, topic: str, parcel: Parcel, settle: Settle) -> None:
        """Hand a message over; `settle` is told, on any thread, what went wrong, or None and where.

        Raises:
            Refused: what can be told at once.
        """

    def close(self, *, at_once: bool) -> None: ...


class Consumer(Protocol):
    """Reads topics."""

    def end(self, topic: str) -> int:
        """Where the next message of a topic will stand.

        Raises:
            Refused.
        """

    def follow(self, topics: Iterable[str], starts: dict[str, int]) -> None:
        """Read these topics and no others: from a start where one is given, or on as before."""

    def read(self, seconds: float) -> Read:
        """What has come, or comes within so many seconds."""

    def close(self) -> None: ...


class Door(Protocol):
    """Opens clients; raises Unreachable, with the reason."""

    def admin(self) -> Admin: ...
    def producer(self) -> Producer: ...
    def consumer(self) -> Consumer: ...


@dataclass(frozen=True)
class Names:
    """The topics of one node."""

    org: OrgCode
    template: str

    def outgoing(self, peer: OrgCode) -> str:
        """Where a peer reads what we send."""
        return self.template.format(destination=peer, source=self.org)

    def incoming(self, peer: OrgCode) -> str:
        """Where we read what a peer sends."""
        return self.template.format(destination=self.org, source=peer)

    def all(self, peers: Iterable[OrgCode]) -> set[str]:
        """Both directions of every lane."""
        return {name(peer) for peer in peers for name in (self.outgoing, self.incoming)}


class Broker:
    """The broker as the sender thread last saw it: whether it answers, what ails which topic."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._admin: Admin | None = None
        self._impatience = Backoff(0.1, TEND_S)
        self.backoff = Backoff(0.5, TEND_S)
        self.up = Event()
        self.fine: frozenset[str] = frozenset()
        self.faults: dict[str, str] = {}
        self.last_error: str | None = None
        self.outages = 0
        self.tend_at = -math.inf

    def tend(self, names: set[str], now: float) -> None:
        """See whether the topics are there, and create those that are not.

        Raises:
            Unreachable.
        """
        self._admin = self._admin or self._door.admin()
        ailing = self._admin.ailing(names)
        missing = sorted(name for name, fault in ailing.items() if fault == MISSING)
        if missing:
            refused = self._admin.create(missing)
            ailing = self._admin.ailing(names) | refused
        self.faults, self.fine = ailing, frozenset(names - ailing.keys())
        if ailing:
            self._impatience.fail(now)
        else:
            self._impatience.clear()
        self.tend_at = self._impatience.until if ailing else now + TEND_S
        self.backoff.clear()
        self.last_error = None
        self.up.set()

    def lost(self, fault: Exception, now: float) -> None:
        """It does not answer: both threads let go of their clients, whatever state those are in."""
        self.backoff.fail(now)
        self.last_error = str(fault)
        _log.warning("The broker does not answer: %s", fault)
        if self.up.is_set():
            self.up.clear()
            self.outages += 1
        self.tend_at = -math.inf
        self.close()

    def retry(self) -> None:
        """Do not wait any longer before the next look."""
        self.backoff.clear()
        self.tend_at = -math.inf

    def close(self) -> None:
        """Let go of the client."""
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()
