"""历史: every fact in one searchable list, by member, actor, organization, type and period."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from domain.ledger import Entry
from domain.records import head
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
        "source_digest": "text",
    },
    ("subject, position", "outflow, position", "stream, version"),
)

PAGE = """
    SELECT h.*, e.state FROM history h
    JOIN stored_events e ON e.notification_id = h.position
    WHERE h.position > %(after)s
      AND (%(subject)s::uuid IS NULL OR h.subject = %(subject)s)
      AND (%(outflow)s::uuid IS NULL
           OR h.stream IN (SELECT stream FROM history WHERE outflow = %(outflow)s))
      AND (%(person)s::text IS NULL OR h.person = %(person)s)
      AND (%(org)s::text IS NULL OR h.org = %(org)s)
      AND (%(topic)s::text IS NULL OR starts_with(h.topic, %(topic)s))
      AND (%(source)s::text IS NULL OR h.source_digest = %(source)s)
      AND (%(correlation)s::uuid IS NULL OR h.correlation = %(correlation)s)
      AND (%(from_day)s::date IS NULL OR h.on_day >= %(from_day)s::date)
      AND (%(to_day)s::date IS NULL OR h.on_day <= %(to_day)s::date)
      AND (%(known_at)s::timestamptz IS NULL OR h.entered_at <= %(known_at)s)
    ORDER BY h.position LIMIT %(limit)s
"""
"""Pages go on after a position, and positions only grow: an append moves nothing.

Of an absence, the whole of every stream that names it is shown: also the end of a stay, which does
not name it again.

`known_at` is the axis of knowledge: what this ledger had taken in by then. `to_day` is the other:
what is said to have happened by then.
"""


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


def _row(entry: Entry) -> dict[str, Any]:
    record = entry.record
    said = head(record)
    meta = said.meta
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
        "source_digest": meta.source.digest,
    }


def _uuid(value: Any) -> UUID | None:
    """What a newer peer's fact calls its absence need not be an id."""
    try:
        return UUID(value)
    except (AttributeError, TypeError, ValueError):
        return None
