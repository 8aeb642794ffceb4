"""未读簿: which facts on a lane its reader stores and passes over, being older than its writer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from domain.values import OrgCode
from sync.standing import Book


class Unread(NamedTuple):
    """Facts of one stored name that one side writes and the other cannot read yet."""

    topic: str
    version: int
    """The newest schema version of them that is written."""
    reads: int
    """The newest that is read; 0 where the name is not known at all."""
    facts: int
    since: datetime | None


_FIGURES = "SELECT topic, count(*), min(entered_at) FROM"
_NEWER = """
    JOIN unnest(%s::text[], %s::int[]) AS k (topic, reads) USING (topic) WHERE coalesce(
        (convert_from(state, 'UTF8')::jsonb #>> '{meta,schema_version}')::int, 1) > k.reads
"""
_SENT = f"""
    {_FIGURES} lane_out o JOIN stored_events e
    ON e.originator_id = o.stream AND e.originator_version = o.version
    {_NEWER} AND o.peer = %s GROUP BY topic
"""
_HELD = f"""
    {_FIGURES} stored_events {_NEWER}
    AND convert_from(state, 'UTF8')::jsonb #>> '{{meta,keeper}}' = %s GROUP BY topic
"""


class UnreadBook(Book):
    """Asked only where two nodes differ in what they read: then it looks through the facts."""

    def unread_by(
        self, peer: OrgCode, ours: Mapping[str, int], theirs: Mapping[str, int]
    ) -> list[Unread]:
        """What we have sent a peer that it cannot read."""
        return self._unread(_SENT, peer, ours, theirs)

    def unread_of(
        self, peer: OrgCode, theirs: Mapping[str, int], ours: Mapping[str, int]
    ) -> list[Unread]:
        """What a peer has sent us that we cannot read."""
        return self._unread(_HELD, peer, theirs, ours)

    def _unread(
        self, query: str, peer: OrgCode, written: Mapping[str, int], read: Mapping[str, int]
    ) -> list[Unread]:
        newer = {t: read.get(t, 0) for t, version in written.items() if version > read.get(t, 0)}
        if not newer:
            return []
        rows = self._all(query, list(newer), list(newer.values()), peer)
        found = {topic: (count, since) for topic, count, since in rows}
        return [
            Unread(topic, written[topic], reads, *found.get(topic, (0, None)))
            for topic, reads in sorted(newer.items())
        ]
