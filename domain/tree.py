"""哈希树: the tree of RFC 6962 over leaves in their order, with its proofs, made or checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

from domain.suite import SUITES, chosen

HASH_SIZE = 32
"""Bytes of a hash, of SHA-256 as of SM3."""


class Hashing(NamedTuple):
    """How leaves and nodes are hashed: RFC 6962, by a hash function that has a name."""

    name: str
    digest: Callable[[bytes], bytes]

    def leaf(self, data: bytes) -> bytes:
        """The hash of a leaf."""
        return self.digest(b"\x00" + data)

    def node(self, left: bytes, right: bytes) -> bytes:
        """The hash of a node; a leaf can never be taken for one."""
        return self.digest(b"\x01" + left + right)

    def root(self, hashes: Sequence[bytes]) -> bytes:
        """The root over complete subtrees that follow one another, each smaller than the last."""
        if not hashes:
            return self.digest(b"")
        return reduce(lambda right, left: self.node(left, right), reversed(hashes))


SHA256, SM3 = (Hashing(s.hash, s.digest) for s in (SUITES["international"], SUITES["guomi"]))


def ours() -> Hashing:
    """By which this deployment's ledgers are hashed."""
    return SHA256 if chosen().hash == SHA256.name else SM3


class Place(NamedTuple):
    """A complete subtree: of 2**height leaves, so many others of its height before it."""

    height: int
    number: int


class Span(NamedTuple):
    """The leaves from begin up to end, of which a proof gives the root."""

    begin: int
    end: int

    def places(self) -> list[Place]:
        """The complete subtrees it consists of, the largest first."""
        found, begin = [], self.begin
        while begin < self.end:
            height = (self.end - begin).bit_length() - 1
            found.append(Place(height, begin >> height))
            begin += 1 << height
        return found


def _parts(begin: int, end: int) -> int:
    """Where a tree of more than one leaf falls into its two."""
    return begin + (1 << (end - begin - 1).bit_length() - 1)


def inclusion(index: int, size: int) -> list[Span]:
    """What proves a leaf in a tree of that size, from its sibling up to the root's child."""
    assert 0 <= index < size
    path, begin, end = [], 0, size
    while end - begin > 1:
        middle = _parts(begin, end)
        if index < middle:
            path.append(Span(middle, end))
            end = middle
        else:
            path.append(Span(begin, middle))
            begin = middle
    return path[::-1]


def consistency(first: int, second: int) -> list[Span]:
    """What proves that the tree of the first size is the beginning of that of the second."""
    assert 0 < first <= second
    path, begin, end = [], 0, second
    while first < end:
        middle = _parts(begin, end)
        if first <= middle:
            path.append(Span(middle, end))
            end = middle
        else:
            path.append(Span(begin, middle))
            begin = middle
    if begin:
        path.append(Span(begin, end))
    return path[::-1]


def following(end: int, size: int) -> list[Place]:
    """The complete subtrees that follow the first leaves, up to the end of a tree of that size."""
    found = []
    while end < size:
        aligned = (end & -end or size).bit_length() - 1
        height = min(aligned, (size - end).bit_length() - 1)
        found.append(Place(height, end >> height))
        end += 1 << height
    return found


class ProofInvalid(ValueError):  # noqa: N818 - what is the case.
    """A proof does not prove what is claimed."""


def included(  # noqa: PLR0913, PLR0917 - what RFC 9162 names.
    hashing: Hashing, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check by RFC 9162, 2.1.3.2, that a leaf hash stands at that index of the tree of that root.

    Raises:
        ProofInvalid.
    """
    if not 0 <= index < size:
        raise ProofInvalid(f"index {index} is not in a tree of {size}")
    position, last, seen = index, size - 1, leaf
    for each in _hashes([leaf, *proof])[1:]:
        if last == 0:
            raise ProofInvalid("the proof is too long")
        if position & 1 or position == last:
            seen = hashing.node(each, seen)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            seen = hashing.node(seen, each)
        position, last = position >> 1, last >> 1
    if last or seen != root:
        raise ProofInvalid("the proof is too short" if last else "the root is another")


def consistent(  # noqa: PLR0913, PLR0917 - what RFC 9162 names.
    hashing: Hashing,
    first: int,
    second: int,
    proof: Sequence[bytes],
    first_root: bytes,
    second_root: bytes,
) -> None:
    """Check by RFC 9162, 2.1.4.2, that one tree is the beginning of the other.

    Of the empty tree nothing can be proved, and so nothing is accepted.

    Raises:
        ProofInvalid.
    """
    if not 0 < first <= second:
        raise ProofInvalid(f"there is no proof from {first} to {second}")
    hashes = _hashes(proof)
    if first == second:
        if hashes or first_root != second_root:
            raise ProofInvalid("the proof is too long" if hashes else "the roots differ")
        return
    if not first & (first - 1):
        hashes = [first_root, *hashes]
    if not hashes:
        raise ProofInvalid("the proof is too short")
    old, new = _folded(hashing, first - 1, second - 1, hashes)
    if old != first_root or new != second_root:
        raise ProofInvalid("a root is another")


def _folded(
    hashing: Hashing, position: int, last: int, hashes: Sequence[bytes]
) -> tuple[bytes, bytes]:
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = hashes[0]
    for each in hashes[1:]:
        if last == 0:
            raise ProofInvalid("the proof is too long")
        if position & 1 or position == last:
            old, new = hashing.node(each, old), hashing.node(each, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = hashing.node(new, each)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofInvalid("the proof is too short")
    return old, new


def _hashes(proof: Sequence[bytes]) -> list[bytes]:
    if any(len(each) != HASH_SIZE for each in proof):
        raise ProofInvalid(f"a hash is of {HASH_SIZE} bytes")
    return list(proof)
