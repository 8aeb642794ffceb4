"""认领: how an origin answers a host that found a member nobody had announced."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.absence import NotRegistered
from domain.claim import Claim, ClaimAnswered, ClaimNotRecognized, NotAClaim
from domain.commands import OfferCare, RecognizeClaim, RefuseClaim
from domain.inflow import Inflow
from domain.ledger import NotFound, NotOurs
from domain.outflow import Outflow
from tests.support.people import AWAY, MARCH, ZHANG, away
from tests.support.story import CHENGDU, NOW, ORIGIN, SHENZHEN, Story, fact, name

FOUND = name("found")
ANSWER = Claim.id_of(FOUND)
RECOGNIZED = fact(Claim.Recognized, inflow=FOUND, outflow=AWAY)
REFUSED = fact(Claim.Refused, inflow=FOUND, reason="不是本组织党员")


def found(origin: Story, by: str = CHENGDU, claimed_from: str = ORIGIN) -> None:
    seen = fact(Inflow.Found, origin=claimed_from, name="张三", via="visit")
    origin.given(FOUND, seen, by=by, about=name("stranger"), heard_by=(ORIGIN,))


def test_a_claim_is_recognized(origin: Story) -> None:
    away(origin)
    found(origin)

    origin.when(RecognizeClaim(inflow=FOUND, outflow=AWAY)).then(RECOGNIZED)

    assert origin.told[0].originator_id == ANSWER
    assert origin.told[0].meta.audience == (CHENGDU,)


def test_a_claim_is_refused(origin: Story) -> None:
    found(origin)

    origin.when(RefuseClaim(inflow=FOUND, reason="不是本组织党员")).then(REFUSED)

    assert origin.told[0].meta.audience == (CHENGDU,)


@pytest.mark.parametrize("answer", [RECOGNIZED, REFUSED], ids=lambda f: f.topic)
def test_a_claim_is_answered_once(origin: Story, answer: object) -> None:
    away(origin)
    found(origin)
    origin.given(ANSWER, answer, about=name("stranger"))  # type: ignore[arg-type]

    for command in (
        RecognizeClaim(inflow=FOUND, outflow=AWAY),
        RefuseClaim(inflow=FOUND, reason="不是"),
    ):
        origin.when(command).then_refused(ClaimAnswered, inflow=FOUND)


def test_a_claim_on_another_organization_is_not_ours_to_answer(origin: Story) -> None:
    away(origin)
    found(origin, claimed_from="lanzhou")

    for command in (
        RecognizeClaim(inflow=FOUND, outflow=AWAY),
        RefuseClaim(inflow=FOUND, reason="不是"),
    ):
        origin.when(command).then_refused(NotAClaim, inflow=FOUND)


def test_an_arrival_is_no_claim(origin: Story) -> None:
    away(origin)
    origin.given(FOUND, fact(Inflow.Reported, outflow=AWAY, via="qr"), by=CHENGDU, about=ZHANG)

    origin.when(RecognizeClaim(inflow=FOUND, outflow=AWAY)).then_refused(NotAClaim)


def test_a_claim_nobody_made_is_not_found(origin: Story) -> None:
    origin.when(RefuseClaim(inflow=FOUND, reason="不是")).then_refused(NotFound, kind="inflow")


def test_a_claim_is_recognized_for_an_absence_of_ours(origin: Story) -> None:
    away(origin, by=SHENZHEN)
    found(origin)

    origin.when(RecognizeClaim(inflow=FOUND, outflow=AWAY)).then_refused(NotOurs)


def test_a_claim_is_recognized_for_an_absence_that_is_registered(origin: Story) -> None:
    found(origin)
    planned = fact(Outflow.Reported, member=ZHANG, planned_on=MARCH)
    origin.given(AWAY, planned, about=ZHANG)

    origin.when(RecognizeClaim(inflow=FOUND, outflow=AWAY)).then_refused(NotRegistered)


def test_an_offer_follows_and_names_the_claim(origin: Story) -> None:
    away(origin)
    found(origin)
    origin.given(ANSWER, RECOGNIZED, about=name("stranger"))

    origin.when(OfferCare(outflow=AWAY, host=CHENGDU, claim=FOUND))

    assert origin.said(origin.told[0]) == fact(
        Outflow.Offered, offer=1, host=CHENGDU, until=NOW + timedelta(days=30), claim=FOUND
    )


@pytest.mark.parametrize("case", ["unanswered", "refused", "other host", "other absence"])
def test_an_offer_names_a_claim_that_was_recognized(origin: Story, case: str) -> None:
    away(origin)
    found(origin, by=SHENZHEN if case == "other host" else CHENGDU)
    other = fact(Claim.Recognized, inflow=FOUND, outflow=name("other"))
    answers = {"refused": REFUSED, "other host": RECOGNIZED, "other absence": other}
    if case in answers:
        origin.given(ANSWER, answers[case], about=name("stranger"))

    origin.when(OfferCare(outflow=AWAY, host=CHENGDU, claim=FOUND)).then_refused(
        ClaimNotRecognized, inflow=FOUND
    )
