"""世界: some nodes, the messages between them, and one source of chance for all of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.persistence import PersistenceError

from api.erasure import eraser
from api.node import Node
from api.storage.errors import DatabaseAway
from domain import sealing
from domain.aggregate import CIVIL_ZONE
from domain.ledger import OutcomeUnknown, Receipt
from domain.values import DataClass
from sync import carrier, lane, pushing
from sync.card import make_card, read_card
from sync.keys import Pair
from tests.simulation.asking import Desk
from tests.simulation.broker import Log, Post
from tests.simulation.faults import Crash, FragileRecorder, Points, make_fragile
from tests.simulation.mallory import KEYS, MALLORY, Mallory
from tests.simulation.plan import STEPS, Plan
from tests.simulation.watch import Watch, bounded
from tests.support.federation import NOW

WayOfLane = tuple[str, str]

AGREED: dict[str, Any] = {"effective_from": date(2025, 1, 1), "until": date(2034, 12, 31)}

STEP = timedelta(seconds=4)
"""From one step to the next: who has started again waits a few of them for its witnesses."""

FAR = datetime.max.replace(tzinfo=UTC)

OPEN = {DataClass.IDENTITY: 0.95}
"""Of each class, how often a peer may open it: whose name is closed is not transferred."""


def by_file(world: World, one: str, other: str) -> bool:
    """Whether no network joins two nodes."""
    return one in world.plan.files and other in world.plan.files


class Done(NamedTuple):
    """A command that was answered."""

    code: str
    key: str
    receipt: Receipt


class Drawn:
    """In the place of the pool from which ids are drawn."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def pop(self) -> bytes:
        return self._rng.randbytes(16)


class World:
    """The state of one history; what can happen in it stands in `steps`.

    Each step has a chance of its own, which follows from the seed and its number: leave a step out
    and the others remain what they were, as far as they can.
    """

    signs = True
    """Whether checkpoints are signed."""

    def __init__(
        self, stage: Any, seed: int, *, steady: bool | None = None, plan: Plan | None = None
    ) -> None:
        self.seed, self.stage = seed, stage
        self.rng = Random(seed)
        self.plan = plan or Plan.drawn(self.rng)
        self.codes = self.plan.codes
        self.points = Points()
        self.desk = Desk(self.rng, self.codes, self.plan.rates["transfer"])
        self.watch, self.mallory = Watch(self.codes), Mallory(self.rng)
        self.trace: list[str] = []
        self.done: list[Done] = []
        self.refused: Counter[tuple[str, str, str]] = Counter()
        self.parked: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()
        self.crashes = self.messages = self.asked = 0
        self.cut: set[WayOfLane] = set()
        self.backups: dict[str, tuple[Any, ...]] = {}
        self.restored, self.mending = set[str](), set[str]()
        """Nodes that were ever put back to an old backup; and which of them are not whole yet."""
        self.lost_keys: set[UUID] = set()
        """Keys that were made after a backup, and that nobody else held."""
        self.erases = self.plan.rates["erase"] > self.rng.random()
        """Whether persons are erased at its end."""
        self.rekeyed: set[str] = set()
        """Nodes that have ever tried to change their keys."""
        self.pairs_made: dict[str, Pair] = {}
        """By public key, every pair there ever was."""
        self.now, self.seconds = NOW, 0.0
        self.steady = steady
        if steady is not None:
            # Whether a letter is still valid is a question to a clock.
            self.desk.rate = 0.0
            # A day that has come on every clock.
            self.desk.agreed = lambda: (self.now - timedelta(days=2)).astimezone(CIVIL_ZONE).date()
        self.transferring = bool(self.desk.rate or self.plan.rates["move"])
        self.move: Any = None
        """Whose way officers follow at present, and how far he has come."""
        self.skew = {code: self.drawn_skew() for code in self.codes}
        self.pairs = self.plan.pairs
        self.lanes: dict[WayOfLane, list[bytes]] = {pair: [] for pair in self.pairs}
        self.answers: dict[WayOfLane, list[bytes]] = {pair: [] for pair in self.pairs}
        self.sticks: dict[WayOfLane, list[bytes]] = {pair: [] for pair in self.pairs}
        self.written: dict[WayOfLane, int] = {}
        """By way, the number of the newest file."""
        self.overheard: list[tuple[WayOfLane, bytes]] = []
        self.sent: dict[WayOfLane, int] = {}
        self.log = Log(self.rng) if self.plan.over_broker else None
        if self.log is not None:
            rates = self.plan.rates
            self.log.lost, self.log.doubled = rates["drop"], rates["repeat"]
            self.log.swapped = rates["overtake"]
        self.posts: dict[str, Post] = {}
        self.nodes: dict[str, Node] = {}

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Chance and monotonic time are the world's own, for as long as it lasts."""
        with (
            self.stage.performing(),
            patch.dict(sealing._drawn, {16: Drawn(self.rng)}),  # noqa: SLF001
            patch.object(lane, "random", self.rng),
            patch.object(Pair, "generate", self._generated),
            # What stands in files is looked for by tests/api/test_erasure.
            patch.object(eraser, "scrub", lambda *_: True),
            patch.object(pushing, "time", self),
            patch.object(carrier, "time", self),
        ):
            self.stage.empty()
            for code in self.codes:
                self.start(code)
            self.granted = self._acquaint()
            yield

    def _generated(self) -> Pair:
        pair = Pair.of(self.rng.randbytes(32), self.rng.randbytes(32))
        self.pairs_made[pair.verify_key] = pair
        return pair

    def monotonic(self) -> float:
        """In the place of `time`."""
        return self.seconds

    def say(self, line: str) -> None:
        """One more line of the trace."""
        self.trace.append(line)

    def run(self, kept: frozenset[int] | None = None) -> None:
        """Let things happen; of the steps only those that are kept, if any are named."""
        from tests.simulation.kinds import KINDS, take  # noqa: PLC0415 - they are about a world.
        from tests.simulation.steps import begin  # noqa: PLC0415

        self.weights = [weight(self.plan) for weight, _ in KINDS.values()]
        begin(self)
        for number in range(STEPS):
            if kept is None or number in kept:
                self.rng.seed(self.seed * 1_000 + number)
                self.now += STEP
                self.say(f"# {number}")
                take(self)
                self.look()
        self.points.disarm()

    def look(self) -> None:
        """What must hold after every step."""
        self.watch.look(self.nodes)
        for post in self.posts.values():
            bounded(post.queues())

    # Nodes.

    def surviving(self, code: str, step: Any) -> None:
        """A step during which a node may fall over, or find that nothing can be written."""
        try:
            step()
        except Crash:
            self.restart(code)
        except (OutcomeUnknown, DatabaseAway, PersistenceError) as fault:
            self.say(f"{code}: {type(fault).__name__}")

    def restart(self, code: str) -> None:
        """Start a node again; its memory is empty."""
        # One node acts at a time, so the one that fell over is the one whose step it was.
        self.points.disarm()
        self.crashes += 1
        self.say(f"{code}: falls over")
        self.sent = {pair: n for pair, n in self.sent.items() if pair[0] != code}
        full = code in self.points.full
        self.points.full.discard(code)
        self.start(code)
        if full:
            self.points.full.add(code)

    def start(self, code: str) -> None:
        """Put a node on what there is."""

        def fragile(kept: Any) -> FragileRecorder:
            return FragileRecorder(kept, self.points, code)

        node = self.stage.node(code, "department", lambda: self.clock(code), fragile)
        make_fragile(node, self.points)
        if self.plan.rates["restore"]:
            node.restoring.healer.greeting.begin()
        if code in self.mending:
            # Whoever restores starts the node where its peers can be reached in time.
            node.fence._until = FAR  # noqa: SLF001 - time goes by in leaps here.
        self.nodes[code] = node
        for pair in node.keys.signers:
            self.pairs_made[pair.verify_key] = pair
        if self.log is not None:
            self.posts[code] = Post(self.log, code, node)

    def clock(self, code: str) -> datetime:
        """What time a node thinks it is."""
        return self.now + self.skew[code]

    def drawn_skew(self) -> timedelta:
        """How wrong a clock is; in a steady world by no more than it says, and for ever."""
        apart = self.plan.apart if self.steady is None else 1440
        skew = timedelta(minutes=self.rng.randint(-apart, apart))
        return skew if self.steady in {None, True} else timedelta()

    def _acquaint(self) -> dict[WayOfLane, tuple[DataClass, ...]]:
        """Everybody enrols everybody; what each may open of whom is drawn."""
        granted = {}
        cards = {code: read_card(node.card()) for code, node in self.nodes.items()}
        for us, them in self.pairs:
            classes = tuple(c for c in DataClass if self.rng.random() < OPEN.get(c, 0.6))
            way: Any = "bundle" if by_file(self, us, them) else None
            # No purpose needs the restricted class yet; agreed on for longer than a history lasts.
            agreed = tuple(c for c in classes if c is not DataClass.RESTRICTED)
            self.nodes[us].enrol(cards[them], agreed, way, **AGREED)
            granted[us, them] = classes
        if self.plan.rates["attack"]:
            card = read_card(make_card(KEYS, MALLORY, MALLORY, "http://mallory", NOW))
            for code in self.codes:
                self.nodes[code].enrol(card, ())
        return granted

    def peers(self, code: str) -> list[str]:
        """Whom a node is acquainted with."""
        return [peer for one, peer in self.pairs if one == code]

    def others(self, code: str) -> list[str]:
        """Whom a network joins with a node."""
        return [peer for peer in self.peers(code) if not by_file(self, peer, code)]

    def command_id(self, done: Done) -> Any:
        """The correlation of a command that was asked under a key."""
        return uuid5(NAMESPACE_URL, f"command:{done.key}")

    def bent(self, wire: bytes) -> bytes | None:
        """A batch in which one entry says something else than was agreed; None without entries."""
        body = json.loads(wire.partition(b"\n")[2])
        if not body["entries"]:
            return None
        entry = self.rng.choice(body["entries"])
        entry["state"] = entry["state"].replace('"recorded_at":"20', '"recorded_at":"21', 1)
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
