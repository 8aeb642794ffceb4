"""故障: where a node can fall over, named, and the parts that fall over there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from api.node import Node
from domain.ledger import Write
from tests.support.stage import KeptRecorder


class Crash(BaseException):
    """The process is gone: nothing catches this but the world, which starts the node again."""


class Points:
    """Counts the places where a node may fall over, and lets it fall at a chosen one."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self._left = 0

    def arm(self, after: int) -> None:
        """Fall over at the n-th point from now."""
        self._left = after

    def disarm(self) -> None:
        """Stand firm."""
        self._left = 0

    def reach(self, name: str) -> None:
        """Get to a point; perhaps no further."""
        self.passed[name] += 1
        if self._left:
            self._left -= 1
            if self._left == 0:
                raise Crash(name)

    def around(self, name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        """The effect, between two points."""

        def effected(*args: Any, **kwargs: Any) -> Any:
            self.reach(f"before {name}")
            done = effect(*args, **kwargs)
            self.reach(f"after {name}")
            return done

        return effected


class FragileRecorder(KeptRecorder):
    """Falls over before a commit, or after it and before anybody is told."""

    def __init__(self, kept: KeptRecorder, points: Points) -> None:
        super().__init__(kept.recorder)
        self._points = points
        self.insert_tracking = points.around("bookmark", kept.recorder.insert_tracking)

    def submit(self, write: Write) -> None:
        """Queue a write, and wait for its commit."""
        name = "replicate" if write.tracking else "record"
        self._points.reach(f"before {name}")
        self.recorder.submit(write)
        write.done.exception()
        self._points.reach(f"after {name}")


EFFECTS = ("number", "keep_receipt", "refuse", "hear")
"""What the relay and the inbox put down besides the ledger."""


def make_fragile(node: Node, points: Points) -> None:
    """Let a node fall over around every effect outside its ledger."""
    lanes: Any = node.lanes
    for name in EFFECTS:
        setattr(lanes, name, points.around(name, getattr(lanes, name)))
    projector: Any = node.projector
    projector._take = points.around("project", projector._take)  # noqa: SLF001 - the effect itself.
