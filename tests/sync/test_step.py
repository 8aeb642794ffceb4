"""一致: when both ends of a lane were last proven level, and what proves nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.commands import ShareOutflow
from sync.book_hops import InStep
from tests.support.federation import CHENGDU, NOW, ORIGIN, depart, register
from tests.support.narrow import refusing
from tests.support.stage import Staged
from tests.sync.pen import receipt


def step(three: Staged, here: str = ORIGIN, there: str = CHENGDU) -> InStep | None:
    return three[here].lanes.in_step(there)


def share(three: Staged) -> None:
    outflow = depart(three[ORIGIN], register(three[ORIGIN]))
    three[ORIGIN].execute(ShareOutflow(outflow=outflow, to=CHENGDU, purpose="联合管理"))


def greet(three: Staged) -> None:
    """Heartbeats both ways, each with its receipt."""
    three.carry(ORIGIN, CHENGDU)
    three.carry(CHENGDU, ORIGIN)


def test_who_never_heard_of_each_other_were_never_in_step(three: Staged) -> None:
    assert step(three) is None


def test_two_with_nothing_to_say_are_in_step(three: Staged) -> None:
    three.settle()

    assert step(three) == step(three, CHENGDU, ORIGIN) == InStep(NOW, 0, 0)


def test_both_ends_are_level_once_all_is_acknowledged(three: Staged) -> None:
    share(three)
    three.clock.pass_(minutes=5)

    three.settle()
    greet(three)

    head = three[ORIGIN].lanes.head_out(CHENGDU).number
    assert head > 0
    assert step(three) == InStep(three.clock(), head, 0)
    assert step(three, CHENGDU, ORIGIN) == InStep(three.clock(), 0, head)


def test_a_heartbeat_renews_the_proof(three: Staged) -> None:
    three.settle()
    three.clock.pass_(minutes=5)

    greet(three)

    assert step(three) == InStep(NOW + timedelta(minutes=5), 0, 0)


def test_what_is_not_acknowledged_is_not_level(three: Staged) -> None:
    three.settle()
    share(three)
    three[ORIGIN].settle()
    three.clock.pass_(minutes=5)

    # The peer speaks, but not of what we have for it.
    wire, _ = three[CHENGDU].relay.batch(ORIGIN, 0)
    three[ORIGIN].inbox.accept(wire)

    assert step(three) == InStep(NOW, 0, 0)


def test_what_is_not_numbered_yet_is_not_level(three: Staged) -> None:
    three.settle()
    share(three)
    three.clock.pass_(minutes=5)

    greet(three)

    assert step(three) == InStep(NOW, 0, 0)


def test_what_was_told_and_has_not_arrived_is_not_level(three: Staged) -> None:
    three.settle()
    share(three)
    three[ORIGIN].settle()
    three.clock.pass_(minutes=5)

    # A heartbeat with the head, before the entries; and a receipt that changes nothing.
    wire, _ = three[ORIGIN].relay.batch(CHENGDU, 3)
    three[CHENGDU].inbox.accept(wire)
    three[CHENGDU].lanes.hear(ORIGIN, three.clock(), 3, three.clock())
    three[CHENGDU].relay.acknowledge(receipt(three[ORIGIN], CHENGDU, 0, "0" * 64))

    assert step(three, CHENGDU, ORIGIN) == InStep(NOW, 0, 0)


def test_what_is_set_aside_is_not_level_on_either_side(three: Staged) -> None:
    three.settle()
    three.clock.pass_(minutes=5)
    share(three)

    with refusing("outflow.registered"):
        three.settle()
    greet(three)

    assert step(three) == step(three, CHENGDU, ORIGIN) == InStep(NOW, 0, 0)


def test_it_is_asked_at_most_once_a_second(three: Staged) -> None:
    three.settle()
    greet(three)
    before = step(three)
    three.clock.pass_(milliseconds=500)

    greet(three)

    assert step(three) == before


def test_the_times_of_what_goes_out_are_remembered_within_bounds(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.relay.SENT_MAX", 2)
    relay = three[ORIGIN].relay

    for last in (1, 2, 3):
        relay.sent(CHENGDU, last, f"way {last}")

    assert relay.sent_at(CHENGDU, 1) == (NOW, "way 2")
    assert relay.sent_at(CHENGDU, 4) is None
    # The next receipt puts them down, and they are not remembered any more.
    relay.acknowledge(receipt(three[CHENGDU], ORIGIN, 0, "0" * 64))
    assert relay.sent_at(CHENGDU, 1) is None
    assert three[ORIGIN].lanes.passed(CHENGDU, 3)["sent"].note == "way 3"
