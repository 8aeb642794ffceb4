"""监护: what the origin's node does by itself when a host's answer arrives or an offer runs out."""

from __future__ import annotations

from datetime import datetime

from domain.absence import OPEN
from domain.commands import Command, ConfirmCare, LapseOffer, NoteDeclination
from domain.inflow import Inflow
from domain.ledger import Entry, Ledger
from domain.outflow import Outflow
from domain.records import digest


def answer(entry: Entry, ledger: Ledger) -> Command | None:
    """The command that a fact calls for, if it is ours to answer; twice the same does no harm."""
    match entry.fact:
        case Inflow.Accepted() as accepted:
            if not _ours(ledger, accepted):
                return None
            return ConfirmCare(
                outflow=accepted.outflow,
                offer=accepted.offer,
                host=accepted.meta.keeper,
                since=accepted.accepted_on,
                acceptance=digest(entry.record),
            )
        case Inflow.Declined() as declined:
            if not _ours(ledger, declined):
                return None
            return NoteDeclination(
                outflow=declined.outflow,
                offer=declined.offer,
                host=declined.meta.keeper,
                reason_code=declined.reason_code,
                declination=digest(entry.record),
            )
        case _:
            return None


def due(outflow: Outflow, now: datetime) -> Command | None:
    """What happens by itself at a deadline."""
    offer = outflow.open_offer
    if offer is None or outflow.state not in OPEN or now < offer.until:
        return None
    return LapseOffer(outflow=outflow.id, offer=offer.number)


def _ours(ledger: Ledger, fact: Inflow.Accepted | Inflow.Declined) -> bool:
    outflow = ledger.find(Outflow, fact.outflow)
    return outflow is not None and outflow.keeper == ledger.org
