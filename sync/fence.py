"""恢复栅栏: a node that signed more than it remembers signs nothing any more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from domain.values import OrgCode
from sync.checkpoint import believed, epoch_of, verifiers
from sync.errors import Fenced, LaneFault
from sync.keys import NodeKeys, b64
from sync.log import Signed
from sync.note import Note
from sync.standing import Book

TABLES = """
    CREATE TABLE IF NOT EXISTS log_fence (
        one boolean PRIMARY KEY CHECK (one), by text NOT NULL, note text NOT NULL,
        at timestamptz NOT NULL, reason text, person text, without text[]
    );
"""

SIZE_DIGITS = 16
"""Of the largest size that is read."""

_log = logging.getLogger(__name__)


class Raised(NamedTuple):
    """Who has shown us what of ours, and when."""

    by: OrgCode
    note: str
    at: datetime


class Wish(NamedTuple):
    """An operator's word to begin a new epoch: why, who, and which peers are not waited for."""

    reason: str
    person: str
    without: tuple[OrgCode, ...] = ()


class FenceBook(Book):
    """Where it is kept: a restart does not let a node forget that it has forgotten."""

    def fence(self) -> Raised | None:
        """Whether it is up."""
        row = self._one("SELECT by, note, at FROM log_fence")
        return Raised(*row) if row else None

    def raise_fence(self, raised: Raised) -> None:
        """Put it up; the first proof stays."""
        with self._database.connection() as conn:
            conn.execute(
                "INSERT INTO log_fence (one, by, note, at) VALUES (true, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                tuple(raised),
            )

    def wish(self) -> Wish | None:
        """Whether a new epoch is wished for."""
        row = self._one("SELECT reason, person, without FROM log_fence WHERE reason IS NOT NULL")
        return Wish(row[0], row[1], tuple(row[2])) if row else None

    def keep_wish(self, wish: Wish) -> None:
        """The newest wish counts."""
        with self._database.connection() as conn:
            conn.execute(
                "UPDATE log_fence SET reason = %s, person = %s, without = %s",
                (wish.reason, wish.person, list(wish.without)),
            )

    def lower_fence(self) -> None:
        """What was missing is here again."""
        with self._database.connection() as conn:
            conn.execute("DELETE FROM log_fence")


class Ours(Protocol):
    """What we have signed, as far as we remember."""

    @property
    def epoch(self) -> int:
        """Of the ledger."""

    def newest(self) -> Signed | None:
        """The last checkpoint."""

    def root(self, size: int) -> bytes:
        """Of the tree as it was at that size."""

    def signed_at(self, epoch: int, size: int) -> Signed | None:
        """The checkpoint of that size."""


class Fence:
    """One for a node. It goes up on our own signature under what we do not know, and on no word.

    After a start nothing new is numbered or signed until every peer that has witnessed us before
    was heard, or for `hold`, because a restored database does not know that it is one.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        org: OrgCode,
        ours: Ours,
        book: FenceBook,
        keys: NodeKeys,
        clock: Callable[[], datetime],
        hold: timedelta,
    ) -> None:
        self._org, self._ours, self._book = org, ours, book
        self._keys, self._clock = keys, clock
        self._awaited: set[OrgCode] = set()
        self._ungreeted: set[OrgCode] = set()
        self._until = clock() + hold
        self.raised = book.fence()
        if self.raised is not None and self._known(self.raised.note):
            book.lower_fence()
            self.raised = None

    def await_word(self, peers: Iterable[OrgCode]) -> None:
        """Whom to hear before anything new is signed."""
        self._awaited = set(peers)

    def await_greeting(self, peers: Iterable[OrgCode]) -> None:
        """Whom to ask, beside, how far they hold our lanes."""
        self._ungreeted = set(peers)

    def greeted(self, peer: OrgCode) -> None:
        """It has said so."""
        self._ungreeted.discard(peer)

    def holds(self) -> bool:
        """Whether nothing new may be numbered or signed now."""
        awaits = bool(self._awaited or self._ungreeted)
        return self.raised is not None or (awaits and self._clock() < self._until)

    def awaits(self, peer: OrgCode) -> bool:
        """Whether a peer has still to say what it knows of us: it may be more than we know."""
        awaited = peer in self._awaited or peer in self._ungreeted
        return awaited and self._clock() < self._until

    def must_be_down(self) -> None:
        """Before anything is signed for a peer.

        Raises:
            Fenced.
        """
        if self.raised is not None:
            raise Fenced(by=self.raised.by, since=self.raised.at, note=_short(self.raised.note))

    def look(self, peer: OrgCode, notes: Iterable[str]) -> None:
        """Compare what a peer shows of our ledger with what we know.

        Raises:
            Fenced: we have signed it, and know nothing of it.
        """
        for note in notes:
            if self._is_of_us(note) and not self._known(note) and self.is_ours(note):
                if self.raised is None:
                    _log.critical("Fenced: %s shows what we signed and do not know", peer)
                self.raised = self.raised or Raised(peer, note, self._clock())
                self._book.raise_fence(self.raised)
        self.must_be_down()
        self._awaited.discard(peer)

    def lower(self) -> None:
        """What was missing is here again, or was given up by a statement."""
        self._book.lower_fence()
        self.raised = None

    def _is_of_us(self, note: str) -> bool:
        try:
            return epoch_of(note.partition("\n")[0])[0] == self._org
        except LaneFault:
            return False

    def is_ours(self, note: str) -> bool:
        """Whether one of our keys has signed it: anybody could claim it."""
        try:
            self.own_lines(note)
        except LaneFault:
            return False
        return True

    def own_lines(self, note: str) -> bytes:
        """A checkpoint under our signatures alone.

        Raises:
            NoteInvalid, NoteForged, NoteUnsigned, CheckpointInvalid.
        """
        origin, keys = note.partition("\n")[0], (pair.verify_key for pair in self._keys.signers)
        known = verifiers(origin, keys)
        _, read = believed(note.encode(), known)
        return bytes(Note(read.text, tuple(line for _, line in read.proved(known))))

    def _known(self, note: str) -> bool:
        origin, said, root, *_ = (*note.split("\n", 3), "", "")
        _, epoch = epoch_of(origin)
        size = int(said) if said.isdecimal() and len(said) <= SIZE_DIGITS else 0
        mine = self._ours.signed_at(epoch, size)
        if mine is not None:
            return mine.note.decode().split("\n", 3)[:3] == [origin, said, root]
        # What a former epoch had and this one does not was given up by its statement. What was made
        # again after a restore, and signed beyond, is ours as it was.
        return epoch < self._ours.epoch or made_again(self._ours, epoch, size, root)


def made_again(ours: Ours, epoch: int, size: int, root: str) -> bool:
    """Whether what we signed last goes on from a root, also where our signature over it is lost."""
    newest = ours.newest()
    if newest is None or newest.epoch != epoch or not 0 < size <= newest.size:
        return False
    return b64(ours.root(size)) == root


def _short(note: str) -> str:
    return " ".join(note.split("\n", 2)[:2])
