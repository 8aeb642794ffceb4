"""出席: one member's mark at one activity, a small stream of its own (one fact, one subject)."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal
from uuid import UUID, uuid5

from domain.aggregate import Aggregate, Fact
from domain.errors import NothingChanged, Refusal
from domain.values import FactId, OrgCode, Text

Mark = Literal["present", "late", "sick", "official", "personal", "absent"]
"""√到会 #迟到 O病假 ★公假 △事假 ×无故缺席."""


class AlreadyMarked(Refusal):
    """该党员在这次活动中已有记录。The member is marked for this activity already."""

    mend = "如有错误，请用更正。If it is wrong, correct it."


class Attendance(Aggregate):
    """Kept by the organizer; its id follows from activity and absence, so twice collides."""

    class Marked(Fact):
        """考勤."""

        TOPIC: ClassVar[str] = "attendance.marked"
        activity: UUID
        outflow: UUID
        mark: Mark

        def apply(self, attendance: Attendance) -> None:
            attendance.mark, attendance.outflow = self.mark, self.outflow
            attendance.activity = self.activity

    class Corrected(Fact):
        """考勤更正."""

        TOPIC: ClassVar[str] = "attendance.corrected"
        activity: UUID
        outflow: UUID
        mark: Mark
        reason: Text

        def apply(self, attendance: Attendance) -> None:
            attendance.mark = self.mark

    class Shared(Fact):
        """考勤转交: the member's new keeper now hears of it."""

        TOPIC: ClassVar[str] = "attendance.shared"
        to: OrgCode

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.mark: Mark | None = None
        self.activity = self.outflow = id

    @staticmethod
    def id_of(activity: UUID, outflow: UUID) -> UUID:
        return uuid5(activity, f"attendance:{outflow}")

    def put(
        self,
        mark: Mark,
        *,
        activity: UUID,
        outflow: UUID,
        on: date,
        share_with: tuple[OrgCode, ...],
    ) -> None:
        """Mark once; the day is the activity's."""
        if self.mark is not None:
            raise AlreadyMarked(activity=activity, outflow=outflow, mark=self.mark)
        self.trigger(
            self.Marked,
            on=on,
            share_with=share_with,
            activity=activity,
            outflow=outflow,
            mark=mark,
        )

    def correct(self, mark: Mark, reason: str, activity: UUID, on: date) -> None:
        if mark == self.mark:
            raise NothingChanged(mark=mark)
        self.trigger(
            self.Corrected,
            on=on,
            corrects=FactId(stream=self.id, version=self.version),
            activity=activity,
            outflow=self.outflow,
            mark=mark,
            reason=reason,
        )

    def hand_on(self, to: OrgCode) -> None:
        """Let the member's new keeper hear of it."""
        if to not in self.audience:
            self.trigger(self.Shared, share_with=(to,), to=to)
