"""以文件同步: files are lost, doubled and shuffled, and both sides come to hold the same facts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

import pytest

from api.node import Node
from api.storage.server import EmbeddedServer
from domain.commands import OfferCare, RecordContact
from domain.errors import Refusal
from domain.outflow import Outflow
from domain.records import audience
from sync import lane_bundle
from tests.api.support import number
from tests.support.federation import CHENGDU, HOST_MAY_OPEN, ORIGIN, accept, depart, register
from tests.support.stage import Stage, Staged, stage

BOTH = ((ORIGIN, CHENGDU), (CHENGDU, ORIGIN))


@pytest.fixture(scope="module")
def theatre(postgres: EmbeddedServer) -> Iterator[Stage]:
    with stage(postgres.url, "files") as made:
        yield made


@dataclass
class Post:
    """Two organizations, and every file that was ever written between them."""

    made: Staged
    chance: random.Random
    files: dict[str, list[bytes]] = field(default_factory=lambda: {ORIGIN: [], CHENGDU: []})
    outflows: list[UUID] = field(default_factory=list)

    def live(self) -> None:
        """Something happens at one of them."""
        origin, station = self.made[ORIGIN], self.made[CHENGDU]
        self.made.clock.pass_(minutes=7)
        act = self.chance.choice(("offer", "offer", "accept", "contact", "contact"))
        if act == "offer" or not self.outflows:
            outflow = depart(origin, register(origin, number(), phone=None))
            origin.execute(OfferCare(outflow=outflow, host=CHENGDU))
            self.outflows.append(outflow)
            return
        outflow = self.chance.choice(self.outflows)
        try:
            if act == "accept":
                accept(station, outflow)
            else:
                by = self.chance.choice((origin, station))
                said = {"outflow": outflow, "on": date(2026, 1, 4), "method": "电话", "by": "李"}
                by.execute(RecordContact.model_validate({**said, "reached": True}))
        except Refusal:
            pass  # Not there yet, or done before: as in life.

    def export(self, source: str, to: str, *, again: bool = False) -> bool:
        """Write what is new, in as many files as it needs; whether anything was."""
        packed = self.made[source].bundles.pack(to, again=again)
        found = packed is not None
        while packed is not None:
            self.files[to].append(packed.wire)
            packed = self.made[source].bundles.pack(to, go_on=True) if packed.more else None
        return found

    def arrive(self, to: str) -> None:
        """Any file of any age, if it was not lost."""
        if self.files[to]:
            taken = self.made[to].bundles.take(self.chance.choice(self.files[to]))
            assert taken.faults == []
            self.made[to].settle()

    def settle(self) -> None:
        """Export again what may be lost, then exchange every new file until nobody has any."""
        moved = again = True
        while moved:
            moved = False
            for source, to in BOTH:
                self.made[source].settle()
                before = len(self.files[to])
                moved = self.export(source, to, again=again) or moved
                for wire in self.files[to][before:]:
                    assert self.made[to].bundles.take(wire).faults == []
            again = False


def shared(node: Node) -> dict[tuple[object, int], bytes]:
    """Every fact of a stream that somebody else hears of."""
    records = [entry.record for entry in node.ledger.since(0)]
    heard = {record.originator_id for record in records if audience(record)}
    return {
        (r.originator_id, r.originator_version): r.state
        for r in records
        if r.originator_id in heard
    }


SEEDS = [0, 1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 30))]


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_to_the_files_both_end_with_the_same_facts(
    theatre: Stage, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_bundle, "BATCHES_MAX", 2)
    monkeypatch.setattr("sync.relay.ENTRIES_MAX", 4)
    theatre.empty()
    with ExitStack() as stack:
        post = Post(Staged(theatre, stack), random.Random(seed))
        post.made.found(ORIGIN)
        post.made.found(CHENGDU, "station")
        post.made.acquaint(ORIGIN, CHENGDU, HOST_MAY_OPEN)
        for _ in range(40):
            source, to = post.chance.choice(BOTH)
            post.chance.choice((post.live, lambda s=source, t=to: post.export(s, t)))()
            if post.chance.random() < 0.6:
                post.arrive(to)
            if post.chance.random() < 0.05:
                post.made.restart(to)
        post.settle()

        origin, station = post.made[ORIGIN], post.made[CHENGDU]
        assert shared(origin) == shared(station), seed
        assert post.outflows, seed
        for one, other in ((origin, CHENGDU), (station, ORIGIN)):
            head, acknowledged = one.relay.standing(other)
            assert head.number == acknowledged.number, seed
            assert head.root == acknowledged.root, seed
        for wire, to in ((w, t) for t, files in post.files.items() for w in files):
            assert post.made[to].bundles.take(wire).recorded == 0, seed
        for outflow in post.outflows:
            here, there = (n.ledger.look_up(Outflow, outflow) for n in (origin, station))
            assert here.state == there.state, seed
