"""复原: how a restored node comes to sign again: the ledger it had, or a new epoch of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain, groupby
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import Tracking

from domain.ledger import Beside, Ledger
from domain.records import leaf
from domain.tiles import HEIGHT, WIDTH, Growth, TileName
from domain.values import OrgCode
from sync.book_returned import Begun
from sync.checkpoint import Checkpoint, origin_of
from sync.errors import LaneFault
from sync.fence import Fence, Raised, Wish
from sync.granted import GrantKeyring
from sync.greeting import Greeting
from sync.keys import NodeKeys, b64
from sync.log import Log, Signed, Store
from sync.ordering import OWN, Ordering
from sync.recording_back import RecordingBack
from sync.relay import Relay
from sync.renewal import Renewal
from sync.store import LaneStore
from sync.taking_back import Asker, Back, Coming, Heard, Listening, named, recorded_at

GAP_MAX = 5_000
"""Lost entries whose order is searched for; of more, a new epoch begins."""


class Told(NamedTuple):
    """How the last round went, for people."""

    heard: dict[OrgCode, Heard]
    faults: dict[OrgCode, str]
    lost: int
    """Entries of our ledger that others have witnessed and that are not here."""
    found: int
    """Of those, as many as peers gave back or will send again."""


class Healer:
    """One for a node. Every step looks anew at what is there, so a crash between two is harmless.

    Nothing else is recorded meanwhile. A ledger that has come to extend every checkpoint that was
    shown goes on as it is. Where it cannot, it waits for an operator's word, and begins an epoch.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        ledger: Ledger,
        store: LaneStore,
        tree: Store,
        log: Log,
        keys: NodeKeys,
        keyring: GrantKeyring,
        relay: Relay,
        fence: Fence,
        clock: Callable[[], datetime],
        choose_keys: Callable[[], object],
    ) -> None:
        self._ledger, self._store, self._tree, self._log = ledger, store, tree, log
        self._keys, self._keyring, self._relay = keys, keyring, relay
        self._fence, self._clock, self._choose_keys = fence, clock, choose_keys
        self._listening = Listening(ledger.org, relay, store, keys, keyring, fence)
        self._recording = RecordingBack(ledger, store, keyring, relay, self._listening)
        self.told = Told({}, {}, 0, 0)
        self.greeting = Greeting(store, relay, fence, self._listening)

    def wish(self, wish: Wish) -> None:
        """An operator has decided: the next step that cannot restore the ledger renews it."""
        self._store.keep_wish(wish)

    def step(self, ask: Asker) -> bool:
        """One round; whether the node may go on, or a lane may."""
        try:
            return self._release(ask) if self._fence.raised is None else self._heal(ask)
        except LaneFault as fault:
            self.told.faults[self._ledger.org] = str(fault)
            return False

    def agreed(self, peer: OrgCode) -> tuple[int, int]:
        """From which number and which size on a peer must be asked."""
        return self._listening.agreed(peer, self._tree.head().epoch)

    def _heal(self, ask: Asker) -> bool:
        near = self.greeting.answering()
        heard = self._hear(ask, near)
        missing = set(near) - heard.keys()
        if not missing and (self._extends(heard) or self._reproduce(ask, heard)):
            self._recording.record(heard)
            return self._whole(heard) and self._go_on(heard)
        wish = self._store.wish()
        if wish is None or not missing <= set(wish.without):
            return False
        self._recording.record(heard)
        return self._whole(heard) and self._renew(wish, heard)

    @staticmethod
    def _whole(heard: dict[OrgCode, Heard]) -> bool:
        return all(each.whole for each in heard.values())

    def _hear(self, ask: Asker, peers: Iterable[OrgCode]) -> dict[OrgCode, Heard]:
        heard, faults, epoch = {}, {}, self._tree.head().epoch
        for peer in peers:
            try:
                heard[peer] = self._listening.hear(ask, peer, epoch)
            except LaneFault as fault:
                faults[peer] = str(fault)
        lost = max(0, max(self._marks(heard), default=0) - self._tree.head().size)
        self.told = Told(heard, faults, lost, 0)
        self.told = self.told._replace(found=len(self._recording.missing(heard)))
        return heard

    def _release(self, ask: Asker) -> bool:
        """Lanes that were not waited for: whoever answers now gives back what it holds."""
        held = self._relay.held
        heard = self._hear(ask, [peer for peer in self.greeting.answering() if peer in held])
        going = {peer: each for peer, each in heard.items() if held[peer]}
        for peer, each in going.items():
            self._recording.record({peer: each})
            if each.whole:
                self._store.release(peer)
        self._relay.relearn()
        return bool(going)

    def take(self, peer: OrgCode) -> None:
        """A person's word: what this peer says it holds of ours is ours."""
        self._store.hold(peer, taken=True)
        self._relay.relearn()

    # The ledger as it was.

    def _notes(self, heard: dict[OrgCode, Heard]) -> list[str]:
        shown = [each.note for each in heard.values() if each.note is not None]
        return [*shown, self._raised.note] if self._fence.raised else shown

    @property
    def _raised(self) -> Raised:
        assert self._fence.raised is not None
        return self._fence.raised

    def _marks(self, heard: dict[OrgCode, Heard]) -> dict[int, bytes]:
        """The roots of our ledger that were witnessed, by size."""
        marks = dict(chain.from_iterable(each.marks.items() for each in heard.values()))
        return marks | {said.size: said.root for said, _ in map(named, self._notes(heard))}

    def _agrees(self, heard: dict[OrgCode, Heard]) -> bool:
        """Whether what is here is a beginning, or more, of what was witnessed."""
        head = self._tree.head()
        if any(epoch != head.epoch for _, epoch in map(named, self._notes(heard))):
            return False
        here = ((s, r) for s, r in self._marks(heard).items() if s <= head.size)
        return all(self._log.root(size) == root for size, root in here)

    def _extends(self, heard: dict[OrgCode, Heard]) -> bool:
        return self._agrees(heard) and max(self._marks(heard)) <= self._tree.head().size

    def _reproduce(self, ask: Asker, heard: dict[OrgCode, Heard]) -> bool:
        """Record what was lost in the very order in which it stood, if that can be found."""
        size = self._tree.head().size
        roots = {s: root for s, root in self._marks(heard).items() if s > size}
        gap = max(roots, default=size) - size
        if not (self._whole(heard) and self._agrees(heard) and 0 < gap <= GAP_MAX):
            return False
        try:
            coming = {peer: self._listening.incoming(ask, peer, gap) for peer in heard}
        except LaneFault as fault:
            self.told.faults[self._ledger.org] = str(fault)
            return False
        own = self._recording.missing(heard).values()
        found = len(own) + sum(len(each.rows) for each in coming.values())
        self.told = self.told._replace(found=found)
        if found < gap:
            return False
        lanes = [[leaf(row.record) for row in each.rows] for each in coming.values()]
        order = Ordering(self._growth(), _moments(own), lanes, roots).find()
        if order is None:
            return False
        rows = {leaf(row.record): row for row in chain(own, *(c.rows for c in coming.values()))}
        for source, run in groupby(order, key=lambda move: move.source):
            self._put_down([rows[move.leaf] for move in run], source, coming, heard)
        return True

    def _growth(self) -> Growth:
        """The tree's right edge."""
        size, edge, level = self._tree.head().size, list[Sequence[bytes]](), 0
        while level == 0 or size >> HEIGHT * level:
            name = TileName(level, (size >> HEIGHT * level) // WIDTH)
            edge.append(self._tree.tiles({name}, size)[name][: name.width(size)])
            level += 1
        return Growth.of(size, edge, self._tree.hashing)

    def _put_down(
        self,
        rows: list[Back],
        source: int,
        coming: dict[OrgCode, Coming],
        heard: dict[OrgCode, Heard],
    ) -> None:
        """One run; a crash leaves a longer beginning, from which the rest is found again."""
        if source == OWN:
            self._recording.put_back(rows, heard)
        else:
            peer = list(coming)[source - 1]
            self._put_in(peer, rows, coming[peer])

    def _put_in(self, peer: OrgCode, rows: list[Back], coming: Coming) -> None:
        """It was checked when it first came: our own signature over the tree says so."""
        now, last = self._clock(), rows[-1]
        sent_at = min(coming.sent_at or now, now)
        keys, coming.keys = coming.keys, {}
        beside = (
            *(self._keyring.row(key, peer) for key in keys.values()),
            Beside("lane_in", (peer, last.number, last.root, now, coming.head, sent_at)),
        )
        records = [row.record for row in rows]
        self._ledger.replicate(records, Tracking(f"lane:{peer}", last.number), beside)

    def _go_on(self, heard: dict[OrgCode, Heard]) -> bool:
        """The newest checkpoint that was shown is ours again, and the fence comes down."""
        note = max(self._notes(heard), key=_age)
        said, epoch = named(note)
        newest = self._tree.newest()
        if newest is None or newest[:2] < (epoch, said.size):
            own = self._fence.own_lines(note)
            self._tree.keep(Signed(epoch, said.size, said.root, own), self._clock())
        self._fence.lower()
        self._release_all(heard)
        return True

    def _release_all(self, heard: Iterable[OrgCode]) -> None:
        """Nobody who was heard waits for anything any more."""
        for peer in {*self._relay.held, *self._store.given_by()} & set(heard):
            self._store.release(peer)
        self._relay.relearn()

    # A new epoch.

    def _renew(self, wish: Wish, heard: dict[OrgCode, Heard]) -> bool:
        """State it, sign its first checkpoint, and go on."""
        self._choose_keys()
        old = max(self._notes(heard), key=_age)
        _, epoch = named(old)
        head, now = self._tree.head(), self._clock()
        epoch = max(epoch, head.epoch) + 1
        root = self._log.root(head.size)
        statement = Renewal(
            sender=self._ledger.org,
            epoch=epoch,
            size=head.size,
            root=b64(root),
            shared=self._shared(old, heard),
            old=old,
            at=now,
            by=wish.person,
            reason=wish.reason,
        )
        note = Checkpoint(origin_of(self._ledger.org, epoch), head.size, root).signed(self._keys)
        wire = statement.signed(self._keys).decode()
        self._store.renew(
            Signed(epoch, head.size, root, bytes(note)),
            Begun(epoch, head.size, statement.shared, wire, now),
            self._relay.peers().keys() - heard.keys(),
        )
        self._fence.lower()
        self._release_all(heard)
        return True

    def _shared(self, old: str, heard: dict[OrgCode, Heard]) -> int:
        """The largest size at which what was witnessed and what is here are known to be one."""
        (_, epoch), size = named(old), self._tree.head().size
        cosigned = self._store.cosigned()
        alike = [
            s for s, root in self._marks(heard).items() if s <= size and self._log.root(s) == root
        ]
        return max([*alike, cosigned[1] if cosigned[0] == epoch else 0])


def _age(note: str) -> tuple[int, int]:
    said, epoch = named(note)
    return epoch, said.size


def _moments(own: Iterable[Back]) -> list[list[list[bytes]]]:
    """Leaves by the moment at which they were recorded, then by stream, in order of versions."""
    moments: list[list[list[bytes]]] = []
    for _, rows in groupby(sorted(own, key=_recorded), key=lambda row: recorded_at(row.record)):
        streams = groupby(rows, key=lambda row: row.place[0])
        moments.append([[leaf(row.record) for row in stream] for _, stream in streams])
    return moments


def _recorded(row: Back) -> tuple[datetime, UUID, int]:
    return (recorded_at(row.record), *row.place)
