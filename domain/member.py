"""党员: one person's file at the organization that holds the affiliation."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar, Literal
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, Fact, must_not_lie_ahead
from domain.errors import Invalid, NothingChanged, Refusal
from domain.sealing import Contactable, Familial, Identity
from domain.values import Digest, OrgCode, Text

Category = Literal["正式党员", "预备党员"]

NO_PROBATION_FROM, NO_PROBATION_TO = date(1969, 4, 1), date(1977, 8, 11)
"""Between these days members joined without probation: both dates may be equal."""


class AlreadyAway(Refusal):
    """该党员已有未结束的流动。The member has an open absence already."""

    mend = "请先办理返回或结束原流动。Record the return or the end of that absence first."


class NotAway(Refusal):
    """该党员没有这次未结束的流动。The member has no such open absence."""


class MembershipOver(Refusal):
    """该党员的党籍已终止。The membership has ended."""


class MemberReleased(Refusal):
    """该党员的组织关系已经转出。The member's affiliation has been transferred away."""

    mend = (
        "请由现在的组织办理；要回来须再办转接。Ask his present organization, or transfer him back."
    )


class JoinedBeforeBirth(Invalid):
    """入党日期早于出生日期。The member joined before birth."""


class FullBeforeJoined(Invalid):
    """转正日期不符合规定。The date of full membership does not fit the date of joining."""

    mend = (
        "转正日期应晚于入党日期；仅 1969-04-01 至 1977-08-11 入党的可以相同。"
        "It comes after joining; equal only for those who joined 1969-04-01 to 1977-08-11."
    )


class Member(Aggregate):
    """A member's file, kept by the origin for as long as it holds the affiliation.

    The subject is the person, under one id wherever he is transferred; each keeper opens a file.
    """

    class Registered(Fact):
        """党员建档."""

        TOPIC: ClassVar[str] = "member.registered"
        name: Identity
        number: Identity
        sex: Literal["男", "女"]
        ethnic: Identity | None = None
        born_on: Identity
        education: Text | None = None
        category: Category
        joined_on: date
        full_on: date | None = None
        branch: Text
        former_occupation: Identity | None = None
        phone: Contactable | None = None
        address: Contactable | None = None
        family: Familial | None = None

        def apply(self, member: Member) -> None:
            member.branch, member.category = self.branch, self.category

    class Received(Registered):
        """转入建档: the file goes on from another keeper's, whose last record it names."""

        TOPIC: ClassVar[str] = "member.received"
        transfer: UUID
        origin: OrgCode
        file: UUID
        last: Digest

        def apply(self, member: Member) -> None:
            super().apply(member)
            member.continues = self.file

    class PhoneRecorded(Fact):
        """联系电话变更."""

        TOPIC: ClassVar[str] = "member.phone_recorded"
        phone: Contactable

    class AddressRecorded(Fact):
        """联系地址变更."""

        TOPIC: ClassVar[str] = "member.address_recorded"
        address: Contactable

    class IdentityCorrected(Fact):
        """身份信息更正."""

        TOPIC: ClassVar[str] = "member.identity_corrected"
        name: Identity | None = None
        number: Identity | None = None
        reason: Text

    class Left(Fact):
        """外出: an absence has begun."""

        TOPIC: ClassVar[str] = "member.left"
        outflow: UUID

        def apply(self, member: Member) -> None:
            member.away, member.absences = self.outflow, member.absences + 1

    class CameBack(Fact):
        """结束外出: the absence is over, however it ended."""

        TOPIC: ClassVar[str] = "member.came_back"
        outflow: UUID

        def apply(self, member: Member) -> None:
            member.away = None

    class Ended(Fact):
        """党籍终止: decided by an authorised body, whose document is quoted."""

        TOPIC: ClassVar[str] = "member.ended"
        how: Literal["died", "left_party", "removed", "expelled"]
        document: Text

        def apply(self, member: Member) -> None:
            member.ended = True

    class Released(Fact):
        """转出: the file ends here; it goes on at the new keeper's, if that has a node."""

        TOPIC: ClassVar[str] = "member.released"
        transfer: UUID
        to: OrgCode | None = None
        to_name: Text | None = None

        def apply(self, member: Member) -> None:
            member.released_on = self.meta.occurred.on
            member.released_to, member.released_to_name = self.to, self.to_name

    class Disclosed(Fact):
        """告知: another organization now hears of the member, for a purpose."""

        TOPIC: ClassVar[str] = "member.disclosed"
        to: OrgCode
        purpose: Text

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.branch = ""
        self.category: Category = "正式党员"
        self.away: UUID | None = None
        self.absences = 0
        self.ended = False
        self.continues: UUID | None = None
        self.released_on: date | None = None
        self.released_to: OrgCode | None = None
        self.released_to_name: str | None = None

    @staticmethod
    def id_of(pseudonym: UUID, number: int) -> UUID:
        """The n-th file of a person at one organization; opening it twice collides."""
        return pseudonym if number == 1 else uuid5(pseudonym, f"member:{number}")

    @property
    def person(self) -> UUID:
        """Whom the file is about, under the id that every keeper uses."""
        return self.subject or self.id

    def holder_on(self, day: date) -> OrgCode | str:
        """Who held the affiliation on a day, as far as this file goes; never nobody."""
        if self.released_on is None or day < self.released_on:
            return self.keeper
        return self.released_to or self.released_to_name or ""

    @classmethod
    def register(
        cls,
        id: UUID,  # noqa: A002
        *,
        born: date,
        person: UUID | None = None,
        on: date | None = None,
        **details: Any,
    ) -> Member:
        """Open a person's file; the id is the person's pseudonym, so twice is refused."""
        joined, full = details["joined_on"], details["full_on"]
        assert isinstance(joined, date)
        must_not_lie_ahead(joined)
        if joined <= born:
            raise JoinedBeforeBirth(joined_on=joined.isoformat())
        if isinstance(full, date):
            must_not_lie_ahead(full)
            legal_equal = full == joined and NO_PROBATION_FROM <= joined <= NO_PROBATION_TO
            if full <= joined and not legal_equal:
                raise FullBeforeJoined(joined_on=joined.isoformat(), full_on=full.isoformat())
        member = cls.begin(id, subject=person or id)
        member.trigger(cls.Registered, on=on, born_on=born.isoformat(), **details)
        return member

    @classmethod
    def receive(cls, id: UUID, person: UUID, **file: Any) -> Member:  # noqa: A002
        """Go on with a file that another keeper has released to us."""
        member = cls.begin(id, subject=person)
        member.trigger(cls.Received, **file)
        return member

    def record_phone(self, phone: str, on: date | None) -> None:
        self.must_be_member()
        self.trigger(self.PhoneRecorded, on=on, phone=phone)

    def record_address(self, address: str, on: date | None) -> None:
        self.must_be_member()
        self.trigger(self.AddressRecorded, on=on, address=address)

    def correct_identity(self, name: str | None, number: str | None, reason: str) -> None:
        self.must_be_held()
        if name is None and number is None:
            raise NothingChanged
        self.trigger(self.IdentityCorrected, name=name, number=number, reason=reason)

    def leave(self, outflow: UUID, on: date) -> None:
        """Begin an absence; one is open at a time."""
        self.must_be_member()
        if self.away is not None:
            raise AlreadyAway(member=self.id, outflow=self.away)
        self.trigger(self.Left, on=on, outflow=outflow)

    def come_back(self, outflow: UUID, on: date | None) -> None:
        """End the absence."""
        if self.away != outflow:
            raise NotAway(member=self.id, outflow=outflow)
        self.trigger(self.CameBack, on=on, outflow=outflow)

    def end(self, how: str, document: str, on: date | None) -> None:
        """Carry out what an authorised body has decided; the software never decides."""
        self.must_be_member()
        self.trigger(self.Ended, on=on, how=how, document=document)

    def disclose(self, to: OrgCode, purpose: str) -> None:
        """Let an organization hear of the member, from the first fact on."""
        if to not in self.audience:
            self.trigger(self.Disclosed, share_with=(to,), to=to, purpose=purpose)

    def release(self, transfer: UUID, to: OrgCode | None, to_name: str | None) -> None:
        """The affiliation has passed: the last thing this file says."""
        self.must_be_member()
        self.trigger(self.Released, transfer=transfer, to=to, to_name=to_name)

    def must_be_held(self) -> None:
        """Refuse what only the holder of the affiliation may do."""
        if self.released_on is not None:
            raise MemberReleased(member=self.id, to=self.released_to or self.released_to_name)

    def must_be_member(self) -> None:
        self.must_be_held()
        if self.ended:
            raise MembershipOver(member=self.id)
