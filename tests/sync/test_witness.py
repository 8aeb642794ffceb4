"""互证: whoever rewrites, cuts or splits a ledger is refused, and what proves it needs no node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from itertools import combinations, permutations
from random import Random

import pytest

from api.node import Node
from api.service import Who
from domain.commands import HoldActivity
from sync.add_checkpoint import Answer, add
from sync.book_witness import WITNESSED_DAYS, WITNESSED_MAX, Seen
from sync.card import read_card
from sync.checkpoint import Checkpoint, believed, origin_of, witness_of
from sync.contradiction import Evidence, NotAContradiction
from sync.errors import CheckpointMissing, Rewritten, RolledBack, SplitView, Unproven
from sync.keys import b64
from sync.ledger_said import Consistency, LogSaid
from sync.note import COSIGNATURE, Note, NoteUnsigned, Verifier
from sync.witness import SHORT_S, UNPROVEN_MAX
from tests.support.federation import CHENGDU, NOW, ORIGIN, SHENZHEN
from tests.support.memory.stage import MemoryStage
from tests.support.stage import Staged
from tests.sync.conftest import acquainted
from tests.sync.pen import Pen


@pytest.fixture
def light() -> Iterator[Staged]:
    """The three, in memory."""
    with ExitStack() as stack:
        yield acquainted(MemoryStage(), stack)  # type: ignore[arg-type]


def told(node: Node, title: str = "主题党日") -> None:
    """Record something of our own, and sign."""
    node.execute(HoldActivity(on=node.clock().date(), title=title))
    node.settle()
    node.log.sign()


def cosigners(node: Node) -> set[str]:
    """Who has cosigned the newest checkpoint, by public keys alone."""
    signed = node.log.checkpoint()
    note = Note.read(signed.note)
    codes = (ORIGIN, CHENGDU, SHENZHEN)
    return {line.name for line in note.lines if line.name in {witness_of(c) for c in codes}}


@pytest.mark.parametrize("kind", ["three", "light"])
def test_a_receipt_cosigns_what_the_batch_showed(kind: str, request: pytest.FixtureRequest) -> None:
    made: Staged = request.getfixturevalue(kind)
    origin, peer = made[ORIGIN], made[CHENGDU]
    told(origin)

    made.carry(ORIGIN, CHENGDU)

    signed = origin.log.checkpoint()
    witness = Verifier.of(witness_of(CHENGDU), peer.keys.verify_key, COSIGNATURE)
    said, _ = believed(signed.note, [witness])
    assert (said.origin, said.size) == (origin_of(ORIGIN, 1), origin.ledger.head)
    assert peer.lanes.witnessed(ORIGIN).root == signed.root  # type: ignore[union-attr]
    assert origin.log.unwitnessed_s() == 0
    proof = origin.log.proof(1)
    assert believed(proof.checkpoint, [witness])[0].size == signed.size
    told(origin)
    made.clock.pass_(seconds=7)
    assert origin.log.unwitnessed_s() == 7


def test_what_a_revoked_key_has_signed_is_not_shown_on(light: Staged) -> None:
    origin, peer = light[ORIGIN], light[CHENGDU]
    told(origin)
    light.carry(ORIGIN, CHENGDU)
    told(origin)
    origin.key_change.revoke(Who(person="wang"), "电脑被盗", "li")
    peer.rekey(read_card(origin.card()), "电脑被盗", "li", person="wang")
    after = peer.lanes.standing_in(ORIGIN).number
    early = peer.inbox.accept(origin.relay.batch(CHENGDU, after)[0])
    assert isinstance(early.fault, NoteUnsigned)

    told(origin)

    assert peer.inbox.accept(origin.relay.batch(CHENGDU, after)[0]).fault is None


@pytest.mark.parametrize("kind", ["three", "light"])
def test_a_heartbeat_is_enough(kind: str, request: pytest.FixtureRequest) -> None:
    made: Staged = request.getfixturevalue(kind)
    made[ORIGIN].log.sign()
    made.settle()

    assert cosigners(made[ORIGIN]) == {witness_of(CHENGDU), witness_of(SHENZHEN)}
    for _ in range(3):
        told(made[ORIGIN])
        made.settle()
        assert cosigners(made[ORIGIN]) == {witness_of(CHENGDU), witness_of(SHENZHEN)}


def test_an_answer_that_is_lost_loses_no_witness(light: Staged) -> None:
    origin, peer = light[ORIGIN], light[CHENGDU]
    told(origin)
    wire, _ = origin.relay.batch(CHENGDU, peer.lanes.standing_in(ORIGIN).number)
    peer.inbox.accept(wire)
    told(origin)
    origin = light.restart(ORIGIN)

    for _ in range(3):
        assert light.carry(ORIGIN, CHENGDU) in {0, 1}
    assert cosigners(origin) == {witness_of(CHENGDU)}


def backed(made: Staged, code: str) -> Node:
    """A node that was put back to what it was before its peers heard more."""
    told(made[code])
    made.settle()
    backup = made.stage.snapshot(code)
    told(made[code], "忘记的")
    made.settle()
    made.stage.restore(code, backup)
    return made.restart(code)


def test_another_root_of_a_known_size_is_refused_and_proved(light: Staged) -> None:
    origin, peer = light[ORIGIN], light[CHENGDU]
    told(origin)
    light.settle()
    known = peer.lanes.witnessed(ORIGIN)
    assert known is not None
    other = Checkpoint(origin_of(ORIGIN, 1), known.size, bytes(32)).signed(origin.keys)
    said = LogSaid(checkpoint=bytes(other).decode())
    pen = Pen(origin, peer)
    number = pen.number

    outcome = pen.send(pen.activity(), log=said)

    assert isinstance(outcome.fault, SplitView)
    assert pen.number == number
    assert peer.lanes.witnessed(ORIGIN) == known
    (kept,) = peer.lanes.contradictions()
    proven = Evidence.read(kept.file).proves([origin.keys.verify_key])
    assert (proven.kind, proven.org) == ("split-view", ORIGIN)
    assert peer.witness.alarms()["ledger-contradiction"] == 1
    with pytest.raises(NoteUnsigned):
        Evidence.read(kept.file).proves([peer.keys.verify_key])


def test_a_longer_ledger_that_does_not_continue_is_refused_and_proved(light: Staged) -> None:
    origin, peer = light[ORIGIN], light[CHENGDU]
    told(origin)
    light.settle()
    known = peer.lanes.witnessed(ORIGIN)
    assert known is not None
    longer = Checkpoint(origin_of(ORIGIN, 1), known.size + 1, bytes(32)).signed(origin.keys)
    proof = Consistency(size=known.size, hashes=("A" * 43 + "=",))
    said = LogSaid(checkpoint=bytes(longer).decode(), proofs=(proof,))
    pen = Pen(origin, peer)

    outcome = pen.send(pen.activity(), log=said)

    assert isinstance(outcome.fault, Rewritten)
    (kept,) = peer.lanes.contradictions()
    evidence = Evidence.read(kept.file)
    assert evidence.proves([origin.keys.verify_key]).kind == "failing-proof"
    with pytest.raises(NotAContradiction):
        Evidence(evidence.first, evidence.second).proves([origin.keys.verify_key])


def test_a_shorter_ledger_with_news_is_refused_and_proved(light: Staged) -> None:
    origin, peer = light[ORIGIN], light[CHENGDU]
    told(origin)
    light.settle()
    older = origin.log.checkpoint().note
    told(origin)
    light.settle()
    light.clock.pass_(minutes=1)
    pen = Pen(origin, peer)
    said = LogSaid(checkpoint=older.decode())

    assert pen.send(log=said, sent_at=light.clock()).fault is None
    outcome = pen.send(pen.activity(), log=said, sent_at=light.clock())

    assert isinstance(outcome.fault, RolledBack)
    (kept,) = peer.lanes.contradictions()
    assert Evidence.read(kept.file).proves([origin.keys.verify_key]).kind == "rolled-back"
    light.clock.pass_(seconds=SHORT_S + 1)
    assert peer.witness.alarms()["ledger-short"] == 1
    light.carry(ORIGIN, CHENGDU)
    assert "ledger-short" not in {k for k, n in peer.witness.alarms().items() if n}


def test_who_has_shown_a_ledger_goes_on_showing_it(light: Staged) -> None:
    pen = Pen(light[ORIGIN], light[CHENGDU])
    assert pen.send(pen.activity(), log=None).fault is None
    told(light[ORIGIN])

    heartbeat = light[ORIGIN].relay._offering.said(CHENGDU, ())  # noqa: SLF001
    assert pen.send(log=heartbeat).fault is None
    assert pen.send(log=None).fault is None
    assert isinstance(pen.send(pen.activity(), log=None).fault, CheckpointMissing)


def test_a_proof_from_elsewhere_is_borne_for_a_while(light: Staged) -> None:
    origin = light[ORIGIN]
    told(origin)
    light.settle()
    told(origin)
    said = LogSaid(checkpoint=origin.log.checkpoint().note.decode())
    pen = Pen(origin, light[CHENGDU])

    for _ in range(UNPROVEN_MAX):
        assert pen.send(log=said).fault is None
    assert isinstance(pen.send(log=said).fault, Unproven)
    light.carry(ORIGIN, CHENGDU)
    assert cosigners(origin) == {witness_of(CHENGDU)}


@pytest.mark.parametrize("sizes", ["equal", "longer"])
def test_a_split_view_is_found_where_two_honest_peers_talk(light: Staged, sizes: str) -> None:
    light.acquaint(CHENGDU, SHENZHEN)
    origin, one, other = (light[code] for code in (ORIGIN, CHENGDU, SHENZHEN))
    light.settle()
    backup = light.stage.snapshot(ORIGIN)
    told(origin, "给成都的")
    light.carry(ORIGIN, CHENGDU)
    light.stage.restore(ORIGIN, backup)
    origin = light.restart(ORIGIN)
    for n in range(1 if sizes == "equal" else 2):
        told(origin, f"给深圳的{n}")
    light.carry(ORIGIN, SHENZHEN)
    one.log.sign()

    light.carry(CHENGDU, SHENZHEN)
    after = other.lanes.standing_in(ORIGIN).number
    if sizes == "longer":
        told(origin, "再")
        receipt = other.inbox.receipt(ORIGIN)
        origin.relay.acknowledge(receipt)
        wire, _ = origin.relay.batch(SHENZHEN, after)
        outcome = other.inbox.accept(wire)
        assert isinstance(outcome.fault, Rewritten)

    (kept,) = other.lanes.contradictions()
    proven = Evidence.read(kept.file).proves([origin.keys.verify_key])
    assert proven.org == ORIGIN
    assert proven.kind == ("split-view" if sizes == "equal" else "failing-proof")
    assert not one.lanes.contradictions() or sizes == "longer"


def test_what_others_tell_and_the_owner_proves_is_settled(light: Staged) -> None:
    light.acquaint(CHENGDU, SHENZHEN)
    told(light[ORIGIN])
    light.settle()
    told(light[ORIGIN])
    light.carry(ORIGIN, CHENGDU)
    told(light[ORIGIN])
    light[CHENGDU].log.sign()
    light.carry(CHENGDU, SHENZHEN)
    assert light[SHENZHEN].lanes.rumours(ORIGIN)

    light.settle()
    light.settle()

    assert not light[SHENZHEN].lanes.rumours(ORIGIN)
    assert cosigners(light[ORIGIN]) == {witness_of(CHENGDU), witness_of(SHENZHEN)}
    assert not any(node.lanes.contradictions() for node in light.nodes.values())


def test_every_checkpoint_is_verified_by_a_key_that_counts(light: Staged) -> None:
    origin = light[ORIGIN]
    told(origin)
    said = Checkpoint(origin_of(ORIGIN, 1), 1, bytes(32)).signed(light[SHENZHEN].keys)
    pen = Pen(origin, light[CHENGDU])

    outcome = pen.send(pen.activity(), log=LogSaid(checkpoint=bytes(said).decode()))

    assert isinstance(outcome.fault, NoteUnsigned)
    assert pen.number == 0


def test_anybody_may_bring_a_checkpoint_of_a_peer(light: Staged) -> None:
    origin, peer = light[ORIGIN], light[CHENGDU]
    told(origin)
    first = origin.log.checkpoint()
    told(origin)
    second = origin.log.checkpoint()
    proof = origin.log.consistency(first.size, second.size)
    us, lines = peer.relay.us(), "".join(f"{b64(each)}\n" for each in proof)

    def brought(old: int, hashes: str, note: bytes) -> Answer:
        return add(f"old {old}\n{hashes}\n".encode() + note, peer.witness, us)

    witness = Verifier.of(witness_of(CHENGDU), peer.keys.verify_key, COSIGNATURE)
    taken = brought(0, "", first.note)
    assert taken.status == 200
    believed(first.note + taken.body, [witness])
    assert brought(0, "", second.note) == (409, f"{first.size}\n".encode())
    assert brought(first.size, "", second.note).status == 422
    assert brought(first.size, lines, second.note).status == 200
    assert brought(second.size + 1, "", second.note).status == 400
    assert brought(second.size, "", first.note.replace(b"/ledger/", b"/diary/")).status == 400
    assert brought(second.size, "", first.note.replace(b"jiuquan", b"nobody")).status == 404
    forged = Checkpoint(origin_of(ORIGIN, 1), 99, bytes(32)).signed(peer.keys)
    assert brought(second.size, "", bytes(forged)).status == 403
    assert add(b"old 0\n", peer.witness, us).status == 400
    light.settle()
    assert cosigners(origin) == {witness_of(CHENGDU), witness_of(SHENZHEN)}


class Twins:
    """An organization that tells two groups of peers two histories, each whole in itself."""

    def __init__(self, seed: int) -> None:
        self.draw, self.stack = Random(seed), ExitStack()
        self.made = Staged(MemoryStage(), self.stack)  # type: ignore[arg-type]
        honest = [f"station-{n}" for n in range(self.draw.randint(2, 6))]
        for code in ("mallory", *honest):
            self.made.found(code)
        for one, other in combinations(("mallory", *honest), 2):
            self.made.acquaint(one, other)
        for node in self.made.nodes.values():
            told(node)
        self.made.settle()
        at_home = self.made.stage
        abroad = MemoryStage()
        abroad.case = at_home.case
        abroad.node("mallory", "department", self.made.clock)
        abroad.restore("mallory", at_home.snapshot("mallory"))
        twin = abroad.node("mallory", "department", self.made.clock)
        twin.fence.await_word(())  # A liar waits for nobody.
        self.twins = (self.made["mallory"], twin)
        split = self.draw.randint(1, len(honest) - 1)
        self.groups = (honest[:split], honest[split:])
        self.honest = honest

    def pass_(self, sender: Node, code: str) -> None:
        """One batch and its answer, whatever becomes of it."""
        receiver = self.made[code]
        after = receiver.lanes.standing_in(sender.settings.code).number
        wire, _ = sender.relay.batch(code, after)
        outcome = receiver.inbox.accept(wire)
        sender.relay.acknowledge(outcome.answer)

    def round(self) -> None:
        """Each twin says something to its group; the honest talk with one another."""
        for twin, group in zip(self.twins, self.groups, strict=True):
            for n in range(self.draw.randint(0, 3)):
                told(twin, f"{id(twin)}-{n}")
            for code in group:
                self.pass_(twin, code)
        for one, other in permutations(self.honest, 2):
            if self.draw.random() < 0.5:
                self.pass_(self.made[one], other)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_no_split_view_survives_that_two_honest_peers_talk(seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - shown when it fails.
    world = Twins(seed)
    with world.stack:
        key = world.twins[0].keys.verify_key
        for n, twin in enumerate(world.twins):
            told(twin, f"{n}")
        for _ in range(8):
            world.round()

        kept = [c for code in world.honest for c in world.made[code].lanes.contradictions()]
        assert kept
        assert {Evidence.read(each.file).proves([key]).org for each in kept} == {"mallory"}


@pytest.mark.slow
def test_of_older_days_the_first_checkpoint_of_a_peer_is_kept(three: Staged) -> None:
    lanes, now = three[ORIGIN].lanes, NOW
    recent = [now - timedelta(seconds=n) for n in range(WITNESSED_MAX, 0, -1)]
    older = [now - timedelta(days=40 - n // 3, hours=n % 3) for n in range(90)]
    for size, at in enumerate((*sorted(older), *recent), 1):
        lanes.witness(Seen(CHENGDU, 1, size, bytes(32), "", at))

    with three[ORIGIN].database.connection() as conn:
        kept = conn.execute("SELECT at FROM log_witnessed ORDER BY size").fetchall()

    days = [at.date() for (at,) in kept if at < recent[0]]
    assert len(kept) - len(days) == WITNESSED_MAX
    assert len(set(days)) == len(days)
    assert min(days) >= (now - timedelta(days=WITNESSED_DAYS)).date()
    assert len(days) > WITNESSED_DAYS // 2
