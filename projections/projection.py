"""投影: turns facts into rows, in batches, each row standing for one stream of facts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from domain.aggregate import Fact
from domain.ledger import Entry
from domain.records import open_field, sealing_keys
from domain.sealing import Keyring, Unopenable
from domain.values import DataClass

Row = dict[str, Any]

_log = logging.getLogger(__name__)


class Table(NamedTuple):
    """A table of a read model: its columns with their PostgreSQL types, the first is the key."""

    name: str
    columns: dict[str, str]
    indexes: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()
    """Columns whose values are personal."""

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

    def all(self) -> list[Row]:
        """Every row that was loaded or begun."""
        return list(self._rows.values())

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


class Projection:
    """One read model. Its name is its bookmark: never change it, rebuild instead."""

    name: ClassVar[str]
    tables: ClassVar[tuple[Table, ...]]
    topics: ClassVar[tuple[str, ...]]
    """Prefixes of the topics it reads; the rest is passed over undecoded."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring

    def wants(self, topic: str) -> bool:
        """Whether a topic concerns it."""
        return topic.startswith(self.topics)

    def keys(self, entries: Sequence[Entry]) -> dict[str, list[UUID]]:
        """By table, the keys of the rows that these entries may find: by default their streams.

        Of a stream that opens among them there is no row yet.
        """
        opened = {e.record.originator_id for e in entries if e.record.originator_version == 1}
        streams = list({e.record.originator_id for e in entries} - opened)
        return {table.name: streams for table in self.tables}  # type: ignore[misc]

    def apply(self, entries: Sequence[Entry], rows: dict[str, Rows]) -> None:
        """Project a batch, in order."""
        facts = [fact for entry in entries if (fact := entry.fact) is not None]
        self.keyring.preload(key for fact in facts for key in sealing_keys(fact))
        for fact in facts:
            self.project(fact, rows)

    def settle(self, conn: Any, suffix: str, entries: Sequence[Entry]) -> None:
        """Derive from the rows what a batch has made ready to be derived; nothing, as a rule."""

    def project(self, fact: Fact, rows: dict[str, Rows]) -> None:
        """Change the rows a fact concerns."""
        raise NotImplementedError

    def closed(self, fact: Fact, data_class: DataClass) -> bool:
        """Whether the person's data of that class are closed: then no row holds them."""
        subject = fact.meta.subject
        return subject is not None and self.keyring.closed(subject, data_class) is not None

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
