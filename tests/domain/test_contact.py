"""联系: who may record a contact with a member, for which day, and how it is put right."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from domain.absence import BeforeDeparture, FlowNotOpen, NotRegistered
from domain.aggregate import InTheFuture
from domain.commands import AdoptPolicy, CorrectContact, RecordContact, RecordVisit, WithdrawContact
from domain.contact import Contact, ContactWithdrawn, NextBeforeContact
from domain.decisions.contacts import NotInOurCare
from domain.errors import NothingChanged
from domain.inflow import Inflow
from domain.ledger import NotFound, NotOurs
from domain.outflow import Outflow
from domain.policy import Terms
from domain.values import FactId
from tests.support.people import APRIL, AWAY, MARCH, ZHANG, away
from tests.support.story import CHENGDU, NOW, ORIGIN, SHENZHEN, TODAY, Said, Story, fact, name

MAY, JUNE = date(2025, 5, 1), date(2025, 6, 1)
OFFERED = fact(Outflow.Offered, offer=1, host=CHENGDU, until=NOW)
CONFIRMED = fact(Outflow.Confirmed, offer=1, host=CHENGDU, since=APRIL, acceptance="a" * 64)
RELOCATED = fact(Outflow.Relocated, moved_on=JUNE, destination="深圳")
RETURNED = fact(Outflow.Returned, returned_on=JUNE)
MADE = fact(Contact.Made, outflow=AWAY, method="电话", by="李干事", reached=True, condition="良好")
CALL = RecordContact(outflow=AWAY, on=MAY, method="电话", by="李干事", condition="良好")
VISIT = RecordVisit(outflow=AWAY, on=MAY, by="李干事", festival="七一", help_given="慰问金")


def staying(host: Story, *more: Said) -> None:
    away(host, OFFERED, CONFIRMED, *more, by=ORIGIN, heard_by=(CHENGDU,))


# Made.


def test_the_carer_records_a_contact(host: Story) -> None:
    staying(host)

    host.when(CALL).then(MADE)

    assert host.told[0].meta.audience == (ORIGIN,)
    assert (host.told[0].meta.occurred.on, host.told[0].meta.subject) == (MAY, ZHANG)


def test_an_attempt_counts_as_evidence(host: Story) -> None:
    staying(host)

    host.when(CALL.model_copy(update={"reached": False, "condition": None})).then(
        fact(Contact.Made, outflow=AWAY, method="电话", by="李干事", reached=False)
    )


def test_a_visit_is_recorded(host: Story) -> None:
    staying(host)

    host.when(VISIT).then(
        fact(Contact.Visited, outflow=AWAY, festival="七一", by="李干事", help_given="慰问金")
    )


def test_two_officers_never_collide(host: Story) -> None:
    staying(host)

    first, second = host.when(CALL).receipt, host.when(CALL).receipt

    assert first is not None
    assert second is not None
    assert first.id != second.id


def test_the_origin_records_too_and_the_carer_of_the_day_hears(origin: Story) -> None:
    away(origin, OFFERED, CONFIRMED, RELOCATED)

    heard = [
        origin.when(CALL.model_copy(update={"on": day})).told[0].meta.audience
        for day in (MARCH, MAY, JUNE)
    ]

    assert heard == [(), (CHENGDU,), ()]


def test_a_contact_is_judged_by_the_policy_of_its_day(origin: Story) -> None:
    for day in (MARCH, JUNE):
        origin.when(AdoptPolicy(terms=Terms(contact_interval_days=3), effective_from=day))
    away(origin)

    judged = [
        origin.when(CALL.model_copy(update={"on": day})).told[0].meta.policy for day in (MAY, JUNE)
    ]

    assert judged == [1, 2]


@pytest.mark.parametrize("next_on", [MAY, APRIL])
def test_the_next_contact_comes_after_this_one(host: Story, next_on: date) -> None:
    staying(host)

    host.when(CALL.model_copy(update={"next_on": next_on})).then_refused(
        NextBeforeContact, on=MAY.isoformat(), next_on=next_on.isoformat()
    )


def test_the_next_contact_may_lie_ahead(host: Story) -> None:
    staying(host)

    host.when(CALL.model_copy(update={"next_on": TODAY + timedelta(days=7)}))

    assert host.refusal is None


def test_a_contact_tomorrow_is_none(origin: Story) -> None:
    away(origin)

    origin.when(CALL.model_copy(update={"on": TODAY + timedelta(days=1)})).then_refused(InTheFuture)


# By whom, for which day.


@pytest.mark.parametrize("day", [APRIL, JUNE])
def test_who_had_the_care_records_late(host: Story, day: date) -> None:
    staying(host, RELOCATED)

    host.when(CALL.model_copy(update={"on": day}))

    assert host.refusal is None


@pytest.mark.parametrize("day", [MARCH, date(2025, 6, 2)])
def test_nobody_records_for_days_outside_his_care(host: Story, day: date) -> None:
    staying(host, RELOCATED)

    for command in (CALL, VISIT):
        host.when(command.model_copy(update={"on": day})).then_refused(
            NotInOurCare, outflow=AWAY, on=day.isoformat()
        )


def test_a_host_that_was_only_asked_has_no_care(host: Story) -> None:
    away(host, OFFERED, by=ORIGIN, heard_by=(CHENGDU,))

    host.when(CALL).then_refused(NotInOurCare)


def test_a_linked_organization_records(host: Story) -> None:
    away(host, fact(Outflow.Shared, to=CHENGDU, purpose="参加组织生活"), by=ORIGIN)
    linked = fact(Inflow.Linked, outflow=AWAY)
    host.given(Inflow.id_of(AWAY, CHENGDU), linked, about=ZHANG)

    host.when(CALL).then(MADE)


def test_a_late_contact_is_recorded_after_the_return(host: Story) -> None:
    staying(host, RETURNED)

    host.when(CALL).then(MADE)


def test_the_origin_records_late_too(origin: Story) -> None:
    away(origin, RETURNED)

    origin.when(CALL).then(MADE)


def test_after_the_return_there_is_nothing_to_record(origin: Story) -> None:
    away(origin, RETURNED)

    origin.when(CALL.model_copy(update={"on": date(2025, 6, 2)})).then_refused(FlowNotOpen)


def test_what_was_registered_in_error_has_no_contacts(origin: Story) -> None:
    away(origin, fact(Outflow.Voided, reason="重复", second_person="li"))

    origin.when(CALL).then_refused(FlowNotOpen)


def test_before_the_departure_there_is_nothing_to_record(origin: Story) -> None:
    away(origin)

    origin.when(CALL.model_copy(update={"on": date(2025, 2, 28)})).then_refused(BeforeDeparture)


def test_a_report_has_no_contacts(origin: Story) -> None:
    planned = fact(Outflow.Reported, member=ZHANG, planned_on=MARCH)
    origin.given(AWAY, planned, about=ZHANG)

    origin.when(CALL).then_refused(NotRegistered)


def test_a_contact_is_with_somebody_known(host: Story) -> None:
    host.when(CALL).then_refused(NotFound, kind="outflow", id=AWAY)


# Put right.


def test_a_correction_is_a_new_fact_that_names_the_old_one(host: Story) -> None:
    contact = host.given(name("contact"), MADE, about=ZHANG)

    host.when(CorrectContact(contact=contact, reached=False, reason="实际未接通")).then(
        fact(Contact.Corrected, reached=False, reason="实际未接通")
    )

    assert host.told[0].meta.corrects == FactId(stream=contact, version=1)
    assert host.said(host.ledger.facts(contact)[0]) == MADE


def test_a_correction_changes_something(host: Story) -> None:
    contact = host.given(name("contact"), MADE, about=ZHANG)

    host.when(CorrectContact(contact=contact, reason="无")).then_refused(NothingChanged)


def test_a_contact_is_withdrawn_once(host: Story) -> None:
    contact = host.given(name("contact"), MADE, about=ZHANG)

    host.when(WithdrawContact(contact=contact, reason="重复")).then(
        fact(Contact.Withdrawn, reason="重复")
    )
    for command in (
        WithdrawContact(contact=contact, reason="再次"),
        CorrectContact(contact=contact, reached=False, reason="再次"),
    ):
        host.when(command).then_refused(ContactWithdrawn, contact=contact)


def test_a_contact_is_put_right_by_who_made_it(origin: Story) -> None:
    contact = origin.given(name("contact"), MADE, about=ZHANG, by=SHENZHEN)

    origin.when(WithdrawContact(contact=contact, reason="重复")).then_refused(
        NotOurs, keeper=SHENZHEN
    )
