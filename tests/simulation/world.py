"""世界: three nodes, the messages between them, and one source of chance for all of it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import permutations
from random import Random
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from api.node import Node
from api.service import Who
from domain.commands import Command
from domain.errors import Refusal
from domain.ledger import Receipt
from domain.values import DataClass
from sync.envelope import Batch, LaneReceipt, Sealed, Want, read_card
from sync.errors import Gap, LaneFault, RootsDiffer
from tests.simulation.asking import CODES, Desk
from tests.simulation.faults import Crash, FragileRecorder, Points, make_fragile
from tests.support.federation import NOW
from tests.support.stage import Stage
from tests.sync.pen import sign

STEPS = 60


@dataclass(frozen=True)
class Rates:
    """How often what goes wrong in one history; each history draws its own."""

    drop: float
    repeat: float
    overtake: float
    crash: float
    bend: float

    @classmethod
    def drawn(cls, rng: Random) -> Rates:
        """Now and then a history without one of the faults: they hide each other."""
        highest = (0.3, 0.5, 0.5, 0.15, 0.05)
        return cls(*(rng.choice((0.0, rng.uniform(0, top), top)) for top in highest))


class Done(NamedTuple):
    """A command that was answered."""

    code: str
    key: str
    receipt: Receipt


class Broken(AssertionError):  # noqa: N818 - what is the case.
    """What must hold does not."""


class World:
    """One history; `run` lets it happen, `heal` ends the faults."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.seed, self.rng, self._stage = seed, Random(seed), stage
        self.rates = Rates.drawn(self.rng)
        self.points, self.desk = Points(), Desk(self.rng)
        self.trace: list[str] = []
        self.done: list[Done] = []
        self.bent: Counter[tuple[str, str]] = Counter()
        self.crashes = 0
        self.nodes: dict[str, Node] = {}
        self._now = NOW
        self._skew = {code: timedelta(minutes=self.rng.randint(-1440, 1440)) for code in CODES}
        self._lanes: dict[tuple[str, str], list[bytes]] = {p: [] for p in permutations(CODES, 2)}
        self._answers: dict[tuple[str, str], list[bytes]] = {p: [] for p in permutations(CODES, 2)}
        self._sent: dict[tuple[str, str], int] = {}
        self._asked = 0
        stage.empty()
        for code in CODES:
            self._start(code)
        self.granted = self._acquaint()

    def run(self) -> None:
        """Let things happen."""
        kinds = (self._command, self._hop, self._deliver, self._answer, self._work, self._time)
        for _ in range(2):
            self._begin(self.rng.choice(CODES))
        for _ in range(STEPS):
            code = self.rng.choice(CODES)
            if self.rng.random() < self.rates.crash:
                self.points.arm(self.rng.randint(1, 8))
            kind = self.rng.choices(kinds, (50, 22, 8, 6, 11, 5))[0]
            self._surviving(code, lambda kind=kind, code=code: kind(code))
        self.points.disarm()

    def heal(self) -> None:
        """End the faults: everything on the way arrives, then everybody works until all is quiet.

        Raises:
            Broken: it does not become quiet.
        """
        self.trace.append("heal")
        for pair, wires in sorted(self._lanes.items()):
            while wires:
                self._accept(pair, wires.pop())
        for pair, wires in sorted(self._answers.items()):
            # Of the answers a few are enough: receipts only repeat what the newest says.
            del wires[: -self.rng.randint(1, 3)]
            while wires:
                self._acknowledge(pair, wires.pop(0))
        for _ in range(50):
            if not self._round():
                break
        else:
            raise Broken("It does not become quiet.")
        for node in self.nodes.values():
            node.projector.catch_up()

    def _round(self) -> int:
        moved = 0
        for code in CODES:
            node = self.nodes[code]
            while node.answer_arrivals():
                moved += 1
            while node.relay.number():
                moved += 1
        for pair in permutations(CODES, 2):
            moved += self._pull(pair)
        return moved

    def _pull(self, pair: tuple[str, str]) -> int:
        source, destination = (self.nodes[code] for code in pair)
        after = destination.lanes.standing_in(pair[0]).number
        head = source.lanes.head_out(pair[1]).number
        if after == head == source.lanes.acknowledged(pair[1]).number:
            return 0
        wire, _ = source.relay.batch(pair[1], after)
        outcome = destination.inbox.accept(wire)
        if outcome.fault is not None:
            raise Broken(f"A healthy lane has a fault: {outcome.fault}")
        source.relay.acknowledge(outcome.answer)
        return 1

    # Steps.

    def _command(self, code: str) -> None:
        command = self.desk.ask(self.nodes[code])
        if command is None:
            self._hop(code)
            return
        self._asked += 1
        key = f"{self.seed}-{self._asked}"
        try:
            self._execute(code, key, command)
        except Crash:
            # The officer heard nothing. He asks again, with the same key, or gives up.
            self._restart(code)
            if self.rng.random() < 0.6:
                self.trace.append(f"{code}: asks again")
                self._execute(code, key, command)

    def _execute(self, code: str, key: str, command: Command) -> None:
        name = type(command).__name__
        try:
            receipt = self.nodes[code].service.execute(command, Who(key=key))
        except Refusal as refusal:
            self.trace.append(f"{code}: {name} refused, {refusal.code()}")
            return
        self.trace.append(f"{code}: {name} {receipt.version}")
        self.done.append(Done(code, key, receipt))
        self.desk.note(code, command, receipt.id)

    def _begin(self, code: str) -> None:
        """A member leaves."""
        for _ in range(2):
            command = self.desk.depart(self.nodes[code], None)
            assert command is not None
            self._asked += 1
            self._execute(code, f"{self.seed}-{self._asked}", command)

    def _hop(self, code: str) -> None:
        """News travels to a peer, or sets out; the peer may answer at once."""
        self.nodes[code].relay.number()
        others = [c for c in CODES if c != code]
        wise = self.rng.random() < 0.8
        behind = [c for c in others if wise and self._behind(code, c)]
        peer = self.rng.choice(behind or others)
        self._send(code, peer)
        if self.rng.random() < 0.7:
            self._surviving(peer, lambda: self._deliver(peer))
            self._surviving(peer, lambda: self._arrivals(peer))

    def _behind(self, code: str, peer: str) -> bool:
        head = self.nodes[code].lanes.head_out(peer).number
        return head > self.nodes[peer].lanes.standing_in(code).number

    def _arrivals(self, code: str) -> None:
        if self.rng.random() < 0.5:
            self.trace.append(f"{code}: looked at {self.nodes[code].answer_arrivals()}")

    def _send(self, code: str, peer: str) -> None:
        """A puller asks from where it stands; a pusher goes on from what it sent, or was told."""
        pair, relay = (code, peer), self.nodes[code].relay
        told = self.nodes[code].lanes.acknowledged(peer).number
        standing = self.nodes[peer].lanes.standing_in(code).number
        after = self.rng.choice((standing, told, self._sent.get(pair, told)))
        wire, last = relay.batch(peer, after)
        self._sent[pair] = last
        if self.rng.random() < self.rates.bend:
            wire = self._bent(pair, wire)
        self._lanes[pair].append(wire)
        self.trace.append(f"{code} → {peer}: {after + 1}–{last}")

    def _bent(self, pair: tuple[str, str], wire: bytes) -> bytes:
        """An entry says something else than was agreed, under a good signature."""
        body = json.loads(wire.partition(b"\n")[2])
        if body["entries"]:
            entry = self.rng.choice(body["entries"])
            entry["state"] = entry["state"].replace('"recorded_at":"20', '"recorded_at":"21', 1)
            self.trace.append(f"{pair[0]} → {pair[1]}: bent")
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return sign(self.nodes[pair[0]].keys, pair[0], raw)

    def _taken(self, lanes: dict[tuple[str, str], list[bytes]], to: str, end: int) -> Any:
        waiting = sorted(pair for pair, wires in lanes.items() if pair[end] == to and wires)
        if not waiting:
            return None
        pair = self.rng.choice(waiting)
        wires = lanes[pair]
        overtakes = self.rng.random() < self.rates.overtake
        index = self.rng.randrange(len(wires)) if overtakes else 0
        if self.rng.random() < self.rates.repeat:
            return pair, wires[index]
        wire = wires.pop(index)
        if self.rng.random() < self.rates.drop:
            self.trace.append(f"{pair[0]} → {pair[1]}: lost")
            return None
        return pair, wire

    def _deliver(self, code: str) -> None:
        if taken := self._taken(self._lanes, code, 1):
            self._accept(*taken)

    def _accept(self, pair: tuple[str, str], wire: bytes) -> None:
        outcome = self.nodes[pair[1]].inbox.accept(wire)
        because = outcome.fault and type(outcome.fault).__name__
        self.trace.append(f"{pair[0]} → {pair[1]}: {outcome.recorded} new, {because}")
        if isinstance(outcome.fault, RootsDiffer) and self._is_bent(pair, wire):
            self.bent[pair[1], pair[0]] += 1
        elif outcome.fault is not None and not isinstance(outcome.fault, Gap):
            raise Broken(f"An honest message was refused: {outcome.fault}")
        self._answers[pair].append(outcome.answer)

    def _is_bent(self, pair: tuple[str, str], wire: bytes) -> bool:
        batch = Sealed(wire).open(Batch, self.nodes[pair[0]].keys.verify_key)
        return self.nodes[pair[0]].lanes.root_out(pair[1], batch.last) == batch.root

    def _answer(self, code: str) -> None:
        if taken := self._taken(self._answers, code, 0):
            self._acknowledge(*taken)

    def _acknowledge(self, pair: tuple[str, str], wire: bytes) -> None:
        relay = self.nodes[pair[0]].relay
        kind = wire.split(b"/", 2)[1].decode()
        self.trace.append(f"{pair[0]} ← {pair[1]}: {kind}")
        try:
            if kind == LaneReceipt.KIND:
                relay.acknowledge(wire)
            else:
                assert kind == Want.KIND
                self._sent[pair] = relay.wanted(wire).after
        except LaneFault as fault:
            raise Broken(f"An honest answer was refused: {fault}") from fault

    def _work(self, code: str) -> None:
        node = self.nodes[code]
        names = ("answer_arrivals", "number", "lapse_offers", "catch_up")
        name = self.rng.choices(names, (5, 4, 2, 1))[0]
        works = {
            "answer_arrivals": node.answer_arrivals,
            "number": node.relay.number,
            "lapse_offers": lambda: (node.projector.catch_up(), node.lapse_offers()),
            "catch_up": node.projector.catch_up,
        }
        self.trace.append(f"{code}: {name} {works[name]()}")

    def _time(self, code: str) -> None:
        """Time goes by; a clock is put right, or wrong."""
        self._now += timedelta(hours=self.rng.choice((1, 12, 48, 240)))
        if self.rng.random() < 0.3:
            self._skew[code] = timedelta(minutes=self.rng.randint(-1440, 1440))
        self.trace.append(f"{code}: it is {self._clock(code).isoformat()}")

    # Nodes.

    def _surviving(self, code: str, step: Any) -> None:
        try:
            step()
        except Crash:
            self._restart(code)

    def _restart(self, code: str) -> None:
        # One node acts at a time, so the one that fell over is the one whose step it was.
        self.points.disarm()
        self.crashes += 1
        self.trace.append(f"{code}: falls over")
        self._sent = {pair: n for pair, n in self._sent.items() if pair[0] != code}
        self._start(code)

    def _start(self, code: str) -> None:
        def fragile(kept: Any) -> FragileRecorder:
            return FragileRecorder(kept, self.points)

        node = self._stage.node(code, "department", lambda: self._clock(code), fragile)
        make_fragile(node, self.points)
        self.nodes[code] = node

    def _clock(self, code: str) -> datetime:
        return self._now + self._skew[code]

    def _acquaint(self) -> dict[tuple[str, str], tuple[DataClass, ...]]:
        """Everybody enrols everybody; what each may open of whom is drawn."""
        granted = {}
        cards = {code: read_card(node.card()) for code, node in self.nodes.items()}
        for us, them in permutations(CODES, 2):
            classes = tuple(c for c in DataClass if self.rng.random() < 0.6)
            self.nodes[us].enrol(cards[them], classes)
            granted[us, them] = classes
        return granted

    def command_id(self, done: Done) -> Any:
        """The correlation of a command that was asked under a key."""
        return uuid5(NAMESPACE_URL, f"command:{done.key}")
