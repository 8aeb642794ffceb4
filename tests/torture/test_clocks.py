"""A node's clock is wrong by years, and steps while facts are on their way."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.records import head
from tests.torture.checks import Book, check
from tests.torture.load import under_load
from tests.torture.pair import Pair, pair
from tests.torture.supervised import Supervised, until

pytestmark = pytest.mark.torture

FAKER = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
BEYOND = datetime.now(UTC).year + 5
SHIFTS = ("+10y", "-1h", "+1h", "-10y")

Telling = Callable[..., None]


@pytest.fixture
def clock() -> Iterator[Path]:
    """What the host's clock is off by; the file is read at every look at the clock."""
    if not FAKER:
        pytest.skip("libfaketime is not installed (on Debian: apt install faketime)")
    with tempfile.NamedTemporaryFile("w", prefix="waystation-clock-") as file:
        told = Path(file.name)
        told.write_text("+0\n")
        yield told


@pytest.fixture
def two(clock: Path) -> Iterator[Pair]:
    faked = {
        "LD_PRELOAD": str(FAKER[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with pair(environment={"chengdu": faked}) as made:
        yield made


def lane_error(node: Supervised) -> str:
    (peer,) = node.get("/peers")
    return peer["lane"]["last_error"] or ""


def clock_fault(node: Supervised) -> bool:
    return "The clocks of the two nodes differ" in lane_error(node)


def test_a_wrong_clock_is_told_as_such_and_loses_nothing(
    two: Pair, clock: Path, tell: Telling
) -> None:
    # By a clock of the past every day lies ahead: that is refused, and rightly.
    with under_load(two, 8, callers=2, refused=frozenset({"in-the-future"})) as load:
        for shift in SHIFTS:
            answered = len(load.told)
            clock.write_text(f"{shift}\n")
            until(lambda: all(map(clock_fault, two.both)), 60.0, two.host.state)
            clock.write_text("+0\n")
            until(lambda: not any(map(lane_error, two.both)), 60.0, two.host.state)
            until(lambda answered=answered: len(load.told) > answered, 60.0, two.host.state)  # type: ignore[misc]
            time.sleep(0.5)

    check(two, load)
    assert any(told.year > BEYOND for told in recorded_at(two.host))
    tell("clocks", 8, load, shifts=len(SHIFTS))


def recorded_at(node: Supervised) -> list[datetime]:
    """When the facts here say that they were recorded."""
    records = Book.of(node).records.values()
    return [head(record).meta.recorded_at for record in records]
