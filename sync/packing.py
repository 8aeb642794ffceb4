"""装批: packs as many entries of a lane, with the keys they bring, as one message holds."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sync.envelope import BATCH_BYTES, GRANT_BYTES, GRANTS_MAX, LaneEntry
from sync.standing import Outgoing


def fill(found: Sequence[Outgoing], size: int) -> tuple[list[LaneEntry], list[UUID]]:
    """As many entries, with the keys they bring, as a message of that size holds; at least one."""
    entries: list[LaneEntry] = []
    grants: list[UUID] = []
    for _, record, _, brought in found:
        stream = record.originator_id
        assert isinstance(stream, UUID)
        entry = LaneEntry(
            stream=stream,
            version=record.originator_version,
            topic=record.topic,
            state=record.state.decode(),
        )
        size += entry.weight + GRANT_BYTES * len(brought)
        full = size > BATCH_BYTES or len(grants) + len(brought) > GRANTS_MAX
        if entries and full:
            break
        entries.append(entry)
        grants += brought
    return entries, grants
