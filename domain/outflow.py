"""流出: one absence of one member; every change of who has the daily care is on this stream."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime

from domain.absence import (
    Absence,
    AlreadyRegistered,
    DepartureReported,
    LeftInTheFuture,
    Offer,
    OfferOpen,
    State,
    Stay,
)
from domain.aggregate import Fact, must_be_two
from domain.aggregate import current as stamp
from domain.sealing import Contactable, Identity, Noted
from domain.values import Digest, OfferNumber, OrgCode, Text


class Outflow(Absence):
    """One absence, from departure to return; kept by the origin."""

    # Facts.

    class Reported(Fact):
        """外出报告: by the member, or a contact person on his behalf."""

        TOPIC: ClassVar[str] = "outflow.reported"
        member: UUID
        planned_on: date
        reason: Text | None = None
        destination: Text | None = None

        def apply(self, outflow: Outflow) -> None:
            outflow.member, outflow.left_on = self.member, self.planned_on
            outflow.destination, outflow.correction_asked = self.destination, False
            outflow.state = State.REPORTED

    class CorrectionAsked(Fact):
        """退回补正."""

        TOPIC: ClassVar[str] = "outflow.correction_asked"
        reason: Text

        def apply(self, outflow: Outflow) -> None:
            outflow.correction_asked = True

    class Registered(Fact):
        """外出登记: the origin is answerable from here on."""

        TOPIC: ClassVar[str] = "outflow.registered"
        member: UUID
        left_on: date
        reason: Text | None = None
        scope: Text | None = None
        destination: Text | None = None
        host: OrgCode | None = None
        permit: Identity | None = None
        permit_held: bool | None = None
        branch_contact: Contactable | None = None
        branch_phone: Contactable | None = None
        contact_state: Text | None = None
        remark: Noted | None = None

        def apply(self, outflow: Outflow) -> None:
            outflow.member, outflow.left_on = self.member, self.left_on
            outflow.destination, outflow.planned_host = self.destination, self.host
            outflow.state = self.state

        @property
        def state(self) -> State:
            """去向未明 is a state of its own: it is counted, and it is looked into."""
            return State.AWAITING if self.destination or self.host else State.UNKNOWN

    class Offered(Fact):
        """发出邀约."""

        TOPIC: ClassVar[str] = "outflow.offered"
        offer: OfferNumber
        host: OrgCode
        until: AwareDatetime
        claim: UUID | None = None

        def apply(self, outflow: Outflow) -> None:
            outflow.settle(Offer(self.offer, self.host, self.until, claim=self.claim))
            outflow.state = State.AWAITING

    class Confirmed(Fact):
        """确认交接: the care passes here, and only here."""

        TOPIC: ClassVar[str] = "outflow.confirmed"
        offer: OfferNumber
        host: OrgCode
        since: date
        acceptance: Digest

        def apply(self, outflow: Outflow) -> None:
            outflow.close_offer(self.offer, "confirmed", self.acceptance)
            outflow.stays += (Stay(self.host, self.offer, self.since),)
            outflow.state = State.IN_CARE

    class TurnedDown(Fact):
        """对方不接收: the host's answer, noted in the one order that decides."""

        TOPIC: ClassVar[str] = "outflow.turned_down"
        offer: OfferNumber
        reason_code: Text
        declination: Digest

        def apply(self, outflow: Outflow) -> None:
            outflow.close_offer(self.offer, "turned_down")

    class Lapsed(Fact):
        """邀约到期."""

        TOPIC: ClassVar[str] = "outflow.lapsed"
        offer: OfferNumber

        def apply(self, outflow: Outflow) -> None:
            outflow.close_offer(self.offer, "lapsed")

    class Recalled(Fact):
        """撤回邀约."""

        TOPIC: ClassVar[str] = "outflow.recalled"
        offer: OfferNumber
        reason: Text

        def apply(self, outflow: Outflow) -> None:
            outflow.close_offer(self.offer, "recalled")

    class AcceptanceVoid(Fact):
        """接收无效: the acceptance came after the offer was over; both sides show why."""

        TOPIC: ClassVar[str] = "outflow.acceptance_void"
        offer: OfferNumber
        host: OrgCode
        acceptance: Digest
        because: Text

        def apply(self, outflow: Outflow) -> None:
            outflow.voided_acceptances += (self.acceptance,)

    class Relocated(Fact):
        """转移: the member moved on; the care comes back to the origin."""

        TOPIC: ClassVar[str] = "outflow.relocated"
        moved_on: date
        destination: Text
        host: OrgCode | None = None

        def apply(self, outflow: Outflow) -> None:
            outflow.end_stay(self.moved_on)
            outflow.destination, outflow.planned_host = self.destination, self.host
            outflow.state = State.AWAITING

    class Returned(Fact):
        """返回: certificate checked, conduct summarised; the absence is over."""

        TOPIC: ClassVar[str] = "outflow.returned"
        returned_on: date
        conduct: Noted | None = None

        def apply(self, outflow: Outflow) -> None:
            outflow.finish(State.RETURNED, self.returned_on)

    class Closed(Fact):
        """结束: by a completed transfer, death, or the end of membership."""

        TOPIC: ClassVar[str] = "outflow.closed"
        how: Literal["transferred", "died", "membership_ended"]
        closed_on: date

        def apply(self, outflow: Outflow) -> None:
            outflow.finish(State.CLOSED, self.closed_on)

    class Voided(Fact):
        """作废: registered in error; confirmed by a second person, never deleted."""

        TOPIC: ClassVar[str] = "outflow.voided"
        reason: Text
        second_person: Text

        def apply(self, outflow: Outflow) -> None:
            outflow.finish(State.VOIDED, None)

    class ContactLost(Fact):
        """失联: a flag; the absence stays open."""

        TOPIC: ClassVar[str] = "outflow.contact_lost"
        basis: Noted

        def apply(self, outflow: Outflow) -> None:
            outflow.lost = True

    class ContactRestored(Fact):
        """恢复联系."""

        TOPIC: ClassVar[str] = "outflow.contact_restored"

        def apply(self, outflow: Outflow) -> None:
            outflow.lost = False

    class Shared(Fact):
        """告知: another organization, such as a second station, may follow the absence."""

        TOPIC: ClassVar[str] = "outflow.shared"
        to: OrgCode
        purpose: Text

    # Decisions: those of the offer stand in custody.py, which this stream is written by.

    def report(self, member: UUID, **said: Any) -> None:
        """Take note of an intended departure; again only after a correction was asked."""
        if self.version and not (self.state is State.REPORTED and self.correction_asked):
            raise DepartureReported(outflow=self.id, state=self.state)
        self.trigger(self.Reported, member=member, **said)

    def ask_correction(self, reason: str) -> None:
        """Send a report back with a reason."""
        self.must_be_open()
        if self.state is not State.REPORTED:
            raise AlreadyRegistered(outflow=self.id)
        self.trigger(self.CorrectionAsked, reason=reason)

    def register(self, *, member: UUID, left_on: date, **details: Any) -> None:
        """Register the departure; a report may have come before."""
        if self.version and self.state is not State.REPORTED:
            raise AlreadyRegistered(outflow=self.id)
        if left_on > stamp.get().today:
            raise LeftInTheFuture(left_on=left_on.isoformat())
        self.trigger(self.Registered, on=left_on, member=member, left_on=left_on, **details)

    def relocate(self, moved_on: date, destination: str, host: OrgCode | None) -> None:
        """The member moved to another place."""
        self.must_be_registered()
        self.must_follow_departure(moved_on)
        if offer := self.open_offer:
            raise OfferOpen(outflow=self.id, offer=offer.number, host=offer.host)
        self.trigger(
            self.Relocated, on=moved_on, moved_on=moved_on, destination=destination, host=host
        )

    def record_return(self, returned_on: date, conduct: str | None) -> None:
        """The member is back and checked."""
        self.must_be_registered()
        self.must_follow_departure(returned_on)
        self.trigger(self.Returned, on=returned_on, returned_on=returned_on, conduct=conduct)

    def close(self, how: str, closed_on: date, tell: tuple[OrgCode, ...] = ()) -> None:
        """A transfer, death or the end of membership ends the absence, also one only planned."""
        self.must_be_open()
        if self.state is not State.REPORTED:
            self.must_follow_departure(closed_on)
        self.trigger(self.Closed, on=closed_on, share_with=tell, how=how, closed_on=closed_on)

    def void(self, reason: str, second_person: str) -> None:
        """Registered in error: two persons say so."""
        self.must_be_open()
        must_be_two(second_person)
        self.trigger(self.Voided, reason=reason, second_person=second_person)

    def lose_contact(self, basis: str) -> None:
        """Flag that the member cannot be reached."""
        self.must_be_registered()
        if not self.lost:
            self.trigger(self.ContactLost, basis=basis)

    def restore_contact(self) -> None:
        """Take the flag down."""
        self.must_be_registered()
        if self.lost:
            self.trigger(self.ContactRestored)

    def share(self, to: OrgCode, purpose: str) -> None:
        """Let another organization follow the absence."""
        self.must_be_registered()
        self.hand_on(to, purpose)

    def hand_on(self, to: OrgCode, purpose: str) -> None:
        """As share, of an absence that may be over: the new keeper of the member follows it."""
        if to not in self.audience:
            self.trigger(self.Shared, share_with=(to,), to=to, purpose=purpose)
