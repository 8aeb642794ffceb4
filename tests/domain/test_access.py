"""查阅登记: what has been read is sealed in its order, nothing twice and nothing left out."""

from __future__ import annotations

import pytest

from domain.access import Access, SealOutOfTurn
from domain.commands import ForgetReads, SealReads
from tests.support.story import NOW, ORIGIN, Story, fact

DAY = Access.id_of(ORIGIN, NOW.date())
SEALED = fact(Access.Recorded, first=1, last=7, root="a" * 64)


def seal(first: int, last: int) -> SealReads:
    return SealReads(first=first, last=last, root="b" * 64)


def test_rows_are_sealed(origin: Story) -> None:
    origin.when(seal(1, 7)).then(fact(Access.Recorded, first=1, last=7, root="b" * 64))

    assert origin.told[0].originator_id == DAY
    assert origin.told[0].meta.audience == ()
    assert origin.told[0].meta.subject is None


def test_the_next_rows_follow(origin: Story) -> None:
    origin.given(DAY, SEALED)

    origin.when(seal(8, 8)).then(fact(Access.Recorded, first=8, last=8, root="b" * 64))


@pytest.mark.parametrize(("first", "last"), [(1, 7), (7, 9), (9, 12), (8, 7)])
def test_nothing_is_sealed_twice_or_left_out(origin: Story, first: int, last: int) -> None:
    origin.given(DAY, SEALED)

    origin.when(seal(first, last)).then_refused(SealOutOfTurn, first=first, last=last, sealed=7)


def test_what_is_let_go_is_said(origin: Story) -> None:
    origin.given(DAY, SEALED)

    origin.when(ForgetReads(last=5)).then(fact(Access.Forgotten, last=5))
