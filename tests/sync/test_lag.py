"""落后: how far a lane is behind, in facts and in seconds, as each of its ends can know it."""

from __future__ import annotations

import pytest

from domain.commands import ShareOutflow
from sync import lag
from sync.envelope import LaneReceipt, Sealed
from sync.lag import IN_STEP, Lag
from tests.support.federation import CHENGDU, ORIGIN, SHENZHEN, depart, register
from tests.support.stage import Staged

pytestmark = pytest.mark.usefixtures("three")


def news(three: Staged) -> int:
    """Facts of the origin for Chengdu, numbered; how many its lane holds."""
    origin = three[ORIGIN]
    outflow = depart(origin, register(origin))
    origin.execute(ShareOutflow(outflow=outflow, to=CHENGDU, purpose="联合管理"))
    while origin.relay.number():
        pass
    return origin.relay.standing(CHENGDU)[0].number


def out(three: Staged) -> dict[str, Lag]:
    origin = three[ORIGIN]
    return lag.outgoing(origin.lanes, origin.relay.peers())


def in_(three: Staged) -> Lag:
    host = three[CHENGDU]
    return lag.incoming(host.lanes, host.relay.peers(), host.clock())[ORIGIN]


def age(three: Staged, seconds: int, after: int = 0) -> None:
    """Let what was numbered have waited for longer."""
    with three[ORIGIN].database.connection() as conn:
        conn.execute(
            "UPDATE lane_out SET at = at - make_interval(secs => %s) WHERE number > %s",
            (seconds, after),
        )


def test_a_lane_without_news_is_in_step(three: Staged) -> None:
    assert out(three) == {CHENGDU: IN_STEP, SHENZHEN: IN_STEP}
    assert in_(three) == IN_STEP


def test_a_sender_counts_what_is_not_confirmed_and_its_age(three: Staged) -> None:
    number = news(three)
    age(three, 90)

    assert out(three)[CHENGDU].facts == number
    assert 90 <= out(three)[CHENGDU].seconds < 100
    assert out(three)[SHENZHEN] == IN_STEP


def test_what_is_confirmed_does_not_age(three: Staged) -> None:
    number = news(three)
    age(three, 90)
    age(three, -60, after=number - 1)
    receipt = LaneReceipt(
        sender=CHENGDU,
        receiver=ORIGIN,
        number=number - 1,
        root=three[ORIGIN].lanes.root_out(CHENGDU, number - 1) or "",
        at=three.clock(),
    )
    three[ORIGIN].relay.acknowledge(receipt.signed(three[CHENGDU].keys))

    assert out(three)[CHENGDU].facts == 1
    assert 30 <= out(three)[CHENGDU].seconds < 40


def test_a_receiver_counts_what_it_was_told_of_from_that_moment(three: Staged) -> None:
    number = news(three)
    heartbeat, _ = three[ORIGIN].relay.batch(CHENGDU, number)

    outcome = three[CHENGDU].inbox.accept(heartbeat)
    three.clock.pass_(seconds=45)

    assert Sealed(outcome.answer).kind == "want"
    assert in_(three) == Lag(number, 45.0)


def test_hearing_of_it_again_does_not_start_the_clock_anew(three: Staged) -> None:
    number = news(three)
    for _ in range(2):
        three[CHENGDU].inbox.accept(three[ORIGIN].relay.batch(CHENGDU, number)[0])
        three.clock.pass_(seconds=20)

    assert in_(three) == Lag(number, 40.0)


def test_a_receiver_that_has_caught_up_is_in_step(three: Staged) -> None:
    number = news(three)
    three[CHENGDU].inbox.accept(three[ORIGIN].relay.batch(CHENGDU, number)[0])
    three.clock.pass_(seconds=20)

    three.settle()

    assert in_(three) == IN_STEP
    assert out(three)[CHENGDU] == IN_STEP


def test_the_worst_of_several_is_the_most_of_each() -> None:
    assert lag.worst([Lag(3, 1.0), Lag(1, 9.0)]) == Lag(3, 9.0)
    assert lag.worst([]) == IN_STEP
