"""流动状态: the words an absence is described in, and who has the care in it on which day."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Literal, NamedTuple
from uuid import UUID, uuid5

from domain.aggregate import Aggregate
from domain.errors import Invalid, Refusal
from domain.values import Digest, OrgCode


class State(StrEnum):
    """流动状态, without the host's answer, which stands on the host's own stream."""

    REPORTED = "待登记"
    AWAITING = "待报到"
    UNKNOWN = "去向未明"
    IN_CARE = "在流入地管理"
    RETURNED = "已返回"
    CLOSED = "已结束"
    VOIDED = "作废"


OPEN = frozenset({State.REPORTED, State.AWAITING, State.UNKNOWN, State.IN_CARE})
REGISTERED = OPEN - {State.REPORTED}

OfferState = Literal["open", "confirmed", "lapsed", "recalled", "turned_down", "ended"]


class Offer(NamedTuple):
    """接收邀约: the origin asks one host to take over the care, until a moment."""

    number: int
    host: OrgCode
    until: datetime
    state: OfferState = "open"
    acceptance: Digest | None = None
    claim: UUID | None = None


class Stay(NamedTuple):
    """在流入地的一段: who had the care, from which day, to which day (None: still)."""

    host: OrgCode
    offer: int
    since: date
    to: date | None = None


class FlowNotOpen(Refusal):
    """该流动已经结束。The absence is over."""


class NotRegistered(Refusal):
    """该流动尚未登记。The absence is reported but not registered."""

    mend = "请先完成外出登记。Register it first."


class DepartureReported(Refusal):
    """该外出已经报告。The departure is reported already."""

    mend = "如需更改，请先退回补正。To change it, ask for a correction first."


class AlreadyRegistered(Refusal):
    """该流动已经登记。The absence is registered already."""


class OfferOpen(Refusal):
    """已有一个等待答复的邀约。An offer is open already."""

    mend = "请等待答复，或先撤回原邀约。Wait for the answer, or recall that offer first."


class HostHasCare(Refusal):
    """该党员已由流入地管理。A host has the daily care already."""

    mend = "请先登记转移或返回。Record the relocation or the return first."


class NoSuchOffer(Refusal):
    """没有这个编号的邀约。There is no offer of that number."""

    kind = "missing"


class OfferOver(Refusal):
    """该邀约已经结束。The offer is over."""


class NotYetDue(Refusal):
    """该邀约尚未到期。The offer's time has not run out."""


class LeftInTheFuture(Invalid):
    """流出日期晚于今天。The member would leave in the future."""

    mend = "请核对流出日期。Check the date of departure."


class BeforeDeparture(Invalid):
    """日期早于流出日期。The date lies before the departure."""


class OriginIsHost(Invalid):
    """不能向本组织发出邀约。An organization cannot offer care to itself."""


class Absence(Aggregate):
    """The state of one absence, as its facts leave it."""

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.member = id
        self.left_on = date.min
        self.destination: str | None = None
        self.planned_host: OrgCode | None = None
        self.state = State.REPORTED
        self.offers: dict[int, Offer] = {}
        self.stays: tuple[Stay, ...] = ()
        self.voided_acceptances: tuple[Digest, ...] = ()
        self.ended_on: date | None = None
        self.correction_asked = self.lost = False

    @staticmethod
    def id_of(member: UUID, absence: int) -> UUID:
        """The n-th absence of a member; twice the same collides instead of doubling."""
        return uuid5(member, f"outflow:{absence}")

    @property
    def person(self) -> UUID:
        """Who is away; `member` is his file at the keeper."""
        return self.subject or self.member

    @property
    def open_offer(self) -> Offer | None:
        """The one offer that waits for an answer."""
        newest = self.offers[max(self.offers)] if self.offers else None
        return newest if newest and newest.state == "open" else None

    @property
    def carer(self) -> OrgCode:
        """Who has the daily care now: a host, else the origin; never nobody."""
        return self.stays[-1].host if self.state is State.IN_CARE else self.keeper

    def carer_on(self, day: date) -> OrgCode:
        """Who had the daily care on a day."""
        for stay in reversed(self.stays):
            if stay.since <= day and (stay.to is None or day < stay.to):
                return stay.host
        return self.keeper

    def stayed_at(self, host: OrgCode, day: date) -> bool:
        """Whether a host had the care on a day, both ends included."""
        return any(
            s.host == host and s.since <= day and (s.to is None or day <= s.to) for s in self.stays
        )

    def settle(self, offer: Offer) -> None:
        """Put an offer's state."""
        self.offers = {**self.offers, offer.number: offer}

    def close_offer(self, number: int, state: OfferState, acceptance: Digest | None = None) -> None:
        """An offer is over; of one that never was, a peer may say what it likes."""
        if made := self.offers.get(number):
            self.settle(made._replace(state=state, acceptance=acceptance))

    def end_stay(self, on: date | None) -> None:
        """The care of the current host ends, never before it began."""
        if self.stays and self.stays[-1].to is None:
            last = self.stays[-1]
            self.stays = (*self.stays[:-1], last._replace(to=max(on or last.since, last.since)))

    def finish(self, state: State, on: date | None) -> None:
        """The absence is over, with whatever was open in it."""
        if offer := self.open_offer:
            self.close_offer(offer.number, "ended")
        self.end_stay(on)
        self.state, self.ended_on = state, on

    def must_be_open(self) -> None:
        if self.state not in OPEN:
            raise FlowNotOpen(outflow=self.id, state=self.state)

    def must_be_registered(self) -> None:
        self.must_be_open()
        if self.state not in REGISTERED:
            raise NotRegistered(outflow=self.id)

    def must_cover(self, day: date) -> None:
        """What is said of a day in this absence may be said later, also after its end."""
        if self.state is State.REPORTED:
            raise NotRegistered(outflow=self.id)
        self.must_follow_departure(day)
        if self.state is State.VOIDED or (self.ended_on and day > self.ended_on):
            raise FlowNotOpen(outflow=self.id, state=self.state)

    def must_follow_departure(self, day: date) -> None:
        if day < self.left_on:
            raise BeforeDeparture(left_on=self.left_on.isoformat(), day=day.isoformat())
