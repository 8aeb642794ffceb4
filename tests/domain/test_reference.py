"""参考: what is not in the reference does not exist; it is made from the code."""

from __future__ import annotations

import pytest

from domain.catalogue import AGGREGATES
from tests.support.reference import FOLDER, KEPT, PAGES


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_reference_is_up_to_date(page: str) -> None:
    """`python -m tests.support.reference` makes it so."""
    assert (FOLDER / page).read_text() == PAGES[page]()


def test_of_every_aggregate_it_is_said_who_keeps_it() -> None:
    assert set(KEPT) == {aggregate.__name__ for aggregate in AGGREGATES}
