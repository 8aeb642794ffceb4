"""流入: what a host may record about members who arrive, stay and leave."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from domain.absence import BeforeDeparture, FlowNotOpen, NoSuchOffer, NotRegistered
from domain.aggregate import InTheFuture
from domain.commands import (
    AcceptInflow,
    DeclineInflow,
    EndInflow,
    FindMember,
    LinkParticipation,
    RecordInflowDetails,
    ReportInflow,
)
from domain.decisions.host import (
    AcceptedBeforeDeparture,
    NotOfferedToUs,
    OfferNotWaiting,
    OwnMember,
)
from domain.errors import NothingChanged
from domain.inflow import (
    AlreadyAnswered,
    AlreadyReported,
    EndedBeforeAccepted,
    Inflow,
    InflowEnded,
    NotAccepted,
    ReasonMissing,
)
from domain.ledger import NotFound, NotOurs
from domain.member import Member
from domain.organization import PeerUnknown
from domain.outflow import Outflow
from tests.support.people import APRIL, AWAY, LI_NUMBER, MARCH, ZHANG, away, on_file
from tests.support.story import CHENGDU, NOW, ORIGIN, SHENZHEN, TODAY, Said, Story, fact, name

HERE = Inflow.id_of(AWAY, CHENGDU)
OFFERED = fact(Outflow.Offered, offer=1, host=CHENGDU, until=NOW + timedelta(days=30))
ACCEPTED = fact(
    Inflow.Accepted,
    outflow=AWAY,
    offer=1,
    branch="驻外第一党支部",
    liaison="李干事",
    accepted_on=APRIL,
)
ACCEPT = AcceptInflow(
    outflow=AWAY, offer=1, branch="驻外第一党支部", liaison="李干事", accepted_on=APRIL
)
DECLINE = DeclineInflow(outflow=AWAY, offer=1, reason_code="not_here", reason="查无此人")
FOUND = fact(Inflow.Found, origin=ORIGIN, name="张三", via="visit")
ENDED = fact(Inflow.Ended, because="relocated", ended_on=date(2025, 6, 1))


def known(host: Story, *more: Said) -> None:
    """What the host has heard from the origin."""
    away(host, *more, by=ORIGIN, heard_by=(CHENGDU,))


def here(host: Story, *more: Said) -> None:
    """Accepted here."""
    known(host, OFFERED)
    host.given(HERE, ACCEPTED, *more, about=ZHANG, heard_by=(ORIGIN,))


# Arrived.


def test_a_member_reports(host: Story) -> None:
    known(host, OFFERED)

    host.when(ReportInflow(outflow=AWAY, via="qr", on=APRIL)).then(
        fact(Inflow.Reported, outflow=AWAY, via="qr")
    )

    assert host.told[0].meta.audience == (ORIGIN,)
    assert host.told[0].meta.subject == ZHANG


def test_a_member_reports_once(host: Story) -> None:
    known(host, OFFERED)
    host.given(HERE, fact(Inflow.Reported, outflow=AWAY, via="qr"), about=ZHANG)

    host.when(ReportInflow(outflow=AWAY)).then_refused(AlreadyReported, inflow=HERE)


def test_nobody_reports_before_leaving(host: Story) -> None:
    known(host, OFFERED)

    host.when(ReportInflow(outflow=AWAY, on=date(2025, 2, 28))).then_refused(BeforeDeparture)


def test_nobody_reports_from_an_absence_that_is_over(host: Story) -> None:
    known(host, OFFERED, fact(Outflow.Returned, returned_on=APRIL))

    host.when(ReportInflow(outflow=AWAY)).then_refused(FlowNotOpen)
    host.when(LinkParticipation(outflow=AWAY)).then_refused(FlowNotOpen)


def test_an_absence_that_is_not_registered_has_no_arrival(host: Story) -> None:
    on_file(host, by=ORIGIN)
    planned = fact(Outflow.Reported, member=ZHANG, planned_on=MARCH)
    host.given(AWAY, planned, by=ORIGIN, about=ZHANG)

    host.when(ReportInflow(outflow=AWAY)).then_refused(NotRegistered)


def test_a_member_is_found_before_anybody_announced_him(host: Story) -> None:
    host.when(FindMember(origin=ORIGIN, name="张三", number=LI_NUMBER, phone="13900001234")).then(
        fact(
            Inflow.Found,
            origin=ORIGIN,
            name="张三",
            number=LI_NUMBER,
            phone="+8613900001234",
            via="visit",
        )
    )

    assert host.told[0].meta.subject not in {None, ZHANG}


def test_a_find_is_told_to_a_peer(host: Story) -> None:
    host.when(FindMember(origin="wuhan", name="张三")).then_refused(PeerUnknown, peer="wuhan")


def test_one_does_not_host_ones_own_members(origin: Story) -> None:
    away(origin)

    for command in (
        ReportInflow(outflow=AWAY),
        LinkParticipation(outflow=AWAY),
        FindMember(origin=ORIGIN, name="张三"),
    ):
        origin.when(command).then_refused(OwnMember)


def test_what_no_peer_has_told_is_not_found(host: Story) -> None:
    host.when(ReportInflow(outflow=AWAY)).then_refused(NotFound, kind="outflow")


# Answered.


def test_a_host_accepts(host: Story) -> None:
    known(host, OFFERED)

    host.when(ACCEPT).then(ACCEPTED)

    assert host.told[0].meta.occurred.on == APRIL
    assert host.told[0].meta.audience == (ORIGIN,)


def test_a_host_declines_with_a_reason(host: Story) -> None:
    known(host, OFFERED)

    host.when(DECLINE).then(
        fact(Inflow.Declined, outflow=AWAY, offer=1, reason_code="not_here", reason="查无此人")
    )


def test_no_refusal_without_a_reason(host: Story) -> None:
    known(host, OFFERED)

    host.when(DECLINE.model_copy(update={"reason": ""})).then_refused(ReasonMissing, offer=1)


def test_an_offer_is_answered_once(host: Story) -> None:
    here(host)

    host.when(ACCEPT).then_refused(AlreadyAnswered, offer=1)
    host.when(DECLINE).then_refused(AlreadyAnswered, offer=1)


def test_an_offer_made_to_another_is_not_answered(host: Story) -> None:
    known(host, fact(Outflow.Offered, offer=1, host=SHENZHEN, until=NOW))

    host.when(ACCEPT).then_refused(NotOfferedToUs, host=SHENZHEN)


def test_an_offer_that_was_never_made_is_not_answered(host: Story) -> None:
    known(host)

    host.when(ACCEPT).then_refused(NoSuchOffer, offer=1)


@pytest.mark.parametrize(
    ("over", "state"),
    [
        (fact(Outflow.Lapsed, offer=1), "lapsed"),
        (fact(Outflow.Recalled, offer=1, reason="有误"), "recalled"),
        (fact(Outflow.Returned, returned_on=APRIL), "ended"),
    ],
    ids=["lapsed", "recalled", "ended"],
)
def test_an_offer_known_to_be_over_is_not_answered(host: Story, over: Said, state: str) -> None:
    known(host, OFFERED, over)

    host.when(ACCEPT).then_refused(OfferNotWaiting, state=state)


def test_nobody_is_accepted_before_leaving(host: Story) -> None:
    known(host, OFFERED)

    host.when(ACCEPT.model_copy(update={"accepted_on": date(2025, 2, 1)})).then_refused(
        AcceptedBeforeDeparture, left_on="2025-03-01"
    )


def test_nobody_is_accepted_tomorrow(host: Story) -> None:
    known(host, OFFERED)

    host.when(ACCEPT.model_copy(update={"accepted_on": TODAY + timedelta(days=1)})).then_refused(
        InTheFuture
    )


def test_the_next_offer_is_answered_on_the_same_stream(host: Story) -> None:
    again = fact(Outflow.Offered, offer=2, host=CHENGDU, until=NOW + timedelta(days=30))
    known(host, OFFERED, fact(Outflow.Lapsed, offer=1), again)
    host.given(HERE, ACCEPTED, about=ZHANG)

    receipt = host.when(ACCEPT.model_copy(update={"offer": 2})).receipt

    assert receipt is not None
    assert (receipt.id, receipt.version) == (HERE, 2)


def test_an_offer_that_answers_a_claim_is_answered_where_the_claim_was_made(host: Story) -> None:
    claim = host.given(
        name("claim"),
        FOUND,
        about=name("stranger"),
    )
    known(host, fact(Outflow.Offered, offer=1, host=CHENGDU, until=NOW, claim=claim))

    for command in (ACCEPT, ReportInflow(outflow=AWAY), LinkParticipation(outflow=AWAY)):
        receipt = host.when(command).receipt
        assert receipt is not None
        assert receipt.id == claim


def test_an_offer_cannot_send_the_host_to_a_stream_of_anothers(host: Story) -> None:
    claim = host.given(
        name("claim"),
        FOUND,
        about=name("stranger"),
        by=SHENZHEN,
    )
    known(host, fact(Outflow.Offered, offer=1, host=CHENGDU, until=NOW, claim=claim))

    host.when(ACCEPT).then(ACCEPTED)

    assert host.told[0].originator_id == HERE


def test_a_participation_is_linked_without_the_care(host: Story) -> None:
    known(host, fact(Outflow.Shared, to=CHENGDU, purpose="参加组织生活"))

    host.when(LinkParticipation(outflow=AWAY, note="每月主题党日")).then(
        fact(Inflow.Linked, outflow=AWAY, note="每月主题党日")
    )
    host.when(LinkParticipation(outflow=AWAY)).then_nothing()
    assert host.ledger.look_up(Outflow, AWAY).carer == ORIGIN


# Staying, leaving.


def test_a_host_confirms_how_a_member_is_reached(host: Story) -> None:
    here(host)

    host.when(
        RecordInflowDetails(inflow=HERE, phone="13900001234", address="武侯区", on=APRIL)
    ).then(fact(Inflow.DetailsRecorded, phone="+8613900001234", address="武侯区"))


def test_details_say_something(host: Story) -> None:
    here(host)

    host.when(RecordInflowDetails(inflow=HERE)).then_refused(NothingChanged)


def test_a_host_reports_that_a_stay_has_ended(host: Story) -> None:
    here(host)

    host.when(EndInflow(inflow=HERE, because="relocated", ended_on=date(2025, 6, 1))).then(ENDED)


def test_a_stay_does_not_end_before_it_began(host: Story) -> None:
    here(host)

    host.when(EndInflow(inflow=HERE, because="lost", ended_on=MARCH)).then_refused(
        EndedBeforeAccepted, accepted_on="2025-04-01"
    )


def test_a_stay_that_has_ended_takes_nothing_more(host: Story) -> None:
    here(host, ENDED)

    for command in (
        EndInflow(inflow=HERE, because="lost", ended_on=date(2025, 7, 1)),
        RecordInflowDetails(inflow=HERE, phone="13900001234"),
    ):
        host.when(command).then_refused(InflowEnded, inflow=HERE)


def test_who_was_not_accepted_has_no_stay(host: Story) -> None:
    known(host, OFFERED)
    host.given(HERE, fact(Inflow.Reported, outflow=AWAY, via="qr"), about=ZHANG)

    host.when(EndInflow(inflow=HERE, because="lost", ended_on=TODAY)).then_refused(NotAccepted)


def test_only_the_host_writes_its_arrivals(origin: Story) -> None:
    origin.given(HERE, ACCEPTED, about=ZHANG, by=CHENGDU)

    origin.when(EndInflow(inflow=HERE, because="lost", ended_on=TODAY)).then_refused(
        NotOurs, keeper=CHENGDU
    )


def test_a_host_does_not_write_the_file_of_a_guest(host: Story) -> None:
    known(host)

    assert isinstance(host.ledger.find(Member, ZHANG), Member)
    assert host.ledger.find(Inflow, ZHANG) is None
