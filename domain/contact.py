"""联系: one contact or visit with one member; kept by the organization that made it."""

from __future__ import annotations

from datetime import date
from typing import Any, ClassVar
from uuid import UUID

from domain.aggregate import Aggregate, Fact
from domain.errors import Invalid, NothingChanged, Refusal
from domain.sealing import Noted
from domain.values import FactId, OrgCode, Text


class NextBeforeContact(Invalid):
    """下次联系日期必须晚于本次。The next contact comes after this one."""


class ContactWithdrawn(Refusal):
    """该联系记录已撤回。The contact has been withdrawn."""


class Contact(Aggregate):
    """A stream of its own for each contact, so that two officers never collide."""

    class Made(Fact):
        """联系; reached or not, the attempt counts as evidence."""

        TOPIC: ClassVar[str] = "contact.made"
        outflow: UUID
        method: Text
        by: Text
        reached: bool
        condition: Noted | None = None
        matters: Noted | None = None
        next_on: date | None = None

    class Visited(Fact):
        """走访慰问."""

        TOPIC: ClassVar[str] = "contact.visited"
        outflow: UUID
        festival: Text | None = None
        by: Text
        help_given: Noted | None = None
        condition: Noted | None = None

    class Corrected(Fact):
        """更正: a new fact; what was said before stays."""

        TOPIC: ClassVar[str] = "contact.corrected"
        reached: bool | None = None
        condition: Noted | None = None
        matters: Noted | None = None
        reason: Text

    class Withdrawn(Fact):
        """撤回: recorded in error."""

        TOPIC: ClassVar[str] = "contact.withdrawn"
        reason: Text

        def apply(self, contact: Contact) -> None:
            contact.withdrawn = True

    class Shared(Fact):
        """联系记录转交: the member's new keeper now hears of it."""

        TOPIC: ClassVar[str] = "contact.shared"
        to: OrgCode

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.withdrawn = False

    @classmethod
    def make(
        cls,
        id: UUID,  # noqa: A002
        *,
        member: UUID,
        on: date,
        share_with: tuple[OrgCode, ...],
        next_on: date | None,
        **said: Any,
    ) -> Contact:
        if next_on is not None and next_on <= on:
            raise NextBeforeContact(on=on.isoformat(), next_on=next_on.isoformat())
        contact = cls.begin(id, subject=member)
        contact.trigger(cls.Made, on=on, share_with=share_with, next_on=next_on, **said)
        return contact

    @classmethod
    def visit(
        cls,
        id: UUID,  # noqa: A002
        *,
        member: UUID,
        on: date,
        share_with: tuple[OrgCode, ...],
        **said: Any,
    ) -> Contact:
        contact = cls.begin(id, subject=member)
        contact.trigger(cls.Visited, on=on, share_with=share_with, **said)
        return contact

    def correct(self, reason: str, **said: Any) -> None:
        self._must_stand()
        if all(value is None for value in said.values()):
            raise NothingChanged
        self.trigger(
            self.Corrected,
            corrects=FactId(stream=self.id, version=1),
            reason=reason,
            **said,
        )

    def withdraw(self, reason: str) -> None:
        self._must_stand()
        self.trigger(self.Withdrawn, corrects=FactId(stream=self.id, version=1), reason=reason)

    def hand_on(self, to: OrgCode) -> None:
        """Let the member's new keeper hear of it."""
        if to not in self.audience:
            self.trigger(self.Shared, share_with=(to,), to=to)

    def _must_stand(self) -> None:
        if self.withdrawn:
            raise ContactWithdrawn(contact=self.id)
