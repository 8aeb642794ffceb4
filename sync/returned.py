"""归还: what a peer gives back to an organization that restored an old backup: its own facts."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from pydantic import BaseModel, ConfigDict, Field

from domain.organization import Peer
from domain.records import key_ids
from domain.values import OrgCode
from sync.book_returned import AskedBack
from sync.envelope import (
    ENTRIES_MAX,
    GRANTS_MAX,
    Grant,
    LaneEntry,
    Message,
    Moment,
    Number,
    Root,
)
from sync.granted import GrantKeyring
from sync.keys import NodeKeys, b64, grant_binding, wrap
from sync.ledger_said import CheckpointText, Hash, Size
from sync.packing import fill
from sync.relay import Relay
from sync.standing import Outgoing
from sync.store import LaneStore

MARKS_MAX = 500
"""Checkpoints of the receiver, by size and root, that one page names; the first page has most."""

_ROOM = 4 * 1024
"""Bytes for the header, the page's own fields, and a checkpoint."""

_MARK_BYTES = 100
"""At most, of one of them as it travels."""


class Mark(BaseModel):
    """A checkpoint that was witnessed, without its signatures."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    size: Size
    root: Hash

    @property
    def raw(self) -> bytes:
        """The root."""
        return base64.b64decode(self.root)


class Returned(Message):
    """归还: entries `first` … of the lane from receiver to sender, as the sender recorded them.

    It stands at `number` with `root`, which prove the entries to whoever knows the root before
    them. `checkpoint` is the newest of the receiver's ledger taken here, `marks` are those of its
    epoch after the size that was asked for. `cursor` is where the next page goes on.
    """

    KIND: ClassVar[str] = "returned"

    receiver: OrgCode
    at: Moment
    first: Annotated[Number, Field(ge=1)]
    number: Number
    root: Root
    cursor: Number = 0
    entries: Annotated[tuple[LaneEntry, ...], Field(max_length=ENTRIES_MAX)] = ()
    grants: Annotated[tuple[Grant, ...], Field(max_length=GRANTS_MAX)] = ()
    checkpoint: CheckpointText | None = None
    marks: Annotated[tuple[Mark, ...], Field(max_length=MARKS_MAX)] = ()


class Returner:
    """One for a node. It also answers behind a fence: what it says is only what it holds."""

    def __init__(
        self,
        relay: Relay,
        store: LaneStore,
        keys: NodeKeys,
        keyring: GrantKeyring,
        clock: Callable[[], datetime],
    ) -> None:
        self._relay, self._store, self._keys = relay, store, keys
        self._keyring, self._clock = keyring, clock

    def page(self, org: OrgCode, asker: OrgCode, after: int, cursor: int, size: int) -> bytes:
        """What an organization sent after a number, signed; `size` is of its last known checkpoint.

        Raises:
            NotEnrolled.
        """
        peer, standing = self._relay.peer(asker), self._store.standing_in(asker)
        if after < standing.number:
            self._store.asked_back(AskedBack(asker, after, standing.number, self._clock()))
        seen = self._store.witnessed(asker)
        # Beside entries there is room for few: they go with the first page.
        marks = self._marks(asker, seen.epoch, size) if seen and not cursor else ()
        found, positions = self._found(asker, after, cursor, standing.number)
        entries, keys = fill(found, _ROOM + _MARK_BYTES * len(marks)) if found else ([], [])
        reached = [at for at in positions[: len(entries)] if at]
        message = Returned(
            sender=org,
            receiver=asker,
            at=self._clock(),
            first=after + 1,
            number=standing.number,
            root=standing.root,
            cursor=reached[-1] if reached else cursor,
            entries=tuple(entries),
            grants=self._grants(org, peer, keys),
            checkpoint=seen.note if seen else None,
            marks=marks,
        )
        return message.signed(self._keys)

    def _marks(self, org: OrgCode, epoch: int, size: int) -> tuple[Mark, ...]:
        found = self._store.marks(org, epoch, size, MARKS_MAX)
        return tuple(Mark(size=at, root=b64(root)) for at, root in found)

    def _found(
        self, asker: OrgCode, after: int, cursor: int, number: int
    ) -> tuple[list[Outgoing], list[int]]:
        """The entries that follow a number, and at which position each stands here; 0: aside."""
        last = min(number, after + ENTRIES_MAX)
        if last <= after:
            return [], []
        aside = self._store.aside_from(asker, after, last)
        if not cursor:
            kept = number - after - self._store.count_aside(asker, after, number)
            cursor = self._store.before_last_of(asker, kept)
        kept_here = iter(self._store.kept_of(asker, cursor, last - after - len(aside)))
        found, positions = [], []
        for at in range(after + 1, last + 1):
            position, record = (0, aside[at]) if at in aside else next(kept_here, (0, None))
            if record is None:
                break  # What came in since the lane was looked at does not make it shorter.
            found.append(Outgoing(at, record, "", self._held(record)))
            positions.append(position)
        return found, positions

    def _held(self, record: StoredEvent) -> tuple[UUID, ...]:
        return tuple(key for key in key_ids(record) if self._keyring.key(key) is not None)

    def _grants(self, org: OrgCode, peer: Peer, ids: Sequence[UUID]) -> tuple[Grant, ...]:
        """The keys of these facts that are held here, sealed to their owner."""
        keys = filter(None, map(self._keyring.key, dict.fromkeys(ids)))
        return tuple(
            Grant(
                key=key.id,
                subject=key.subject,
                data_class=key.data_class,
                wrapped=b64(
                    wrap(
                        key.secret,
                        peer.sealing_key,
                        grant_binding(org, peer.code, key.id, key.subject, key.data_class),
                    )
                ),
            )
            for key in keys
        )
