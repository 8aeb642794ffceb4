"""文件归还: a restored node asks by file for what it once sent, and hears what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import ClassVar, NamedTuple

from domain.values import OrgCode
from sync import trust
from sync.book_given import AskedByFile, Given
from sync.bundle_file import BATCHES_MAX
from sync.envelope import Batch, Message, Moment, Number, Sealed
from sync.errors import LaneFault, Misaddressed
from sync.keys import NodeKeys
from sync.relay import Relay
from sync.returned import Returned
from sync.store import LaneStore
from sync.taking_back import Asker


class AskBack(Message):
    """索还: the sender restored an old backup; it has its own lane to the receiver up to `after`.

    `size` is of its newest checkpoint that it knows to be witnessed there, or 0; `have` is how far
    it has the receiver's lane.
    """

    KIND: ClassVar[str] = "askback"

    receiver: OrgCode
    at: Moment
    after: Number
    size: Number
    have: Number


class NotGiven(LaneFault):
    """对方尚未以文件归还。The peer has not given this back by file yet."""

    mend = (
        "请导出数据包交对方导入，再导入对方导出的数据包。"
        "Export a bundle for them to import, then import the one they export."
    )


class Answer(NamedTuple):
    """What one file gives back: pages, then what follows of our lane, unless there are more."""

    messages: list[bytes]
    pages: int
    more: bool


class ByFile:
    """One for a node: gives peers back what they ask for by file, and is how theirs is heard."""

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        org: OrgCode,
        relay: Relay,
        store: LaneStore,
        keys: NodeKeys,
        clock: Callable[[], datetime],
        page: Callable[[OrgCode, int, int, int], bytes],
        agreed: Callable[[OrgCode], tuple[int, int]],
    ) -> None:
        """`page` gives back, `agreed` says from which number and checkpoint on we must ask."""
        self._org, self._relay, self._store = org, relay, store
        self._keys, self._clock, self._page, self._agreed = keys, clock, page, agreed

    # For a peer that restored a backup.

    def take(self, wire: bytes) -> None:
        """A peer asks: its next file is the answer.

        Raises:
            NotEnrolled, Forged, Malformed, Misaddressed.
        """
        said, _ = trust.opened(AskBack, Sealed(wire), self._relay.us())
        if said.receiver != self._org:
            raise Misaddressed(receiver=said.receiver)
        asked = AskedByFile(said.after, said.size, said.have, said.at, said.after)
        self._store.keep_ask(said.sender, asked)

    def answer(self, peer: OrgCode, *, again: bool, go_on: bool) -> Answer | None:
        """What a peer asked for, as much as one file holds; None if it did not, or was answered."""
        asked = self._store.asked_by_file(peer)
        if asked is None or (asked.answered and not again):
            return None
        after, cursor = (asked.next, asked.cursor) if go_on else (asked.after, 0)
        pages: list[bytes] = []
        while len(pages) < BATCHES_MAX:
            pages.append(self._page(peer, after, cursor, asked.size))
            page = Sealed(pages[-1]).claims(Returned)
            after, cursor = after + len(page.entries), page.cursor
            if after >= page.number or not page.entries:
                self._store.keep_ask(peer, asked._replace(answered=True))
                ours = self._ours(peer, asked.have, BATCHES_MAX - len(pages))
                return Answer([*pages, *ours], len(pages), more=False)
        self._store.keep_ask(peer, asked._replace(next=after, cursor=cursor))
        return Answer(pages, len(pages), more=True)

    def _ours(self, peer: OrgCode, after: int, room: int) -> list[bytes]:
        """Our own lane from where the peer has it, up to the heartbeat that ends it."""
        batches: list[bytes] = []
        with suppress(LaneFault):  # Behind a fence of our own we say nothing that is new.
            while len(batches) < room:
                wire, last = self._relay.batch(peer, after)
                batches.append(wire)
                if last == after:
                    break
                after = last
        return batches

    # For us, who did.

    def lacks(self, peer: OrgCode) -> bool:
        """Whether a file to a peer can only ask."""
        return self._relay.fence.raised is not None or peer in self._relay.held

    def ask(self, peer: OrgCode) -> bytes:
        """The question, signed."""
        after, size = self._agreed(peer)
        have = self._store.standing_in(peer).number
        said = {"after": after, "size": size, "have": have, "at": self._clock()}
        return AskBack(sender=self._org, receiver=peer, **said).signed(self._keys)

    def keep(self, peer: OrgCode, messages: Sequence[tuple[str, bytes]]) -> int:
        """What a file brought back, to be judged when it is heard; how many pages."""
        kinds: dict[str, type[Batch | Returned]] = {k.KIND: k for k in (Batch, Returned)}
        given = [
            Given(kind, Sealed(wire).claims(kinds[kind]).first, wire)
            for kind, wire in messages
            if kind in kinds
        ]
        self._store.keep_given(peer, given)
        return sum(each.kind == Returned.KIND for each in given)

    def beside(self, near: Asker) -> Asker:
        """Peers reached by files are heard from what they gave, the others by asking."""
        return _Ways(near, self._store, self._relay)


class _Ways:
    """Asks each peer the way it is reached."""

    def __init__(self, near: Asker, store: LaneStore, relay: Relay) -> None:
        self._near, self._store, self._relay = near, store, relay

    def returned(self, peer: OrgCode, after: int, cursor: int, size: int) -> bytes:
        """A page of what we sent it.

        Raises:
            LaneFault: it does not answer, or has not given that.
        """
        if self._relay.peer(peer).lane is None:
            return self._near.returned(peer, after, cursor, size)
        return self._given(peer, Returned.KIND, after)

    def batch(self, peer: OrgCode, after: int) -> bytes:
        """The batch that follows a number of its lane to us.

        Raises:
            LaneFault: likewise.
        """
        if self._relay.peer(peer).lane is None:
            return self._near.batch(peer, after)
        return self._given(peer, Batch.KIND, after)

    def _given(self, peer: OrgCode, kind: str, after: int) -> bytes:
        wire = self._store.given(peer, kind, after + 1)
        if wire is None:
            raise NotGiven(peer=peer, after=after)
        return wire
