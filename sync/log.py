"""可验证台账: one ledger's signed checkpoints, its proofs, with the tiles they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from threading import Lock
from typing import NamedTuple, Protocol
from uuid import UUID

from domain import tiles, tree
from domain.errors import Invalid
from domain.recording import LedgerDamaged, NotFound
from domain.tiles import WIDTH, TileName
from domain.tree import Hashing, Span
from domain.values import OrgCode
from sync.checkpoint import Checkpoint, epoch_of, origin_of
from sync.keys import NodeKeys
from sync.note import Note
from sync.proof import Proof


class SizesUnfit(Invalid):
    """台账没有这样的大小可以比较。There is nothing to prove between such sizes."""

    mend = "from 至少为 1，不大于 to；to 不大于检查点。1 ≤ from ≤ to ≤ the size of a checkpoint."


class TreeHead(NamedTuple):
    """The tree as of the last commit: which epoch, how it is hashed, its size, its peaks."""

    epoch: int
    hash: str
    size: int
    peaks: bytes


class Signed(NamedTuple):
    """A checkpoint as it is kept."""

    epoch: int
    size: int
    root: bytes
    note: bytes


class Store(Protocol):
    """Where the tree stands."""

    hashing: Hashing

    def head(self) -> TreeHead:
        """As of the last commit."""

    def tiles(self, wanted: set[TileName], size: int) -> Mapping[TileName, Sequence[bytes]]:
        """Tiles of a tree of at least that size."""

    def leaves(self, first: int, end: int) -> list[bytes]:
        """The data of leaves from an index up to another."""

    def index(self, stream: UUID, version: int) -> int | None:
        """At which index a record stands."""

    def newest(self) -> Signed | None:
        """The last checkpoint."""

    def signed_up_to(self, epoch: int, size: int) -> Iterator[bytes]:
        """Every checkpoint of that epoch up to a size, and of the epochs before, in their order."""

    def signed_at(self, epoch: int, size: int) -> Signed | None:
        """The checkpoint of that size."""

    def unwitnessed_since(self, epoch: int, size: int) -> datetime | None:
        """When the first checkpoint after that size was signed."""

    def keep(self, signed: Signed, at: datetime) -> None:
        """Put one down for good; it follows the last one or is refused."""


class Cosignatures(Protocol):
    """Where it is kept who has witnessed our checkpoints."""

    def cosignatures(self, epoch: int, size: int) -> list[str]:
        """The lines of witnesses under one."""

    def cosigned(self) -> tuple[int, int]:
        """Epoch and size of the newest that has one."""


class Log:
    """Signs what the ledger has come to, and proves what is in it.

    A position of the ledger is an index and one.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the parts of a node, once.
        self,
        org: OrgCode,
        store: Store,
        keys: NodeKeys,
        clock: Callable[[], datetime],
        witnesses: Cosignatures,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        self._org, self._store, self._keys, self._clock = org, store, keys, clock
        self._witnesses, self._held = witnesses, held
        self._lock = Lock()

    def sign(self) -> bool:
        """Sign what has been recorded since the last checkpoint; whether there was anything.

        Nothing is signed while the node may have forgotten what it signed before.

        Raises:
            LedgerDamaged: what was signed last is not the beginning of what is there now.
        """
        if self._held():
            return False
        with self._lock:
            last, head = self._store.newest(), self._store.head()
            root = self._store.hashing.root(tiles.split(head.peaks))
            if last is not None and last.epoch == head.epoch:
                self._must_follow(last, head.size, root)
                if last.size == head.size:
                    return False
            if not head.size:
                return False
            said = Checkpoint(origin_of(self._org, head.epoch), head.size, root)
            note = bytes(said.signed(self._keys))
            self._store.keep(Signed(head.epoch, head.size, root, note), self._clock())
            return True

    def _must_follow(self, last: Signed, size: int, root: bytes) -> None:
        if last.size > size:
            raise LedgerDamaged(because="shorter than signed", signed=last.size, leaves=size)
        try:
            proof = self._roots(tree.consistency(last.size, size), size)
            hashing = self._store.hashing
            tree.consistent(hashing, last.size, size, proof, last.root, root)
        except tree.ProofInvalid as fault:
            raise LedgerDamaged(because=str(fault), signed=last.size, leaves=size) from None

    @property
    def epoch(self) -> int:
        """In which the ledger is now."""
        return self._store.head().epoch

    def newest(self) -> Signed | None:
        """The last checkpoint, as it was signed."""
        return self._store.newest()

    def signed_at(self, epoch: int, size: int) -> Signed | None:
        """The one of that size."""
        return self._store.signed_at(epoch, size)

    def checkpoint(self, covering: int = 0) -> Signed:
        """The newest checkpoint, under all its signatures; a new one if a position is not covered.

        Raises:
            NotFound: nothing is recorded, or not as much.
        """
        for _ in range(2):
            found = self._store.newest()
            if found is not None and found.size >= covering:
                return self._with_witnesses(found)
            self.sign()
        raise NotFound(kind="checkpoint", id=covering)

    def witnessed(self, covering: int) -> Signed:
        """The newest checkpoint witnessed by a peer; where none covers a position, the newest.

        Raises:
            NotFound.
        """
        found = self._store.signed_at(*self._witnesses.cosigned())
        covers = found is not None and found.size >= covering
        return self._with_witnesses(found) if found and covers else self.checkpoint(covering)

    def signed_up_to(self, size: int) -> Iterator[bytes]:
        """The notes of all checkpoints up to that size, under all their signatures."""
        for note in self._store.signed_up_to(self.epoch, size):
            said = Checkpoint.read(Note.read(note).text)
            _, epoch = epoch_of(said.origin)
            yield self._with_witnesses(Signed(epoch, said.size, said.root, note)).note

    def signed_of(self, size: int) -> Signed:
        """The checkpoint of that size in the ledger's epoch, under all its signatures.

        Raises:
            NotFound: none was signed at that size.
        """
        if (found := self._store.signed_at(self.epoch, size)) is None:
            raise NotFound(kind="checkpoint", id=size)
        return self._with_witnesses(found)

    def around(self, after: int, upto: int, size: int) -> tuple[list[bytes], list[bytes]]:
        """The roots of the complete subtrees before a range of entries, and of those after it.

        Raises:
            SizesUnfit.
        """
        if not 0 <= after <= upto <= size <= self._store.head().size:
            raise SizesUnfit(after=after, upto=upto, size=size)
        before = Span(0, after).places()
        places = [*before, *tree.following(upto, size)]
        spans = [Span(p.number << p.height, p.number + 1 << p.height) for p in places]
        hashes, split = self._roots(spans, size), len(before)
        return hashes[:split], hashes[split:]

    def inclusion(self, position: int, size: int) -> list[bytes]:
        """The hashes that prove an entry in the tree of that size.

        Raises:
            SizesUnfit.
        """
        return self.inclusions([position], size)[0]

    def inclusions(self, positions: Sequence[int], size: int) -> list[list[bytes]]:
        """As `inclusion`, of many entries, read at once."""
        if not all(0 < each <= size for each in positions) or size > self._store.head().size:
            raise SizesUnfit(size=size, positions=list(positions))
        paths = [tree.inclusion(each - 1, size) for each in positions]
        hashes = iter(self._roots([span for path in paths for span in path], size))
        return [list(islice(hashes, len(path))) for path in paths]

    def consistency(self, first: int, second: int) -> list[bytes]:
        """The hashes that prove that one size is the beginning of the other.

        Raises:
            SizesUnfit: also from 0, of which there is no proof.
        """
        if not 0 < first <= second <= self._store.head().size:
            raise SizesUnfit(first=first, second=second)
        return self._roots(tree.consistency(first, second), second)

    def root(self, size: int) -> bytes:
        """Of the tree as it was at that size.

        Raises:
            SizesUnfit.
        """
        if not 0 < size <= self._store.head().size:
            raise SizesUnfit(size=size)
        return self._roots([Span(0, size)], size)[0]

    def proof(self, position: int) -> Proof:
        """That an entry is in the ledger, by a witnessed checkpoint if one covers it.

        Raises:
            NotFound, SizesUnfit.
        """
        signed = self.witnessed(position)
        return Proof(position - 1, tuple(self.inclusion(position, signed.size)), signed.note)

    def position(self, stream: UUID, version: int) -> int:
        """Where a record stands.

        Raises:
            NotFound.
        """
        if (index := self._store.index(stream, version)) is None:
            raise NotFound(kind="fact", id=f"{stream}/{version}")
        return index + 1

    def unwitnessed_s(self) -> float:
        """For how many seconds the first checkpoint has stood that no peer has witnessed yet."""
        since = self._store.unwitnessed_since(*self._witnesses.cosigned()) or self._clock()
        return max(0.0, (self._clock() - since).total_seconds())

    def _with_witnesses(self, signed: Signed) -> Signed:
        lines = self._witnesses.cosignatures(signed.epoch, signed.size)
        return signed._replace(note=signed.note + "".join(lines).encode())

    def tile(self, name: TileName, width: int = WIDTH) -> bytes:
        """The first hashes of a tile.

        Raises:
            NotFound: there are not as many.
        """
        return b"".join(self._store.tiles({name}, self._must_be_as_wide(name, width))[name][:width])

    def entries(self, number: int, width: int = WIDTH) -> bytes:
        """The data of a tile's leaves, each behind its length in two bytes.

        Raises:
            NotFound: there are not as many.
        """
        self._must_be_as_wide(TileName(0, number), width)
        leaves = self._store.leaves(number * WIDTH, number * WIDTH + width)
        return b"".join(len(each).to_bytes(2) + each for each in leaves)

    def _must_be_as_wide(self, name: TileName, width: int) -> int:
        size = self._store.head().size
        if not 0 < width <= name.width(size):
            raise NotFound(kind="tile", id=f"{name.level}/{name.number}", width=width)
        return size

    def _roots(self, spans: Sequence[Span], size: int) -> list[bytes]:
        return tiles.roots(spans, size, self._store.tiles, self._store.hashing)
