"""组织关系转接: the only thing that moves an affiliation, kept by the origin until completed."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from pydantic import AwareDatetime, Field, StringConstraints

from domain.aggregate import Fact
from domain.aggregate import current as stamp
from domain.passage import (
    OVER,
    UNADMITTED,
    UNDECIDED,
    Channel,
    LetterNotDue,
    LetterNumberMissing,
    LetterNumberUsed,
    Level,
    NoLetter,
    NotThisLevel,
    OnlyByLetter,
    Passage,
    SamePersonApproves,
    State,
)
from domain.sealing import Contactable, Noted
from domain.values import Digest, DispatchNumber, OrgCode, Short, Text

FORWARDED_BYTES = 32 * 1024
"""Of a record that is passed on inside another."""

RecordVersion = Annotated[int, Field(ge=1, le=2**31 - 1)]
ForwardedState = Annotated[str, StringConstraints(max_length=FORWARDED_BYTES)]


class Transfer(Passage):
    """One transfer of one member; the origin stays answerable until it records the completion."""

    # Facts.

    class Requested(Fact):
        """转接申请: by the member or an organization, to an organization with a node or without."""

        TOPIC: ClassVar[str] = "transfer.requested"
        member: UUID
        to: OrgCode | None = None
        to_name: Text | None = None
        by: Literal["member", "organization"]
        levels: tuple[Level, ...]
        reason: Noted | None = None

        def apply(self, transfer: Transfer) -> None:
            transfer.member, transfer.levels = self.member, self.levels
            transfer.to, transfer.to_name = self.to, self.to_name

    class Approved(Fact):
        """审批: one level has approved."""

        TOPIC: ClassVar[str] = "transfer.approved"
        level: Level
        note: Text | None = None

        def apply(self, transfer: Transfer) -> None:
            transfer.approvers += (self.meta.author.person,)
            more = len(transfer.approvers) < len(transfer.levels)
            transfer.state = State.APPROVING if more else State.APPROVED

    class Rejected(Fact):
        """退回."""

        TOPIC: ClassVar[str] = "transfer.rejected"
        reason: Text

        def apply(self, transfer: Transfer) -> None:
            transfer.state = State.REJECTED

    class Withdrawn(Fact):
        """撤销."""

        TOPIC: ClassVar[str] = "transfer.withdrawn"
        reason: Text

        def apply(self, transfer: Transfer) -> None:
            transfer.state = State.WITHDRAWN

    class Sent(Fact):
        """转出: on its way; the origin is still answerable."""

        TOPIC: ClassVar[str] = "transfer.sent"
        dispatch: DispatchNumber
        channel: Channel
        letter: Short | None = None
        until: AwareDatetime
        dues_paid_to: date

        def apply(self, transfer: Transfer) -> None:
            transfer.dispatch(self, self.channel)

    class Expired(Fact):
        """介绍信超期; happens by itself."""

        TOPIC: ClassVar[str] = "transfer.expired"
        dispatch: DispatchNumber

        def apply(self, transfer: Transfer) -> None:
            transfer.state = State.EXPIRED

    class LetterLost(Fact):
        """介绍信遗失: void from here on; the receiver is told at once."""

        TOPIC: ClassVar[str] = "transfer.letter_lost"
        dispatch: DispatchNumber
        reason: Text

        def apply(self, transfer: Transfer) -> None:
            transfer.state = State.LOST

    class Reissued(Fact):
        """重新开具: after loss or expiry, on the branch's certificate and the member's request."""

        TOPIC: ClassVar[str] = "transfer.reissued"
        dispatch: DispatchNumber
        letter: Short | None = None
        voids: Short | None = None
        until: AwareDatetime
        basis: Text

        def apply(self, transfer: Transfer) -> None:
            transfer.dispatch(self, transfer.last.channel if transfer.dispatches else "letter")

    class Contested(Fact):
        """争议: the receiver has refused; to be re-sent or withdrawn, and the clock runs."""

        TOPIC: ClassVar[str] = "transfer.contested"
        dispatch: DispatchNumber
        reason_code: Text
        refusal: Digest

        def apply(self, transfer: Transfer) -> None:
            transfer.state = State.DISPUTED

    class Admitted(Fact):
        """对方已接收: noted in the one order that decides; the receipt slip is due."""

        TOPIC: ClassVar[str] = "transfer.admitted"
        dispatch: DispatchNumber
        admitted_on: date
        admission: Digest

        def apply(self, transfer: Transfer) -> None:
            transfer.state, transfer.admission = State.ADMITTED, self.admission
            transfer.admitted_on = self.admitted_on

    class AdmissionVoid(Fact):
        """接收无效: the admission came after its dispatch was over; both sides show why."""

        TOPIC: ClassVar[str] = "transfer.admission_void"
        dispatch: DispatchNumber
        admission: Digest
        because: Text

        def apply(self, transfer: Transfer) -> None:
            transfer.voided_admissions += (self.admission,)

    class Completed(Fact):
        """办结: with the receipt slip; the affiliation passes here, and only here."""

        TOPIC: ClassVar[str] = "transfer.completed"
        dispatch: DispatchNumber
        admitted_on: date
        returned_on: date
        slip: Digest | None = None
        branch: Text | None = None
        handler: Text | None = None
        phone: Contactable | None = None

        def apply(self, transfer: Transfer) -> None:
            transfer.state, transfer.admitted_on = State.COMPLETED, self.admitted_on

    class Forwarded(Fact):
        """转递: a record of somebody's about the time before, whom the new keeper does not know."""

        TOPIC: ClassVar[str] = "transfer.forwarded"
        record: UUID
        record_version: RecordVersion
        record_topic: Short
        record_state: ForwardedState
        digest: Digest

        def apply(self, transfer: Transfer) -> None:
            transfer.forwarded |= {(self.record, self.record_version)}

        @property
        def stored(self) -> StoredEvent:
            """The record, byte for byte."""
            version, state = self.record_version, self.record_state.encode()
            return StoredEvent(self.record, version, self.record_topic, state)

    class Shared(Fact):
        """转接告知: a later keeper of the member now hears how he came to the one before it."""

        TOPIC: ClassVar[str] = "transfer.shared"
        to: OrgCode

    # Decisions.

    def request(self, member: UUID, **said: Any) -> None:
        self.trigger(self.Requested, member=member, **said)

    def approve(self, level: Level, note: str | None) -> None:
        """One level approves: in order, each once, nobody for two."""
        self.must_be(*UNDECIDED)
        if level != self.next_level:
            raise NotThisLevel(transfer=self.id, next=self.next_level)
        if (person := stamp.get().author.person) in self.approvers:
            raise SamePersonApproves(transfer=self.id, person=person)
        self.trigger(self.Approved, level=level, note=note)

    def reject(self, reason: str) -> None:
        self.must_be(*UNDECIDED)
        self.trigger(self.Rejected, reason=reason)

    def withdraw(self, reason: str) -> None:
        """Take it back, for as long as nobody has admitted the member."""
        self.must_be(*UNADMITTED)
        self.trigger(self.Withdrawn, reason=reason)

    def cease(self, reason: str) -> None:
        """The membership has ended: there is nothing left to transfer, admitted or not."""
        if self.state not in OVER:
            self.trigger(self.Withdrawn, reason=reason)

    def send(self, channel: Channel, letter: str | None, days: int, dues_paid_to: date) -> None:
        """Put it on its way; after a refusal, again."""
        self.must_be(State.APPROVED, State.DISPUTED)
        if self.to is None and channel != "letter":
            raise OnlyByLetter(transfer=self.id)
        self._must_be_numbered(channel, letter)
        until = stamp.get().now + timedelta(days=days)
        self._send(self.Sent, letter, until, channel=channel, dues_paid_to=dues_paid_to)

    def expire(self, dispatch: int) -> None:
        """Its time has run out; happens by itself at the deadline."""
        self.must_be(State.SENT)
        if dispatch != self.last.number or stamp.get().now < self.last.until:
            raise LetterNotDue(dispatch=self.last.number, until=self.last.until.isoformat())
        self.trigger(self.Expired, dispatch=dispatch)

    def lose_letter(self, reason: str) -> None:
        self.must_be(State.SENT)
        if self.last.channel != "letter":
            raise NoLetter(transfer=self.id, channel=self.last.channel)
        self.trigger(self.LetterLost, dispatch=self.last.number, reason=reason)

    def reissue(self, letter: str | None, days: int, basis: str) -> None:
        """Another letter; the old number stays void."""
        self.must_be(State.LOST, State.EXPIRED)
        self._must_be_numbered(self.last.channel, letter)
        until = stamp.get().now + timedelta(days=days)
        self._send(self.Reissued, letter, until, voids=self.last.letter, basis=basis)

    def forward(self, record: StoredEvent, digest: str) -> None:
        """Pass on, once, what a third party has recorded about the member's absences."""
        self.must_be(State.COMPLETED)
        stream, version = record.originator_id, record.originator_version
        if (stream, version) not in self.forwarded:
            self.trigger(
                self.Forwarded,
                record=stream,
                record_version=version,
                record_topic=record.topic,
                record_state=record.state.decode(),
                digest=digest,
            )

    def hand_on(self, to: OrgCode) -> None:
        """Let a later keeper hear of it, once it is over."""
        self.must_be(State.COMPLETED)
        if to not in self.audience:
            self.trigger(self.Shared, share_with=(to,), to=to)

    def _must_be_numbered(self, channel: Channel, letter: str | None) -> None:
        if letter is not None and channel == "online":
            raise NoLetter(transfer=self.id, channel=channel)
        if letter is None and channel == "letter":
            raise LetterNumberMissing(transfer=self.id)
        if letter and letter in (each.letter for each in self.dispatches):
            raise LetterNumberUsed(letter=letter)

    def _send(self, kind: type[Fact], letter: str | None, until: datetime, **said: Any) -> None:
        told = () if self.to is None else (self.to,)
        number = len(self.dispatches) + 1
        self.trigger(kind, share_with=told, dispatch=number, letter=letter, until=until, **said)
