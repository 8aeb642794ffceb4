"""党组织单元: one node of an organization's tree of committees, branches and groups."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from domain.aggregate import Aggregate, Fact
from domain.errors import Invalid, Refusal
from domain.values import OrgCode, Text

UnitKind = Literal["committee", "general_branch", "branch", "temporary_branch", "group"]
"""党委 · 党总支 · 党支部 · 临时党支部 · 党小组."""

DEPTH_MAX = 8
"""Levels of the tree, the root counted."""

_BELOW: dict[UnitKind, tuple[UnitKind, ...]] = {
    "committee": ("committee", "general_branch", "branch", "temporary_branch"),
    "general_branch": ("branch", "temporary_branch"),
    "branch": ("group",),
    "temporary_branch": ("group",),
    "group": (),
}


class UnitMisplaced(Invalid):
    """该级组织下不能设这种组织。Such a unit cannot stand below that one."""

    mend = (
        "党委下设总支、支部，总支下设支部，支部下设小组。"
        "Branches stand below committees or general branches, groups below branches."
    )


class UnitTooDeep(Invalid):
    """组织层级过多。The tree is too deep."""


class UnitClosed(Refusal):
    """该组织已撤销。The unit is closed."""


class Unit(Aggregate):
    """A committee, branch or group inside one organization."""

    class Opened(Fact):
        """组织设立."""

        TOPIC: ClassVar[str] = "unit.opened"
        name: Text
        kind: UnitKind
        parent: UUID | None = None
        depth: int = 1

        def apply(self, unit: Unit) -> None:
            unit.name, unit.kind = self.name, self.kind
            unit.parent, unit.depth = self.parent, self.depth

    class Renamed(Fact):
        """组织更名."""

        TOPIC: ClassVar[str] = "unit.renamed"
        name: Text

        def apply(self, unit: Unit) -> None:
            unit.name = self.name

    class Closed(Fact):
        """组织撤销."""

        TOPIC: ClassVar[str] = "unit.closed"
        reason: Text

        def apply(self, unit: Unit) -> None:
            unit.closed = True

    def __init__(self, id: UUID, keeper: OrgCode) -> None:  # noqa: A002
        super().__init__(id, keeper)
        self.name = ""
        self.kind: UnitKind = "branch"
        self.parent: UUID | None = None
        self.depth = 1
        self.closed = False

    @classmethod
    def open(cls, id: UUID, name: str, kind: UnitKind, parent: Unit | None) -> Unit:  # noqa: A002
        """Set up a unit, below a parent or as a root."""
        if parent is not None:
            if parent.closed:
                raise UnitClosed(unit=parent.name)
            if kind not in _BELOW[parent.kind]:
                raise UnitMisplaced(unit=kind, below=parent.kind)
            if parent.depth >= DEPTH_MAX:
                raise UnitTooDeep(depth=parent.depth + 1, maximum=DEPTH_MAX)
        unit = cls.begin(id)
        unit.trigger(
            cls.Opened,
            name=name,
            kind=kind,
            parent=parent.id if parent else None,
            depth=parent.depth + 1 if parent else 1,
        )
        return unit

    def rename(self, name: str) -> None:
        self._must_stand()
        if name != self.name:
            self.trigger(self.Renamed, name=name)

    def close(self, reason: str) -> None:
        self._must_stand()
        self.trigger(self.Closed, reason=reason)

    def _must_stand(self) -> None:
        if self.closed:
            raise UnitClosed(unit=self.name)
