"""流出: what the origin may record about a member who leaves, and comes back."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

import pytest

from domain.absence import (
    AlreadyRegistered,
    BeforeDeparture,
    DepartureReported,
    FlowNotOpen,
    LeftInTheFuture,
    NotRegistered,
    OfferOpen,
    State,
)
from domain.aggregate import SecondPersonNeeded
from domain.commands import (
    AskCorrection,
    CloseOutflow,
    Command,
    Departure,
    OfferCare,
    RecordRelocation,
    RecordReturn,
    RegisterDeparture,
    RegisterOutflow,
    ReportLost,
    ReportOutflow,
    ReportRestored,
    ShareOutflow,
    VoidOutflow,
)
from domain.ledger import NotOurs
from domain.member import AlreadyAway, Member, NotAway
from domain.organization import PeerUnknown
from domain.outflow import Outflow
from tests.support.people import (
    APRIL,
    AWAY,
    LEFT,
    MARCH,
    ON_FILE,
    ZHANG,
    away,
    on_file,
    register_member,
    state_of,
)
from tests.support.story import CHENGDU, NOW, SHENZHEN, TODAY, Story, fact

REPORTED = fact(Outflow.Reported, member=ZHANG, planned_on=date(2026, 2, 1), destination="成都")
BACK = fact(Outflow.Returned, returned_on=APRIL)
OFFERED = fact(Outflow.Offered, offer=1, host=CHENGDU, until=NOW + timedelta(days=30))
CONFIRMED = fact(Outflow.Confirmed, offer=1, host=CHENGDU, since=MARCH, acceptance="a" * 64)
GONE = fact(Member.Left, outflow=AWAY)
HOME = fact(Member.CameBack, outflow=AWAY)


def reported(origin: Story, *more: object) -> UUID:
    on_file(origin, GONE)
    return origin.given(AWAY, REPORTED, *more, about=ZHANG)  # type: ignore[arg-type]


# Reported, sent back, registered.


def test_a_departure_is_reported_before_it_happens(origin: Story) -> None:
    on_file(origin)

    origin.when(ReportOutflow(member=ZHANG, planned_on=date(2026, 2, 1), destination="成都")).then(
        REPORTED, GONE
    )


def test_a_departure_is_reported_once(origin: Story) -> None:
    reported(origin)

    origin.when(ReportOutflow(member=ZHANG, planned_on=MARCH)).then_refused(
        DepartureReported, state=State.REPORTED
    )


def test_a_report_is_sent_back_with_a_reason(origin: Story) -> None:
    reported(origin)

    origin.when(AskCorrection(outflow=AWAY, reason="缺少去向")).then(
        fact(Outflow.CorrectionAsked, reason="缺少去向")
    )

    assert state_of(origin, AWAY).state is State.REPORTED  # type: ignore[attr-defined]


def test_what_was_sent_back_is_reported_anew(origin: Story) -> None:
    reported(origin, fact(Outflow.CorrectionAsked, reason="缺少去向"))

    origin.when(ReportOutflow(member=ZHANG, planned_on=MARCH, destination="重庆")).then(
        fact(Outflow.Reported, member=ZHANG, planned_on=MARCH, destination="重庆")
    )


def test_what_is_registered_is_not_sent_back(origin: Story) -> None:
    away(origin)

    origin.when(AskCorrection(outflow=AWAY, reason="缺少去向")).then_refused(AlreadyRegistered)


def test_a_departure_is_registered(origin: Story) -> None:
    on_file(origin)

    origin.when(
        RegisterOutflow(member=ZHANG, left_on=MARCH, reason="务工", destination="四川省成都市")
    ).then(LEFT, GONE)


def test_a_report_becomes_an_absence_when_registered(origin: Story) -> None:
    reported(origin)

    origin.when(RegisterOutflow(member=ZHANG, left_on=MARCH, destination="成都")).then(
        fact(Outflow.Registered, member=ZHANG, left_on=MARCH, destination="成都")
    )


@pytest.mark.parametrize(
    ("where", "state"),
    [
        ({}, State.UNKNOWN),
        ({"destination": ""}, State.UNKNOWN),
        ({"destination": "成都"}, State.AWAITING),
        ({"host": CHENGDU}, State.AWAITING),
    ],
)
def test_an_unknown_destination_is_a_state_of_its_own(
    origin: Story, where: dict[str, str], state: State
) -> None:
    on_file(origin)

    origin.when(RegisterOutflow.model_validate({"member": ZHANG, "left_on": MARCH, **where}))

    assert state_of(origin, AWAY).state is state  # type: ignore[attr-defined]


def test_the_future_is_reported_not_registered(origin: Story) -> None:
    on_file(origin)

    origin.when(RegisterOutflow(member=ZHANG, left_on=TODAY + timedelta(days=1))).then_refused(
        LeftInTheFuture, left_on="2026-01-06"
    )


def test_a_member_is_away_once_at_a_time(origin: Story) -> None:
    away(origin)

    for command in (
        RegisterOutflow(member=ZHANG, left_on=APRIL),
        ReportOutflow(member=ZHANG, planned_on=APRIL),
    ):
        origin.when(command).then_refused(AlreadyAway, outflow=AWAY)


def test_the_next_absence_is_another(origin: Story) -> None:
    on_file(origin, GONE, HOME)
    origin.given(AWAY, LEFT, BACK, about=ZHANG)
    second = Outflow.id_of(ZHANG, 2)

    origin.when(RegisterOutflow(member=ZHANG, left_on=APRIL, destination="重庆")).then(
        fact(Outflow.Registered, member=ZHANG, left_on=APRIL, destination="重庆"),
        fact(Member.Left, outflow=second),
    )


def test_a_departure_is_registered_by_the_keeper_of_the_file(origin: Story) -> None:
    on_file(origin, by="elsewhere")

    origin.when(RegisterOutflow(member=ZHANG, left_on=MARCH)).then_refused(NotOurs)


def test_a_row_of_the_ledger_brings_person_and_absence(origin: Story) -> None:
    row = RegisterDeparture(
        person=register_member(), absence=Departure(left_on=MARCH, destination="成都")
    )
    person = origin.ledger.keyring.blind("member", row.person.number)
    absence = Outflow.id_of(person, 1)
    left = fact(Outflow.Registered, member=person, left_on=MARCH, destination="成都")

    origin.when(row).then(left, ON_FILE, fact(Member.Left, outflow=absence))
    origin.when(row).then_refused(AlreadyAway, outflow=absence)


def test_a_row_registers_what_the_member_has_reported(origin: Story) -> None:
    row = RegisterDeparture(person=register_member(), absence=Departure(left_on=MARCH))
    person = origin.when(row.person).then(ON_FILE).id
    origin.when(ReportOutflow(member=person, planned_on=date(2026, 2, 1)))

    origin.when(row).then(fact(Outflow.Registered, member=person, left_on=MARCH))


# Over, one way or another.


def test_a_member_returns(origin: Story) -> None:
    away(origin)

    origin.when(RecordReturn(outflow=AWAY, returned_on=APRIL, conduct="表现良好")).then(
        fact(Outflow.Returned, returned_on=APRIL, conduct="表现良好"), HOME
    )


def test_a_member_returns_once(origin: Story) -> None:
    away(origin, BACK)

    origin.when(RecordReturn(outflow=AWAY, returned_on=APRIL)).then_refused(
        FlowNotOpen, state=State.RETURNED
    )


def test_nobody_returns_before_leaving(origin: Story) -> None:
    away(origin)

    origin.when(RecordReturn(outflow=AWAY, returned_on=date(2025, 2, 28))).then_refused(
        BeforeDeparture, left_on="2025-03-01", day="2025-02-28"
    )


@pytest.mark.parametrize("how", ["died", "membership_ended"])
def test_an_absence_is_closed(origin: Story, how: str) -> None:
    away(origin)
    close = CloseOutflow.model_validate({"outflow": AWAY, "how": how, "closed_on": APRIL})

    origin.when(close).then(fact(Outflow.Closed, how=how, closed_on=APRIL), HOME)


def test_an_open_offer_ends_with_the_absence(origin: Story) -> None:
    away(origin, OFFERED)

    origin.when(RecordReturn(outflow=AWAY, returned_on=APRIL))

    absence = origin.ledger.look_up(Outflow, AWAY)
    assert absence.offers[1].state == "ended"
    assert absence.open_offer is None


def test_what_was_registered_in_error_is_voided_by_two(origin: Story) -> None:
    away(origin, CONFIRMED)
    origin.when(
        VoidOutflow(outflow=AWAY, reason="重复登记", second_person="li"), person="wang"
    ).then(fact(Outflow.Voided, reason="重复登记", second_person="li"), HOME)

    assert [record.topic for record in origin.ledger.stream(AWAY)] == [
        "outflow.registered",
        "outflow.confirmed",
        "outflow.voided",
    ]


def test_one_person_does_not_void(origin: Story) -> None:
    away(origin)

    origin.when(
        VoidOutflow(outflow=AWAY, reason="重复登记", second_person="wang"), person="wang"
    ).then_refused(SecondPersonNeeded, person="wang")


def test_a_report_is_voided_too(origin: Story) -> None:
    reported(origin)

    origin.when(VoidOutflow(outflow=AWAY, reason="不再外出", second_person="li")).then(
        fact(Outflow.Voided, reason="不再外出", second_person="li"), HOME
    )


def test_a_member_comes_back_from_the_absence_he_is_in(origin: Story) -> None:
    on_file(origin)
    origin.given(AWAY, LEFT, about=ZHANG)

    origin.when(RecordReturn(outflow=AWAY, returned_on=APRIL)).then_refused(
        NotAway, member=ZHANG, outflow=AWAY
    )


# Moved on, out of touch, shared.


def test_a_relocation_brings_the_care_back_to_the_origin(origin: Story) -> None:
    away(origin, OFFERED, CONFIRMED)

    origin.when(
        RecordRelocation(outflow=AWAY, moved_on=APRIL, destination="深圳", host=SHENZHEN)
    ).then(fact(Outflow.Relocated, moved_on=APRIL, destination="深圳", host=SHENZHEN))

    absence = origin.ledger.look_up(Outflow, AWAY)
    assert (absence.state, absence.carer) == (State.AWAITING, origin.ledger.org)
    assert absence.stays[-1].to == APRIL


def test_a_member_who_waits_for_an_answer_does_not_move_on(origin: Story) -> None:
    away(origin, OFFERED)

    origin.when(RecordRelocation(outflow=AWAY, moved_on=APRIL, destination="深圳")).then_refused(
        OfferOpen, offer=1, host=CHENGDU
    )


def test_contact_lost_is_a_flag(origin: Story) -> None:
    away(origin)

    origin.when(ReportLost(outflow=AWAY, basis="三个月未联系上")).then(
        fact(Outflow.ContactLost, basis="三个月未联系上")
    )
    origin.when(ReportLost(outflow=AWAY, basis="再次")).then_nothing()
    assert origin.ledger.look_up(Outflow, AWAY).state is State.AWAITING

    origin.when(ReportRestored(outflow=AWAY)).then(fact(Outflow.ContactRestored))
    origin.when(ReportRestored(outflow=AWAY)).then_nothing()


def test_another_organization_may_follow_an_absence(origin: Story) -> None:
    away(origin)
    share = ShareOutflow(outflow=AWAY, to=SHENZHEN, purpose="参加组织生活")

    origin.when(share).then(
        fact(Outflow.Shared, to=SHENZHEN, purpose="参加组织生活"),
        fact(Member.Disclosed, to=SHENZHEN, purpose="参加组织生活"),
    )
    assert {told.meta.audience for told in origin.told} == {(SHENZHEN,)}

    origin.when(share).then_nothing()


def test_an_absence_is_shared_with_peers_alone(origin: Story) -> None:
    away(origin)

    origin.when(ShareOutflow(outflow=AWAY, to="wuhan", purpose="参加组织生活")).then_refused(
        PeerUnknown, peer="wuhan", enrolled=[CHENGDU, SHENZHEN]
    )


EVERYTHING = (
    RecordRelocation(outflow=AWAY, moved_on=APRIL, destination="深圳"),
    RecordReturn(outflow=AWAY, returned_on=APRIL),
    CloseOutflow(outflow=AWAY, how="died", closed_on=APRIL),
    VoidOutflow(outflow=AWAY, reason="重复", second_person="li"),
    ReportLost(outflow=AWAY, basis="查找"),
    ReportRestored(outflow=AWAY),
    ShareOutflow(outflow=AWAY, to=SHENZHEN, purpose="参加组织生活"),
    OfferCare(outflow=AWAY, host=CHENGDU),
    AskCorrection(outflow=AWAY, reason="缺少去向"),
)


@pytest.mark.parametrize("command", EVERYTHING, ids=lambda c: type(c).__name__)
@pytest.mark.parametrize(
    "end",
    [
        BACK,
        fact(Outflow.Closed, how="transferred", closed_on=APRIL),
        fact(Outflow.Voided, reason="重复", second_person="li"),
    ],
    ids=lambda f: f.topic,
)
def test_an_absence_that_is_over_takes_nothing_more(
    origin: Story, end: object, command: Command
) -> None:
    away(origin, end)  # type: ignore[arg-type]

    origin.when(command).then_refused(FlowNotOpen, outflow=AWAY)


@pytest.mark.parametrize(
    "command",
    [c for c in EVERYTHING if not isinstance(c, CloseOutflow | VoidOutflow | AskCorrection)],
    ids=lambda c: type(c).__name__,
)
def test_a_report_is_no_absence_yet(origin: Story, command: Command) -> None:
    reported(origin)

    origin.when(command).then_refused(NotRegistered, outflow=AWAY)
