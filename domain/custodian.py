"""监护: what a node does by itself when a peer's answer arrives or a time runs out."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from domain.absence import OPEN
from domain.admission import Admission
from domain.aggregate import Aggregate
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
from domain.ledger import Entry, Ledger
from domain.member import Member
from domain.outflow import Outflow
from domain.records import digest


def answer(entry: Entry, ledger: Ledger) -> Command | None:
    """The command that a fact calls for, if it is ours to answer; twice the same does no harm."""
    match entry.fact:
        case Inflow.Accepted() as accepted if _ours(ledger, accepted.outflow):
            return ConfirmCare(
                outflow=accepted.outflow,
                offer=accepted.offer,
                host=accepted.meta.keeper,
                since=accepted.accepted_on,
                acceptance=digest(entry.record),
            )
        case Inflow.Declined() as declined if _ours(ledger, declined.outflow):
            return NoteDeclination(
                outflow=declined.outflow,
                offer=declined.offer,
                host=declined.meta.keeper,
                reason_code=declined.reason_code,
                declination=digest(entry.record),
            )
        case Admission.Admitted() | Admission.Refused() | Admission.SlipReturned():
            return _transfer(entry, ledger)
        case Member.Released() as released if released.to == ledger.org:
            return ReceiveMember(transfer=released.transfer)
        case _:
            return None


def _transfer(entry: Entry, ledger: Ledger) -> Command | None:
    """The origin's answer to what the receiver of a transfer says."""
    fact, said = entry.fact, digest(entry.record)
    assert isinstance(fact, Admission.Admitted | Admission.Refused | Admission.SlipReturned)
    if not _ours(ledger, fact.transfer):
        return None
    to: dict[str, Any] = {"transfer": fact.transfer, "dispatch": fact.dispatch}
    to["host"] = fact.meta.keeper
    match fact:
        case Admission.Admitted():
            return NoteAdmission(admitted_on=fact.admitted_on, admission=said, **to)
        case Admission.Refused():
            return NoteRefusal(reason_code=fact.reason_code, refusal=said, **to)
        case _:
            return CompleteTransfer(returned_on=fact.returned_on, slip=said, **to)


def due(outflow: Outflow, now: datetime) -> Command | None:
    """What happens by itself at a deadline."""
    offer = outflow.open_offer
    if offer is None or outflow.state not in OPEN or now < offer.until:
        return None
    return LapseOffer(outflow=outflow.id, offer=offer.number)


def _ours(ledger: Ledger, id_: UUID) -> bool:
    known = ledger.find(Aggregate, id_)
    return known is not None and known.keeper == ledger.org
