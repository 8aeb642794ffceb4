"""活动: what can be asked about activities and attendance."""

from __future__ import annotations

from uuid import UUID

from domain.activity import ActivityKind
from domain.attendance import Mark
from domain.commands.command import Command
from domain.values import Day, Stated, Text


class HoldActivity(Command):
    """活动."""

    on: Day
    kind: ActivityKind = "theme_day"
    title: Stated
    place: Text | None = None


class CancelActivity(Command):
    """取消活动."""

    activity: UUID
    reason: Stated


class MarkAttendance(Command):
    """考勤."""

    activity: UUID
    outflow: UUID
    mark: Mark


class CorrectAttendance(Command):
    """考勤更正."""

    activity: UUID
    outflow: UUID
    mark: Mark
    reason: Stated
