"""中转站: a broker that loses, repeats and reorders, read by the product's own sender and receiver.

Time is the world's: `tick` moves it, and nothing in here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from sync.broker import MISSING, Broker, Names, Read, Refused, Unreachable
from sync.carrier import Carrier, Parcel
from sync.errors import Fenced
from sync.pushing import Receiver, Sender


class Log:
    """The topics of one broker, each a list of messages."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.topics: dict[str, list[bytes]] = {}
        self.lost = self.doubled = self.swapped = 0.0
        self.cut: set[str] = set()
        """Nodes that do not reach it."""
        self.appended = 0

    def append(self, topic: str, wire: bytes) -> None:
        """Keep a message, as well as this broker does."""
        self.appended += 1
        messages, rng = self.topics[topic], self.rng
        if rng.random() < self.lost:
            return
        messages.append(wire)
        if rng.random() < self.doubled:
            messages.append(rng.choice(messages))
        if len(messages) > 1 and rng.random() < self.swapped:
            messages[-1], messages[-2] = messages[-2], messages[-1]

    def truncate(self, topic: str) -> None:
        """Lose the newest messages, as a leader without fsync does."""
        messages = self.topics.get(topic, [])
        del messages[-self.rng.randint(1, 4) :]

    def wipe(self) -> None:
        """Lose everything."""
        self.topics.clear()


class Client:
    """Admin, producer and consumer of one node."""

    def __init__(self, log: Log, code: str) -> None:
        self._log, self._code = log, code
        self._at: dict[str, int] = {}

    def _reach(self) -> None:
        if self._code in self._log.cut:
            raise Unreachable("no way to the broker")

    def admin(self) -> Client:
        """As a door."""
        self._reach()
        return self

    producer = consumer = admin

    def ailing(self, names: set[str]) -> dict[str, str]:
        """Those that are not there."""
        self._reach()
        return {name: MISSING for name in sorted(names) if name not in self._log.topics}

    def create(self, names: list[str]) -> dict[str, str]:
        """Create topics."""
        self._log.topics |= {name: [] for name in names}
        return {}

    def send(self, topic: str, parcel: Parcel, settle: Callable[[str | None], None]) -> None:
        """Append at once; a topic that is gone, or out of reach, says so."""
        if topic not in self._log.topics:
            raise Refused("no such topic")
        if self._code in self._log.cut:
            settle("timed out")
            return
        self._log.append(topic, parcel.wire)
        settle(None)

    def end(self, topic: str) -> int:
        """Where the next message stands."""
        if topic not in self._log.topics:
            raise Refused("no such topic")
        return len(self._log.topics[topic])

    def follow(self, topics: Iterable[str], starts: dict[str, int]) -> None:
        """Read these and no others."""
        # The order in which a set gives its names is not a fault of the world.
        self._at = {name: starts.get(name, self._at.get(name, 0)) for name in sorted(topics)}

    def read(self, _: float) -> Read:
        """What has come; a topic that became shorter, or is gone, has moved."""
        if self._code in self._log.cut:
            return Read()
        found = Read()
        for name, at in list(self._at.items()):
            messages = self._log.topics.get(name)
            if messages is None or at > len(messages):
                found.moved[name] = "out of range"
                del self._at[name]
                continue
            found.messages.extend((name, wire) for wire in messages[at:])
            self._at[name] = len(messages)
        return found

    def forget(self) -> None:
        """Its group is rebalanced: it stands nowhere."""
        self._at = dict.fromkeys(self._at, 10**9)

    def close(self, *, at_once: bool = False) -> None:
        """Nothing is held."""


class Flag:
    """An event nobody waits for."""

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def wait(self, _: float | None = None) -> bool:
        return self._set


class Post:
    """Sender and receiver of one node, moved by hand."""

    def __init__(self, log: Log, code: str, node: Any) -> None:
        self.client = Client(log, code)
        names = Names(code, "sync.{destination}.{source}")
        self.carrier = Carrier(node.relay, node.inbox, node.clock)
        broker: Any = Broker(self.client)
        broker.up = Flag()
        self.sender = Sender(self.client, broker, self.carrier, names)
        self.receiver = Receiver(self.client, broker, self.carrier, names)
        self._stopping: Any = Flag()

    def tick(self) -> None:
        """One turn of each thread."""
        self.sender.fresh.set()
        self.sender.tick()
        try:
            self.receiver.tick(self._stopping, lambda: None)
        except (Fenced, Unreachable):
            self.receiver.close()  # As its thread does with whatever happens; it begins anew.
        self.sender.tick()

    def queues(self) -> dict[str, tuple[int, int]]:
        """By peer: answers that wait, and messages in flight."""
        handed = self.sender._handed  # noqa: SLF001 - what must stay bounded.
        return {
            code: (len(lane.answers), len(handed.get(code, ())))
            for code, lane in self.carrier.lanes.items()
        }
