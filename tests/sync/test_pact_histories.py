"""同步约定的历史: in whatever order things happen, keys pass under a pact, and at last all do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from api.pact_board import today_of
from domain.commands import EndPact, EnrolPeer, RecordPhone, ShareOutflow
from domain.errors import Refusal
from domain.outflow import Outflow
from domain.pact import PactTerms
from domain.purposes import purposes_of
from domain.records import PERSONAL, decode
from domain.sealing import Sealed
from domain.values import DataClass
from tests.api.support import number
from tests.support.federation import CHENGDU, ORIGIN, depart, register
from tests.support.memory.stage import MemoryStage
from tests.support.stage import Stage, Staged

STEPS = 30
CLASSES = (DataClass.IDENTITY, DataClass.CONTACT, DataClass.FAMILY)


class History:
    """An origin and a host; after every step, what the host holds is compared with the pact."""

    def __init__(self, made: Staged, seed: int) -> None:
        self.made, self.rng = made, Random(seed)
        made.found(ORIGIN)
        made.found(CHENGDU, "station")
        made.acquaint(ORIGIN, CHENGDU, (), told=True)
        self.outflows: list[UUID] = []
        self.held: dict[UUID, DataClass] = {}
        self.happened: set[str] = set()

    def step(self) -> None:
        """Something happens, and whatever has changed at the host was allowed at that moment."""
        does: tuple[Callable[[], Any], ...] = (
            self.tell,
            self.correct,
            self.agree,
            self.end,
            self.wait,
            self.work,
            self.carry,
            self.carry,
            self.restart,
        )
        self.rng.choice(does)()
        self.look()

    def tell(self) -> None:
        outflow = depart(self.made[ORIGIN], register(self.made[ORIGIN], number(), family="母亲"))
        said = ShareOutflow(outflow=outflow, to=CHENGDU, purpose="联合管理")
        self.made[ORIGIN].execute(said)
        self.outflows.append(outflow)

    def correct(self) -> None:
        if self.outflows:
            absence = self.made[ORIGIN].ledger.look_up(Outflow, self.rng.choice(self.outflows))
            phone = f"139{self.rng.randrange(10**8):08}"
            self.made[ORIGIN].execute(RecordPhone(member=absence.member, phone=phone))

    def agree(self, *classes: DataClass, days: int = 0) -> None:
        classes = classes or tuple(self.rng.sample(CLASSES, self.rng.randint(1, 3)))
        today = today_of(self.made[ORIGIN])
        terms = PactTerms(
            purposes=purposes_of(classes),
            classes=classes,
            effective_from=today,
            until=today + timedelta(days=days or self.rng.choice((0, 5, 60))),
        )
        known = self.made[ORIGIN].relay.peer(CHENGDU)
        self.made[ORIGIN].execute(EnrolPeer(peer=known, pact=terms))

    def end(self) -> None:
        with suppress(Refusal):
            self.made[ORIGIN].execute(EndPact(peer=CHENGDU, reason="试"))

    def wait(self) -> None:
        self.made.clock.pass_(days=self.rng.choice((1, 3, 30)))

    def work(self) -> None:
        node = self.made[self.rng.choice((ORIGIN, CHENGDU))]
        self.rng.choice((node.relay.number, node.pacts.step, node.projector.catch_up))()

    def carry(self) -> None:
        self.made.carry(ORIGIN, CHENGDU)

    def restart(self) -> None:
        self.made.restart(self.rng.choice((ORIGIN, CHENGDU)))

    def look(self) -> None:
        """No key has come whose class was not open when it came."""
        open_, ledger = self.made[ORIGIN].relay.granting.open_to(CHENGDU), self.made[CHENGDU].ledger
        for id_, kind in self.sealed_with().items():
            if id_ not in self.held and ledger.keyring.key(id_) is not None:
                assert kind in open_, f"{kind} came and was not agreed upon"
                self.held[id_] = kind
                self.happened.add(kind)

    def sealed_with(self) -> dict[UUID, DataClass]:
        """Every key that seals what the host was told."""
        values = (
            (getattr(fact, name), kind)
            for entry in self.made[CHENGDU].ledger.since(0)
            if (fact := decode(entry.record)) is not None
            for name, kind in PERSONAL[fact.TOPIC]
        )
        return {value.key_id: kind for value, kind in values if isinstance(value, Sealed)}

    def finish(self) -> None:
        """With a pact about everything, all opens, in the lists too."""
        self.agree(*CLASSES, days=90)
        self.made.settle()
        lacking = [k for k in self.sealed_with() if self.made[CHENGDU].keyring.key(k) is None]
        assert lacking == []
        rows = {
            code: {row["member"]: row["phone"] for row in self.made.stage.rows(code, PERSON)}
            for code in (ORIGIN, CHENGDU)
        }
        assert rows[ORIGIN] == rows[CHENGDU]
        assert [counts for *_, counts in self.made[ORIGIN].lanes.withheld_counts()] == []


PERSON = "roster_person"


def live(made: Staged, seed: int) -> History:
    history = History(made, seed)
    for _ in range(STEPS):
        history.step()
    history.finish()
    return history


@pytest.mark.slow
def test_histories_in_memory() -> None:
    happened: set[str] = set()
    for seed in range(40):
        stage: Any = MemoryStage()
        with ExitStack() as stack:
            happened |= live(Staged(stage, stack), seed).happened

    assert happened == set(CLASSES)


@pytest.mark.parametrize("seed", range(2))
def test_histories_on_postgresql(theatre: Stage, seed: int) -> None:
    theatre.empty()
    with ExitStack() as stack:
        live(Staged(theatre, stack), seed)
