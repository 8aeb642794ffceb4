"""投影: turns facts into rows, in batches, each row standing for one stream of facts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol
from uuid import UUID

from domain.aggregate import Fact
from domain.ledger import Entry
from domain.records import PERSONAL, open_field
from domain.sealing import Keyring, Sealed, Unopenable

Row = dict[str, Any]

_log = logging.getLogger(__name__)


class Table(NamedTuple):
    """A table of a read model: its columns with their PostgreSQL types, the first is the key."""

    name: str
    columns: dict[str, str]
    indexes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The key column."""
        return next(iter(self.columns))


class Rows:
    """The rows one batch touches: loaded together before, written together after."""

    def __init__(self, table: Table, loaded: Iterable[Row]) -> None:
        self.table = table
        self._rows: dict[Any, Row] = {row[table.key]: row for row in loaded}
        self.changed: dict[Any, Row] = {}

    def get(self, key: UUID) -> Row | None:
        """The row of a stream, if there is one."""
        return self._rows.get(key)

    def put(self, key: UUID, **values: Any) -> None:
        """Change a row, or begin it; columns not named keep their value."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = dict.fromkeys(self.table.columns)
            row[self.table.key] = key
        row.update(values)
        self.changed[key] = row


class LateRows(Rows):
    """Rows that are loaded, all at once, when the first of them is asked for."""

    def __init__(self, table: Table, load: Callable[[], list[Row]]) -> None:
        super().__init__(table, ())
        self._load: Callable[[], list[Row]] | None = load

    def get(self, key: UUID) -> Row | None:
        self._ensure()
        return super().get(key)

    def put(self, key: UUID, **values: Any) -> None:
        self._ensure()
        super().put(key, **values)

    def _ensure(self) -> None:
        if self._load is not None:
            load, self._load = self._load, None
            self._rows |= {row[self.table.key]: row for row in load()}


class Opener(Keyring, Protocol):
    """A keyring that can fetch many keys at once."""

    def preload(self, key_ids: Iterable[UUID]) -> None:
        """Fetch ahead."""


class Projection:
    """One read model. Its name is its bookmark: never change it, rebuild instead."""

    name: ClassVar[str]
    tables: ClassVar[tuple[Table, ...]]
    topics: ClassVar[tuple[str, ...]]
    """Prefixes of the topics it reads; the rest is passed over undecoded."""

    def __init__(self, keyring: Opener) -> None:
        self.keyring = keyring

    def wants(self, topic: str) -> bool:
        """Whether a topic concerns it."""
        return topic.startswith(self.topics)

    def keys(self, entries: Sequence[Entry]) -> dict[str, list[UUID]]:
        """By table, the keys of the rows these entries will touch: by default their streams."""
        streams = list({e.record.originator_id for e in entries})
        return {table.name: streams for table in self.tables}  # type: ignore[misc]

    def apply(self, entries: Sequence[Entry], rows: dict[str, Rows]) -> None:
        """Project a batch, in order."""
        facts = [fact for entry in entries if (fact := entry.fact) is not None]
        self.keyring.preload(_sealing_keys(facts))
        for fact in facts:
            self.project(fact, rows)

    def project(self, fact: Fact, rows: dict[str, Rows]) -> None:
        """Change the rows a fact concerns."""
        raise NotImplementedError

    def clear(self, fact: Fact, name: str) -> str | None:
        """A personal field opened; None where this node was not granted it, or it does not open.

        What a peer has sealed wrongly must not stop a read model, nor may a character that the
        database cannot hold.
        """
        try:
            value = open_field(fact, name, self.keyring)
        except Unopenable:
            _log.warning("%s %s: %s does not open", fact.TOPIC, fact.originator_id, name)
            return None
        return value and value.replace("\0", "")


def _sealing_keys(facts: Iterable[Fact]) -> list[UUID]:
    return [
        value.key_id
        for fact in facts
        for name, _ in PERSONAL[fact.TOPIC]
        if isinstance(value := getattr(fact, name), Sealed)
    ]
