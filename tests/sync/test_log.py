"""可验证台账: what a node has signed is the beginning of all it signs; old keys prove it still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from api.node import Node
from api.service import Who
from domain.recording import LedgerDamaged, NotFound
from domain.records import digest, leaf
from domain.signet import Signet
from domain.tiles import TileName
from domain.tree import consistent, ours
from sync.checkpoint import believed, origin_of, verifiers
from sync.log import SizesUnfit
from sync.note import NoteUnsigned
from tests.support.federation import CHENGDU, ORIGIN, depart, hand_over, register
from tests.support.memory.stage import MemoryStage
from tests.support.naive import Naive
from tests.support.stage import Stage, Staged
from tests.sync.conftest import acquainted

WANG = Who(person="wang")
NAME = origin_of(ORIGIN, 1)
OTHER = "11010519491231002X"
"""The number of nobody: the example of GB 11643."""


def data(node: Node) -> list[bytes]:
    return [leaf(entry.record) for entry in node.ledger.since(0)]


@pytest.fixture
def worked(three: Staged) -> Staged:
    """A member has gone to Chengdu: both ledgers hold facts of both."""
    hand_over(three, depart(three[ORIGIN], register(three[ORIGIN])), CHENGDU)
    return three


@pytest.fixture
def light() -> Iterator[Staged]:
    """The same, in memory."""
    with ExitStack() as stack:
        made = acquainted(MemoryStage(), stack)  # type: ignore[arg-type]
        hand_over(made, depart(made[ORIGIN], register(made[ORIGIN])), CHENGDU)
        yield made


@pytest.mark.parametrize("code", [ORIGIN, CHENGDU])
def test_own_facts_and_those_of_peers_are_leaves(worked: Staged, code: str) -> None:
    node, leaves = worked[code], data(worked[code])

    assert {entry.fact.meta.keeper for entry in node.ledger.since(0) if entry.fact} == {
        ORIGIN,
        CHENGDU,
    }
    assert node.log.sign()
    signed = node.log.checkpoint()
    assert (signed.size, signed.root) == (len(leaves), Naive(leaves).mth(0, len(leaves)))


def test_the_leaf_of_a_fact_is_the_hash_lanes_know_it_by(light: Staged) -> None:
    (entry, *_) = light[ORIGIN].ledger.since(0)

    assert ours().leaf(leaf(entry.record)).hex() == digest(entry.record)


def test_nothing_new_is_not_signed_again(light: Staged) -> None:
    log = light[ORIGIN].log

    assert log.sign()
    assert not log.sign()
    assert log.checkpoint() == log.checkpoint(covering=light[ORIGIN].ledger.head)


def test_a_position_that_no_checkpoint_covers_yet_gets_one(worked: Staged) -> None:
    node = worked[ORIGIN]
    node.log.sign()
    before = node.log.checkpoint()
    register(node, OTHER)

    made = node.log.proof(node.ledger.head)

    said = made.proves(data(node)[-1], verifiers(NAME, [node.keys.verify_key]))
    assert said.size == node.ledger.head > before.size
    proof = node.log.consistency(before.size, said.size)
    consistent(ours(), before.size, said.size, proof, before.root, said.root)
    with pytest.raises(NotFound):
        node.log.proof(node.ledger.head + 1)


def test_every_fact_has_its_proof_in_four_kib(worked: Staged) -> None:
    node = worked[CHENGDU]
    keys = verifiers(origin_of(CHENGDU, 1), [node.keys.verify_key])
    for position, said in enumerate(data(node), 1):
        made = node.log.proof(position)
        assert made.proves(said, keys).size == node.ledger.head
        assert len(bytes(made)) <= 4096


def test_a_rotation_goes_over_to_the_new_key_and_old_checkpoints_hold(worked: Staged) -> None:
    node = worked[ORIGIN]
    first, old = node.log.checkpoint(), node.keys.verify_key

    node.key_change.rotate(WANG)
    during = node.log.checkpoint(covering=node.ledger.head)
    worked.settle()
    assert node.key_change.retire()
    register(node, OTHER)
    after, new = node.log.checkpoint(covering=node.ledger.head), node.keys.verify_key

    for signed, key in ((first, old), (during, old), (during, new), (after, new)):
        assert believed(signed.note, verifiers(NAME, [key]))[0].size == signed.size
    for signed, key in ((first, new), (after, old)):
        with pytest.raises(NoteUnsigned):
            believed(signed.note, verifiers(NAME, [key]))
    every = node.ledger.look_up(Signet, Signet.id_of(ORIGIN)).keys
    for signed in (first, during, after):
        believed(signed.note, verifiers(NAME, every))


def test_sizes_that_are_not_there_are_refused(light: Staged) -> None:
    log, head = light[ORIGIN].log, light[ORIGIN].ledger.head

    for first, second in ((0, 0), (0, 1), (2, 1), (1, head + 1)):
        with pytest.raises(SizesUnfit):
            log.consistency(first, second)
    for position, size in ((0, 1), (2, 1), (head + 1, head + 1)):
        with pytest.raises(SizesUnfit):
            log.inclusion(position, size)
    with pytest.raises(SizesUnfit):
        log.root(0)
    assert log.consistency(head, head) == []


def test_tiles_and_entries_are_the_leaves(light: Staged) -> None:
    log, leaves = light[ORIGIN].log, data(light[ORIGIN])
    width = len(leaves)

    assert log.tile(TileName(0, 0), width) == b"".join(map(ours().leaf, leaves))
    assert log.tile(TileName(0, 0), 1) == ours().leaf(leaves[0])
    assert log.entries(0, 2) == b"".join(len(e).to_bytes(2) + e for e in leaves[:2])
    for name, wide in ((TileName(0, 0), 256), (TileName(0, 0), width + 1), (TileName(1, 0), 1)):
        with pytest.raises(NotFound):
            log.tile(name, wide)
    with pytest.raises(NotFound):
        log.entries(0)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tree_head SET size = 3, peaks = substring(peaks FROM 1 FOR 64)",
        "UPDATE tree_head SET peaks = overlay(peaks PLACING '\\x0000' FROM 1)",
        "UPDATE stored_events SET state = state || ' ' WHERE notification_id = 1",
    ],
)
def test_what_is_not_the_continuation_of_what_was_signed_is_not_signed(
    worked: Staged, statement: str
) -> None:
    node = worked[ORIGIN]
    node.log.sign()
    register(node, OTHER)
    with node.database.connection() as conn:
        conn.execute(statement)

    with pytest.raises(LedgerDamaged):
        node.log.sign()


def test_the_node_in_memory_has_the_same_tree(theatre: Stage) -> None:
    theatre.empty()
    roots = []
    for stage in (theatre, MemoryStage()):
        with ExitStack() as stack:
            made = Staged(stage, stack)  # type: ignore[arg-type]
            node = made.found(ORIGIN)
            register(node)
            leaves = data(node)
            signed = node.log.checkpoint()
            assert signed.root == Naive(leaves).mth(0, len(leaves)) == node.log.root(signed.size)
            proof = node.log.proof(1)
            proof.proves(leaves[0], verifiers(NAME, [node.keys.verify_key]))
            roots.append(signed.size)
    assert roots[0] == roots[1]
