"""销毁: what one holder of keys has answered to an erasure: destroyed, or kept by law."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, ClassVar
from uuid import UUID, uuid5

from pydantic import Field, StringConstraints

from domain.aggregate import Aggregate, Fact, current
from domain.errors import Invalid, Refusal
from domain.values import OrgCode, Text

DESTROYED_MAX = 1_000
"""Keys named in one destruction."""

Keys = Annotated[tuple[UUID, ...], Field(max_length=DESTROYED_MAX)]
SignatureText = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]{86}==$")]


class DestructionAnswered(Refusal):
    """该删除申请本组织已有答复。This organization has answered the request already."""

    mend = "销毁不可撤回；答复请查看办理情况。What is destroyed stays so; see the board."


class KeptTooShort(Invalid):
    """留存期限必须晚于今天。What is kept by law is kept beyond today."""

    mend = "请填写晚于今天的日期。Give a later date."


class Destruction(Aggregate):
    """The answer of one holder to one erasure; the requester answers itself as well."""

    class Done(Fact):
        """销毁回执: these keys are destroyed here, for good; signed by the organization."""

        TOPIC: ClassVar[str] = "destruction.done"
        erasure: UUID
        requester: OrgCode
        keys: Keys
        passed_to: tuple[OrgCode, ...] = ()
        """To whom this organization had granted keys of the person, besides the requester."""
        signature: SignatureText

        def apply(self, destruction: Destruction) -> None:
            destruction.done = self

    class Kept(Fact):
        """依法留存: the law requires this holder to keep; hidden, for named purposes alone."""

        TOPIC: ClassVar[str] = "destruction.kept"
        erasure: UUID
        reason: Text
        basis: Text
        until: date

        def apply(self, destruction: Destruction) -> None:
            destruction.kept = self

    class Extended(Fact):
        """转告: what somebody has answered who had keys from this organization, or by way of it."""

        TOPIC: ClassVar[str] = "destruction.extended"
        org: OrgCode
        erasure: UUID
        """Which erasure `org` has answered."""
        requester: OrgCode
        """Whose that is: ours, or of somebody on the way to `org`."""
        kept: bool = False
        """依法留存: nothing is destroyed, and nothing signed."""
        keys: Keys = ()
        passed_to: tuple[OrgCode, ...] = ()
        signature: SignatureText | None = None

        def apply(self, destruction: Destruction) -> None:
            destruction.extended[self.org] = self

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.extended: dict[OrgCode, Destruction.Extended] = {}
        self.done: Destruction.Done | None = None
        self.kept: Destruction.Kept | None = None

    @staticmethod
    def id_of(erasure: UUID, org: OrgCode) -> UUID:
        """One answer of each holder to each erasure."""
        return uuid5(erasure, f"destruction:{org}")

    @property
    def answered(self) -> bool:
        """Whether the holder has said what became of its keys."""
        return self.done is not None or self.kept is not None

    @property
    def awaited(self) -> tuple[OrgCode, ...]:
        """Who had keys from the holder, or from one of those, and is not known to have answered."""
        if self.done is None:
            return ()
        passed_to = {*self.done.passed_to}
        passed_to.update(*(said.passed_to for said in self.extended.values()))
        return tuple(sorted(passed_to - {self.keeper, self.done.requester, *self.extended}))

    @property
    def settled(self) -> bool:
        """Whether the holder has answered, and everybody who had keys by way of it."""
        return self.answered and not self.awaited

    @property
    def keeping(self) -> set[OrgCode]:
        """Who keeps by law: the holder, or whoever had keys by way of it."""
        holder = {self.keeper} if self.kept is not None and self.done is None else set()
        return holder | {org for org, said in self.extended.items() if said.kept}

    def tell(
        self,
        erasure: UUID,
        requester: OrgCode,
        keys: tuple[UUID, ...],
        passed_to: tuple[OrgCode, ...],
        signature: str,
    ) -> None:
        """Say which keys are destroyed; said once."""
        if self.done is None:
            hearers = () if requester == self.keeper else (requester,)
            self.trigger(
                self.Done,
                share_with=hearers,
                erasure=erasure,
                requester=requester,
                keys=keys,
                passed_to=passed_to,
                signature=signature,
            )

    def extend(self, theirs: Destruction, org: OrgCode) -> None:
        """Tell what an organization has answered, by its own answer or one on the way to it.

        Said once of each, and after the holder's own answer.
        """
        if org in self.extended or not self.answered:
            return
        answer = (theirs.done or theirs.kept) if org == theirs.keeper else theirs.extended.get(org)
        if answer is not None:
            terms = {"erasure", "requester", "kept", "keys", "passed_to", "signature"}
            said: dict[str, Any] = {"requester": self.keeper, "kept": answer is theirs.kept}
            said |= answer.model_dump(include=terms)
            self.trigger(self.Extended, org=org, **said)

    def keep(self, erasure: UUID, requester: OrgCode, reason: str, basis: str, until: date) -> None:
        """Say why it must be kept, by which law, and until when.

        Raises:
            DestructionAnswered, KeptTooShort.
        """
        if self.answered:
            raise DestructionAnswered(erasure=erasure)
        if until <= current.get().today:
            raise KeptTooShort(until=until.isoformat())
        self.trigger(
            self.Kept,
            share_with=(requester,),
            erasure=erasure,
            reason=reason,
            basis=basis,
            until=until,
        )
