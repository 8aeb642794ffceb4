"""工作线程: what a node does by itself for as long as it runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING

from api import seals
from api.asking_back import HttpAsker
from api.live import News
from api.node import Node
from api.retention import Keeper
from api.watch import Watch
from domain.errors import Refusal
from sync.lane_http import Puller
from sync.retry import backoff
from sync.signed_http import Signer

if TYPE_CHECKING:
    from sync.kafka_settings import KafkaSettings
    from sync.lane_kafka import KafkaLanes

IDLE_S = 1.0
"""How long a worker sleeps when there is no news; commits and deliveries wake it at once."""

REST_EACH_S, REST_MAX_S = 0.001, 0.2
"""How long a step rests for each entry it passed, at most: when many come the
next one finds more of them, which together cost less; below that nobody notices."""

FULL = 500
"""A step that passed fewer entries than this has seen everything there was when it began."""

READ_S = 0.005
"""How long a lane waits, at most, for the read models to take in what it has brought."""

DEADLINES_S = 15.0
"""How often offers are looked through for those whose time has run out."""

STUCK_S = 60.0
"""A thread that has not begun a step for so long is said to hang."""

AGAIN_MAX_S = 2.0
"""The longest a thread waits before it tries again; what has failed is this node's own."""

CHECKPOINT_PAUSE_S = 1.0
"""Between two checkpoints under load; on an idle node one follows a commit at once."""

_log = logging.getLogger(__name__)


class Worker:
    """The threads of one node: answers, relay, read models, checkpoints, deadlines, and lanes."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.lane_news, self.read_news = News(), News()
        self._passed = Condition()
        self.watch, self.keeper = Watch(node), Keeper(node)
        self.faults: dict[str, str] = {}
        self.pullers: dict[str, Puller] = {}
        self.kafka: KafkaLanes | None = None
        self._stop = Event()
        self._beats: dict[str, float] = {}
        self.signer = Signer(node.settings.code, node.keys, node.clock)
        self._asker = HttpAsker(node.settings.code, node.relay, self.signer)
        self._threads = [
            self._thread("answers", self._answer),
            self._thread("relay", self._relay),
            self._thread("read-models", self._project),
            self._thread("checkpoints", self._sign),
            Thread(target=self._deadlines, name="deadlines", daemon=True),
            Thread(target=self._restore, name="restoring", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        self._announce()
        self.node.restoring.healer.greeting.begin()
        self.node.inbox.when_recorded = self._let_read
        if self.node.settings.kafka:
            self.kafka = self._kafka_lanes(self.node.settings.kafka)
            self.kafka.start()
        for thread in self._threads:
            thread.start()

    def _announce(self) -> None:
        self.faults.pop("announcement", None)
        try:
            self.node.key_change.announce()
        except Refusal as refusal:
            # Said in /health: the node works all the same.
            self.faults["announcement"] = str(refusal)

    @property
    def stopping(self) -> bool:
        """Whether the node is about to stop: nobody need wait for news any more."""
        return self._stop.is_set()

    def ailing(self) -> dict[str, str]:
        """What does not work, and why: also a thread that has ended, or hangs."""
        found = {**self.faults, **self.node.broken}
        ended = [thread.name for thread in self._threads if self._started(thread)]
        ended += [f"pull-{code}" for code, puller in self.pullers.items() if not puller.alive]
        found |= dict.fromkeys(ended, "the thread has ended")
        late = time.monotonic() - STUCK_S
        found |= {
            n: f"no step since {STUCK_S:g} s" for n, at in list(self._beats.items()) if at < late
        }
        return found

    def _started(self, thread: Thread) -> bool:
        return thread.ident is not None and not thread.is_alive() and not self.stopping

    def retry(self, peer: str) -> None:
        """Try a peer's lane at once, whatever was waited for."""
        if peer in self.pullers:
            self.pullers[peer].retry()
        if self.kafka is not None:
            self.kafka.retry(peer)

    def tell(self, peer: str) -> None:
        """Have a peer told where its lane stands here, and what is set aside."""
        if peer in self.pullers:
            self.pullers[peer].tell()
        if self.kafka is not None:
            self.kafka.tell(peer)

    def hurry(self) -> None:
        """Let every request that waits for news answer now."""
        self._stop.set()
        self.node.ledger.wake()
        self.lane_news.tell()
        self.read_news.tell()

    def stop(self) -> None:
        """Stop in order: no more deliveries, then let the threads finish what they hold."""
        self.hurry()
        if self.kafka is not None:
            self.kafka.stop(5.0)
        for puller in self.pullers.values():
            puller.stop()
        for thread in self._threads:
            thread.join(timeout=10.0)
        self._asker.close()
        # If it cannot be done now, the next start does it.
        with suppress(Refusal):
            seals.seal(self.node, everything=True)

    def _thread(self, name: str, step: Callable[[], int]) -> Thread:
        return Thread(target=self._loop, args=(name, step), name=name, daemon=True)

    def _loop(self, name: str, step: Callable[[], int]) -> None:
        failures = 0
        while not self._stop.is_set():
            self._beats[name] = time.monotonic()
            seen = self.node.ledger.head
            try:
                if (passed := step()) < FULL:
                    self._stop.wait(min(REST_MAX_S, REST_EACH_S * passed))
                    if self.node.ledger.head == seen:
                        self.node.ledger.wait_beyond(seen, IDLE_S)
                failures = 0
                self.faults.pop(name, None)
            except Exception as fault:  # noqa: BLE001 - shown in /health, and tried again.
                failures += 1
                self.faults[name] = f"{type(fault).__name__}: {fault}"
                _log.exception("Worker %s", name)
                self._stop.wait(min(AGAIN_MAX_S, backoff(failures)))

    def _answer(self) -> int:
        return 0 if self.node.restoring.waits() else self.node.answer_arrivals()

    def _relay(self) -> int:
        relay = self.node.relay
        before = relay.numbered
        passed = relay.number()
        if relay.numbered != before:
            self.lane_news.tell()
            if self.kafka is not None:
                self.kafka.wake()
        return passed

    def _project(self) -> int:
        applied = self.node.projector.catch_up()
        if applied:
            with self._passed:
                self._passed.notify_all()
            self.read_news.tell()
        return applied

    def _sign(self) -> int:
        if self.node.log.sign():
            self._stop.wait(CHECKPOINT_PAUSE_S)
        return 0

    def _let_read(self) -> None:
        """What a peer has sent is shown here before its lane is busy with asking for more."""
        head, projector = self.node.ledger.head, self.node.projector
        with self._passed:
            self._passed.wait_for(lambda: projector.abreast >= head, READ_S)

    def _deadlines(self) -> None:
        due = 0.0
        while not self._stop.is_set():
            self._beats["deadlines"] = time.monotonic()
            try:
                if self.node.restoring.waits():
                    self._meanwhile()
                else:
                    seals.seal(self.node)
                    self.node.pacts.step(hurry=False)
                    if time.monotonic() >= due or self._new_peers():
                        self._look_around()
                        due = time.monotonic() + DEADLINES_S
                self.faults.pop("deadlines", None)
            except Exception as fault:  # noqa: BLE001 - as in _loop; due still, it is tried again.
                self.faults["deadlines"] = f"{type(fault).__name__}: {fault}"
                _log.exception("Worker deadlines")
            self._stop.wait(IDLE_S)

    def _meanwhile(self) -> None:
        """While a peer may hold facts of ours: of what we do, nothing that anybody is told."""
        self._meet_peers()
        self.watch.look()
        if not self.node.fence.holds():
            seals.seal(self.node)
            self.node.eraser.step(telling=False)

    def _restore(self) -> None:
        """Fetch what a restored backup lacks, in a thread of its own: who asks may have to wait."""
        while not self._stop.is_set():
            try:
                if self.node.restoring.step(self._asker):
                    self._announce()
                    self.lane_news.tell()
                    for peer in list(self.pullers):
                        self.retry(peer)
                self.faults.pop("restoring", None)
            except Exception as fault:  # noqa: BLE001 - as in _loop; every step looks anew.
                self.faults["restoring"] = f"{type(fault).__name__}: {fault}"
                _log.exception("Worker restoring")
            self._stop.wait(IDLE_S if self.node.restoring.waits() else DEADLINES_S)

    def _look_around(self) -> None:
        self._meet_peers()
        self.node.lapse_offers()
        self.node.further_transfers()
        self.watch.look()
        self.node.key_change.retire()
        self.node.forget_times()
        seals.forget(self.node)
        self.node.eraser.step()
        self.keeper.look()

    def _new_peers(self) -> bool:
        return self.kafka is None and self._pulled() != self.pullers.keys()

    def _pulled(self) -> set[str]:
        """The peers that a network path leads to; nobody answers for the others."""
        peers = self.node.relay.peers().items()
        return {code for code, peer in peers if peer.lane is None}

    def _meet_peers(self) -> None:
        if self.kafka is not None:
            return
        node, pulled = self.node, self._pulled()
        for peer in self.pullers.keys() - pulled:
            self.pullers.pop(peer).stop()
        for peer in pulled:
            if peer not in self.pullers:
                puller = Puller(
                    peer,
                    node.relay,
                    node.inbox,
                    self.signer,
                    org=node.settings.code,
                    after=partial(_recorded, node, peer),
                    poll_seconds=node.settings.poll_seconds,
                    clock=node.clock,
                )
                self.pullers[peer] = puller
                puller.start()

    def _kafka_lanes(self, settings: KafkaSettings) -> KafkaLanes:
        # Imported here, so that a node without a broker does not pay for the client.
        from sync.lane_kafka import KafkaLanes  # noqa: PLC0415

        node = self.node
        return KafkaLanes(settings, node.settings.code, node.relay, node.inbox, clock=node.clock)


def _recorded(node: Node, peer: str) -> int:
    return node.lanes.standing_in(peer).number
