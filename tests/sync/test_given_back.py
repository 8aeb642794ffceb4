"""文件归还: who restored an old backup gets its facts back from a peer that files alone reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import date
from random import Random
from typing import Any
from uuid import UUID

import pytest

from api.node import Node
from api.restoring import BackupRestored
from domain.commands import OfferCare, OpenUnit, RecordContact
from domain.errors import Refusal
from sync.bundle_report import Packed, Taken
from sync.card import read_card
from sync.errors import Fenced, Forged, Malformed, Misaddressed
from sync.given_back import AskBack, NotGiven
from sync.taking_back import NotReached
from tests.api.support import number
from tests.support.federation import (
    CHENGDU,
    HOST_MAY_OPEN,
    ORIGIN,
    SHENZHEN,
    accept,
    depart,
    register,
)
from tests.support.memory.stage import MemoryStage
from tests.support.stage import Stage, Staged
from tests.sync.restoring import WISH, Place, ledger, of

RESTORES = 60


class Nobody:
    """No network leads anywhere."""

    def returned(self, peer: str, *_: int) -> bytes:
        raise NotReached(peer=peer)

    def batch(self, peer: str, _: int) -> bytes:
        raise NotReached(peer=peer)


class Desks:
    """Two organizations that exchange files, the one of which is put back."""

    def __init__(self, made: Staged, draw: Random, *, private: bool) -> None:
        self.made, self.draw, self.private = made, draw, private
        made.found(ORIGIN)
        made.found(CHENGDU, "station")
        for us, them in ((ORIGIN, CHENGDU), (CHENGDU, ORIGIN)):
            classes = HOST_MAY_OPEN if us == ORIGIN else ()
            made[us].enrol(read_card(made[them].card()), classes, "bundle")
        self.flows: list[UUID] = []
        self.held: dict[Place, Any] = {}
        """The node's own facts that the peer had when the disk failed."""
        self.exchange()
        self.backup = made.stage.snapshot(ORIGIN)

    @property
    def node(self) -> Node:
        return self.made[ORIGIN]

    def export(self, source: str, *, again: bool = False) -> list[Packed]:
        """As many files as it takes."""
        to = CHENGDU if source == ORIGIN else ORIGIN
        packed, found = self.made[source].bundles.pack(to, again=again), list[Packed]()
        while packed is not None:
            found.append(packed)
            packed = self.made[source].bundles.pack(to, go_on=True) if packed.more else None
        return found

    def bring(self, source: str, *, again: bool = False) -> list[Taken]:
        """All of them arrive."""
        to = self.made[CHENGDU if source == ORIGIN else ORIGIN]
        return [to.bundles.take(each.wire) for each in self.export(source, again=again)]

    def exchange(self) -> None:
        """Both work, sign, and send what they have, until nobody has news."""
        moved = True
        while moved:
            moved = False
            for code in (ORIGIN, CHENGDU):
                self.made[code].settle()
                self.made[code].log.sign()
                for taken in self.bring(code):
                    moved = True
                    assert not taken.faults, taken.faults

    def live(self, steps: int) -> None:
        """Members leave, are cared for, and things are recorded that nobody else hears."""
        for _ in range(steps):
            self.made.clock.pass_(minutes=self.draw.randrange(1, 90))
            self.draw.choice(
                (self.offer, self.accept_care, self.contact, self.keep_to_itself, self.carry)
            )()

    def offer(self) -> None:
        flow = depart(self.node, register(self.node, number()))
        self.node.execute(OfferCare(outflow=flow, host=CHENGDU))
        self.flows.append(flow)

    def accept_care(self) -> None:
        with suppress(Refusal):
            accept(self.made[CHENGDU], self.draw.choice(self.flows or [UUID(int=0)]))

    def contact(self) -> None:
        said = {"on": date(2026, 1, 4), "method": "电话", "by": "李", "reached": True}
        flow = self.draw.choice(self.flows or [UUID(int=0)])
        with suppress(Refusal):
            contact = RecordContact.model_validate({"outflow": flow, **said})
            self.made[self.draw.choice((ORIGIN, CHENGDU))].execute(contact)

    def keep_to_itself(self) -> None:
        if self.private:
            self.node.execute(OpenUnit(name=str(self.draw.random())))

    def carry(self) -> None:
        source = self.draw.choice((ORIGIN, CHENGDU))
        for code in (ORIGIN, CHENGDU):
            self.made[code].settle()
        self.made[source].log.sign()
        for taken in self.bring(source):
            assert not taken.faults, taken.faults

    def fail(self) -> None:
        """The disk fails, the old backup is put back."""
        self.held = of(ledger(self.made[CHENGDU]), ORIGIN)
        self.made.stage.restore(ORIGIN, self.backup)
        self.made.restart(ORIGIN)

    def heal(self) -> None:
        """Officers carry files to and fro, and an operator decides where it is needed."""
        restoring = self.node.restoring
        for _ in range(10):
            if self.node.fence.raised is None and not self.node.relay.held:
                return
            for taken in (*self.bring(ORIGIN), *self.bring(CHENGDU)):
                assert not taken.faults, taken.faults
            for peer in [p for p, taken in self.node.relay.held.items() if not taken]:
                restoring.take(peer)
            if not restoring.step(Nobody()) and restoring.report()["state"] == "wanting":
                restoring.renew(WISH)
                restoring.step(Nobody())
        raise AssertionError(restoring.report())

    def check(self) -> None:
        """Nothing that the peer had is lost; both ends are one, and nobody accuses anybody."""
        mine = of(ledger(self.node), ORIGIN)
        assert {place: mine.get(place) for place in self.held} == self.held
        for one, two in ((ORIGIN, CHENGDU), (CHENGDU, ORIGIN)):
            out = self.made[one].lanes.head_out(two)
            in_ = self.made[two].lanes.standing_in(one)
            assert (out.number, out.root) == (in_.number, in_.root)
            assert not self.made[one].lanes.contradictions()


def drilled(stage: Any, seed: int) -> tuple[bool, int]:
    """A restore at a random moment: whether it was fenced, and the epoch after it."""
    draw = Random(seed)
    stage.empty()
    with ExitStack() as stack:
        desks = Desks(Staged(stage, stack), draw, private=seed % 2 == 0)
        desks.live(draw.randint(0, 15))
        desks.backup = stage.snapshot(ORIGIN)
        desks.live(draw.randint(1, 30))
        if draw.random() < 0.5:
            desks.exchange()
        desks.fail()
        desks.bring(CHENGDU, again=True)
        fenced = desks.node.fence.raised is not None
        desks.heal()
        desks.exchange()
        desks.live(10)
        desks.exchange()
        desks.check()
        return fenced, desks.node.log.epoch


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few entries a page, few pages a file: an answer takes several."""
    for where in ("sync.given_back.BATCHES_MAX", "sync.lane_bundle.BATCHES_MAX"):
        monkeypatch.setattr(where, 3)
    for where in ("sync.returned.ENTRIES_MAX", "sync.relay.ENTRIES_MAX"):
        monkeypatch.setattr(where, 4)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_sixty_restores_lose_nothing_and_every_lane_goes_on() -> None:
    how: Counter[tuple[bool, int]] = Counter()
    for seed in range(RESTORES):
        print(f"seed {seed}")  # noqa: T201 - shown when it fails.
        how[drilled(MemoryStage(), seed)] += 1

    assert {(True, 1), (True, 2)} <= how.keys(), how


@pytest.mark.slow
@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(3))
def test_so_it_is_on_postgresql(theatre: Stage, seed: int) -> None:
    drilled(theatre, seed)


@pytest.fixture
def desks() -> Iterator[Desks]:
    """After a restore, of which the node has just been told."""
    with ExitStack() as stack:
        made = Desks(Staged(MemoryStage(), stack), Random(3), private=True)  # type: ignore[arg-type]
        made.offer()
        made.keep_to_itself()
        made.exchange()
        made.fail()
        yield made


def test_a_file_tells_a_restored_node_and_its_next_one_only_asks(desks: Desks) -> None:
    (told,) = desks.bring(CHENGDU, again=True)
    assert Fenced in {type(fault) for fault in told.faults}
    with pytest.raises(BackupRestored):
        desks.keep_to_itself()

    (asked,) = desks.export(ORIGIN)

    assert (asked.asks, asked.gives, asked.cover.facts) == (True, 0, 0)
    taken = desks.made[CHENGDU].bundles.take(asked.wire)
    assert (taken.asks, taken.answer, taken.faults) == (True, True, [])
    (given,) = desks.export(CHENGDU)
    assert given.gives == 1
    back = desks.node.bundles.take(given.wire)
    assert (back.gives, back.recorded, back.faults) == (1, 0, [])
    desks.heal()
    desks.exchange()
    desks.check()


def test_asking_or_answering_twice_changes_nothing(desks: Desks) -> None:
    desks.bring(CHENGDU, again=True)
    asked = [*desks.export(ORIGIN), *desks.export(ORIGIN)]
    for each in (*asked, *asked):
        assert desks.made[CHENGDU].bundles.take(each.wire).asks
    given = [*desks.export(CHENGDU), *desks.export(CHENGDU)]
    for each in (*given, *given):
        assert desks.node.bundles.take(each.wire).gives

    desks.heal()
    desks.exchange()

    desks.check()
    # Neither an old question nor an old answer disturbs whoever has gone on.
    for each in asked:
        desks.made[CHENGDU].bundles.take(each.wire)
    for each in given:
        late = desks.node.bundles.take(each.wire)
        assert (late.gives, late.faults) == (0, [])
    assert desks.node.lanes.given_by() == []
    desks.offer()
    desks.exchange()
    desks.exchange()
    desks.check()


def test_who_was_not_waited_for_gives_back_later(desks: Desks) -> None:
    desks.bring(CHENGDU, again=True)
    desks.node.restoring.renew(WISH)
    assert desks.node.restoring.step(Nobody())
    assert desks.node.relay.held == {CHENGDU: True}
    desks.keep_to_itself()

    desks.heal()
    desks.exchange()

    desks.check()
    assert desks.node.log.epoch == 2


def test_without_its_file_a_peer_is_not_heard(desks: Desks) -> None:
    desks.bring(CHENGDU, again=True)

    desks.node.restoring.step(Nobody())

    report = desks.node.restoring.report()
    assert report["state"] == "wanting"
    (row,) = report["peers"]
    assert (row["reached"], row["by_files"]) == (False, True)
    with pytest.raises(NotGiven):
        desks.node.restoring.by_file.beside(Nobody()).returned(CHENGDU, 0, 0, 0)


def test_a_claim_by_file_stops_that_lane_until_somebody_has_looked(desks: Desks) -> None:
    """Nothing was signed since the backup, so nothing fences; and the peer confirms more."""
    node, lanes = desks.node, desks.made[CHENGDU].lanes
    assert lanes.standing_in(ORIGIN).number > node.lanes.head_out(CHENGDU).number
    node.fence.look = lambda *_: None  # type: ignore[method-assign]
    node.relay._offering.acknowledged = lambda *_: None  # type: ignore[method-assign]  # noqa: SLF001

    desks.bring(CHENGDU, again=True)

    assert node.relay.held == {CHENGDU: False}
    assert node.restoring.report()["state"] == "claimed"
    # A word between starts stops nothing else.
    assert not node.restoring.waits()


def test_what_was_bent_is_not_believed(desks: Desks) -> None:
    desks.bring(CHENGDU, again=True)
    desks.bring(ORIGIN)
    by_file = desks.made[CHENGDU].restoring.by_file
    page = by_file._page  # noqa: SLF001 - as a dishonest peer would.
    by_file._page = lambda *asked: page(*asked)[:-20] + b"}" * 20  # noqa: SLF001

    with pytest.raises(Malformed):
        desks.export(CHENGDU)


@pytest.mark.parametrize("how", ["for another", "by another key"])
def test_a_question_that_is_not_the_senders_is_refused(desks: Desks, how: str) -> None:
    node, chengdu = desks.node, desks.made[CHENGDU]
    to, keys = (SHENZHEN, node.keys) if how == "for another" else (CHENGDU, chengdu.keys)
    said = {"after": 0, "size": 0, "have": 0, "at": node.clock()}
    question = AskBack(sender=ORIGIN, receiver=to, **said).signed(keys)
    packed = node.bundles._pack_back(node.relay.peer(CHENGDU), [question], asks=True)  # noqa: SLF001

    taken = chengdu.bundles.take(packed.wire)

    expected = Misaddressed if how == "for another" else Forged
    assert [type(fault) for fault in taken.faults] == [expected]
    assert chengdu.lanes.asked_by_file(ORIGIN) is None
    (usual,) = desks.export(CHENGDU, again=True)
    assert not usual.gives
