"""交接核对: a peer cannot say us into the care, or out of it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.outflow import Outflow
from sync.envelope import LaneEntry
from tests.support.federation import (
    CHENGDU,
    NOW,
    ORIGIN,
    SHENZHEN,
    accept,
    depart,
    hand_over,
    register,
)
from tests.support.stage import Staged
from tests.sync.pen import Pen

MEMBER = uuid4()
STREAM = Outflow.id_of(MEMBER, 1)


def step(pen: Pen, version: int, name: str, **said: Any) -> LaneEntry:
    return pen.entry(f"outflow.{name}", STREAM, version, subject=MEMBER, **said)


def registered(pen: Pen) -> LaneEntry:
    return step(pen, 1, "registered", member=str(MEMBER), left_on="2025-03-01")


def offered(pen: Pen, version: int, offer: int = 1, host: str = SHENZHEN) -> LaneEntry:
    return step(pen, version, "offered", offer=offer, host=host, until=NOW.isoformat())


def confirmed(pen: Pen, version: int, host: str = SHENZHEN, offer: int = 1) -> LaneEntry:
    said = {"offer": offer, "host": host, "since": "2025-04-01", "acceptance": "ab" * 32}
    return step(pen, version, "confirmed", **said)


def reasons(pen: Pen) -> list[tuple[int, str]]:
    return [(r["version"], r["reason"]) for r in pen.receiver.lanes.quarantined(0, 100)]


def test_a_handover_in_order_is_taken_in(pen: Pen) -> None:
    steps = [registered(pen), offered(pen, 2), confirmed(pen, 3)]

    assert pen.send(*steps).recorded == 3


def test_an_offer_is_confirmed_once(pen: Pen) -> None:
    pen.send(registered(pen), offered(pen, 2), confirmed(pen, 3), confirmed(pen, 4))

    assert reasons(pen) == [(4, "does-not-fit")]


def test_an_offer_is_confirmed_for_the_host_it_was_made_to(pen: Pen) -> None:
    pen.send(registered(pen), offered(pen, 2), confirmed(pen, 3, host="xian"))

    assert reasons(pen) == [(3, "does-not-fit")]


def test_we_are_not_said_to_have_accepted_what_we_did_not(pen: Pen) -> None:
    pen.send(registered(pen), offered(pen, 2, host=CHENGDU), confirmed(pen, 3, host=CHENGDU))

    assert reasons(pen) == [(3, "does-not-fit")]


def test_what_we_did_accept_is_confirmed(three: Staged) -> None:
    origin = three[ORIGIN]
    outflow = depart(origin, register(origin))

    hand_over(three, outflow, CHENGDU)

    found = three[CHENGDU].ledger.find(Outflow, outflow)
    assert found is not None
    assert found.carer == CHENGDU
    assert three[CHENGDU].lanes.quarantined(0, 10) == []


@pytest.mark.parametrize("name", ["recalled", "lapsed", "turned_down", "confirmed"])
def test_an_offer_that_is_over_is_over(pen: Pen, name: str) -> None:
    said = {
        "offer": 1,
        "reason": "x",
        "reason_code": "other",
        "declination": "ab" * 32,
        "host": SHENZHEN,
        "since": "2025-04-01",
        "acceptance": "ab" * 32,
    }
    recalled = step(pen, 3, "recalled", offer=1, reason="误发")

    pen.send(registered(pen), offered(pen, 2), recalled, step(pen, 4, name, **said))

    assert reasons(pen) == [(4, "does-not-fit")]


def test_two_offers_do_not_wait_at_once(pen: Pen) -> None:
    pen.send(registered(pen), offered(pen, 2), offered(pen, 3, 2, "xian"))

    assert reasons(pen) == [(3, "does-not-fit")]


@pytest.mark.parametrize("offer", [2, 2**31 - 1])
def test_offers_are_numbered_without_gaps(pen: Pen, offer: int) -> None:
    pen.send(registered(pen), offered(pen, 2, offer))

    assert [version for version, _ in reasons(pen)] == [2]


def test_nobody_is_offered_while_a_host_has_the_care(pen: Pen) -> None:
    pen.send(registered(pen), offered(pen, 2), confirmed(pen, 3), offered(pen, 4, 2, "xian"))

    assert reasons(pen) == [(4, "does-not-fit")]


def test_nobody_moves_on_while_an_offer_waits(pen: Pen) -> None:
    moved = step(pen, 3, "relocated", moved_on="2025-05-01", destination="西安")

    pen.send(registered(pen), offered(pen, 2), moved)

    assert reasons(pen) == [(3, "does-not-fit")]


def test_an_acceptance_that_comes_too_late_is_void_on_both_sides(three: Staged) -> None:
    from domain.commands import OfferCare, RecallOffer  # noqa: PLC0415

    origin, host = three[ORIGIN], three[CHENGDU]
    outflow: UUID = depart(origin, register(origin))
    origin.execute(OfferCare(outflow=outflow, host=CHENGDU))
    three.settle()
    origin.execute(RecallOffer(outflow=outflow, offer=1, reason="已另行安排"))
    accept(host, outflow)

    three.settle()

    views = [node.ledger.look_up(Outflow, outflow) for node in (origin, host)]
    assert [view.carer for view in views] == [ORIGIN, ORIGIN]
    assert [len(view.voided_acceptances) for view in views] == [1, 1]
    assert host.lanes.quarantined(0, 10) == []
