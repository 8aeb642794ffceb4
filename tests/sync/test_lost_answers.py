"""无应答: what a node does when its database takes a write, or none, and nobody is told."""

from __future__ import annotations

from typing import Any

import pytest
from eventsourcing.persistence import OperationalError

from domain.commands import OfferCare
from domain.ledger import OutcomeUnknown, Write
from domain.outflow import Outflow
from tests.support.federation import CHENGDU, ORIGIN, accept, depart, register
from tests.support.stage import Staged


def test_an_acceptance_waits_for_the_database_that_could_not_take_its_answer(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin: Any = three[ORIGIN]
    outflow = depart(origin, register(origin))
    origin.execute(OfferCare(outflow=outflow, host=CHENGDU))
    three.settle()
    accept(three[CHENGDU], outflow)
    three[CHENGDU].settle()
    three.carry(CHENGDU, ORIGIN)

    def full(write: Write) -> None:
        write.done.set_exception(OperationalError("No space left on device"))

    with monkeypatch.context() as patch:
        patch.setattr(origin.recorder.recorder, "submit", full)
        with pytest.raises(OutcomeUnknown):
            origin.answer_arrivals()
    three.settle()

    assert origin.ledger.look_up(Outflow, outflow).carer == CHENGDU


def test_what_was_recorded_without_anybody_hearing_is_read_anew(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, host = three[ORIGIN], three[CHENGDU]
    outflow = depart(origin, register(origin))
    origin.execute(OfferCare(outflow=outflow, host=CHENGDU, valid_days=1))
    three.settle()
    assert host.ledger.look_up(Outflow, outflow).open_offer is not None
    three.clock.pass_(days=2)
    origin.settle()
    origin.lapse_offers()
    origin.settle()
    submit = host.recorder.recorder.submit

    def unheard(write: Write) -> None:
        silent = Write(write.records, write.beside, write.tracking)
        submit(silent)
        silent.done.result()
        write.done.set_exception(OperationalError("the connection is lost"))

    with monkeypatch.context() as patch:
        patch.setattr(host.recorder.recorder, "submit", unheard)
        with pytest.raises(OperationalError):
            three.carry(ORIGIN, CHENGDU)
    three.settle()

    assert host.ledger.look_up(Outflow, outflow).open_offer is None
