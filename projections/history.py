"""历史: every fact in one searchable list, by member, actor, organization, type and period."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, ClassVar
from uuid import UUID

from pydantic import AwareDatetime

from domain.aggregate import Part
from domain.ledger import Entry
from projections.projection import Projection, Rows, Table

HISTORY = Table(
    "history",
    {
        "position": "bigint",
        "stream": "uuid",
        "version": "int",
        "topic": "text",
        "subject": "uuid",
        "outflow": "uuid",
        "org": "text",
        "person": "text",
        "on_day": "date",
        "recorded_at": "timestamptz",
        "entered_at": "timestamptz",
        "correlation": "uuid",
        "causation": "uuid",
        "causation_version": "int",
        "source_digest": "text",
    },
    (
        "subject, position",
        "outflow, position",
        "stream, version",
        "person, position",
        "org, position",
        "topic, position",
        "correlation, position",
        "on_day, position",
        "entered_at, position",
        "causation, causation_version, position WHERE causation IS NOT NULL",
        "source_digest, position WHERE source_digest IS NOT NULL",
    ),
)
"""Each mark with the position: whatever is asked for is found in order, in a ledger of any size."""


class History(Projection):
    """One row a fact, of every topic, also those this version does not know."""

    name: ClassVar[str] = "history"
    topics: ClassVar[tuple[str, ...]] = ("",)
    tables: ClassVar[tuple[Table, ...]] = (HISTORY,)

    def keys(self, entries: Sequence[Entry]) -> dict[str, list[UUID]]:
        """Rows are only added: nothing to load."""
        del entries
        return {HISTORY.name: []}

    def apply(self, entries: Sequence[Entry], rows: dict[str, Rows]) -> None:
        """Add a row an entry, from its meta alone."""
        changed = rows[HISTORY.name].changed
        for entry in entries:
            changed[entry.position] = _row(entry)


class _On(Part):
    on: date


class _By(Part):
    person: str


class _From(Part):
    digest: str | None = None


class _Cause(Part):
    stream: UUID
    version: int


class _Meta(Part):
    recorded_at: AwareDatetime
    occurred: _On
    author: _By
    keeper: str
    subject: UUID | None = None
    source: _From
    correlation: UUID
    causation: _Cause | None = None


class _Said(Part):
    """What a row shows of a record: its other parts were checked when it came in."""

    meta: _Meta
    outflow: Any = None


def _row(entry: Entry) -> dict[str, Any]:
    record = entry.record
    said: _Said = _Said.__pydantic_validator__.validate_json(record.state)
    meta = said.meta
    cause = meta.causation
    about = record.originator_id if record.topic.startswith("outflow.") else _uuid(said.outflow)
    return {
        "position": entry.position,
        "stream": record.originator_id,
        "version": record.originator_version,
        "topic": record.topic,
        "subject": meta.subject,
        "outflow": about,
        "org": meta.keeper,
        "person": meta.author.person,
        "on_day": meta.occurred.on,
        "recorded_at": meta.recorded_at,
        "entered_at": entry.entered_at,
        "correlation": meta.correlation,
        "causation": cause and cause.stream,
        "causation_version": cause and cause.version,
        "source_digest": meta.source.digest,
    }


def _uuid(value: Any) -> UUID | None:
    """What a newer peer's fact calls its absence need not be an id."""
    try:
        return UUID(value)
    except (AttributeError, TypeError, ValueError):
        return None
