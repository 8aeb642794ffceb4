"""监护: what the origin's node does by itself when an answer arrives or an offer runs out."""

from __future__ import annotations

from datetime import timedelta

from domain import custodian
from domain.admission import Admission
from domain.commands import (
    Command,
    CompleteTransfer,
    ConfirmCare,
    LapseOffer,
    NoteAdmission,
    NoteDeclination,
    NoteRefusal,
    ReceiveMember,
)
from domain.inflow import Inflow
from domain.member import Member
from domain.outflow import Outflow
from domain.records import digest
from domain.transfer import Transfer
from tests.support.people import APRIL, AWAY, ZHANG, away
from tests.support.story import CHENGDU, NOW, ORIGIN, SHENZHEN, Said, Story, fact

HERE = Inflow.id_of(AWAY, CHENGDU)
UNTIL = NOW + timedelta(days=30)
OFFERED = fact(Outflow.Offered, offer=1, host=CHENGDU, until=UNTIL)
ACCEPTED = fact(
    Inflow.Accepted, outflow=AWAY, offer=1, branch="支部", liaison="李干事", accepted_on=APRIL
)
DECLINED = fact(Inflow.Declined, outflow=AWAY, offer=1, reason_code="not_here", reason="查无此人")


def answer_to(origin: Story, *arrived: Said) -> Command | None:
    """The command that the last of these facts from Chengdu calls for."""
    origin.given(HERE, *arrived, by=CHENGDU, about=ZHANG)
    return custodian.answer(origin.ledger.since(0)[-1], origin.ledger)


def test_an_acceptance_is_answered(origin: Story) -> None:
    away(origin, OFFERED)

    command = answer_to(origin, ACCEPTED)

    record = origin.ledger.stream(HERE)[0]
    assert command == ConfirmCare(
        outflow=AWAY, offer=1, host=CHENGDU, since=APRIL, acceptance=digest(record)
    )


def test_a_declination_is_noted(origin: Story) -> None:
    away(origin, OFFERED)

    command = answer_to(origin, DECLINED)

    record = origin.ledger.stream(HERE)[0]
    assert command == NoteDeclination(
        outflow=AWAY, offer=1, host=CHENGDU, reason_code="not_here", declination=digest(record)
    )


def test_what_concerns_another_origin_is_not_answered(origin: Story) -> None:
    away(origin, OFFERED, by=SHENZHEN)

    assert answer_to(origin, ACCEPTED) is None
    assert answer_to(origin, DECLINED) is None


def test_what_concerns_nobody_known_is_not_answered(origin: Story) -> None:
    assert answer_to(origin, ACCEPTED) is None


def test_other_facts_call_for_nothing(origin: Story) -> None:
    away(origin, OFFERED)

    assert answer_to(origin, fact(Inflow.Reported, outflow=AWAY, via="qr")) is None


def test_an_answer_given_twice_changes_nothing(origin: Story) -> None:
    away(origin, OFFERED)
    command = answer_to(origin, ACCEPTED)
    assert command is not None

    origin.when(command)

    origin.when(command).then_nothing()


def test_at_its_deadline_an_offer_lapses(origin: Story) -> None:
    away(origin, OFFERED)
    absence = origin.ledger.look_up(Outflow, AWAY)

    assert custodian.due(absence, UNTIL - timedelta(seconds=1)) is None
    assert custodian.due(absence, UNTIL) == LapseOffer(outflow=AWAY, offer=1)


def test_without_an_offer_nothing_is_due(origin: Story) -> None:
    away(origin, OFFERED, fact(Outflow.Returned, returned_on=APRIL))

    assert custodian.due(origin.ledger.look_up(Outflow, AWAY), UNTIL) is None


# Transfers.


MOVE = Transfer.id_of(ZHANG, 1)
ANSWERED = Admission.id_of(MOVE, CHENGDU)
REQUESTED = fact(Transfer.Requested, member=ZHANG, to=CHENGDU, by="member", levels=("branch",))


def answer_to_transfer(origin: Story, said: Said, by: str = ORIGIN) -> tuple[Command | None, str]:
    """The command that the receiver's word calls for, where the transfer is kept by somebody."""
    origin.given(MOVE, REQUESTED, about=ZHANG, by=by)
    origin.given(ANSWERED, said, by=CHENGDU, about=ZHANG)
    entry = origin.ledger.since(0)[-1]
    return custodian.answer(entry, origin.ledger), digest(entry.record)


def test_the_receivers_words_are_answered(origin: Story) -> None:
    said = {"transfer": MOVE, "dispatch": 1}
    to = {**said, "host": CHENGDU}
    admitted, by = answer_to_transfer(
        origin, fact(Admission.Admitted, branch="支部", admitted_on=APRIL, **said)
    )
    assert admitted == NoteAdmission(admitted_on=APRIL, admission=by, **to)
    refused, by = answer_to_transfer(
        origin, fact(Admission.Refused, reason_code="other", reason="材料不全", **said)
    )
    assert refused == NoteRefusal(reason_code="other", refusal=by, **to)
    slip = fact(Admission.SlipReturned, returned_on=APRIL, handler="赵", phone="1", **said)

    returned, by = answer_to_transfer(origin, slip)

    assert returned == CompleteTransfer(returned_on=APRIL, slip=by, **to)


def test_the_receivers_words_about_anothers_transfer_are_not_answered(origin: Story) -> None:
    said = fact(Admission.Admitted, transfer=MOVE, dispatch=1, branch="支部", admitted_on=APRIL)

    assert answer_to_transfer(origin, said, by=SHENZHEN)[0] is None


def test_who_is_released_to_us_is_received(host: Story) -> None:
    host.given(ZHANG, fact(Member.Released, transfer=MOVE, to=CHENGDU), about=ZHANG, by=ORIGIN)

    command = custodian.answer(host.ledger.since(0)[-1], host.ledger)

    assert command == ReceiveMember(transfer=MOVE)


def test_who_is_released_to_somebody_else_is_not(origin: Story) -> None:
    origin.given(ZHANG, fact(Member.Released, transfer=MOVE, to=CHENGDU), about=ZHANG)

    assert custodian.answer(origin.ledger.since(0)[-1], origin.ledger) is None
