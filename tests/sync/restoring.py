"""恢复演练: traffic among three nodes, a backup put back, and what must be true of it after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from api.node import Node
from domain.commands import HoldActivity, OfferCare, OpenUnit
from domain.errors import Refusal
from domain.records import head, leaf
from domain.tree import consistent, ours
from sync.checkpoint import Checkpoint
from sync.errors import Fenced
from sync.fence import Wish
from sync.note import Note
from sync.taking_back import NotReached
from tests.api.support import number
from tests.support.federation import CHENGDU, ORIGIN, SHENZHEN, accept, depart, register
from tests.support.memory.stage import MemoryStage
from tests.support.naive import Naive
from tests.support.stage import Staged
from tests.sync.conftest import acquainted

CODES = (ORIGIN, CHENGDU, SHENZHEN)
WISH = Wish("磁盘损坏，备份较旧", "操作员")

ROUNDS = 100
"""In which a node must have healed."""

Place = tuple[Any, int]


@contextmanager
def light() -> Iterator[Staged]:
    """The three, in memory."""
    with ExitStack() as stack:
        yield acquainted(MemoryStage(), stack)  # type: ignore[arg-type]


class Hands:
    """Peers asked without a network."""

    def __init__(self, made: Staged, code: str) -> None:
        self._made, self._code = made, code
        self.away: set[str] = set()

    def returned(self, peer: str, after: int, cursor: int, size: int) -> bytes:
        """A page of what it gives back."""
        if peer in self.away:
            raise NotReached(peer=peer)
        return self._made[peer].restoring.page(self._code, after, cursor, size)

    def batch(self, peer: str, after: int) -> bytes:
        """The batch that follows."""
        return self._made[peer].relay.batch(self._code, after)[0]


class Before(NamedTuple):
    """What the world knew of a node when its disk failed."""

    leaves: list[bytes]
    witnessed: dict[int, bytes]
    """Sizes and roots of its ledger that peers have taken."""
    held: dict[Place, StoredEvent]
    """Its own facts that a peer has recorded."""
    lanes: dict[tuple[str, int], str]
    """Roots of its lanes up to where peers have recorded them."""
    answered: dict[str, int]
    """Up to where it has acknowledged the lanes of its peers."""


def ledger(node: Node) -> list[StoredEvent]:
    """All it has recorded."""
    return [entry.record for entry in node.ledger.since(0)]


def of(records: list[StoredEvent], code: str) -> dict[Place, StoredEvent]:
    """Those of one keeper."""
    mine = (r for r in records if head(r).meta.keeper == code)
    return {(r.originator_id, r.originator_version): r for r in mine}


class Drill:
    """One node of three is put back."""

    def __init__(self, made: Staged, code: str, draw: Random) -> None:
        self.made, self.code, self.draw = made, code, draw
        self.flows: list[UUID] = []
        self.signs = draw.choice((0.1, 0.5, 0.9))
        made.settle()
        self.sign()
        made.settle()
        self.backup = made.stage.snapshot(code)

    @property
    def node(self) -> Node:
        return self.made[self.code]

    @property
    def peers(self) -> list[str]:
        return sorted(self.node.relay.peers())

    def sign(self) -> None:
        """Every node signs what it has."""
        for node in self.made.nodes.values():
            node.log.sign()

    # What happens.

    def traffic(self, steps: int, *, private: bool = True) -> None:
        """Facts of all kinds, and batches with their answers, in any order."""
        kinds = [self.offer, self.accept, self.act, self.carry, self.carry, self.made.settle]
        for _ in range(steps):
            self.made.clock.pass_(seconds=self.draw.randrange(1, 100))
            self.draw.choice([*kinds, self.keep_to_itself] if private else kinds)()
            if self.draw.random() < self.signs:
                self.draw.choice(list(self.made.nodes.values())).log.sign()

    def offer(self) -> None:
        """A member leaves for one of the stations."""
        origin = self.made[ORIGIN]
        flow = depart(origin, register(origin, number()))
        origin.execute(OfferCare(outflow=flow, host=self.draw.choice((CHENGDU, SHENZHEN))))
        self.flows.append(flow)

    def accept(self) -> None:
        """A station takes the care of whoever was offered to it, if it has heard."""
        if self.flows:
            host = self.made[self.draw.choice((CHENGDU, SHENZHEN))]
            try:
                accept(host, self.draw.choice(self.flows))
            except Refusal:
                return

    def act(self) -> None:
        """A party day."""
        node = self.made[self.draw.choice(CODES)]
        node.execute(HoldActivity(on=node.clock().date(), title=str(self.draw.random())))

    def keep_to_itself(self) -> None:
        """What no peer ever hears."""
        self.node.execute(OpenUnit(name=str(self.draw.random())))

    def carry(self) -> None:
        """One batch, whose answer may be lost."""
        source = self.draw.choice(CODES)
        peer = self.draw.choice(sorted(self.made[source].relay.peers()))
        sender, receiver = self.made[source], self.made[peer]
        sender.relay.number()
        wire, _ = sender.relay.batch(peer, receiver.lanes.standing_in(source).number)
        outcome = receiver.inbox.accept(wire)
        assert outcome.fault is None, outcome.fault
        if self.draw.random() < 0.7:
            sender.relay.acknowledge(outcome.answer)

    # The disaster.

    def fail(self) -> Before:
        """The disk fails, the old backup is put back, the node starts."""
        node, code = self.node, self.code
        witnessed: dict[int, bytes] = {}
        held: dict[Place, StoredEvent] = {}
        lanes: dict[tuple[str, int], str] = {}
        for peer in self.peers:
            book = self.made[peer].lanes
            witnessed |= dict(book.marks(code, 1, 0, 10_000))
            held |= of(ledger(self.made[peer]), code)
            for n in range(book.standing_in(code).number + 1):
                lanes[peer, n] = node.lanes.root_out(peer, n) or ""
        answered = {peer: self.made[peer].lanes.acknowledged(code).number for peer in self.peers}
        before = Before([leaf(r) for r in ledger(node)], witnessed, held, lanes, answered)
        self.made.stage.restore(code, self.backup)
        self.made.restart(code)
        return before

    def hear(self) -> None:
        """The peers are asked and heard, as at any start."""
        healer = self.node.restoring.healer
        healer.greeting.begin()
        healer.greeting.greet(Hands(self.made, self.code))
        for peer in self.peers:
            number = self.node.lanes.standing_in(peer).number
            # Behind a fence of its own it says nothing.
            with suppress(Fenced):
                self.node.inbox.accept(self.made[peer].relay.batch(self.code, number)[0])

    def heal(self) -> None:
        """As the worker does, and an operator where it is needed."""
        restoring, hands = self.node.restoring, Hands(self.made, self.code)
        for _ in range(ROUNDS):
            for peer in self.node.relay.held:
                restoring.take(peer)
            if self.node.fence.raised is None and not self.node.relay.held:
                return
            if not restoring.step(hands) and restoring.report()["state"] == "wanting":
                restoring.renew(WISH)
        raise AssertionError(restoring.report())

    def go_on(self) -> None:
        """Life goes on, and settles."""
        for _ in range(3):
            self.made.settle()
            self.sign()
        self.made.settle()

    # What must be true.

    def check(self, before: Before) -> None:
        """Nothing is lost, nothing contradicts, the lanes go on."""
        node = self.node
        mine = of(ledger(node), self.code)
        assert all(mine.get(place) == record for place, record in before.held.items())
        for (peer, n), root in before.lanes.items():
            assert node.lanes.root_out(peer, n) == root
        for peer in self.peers:
            assert node.lanes.standing_in(peer).number >= before.answered[peer]
        self.level()
        self._consistent(before)

    def level(self) -> None:
        """Both ends of every lane are the same, and nobody accuses anybody."""
        node = self.node
        for peer in self.peers:
            other = self.made[peer]
            for one, two, code in ((node, other, peer), (other, node, self.code)):
                out, in_ = one.lanes.head_out(code), two.lanes.standing_in(one.settings.code)
                assert (out.number, out.root) == (in_.number, in_.root)
            assert of(ledger(node), peer).items() <= of(ledger(other), peer).items()
            assert not other.lanes.contradictions()
            assert not {r for _, r in other.lanes.refused_counts()} - {"fenced"}
        assert not node.lanes.contradictions()

    def _consistent(self, before: Before) -> None:
        """No two checkpoints of one origin contradict each other, whoever holds them."""
        new = [leaf(record) for record in ledger(self.node)]
        signed: dict[int, dict[int, bytes]] = {1: dict(before.witnessed)}
        for each in self.node.database.checkpoints:  # type: ignore[attr-defined]
            known = signed.setdefault(each.epoch, {}).setdefault(each.size, each.root)
            assert known == each.root
            said = Checkpoint.read(Note.read(each.note).text)
            assert (said.size, said.root) == (each.size, each.root)
        epoch = self.node.log.epoch
        for of_epoch, roots in signed.items():
            must_agree(roots, new if of_epoch == epoch else before.leaves)


def must_agree(roots: dict[int, bytes], leaves: list[bytes]) -> None:
    """Each is proved to be the beginning of the next."""
    tree = Naive(leaves)
    for first, second in pairwise(sorted(roots)):
        proof = tree.subproof(first, 0, second)
        consistent(ours(), first, second, proof, roots[first], roots[second])
