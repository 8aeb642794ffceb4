"""党员: a person's file at the organization that holds the affiliation."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

import pytest

from domain.aggregate import InTheFuture
from domain.commands import (
    CorrectIdentity,
    EndMembership,
    RecordAddress,
    RecordPhone,
    RegisterByLetter,
    RegisterOutflow,
    ReportOutflow,
)
from domain.decisions.members import MemberKnown, PersonTaken
from domain.errors import NothingChanged
from domain.ledger import NotFound, NotOurs
from domain.member import FullBeforeJoined, JoinedBeforeBirth, Member, MembershipOver
from domain.outflow import Outflow
from tests.support.people import (
    AWAY,
    LI_NUMBER,
    MARCH,
    ON_FILE,
    ZHANG,
    away,
    on_file,
    register_member,
)
from tests.support.story import TODAY, Story, fact, name

OVER = fact(Member.Ended, how="left_party", document="酒组发2号")
TOMORROW = TODAY + timedelta(days=1)


def test_a_member_comes_on_file(origin: Story) -> None:
    origin.when(register_member()).then(ON_FILE)


def test_a_person_has_one_file(origin: Story) -> None:
    known = origin.when(register_member()).then(ON_FILE)

    origin.when(register_member(name="张叁")).then_refused(MemberKnown, member=known.id)


def test_whom_a_letter_has_brought_keeps_his_id(origin: Story) -> None:
    origin.when(by_letter(name("li"))).then(ON_FILE)

    assert origin.told[0].meta.subject == name("li")


def test_a_letter_does_not_say_that_somebody_is_another_person_of_ours(origin: Story) -> None:
    li = origin.given(name("li"), ON_FILE, about=name("li"))

    origin.when(by_letter(li)).then_refused(PersonTaken, person=li)


def by_letter(person: UUID) -> RegisterByLetter:
    return RegisterByLetter(person=person, **dict(register_member()))


def test_the_id_of_a_file_says_nothing_about_the_person(origin: Story) -> None:
    receipt = origin.when(register_member()).then(ON_FILE)

    assert receipt.id == origin.ledger.keyring.blind("member", ON_FILE.fields["number"])


def test_nobody_joins_before_birth(origin: Story) -> None:
    origin.when(register_member(joined_on=date(1977, 2, 26))).then_refused(
        JoinedBeforeBirth, joined_on="1977-02-26"
    )


@pytest.mark.parametrize("dates", [{"joined_on": TOMORROW, "full_on": None}, {"full_on": TOMORROW}])
def test_what_lies_ahead_is_not_on_file(origin: Story, dates: dict[str, date]) -> None:
    origin.when(register_member(**dates)).then_refused(InTheFuture, on=TOMORROW.isoformat())


@pytest.mark.parametrize("full_on", [date(2000, 7, 1), date(2000, 6, 30)])
def test_probation_comes_before_full_membership(origin: Story, full_on: date) -> None:
    origin.when(register_member(full_on=full_on)).then_refused(FullBeforeJoined)


@pytest.mark.parametrize("day", [date(1969, 4, 1), date(1973, 7, 1), date(1977, 8, 11)])
def test_between_1969_and_1977_nobody_was_on_probation(origin: Story, day: date) -> None:
    old = "620902195003151235"

    origin.when(register_member(number=old, joined_on=day, full_on=day))

    assert origin.refusal is None


@pytest.mark.parametrize("day", [date(1969, 3, 31), date(1977, 8, 12)])
def test_outside_those_years_everybody_was(origin: Story, day: date) -> None:
    old = "620902195003151235"

    origin.when(register_member(number=old, joined_on=day, full_on=day)).then_refused(
        FullBeforeJoined, joined_on=day.isoformat()
    )


def test_a_telephone_number_is_recorded(origin: Story) -> None:
    on_file(origin)

    origin.when(RecordPhone(member=ZHANG, phone="139 0000 1234", on=MARCH)).then(
        fact(Member.PhoneRecorded, phone="+8613900001234")
    )

    assert origin.told[0].meta.occurred.on == MARCH


def test_an_address_is_recorded(origin: Story) -> None:
    on_file(origin)

    origin.when(RecordAddress(member=ZHANG, address="成都市武侯区")).then(
        fact(Member.AddressRecorded, address="成都市武侯区")
    )


def test_nothing_is_recorded_as_of_tomorrow(origin: Story) -> None:
    on_file(origin)

    origin.when(RecordPhone(member=ZHANG, phone="13900001234", on=TOMORROW)).then_refused(
        InTheFuture, today=TODAY.isoformat()
    )


def test_an_identity_is_corrected_with_its_reason(origin: Story) -> None:
    on_file(origin)

    origin.when(CorrectIdentity(member=ZHANG, number=LI_NUMBER, reason="录入错误")).then(
        fact(Member.IdentityCorrected, number=LI_NUMBER, reason="录入错误")
    )


def test_a_correction_changes_something(origin: Story) -> None:
    on_file(origin)

    origin.when(CorrectIdentity(member=ZHANG, reason="录入错误")).then_refused(NothingChanged)


def test_a_membership_ends_by_a_document(origin: Story) -> None:
    on_file(origin)

    origin.when(EndMembership(member=ZHANG, how="left_party", document="酒组发2号", on=MARCH)).then(
        OVER
    )


@pytest.mark.parametrize(("how", "closed"), [("died", "died"), ("expelled", "membership_ended")])
def test_the_end_of_a_membership_ends_the_absence(origin: Story, how: str, closed: str) -> None:
    away(origin)
    end = EndMembership.model_validate(
        {"member": ZHANG, "how": how, "document": "证明", "on": date(2025, 6, 1)}
    )

    origin.when(end).then(
        fact(Member.CameBack, outflow=AWAY),
        fact(Member.Ended, how=how, document="证明"),
        fact(Outflow.Closed, how=closed, closed_on=date(2025, 6, 1)),
    )


def test_a_death_ends_an_absence_that_was_only_reported(origin: Story) -> None:
    on_file(origin, fact(Member.Left, outflow=AWAY))
    planned = fact(Outflow.Reported, member=ZHANG, planned_on=date(2026, 3, 1))
    origin.given(AWAY, planned, about=ZHANG)

    origin.when(EndMembership(member=ZHANG, how="died", document="证明", on=TODAY)).then(
        fact(Member.CameBack, outflow=AWAY),
        fact(Member.Ended, how="died", document="证明"),
        fact(Outflow.Closed, how="died", closed_on=TODAY),
    )


def test_after_its_end_a_membership_takes_nothing_more(origin: Story) -> None:
    on_file(origin, OVER)

    for command in (
        RecordPhone(member=ZHANG, phone="13900001234"),
        RecordAddress(member=ZHANG, address="成都市"),
        RegisterOutflow(member=ZHANG, left_on=MARCH),
        ReportOutflow(member=ZHANG, planned_on=MARCH),
        EndMembership(member=ZHANG, how="died", document="证明", on=MARCH),
    ):
        origin.when(command).then_refused(MembershipOver, member=ZHANG)


def test_an_identity_may_be_corrected_after_the_end(origin: Story) -> None:
    on_file(origin, OVER)

    origin.when(CorrectIdentity(member=ZHANG, name="张叁", reason="录入错误")).then(
        fact(Member.IdentityCorrected, name="张叁", reason="录入错误")
    )


def test_only_the_keeper_writes_a_file(origin: Story) -> None:
    on_file(origin, by="elsewhere")

    origin.when(RecordPhone(member=ZHANG, phone="13900001234")).then_refused(
        NotOurs, kind="member", keeper="elsewhere"
    )


def test_what_is_not_here_is_not_found(origin: Story) -> None:
    origin.when(RecordPhone(member=name("nobody"), phone="13900001234")).then_refused(
        NotFound, kind="member", id=name("nobody")
    )
