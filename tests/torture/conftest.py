"""What a round tells in the end, so that it is read below the results."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.torture.load import Load


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Keep one line of figures for the summary."""

    def kept(scenario: str, seed: int, load: Load, **figures: float) -> None:
        said = {
            "scenario": scenario,
            "seed": seed,
            **figures,
            "acknowledged": len(load.told),
            "slowest_s": round(load.slowest, 2),
            "answers": dict(load.statuses),
        }
        record_property("torture", json.dumps(said))

    return kept
