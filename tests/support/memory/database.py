"""内存库: what one node keeps, in plain containers that can be copied and put back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventsourcing.popo import POPOProcessRecorder

from domain.ledger import Entry
from domain.sealing import Closure
from domain.tiles import Growth, Tile, TileName
from domain.tree import ours
from domain.values import DataClass
from sync.book_given import AskedByFile
from sync.book_returned import AskedBack, Begun, Renewed
from sync.book_witness import Contradiction, Rumour, Seen
from sync.log import Signed

_MAKES = ("CREATE", "ALTER", "DELETE FROM idempotency", "INSERT INTO relay", "INSERT INTO read_m")


class AskedOfTheDouble(NotImplementedError):  # noqa: N818 - what has happened.
    """A statement reached the double: give the memory node a method that answers it."""


class NoConnection:
    """Lets tables be made, and answers nothing."""

    def execute(self, query: Any, *_: object, **__: object) -> None:
        """Pass over what makes a table."""
        if not str(query).lstrip().startswith(_MAKES):
            raise AskedOfTheDouble(query)


class MemoryDatabase:
    """The containers of one node."""

    def __init__(self) -> None:
        self.recorder = POPOProcessRecorder()
        self.entries: list[Entry] = []
        self.tree = Growth.empty(ours())
        self.epoch = 1
        self.tiles: dict[TileName, Tile] = {}
        self.checkpoints: list[Signed] = []
        self.checkpoints_at: list[datetime] = []
        self.subject_keys: dict[UUID, tuple[Any, ...]] = {}
        self.own_keys: dict[tuple[UUID, str], UUID] = {}
        self.idempotency: dict[str, tuple[Any, ...]] = {}
        self.lane_out: dict[str, list[Any]] = defaultdict(list)
        self.lane_out_at: dict[str, list[datetime]] = defaultdict(list)
        self.lane_facts: dict[tuple[str, UUID], int] = {}
        self.lane_grants: dict[tuple[str, UUID], int] = {}
        self.lane_withheld: dict[tuple[str, UUID], tuple[str, int]] = {}
        self.lane_receipts: dict[str, tuple[Any, ...]] = {}
        self.lane_refused: dict[tuple[str, int], dict[str, Any]] = {}
        self.lane_time: dict[tuple[str, str], dict[int, tuple[datetime, str | None]]]
        self.lane_time = defaultdict(dict)
        self.lane_step: dict[str, Any] = {}
        self.bundle_out: dict[str, Any] = {}
        self.bundle_in: dict[str, dict[int, Any]] = {}
        self.bundle_ask: dict[str, AskedByFile] = {}
        self.lane_given: dict[tuple[str, str, int], bytes] = {}
        self.relay = {"position": 0, "again": 0}
        self.lane_held: dict[str, bool] = {}
        self.log_renewals: list[Begun] = []
        self.log_asked: dict[str, AskedBack] = {}
        self.log_renewed: dict[tuple[str, int], Renewed] = {}
        self.lane_in: dict[str, tuple[Any, ...]] = {}
        self.log_witnessed: dict[tuple[str, int, int], Seen] = {}
        self.log_rumours: dict[tuple[str, str], Rumour] = {}
        self.log_contradictions: list[Contradiction] = []
        self.log_cosigned: dict[tuple[int, int, str], tuple[str, datetime]] = {}
        self.log_fence: dict[str, Any] = {}
        self.closing: dict[tuple[UUID, DataClass], tuple[UUID, Closure]] = {}
        self.destroyed: dict[UUID, tuple[UUID, str]] = {}
        self.quarantine: list[dict[str, Any]] = []
        self.refused: dict[tuple[str, str], int] = defaultdict(int)
        self.read_models: dict[str, int] = {}
        self.rows: dict[str, dict[Any, dict[str, Any]]] = defaultdict(dict)

    def timed(self, peer: str, hop: str, number: int, at: datetime, note: Any = None) -> None:
        """Put down when a number passed a hop; the first time stays, the note is text, as there."""
        said = note and str(note.astimezone(UTC)).removesuffix(":00")
        self.lane_time[peer, hop].setdefault(number, (at, said))

    @contextmanager
    def connection(self) -> Iterator[NoConnection]:
        """For what makes its tables when a node starts."""
        yield NoConnection()

    def snapshot(self) -> dict[str, Any]:
        """A backup of all there is."""
        kept = {name: _copied(value) for name, value in vars(self).items() if name != "recorder"}
        return {**kept, "recorder": _copied_recorder(self.recorder)}

    def restore(self, backup: dict[str, Any]) -> None:
        """Put a backup back; it may be put back again."""
        for name, value in backup.items():
            copied = _copied_recorder(value) if name == "recorder" else _copied(value)
            setattr(self, name, copied)


def _copied(value: Any) -> Any:
    """A copy in which no container is shared; what stands in them is immutable."""
    if isinstance(value, defaultdict):
        return defaultdict(value.default_factory, {k: _copied(v) for k, v in value.items()})
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def _copied_recorder(kept: POPOProcessRecorder) -> POPOProcessRecorder:
    made = POPOProcessRecorder()
    for name in ("_stored_events", "_stored_events_index", "_max_tracking_ids"):
        setattr(made, name, _copied(getattr(kept, name)))
    return made
