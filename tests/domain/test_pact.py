"""同步约定: who may open what, for what, from which day to which."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from domain.commands import ChangePact, ConcludePact, EndPact, EnrolPeer, ResumeKeys
from domain.errors import NothingChanged
from domain.organization import Organization, PeerUnknown
from domain.pact import (
    PACT_DAYS_MAX,
    ClassWithoutPurpose,
    NoPact,
    Pact,
    PactDates,
    PactStands,
    PactState,
    PactTerms,
)
from domain.purposes import CLASSES, PURPOSES, Purpose, purposes_of
from domain.records import PERSONAL
from domain.values import DataClass
from tests.support.people import peer
from tests.support.story import CHENGDU, ORIGIN, TODAY, Story, fact

PACT = Pact.id_of(ORIGIN, CHENGDU)
LAST = date(2026, 12, 31)


def terms(*classes: DataClass, **said: Any) -> PactTerms:
    """A pact for this year."""
    known = classes or (DataClass.IDENTITY, DataClass.CONTACT)
    usual = {
        "purposes": purposes_of(known),
        "classes": known,
        "effective_from": TODAY,
        "until": LAST,
    }
    return PactTerms.model_validate({**usual, **said})


AGREED = terms()
CONCLUDED = fact(Pact.Concluded, peer=CHENGDU, terms=AGREED)
RENEWED = terms(until=date(2027, 12, 31))
ENDED = fact(Pact.Ended, reason="联络站撤销")


def on(story: Story, day: date) -> PactState:
    return story.ledger.look_up(Pact, PACT).state_on(day)


def test_a_pact_is_concluded_and_the_peer_hears_of_it(origin: Story) -> None:
    origin.when(ConcludePact(peer=CHENGDU, terms=AGREED)).then(CONCLUDED)

    assert origin.told[0].meta.audience == (CHENGDU,)
    assert on(origin, TODAY) is PactState.IN_FORCE


def test_it_is_concluded_in_the_act_of_enrolling(origin: Story) -> None:
    origin.when(EnrolPeer(peer=peer("wuhan"), pact=AGREED)).then(
        fact(Organization.PeerEnrolled, peer=peer("wuhan")),
        fact(Pact.Concluded, peer="wuhan", terms=AGREED),
    )


def test_enrolled_again_it_is_changed_or_left_as_it_is(origin: Story) -> None:
    origin.given(PACT, CONCLUDED)

    origin.when(EnrolPeer(peer=peer(CHENGDU), pact=AGREED)).then_nothing()
    origin.when(EnrolPeer(peer=peer(CHENGDU))).then_nothing()
    origin.when(EnrolPeer(peer=peer(CHENGDU), pact=RENEWED)).then(fact(Pact.Changed, terms=RENEWED))


def test_nothing_is_agreed_with_a_stranger(origin: Story) -> None:
    origin.when(ConcludePact(peer="wuhan", terms=AGREED)).then_refused(PeerUnknown, peer="wuhan")


def test_one_stands_at_a_time(origin: Story) -> None:
    origin.given(PACT, CONCLUDED)

    origin.when(ConcludePact(peer=CHENGDU, terms=RENEWED)).then_refused(PactStands, peer=CHENGDU)


@pytest.mark.parametrize(
    "said",
    [
        {"until": TODAY - timedelta(days=1), "effective_from": date(2025, 1, 1)},
        {"until": LAST, "effective_from": LAST + timedelta(days=1)},
        {"until": TODAY + timedelta(days=PACT_DAYS_MAX)},
    ],
)
def test_its_days_must_fit(origin: Story, said: dict[str, Any]) -> None:
    command = ConcludePact(peer=CHENGDU, terms=terms(**said))

    origin.when(command).then_refused(PactDates, today=TODAY.isoformat())


def test_it_may_run_as_long_as_the_longest(origin: Story) -> None:
    longest = terms(until=TODAY + timedelta(days=PACT_DAYS_MAX - 1))

    origin.when(ConcludePact(peer=CHENGDU, terms=longest)).then(
        fact(Pact.Concluded, peer=CHENGDU, terms=longest)
    )


def test_a_class_needs_a_purpose(origin: Story) -> None:
    idle = terms(DataClass.IDENTITY, DataClass.FAMILY, purposes=(Purpose.IDENTIFY,))

    origin.when(ConcludePact(peer=CHENGDU, terms=idle)).then_refused(
        ClassWithoutPurpose, classes=[DataClass.FAMILY], purposes=(Purpose.IDENTIFY,)
    )


def test_it_is_changed_by_a_new_version(origin: Story) -> None:
    origin.given(PACT, CONCLUDED)

    origin.when(ChangePact(peer=CHENGDU, terms=RENEWED, reason="续期")).then(
        fact(Pact.Changed, terms=RENEWED, reason="续期")
    )
    origin.when(ChangePact(peer=CHENGDU, terms=RENEWED)).then_refused(NothingChanged)


def test_a_version_does_not_begin_before_the_one_it_follows(origin: Story) -> None:
    origin.given(PACT, CONCLUDED)
    earlier = terms(effective_from=TODAY - timedelta(days=1))

    origin.when(ChangePact(peer=CHENGDU, terms=earlier)).then_refused(
        PactDates, not_before=TODAY.isoformat()
    )


def test_each_version_counts_from_its_first_day(origin: Story) -> None:
    narrower = terms(DataClass.IDENTITY, effective_from=date(2026, 7, 1))
    origin.given(PACT, CONCLUDED, fact(Pact.Changed, terms=narrower))
    pact = origin.ledger.look_up(Pact, PACT)

    agreed = {day: pact.on(day) for day in DAYS}

    assert {day: each and each.classes for day, each in agreed.items()} == {
        date(2026, 1, 4): None,
        date(2026, 1, 5): AGREED.classes,
        date(2026, 6, 30): AGREED.classes,
        date(2026, 7, 1): (DataClass.IDENTITY,),
        date(2026, 12, 31): (DataClass.IDENTITY,),
        date(2027, 1, 1): None,
    }


DAYS = (
    date(2026, 1, 4),
    date(2026, 1, 5),
    date(2026, 6, 30),
    date(2026, 7, 1),
    date(2026, 12, 31),
    date(2027, 1, 1),
)


def test_a_state_for_every_day(origin: Story) -> None:
    origin.given(PACT, CONCLUDED)

    assert on(origin, date(2026, 1, 4)) is PactState.AHEAD
    assert on(origin, LAST) is PactState.IN_FORCE
    assert on(origin, date(2027, 1, 1)) is PactState.LAPSED
    assert Pact(PACT, ORIGIN).state_on(TODAY) is PactState.NONE


def test_a_renewal_that_follows_on_leaves_no_gap(origin: Story) -> None:
    after = terms(effective_from=date(2027, 1, 1), until=date(2027, 6, 30))
    origin.given(PACT, CONCLUDED, fact(Pact.Changed, terms=after))

    pact = origin.ledger.look_up(Pact, PACT)

    assert pact.runs_until(TODAY) == date(2027, 6, 30)


def test_it_is_ended_early_and_may_be_concluded_again(origin: Story) -> None:
    origin.given(PACT, CONCLUDED)

    origin.when(EndPact(peer=CHENGDU, reason="联络站撤销")).then(ENDED)
    assert on(origin, TODAY) is PactState.ENDED
    origin.when(EndPact(peer=CHENGDU, reason="再次")).then_refused(NoPact, peer=CHENGDU)
    origin.when(ChangePact(peer=CHENGDU, terms=RENEWED)).then_refused(NoPact, peer=CHENGDU)
    origin.when(ConcludePact(peer=CHENGDU, terms=AGREED)).then(CONCLUDED)
    assert on(origin, TODAY) is PactState.IN_FORCE


def test_keys_follow_only_while_it_is_in_force(origin: Story) -> None:
    origin.when(ResumeKeys(peer=CHENGDU, keys=1)).then_refused(NoPact, peer=CHENGDU)

    origin.given(PACT, CONCLUDED)
    origin.when(ResumeKeys(peer=CHENGDU, keys=3)).then(fact(Pact.Resumed, keys=3))
    origin.after(days=365).when(ResumeKeys(peer=CHENGDU, keys=3)).then_refused(NoPact)


def test_every_class_of_a_purpose_is_needed_by_a_field_and_no_other() -> None:
    needed: dict[Purpose, set[DataClass]] = {each: set() for each in Purpose}
    for topic, fields in PURPOSES.items():
        for name, handling in fields.items():
            assert handling.under is not None, (topic, name)
            needed[handling.under].add(dict(PERSONAL[topic])[name])

    assert {purpose: set(classes) for purpose, classes in CLASSES.items()} == needed


def test_for_a_class_its_purposes_follow() -> None:
    assert purposes_of([DataClass.FAMILY]) == (Purpose.HELP,)
    assert purposes_of([DataClass.RESTRICTED]) == ()
    assert purposes_of(DataClass) == tuple(Purpose)
