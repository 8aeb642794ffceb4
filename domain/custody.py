"""交接: how the daily care passes from origin to host, never lost and never held twice."""

from __future__ import annotations

from datetime import date, timedelta
from uuid import UUID

from domain.absence import (
    HostHasCare,
    NoSuchOffer,
    NotYetDue,
    Offer,
    OfferOpen,
    OfferOver,
    OriginIsHost,
    State,
)
from domain.aggregate import current as stamp
from domain.outflow import Outflow
from domain.values import OrgCode


def offer(outflow: Outflow, host: OrgCode, valid_days: int, claim: UUID | None = None) -> None:
    """Ask one host to take over; one offer is open at a time, or two hosts could accept.

    Raises:
        OriginIsHost, OfferOpen, HostHasCare, or what an absence that is not open raises.
    """
    outflow.must_be_registered()
    if host == outflow.keeper:
        raise OriginIsHost(host=host)
    if waiting := outflow.open_offer:
        raise OfferOpen(outflow=outflow.id, offer=waiting.number, host=waiting.host)
    if outflow.state is State.IN_CARE:
        raise HostHasCare(outflow=outflow.id, host=outflow.carer)
    outflow.trigger(
        Outflow.Offered,
        share_with=(host,),
        offer=len(outflow.offers) + 1,
        host=host,
        until=stamp.get().now + timedelta(days=valid_days),
        claim=claim,
    )


def recall(outflow: Outflow, number: int, reason: str) -> None:
    """Take an offer back before it is answered."""
    _must_wait(outflow, number)
    outflow.trigger(Outflow.Recalled, offer=number, reason=reason)


def lapse(outflow: Outflow, number: int) -> None:
    """An offer's time has run out; happens by itself at the deadline."""
    waiting = _must_wait(outflow, number)
    if stamp.get().now < waiting.until:
        raise NotYetDue(offer=number, until=waiting.until.isoformat())
    outflow.trigger(Outflow.Lapsed, offer=number)


def confirm(outflow: Outflow, number: int, host: OrgCode, since: date, acceptance: str) -> None:
    """Answer an acceptance: the care passes if the offer waits, else the acceptance is void.

    The order of this stream decides, never a clock. Twice the same acceptance changes nothing.
    """
    made = outflow.offers.get(number)
    known = made is not None and made.acceptance == acceptance
    # Two hosts never held the care on one day: it passes no earlier than the one before gave it up.
    freed = max((s.to for s in outflow.stays if s.to), default=outflow.left_on)
    if known or acceptance in outflow.voided_acceptances:
        return
    if made is not None and made.host == host and made.state == "open":
        day = max(since, outflow.left_on, freed)
        outflow.trigger(
            Outflow.Confirmed,
            on=min(day, stamp.get().today),
            offer=number,
            host=host,
            since=day,
            acceptance=acceptance,
        )
        return
    because = "no-such-offer" if made is None or made.host != host else made.state
    outflow.trigger(
        Outflow.AcceptanceVoid,
        share_with=(host,),
        offer=number,
        host=host,
        acceptance=acceptance,
        because=because,
    )


def turn_down(
    outflow: Outflow, number: int, host: OrgCode, reason_code: str, declination: str
) -> None:
    """Note that the host has declined; after anything else has ended the offer, nothing to note."""
    made = outflow.offers.get(number)
    if made is not None and made.host == host and made.state == "open":
        outflow.trigger(
            Outflow.TurnedDown, offer=number, reason_code=reason_code, declination=declination
        )


def _must_wait(outflow: Outflow, number: int) -> Offer:
    if number not in outflow.offers:
        raise NoSuchOffer(outflow=outflow.id, offer=number)
    made = outflow.offers[number]
    if made.state != "open":
        raise OfferOver(outflow=outflow.id, offer=number, state=made.state)
    return made
