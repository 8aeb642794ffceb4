"""哈希树: what grows, is stored in tiles and is proved is what RFC 6962 defines."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence

import pytest

from domain import suite, tree
from domain.tiles import WIDTH, Growth, TileName, roots, split
from domain.tree import Hashing, ProofInvalid, Span, ours
from sync.verifier.chunk import Peaks
from tests.support.naive import Naive

ENTRIES = 10_000


class Kept:
    """A growth with the tiles it has filled, read as the database is."""

    def __init__(self, leaves: Sequence[bytes] = ()) -> None:
        self.growth = Growth.empty(ours())
        self.full: dict[TileName, list[bytes]] = {}
        self.add(leaves)

    def add(self, leaves: Sequence[bytes]) -> None:
        self.growth = self.growth.and_then(leaves)
        for tile in self.growth.filled:
            assert tile.name not in self.full
            self.full[tile.name] = split(tile.hashes)
            assert len(self.full[tile.name]) == WIDTH
            assert ours().root(whole(self.full[tile.name])) == tile.root

    def fetch(self, wanted: set[TileName], size: int) -> Mapping[TileName, Sequence[bytes]]:
        found = {n: self.full.get(n) or self.growth.edge[n.level] for n in wanted}
        assert all(len(found[name]) >= name.width(size) for name in wanted)
        return found

    def inclusion(self, index: int, size: int) -> list[bytes]:
        return roots(tree.inclusion(index, size), size, self.fetch, ours())

    def consistency(self, first: int, second: int) -> list[bytes]:
        return roots(tree.consistency(first, second), second, self.fetch, ours())


def whole(hashes: Sequence[bytes]) -> list[bytes]:
    """The root of a full tile, one level after the other."""
    row = list(hashes)
    while len(row) > 1:
        row = [ours().node(*pair) for pair in zip(row[::2], row[1::2], strict=True)]
    return row


@pytest.fixture
def seed() -> random.Random:
    number = random.randrange(2**32)
    print(f"seed {number}")  # noqa: T201 - shown when it fails.
    return random.Random(number)


def data(n: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(n)]


@pytest.mark.slow
def test_every_small_tree_is_the_naive_one_with_all_its_proofs() -> None:
    leaves = data(70)
    naive, kept = Naive(leaves), Kept()
    for size, leaf in enumerate(leaves, 1):
        kept.add([leaf])
        root = naive.mth(0, size)
        assert kept.growth.root == root
        assert roots([Span(0, size)], size, kept.fetch, ours()) == [root]
        for index in range(size):
            proof = kept.inclusion(index, size)
            assert proof == naive.path(index, 0, size)
            tree.included(ours(), ours().leaf(leaves[index]), index, size, proof, root)
        for first in range(1, size + 1):
            proof = kept.consistency(first, size)
            assert proof == naive.subproof(first, 0, size)
            tree.consistent(ours(), first, size, proof, naive.mth(0, first), root)


@pytest.mark.slow
def test_ten_thousand_entries_in_commits_of_any_size(seed: random.Random) -> None:
    leaves = data(ENTRIES)
    naive, kept, sizes = Naive(leaves), Kept(), [0]
    while sizes[-1] < ENTRIES:
        sizes.append(min(ENTRIES, sizes[-1] + seed.choice((1, 2, 7, 64, 255, 256, 257, 600))))
        kept.add(leaves[sizes[-2] : sizes[-1]])
        assert kept.growth.root == naive.mth(0, sizes[-1])
    for _ in range(400):
        size = seed.choice((seed.randrange(1, ENTRIES + 1), seed.choice(sizes[1:])))
        index, first = seed.randrange(size), seed.randrange(1, size + 1)
        proof = kept.inclusion(index, size)
        assert proof == naive.path(index, 0, size)
        tree.included(ours(), ours().leaf(leaves[index]), index, size, proof, naive.mth(0, size))
        proof = kept.consistency(first, size)
        assert proof == naive.subproof(first, 0, size)
        tree.consistent(ours(), first, size, proof, naive.mth(0, first), naive.mth(0, size))


def test_a_proof_bent_anywhere_proves_nothing(seed: random.Random) -> None:
    leaves = data(1_000)
    naive, kept = Naive(leaves), Kept(leaves)
    for _ in range(300):
        size = seed.randrange(2, 1_001)
        index, first = seed.randrange(size), seed.randrange(1, size)
        root, leaf = naive.mth(0, size), ours().leaf(leaves[index])
        proof = bent(kept.inclusion(index, size), seed)
        with pytest.raises(ProofInvalid):
            tree.included(ours(), leaf, index, size, proof, root)
        proof = bent(kept.consistency(first, size), seed)
        with pytest.raises(ProofInvalid):
            tree.consistent(ours(), first, size, proof, naive.mth(0, first), root)


def bent(proof: list[bytes], seed: random.Random) -> list[bytes]:
    """A hash changed, left out, added, cut short, or two exchanged."""
    at, other = seed.randrange(len(proof)), bytes([seed.randrange(256)]) * 32
    changed = bytearray(proof[at])
    changed[seed.randrange(32)] ^= 1 << seed.randrange(8)
    swapped = list(reversed(proof))
    return seed.choice(
        (
            [*proof[:at], bytes(changed), *proof[at + 1 :]],
            [*proof[:at], *proof[at + 1 :]],
            [*proof, other],
            [*proof[:at], proof[at][:31], *proof[at + 1 :]],
            swapped if swapped != proof else [other, *proof],
        )
    )


@pytest.mark.slow
def test_a_growth_begins_again_from_its_unfull_tiles() -> None:
    for size in (0, 1, 255, 256, 257, 511, 65_535, 65_536, 65_537, 66_000):
        kept = Kept(data(size))

        again = Growth.of(size, kept.growth.edge, ours())

        assert (again.size, again.peaks) == (size, kept.growth.peaks)
        more = [b"one", b"more"]
        assert again.and_then(more).root == kept.growth.and_then(more).root


def test_appending_leaves_what_was_before_as_it_was() -> None:
    before = Kept(data(300)).growth
    root, edge = before.root, [list(row) for row in before.edge]

    before.and_then(data(500))

    assert (before.root, before.edge, before.size) == (root, edge, 300)


def test_the_empty_tree_is_the_beginning_of_nothing() -> None:
    empty = Growth.empty(ours()).root

    assert empty == suite.digest(b"")
    with pytest.raises(ProofInvalid):
        tree.consistent(ours(), 0, 0, [], empty, empty)
    with pytest.raises(ProofInvalid):
        tree.included(ours(), empty, 0, 0, [], empty)


def test_another_hash_makes_another_tree() -> None:
    other = Hashing("BLAKE2s", lambda data: hashlib.blake2s(data).digest())

    assert Growth.empty(other).and_then([b"a", b"b"]).root == other.node(
        other.leaf(b"a"), other.leaf(b"b")
    )


def test_a_tile_is_as_wide_as_the_tree_has_hashes() -> None:
    """The example of C2SP tlog-tiles: a tree of 70,000."""
    assert [TileName(0, n).width(70_000) for n in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [TileName(1, n).width(70_000) for n in (0, 1, 2)] == [256, 17, 0]
    assert TileName(2, 0).width(70_000) == 1
    assert TileName(1, 0).width(256) == 1


def test_what_follows_a_range_completes_it_to_the_root() -> None:
    leaves = data(70)
    naive = Naive(leaves)

    for size in (*range(1, 40), 64, 70):
        for end in range(size + 1):
            places = tree.following(end, size)
            spans = [(p.number << p.height, p.number + 1 << p.height) for p in places]
            assert [end, *(last for _, last in spans)] == [*(first for first, _ in spans), size]
            peaks = Peaks()
            for begin, last in [(p, p + 1) for p in range(end)] + spans:
                peaks.push((last - begin).bit_length() - 1, naive.mth(begin, last))
            assert ours().root([node for _, node in peaks.held]) == naive.mth(0, size)
            assert len(places) <= 2 * size.bit_length()
