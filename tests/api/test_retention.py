"""保存期限: what has been kept for as long as it may is proposed, or destroyed by the policy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from api import retention
from api.erasure.eraser import Asking
from api.retention import Keeper
from api.service import Who
from api.storage.server import EmbeddedServer
from domain.commands import AdoptPolicy, EndMembership
from domain.erasure import Erasure, State
from domain.policy import RetentionTerms, Terms
from domain.purposes import RETENTION
from domain.sealing import Closure
from domain.values import DataClass
from tests.support.federation import ORIGIN, register
from tests.support.stage import Stage, Staged, stage

YEARS = {kind: each.years for kind, each in RETENTION.items()}


@pytest.fixture(scope="module")
def theatre(postgres: EmbeddedServer) -> Iterator[Stage]:
    """One stage for this file."""
    with stage(postgres.url, "retention") as made:
        yield made


@pytest.fixture
def town(theatre: Stage) -> Iterator[Staged]:
    """The origin alone."""
    theatre.empty()
    with ExitStack() as stack:
        made = Staged(theatre, stack)
        made.found(ORIGIN)
        yield made


def over(town: Staged, **details: Any) -> UUID:
    """A member whose membership ended on 2026-01-05."""
    member = register(town[ORIGIN], family="配偶务农", **details)
    town[ORIGIN].execute(
        EndMembership(member=member, how="died", document="证明", on=date(2026, 1, 5))
    )
    town.settle()
    return member


def adopt(town: Staged, **terms: Any) -> None:
    town[ORIGIN].execute(
        AdoptPolicy(terms=Terms(retention=RetentionTerms(**terms)), effective_from=date(2026, 1, 1))
    )


def due(town: Staged) -> dict[UUID, list[DataClass]]:
    """Whose data are due, by class."""
    return {each["person"]: each["classes"] for each in retention.due(town[ORIGIN])}


def test_nothing_is_due_of_who_is_a_member(town: Staged) -> None:
    register(town[ORIGIN])
    town.settle()
    town.clock.pass_(days=40 * 366)

    assert due(town) == {}


def test_a_class_is_due_when_its_years_are_over_and_not_a_day_before(town: Staged) -> None:
    member = over(town)
    town.clock.pass_(days=365)
    assert due(town) == {}

    town.clock.pass_(days=1)

    first = [kind for kind in DataClass if YEARS[kind] == 1]
    assert due(town) == {member: first}


def test_what_is_due_is_proposed_with_its_reason_and_nothing_happens_by_itself(
    town: Staged,
) -> None:
    member = over(town)
    town.clock.pass_(days=366)

    assert Keeper(town[ORIGIN]).look() == 0

    (found,) = retention.due(town[ORIGIN])
    assert found["reasons"]["contact"] == RETENTION[DataClass.CONTACT].reason
    assert town[ORIGIN].keyring.closed(member, DataClass.CONTACT) is None


def test_where_the_policy_says_so_it_is_destroyed_when_due_once(town: Staged) -> None:
    adopt(town, performs=True)
    member = over(town)
    keeper = Keeper(town[ORIGIN])
    assert keeper.look() == 0
    town.clock.pass_(days=366)

    assert keeper.look() == 1

    erasure = town[ORIGIN].ledger.look_up(Erasure, Erasure.id_of(member, ORIGIN, 1))
    assert (erasure.state, set(erasure.classes)) == (
        State.COMPLETED,
        {kind for kind in DataClass if YEARS[kind] == 1},
    )
    assert erasure.granted is not None
    assert erasure.granted.meta.author.person == "制度 policy 1"
    closed = town[ORIGIN].keyring.closed
    assert closed(member, DataClass.CONTACT) is Closure.ERASED
    assert closed(member, DataClass.IDENTITY) is None
    town.clock.pass_(hours=2)
    assert keeper.look() == 0


def test_the_last_class_follows_when_its_own_years_are_over(town: Staged) -> None:
    adopt(town, performs=True)
    member = over(town)
    keeper = Keeper(town[ORIGIN])
    for _ in range(YEARS[DataClass.IDENTITY]):
        town.clock.pass_(days=366)
        keeper.look()

    assert all(town[ORIGIN].keyring.closed(member, kind) is Closure.ERASED for kind in DataClass)
    assert due(town) == {}


def test_a_policy_may_give_other_years(town: Staged) -> None:
    adopt(town, contact=5, family=5, notes=5, restricted=5)
    member = over(town)
    town.clock.pass_(days=366)
    assert due(town) == {}

    town.clock.pass_(days=4 * 366)

    assert due(town) == {member: [kind for kind in DataClass if kind != DataClass.IDENTITY]}


def test_whose_erasure_is_asked_for_already_is_not_proposed_again(town: Staged) -> None:
    over(town)
    town.clock.pass_(days=366)
    (row,) = retention.due(town[ORIGIN])

    town[ORIGIN].eraser.request(Asking(row["member"], "retention_over"), Who(person="wang"))

    assert due(town) == {}
