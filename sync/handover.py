"""交接核对: whether what an origin says about the care follows from what was said before."""

from __future__ import annotations

from typing import Any, Protocol
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.absence import State
from domain.aggregate import Aggregate, Fact
from domain.inflow import Inflow
from domain.outflow import Outflow
from domain.records import digest
from domain.values import OrgCode
from sync.errors import DoesNotFit


class Ours(Protocol):
    """What is known here."""

    @property
    def org(self) -> OrgCode:
        """Our code."""

    def stream(self, id: UUID) -> list[StoredEvent]:  # noqa: A002
        """The records of one of our streams."""


def check(fact: Fact, aggregate: Aggregate | None, ours: Ours) -> None:
    """Whether the step is one of the handover's, so that a peer cannot say us into or out of it.

    Raises:
        DoesNotFit: an offer is answered that does not wait, two would wait at once, or we are
            said to have accepted what we did not.
    """
    if isinstance(aggregate, Outflow) and (because := _wrong(fact, aggregate, ours)):
        raise DoesNotFit(topic=fact.TOPIC, stream=aggregate.id, because=because)


def _wrong(fact: Fact, outflow: Outflow, ours: Ours) -> str | None:
    match fact:
        case Outflow.Offered():
            return _wrong_offer(fact, outflow)
        case Outflow.Confirmed():
            made = outflow.offers.get(fact.offer)
            if made is None or made.state != "open" or made.host != fact.host:
                return "the offer does not wait for this host"
            if fact.host == ours.org and not _accepted(fact, outflow, ours):
                return "we did not accept"
        case Outflow.TurnedDown() | Outflow.Lapsed() | Outflow.Recalled():
            made = outflow.offers.get(fact.offer)
            if made is None or made.state != "open":
                return "the offer does not wait"
        case Outflow.Relocated() if outflow.open_offer:
            return "an offer waits"
    return None


def _wrong_offer(fact: Any, outflow: Outflow) -> str | None:
    if fact.offer != len(outflow.offers) + 1:
        return "the offer's number does not follow"
    if outflow.open_offer:
        return "another offer waits"
    if outflow.state is State.IN_CARE:
        return "a host has the care"
    return None


def _accepted(fact: Any, outflow: Outflow, ours: Ours) -> bool:
    claim = outflow.offers[fact.offer].claim
    ids = [Inflow.id_of(outflow.id, ours.org), *([claim] if claim else [])]
    return any(
        record.topic == Inflow.Accepted.TOPIC and digest(record) == fact.acceptance
        for id_ in ids
        for record in ours.stream(id_)
    )
