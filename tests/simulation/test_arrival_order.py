"""次序无关: whatever order concurrent facts of two nodes arrive in, the same is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from math import comb, factorial
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent, Tracking

from api.node import Node
from domain.commands import (
    Command,
    CorrectContact,
    EndInflow,
    HoldActivity,
    MarkAttendance,
    OfferCare,
    RecordContact,
    RecordInflowDetails,
    RecordPhone,
    RecordVisit,
    ReportLost,
)
from domain.inflow import Inflow
from domain.ledger import Entry
from domain.outflow import Outflow
from projections.projection import Projection, Row, Rows
from sync import relay
from tests.simulation.histories import COUNT
from tests.simulation.scripts import Scripted, accepted
from tests.support.federation import CHENGDU, ORIGIN
from tests.support.memory.stage import MemoryStage

SETS = max(1, COUNT // 50)
"""Generated sets of facts: two hundred of ten thousand histories."""

MOST = 7
"""Concurrent facts of one set; 5,040 orders."""

ALL_SEVEN = 10
"""One set in so many has seven, the others three to six: their orders are tried to the last."""


chunks = pytest.mark.parametrize(
    "seeds", [range(n, SETS, 8) for n in range(min(8, SETS))], ids=lambda seeds: f"from {seeds[0]}"
)


class Apart(NamedTuple):
    """An origin and a host that go on without hearing each other, and where each began."""

    world: Scripted
    outflow: UUID
    before: dict[str, int]


def _contact(outflow: UUID, n: int) -> RecordContact:
    said = {"outflow": outflow, "on": "2026-01-04", "method": "电话", "by": f"李{n}"}
    return RecordContact.model_validate(said)


def _asked(apart: Apart, rng: Random, code: str, n: int) -> Command:
    """Something one of the two may ask for, whatever the other asks."""
    outflow = apart.outflow
    node = apart.world.nodes[code]
    made = [r["contact"] for r in _rows(node, "contact") if r["org"] == code]
    visit = {"outflow": outflow, "on": "2026-01-04", "festival": "元旦", "by": "李"}
    asked: list[Command] = [
        _contact(outflow, n),
        RecordVisit.model_validate(visit),
        CorrectContact(contact=rng.choice(made), reason="误记", reached=rng.random() < 0.5),
        HoldActivity.model_validate({"on": "2026-01-04", "title": f"主题党日{n}"}),
    ]
    if code == ORIGIN:
        absence = node.ledger.look_up(Outflow, outflow)
        asked += [
            RecordPhone(member=absence.member, phone=f"139{n:08d}"),
            ReportLost(outflow=outflow, basis="电话未通"),
        ]
    else:
        inflow = Inflow.id_of(outflow, code)
        ended = {"inflow": inflow, "because": "other", "ended_on": "2026-01-04"}
        held = [r["activity"] for r in _rows(node, "activity") if r["org"] == code]
        asked += [
            RecordInflowDetails(inflow=inflow, phone=f"138{n:08d}"),
            EndInflow.model_validate(ended),
        ]
        if held:
            mark = {"activity": rng.choice(held), "outflow": outflow, "mark": "present"}
            asked.append(MarkAttendance.model_validate(mark))
    return rng.choice(asked)


def _rows(node: Node, table: str) -> list[Row]:
    while node.projector.catch_up():
        pass
    database: Any = node.database
    return list(database.rows[table].values())


def _go_on(apart: Apart, rng: Random, most: int) -> None:
    """Each records some facts of its own."""
    for n in range(100):
        if len(_own(apart)) + len(_waiting(apart)) >= most:
            break
        code = rng.choice((ORIGIN, CHENGDU))
        apart.world.tries(code, _asked(apart, rng, code, n))


def _own(apart: Apart) -> list[StoredEvent]:
    """What the origin has recorded since."""
    return [e.record for e in apart.world.nodes[ORIGIN].ledger.since(apart.before[ORIGIN])]


def _waiting(apart: Apart) -> list[bytes]:
    """What the host has for the origin, an entry a batch."""
    host, wires = apart.world.nodes[CHENGDU], []
    host.relay.number()
    after = apart.world.nodes[ORIGIN].lanes.standing_in(CHENGDU).number
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relay, "ENTRIES_MAX", 1)
        while True:
            wire, last = host.relay.batch(ORIGIN, after)
            if last == after:
                return wires
            wires.append(wire)
            after = last


def _digest(tables: dict[str, list[Row]]) -> str:
    said = sorted(
        f"{name} {sorted(map(str, row.items()))}" for name in tables for row in tables[name]
    )
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


READ = ("roster", "custody", "contacts", "activities", "affiliations")


def _read(node: Node) -> str:
    found = {
        table.name: _rows(node, table.name)
        for name in READ
        for table in node.projector.projections[name].tables
    }
    return _digest(found)


def _arrive_in_every_order(stage: MemoryStage, seed: int, most: int) -> int:
    """The origin hears the host's facts before, between and after its own, in every order."""
    rng = Random(seed)
    world = Scripted(stage)
    with world.alive():
        apart = _apart(world)
        backup, read, orders = stage.snapshot(ORIGIN), set(), 0
        _go_on(apart, rng, most)
        own, theirs = _own(apart), _waiting(apart)
        for order in _interleaved(len(own), len(theirs)):
            stage.restore(ORIGIN, backup)
            world.start(ORIGIN)
            origin, mine, heard = world.nodes[ORIGIN], iter(own), iter(theirs)
            for number, is_own in enumerate(order, 1):
                if is_own:
                    origin.ledger.replicate([next(mine)], Tracking("again", number))
                else:
                    outcome = origin.inbox.accept(next(heard))
                    assert (outcome.fault, outcome.parked) == (None, 0), (seed, order)
            read.add(_read(origin))
            orders += 1
    assert orders == comb(len(own) + len(theirs), len(own))
    assert len(read) == 1, f"seed {seed}: {len(read)} outcomes"
    return orders


def _interleaved(first: int, second: int) -> Iterator[list[bool]]:
    """Every order of two rows in which each keeps its own."""
    for places in combinations(range(first + second), first):
        yield [n in places for n in range(first + second)]


def _apart(world: Scripted) -> Apart:
    """A member in Chengdu's care, with contacts of both."""
    outflow = world.away()
    world.do(ORIGIN, OfferCare(outflow=outflow, host=CHENGDU))
    world.meet(ORIGIN, CHENGDU)
    world.do(CHENGDU, accepted(outflow))
    world.meet(ORIGIN, CHENGDU)
    for code in (ORIGIN, CHENGDU):
        for n in range(2):
            world.do(code, _contact(outflow, n))
    world.meet(ORIGIN, CHENGDU)
    both = (ORIGIN, CHENGDU)
    return Apart(world, outflow, {code: world.nodes[code].ledger.head for code in both})


# Read in every order at all.


def _concurrent(apart: Apart, rng: Random, most: int) -> tuple[list[Entry], list[list[Entry]]]:
    """What came before, and streams' news of the two nodes: none of it follows from another's."""
    _go_on(apart, rng, most * 2)
    origin = apart.world.nodes[ORIGIN]
    for wire in _waiting(apart):
        assert origin.inbox.accept(wire).fault is None
    entries = origin.ledger.since(0)
    before = [entry for entry in entries if entry.position <= apart.before[ORIGIN]]
    news: dict[UUID, list[Entry]] = {}
    for entry in entries[len(before) :]:
        news.setdefault(entry.record.originator_id, []).append(entry)
    return before, list(news.values())[:most]


class Reader:
    """The read models over rows in memory, from what came before on."""

    def __init__(self, node: Node, before: Sequence[Entry]) -> None:
        self._projections = [node.projector.projections[name] for name in READ]
        self._base: list[dict[str, Rows]] = []
        for projection in self._projections:
            rows = {table.name: Rows(table, ()) for table in projection.tables}
            projection.apply([e for e in before if projection.wants(e.record.topic)], rows)
            self._base.append(rows)

    def read(self, order: Sequence[Sequence[Entry]]) -> str:
        """What is read when streams' news come in this order."""
        found: dict[str, list[Row]] = {}
        for projection, base in zip(self._projections, self._base, strict=True):
            rows = {name: _copy(held) for name, held in base.items()}
            _apply(projection, order, rows)
            found |= {name: list(held.changed.values()) for name, held in rows.items()}
        return _digest(found)


def _copy(held: Rows) -> Rows:
    copied = Rows(held.table, (dict(row) for row in held.changed.values()))
    copied.changed = dict(copied._rows)  # noqa: SLF001 - rows that are there count as well.
    return copied


def _apply(projection: Projection, order: Sequence[Sequence[Entry]], rows: dict[str, Rows]) -> None:
    for news in order:
        for entry in news:
            if projection.wants(entry.record.topic) and entry.fact is not None:
                projection.project(entry.fact, rows)


def _read_in_every_order(stage: MemoryStage, seed: int, most: int) -> int:
    rng, world = Random(seed), Scripted(stage)
    with world.alive():
        apart = _apart(world)
        before, news = _concurrent(apart, rng, most)
        reader = Reader(world.nodes[ORIGIN], before)
        first = reader.read(news)
        for order in permutations(news):
            assert reader.read(order) == first, f"seed {seed}: {[_told(n) for n in order]}"
    return factorial(len(news))


def _told(news: Sequence[Entry]) -> list[str]:
    return [entry.record.topic for entry in news]


@pytest.mark.parametrize("seed", range(3))
def test_a_few_sets_arrive_in_every_order(volume: MemoryStage, seed: int) -> None:
    assert _arrive_in_every_order(volume, seed, 5) >= 5


@pytest.mark.parametrize("seed", range(3))
def test_a_few_sets_are_read_in_every_order(volume: MemoryStage, seed: int) -> None:
    assert _read_in_every_order(volume, seed, 4) == 24


@pytest.mark.simulation
@chunks
def test_two_lanes_arrive_in_every_order(volume: MemoryStage, seeds: range) -> None:
    for seed in seeds:
        _arrive_in_every_order(volume, seed, MOST)


@pytest.mark.simulation
@chunks
def test_concurrent_facts_are_read_in_every_order(volume: MemoryStage, seeds: range) -> None:
    for seed in seeds:
        most = MOST if seed % ALL_SEVEN == 0 else 3 + seed % (MOST - 3)
        assert _read_in_every_order(volume, seed, most) == factorial(most)


def test_the_watch_would_see_a_difference(volume: MemoryStage) -> None:
    """A read model in which the last to arrive wins is found out."""
    with pytest.MonkeyPatch.context() as patch:
        from projections.contacts import Contacts  # noqa: PLC0415

        project = Contacts.project

        def last_wins(self: Any, fact: Any, rows: Any) -> None:
            project(self, fact, rows)
            for table in rows.values():
                for key in list(table.changed)[:1]:
                    table.put(key, org=fact.meta.keeper, by=str(fact.originator_id))

        patch.setattr(Contacts, "project", last_wins)
        with pytest.raises(AssertionError, match="seed 0"):
            _read_in_every_order(volume, 0, 4)
