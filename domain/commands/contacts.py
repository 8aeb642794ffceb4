"""联系: what can be asked about contacts and visits."""

from __future__ import annotations

from uuid import UUID

from domain.commands.command import Command
from domain.values import Day, Notes, Stated, Text


class RecordContact(Command):
    """联系."""

    outflow: UUID
    on: Day
    method: Stated
    by: Stated
    reached: bool = True
    condition: Notes | None = None
    matters: Notes | None = None
    next_on: Day | None = None


class RecordVisit(Command):
    """走访慰问."""

    outflow: UUID
    on: Day
    by: Stated
    festival: Text | None = None
    help_given: Notes | None = None
    condition: Notes | None = None


class CorrectContact(Command):
    """更正联系记录."""

    contact: UUID
    reached: bool | None = None
    condition: Notes | None = None
    matters: Notes | None = None
    reason: Stated


class WithdrawContact(Command):
    """撤回联系记录."""

    contact: UUID
    reason: Stated
