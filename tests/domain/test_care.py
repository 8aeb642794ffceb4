"""交接: how the care passes from origin to host, told from the origin's side."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from domain.absence import (
    HostHasCare,
    NoSuchOffer,
    NotYetDue,
    OfferOpen,
    OfferOver,
    OriginIsHost,
    State,
    Stay,
)
from domain.commands import (
    AdoptPolicy,
    ConfirmCare,
    LapseOffer,
    NoteDeclination,
    OfferCare,
    RecallOffer,
    RecordRelocation,
    RecordReturn,
)
from domain.member import Member
from domain.organization import PeerUnknown
from domain.outflow import Outflow
from domain.policy import Terms
from tests.support.people import APRIL, AWAY, MARCH, ZHANG, away
from tests.support.story import CHENGDU, NOW, ORIGIN, SHENZHEN, TODAY, Said, Story, fact

UNTIL = NOW + timedelta(days=30)
OFFERED = fact(Outflow.Offered, offer=1, host=CHENGDU, until=UNTIL)
YES, NO = "a" * 64, "d" * 64
CONFIRM = ConfirmCare(outflow=AWAY, offer=1, host=CHENGDU, since=MARCH, acceptance=YES)
CONFIRMED = fact(Outflow.Confirmed, offer=1, host=CHENGDU, since=MARCH, acceptance=YES)
DECLINE = NoteDeclination(
    outflow=AWAY, offer=1, host=CHENGDU, reason_code="not_here", declination=NO
)
TURNED_DOWN = fact(Outflow.TurnedDown, offer=1, reason_code="not_here", declination=NO)
LAPSED = fact(Outflow.Lapsed, offer=1)
RECALLED = fact(Outflow.Recalled, offer=1, reason="去向有误")
BACK = fact(Outflow.Returned, returned_on=APRIL)


def void(because: str, offer: int = 1, host: str = CHENGDU, acceptance: str = YES) -> Said:
    return fact(
        Outflow.AcceptanceVoid, offer=offer, host=host, acceptance=acceptance, because=because
    )


# Offered.


def test_a_host_is_asked_to_take_over(origin: Story) -> None:
    away(origin)

    origin.when(OfferCare(outflow=AWAY, host=CHENGDU)).then(
        OFFERED,
        fact(
            Member.Disclosed,
            to=CHENGDU,
            purpose="流动党员日常管理 daily care of a floating member",
        ),
    )

    assert {told.meta.audience for told in origin.told} == {(CHENGDU,)}
    assert origin.ledger.look_up(Outflow, AWAY).carer == ORIGIN


def test_an_offer_is_valid_as_long_as_the_policy_says(origin: Story) -> None:
    away(origin)
    terms = Terms(offer_validity_days=10)
    origin.when(AdoptPolicy(terms=terms, effective_from=TODAY))

    origin.when(OfferCare(outflow=AWAY, host=CHENGDU))

    offer = origin.told[0]
    assert isinstance(offer, Outflow.Offered)
    assert (offer.until, offer.meta.policy) == (NOW + timedelta(days=10), 1)


def test_an_offer_may_be_given_a_time_of_its_own(origin: Story) -> None:
    away(origin)

    origin.when(OfferCare(outflow=AWAY, host=CHENGDU, valid_days=3))

    assert origin.told[0].until == NOW + timedelta(days=3)  # type: ignore[attr-defined]


def test_one_host_is_asked_at_a_time(origin: Story) -> None:
    away(origin, OFFERED)

    origin.when(OfferCare(outflow=AWAY, host=SHENZHEN)).then_refused(
        OfferOpen, offer=1, host=CHENGDU
    )


def test_nobody_is_asked_while_a_host_has_the_care(origin: Story) -> None:
    away(origin, OFFERED, CONFIRMED)

    origin.when(OfferCare(outflow=AWAY, host=SHENZHEN)).then_refused(HostHasCare, host=CHENGDU)


def test_the_origin_does_not_ask_itself(origin: Story) -> None:
    away(origin)

    origin.when(OfferCare(outflow=AWAY, host=ORIGIN)).then_refused(OriginIsHost, host=ORIGIN)


def test_only_a_peer_is_asked(origin: Story) -> None:
    away(origin)

    origin.when(OfferCare(outflow=AWAY, host="wuhan")).then_refused(PeerUnknown, peer="wuhan")


@pytest.mark.parametrize("over", [LAPSED, RECALLED, TURNED_DOWN], ids=lambda f: f.topic)
def test_after_an_offer_is_over_another_may_be_asked(origin: Story, over: Said) -> None:
    away(origin, OFFERED, over)

    origin.when(OfferCare(outflow=AWAY, host=SHENZHEN))

    assert origin.said(origin.told[0]) == fact(Outflow.Offered, offer=2, host=SHENZHEN, until=UNTIL)


# Over, unanswered.


def test_an_offer_is_recalled_with_a_reason(origin: Story) -> None:
    away(origin, OFFERED)

    origin.when(RecallOffer(outflow=AWAY, offer=1, reason="去向有误")).then(RECALLED)


def test_an_offer_lapses_when_its_time_has_run_out(origin: Story) -> None:
    away(origin, OFFERED)

    origin.after(days=30).when(LapseOffer(outflow=AWAY, offer=1)).then(LAPSED)


def test_an_offer_does_not_lapse_before(origin: Story) -> None:
    away(origin, OFFERED)

    origin.after(days=30, seconds=-1).when(LapseOffer(outflow=AWAY, offer=1)).then_refused(
        NotYetDue, offer=1, until=UNTIL.isoformat()
    )


@pytest.mark.parametrize(
    "over", [LAPSED, RECALLED, TURNED_DOWN, CONFIRMED, BACK], ids=lambda f: f.topic
)
def test_an_offer_is_over_once(origin: Story, over: Said) -> None:
    away(origin, OFFERED, over)

    for command in (
        RecallOffer(outflow=AWAY, offer=1, reason="去向有误"),
        LapseOffer(outflow=AWAY, offer=1),
    ):
        origin.when(command).then_refused(OfferOver, offer=1)


def test_only_an_offer_that_was_made_is_recalled(origin: Story) -> None:
    away(origin)

    origin.when(RecallOffer(outflow=AWAY, offer=7, reason="去向有误")).then_refused(
        NoSuchOffer, offer=7
    )


# Answered.


def test_the_care_passes_when_the_origin_confirms(origin: Story) -> None:
    away(origin, OFFERED)

    origin.when(CONFIRM).then(CONFIRMED)

    absence = origin.ledger.look_up(Outflow, AWAY)
    assert (absence.carer, absence.state) == (CHENGDU, State.IN_CARE)
    assert absence.stays == (Stay(CHENGDU, 1, MARCH),)


def test_the_same_acceptance_twice_is_harmless(origin: Story) -> None:
    away(origin, OFFERED, CONFIRMED)

    origin.when(CONFIRM).then_nothing()


def test_a_second_acceptance_of_one_offer_is_void(origin: Story) -> None:
    away(origin, OFFERED, CONFIRMED)
    again = CONFIRM.model_copy(update={"acceptance": "e" * 64})

    origin.when(again).then(void("confirmed", acceptance="e" * 64))
    origin.when(again).then_nothing()


@pytest.mark.parametrize(
    ("over", "because"),
    [(LAPSED, "lapsed"), (RECALLED, "recalled"), (TURNED_DOWN, "turned_down"), (BACK, "ended")],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_an_acceptance_that_comes_too_late_is_void_and_both_know_why(
    origin: Story, over: Said, because: str
) -> None:
    away(origin, OFFERED, over)

    origin.when(CONFIRM).then(void(because))

    assert origin.told[0].meta.audience == (CHENGDU,)
    assert origin.ledger.look_up(Outflow, AWAY).carer == ORIGIN
    origin.when(CONFIRM).then_nothing()


def test_an_acceptance_by_somebody_else_is_void(origin: Story) -> None:
    away(origin, OFFERED)

    origin.when(CONFIRM.model_copy(update={"host": SHENZHEN})).then(
        void("no-such-offer", host=SHENZHEN)
    )

    assert origin.ledger.look_up(Outflow, AWAY).open_offer is not None


def test_an_acceptance_of_nothing_is_void(origin: Story) -> None:
    away(origin)

    origin.when(CONFIRM).then(void("no-such-offer"))


def test_the_care_does_not_begin_before_the_departure(origin: Story) -> None:
    away(origin, OFFERED)

    origin.when(CONFIRM.model_copy(update={"since": date(2025, 2, 1)}))

    assert origin.ledger.look_up(Outflow, AWAY).stays == (Stay(CHENGDU, 1, MARCH),)


def test_the_care_is_never_held_twice(origin: Story) -> None:
    away(
        origin,
        OFFERED,
        CONFIRMED,
        fact(Outflow.Relocated, moved_on=date(2025, 6, 1), destination="深圳"),
        fact(Outflow.Offered, offer=2, host=SHENZHEN, until=UNTIL),
    )

    origin.when(ConfirmCare(outflow=AWAY, offer=2, host=SHENZHEN, since=APRIL, acceptance="e" * 64))

    absence = origin.ledger.look_up(Outflow, AWAY)
    assert absence.stays[-1] == Stay(SHENZHEN, 2, date(2025, 6, 1))
    assert [absence.carer_on(day) for day in (APRIL, date(2025, 5, 31), date(2025, 6, 1))] == [
        CHENGDU,
        CHENGDU,
        SHENZHEN,
    ]


def test_a_stay_does_not_end_before_it_began(origin: Story) -> None:
    late = fact(Outflow.Confirmed, offer=1, host=CHENGDU, since=APRIL, acceptance=YES)
    away(origin, OFFERED, late)

    origin.when(RecordReturn(outflow=AWAY, returned_on=date(2025, 3, 15)))

    absence = origin.ledger.look_up(Outflow, AWAY)
    assert absence.stays == (Stay(CHENGDU, 1, APRIL, APRIL),)
    assert absence.carer_on(APRIL) == ORIGIN


def test_a_declination_is_noted_in_the_order_that_decides(origin: Story) -> None:
    away(origin, OFFERED)

    origin.when(DECLINE).then(TURNED_DOWN)
    origin.when(DECLINE).then_nothing()


@pytest.mark.parametrize("over", [LAPSED, RECALLED, CONFIRMED], ids=lambda f: f.topic)
def test_a_declination_after_the_offer_is_over_changes_nothing(origin: Story, over: Said) -> None:
    away(origin, OFFERED, over)

    origin.when(DECLINE).then_nothing()


def test_a_chain_of_hosts_is_one_absence(origin: Story) -> None:
    away(origin)
    for number, (host, month) in enumerate(((CHENGDU, 3), (SHENZHEN, 6), (CHENGDU, 9)), 1):
        origin.when(OfferCare(outflow=AWAY, host=host))
        origin.when(
            ConfirmCare(
                outflow=AWAY,
                offer=number,
                host=host,
                since=date(2025, month, 1),
                acceptance=f"{number}" * 64,
            )
        )
        origin.when(
            RecordRelocation(outflow=AWAY, moved_on=date(2025, month + 2, 1), destination="下一处")
        )

    absence = origin.ledger.look_up(Outflow, AWAY)
    assert [absence.carer_on(date(2025, month, 15)) for month in range(2, 12)] == [
        ORIGIN,
        CHENGDU,
        CHENGDU,
        ORIGIN,
        SHENZHEN,
        SHENZHEN,
        ORIGIN,
        CHENGDU,
        CHENGDU,
        ORIGIN,
    ]
    assert absence.member == ZHANG
