"""快钟: what a peer says it sent later than now counts as sent now."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.support.federation import CHENGDU, NOW, ORIGIN
from tests.support.stage import Staged
from tests.sync.pen import Pen


def sent_at(three: Staged) -> datetime:
    """When the newest word of the origin was sent, by the station's books."""
    with three[CHENGDU].database.connection() as conn:
        row = conn.execute("SELECT sent_at FROM lane_in WHERE peer = %s", (ORIGIN,)).fetchone()
    assert row is not None
    return datetime.fromisoformat(str(row[0]))


def heard_at(three: Staged) -> datetime | None:
    return three[CHENGDU].lanes.standing_in(ORIGIN).at


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_a_time_of_sending_counts_up_to_now(three: Staged, pen: Pen, seconds: int) -> None:
    said = NOW + timedelta(seconds=seconds)

    pen.send(sent_at=said)

    assert sent_at(three) == min(said, NOW)


@pytest.mark.parametrize("news", [0, 1])
def test_a_clock_years_ahead_silences_nothing_that_follows(
    three: Staged, pen: Pen, news: int
) -> None:
    pen.send(*(pen.activity() for _ in range(news)), sent_at=NOW + timedelta(days=3650))
    assert sent_at(three) == NOW

    # Their clock is set right.
    three.clock.pass_(minutes=1)
    pen.send(sent_at=three.clock())

    assert heard_at(three) == sent_at(three) == three.clock()


def test_a_heartbeat_of_a_fast_clock_passes_for_a_sign_of_life_until_its_time_has_passed(
    three: Staged, pen: Pen
) -> None:
    """The price of the above, as decision 21 tells it: whoever carries it can repeat it so long."""
    fast = pen.wire(sent_at=NOW + timedelta(hours=2))
    hears = three[CHENGDU].inbox.accept
    hears(fast)

    three.clock.pass_(hours=1)
    hears(fast)
    assert heard_at(three) == three.clock()

    three.clock.pass_(hours=2)
    pen.send(sent_at=three.clock())
    last = heard_at(three)
    three.clock.pass_(hours=1)
    hears(fast)
    assert heard_at(three) == last


def test_what_is_repeated_from_a_right_clock_is_no_sign_of_life(three: Staged, pen: Pen) -> None:
    heartbeat = pen.wire(sent_at=NOW)
    three[CHENGDU].inbox.accept(heartbeat)

    three.clock.pass_(hours=1)
    three[CHENGDU].inbox.accept(heartbeat)

    assert heard_at(three) == NOW
