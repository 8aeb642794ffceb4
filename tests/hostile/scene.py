"""场景: a victim, the peer that misbehaves, an honest third; what each misdeed adds is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from domain.commands import HoldActivity, RecordRelocation, ShareOutflow
from domain.outflow import Outflow
from sync.envelope import LaneEntry
from tests.support.federation import CHENGDU, NOW, ORIGIN, SHENZHEN, Federation, depart, register
from tests.support.stage import Staged
from tests.sync.pen import Pen


@dataclass
class Seen:
    """What a victim's books say at a moment."""

    entries: int
    parked: int
    refused: Counter[str]
    evidence: int


class Scene:
    """Jiuquan misbehaves towards Chengdu, which shares absences with Shenzhen."""

    def __init__(self, made: Federation) -> None:
        self.made = made
        self.bad, self.victim, self.third = made[ORIGIN], made[CHENGDU], made[SHENZHEN]
        self.pen = Pen(self.bad, self.victim)
        # What the victim keeps, and shares with the third alone.
        self.member = register(self.victim)
        self.absence = depart(self.victim, self.member)
        self.activity = self.victim.execute(HoldActivity(on=NOW.date(), title="主题党日")).id
        said = {"outflow": self.absence, "to": SHENZHEN, "purpose": "联合管理"}
        self.victim.execute(ShareOutflow.model_validate(said))
        # What the third keeps, and shares with the victim.
        self.theirs = depart(self.third, register(self.third))
        said = {"outflow": self.theirs, "to": CHENGDU, "purpose": "联合管理"}
        self.third.execute(ShareOutflow.model_validate(said))
        # What the peer has said while it still behaved.
        self.own = self.pen.activity()
        self.pen.send(self.own)
        self.settle()

    def settle(self) -> None:
        """The victim and the third exchange what they have; the peer is not asked."""
        moved = True
        while moved:
            self.victim.settle()
            self.third.settle()
            moved = bool(self.made.carry(CHENGDU, SHENZHEN) + self.made.carry(SHENZHEN, CHENGDU))

    def look(self) -> Seen:
        """The victim's books now."""
        lanes = self.victim.lanes
        counts: Counter[str] = Counter()
        for (_, reason), count in lanes.refused_counts().items():
            counts[reason] += count
        rows = lanes.quarantined(0, 10_000)
        return Seen(self.victim.recorder.head(), lanes.parked(ORIGIN), counts, len(rows))

    def newest_evidence(self) -> dict[str, Any]:
        """The last piece."""
        return self.victim.lanes.quarantined(0, 10_000)[-1]

    def the_third_is_unharmed(self) -> None:
        """News still goes both ways between honest nodes, and everything can be read."""
        self.made.clock.now += timedelta(minutes=1)
        for node, outflow, peer in (
            (self.victim, self.absence, self.third),
            (self.third, self.theirs, self.victim),
        ):
            said = {"outflow": outflow, "moved_on": NOW.date(), "destination": "四川省成都市"}
            node.execute(RecordRelocation.model_validate(said))
            self.settle()
            assert peer.ledger.stream(outflow) == node.ledger.stream(outflow) != []
        for node in (self.victim, self.third):
            assert node.projector.stopped == {}

    # Parts of misdeeds.

    def outflow(self, member: UUID, stream: UUID | None = None) -> LaneEntry:
        """An absence that the peer says it has registered."""
        said = {"subject": member, "member": str(member), "left_on": "2025-03-01"}
        return self.pen.entry("outflow.registered", stream or Outflow.id_of(member, 1), **said)

    def step(self, opened: LaneEntry, version: int, name: str, **said: Any) -> LaneEntry:
        """A further step of that absence."""
        member = self.subject(opened)
        return self.pen.entry(f"outflow.{name}", opened.stream, version, subject=member, **said)

    def subject(self, opened: LaneEntry) -> UUID:
        """Whom an absence is about."""
        return UUID(opened.state.split('"member":"')[1][:36])


@contextmanager
def scene(stage: Any) -> Iterator[Scene]:
    """Three organizations that have enrolled one another."""
    stage.empty()
    with ExitStack() as stack:
        made = Staged(stage, stack)
        for code in (ORIGIN, CHENGDU, SHENZHEN):
            made.found(code)
        for one, other in ((ORIGIN, CHENGDU), (ORIGIN, SHENZHEN), (CHENGDU, SHENZHEN)):
            made.acquaint(one, other)
        yield Scene(made)
