"""不丢不重: on every day of every history, exactly one organization has the care."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from domain import custody
from domain.absence import OPEN, State
from domain.aggregate import Stamp, current
from domain.errors import Refusal
from domain.outflow import Outflow
from domain.values import Author
from tests.support.people import ZHANG
from tests.support.story import CHENGDU, ORIGIN, SHENZHEN

HOSTS = (CHENGDU, SHENZHEN, "wuhan")
FIRST = date(2024, 1, 1)
DAYS = 400
STEPS = 60
SEEDS = range(40)

Act = Callable[[Outflow], None]


class History:
    """A random history of one absence, decided as the ledger would: refused or recorded."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.today = FIRST + timedelta(days=30)
        self.outflow = Outflow(Outflow.id_of(ZHANG, 1), ORIGIN)
        self.outflow.subject = ZHANG
        self.facts = 0

    def step(self) -> None:
        """One act, sensible or not."""
        self.today += timedelta(days=self.draw.randrange(6))
        now = datetime(self.today.year, self.today.month, self.today.day, 1, tzinfo=UTC)
        token = current.set(Stamp(Author(org=ORIGIN, person="wang"), now, uuid4(), uuid4()))
        tried = self.outflow.private_copy()
        try:
            self.draw.choice(self.acts())(tried)
        except Refusal:
            return
        finally:
            current.reset(token)
        self.facts += len(tried.collect_events())
        self.outflow = tried

    def acts(self) -> list[Act]:
        return [*self.sensible() * 2, *self.anything()]

    def sensible(self) -> list[Act]:
        """What would follow, if everybody did what is expected next."""
        draw, waiting = self.draw, self.outflow.open_offer
        day = self.today - timedelta(days=draw.randrange(40))
        if waiting:
            said = (waiting.number, waiting.host, day, f"{draw.randrange(16):x}" * 64)
            return [lambda o: custody.confirm(o, *said)]
        return [
            lambda o: o.register(member=ZHANG, left_on=day),
            lambda o: o.relocate(day, "别处", None),
            lambda o: custody.offer(o, draw.choice(HOSTS), 5),
        ]

    def anything(self) -> list[Act]:
        """What nobody would expect."""
        draw = self.draw
        day = FIRST + timedelta(days=draw.randrange(DAYS))
        host, number = draw.choice(HOSTS), draw.randrange(1, 8)
        acceptance = f"{draw.randrange(4)}" * 64
        return [
            lambda o: o.report(ZHANG, planned_on=day),
            lambda o: o.ask_correction("缺少去向"),
            lambda o: custody.offer(o, host, 5),
            lambda o: custody.recall(o, number, "有误"),
            lambda o: custody.lapse(o, number),
            lambda o: custody.confirm(o, number, host, day, acceptance),
            lambda o: custody.turn_down(o, number, host, "not_here", acceptance),
            lambda o: o.lose_contact("查找"),
            lambda o: o.restore_contact(),
            *([lambda o: o.record_return(day, None)] if draw.random() < 0.1 else []),
            *([lambda o: o.void("重复", "li")] if draw.random() < 0.05 else []),
        ]


def check(absence: Outflow) -> None:
    """The invariants of custody."""
    assert sum(offer.state == "open" for offer in absence.offers.values()) <= 1
    assert absence.carer in (ORIGIN, *HOSTS)
    assert (absence.carer != ORIGIN) == (absence.state is State.IN_CARE)
    open_stays = [stay for stay in absence.stays if stay.to is None]
    assert len(open_stays) == (absence.state is State.IN_CARE)
    for stay in absence.stays:
        assert absence.left_on <= stay.since
        assert stay.to is None or stay.since <= stay.to
    for before, after in pairwise(absence.stays):
        assert before.to is not None
        assert before.to <= after.since
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        holders = [s for s in absence.stays if s.since <= day and (s.to is None or day < s.to)]
        assert len(holders) <= 1
        assert absence.carer_on(day) == (holders[0].host if holders else ORIGIN)
    if absence.state not in OPEN:
        assert absence.open_offer is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_the_care_is_never_lost_and_never_held_twice(seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    history = History(seed)

    for _ in range(STEPS):
        history.step()
        check(history.outflow)


def test_the_histories_reach_every_state() -> None:
    reached: set[State] = set()
    most = 0
    for seed in SEEDS:
        history = History(seed)
        for _ in range(STEPS):
            history.step()
            reached.add(history.outflow.state)
        most = max(most, len(history.outflow.stays))

    assert reached >= set(State) - {State.CLOSED}
    assert most > 2


def test_a_private_copy_leaves_the_original_alone() -> None:
    history = History(1)
    for _ in range(STEPS):
        before = history.outflow
        kept = {name: value for name, value in vars(before).items() if name != "pending"}
        history.step()
        assert {name: vars(before)[name] for name in kept} == kept
