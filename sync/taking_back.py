"""取回: what a restored node hears from a peer of its own facts, by the roots known here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from domain.records import Unreadable, head
from domain.sealing import DataKey
from domain.values import OrgCode
from sync import trust
from sync.checkpoint import Checkpoint, epoch_of
from sync.envelope import Batch, Grant, LaneEntry, Sealed
from sync.errors import LaneFault, Malformed, Misaddressed, NotTheKeeper, RootsDiffer
from sync.fence import Fence
from sync.granted import GrantKeyring, opened_grant
from sync.keys import NodeKeys
from sync.note import Note
from sync.numbering import next_root
from sync.relay import Relay
from sync.returned import Returned
from sync.store import LaneStore

RETURNED_MAX = 20_000
"""Entries of one lane that are taken back at once; the rest follows in the next round."""

Place = tuple[UUID, int]


class Asker(Protocol):
    """How a peer is reached; what it says is judged here."""

    def returned(self, peer: OrgCode, after: int, cursor: int, size: int) -> bytes:
        """A page of what we sent it, signed.

        Raises:
            LaneFault: it does not answer.
        """

    def batch(self, peer: OrgCode, after: int) -> bytes:
        """The batch that follows a number of its lane to us.

        Raises:
            LaneFault: it does not answer, or answers nothing.
        """


class Back(NamedTuple):
    """One entry of a lane, in its place."""

    number: int
    record: StoredEvent
    root: str

    @property
    def place(self) -> Place:
        """Where it stands in any ledger."""
        assert isinstance(self.record.originator_id, UUID)
        return self.record.originator_id, self.record.originator_version


@dataclass
class Heard:
    """What one peer gives back: its lane after the number both agree on, and our checkpoints."""

    agreed: int
    number: int
    rows: list[Back] = field(default_factory=list)
    keys: dict[UUID, DataKey] = field(default_factory=dict)
    note: str | None = None
    marks: dict[int, bytes] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether nothing is left to ask for."""
        return self.agreed + len(self.rows) >= self.number


@dataclass
class Coming:
    """What a peer has sent us since: entries with their roots, and the keys they bring."""

    rows: list[Back] = field(default_factory=list)
    keys: dict[UUID, DataKey] = field(default_factory=dict)
    head: int = 0
    sent_at: datetime | None = None


class Listening:
    """One for a node: asks, and believes what is signed and follows from the roots known here."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        org: OrgCode,
        relay: Relay,
        store: LaneStore,
        keys: NodeKeys,
        keyring: GrantKeyring,
        fence: Fence,
    ) -> None:
        self._org, self._relay, self._store = org, relay, store
        self._keys, self._keyring, self._fence = keys, keyring, fence
        self._agreed: dict[OrgCode, int] = {}

    def agree(self, peer: OrgCode, number: int) -> None:
        """Up to a number the lane is the same on both sides again; what follows is asked for."""
        self._agreed[peer] = number

    def agreed(self, peer: OrgCode, epoch: int) -> tuple[int, int]:
        """From which number of our lane, and which size of our ledger, on a peer must be asked."""
        cosigned = self._store.cosigned(peer)
        number = max(self._store.acknowledged(peer).number, self._agreed.get(peer, 0))
        return number, cosigned[1] if cosigned[0] == epoch else 0

    def hear(self, ask: Asker, peer: OrgCode, epoch: int) -> Heard:
        """All that one peer gives back, at most RETURNED_MAX entries.

        Raises:
            LaneFault: it does not answer, or what it says does not follow.
        """
        (agreed, size), cursor = self.agreed(peer, epoch), 0
        root = self._store.root_out(peer, agreed)
        assert root is not None, "What was acknowledged was numbered."
        heard = Heard(agreed, agreed)
        while True:
            after = agreed + len(heard.rows)
            page = self._opened(ask.returned(peer, after, cursor, size))
            self._look(page, heard)
            if page.first != after + 1:
                raise RootsDiffer(peer=peer, number=page.first)
            for entry in page.entries:
                record = _record(entry)
                self._must_be_ours(record)
                root = next_root(root, record)
                heard.rows.append(Back(after + 1, record, root))
                after += 1
            heard.keys |= self._granted(page.sender, page.grants)
            heard.number, cursor = page.number, page.cursor
            wrong = root != page.root if heard.whole else not page.entries
            if wrong and heard.number >= agreed:
                raise RootsDiffer(peer=peer, number=page.number, theirs=page.root)
            if heard.whole or len(heard.rows) >= RETURNED_MAX:
                return heard

    def greet(self, ask: Asker, peer: OrgCode) -> bool:
        """At a start: whether a peer holds more of our lane than we do.

        Raises:
            Fenced: or more of our ledger.
            LaneFault: it does not answer.
        """
        head = self._store.head_out(peer).number
        page = self._opened(ask.returned(peer, head, 0, 0))
        self._fence.look(peer, filter(None, (page.checkpoint,)))
        return page.number > head

    def _opened(self, wire: bytes) -> Returned:
        page, _ = trust.opened(Returned, Sealed(wire), self._relay.us())
        if page.receiver != self._org:
            raise Misaddressed(receiver=page.receiver)
        return page

    def _look(self, page: Returned, heard: Heard) -> None:
        """Take in what it has witnessed of ours: a checkpoint counts under our own signature."""
        if page.checkpoint is not None and self._fence.is_ours(page.checkpoint):
            heard.note = page.checkpoint
            said, _ = named(page.checkpoint)
            heard.marks[said.size] = said.root
        heard.marks |= {mark.size: mark.raw for mark in page.marks}

    def _must_be_ours(self, record: StoredEvent) -> None:
        try:
            keeper = head(record).meta.keeper
        except (ValueError, Unreadable) as fault:
            raise Malformed(topic=record.topic, because=str(fault)[:200]) from None
        if keeper != self._org:
            raise NotTheKeeper(stream=record.originator_id, keeper=keeper)

    def _granted(self, sender: OrgCode, grants: tuple[Grant, ...]) -> dict[UUID, DataKey]:
        """The keys that are lost here; of whom is erased or closed, none is taken in."""
        wanted = (
            grant
            for grant in grants
            if self._keyring.closed(grant.subject, grant.data_class) is None
            and self._keyring.key(grant.key) is None
        )
        opened = (opened_grant(each, sender, self._org, self._keys) for each in wanted)
        return {key.id: key for key in opened if key is not None}

    def incoming(self, ask: Asker, peer: OrgCode, maximum: int) -> Coming:
        """What a peer has sent since the backup, not recorded yet.

        Raises:
            LaneFault: as for any batch, or it does not continue what is recorded here.
        """
        standing = self._store.standing_in(peer)
        number, root, coming = standing.number, standing.root, Coming()
        while len(coming.rows) < maximum:
            batch, _ = trust.opened(Batch, Sealed(ask.batch(peer, number)), self._relay.us())
            if batch.receiver != self._org or batch.sender != peer:
                raise Misaddressed(receiver=batch.receiver)
            if batch.first != number + 1 or batch.before != root:
                raise RootsDiffer(peer=peer, first=batch.first)
            for entry in batch.entries:
                number, record = number + 1, _record(entry)
                root = next_root(root, record)
                coming.rows.append(Back(number, record, root))
            if root != batch.root:
                raise RootsDiffer(peer=peer, first=batch.first, last=batch.last)
            coming.keys |= self._granted(peer, batch.grants)
            coming.head, coming.sent_at = batch.head, batch.sent_at
            if not batch.entries:
                break
        return coming


def named(note: str) -> tuple[Checkpoint, int]:
    """What a note says, and of which epoch."""
    said = Checkpoint.read(Note.read(note.encode()).text)
    return said, epoch_of(said.origin)[1]


def recorded_at(record: StoredEvent) -> datetime:
    """When a fact was recorded, by its keeper's clock."""
    return head(record).meta.recorded_at


def _record(entry: LaneEntry) -> StoredEvent:
    return StoredEvent(entry.stream, entry.version, entry.topic, entry.state.encode())


class PlaceTaken(LaneFault):
    """对方持有的记录，其位置在恢复之后已被另一条占用。Something else was recorded in its place."""

    mend = (
        "请再次恢复同一备份，并在取回完成之前不登记任何内容。"
        "Restore the same backup once more, and record nothing until all is fetched."
    )


class NotReached(LaneFault):
    """对方没有应答。The peer does not answer."""

    mend = (
        "请确认对方节点在运行；将自动重试。See that their node runs; it is tried again by itself."
    )
