"""联邦: several organizations' nodes in one test, whose lanes are carried by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from api.node import Node
from api.pacts import usual
from api.service import Who
from api.settings import Settings
from api.storage.database import Database
from domain.aggregate import Stamp, current
from domain.commands import AcceptInflow, OfferCare, RegisterMember, RegisterOutflow
from domain.decisions.home import pact_with
from domain.ledger import Receipt
from domain.pact import Pact
from domain.values import Author, DataClass
from sync.card import read_card
from sync.keys import NodeKeys

NOW = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)
"""The moment at which a federation's clock starts: 2026-01-05, nine in the morning in Jiuquan."""

ORIGIN, CHENGDU, SHENZHEN = "jiuquan", "chengdu", "shenzhen"

EVERYTHING = tuple(each for each in DataClass if each is not DataClass.RESTRICTED)
"""No purpose needs the restricted class yet, so that nobody can agree on it."""

HOST_MAY_OPEN = (DataClass.IDENTITY, DataClass.CONTACT)

ZHANG = "620902197702264860"
"""An invented number with a valid check digit."""


class Clock:
    """A clock the test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


class Federation:
    """Nodes by code; `settle` carries batches and receipts until nobody has news."""

    def __init__(self, url: str, schema: str, stack: ExitStack) -> None:
        self._url, self._schema, self._stack = url, schema, stack
        self.clock = Clock()
        self.nodes: dict[str, Node] = {}

    def found(self, code: str, kind: str = "department") -> Node:
        """A new organization with its node."""
        database = Database(self._url, f"{self._schema}_{code}")
        self._stack.callback(database.close)
        settings = Settings.model_validate({"code": code, "name": code, "kind": kind})
        node = Node(settings, database, NodeKeys.generate(), self.clock)
        self._stack.callback(node.close)
        self.nodes[code] = node
        return node

    def acquaint(
        self,
        one: str,
        other: str,
        grants: tuple[DataClass, ...] = EVERYTHING,
        *,
        told: bool = False,
    ) -> None:
        """Exchange cards; `grants` is what `other` may open of `one`'s.

        Unless `told`, what was agreed stands in no lane: most tests count what travels.
        """
        first, second = self.nodes[one], self.nodes[other]
        for here, there, classes in ((first, second, grants), (second, first, EVERYTHING)):
            card = read_card(there.card())
            here.enrol(card, classes if told else ())
            if not told and classes:
                agree_untold(here, card.sender, classes)

    def carry(self, source: str, destination: str) -> int:
        """Carry one batch and its answer; how many entries were new."""
        sender, receiver = self.nodes[source], self.nodes[destination]
        after = receiver.lanes.standing_in(source).number
        wire, _ = sender.relay.batch(destination, after)
        outcome = receiver.inbox.accept(wire)
        assert outcome.fault is None, outcome.fault
        sender.relay.acknowledge(outcome.answer)
        return outcome.recorded

    def settle(self) -> None:
        """Let everybody work until nothing moves any more."""
        moved = True
        while moved:
            for node in self.nodes.values():
                node.settle()
            moved = any(
                self.carry(source, peer)
                for source, node in self.nodes.items()
                for peer in node.relay.peers()
            )

    def __getitem__(self, code: str) -> Node:
        return self.nodes[code]


def agree_untold(node: Node, peer: str, classes: tuple[DataClass, ...]) -> None:
    """What the peer may open, put down where the peer does not hear of it."""
    terms = usual(classes, node.clock(), node.settings.pact_days)
    author = Author(org=node.settings.code, person="officer")
    stamp = Stamp(author=author, now=node.clock(), correlation=uuid4(), command=uuid4())
    token = current.set(stamp)
    pact = pact_with(node.ledger, peer)
    pact.trigger(Pact.Concluded, peer=peer, terms=terms)
    current.reset(token)
    node.ledger.record(pact)


@contextmanager
def federation(url: str, schema: str) -> Iterator[Federation]:
    """The origin and two stations, acquainted."""
    with ExitStack() as stack:
        made = Federation(url, schema, stack)
        made.found(ORIGIN)
        for code in (CHENGDU, SHENZHEN):
            made.found(code, "station")
            made.acquaint(ORIGIN, code, HOST_MAY_OPEN)
        yield made


def register(node: Node, number: str = ZHANG, **details: Any) -> UUID:
    """A member on file at the origin."""
    said = {
        "name": "张三",
        "number": number,
        "joined_on": date(2000, 7, 1),
        "full_on": date(2001, 7, 1),
        "branch": "肃州区东沟村党支部",
        "phone": "13900001234",
        **details,
    }
    return node.service.execute(RegisterMember.model_validate(said)).id


def depart(node: Node, member: UUID, **details: Any) -> UUID:
    """An absence registered at the origin."""
    said = {
        "member": member,
        "left_on": date(2025, 3, 1),
        "reason": "务工",
        "destination": "四川省成都市",
        **details,
    }
    return node.service.execute(RegisterOutflow.model_validate(said)).id


def hand_over(made: Federation, outflow: UUID, host: str, offer: int = 1) -> Receipt:
    """Offer, accept, confirm."""
    made[ORIGIN].service.execute(OfferCare(outflow=outflow, host=host))
    made.settle()
    receipt = accept(made[host], outflow, offer)
    made.settle()
    return receipt


def accept(node: Node, outflow: UUID, offer: int = 1, **details: Any) -> Receipt:
    """The host says yes."""
    said = {
        "outflow": outflow,
        "offer": offer,
        "branch": "驻外第一党支部",
        "liaison": "李干事",
        "accepted_on": date(2025, 3, 10),
        **details,
    }
    return node.service.execute(AcceptInflow.model_validate(said), Who())
