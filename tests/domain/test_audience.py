"""知悉范围: an audience only grows, and not beyond its limit."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from domain.aggregate import Stamp, TooManyHear, current
from domain.policy import Policy
from domain.values import AUDIENCE_MAX, Author


def policy() -> Policy:
    """A policy that as many organizations hear of as may."""
    id_ = uuid4()
    current.set(Stamp(Author(org="jiuquan", person="officer"), datetime.now(UTC), id_, id_))
    made = Policy(Policy.id_of("jiuquan"), "jiuquan")
    for number in range(AUDIENCE_MAX):
        made.share(f"station-{number}")
    return made


def test_one_organization_more_than_the_limit_is_refused() -> None:
    full = policy()

    with pytest.raises(TooManyHear) as refused:
        full.share("one-more")

    assert refused.value.facts == {"hearing": AUDIENCE_MAX + 1, "maximum": AUDIENCE_MAX}
    assert len(full.audience) == AUDIENCE_MAX


def test_an_organization_that_hears_already_is_counted_once() -> None:
    full = policy()

    full.share("station-0")

    assert len(full.audience) == AUDIENCE_MAX
