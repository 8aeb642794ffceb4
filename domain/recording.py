"""记录口: what the ledger hands to whoever keeps its records, and what it gets back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from eventsourcing.persistence import StoredEvent, Tracking

from domain import records
from domain.aggregate import Aggregate, Fact
from domain.errors import Refusal
from domain.sealing import DataKey, Keyring
from domain.values import DataClass, OrgCode, Value


class NotFound(Refusal):
    """没有找到。There is nothing of that id here."""

    kind = "missing"
    mend = "请核对编号，或等待对方同步。Check the id, or wait for the peer's facts to arrive."


class NotOurs(Refusal):
    """该记录由另一组织保管，本组织不能更改。Another organization keeps this record."""

    kind = "forbidden"
    mend = "请由保管组织更改。Ask its keeper to record the change."


class Overtaken(Refusal):
    """记录已被他人先行更改。Somebody else changed the record first."""

    mend = "请重新读取后再试。Read it again and retry."


class OutcomeUnknown(Refusal):
    """数据库连接中断，不知是否已登记。The database was lost; whether it is recorded is unknown."""

    kind = "busy"
    mend = (
        "请用同一个 Idempotency-Key 重试，不会重复登记。"
        "Ask again with the same Idempotency-Key: it is recorded once at most."
    )


class LedgerDamaged(Refusal):
    """台账与其哈希树不符，暂停登记。The ledger is not what its tree says: nothing is recorded."""

    kind = "busy"
    mend = (
        "请保留现场，从备份恢复，并查明何人改动了数据库。"
        "Keep it as evidence, restore a backup, and find out who changed the database."
    )


class Beside(NamedTuple):
    """A row written in the same commit: a statement known to the recorder, and its values."""

    statement: str
    values: tuple[Any, ...]


@dataclass(slots=True)
class Write:
    """What one command puts down, all or nothing; `done` is answered after its commit.

    `more` is set before that where other commands of the same commit are yet to be answered.
    """

    records: tuple[StoredEvent, ...]
    beside: tuple[Beside, ...] = ()
    tracking: Tracking | None = None
    done: Future[list[int]] = field(default_factory=Future)
    more: bool = False


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

    def kept(self, keys: Sequence[DataKey], aggregates: Sequence[Aggregate]) -> None:
        """They are committed; a request to erase closes before anybody is told that it is."""


class Retire(Protocol):
    """A keyring whose keys can be set aside for new ones."""

    def retire(
        self, peer: OrgCode, classes: Collection[DataClass], keys: Collection[UUID] | None = None
    ) -> int:
        """Seal no more with our keys of these classes that went to a peer; how many there were.

        Only these `keys`, if they are named. What they have sealed opens as before.
        """


class KeptKeyring(Keyring, Keep, Retire, Protocol):
    """All of them."""
