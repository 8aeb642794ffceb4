"""活动: a party day, meeting or lecture; who came stands on streams of their own."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal
from uuid import UUID

from domain.aggregate import Aggregate, Fact
from domain.errors import Refusal
from domain.values import OrgCode, Text

ActivityKind = Literal[
    "theme_day", "assembly", "committee", "group", "lecture", "review", "forum", "other"
]
"""主题党日 · 支部党员大会 · 支委会 · 党小组会 · 党课 · 组织生活会 · 座谈会 · 其他."""


class ActivityCancelled(Refusal):
    """该活动已取消。The activity is cancelled."""


class Activity(Aggregate):
    """One activity, kept by its organizer."""

    class Held(Fact):
        """活动举行."""

        TOPIC: ClassVar[str] = "activity.held"
        kind: ActivityKind
        title: Text
        place: Text | None = None

        def apply(self, activity: Activity) -> None:
            activity.held_on = self.meta.occurred.on
            activity.title = self.title

    class Cancelled(Fact):
        """活动取消: it was announced in error."""

        TOPIC: ClassVar[str] = "activity.cancelled"
        reason: Text

        def apply(self, activity: Activity) -> None:
            activity.cancelled = True

    class Shared(Fact):
        """活动告知: whoever hears of a mark at it now hears of it."""

        TOPIC: ClassVar[str] = "activity.shared"

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.held_on = date.min
        self.title = ""
        self.cancelled = False

    @classmethod
    def hold(
        cls,
        id: UUID,  # noqa: A002
        on: date,
        kind: ActivityKind,
        title: str,
        place: str | None,
    ) -> Activity:
        activity = cls.begin(id)
        activity.trigger(cls.Held, on=on, kind=kind, title=title, place=place)
        return activity

    def cancel(self, reason: str) -> None:
        self.must_stand()
        self.trigger(self.Cancelled, reason=reason)

    def share(self, hearers: tuple[OrgCode, ...]) -> None:
        """Let those hear of it who hear of a mark at it."""
        if not set(hearers) <= {*self.audience, self.keeper}:
            self.trigger(self.Shared, share_with=hearers)

    def must_stand(self) -> None:
        if self.cancelled:
            raise ActivityCancelled(activity=self.id)
