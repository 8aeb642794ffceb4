"""故障: where a node can fall over, named, and the parts that fall over there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from eventsourcing.persistence import OperationalError

from api.node import Node
from api.storage.errors import DatabaseAway
from api.storage.vault import Vault
from domain.ledger import Write
from tests.support.stage import KeptRecorder


class Crash(BaseException):
    """The process is gone: nothing catches this but the world, which starts the node again."""


class Points:
    """Counts the places where a node may fall over, and lets it fall at a chosen one."""

    def __init__(self) -> None:
        self.passed: Counter[str] = Counter()
        self.full: set[str] = set()
        """Nodes whose disk takes nothing more."""
        self.unheard = False
        """The next commit happens, and nobody is told: the connection is lost right after it."""
        self._left = 0

    def arm(self, after: int) -> None:
        """Fall over at the n-th point from now."""
        self._left = after

    def disarm(self) -> None:
        """Stand firm."""
        self._left, self.unheard = 0, False

    def reach(self, name: str) -> None:
        """Get to a point; perhaps no further."""
        self.passed[name] += 1
        if self._left:
            self._left -= 1
            if self._left == 0:
                raise Crash(name)

    def around(self, code: str, name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        """The effect of one node, between two points."""

        def effected(*args: Any, **kwargs: Any) -> Any:
            if code in self.full:
                self.passed[f"full {name}"] += 1
                raise DatabaseAway(because="No space left on device")
            self.reach(f"before {name}")
            done = effect(*args, **kwargs)
            self.reach(f"after {name}")
            return done

        return effected


class FragileRecorder(KeptRecorder):
    """Falls over before a commit, or after it and before anybody is told; or its disk is full."""

    def __init__(self, kept: KeptRecorder, points: Points, code: str) -> None:
        super().__init__(kept.recorder)
        self._points, self._code = points, code
        self.insert_tracking = points.around(code, "bookmark", kept.recorder.insert_tracking)

    def submit(self, write: Write) -> None:
        """Queue a write, and wait for its commit."""
        name = "replicate" if write.tracking else "record"
        points = self._points
        if self._code in points.full:
            points.passed[f"full {name}"] += 1
            write.done.set_exception(OperationalError("No space left on device"))
            return
        points.reach(f"before {name}")
        if points.unheard:
            points.unheard = False
            points.passed[f"unheard {name}"] += 1
            silent = Write(write.records, write.beside, write.tracking)
            self.recorder.submit(silent)
            fault = silent.done.exception()
            write.done.set_exception(fault or OperationalError("the connection is lost"))
        else:
            self.recorder.submit(write)
            write.done.exception()
        points.reach(f"after {name}")


EFFECTS = (
    "number",
    "keep_receipt",
    "refuse",
    "hear",
    "keep_export",
    "keep_import",
    "witness",
    "keep_cosignatures",
    "renew",
    "raise_fence",
    "lower_fence",
    "keep_wish",
    "hold",
    "release",
)
"""What the relay and the inbox put down besides the ledger."""


FILES = ("next_pair", "retire")
"""What is done to the files of keys."""


def make_fragile(node: Node, points: Points) -> None:
    """Let a node fall over around every effect outside its ledger."""
    lanes: Any = node.lanes
    code = node.settings.code
    for name in EFFECTS:
        setattr(lanes, name, points.around(code, name, getattr(lanes, name)))
    tree: Any = node.log._store  # noqa: SLF001 - a checkpoint is kept before it is seen.
    tree.keep = points.around(code, "checkpoint", tree.keep)
    erasing: Any = node.eraser
    for name in ("hide", "destroy"):
        setattr(erasing.book, name, points.around(code, name, getattr(erasing.book, name)))
    vault: Any = node.keyring.vault  # It may outlive a node: what it does is wrapped once.
    vault.destroy = points.around(code, "slots", partial(Vault.destroy, vault))
    folder: Any = node.key_change._folder  # noqa: SLF001 - the files are effects too.
    for name in FILES:
        setattr(folder, name, points.around(code, name, getattr(folder, name)))
    projector: Any = node.projector
    projector._take = points.around(code, "project", projector._take)  # noqa: SLF001 - the effect.
