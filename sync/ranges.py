"""区段: keyed hashes as a tree over the prefixes of their keys, by which two sets are compared."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from domain import suite
from sync.envelope import Number, Root
from sync.errors import LaneFault

LEAF_MAX = 16
"""Entries of a range that are told one by one; a larger one is told as its sixteen parts."""

WORTH_KNOWING = 256
"""Entries of a range whose sum is not computed twice."""

FAN = "0123456789abcdef"
KEY_SIZE = 16
ENTRY_SIZE = KEY_SIZE + 32
DEPTH_MAX = 2 * KEY_SIZE
"""Digits of a prefix, so also the rounds a comparison can take."""


class DoesNotAddUp(LaneFault):
    """对方所说的区段与其根不符。What the peer tells of a range is not what its root stands for."""


class Part(BaseModel):
    """A part of a message; a field from a newer peer is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Branch(Part):
    """What a range holds: how many entries, and the hash over them."""

    count: Number
    digest: Root


Prefix = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{0,32}$")]
Entry = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]


class Told(Part):
    """A range told in more detail: its sixteen parts, or its entries in order."""

    parts: Annotated[tuple[Branch, ...], Field(max_length=len(FAN))] = ()
    entries: Annotated[tuple[Entry, ...], Field(max_length=LEAF_MAX)] = ()

    def must_be(self, branch: Branch, prefix: str) -> None:
        """Whether it is the very range that was summed up before.

        Raises:
            DoesNotAddUp: so a peer cannot answer one question this way and the next that way.
        """
        leaf = branch.count <= LEAF_MAX
        if leaf:
            raw = [bytes.fromhex(entry) for entry in self.entries]
            ordered = all(a[:KEY_SIZE] < b[:KEY_SIZE] for a, b in pairwise(raw))
            fits = ordered and all(entry.startswith(prefix) for entry in self.entries)
            count, digest = len(raw), _leaf(raw)
        else:
            fits = len(self.parts) == len(FAN) and len(prefix) < DEPTH_MAX
            count, digest = sum(part.count for part in self.parts), _inner(self.parts)
        if not fits or count != branch.count or digest != branch.digest:
            raise DoesNotAddUp(range=prefix, count=branch.count)


class Hashes:
    """Entries, each a key of 16 bytes with a hash of 32, in order of their keys."""

    def __init__(self, entries: Iterable[bytes]) -> None:
        self._entries = sorted(entries)
        self._known: dict[str, Branch] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: bytes) -> bytes | None:
        """The hash of a key."""
        at = bisect_left(self._entries, key)
        found = self._entries[at] if at < len(self._entries) else b""
        return found[KEY_SIZE:] if found.startswith(key) else None

    def within(self, prefix: str) -> list[bytes]:
        """The entries whose key begins with these digits."""
        digits = 2 * KEY_SIZE - len(prefix)
        first = bytes.fromhex(prefix + "0" * digits)
        last = bytes.fromhex(prefix + "f" * digits)
        begin = bisect_left(self._entries, first)
        # An entry is longer than its key: all with the last key sort after the key itself.
        end = bisect_left(self._entries, last + b"\xff" * (ENTRY_SIZE - KEY_SIZE + 1))
        return self._entries[begin:end]

    def branch(self, prefix: str = "") -> Branch:
        """A range summed up; the large ones are remembered."""
        if prefix not in self._known:
            summed = self._sum(prefix)
            if summed.count <= WORTH_KNOWING:
                return summed
            self._known[prefix] = summed
        return self._known[prefix]

    def _sum(self, prefix: str) -> Branch:
        entries = self.within(prefix)
        if len(entries) <= LEAF_MAX:
            return Branch(count=len(entries), digest=_leaf(entries))
        return Branch(count=len(entries), digest=_inner([self.branch(prefix + d) for d in FAN]))

    def tell(self, prefix: str) -> Told:
        """A range in more detail."""
        entries = self.within(prefix)
        if len(entries) <= LEAF_MAX:
            return Told(entries=tuple(entry.hex() for entry in entries))
        return Told(parts=tuple(self.branch(prefix + digit) for digit in FAN))


def _leaf(entries: Iterable[bytes]) -> str:
    return suite.digest(b"\0" + b"".join(entries)).hex()


def _inner(parts: Iterable[Branch]) -> str:
    told = b"".join(p.count.to_bytes(8) + bytes.fromhex(p.digest) for p in parts)
    return suite.digest(b"\1" + told).hex()
