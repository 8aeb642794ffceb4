"""党员: one person's file at the organization that holds the affiliation."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar, Literal
from uuid import UUID

from domain.aggregate import Aggregate, Fact, must_not_lie_ahead
from domain.errors import Invalid, NothingChanged, Refusal
from domain.sealing import Contactable, Familial, Identity
from domain.values import OrgCode, Text

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


class JoinedBeforeBirth(Invalid):
    """入党日期早于出生日期。The member joined before birth."""


class FullBeforeJoined(Invalid):
    """转正日期不符合规定。The date of full membership does not fit the date of joining."""

    mend = (
        "转正日期应晚于入党日期；仅 1969-04-01 至 1977-08-11 入党的可以相同。"
        "It comes after joining; equal only for those who joined 1969-04-01 to 1977-08-11."
    )


class Member(Aggregate):
    """A member, kept by the origin for as long as it holds the affiliation."""

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

    @classmethod
    def register(cls, id: UUID, *, born: date, on: date | None = None, **details: Any) -> Member:  # noqa: A002
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
        member = cls.begin(id, subject=id)
        member.trigger(cls.Registered, on=on, born_on=born.isoformat(), **details)
        return member

    def record_phone(self, phone: str, on: date | None) -> None:
        self._must_be_member()
        self.trigger(self.PhoneRecorded, on=on, phone=phone)

    def record_address(self, address: str, on: date | None) -> None:
        self._must_be_member()
        self.trigger(self.AddressRecorded, on=on, address=address)

    def correct_identity(self, name: str | None, number: str | None, reason: str) -> None:
        if name is None and number is None:
            raise NothingChanged
        self.trigger(self.IdentityCorrected, name=name, number=number, reason=reason)

    def leave(self, outflow: UUID, on: date) -> None:
        """Begin an absence; one is open at a time."""
        self._must_be_member()
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
        self._must_be_member()
        self.trigger(self.Ended, on=on, how=how, document=document)

    def disclose(self, to: OrgCode, purpose: str) -> None:
        """Let an organization hear of the member, from the first fact on."""
        if to not in self.audience:
            self.trigger(self.Disclosed, share_with=(to,), to=to, purpose=purpose)

    def _must_be_member(self) -> None:
        if self.ended:
            raise MembershipOver(member=self.id)
