"""不变式: what must hold of every history once the faults have ended."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.aggregate import Fact
from domain.inflow import Inflow
from domain.member import Member
from domain.outflow import Outflow
from domain.records import PERSONAL, decode, digest, open_field
from tests.simulation.asking import CODES
from tests.simulation.world import Broken, World


@dataclass
class Holding:
    """What one node holds at the end."""

    streams: dict[UUID, list[StoredEvent]] = field(default_factory=lambda: defaultdict(list))
    facts: dict[UUID, list[Fact]] = field(default_factory=lambda: defaultdict(list))

    def keeper(self, stream: UUID) -> str:
        return self.facts[stream][0].meta.keeper

    def audience(self, stream: UUID) -> set[str]:
        return {code for fact in self.facts[stream] for code in fact.meta.audience}


def must(holds: object, sentence: str, **facts: object) -> None:
    """Raise unless it holds."""
    if not holds:
        raise Broken(f"{sentence} {facts}")


def check(world: World) -> None:
    """All of them.

    Raises:
        Broken: with what does not hold.
    """
    held = {code: _holding(world, code) for code in CODES}
    for code in CODES:
        _contiguous(held[code], code)
        _nothing_set_aside(world, code)
        _each_in_one_care(world, held[code], code)
    for pair in permutations(CODES, 2):
        _equal(held, *pair)
        _acknowledged(world, *pair)
        _opened_as_granted(world, held, *pair)
    _answered_once(world, held)
    _acceptances_settled(held)
    _read_models_stand(world)


def _holding(world: World, code: str) -> Holding:
    holding, ledger, position = Holding(), world.nodes[code].ledger, 0
    while entries := ledger.since(position):
        for entry in entries:
            stream = entry.record.originator_id
            assert isinstance(stream, UUID)
            fact = decode(entry.record)
            assert fact is not None
            holding.streams[stream].append(entry.record)
            holding.facts[stream].append(fact)
        position = entries[-1].position
    return holding


def _contiguous(held: Holding, code: str) -> None:
    for stream, records in held.streams.items():
        versions = [record.originator_version for record in records]
        expected = list(range(1, len(records) + 1))
        must(versions == expected, "Versions 1..n in order.", at=code, stream=stream, got=versions)


def _equal(held: dict[str, Holding], keeper: str, peer: str) -> None:
    """A peer holds what it is in the audience of, whole, the same bytes, and nothing else."""
    ours, theirs = held[keeper], held[peer]
    shared = {s for s in ours.streams if ours.keeper(s) == keeper and peer in ours.audience(s)}
    there = {s for s in theirs.streams if theirs.keeper(s) == keeper}
    must(
        shared == there,
        "A peer holds what it may hear.",
        keeper=keeper,
        peer=peer,
        missing=shared - there,
        more=there - shared,
    )
    for stream in shared:
        same = ours.streams[stream] == theirs.streams[stream]
        must(same, "The same bytes.", keeper=keeper, peer=peer, stream=stream)


def _acknowledged(world: World, keeper: str, peer: str) -> None:
    head, told = world.nodes[keeper].relay.standing(peer)
    standing = world.nodes[peer].lanes.standing_in(keeper)
    same = (head.number, head.root) == (told.number, told.root) == standing[:2]
    must(
        same,
        "Head, receipt and inbox agree.",
        keeper=keeper,
        peer=peer,
        head=head.number,
        told=told.number,
        standing=standing.number,
    )


def _nothing_set_aside(world: World, code: str) -> None:
    """The only refusals are of messages that were bent."""
    lanes = world.nodes[code].lanes
    rows = [r for r in lanes.quarantined(0, 1000) if r["stream"] is not None]
    must(not rows, "Nothing is quarantined.", at=code, rows=rows[:2])
    bent = {(peer, "roots-differ"): n for (at, peer), n in world.bent.items() if at == code}
    counts = lanes.refused_counts()
    crashed = world.crashes > 0  # A node may fall over before it has counted.
    same = counts == bent or (crashed and all(counts.get(k, 0) >= n for k, n in bent.items()))
    must(same, "Refused is what was bent.", at=code, counts=counts, bent=bent)


def _each_in_one_care(world: World, held: Holding, code: str) -> None:
    """Walk every absence anew, by rules written down here a second time."""
    ledger = world.nodes[code].ledger
    for stream, facts in held.facts.items():
        if not isinstance(facts[0], Outflow.Registered):
            continue
        carer = _walk(facts)
        view = ledger.look_up(Outflow, stream)
        must(view.carer == carer, "The carer.", at=code, outflow=stream, view=view.carer)
        still = [stay for stay in view.stays if stay.to is None]
        must(len(still) <= 1, "Held twice.", at=code, outflow=stream, stays=view.stays)
        must(_row(world, code, stream) == carer, "The board's carer.", at=code, outflow=stream)
        if member := ledger.find(Member, view.member):
            away = member.away == stream
            must(away == (view.state in _OPEN), "Away while it is open.", at=code, outflow=stream)


_OPEN = ("待登记", "待报到", "去向未明", "在流入地管理")


def _row(world: World, code: str, outflow: UUID) -> str | None:
    with world.nodes[code].database.connection() as conn:
        found = conn.execute("SELECT carer FROM custody_flow WHERE outflow = %s", (outflow,))
        row = found.fetchone()
    return row[0] if row else None


def _walk(facts: list[Fact]) -> str:
    keeper = facts[0].meta.keeper
    carer, waiting, over = keeper, None, False
    for fact in facts[1:]:
        at = {"outflow": fact.originator_id, "version": fact.originator_version}
        ends_offer = isinstance(fact, Outflow.Recalled | Outflow.Lapsed | Outflow.TurnedDown)
        steps = isinstance(fact, Outflow.Offered | Outflow.Confirmed | Outflow.Relocated)
        if over:
            must(not steps and not ends_offer, "Over is over.", **at)
        match fact:
            case Outflow.Offered():
                must(waiting is None and carer == keeper, "One offer, and a free member.", **at)
                waiting = (fact.offer, fact.host)
            case Outflow.Confirmed():
                must(waiting == (fact.offer, fact.host), "Confirmed while it waits.", **at)
                carer, waiting = fact.host, None
            case Outflow.Relocated():
                must(waiting is None, "Moved on while an offer waits.", **at)
                carer = keeper
            case Outflow.Returned() | Outflow.Voided() | Outflow.Closed():
                carer, waiting, over = keeper, None, True
            case _ if ends_offer:
                number: Any = getattr(fact, "offer", None)
                must(waiting and waiting[0] == number, "Ended while it waits.", **at)
                waiting = None
    return carer


def _acceptances_settled(held: dict[str, Holding]) -> None:
    """Whoever accepted sees what became of it, and so does who was accepted from."""
    for host, holding in held.items():
        for stream, facts in holding.facts.items():
            for fact, record in zip(facts, holding.streams[stream], strict=True):
                if isinstance(fact, Inflow.Accepted) and fact.meta.keeper == host:
                    _settled_on_both_sides(held, host, fact, digest(record))


def _settled_on_both_sides(
    held: dict[str, Holding], host: str, fact: Inflow.Accepted, acceptance: str
) -> None:
    origin = held[host].keeper(fact.outflow)
    for code in (host, origin):
        answers = [
            type(answer).__name__
            for answer in held[code].facts[fact.outflow]
            if isinstance(answer, Outflow.Confirmed | Outflow.AcceptanceVoid)
            and answer.acceptance == acceptance
        ]
        must(
            len(answers) == 1,
            "Each acceptance has one answer.",
            at=code,
            answers=answers,
            outflow=fact.outflow,
        )
    confirmed = [f for f in held[origin].facts[fact.outflow] if isinstance(f, Outflow.Confirmed)]
    known = {digest(record) for records in held[origin].streams.values() for record in records}
    must(
        {f.acceptance for f in confirmed} <= known,
        "Confirmed is what was accepted.",
        outflow=fact.outflow,
    )


def _opened_as_granted(world: World, held: dict[str, Holding], keeper: str, peer: str) -> None:
    keyring, classes = world.nodes[peer].keyring, world.granted[keeper, peer]
    for facts in held[peer].facts.values():
        for fact in facts if facts[0].meta.keeper == keeper else ():
            for name, data_class in PERSONAL[fact.TOPIC]:
                if getattr(fact, name) is None:
                    continue
                opens = open_field(fact, name, keyring) is not None
                must(
                    opens == (data_class in classes),
                    "Opened as granted.",
                    peer=peer,
                    topic=fact.TOPIC,
                    name=name,
                    opens=opens,
                )


def _answered_once(world: World, held: dict[str, Holding]) -> None:
    """What was answered is there, once."""
    seen: dict[str, dict[Any, set[tuple[UUID, int]]]] = {code: {} for code in CODES}
    for code, holding in held.items():
        for facts in holding.facts.values():
            for fact in facts:
                if fact.meta.keeper == code and fact.meta.author.person != "waystation":
                    places = seen[code].setdefault(fact.meta.correlation, set())
                    places.add((fact.originator_id, fact.originator_version))
    for done in world.done:
        places = seen[done.code].get(world.command_id(done), set())
        first = (done.receipt.id, done.receipt.version)
        # A command that had nothing left to do answers with what is there already.
        there = len(held[done.code].streams[done.receipt.id]) >= done.receipt.version
        must(first in places or (not places and there), "Answered is recorded.", key=done.key)
        streams = [stream for stream, _ in places]
        must(len(streams) == len(set(streams)), "Recorded once.", key=done.key, places=places)


THOROUGH = 10
"""One history in so many rebuilds every read model of every node, the others one of one node."""


def _read_models_stand(world: World) -> None:
    """Read anew from the first fact, nothing changes."""
    for code, node in world.nodes.items():
        must(not node.projector.stopped, "Reading goes on.", at=code, why=node.projector.stopped)
        names = sorted(node.projector.projections)
        if world.seed % THOROUGH:
            turn = world.seed % (len(CODES) * len(names))
            names = [names[turn // len(CODES)]] if CODES[turn % len(CODES)] == code else []
        for name in names:
            must(node.projector.rebuild(name), "A rebuild changes nothing.", at=code, name=name)
