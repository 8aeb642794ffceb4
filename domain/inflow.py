"""流入: one member's arrival at one host, and the host's answers; kept by the host."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar, Literal
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, Fact
from domain.errors import Invalid, NothingChanged, Refusal
from domain.sealing import Contactable, Identity, Noted
from domain.values import OfferNumber, OrgCode, Text

Via = Literal["in_person", "telephone", "qr", "officer", "visit", "police_data"]
Because = Literal["relocated", "returned", "transferred", "lost", "other"]
Reason = Literal[
    "not_here", "wrong_person", "already_transferred", "should_transfer", "capacity", "other"
]
"""不在本地 · 人员不符 · 已转组织关系 · 应转接组织关系 · 无法承接 · 其他; a refusal needs one."""


class AlreadyReported(Refusal):
    """该党员已经报到。The member has reported already."""


class AlreadyAnswered(Refusal):
    """该邀约已经答复。That offer is answered already."""


class InflowEnded(Refusal):
    """该流入已经结束。The stay has ended."""


class NotAccepted(Refusal):
    """尚未接收该党员。The member is not accepted here."""


class EndedBeforeAccepted(Invalid):
    """结束日期早于接收日期。The stay would end before it began."""


class ReasonMissing(Invalid):
    """不接收须写明原因。A refusal must say why."""

    mend = "请写明具体原因；不得无故拒接。State the reason; no refusal without one."


class Inflow(Aggregate):
    """One stay, or its beginning, at one host."""

    class Reported(Fact):
        """报到: the member appeared."""

        TOPIC: ClassVar[str] = "inflow.reported"
        outflow: UUID
        via: Via

        def apply(self, inflow: Inflow) -> None:
            inflow.outflow, inflow.reported = self.outflow, True

    class Found(Fact):
        """发现: the host met him first; without an offer, a claim that the origin must answer."""

        TOPIC: ClassVar[str] = "inflow.found"
        origin: OrgCode
        name: Identity
        number: Identity | None = None
        phone: Contactable | None = None
        via: Via
        note: Noted | None = None

        def apply(self, inflow: Inflow) -> None:
            inflow.origin, inflow.found = self.origin, True

    class Accepted(Fact):
        """接收: the host's answer to an offer; the care passes when the origin confirms."""

        TOPIC: ClassVar[str] = "inflow.accepted"
        outflow: UUID
        offer: OfferNumber
        branch: Text
        group: Text | None = None
        liaison: Text
        accepted_on: date

        def apply(self, inflow: Inflow) -> None:
            inflow.outflow, inflow.branch = self.outflow, self.branch
            inflow.accepted, inflow.ended = self.offer, False
            inflow.accepted_on = self.accepted_on
            inflow.answered += (self.offer,)

    class Declined(Fact):
        """不接收."""

        TOPIC: ClassVar[str] = "inflow.declined"
        outflow: UUID
        offer: OfferNumber
        reason_code: Reason
        reason: Text

        def apply(self, inflow: Inflow) -> None:
            inflow.outflow = self.outflow
            inflow.answered += (self.offer,)

    class Linked(Fact):
        """参加组织生活: a participation without the care; several are allowed."""

        TOPIC: ClassVar[str] = "inflow.linked"
        outflow: UUID
        note: Noted | None = None

        def apply(self, inflow: Inflow) -> None:
            inflow.outflow, inflow.linked = self.outflow, True

    class DetailsRecorded(Fact):
        """核实联系方式: confirmed by the host, which meets the member."""

        TOPIC: ClassVar[str] = "inflow.details_recorded"
        phone: Contactable | None = None
        address: Contactable | None = None

    class Ended(Fact):
        """流入结束: the host reports; the origin records and takes the care back."""

        TOPIC: ClassVar[str] = "inflow.ended"
        because: Because
        ended_on: date
        destination: Text | None = None

        def apply(self, inflow: Inflow) -> None:
            inflow.ended, inflow.accepted = True, None

    class Shared(Fact):
        """流入记录转交: the member's new keeper now hears of it."""

        TOPIC: ClassVar[str] = "inflow.shared"
        to: OrgCode

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.outflow: UUID | None = None
        self.origin: OrgCode = ""
        self.branch = ""
        self.accepted: int | None = None
        self.accepted_on = date.min
        self.answered: tuple[int, ...] = ()
        self.reported = self.found = self.linked = self.ended = False

    @staticmethod
    def id_of(outflow: UUID, host: OrgCode) -> UUID:
        """One stream for an absence at a host: reporting twice collides instead of doubling."""
        return uuid5(outflow, f"inflow:{host}")

    def report(self, outflow: UUID, origin: OrgCode, via: Via, on: date | None) -> None:
        if self.reported:
            raise AlreadyReported(inflow=self.id)
        self.trigger(self.Reported, on=on, share_with=(origin,), outflow=outflow, via=via)

    def find(self, origin: OrgCode, on: date | None, **seen: Any) -> None:
        self.trigger(self.Found, on=on, share_with=(origin,), origin=origin, **seen)

    def accept(self, outflow: UUID, origin: OrgCode, offer: int, **place: Any) -> None:
        """Say yes to an offer."""
        self._must_be_unanswered(offer)
        on = place["accepted_on"]
        assert isinstance(on, date)
        self.trigger(
            self.Accepted, on=on, share_with=(origin,), outflow=outflow, offer=offer, **place
        )

    def decline(self, outflow: UUID, origin: OrgCode, offer: int, code: str, reason: str) -> None:
        """Say no to an offer, with a reason."""
        self._must_be_unanswered(offer)
        if not reason:
            raise ReasonMissing(offer=offer)
        self.trigger(
            self.Declined,
            share_with=(origin,),
            outflow=outflow,
            offer=offer,
            reason_code=code,
            reason=reason,
        )

    def link(self, outflow: UUID, origin: OrgCode, note: str | None) -> None:
        if not self.linked:
            self.trigger(self.Linked, share_with=(origin,), outflow=outflow, note=note)

    def record_details(self, phone: str | None, address: str | None, on: date | None) -> None:
        self._must_be_here()
        if phone is None and address is None:
            raise NothingChanged
        self.trigger(self.DetailsRecorded, on=on, phone=phone, address=address)

    def end(self, because: Because, ended_on: date, destination: str | None) -> None:
        self._must_be_here()
        if ended_on < self.accepted_on:
            raise EndedBeforeAccepted(accepted_on=self.accepted_on.isoformat())
        self.trigger(
            self.Ended,
            on=ended_on,
            because=because,
            ended_on=ended_on,
            destination=destination,
        )

    def hand_on(self, to: OrgCode) -> None:
        """Let the member's new keeper hear of it."""
        if to not in self.audience:
            self.trigger(self.Shared, share_with=(to,), to=to)

    def _must_be_unanswered(self, offer: int) -> None:
        if offer in self.answered:
            raise AlreadyAnswered(inflow=self.id, offer=offer)

    def _must_be_here(self) -> None:
        if self.ended:
            raise InflowEnded(inflow=self.id)
        if self.accepted is None:
            raise NotAccepted(inflow=self.id)
