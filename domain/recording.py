"""记录口: what the ledger hands to whoever keeps its records, and what it gets back."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from eventsourcing.persistence import StoredEvent, Tracking

from domain import records
from domain.aggregate import Fact
from domain.sealing import DataKey, Keyring
from domain.values import Value


class Beside(NamedTuple):
    """A row written in the same commit: a statement known to the recorder, and its values."""

    statement: str
    values: tuple[Any, ...]


@dataclass(slots=True)
class Write:
    """What one command puts down, all or nothing; `done` is answered after its commit."""

    records: tuple[StoredEvent, ...]
    beside: tuple[Beside, ...] = ()
    tracking: Tracking | None = None
    done: Future[list[int]] = field(default_factory=Future)


@dataclass(frozen=True)
class Entry:
    """台账条目: a record at its position in this ledger, with when this ledger took it in."""

    position: int
    record: StoredEvent
    entered_at: datetime

    @cached_property
    def fact(self) -> Fact | None:
        """The fact; None for a topic from a newer version."""
        return records.decode(self.record)


class Receipt(Value):
    """回单: what a command left in the ledger. `version` serves as ETag, `position` as ?after=."""

    id: UUID
    version: int
    position: int


class Recorder(Protocol):
    """Keeps records; order of positions equals order of commits."""

    def submit(self, write: Write) -> None:
        """Queue a write; `write.done` gets its positions, or IntegrityError for a conflict."""

    def stream(self, stream: UUID, after: int, limit: int) -> list[StoredEvent]:
        """The records of one stream after a version, in order."""

    def since(self, position: int, limit: int) -> list[Entry]:
        """Entries after a position, in order."""

    def head(self) -> int:
        """The last position; 0 for an empty ledger."""


class Keep(Protocol):
    """A keyring that can say how its new keys are put down in the commit that first uses them."""

    def beside(self, keys: Sequence[DataKey]) -> tuple[Beside, ...]:
        """The rows for those of the keys not yet kept."""

    def kept(self, keys: Sequence[DataKey]) -> None:
        """They are committed."""


class KeptKeyring(Keyring, Keep, Protocol):
    """Both."""
