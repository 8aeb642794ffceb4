"""删除: a person's data are closed at once, then destroyed everywhere, or kept hidden by law.

The erasure is the requester's: asked, granted by a second person, or answered by a restriction or a
refusal. What each holder of keys answers is a `Destruction`, its own.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID, uuid5

from pydantic import Field

from domain.aggregate import Aggregate, Fact, current, must_be_two
from domain.errors import Invalid, Refusal
from domain.values import DataClass, OrgCode, Short, Text

ERASURES_MAX = 50
"""Erasures of one person by one organization: some classes now, the others later."""

STREAMS_MAX = 400
"""Streams named in a request, by which whoever hears of it knows whose person it is."""

ErasureGround = Literal[
    "consent_withdrawn", "purpose_over", "retention_over", "unlawful", "deceased", "other"
]
"""撤回同意 · 目的已实现 · 保存期限届满 · 违法处理 · 本人已故 · 其他 (PIPL, articles 47 and 49)."""

AskedBy = Literal["person", "relative", "organization"]
"""本人 · 近亲属 · 组织."""

Streams = Annotated[tuple[UUID, ...], Field(min_length=1, max_length=STREAMS_MAX)]
Classes = Annotated[tuple[DataClass, ...], Field(min_length=1)]


class State(StrEnum):
    """Where an erasure stands, as people read it."""

    REQUESTED = "已申请，已封存"
    RESTRICTED = "限制处理"
    REFUSED = "不予删除"
    LIFTED = "已解除限制"
    GRANTED = "销毁中"
    COMPLETED = "已删除"


CLOSED = {State.REQUESTED, State.RESTRICTED, State.GRANTED, State.COMPLETED}
"""In which nothing opens by itself."""


class ErasureOpen(Refusal):
    """该人员已有未办结的删除申请。A request to erase this person is open already."""

    mend = "请办理已有的申请。Answer the one that is open."


class ErasureAnswered(Refusal):
    """该删除申请已有答复。The request has been answered, or is being carried out."""

    mend = "销毁不可撤回；答复请查看办理情况。What is destroyed stays so; see the board."


class NothingToErase(Refusal):
    """该人员的这些信息已经删除。These data of the person are erased already."""

    mend = "无需办理。There is nothing to do."


class StillInCare(Refusal):
    """该人员仍在外出或转接中，不能删除。The member is away, or being transferred."""

    mend = (
        "请先办结外出和转接，或限制处理。"
        "End the absence and the transfer first, or restrict instead."
    )


class TooManyErasures(Invalid):
    """该人员的删除申请过多。Too many erasures of one person."""

    mend = "请一次申请全部类别。Ask for all classes at once."


class NotRestricted(Refusal):
    """该人员的信息未处于限制处理状态。The data are not under a restriction."""


class PurposeNotNamed(Refusal):
    """该用途不在限制处理的允许范围内。The purpose is not one of those the restriction names."""

    kind = "forbidden"
    mend = "请从 purposes 中选择。Choose one of those under purposes."


class RestrictionTooShort(Invalid):
    """限制期限必须晚于今天。A restriction ends after today."""

    mend = "请填写晚于今天的日期。Give a later date."


class Erasure(Aggregate):
    """One request about one person and some classes of data, kept by whoever answers for them."""

    class Requested(Fact):
        """申请删除: from here on nothing of these classes opens."""

        TOPIC: ClassVar[str] = "erasure.requested"
        streams: Streams
        classes: Classes
        ground: ErasureGround
        by: AskedBy
        document: Text | None = None
        extends: UUID | None = None
        """转请: another's erasure, carried to whoever had keys from us and was not asked by it."""

        def apply(self, erasure: Erasure) -> None:
            erasure.state, erasure.classes = State.REQUESTED, self.classes
            erasure.extends = self.extends
            erasure.streams, erasure.requested = self.streams, self
            erasure.requester = self.meta.author.person

    class Granted(Fact):
        """同意删除: by a second person; the keys are destroyed, and it cannot be taken back."""

        TOPIC: ClassVar[str] = "erasure.granted"
        asked: tuple[OrgCode, ...]

        def apply(self, erasure: Erasure) -> None:
            erasure.state, erasure.asked, erasure.granted = State.GRANTED, self.asked, self

    class Restricted(Fact):
        """限制处理: the law requires keeping; hidden, and opened for a named purpose alone."""

        TOPIC: ClassVar[str] = "erasure.restricted"
        reason: Text
        basis: Text
        until: date
        purposes: tuple[Short, ...]

        def apply(self, erasure: Erasure) -> None:
            erasure.state, erasure.restriction = State.RESTRICTED, self

    class Refused(Fact):
        """不予删除: with the reason; what was closed opens again."""

        TOPIC: ClassVar[str] = "erasure.refused"
        reason: Text

        def apply(self, erasure: Erasure) -> None:
            erasure.state, erasure.reason = State.REFUSED, self.reason

    class Lifted(Fact):
        """解除限制: what was kept hidden is used again."""

        TOPIC: ClassVar[str] = "erasure.lifted"
        reason: Text

        def apply(self, erasure: Erasure) -> None:
            erasure.state, erasure.reason = State.LIFTED, self.reason

    class Consulted(Fact):
        """查阅: somebody has opened a field under a restriction, for a named purpose."""

        TOPIC: ClassVar[str] = "erasure.consulted"
        member: UUID
        purpose: Short
        field: Short

    class Completed(Fact):
        """删除完毕: everybody who held a key has answered."""

        TOPIC: ClassVar[str] = "erasure.completed"
        kept_by: tuple[OrgCode, ...] = ()

        def apply(self, erasure: Erasure) -> None:
            erasure.state, erasure.kept_by = State.COMPLETED, self.kept_by

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.state = State.REQUESTED
        self.requester = self.reason = ""
        self.classes: tuple[DataClass, ...] = ()
        self.streams: tuple[UUID, ...] = ()
        self.asked: tuple[OrgCode, ...] = ()
        self.kept_by: tuple[OrgCode, ...] = ()
        self.extends: UUID | None = None
        self.requested: Erasure.Requested | None = None
        self.granted: Erasure.Granted | None = None
        self.restriction: Erasure.Restricted | None = None

    @staticmethod
    def id_of(subject: UUID, keeper: OrgCode, number: int) -> UUID:
        """The n-th erasure of a person by one organization."""
        return uuid5(subject, f"erasure:{keeper}:{number}")

    @property
    def person(self) -> UUID:
        """Whose data."""
        assert self.subject is not None
        return self.subject

    @property
    def holders(self) -> tuple[OrgCode, ...]:
        """Who has to answer; of an extension's keeper, the erasure that it extends asks."""
        return self.asked if self.extends else (self.keeper, *self.asked)

    def request(  # noqa: PLR0913, PLR0917 - what a request says.
        self,
        streams: tuple[UUID, ...],
        classes: tuple[DataClass, ...],
        ground: ErasureGround,
        by: AskedBy,
        document: str | None,
        hearers: tuple[OrgCode, ...],
    ) -> None:
        """Ask; whoever may hold a key hears of it, and closes too."""
        self.trigger(
            self.Requested,
            share_with=hearers,
            streams=streams,
            classes=classes,
            ground=ground,
            by=by,
            document=document,
        )

    def grant(self, asked: tuple[OrgCode, ...]) -> None:
        """Let the keys be destroyed, here and by everybody asked.

        Raises:
            ErasureAnswered.
            SecondPersonNeeded: whoever asked cannot grant it.
        """
        self._must_be(State.REQUESTED, State.RESTRICTED)
        must_be_two(self.requester)
        self.trigger(self.Granted, share_with=asked, asked=asked)

    def restrict(self, reason: str, basis: str, until: date, purposes: tuple[str, ...]) -> None:
        """Keep, hidden, for as long as the law requires.

        Raises:
            ErasureAnswered, RestrictionTooShort.
        """
        self._must_be(State.REQUESTED)
        if until <= current.get().today:
            raise RestrictionTooShort(until=until.isoformat())
        self.trigger(self.Restricted, reason=reason, basis=basis, until=until, purposes=purposes)

    def refuse(self, reason: str) -> None:
        """Answer that it is not erased, and open again."""
        self._must_be(State.REQUESTED)
        self.trigger(self.Refused, reason=reason)

    def lift(self, reason: str) -> None:
        """End a restriction, and open again."""
        if self.state is not State.RESTRICTED:
            raise NotRestricted(erasure=self.id, state=self.state)
        self.trigger(self.Lifted, reason=reason)

    def consult(self, member: UUID, purpose: str, field: str) -> None:
        """Put down who opens what, and for which of the purposes, before it is opened.

        Raises:
            NotRestricted, PurposeNotNamed.
        """
        if self.state is not State.RESTRICTED or self.restriction is None:
            raise NotRestricted(erasure=self.id, state=self.state)
        if purpose not in self.restriction.purposes:
            raise PurposeNotNamed(purpose=purpose, purposes=list(self.restriction.purposes))
        self.trigger(self.Consulted, member=member, purpose=purpose, field=field)

    def complete(self, kept_by: tuple[OrgCode, ...]) -> None:
        """Everybody has answered."""
        self._must_be(State.GRANTED)
        self.trigger(self.Completed, kept_by=kept_by)

    def _must_be(self, *states: State) -> None:
        if self.state not in states:
            raise ErasureAnswered(erasure=self.id, state=self.state)
