"""恢复栅栏: a node put back to an old backup signs nothing that contradicts what it signed."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from random import Random

import pytest

from api.node import Node
from api.restoring import BackupRestored
from sync.checkpoint import Checkpoint, origin_of
from sync.errors import Fenced, NotOurCheckpoint
from sync.ledger_said import LogHeard, LogSaid
from sync.log import Signed
from tests.support.federation import CHENGDU, ORIGIN, SHENZHEN
from tests.support.memory.stage import MemoryStage
from tests.support.stage import Staged
from tests.sync.conftest import acquainted
from tests.sync.pen import Pen
from tests.sync.test_witness import backed, told


@pytest.fixture
def light() -> Staged:
    """The three, in memory."""
    return acquainted(MemoryStage(), ExitStack())  # type: ignore[arg-type]


def shown(by: Node, to: Node) -> object:
    """Let one take in what the other shows of it; the fault."""
    after = to.lanes.standing_in(by.settings.code).number
    return to.inbox.accept(by.relay.batch(to.settings.code, after)[0])


def signed(node: Node) -> list[Signed]:
    """All checkpoints it remembers."""
    return list(node.database.checkpoints)  # type: ignore[attr-defined]


def test_a_restored_node_that_is_shown_what_it_signed_signs_nothing(light: Staged) -> None:
    light[CHENGDU].log.sign()
    node = backed(light, ORIGIN)
    before = signed(node)
    told(node, "恢复之后的")
    assert signed(node) == before
    assert node.fence.holds()

    outcome = shown(light[CHENGDU], node)

    assert isinstance(outcome.fault, Fenced)  # type: ignore[attr-defined]
    assert outcome.answer == b""  # type: ignore[attr-defined]
    light.clock.pass_(days=1)
    with pytest.raises(BackupRestored):
        told(node)
    assert signed(node) == before
    for signs in (
        lambda: node.relay.batch(CHENGDU, 0),
        lambda: node.inbox.receipt(CHENGDU),
        lambda: node.inbox.want(CHENGDU),
    ):
        with pytest.raises(Fenced):
            signs()


def test_a_receipt_raises_the_fence_as_well(light: Staged) -> None:
    node = backed(light, ORIGIN)
    wire, _ = node.relay.batch(CHENGDU, light[CHENGDU].lanes.standing_in(ORIGIN).number)
    answer = light[CHENGDU].inbox.accept(wire).answer

    with pytest.raises(Fenced):
        node.relay.acknowledge(answer)

    assert node.fence.raised is not None
    assert light.restart(ORIGIN).fence.raised == node.fence.raised


def test_the_newest_backup_lowers_the_fence(light: Staged) -> None:
    light[CHENGDU].log.sign()
    told(light[ORIGIN])
    light.settle()
    old = light.stage.snapshot(ORIGIN)
    told(light[ORIGIN])
    light.settle()
    new = light.stage.snapshot(ORIGIN)
    light.stage.restore(ORIGIN, old)
    light.restart(ORIGIN)
    shown(light[CHENGDU], light[ORIGIN])
    assert light[ORIGIN].fence.raised is not None

    light.stage.restore(ORIGIN, new)
    node = light.restart(ORIGIN)

    assert node.fence.raised is None
    light.settle()
    told(node)
    light.settle()
    assert node.log.unwitnessed_s() == 0


def test_what_only_claims_to_be_ours_raises_no_fence(light: Staged) -> None:
    told(light[ORIGIN])
    light.settle()
    node, peer = light[ORIGIN], light[CHENGDU]
    peer.log.sign()
    false = bytes(Checkpoint(origin_of(ORIGIN, 1), 9999, bytes(32)).signed(peer.keys)).decode()
    said = LogSaid(checkpoint=peer.log.checkpoint().note.decode(), others=(false,))
    pen = Pen(peer, node)
    receipt = peer.inbox._receipt(ORIGIN, 0, "0" * 64, ())  # noqa: SLF001

    assert pen.send(log=said).fault is None
    for nothing in (
        f"{ORIGIN}/ledger/1",
        f"{ORIGIN}/ledger/1\n{'9' * 400}\n",
        f"{ORIGIN}/ledger/1\n1",
    ):
        assert pen.send(log=said.model_copy(update={"others": (nothing,)})).fault is None
    with pytest.raises(NotOurCheckpoint):
        node.relay.acknowledge(_with(receipt, LogHeard(checkpoint=false), peer))

    assert node.fence.raised is None


def _with(receipt: bytes, heard: LogHeard, by: Node) -> bytes:
    from sync.envelope import LaneReceipt, Sealed  # noqa: PLC0415

    message = Sealed(receipt).claims(LaneReceipt)
    return message.model_copy(update={"log": heard}).signed(by.keys)


def test_a_start_that_nobody_answers_waits_and_goes_on(light: Staged) -> None:
    told(light[ORIGIN])
    light.settle()
    node = light.restart(ORIGIN)
    told(node)
    assert node.fence.holds()

    light.clock.pass_(seconds=node.settings.restore_hold_seconds)

    assert not node.fence.holds()
    assert node.log.sign()


def _traffic(made: Staged, draw: Random, code: str, steps: int) -> None:
    """Facts, checkpoints, and batches with their answers, in any order."""
    for _ in range(steps):
        match draw.randrange(3):
            case 0:
                told(made[code], str(draw.random()))
            case 1:
                told(made[draw.choice((CHENGDU, SHENZHEN))], str(draw.random()))
            case _:
                made.settle()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_no_restore_signs_what_contradicts_a_witness(seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    draw = Random(seed)
    with ExitStack() as stack:
        made = acquainted(MemoryStage(), stack)  # type: ignore[arg-type]
        code = draw.choice((ORIGIN, CHENGDU, SHENZHEN))
        for node in made.nodes.values():
            told(node)
        made.settle()
        backup = made.stage.snapshot(code)
        _traffic(made, draw, code, draw.randint(1, 12))
        held = {(s.size, s.root) for n in made.nodes.values() if (s := n.lanes.witnessed(code))}
        made.stage.restore(code, backup)
        node = made.restart(code)
        remembered = {(s.size, s.root) for s in signed(node)}

        told(node, "先于一切")
        peers = list(node.relay.peers())
        draw.shuffle(peers)
        for peer in peers:
            if draw.random() < 0.5:
                with suppress(BackupRestored):
                    told(node, str(draw.random()))
            if node.fence.raised is None:
                shown(made[peer], node)
        with suppress(BackupRestored):
            told(node, "最后")

        lost = held - remembered
        assert (node.fence.raised is not None) == bool(lost)
        if lost:
            assert {(s.size, s.root) for s in signed(node)} == remembered
        for size, root in held:
            mine = next((s for s in signed(node) if s.size == size), None)
            assert mine is None or mine.root == root
        assert not any(n.lanes.contradictions() for n in made.nodes.values())
