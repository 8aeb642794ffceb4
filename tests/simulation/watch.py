"""看守: what each node has been seen to hold, and the invariants that hold after every step.

The numbers are those of the invariants in the project's requirements on reliability, 2.2. What can
only be said once the faults have ended stands in `checks`, and 12 (erasure) in `erasing`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import permutations
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.aggregate import Fact
from domain.ledger import Entry
from domain.member import Member
from domain.outflow import Outflow
from domain.transfer import Transfer
from sync.authority import OPENING
from sync.lane import ANSWERS_MAX
from sync.pushing import IN_FLIGHT_MAX
from tests.simulation.affiliation import Files, Passed
from tests.simulation.broken import must


@dataclass
class Care:
    """Who has the daily care of one absence: the rules, written down here a second time."""

    keeper: str
    carer: str
    waiting: tuple[int, str, datetime] | None = None
    over: bool = False

    def step(self, fact: Fact) -> None:
        """One more fact of the absence."""
        at = {"outflow": fact.originator_id, "version": fact.originator_version}
        ends_offer = isinstance(fact, Outflow.Recalled | Outflow.Lapsed | Outflow.TurnedDown)
        steps = isinstance(fact, Outflow.Offered | Outflow.Confirmed | Outflow.Relocated)
        if self.over:
            must(not steps and not ends_offer, "Legal: over is over.", **at)
        waiting = self.waiting
        match fact:
            case Outflow.Offered():
                free = waiting is None and self.carer == self.keeper
                must(free, "Conserved: one offer, and a free member.", **at)
                self.waiting = (fact.offer, fact.host, fact.until)
            case Outflow.Confirmed():
                same = waiting is not None and waiting[:2] == (fact.offer, fact.host)
                must(same, "Conserved: confirmed while it waits.", **at)
                self.carer, self.waiting = fact.host, None
            case Outflow.Relocated():
                must(waiting is None, "Legal: moved on while an offer waits.", **at)
                self.carer = self.keeper
            case Outflow.Returned() | Outflow.Voided() | Outflow.Closed():
                self.carer, self.waiting, self.over = self.keeper, None, True
            case _ if ends_offer:
                number: Any = getattr(fact, "offer", None)
                must(waiting and waiting[0] == number, "Legal: ended while it waits.", **at)
                due = waiting is None or fact.meta.recorded_at >= waiting[2]
                must(due or not isinstance(fact, Outflow.Lapsed), "Legal: not yet due.", **at)
                self.waiting = None


@dataclass
class Account:
    """What one node has been seen to hold."""

    code: str
    entries: list[Entry] = field(default_factory=list)
    streams: dict[UUID, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    care: dict[UUID, Care] = field(default_factory=dict)
    passed: dict[UUID, Passed] = field(default_factory=lambda: defaultdict(Passed))

    def keeper(self, stream: UUID) -> str:
        """Who keeps a stream, by its first fact."""
        return fact_of(self.streams[stream][0]).meta.keeper

    def audience(self, stream: UUID) -> set[str]:
        """Who may hear of a stream."""
        return {code for entry in self.streams[stream] for code in fact_of(entry).meta.audience}

    def facts(self, stream: UUID) -> list[Fact]:
        """What a stream says."""
        return [fact_of(entry) for entry in self.streams.get(stream, [])]


def fact_of(entry: Entry) -> Fact:
    """A fact of a topic known here: there are no others in these histories."""
    fact = entry.fact
    assert fact is not None
    return fact


def _news(node: Any, account: Account) -> list[Entry]:
    found: list[Entry] = []
    while entries := node.ledger.since(len(account.entries) + len(found)):
        found += entries
    return found


class Watch:
    """Looks at what is new in every ledger."""

    def __init__(self, codes: tuple[str, ...]) -> None:
        self.accounts = {code: Account(code) for code in codes}
        self.said: dict[tuple[UUID, int], list[StoredEvent]] = defaultdict(list)
        """What the keeper of a stream has ever recorded at a place."""
        self.heard_by: dict[UUID, set[str]] = defaultdict(set)
        self.roots: dict[tuple[str, str, int], str] = {}
        self.told: dict[tuple[str, str], int] = {}
        self.signed: dict[str, dict[tuple[int, int], bytes]] = defaultdict(dict)
        """By organization, epoch and size, the roots it has signed and somebody knows of."""
        self.unkept: dict[str, set[tuple[int, int]]] = defaultdict(set)
        """Of those, which it has forgotten itself."""
        self.gone: set[UUID] = set()
        """Streams that had said something which nobody else had when it was lost with a disk."""
        self.unwitnessed: set[tuple[str, str, int, int]] = set()
        """By organization, witness, epoch and size, what a witness has cosigned and forgotten."""
        self.fenced: set[str] = set()
        """Whose fence was up when it was looked last."""
        self.files = Files()
        self.poison: dict[UUID, str] = {}
        """By stream, its keeper: whoever receives an entry of it must refuse it."""

    def keep(self, record: StoredEvent, *audience: str) -> None:
        """A keeper without a node has said this."""
        stream: Any = record.originator_id
        self.said[stream, record.originator_version].append(record)
        self.heard_by[stream] |= set(audience)

    def look(self, nodes: dict[str, Any]) -> None:
        """Take in what the nodes have recorded since; first what each says, then who heard it.

        Raises:
            Broken.
        """
        news = {code: _news(node, self.accounts[code]) for code, node in nodes.items()}
        persons: dict[UUID, None] = {}
        for code, entries in news.items():
            for entry in entries:
                fact = fact_of(entry)
                if fact.meta.keeper == code:
                    self._was_said(code, entry.record)
                    self.keep(entry.record, *fact.meta.audience)
                    if fact.AGGREGATE is Member:
                        persons[self.files.take(entry, fact)] = None
        for person in persons:
            self.files.line(person)
        for code, entries in news.items():
            for entry in entries:
                self.take(self.accounts[code], entry)
            for stream in dict.fromkeys(entry.record.originator_id for entry in entries):
                self._remembered(self.accounts[code], stream, nodes[code])
        self.fenced = {code for code, node in nodes.items() if node.fence.raised is not None}

    def _was_said(self, code: str, record: StoredEvent) -> None:
        """Behind a fence nothing is recorded but what was before."""
        stream: Any = record.originator_id
        again = record in self.said.get((stream, record.originator_version), ())
        fits = again or code not in self.fenced
        must(fits, "Fenced: nothing new is recorded.", at=code, topic=record.topic)

    def take(self, account: Account, entry: Entry) -> None:
        """Check one new entry of a ledger."""
        order(account, entry)
        fact = fact_of(entry)
        if fact.originator_id in self.poison:
            must(fact.meta.keeper == account.code, "Isolated: poison stays out.", at=account.code)
        else:
            legal(account, fact)
        if fact.meta.keeper == account.code:
            must(fact.meta.author.org == account.code, "Authentic: our own pen.", at=account.code)
        else:
            self.authentic(account, entry.record)
            self.scope(account, entry.record)
        account.entries.append(entry)
        account.streams[fact.originator_id].append(entry)

    def authentic(self, account: Account, record: StoredEvent) -> None:
        """8: what is held of a peer's is what that peer has recorded, byte for byte."""
        stream: Any = record.originator_id
        said = self.said.get((stream, record.originator_version), [])
        must(record in said, "Authentic: the keeper said so.", at=account.code, topic=record.topic)

    def scope(self, account: Account, record: StoredEvent) -> None:
        """9: nobody holds what he is not in the audience of."""
        stream: Any = record.originator_id
        hears = account.code in self.heard_by[stream]
        must(hears, "Scope: in the audience.", at=account.code, topic=record.topic)

    def _remembered(self, account: Account, stream: Any, node: Any) -> None:
        """What a node remembers of an absence is what its ledger says."""
        care = account.care.get(stream)
        if care is None:
            return
        view = node.ledger.find(Outflow, stream)
        carer = view and view.carer
        must(carer == care.carer, "Conserved: the carer.", at=account.code, view=carer)
        held = [stay for stay in view.stays if stay.to is None]
        must(len(held) <= 1, "Conserved: held twice.", at=account.code, stays=view.stays)

    def held(self, stream: Any, version: int) -> bool:
        """Whether anybody holds a fact."""
        return any(len(a.streams.get(stream, ())) >= version for a in self.accounts.values())

    def about_gone(self, entries: Iterable[Entry]) -> bool:
        """Whether facts speak of something that is lost for good."""
        gone = self.gone and b" ".join(entry.record.state for entry in entries).decode()
        return bool(gone) and any(str(stream) in str(gone) for stream in self.gone)

    def rewind(self, code: str, position: int) -> None:
        """A node has been put back: what came after is gone there, though not from memory here."""
        entries = self.accounts[code].entries
        kept, lost = entries[:position], entries[position:]
        account = self.accounts[code] = Account(code)
        for entry in kept:
            if entry.record.originator_id not in self.poison:
                legal(account, fact_of(entry))
            account.entries.append(entry)
            account.streams[fact_of(entry).originator_id].append(entry)
        for entry in lost:
            if not self.held(entry.record.originator_id, entry.record.originator_version):
                self.gone.add(fact_of(entry).originator_id)
        self.fenced.discard(code)
        self.files.rebuild(self.accounts)
        self.told = {way: number for way, number in self.told.items() if way[0] != code}

    def forget(self, nodes: dict[str, Any]) -> None:
        """What a node has numbered or signed counts as long as it, or a peer, knows of it."""
        known = {
            (a, b): max(nodes[a].lanes.head_out(b).number, nodes[b].lanes.standing_in(a).number)
            for a, b in permutations(nodes, 2)
        }
        self.roots = {at: root for at, root in self.roots.items() if at[2] <= known[at[:2]]}
        for us, them in permutations(nodes, 2):
            at = nodes[us].lanes.cosigned(them)
            if nodes[them].lanes.witnessed_at(us, *at) is None:
                self.unwitnessed.add((us, them, *at))
        for code, node in nodes.items():
            books = [nodes[peer].lanes for peer in nodes if peer != code]
            for at in list(self.signed[code]):
                if node.log.signed_at(*at) is not None:
                    continue
                self.unkept[code].add(at)
                if not any(book.witnessed_at(code, *at) for book in books):
                    del self.signed[code][at]

    # Lanes.

    def lane(self, source: str, destination: str, number: int, root: str) -> None:
        """10, as far as it can hold today: a lane has one root at each number."""
        known = self.roots.setdefault((source, destination, number), root)
        lane = f"{source} → {destination}"
        must(known == root, "Append-only: one root at a number.", lane=lane, number=number)

    def checkpoint(self, code: str, epoch: int, size: int, root: bytes) -> None:
        """10: an organization signs one root at each size of its ledger."""
        known = self.signed[code].setdefault((epoch, size), root)
        must(known == root, "Append-only: one root at a size.", at=code, epoch=epoch, size=size)

    def acknowledged(self, source: str, destination: str, number: int) -> None:
        """What a peer has acknowledged stays acknowledged."""
        before = self.told.get((source, destination), 0)
        lane = f"{source} → {destination}"
        must(number >= before, "Durable: acknowledged is acknowledged.", lane=lane, number=number)
        self.told[source, destination] = number


def order(account: Account, entry: Entry) -> None:
    """3, 4: positions and versions follow one another, so that nothing is in effect twice."""
    at, record = account.code, entry.record
    stream: Any = record.originator_id
    must(entry.position == len(account.entries) + 1, "Order: positions.", at=at, got=entry.position)
    expected = len(account.streams.get(stream, ())) + 1
    got = record.originator_version
    must(got == expected, "Order: versions 1..n.", at=at, topic=record.topic, got=got)


def legal(account: Account, fact: Fact) -> None:
    """6, 7: every step of an absence is one of the handover's, and streams open as they may."""
    stream = fact.originator_id
    if fact.originator_version == 1:
        own = fact.TOPIC.startswith("organization.") and fact.meta.keeper == account.code
        must(own or fact.TOPIC in OPENING, "Legal: how a stream opens.", topic=fact.TOPIC)
    if fact.AGGREGATE is Transfer:
        account.passed[stream].step(fact)
    if fact.AGGREGATE is not Outflow:
        return
    care = account.care.get(stream)
    if care is None:
        care = account.care[stream] = Care(fact.meta.keeper, fact.meta.keeper)
    must(fact.meta.keeper == care.keeper, "Conserved: one keeper.", at=account.code)
    care.step(fact)


def bounded(queues: dict[str, tuple[int, int]]) -> None:
    """14: what waits in memory stays under its limits."""
    for peer, (answers, flying) in queues.items():
        fits = answers <= ANSWERS_MAX and flying <= IN_FLIGHT_MAX
        must(fits, "Bounded: queues.", peer=peer, answers=answers, flying=flying)


def durable(account: Account, stream: UUID, version: int) -> None:
    """1: what was answered is there."""
    there = len(account.streams.get(stream, ()))
    must(there >= version, "Durable: answered is recorded.", at=account.code, stream=stream)
