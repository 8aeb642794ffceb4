"""换钥: keys follow one another without a fact lost, and what was given up does not come back."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

import pytest
from eventsourcing.persistence import OperationalError

from api.key_change import RotationUnderWay
from api.node import Node
from api.service import Who
from domain.aggregate import SecondPersonNeeded
from domain.commands import AdoptPolicy, ChangeKeys, ShareOutflow
from domain.errors import NothingChanged
from domain.ledger import OutcomeUnknown, Write
from domain.organization import (
    CardChanged,
    FormerKey,
    KeyUsedBefore,
    Organization,
    PeerUnknown,
)
from domain.policy import Terms
from domain.signet import KeyOutOfTurn, Signet
from sync import succession, trust
from sync.card import make_card, read_card
from sync.envelope import Batch, LaneEntry, LaneReceipt, Sealed
from sync.errors import Forged, Gap, KeyNotProven, KeyOver, NotTheirTopic
from sync.keys import NodeKeys, Pair, wrap
from tests.support.federation import CHENGDU, EVERYTHING, ORIGIN, SHENZHEN, depart, register
from tests.support.stage import Staged
from tests.sync.pen import Pen

WANG = Who(person="wang")
WHY = {"reason": "存放密钥的电脑被盗", "second_person": "li"}


def us(node: Node) -> Organization:
    return node.ledger.look_up(Organization, Organization.id_of(node.settings.code))


def believed(node: Node, peer: str = ORIGIN) -> str:
    """The key by which a node knows a peer."""
    return us(node).peers[peer].verify_key


def former(node: Node, peer: str = ORIGIN) -> list[FormerKey]:
    return list(us(node).former.get(peer, ()))


def old_self(node: Node) -> NodeKeys:
    """The keys as a thief has copied them: they sign, and follow no change."""
    pair = node.keys.signers[0]
    return NodeKeys(pair, node.keys.master, node.keys.blind)


def rotated(three: Staged, code: str = ORIGIN) -> NodeKeys:
    """A whole rotation that every peer has confirmed; the keys before."""
    before = old_self(three[code])
    three[code].key_change.rotate(WANG)
    three.settle()
    assert three[code].key_change.retire()
    return before


def share_something(three: Staged, code: str = ORIGIN) -> None:
    """A fact on every lane that leads away."""
    three[code].execute(AdoptPolicy(terms=Terms(), effective_from=date(2025, 1, 1)))


# Rotation.


def test_a_new_key_reaches_every_peer_with_the_facts(three: Staged) -> None:
    old = three[ORIGIN].keys.verify_key

    three[ORIGIN].key_change.rotate(WANG)
    three.settle()

    new = three[ORIGIN].keys.verify_key
    assert new != old
    assert believed(three[CHENGDU]) == believed(three[SHENZHEN]) == new
    (gone,) = former(three[CHENGDU])
    assert (gone.verify_key, gone.revoked) == (old, False)
    assert gone.until == three[CHENGDU].lanes.standing_in(ORIGIN).number


def test_what_a_peer_seals_opens_before_and_after(three: Staged) -> None:
    outflow = depart(three[ORIGIN], register(three[ORIGIN]))
    three[ORIGIN].execute(ShareOutflow(outflow=outflow, to=CHENGDU, purpose="参加组织生活"))
    three[ORIGIN].settle()
    under_way, _ = three[ORIGIN].relay.batch(CHENGDU, 0)

    # Chengdu goes over to new keys while a data key sealed to its old one is under way.
    three[CHENGDU].key_change.rotate(WANG)
    three[CHENGDU].settle()
    three.carry(CHENGDU, ORIGIN)
    assert Sealed(under_way).open(Batch, three[ORIGIN].keys.verify_key).grants
    assert three[CHENGDU].inbox.accept(under_way).fault is None

    new = us(three[ORIGIN]).peers[CHENGDU].sealing_key
    assert new == three[CHENGDU].keys.sealing_key
    batch = Sealed(under_way).open(Batch, three[ORIGIN].keys.verify_key)
    assert all(three[CHENGDU].keyring.key(grant.key) for grant in batch.grants)


def test_the_old_key_signs_beside_until_all_have_confirmed(three: Staged) -> None:
    origin = three[ORIGIN]
    origin.key_change.rotate(WANG)
    origin.settle()
    three.carry(ORIGIN, CHENGDU)

    assert origin.key_change.waiting_for() == {SHENZHEN}
    assert not origin.key_change.retire()
    assert len(Sealed(origin.relay.batch(SHENZHEN, 0)[0]).signatures) == 2

    three.carry(ORIGIN, SHENZHEN)
    assert origin.key_change.retire()
    assert len(Sealed(origin.relay.batch(SHENZHEN, 0)[0]).signatures) == 1


def test_a_second_rotation_waits_for_the_first(three: Staged) -> None:
    three[ORIGIN].key_change.rotate(WANG)
    three[ORIGIN].settle()

    with pytest.raises(RotationUnderWay) as refused:
        three[ORIGIN].key_change.rotate(WANG)

    assert refused.value.facts["waiting_for"] == [CHENGDU, SHENZHEN]


def test_what_the_old_key_signed_is_believed_as_a_repetition(three: Staged) -> None:
    share_something(three)
    three[ORIGIN].settle()
    wire, _ = three[ORIGIN].relay.batch(CHENGDU, 0)
    three.settle()
    rotated(three)

    outcome = three[CHENGDU].inbox.accept(wire)

    assert (outcome.fault, outcome.recorded) == (None, 0)


def test_a_receipt_that_was_under_way_counts(three: Staged) -> None:
    share_something(three)
    three[ORIGIN].settle()
    receipt = three[CHENGDU].inbox.accept(three[ORIGIN].relay.batch(CHENGDU, 0)[0]).answer
    three.clock.pass_(minutes=1)
    rotated(three, CHENGDU)

    assert three[ORIGIN].relay.acknowledge(receipt).number


@pytest.mark.slow
def test_old_evidence_names_the_key_that_was_valid_then(three: Staged) -> None:
    share_something(three)
    three.settle()
    with three[ORIGIN].database.connection() as conn:
        wire = conn.execute("SELECT wire FROM lane_receipt WHERE peer = %s", (CHENGDU,)).fetchone()
    assert wire is not None
    before = three[CHENGDU].keys.verify_key
    for _ in range(3):
        rotated(three, CHENGDU)

    key = trust.signer(bytes(wire[0]), us(three[ORIGIN]))

    assert isinstance(key, FormerKey)
    assert key.verify_key == before
    assert trust.signer(three[CHENGDU].inbox.receipt(ORIGIN), us(three[ORIGIN])) == believed(
        three[ORIGIN], CHENGDU
    )


@pytest.mark.slow
def test_a_new_peer_starts_with_the_key_on_todays_card(three: Staged) -> None:
    rotated(three)
    three.found("lanzhou")
    three.acquaint(ORIGIN, "lanzhou", EVERYTHING)
    three.settle()
    rotated(three)

    assert believed(three["lanzhou"]) == three[ORIGIN].keys.verify_key
    assert len(former(three["lanzhou"])) == 1
    signet = three["lanzhou"].ledger.look_up(Signet, Signet.id_of(ORIGIN))
    assert signet.number == 3


def test_a_change_that_was_recorded_without_an_answer_is_signed_by_both(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin: Any = three[ORIGIN]
    origin.key_change.announce()
    share_something(three)
    three.settle()
    old, submit = origin.keys.verify_key, origin.recorder.recorder.submit

    def unheard(write: Write) -> None:
        silent = Write(write.records, write.beside, write.tracking)
        submit(silent)
        silent.done.result()
        write.done.set_exception(OperationalError("the connection is lost"))

    with monkeypatch.context() as patch:
        patch.setattr(origin.recorder.recorder, "submit", unheard)
        with pytest.raises(OutcomeUnknown):
            origin.key_change.rotate(WANG)
    three.settle()

    assert old != believed(three[CHENGDU]) == believed(three[SHENZHEN])
    assert origin.key_change.retire()
    assert origin.keys.verify_key == believed(three[CHENGDU])
    share_something(three, CHENGDU)
    origin.key_change.rotate(WANG)
    three.settle()
    assert believed(three[CHENGDU]) == origin.keys.verify_key


def test_a_change_that_could_not_be_recorded_leaves_the_key_in_use(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin: Any = three[ORIGIN]
    origin.key_change.announce()
    old = origin.keys.verify_key

    def full(write: Write) -> None:
        write.done.set_exception(OperationalError("No space left on device"))

    with monkeypatch.context() as patch:
        patch.setattr(origin.recorder.recorder, "submit", full)
        with pytest.raises(OutcomeUnknown):
            origin.key_change.rotate(WANG)

    assert not origin.key_change.retire()
    assert [pair.verify_key for pair in origin.keys.signers] == [old]


def test_while_the_outcome_is_not_known_what_was_sealed_before_still_opens(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin: Any = three[ORIGIN]
    origin.key_change.announce()
    sealed = wrap(bytes(32), origin.keys.sealing_key, b"to the first")
    origin.key_change.rotate(WANG)

    def lost(write: Write) -> None:
        write.done.set_exception(OperationalError("the connection is lost"))

    with monkeypatch.context() as patch:
        patch.setattr(origin.recorder.recorder, "submit", lost)
        with pytest.raises(OutcomeUnknown):
            origin.key_change.revoke(WANG, **WHY)

    assert origin.keys.unwrap(sealed, b"to the first") == bytes(32)


# Revocation.


def test_after_a_revocation_the_old_key_says_nothing_new(three: Staged) -> None:
    thief = old_self(three[ORIGIN])
    three[ORIGIN].key_change.revoke(WANG, **WHY)
    three.settle()
    pen = Pen(three[ORIGIN], three[CHENGDU])
    facts = len(three[CHENGDU].ledger.since(0))

    outcome = pen.send(pen.activity(), keys=thief)

    assert isinstance(outcome.fault, KeyOver)
    assert outcome.fault.facts["succeeded"] == "revoked"
    assert len(three[CHENGDU].ledger.since(0)) == facts
    [kept] = three[CHENGDU].lanes.quarantined(0, 10)
    assert kept["reason"] == "key-over"
    assert isinstance(
        trust.signer(three[CHENGDU].lanes.evidence(kept["id"])[1], us(three[CHENGDU])), FormerKey
    )


def test_a_thief_cannot_say_that_he_is_alive(three: Staged) -> None:
    thief = old_self(three[ORIGIN])
    share_something(three)
    three.settle()
    three[ORIGIN].key_change.revoke(WANG, **WHY)
    three.settle()
    pen = Pen(three[ORIGIN], three[CHENGDU])
    heard = three[CHENGDU].lanes.standing_in(ORIGIN)
    three.clock.pass_(hours=1)

    repeated = pen.send(first=1, before="0" * 64, head=999, sent_at=three.clock.now, keys=thief)

    assert repeated.fault is None
    assert three[CHENGDU].lanes.standing_in(ORIGIN) == heard


@pytest.mark.parametrize("how", ["rotate", "revoke"])
def test_an_answer_by_a_key_that_was_given_up_counts_no_more(three: Staged, how: str) -> None:
    thief = old_self(three[CHENGDU])
    share_something(three)
    three.settle()
    change = three[CHENGDU].key_change
    change.rotate(WANG) if how == "rotate" else change.revoke(WANG, **WHY)
    three.settle()
    number, root, *_ = three[CHENGDU].lanes.standing_in(ORIGIN)
    three.clock.pass_(seconds=1)
    said = {"number": number, "root": root, "at": three.clock.now}

    with pytest.raises(KeyOver):
        three[ORIGIN].relay.acknowledge(
            LaneReceipt(sender=CHENGDU, receiver=ORIGIN, **said).signed(thief)
        )


def test_a_revocation_does_not_wait_for_peers_that_are_behind(three: Staged) -> None:
    three[ORIGIN].key_change.rotate(WANG)
    three[ORIGIN].settle()
    three.carry(ORIGIN, CHENGDU)

    three[ORIGIN].key_change.revoke(WANG, **WHY)
    three[ORIGIN].settle()
    three.carry(ORIGIN, CHENGDU)

    assert believed(three[CHENGDU]) == three[ORIGIN].keys.verify_key
    # Shenzhen knows only the first key: its operator is told, and a telephone call mends it.
    behind = three[SHENZHEN].inbox.accept(three[ORIGIN].relay.batch(SHENZHEN, 0)[0])
    assert isinstance(behind.fault, Forged)
    three[SHENZHEN].rekey(read_card(three[ORIGIN].card()), **WHY)
    assert three.carry(ORIGIN, SHENZHEN) == 3


def test_a_key_is_revoked_by_two_persons(three: Staged) -> None:
    with pytest.raises(SecondPersonNeeded):
        three[ORIGIN].key_change.revoke(WANG, reason="被盗", second_person="wang")

    assert len(three[ORIGIN].keys.signers) == 1


# The old key is lost.


def lost(three: Staged) -> NodeKeys:
    """The origin has lost its key, and goes on with another."""
    thief = old_self(three[ORIGIN])
    three[ORIGIN].key_change.replace(WANG, **WHY)
    three[ORIGIN].settle()
    return thief


def test_without_the_old_key_no_peer_believes_the_new_one(three: Staged) -> None:
    lost(three)

    outcome = three[CHENGDU].inbox.accept(three[ORIGIN].relay.batch(CHENGDU, 0)[0])

    assert isinstance(outcome.fault, Forged)


def test_a_card_compared_by_telephone_revokes_the_old_key_at_once(three: Staged) -> None:
    share_something(three)
    three.settle()
    thief = lost(three)
    number = three[CHENGDU].lanes.standing_in(ORIGIN).number

    three[CHENGDU].rekey(read_card(three[ORIGIN].card()), person="wang", **WHY)

    (gone,) = former(three[CHENGDU])
    assert (gone.succeeded, gone.until) == ("compared", number)
    fact = three[CHENGDU].ledger.facts(Organization.id_of(CHENGDU))[-1]
    assert isinstance(fact, Organization.PeerRekeyed)
    assert (fact.reason, fact.second_person) == (WHY["reason"], "li")
    pen = Pen(three[ORIGIN], three[CHENGDU])
    assert isinstance(pen.send(pen.activity(), keys=thief).fault, KeyOver)
    three[SHENZHEN].rekey(read_card(three[ORIGIN].card()), **WHY)
    three.settle()
    rotated(three)
    assert believed(three[CHENGDU]) == three[ORIGIN].keys.verify_key


@pytest.mark.parametrize(
    ("card", "fault"),
    [("strange", PeerUnknown), ("same", NothingChanged), ("former", KeyUsedBefore)],
)
def test_a_card_that_cannot_follow_is_refused(
    three: Staged, card: str, fault: type[Exception]
) -> None:
    now, before = three.clock(), three[ORIGIN].card()
    rotated(three)
    cards = {
        "strange": make_card(NodeKeys.generate(), "lanzhou", "兰州", "http://x.example", now),
        "same": three[ORIGIN].card(),
        "former": before,
    }

    with pytest.raises(fault):
        three[CHENGDU].rekey(read_card(cards[card]), **WHY)


def test_enrolling_does_not_bring_back_an_old_card(three: Staged) -> None:
    before = three[ORIGIN].card()
    rotated(three)

    with pytest.raises(CardChanged):
        three[CHENGDU].enrol(read_card(before), EVERYTHING)


def test_a_telephone_call_is_told_of_by_two_persons(three: Staged) -> None:
    lost(three)

    with pytest.raises(SecondPersonNeeded):
        three[CHENGDU].rekey(
            read_card(three[ORIGIN].card()), reason="遗失", second_person="wang", person="wang"
        )


# Forged changes.


def change(pen: Pen, how: str, signers: NodeKeys, new: Pair, **said: Any) -> LaneEntry:
    """A change of keys as an entry of the lane."""
    signet = pen.receiver.ledger.find(Signet, Signet.id_of(pen.org))
    signet = signet or pen.sender.ledger.look_up(Signet, Signet.id_of(pen.org))
    body = succession.succession("rotated", signet, signers, new).model_dump(mode="json")
    body |= said
    return pen.entry(
        f"signet.{how}",
        Signet.id_of(pen.org),
        signet.version + 1,
        succession={name: value for name, value in body.items() if value is not None},
    )


@pytest.fixture
def rotating(three: Staged) -> Pen:
    """The origin has rotated once, and its peers know."""
    rotated(three)
    return Pen(three[ORIGIN], three[CHENGDU])


def parked(pen: Pen, entry: LaneEntry, fault: type[Exception]) -> None:
    """It is set aside with the batch that brought it, and no key has changed."""
    before = believed(pen.receiver)

    outcome = pen.send(entry)

    assert (outcome.fault, outcome.recorded) == (None, 0)
    [kept] = pen.receiver.lanes.quarantined(0, 10)
    assert kept["reason"] == fault.code()  # type: ignore[attr-defined]
    assert pen.receiver.lanes.evidence(kept["id"])
    assert believed(pen.receiver) == before


def test_a_change_that_both_have_signed_is_taken(rotating: Pen) -> None:
    new = Pair.generate()

    assert rotating.send(change(rotating, "rotated", rotating.sender.keys, new)).recorded == 1

    assert believed(rotating.receiver) == new.verify_key


def test_a_change_the_old_key_has_not_signed_is_kept_as_evidence(rotating: Pen) -> None:
    parked(
        rotating, change(rotating, "rotated", NodeKeys.generate(), Pair.generate()), KeyNotProven
    )


def test_a_change_the_new_key_has_not_signed_is_kept_as_evidence(rotating: Pen) -> None:
    other = Pair.generate()

    entry = change(
        rotating,
        "rotated",
        rotating.sender.keys,
        Pair.generate(),
        verify_key=other.verify_key,
    )

    parked(rotating, entry, KeyNotProven)


def test_a_change_without_the_old_signature_is_kept_as_evidence(rotating: Pen) -> None:
    entry = change(rotating, "rotated", rotating.sender.keys, Pair.generate(), by_old=None)

    parked(rotating, entry, KeyNotProven)


def test_a_rotation_is_no_revocation(rotating: Pen) -> None:
    entry = change(rotating, "revoked", rotating.sender.keys, Pair.generate())
    state = entry.state[:-1] + ',"reason":"x","second_person":"li"}'

    parked(rotating, entry.model_copy(update={"state": state}), KeyNotProven)


def test_a_change_signed_by_a_key_that_was_given_up_is_kept_as_evidence(three: Staged) -> None:
    before = rotated(three)
    pen = Pen(three[ORIGIN], three[CHENGDU])
    entry = change(pen, "rotated", before, Pair.generate(), old_key=before.verify_key)

    parked(pen, entry, KeyNotProven)


def test_a_replayed_change_is_kept_as_evidence(rotating: Pen) -> None:
    old = rotating.receiver.ledger.stream(Signet.id_of(ORIGIN))[-1]
    again = LaneEntry(
        stream=Signet.id_of(ORIGIN),
        version=old.originator_version + 1,
        topic=old.topic,
        state=old.state.decode(),
    )

    parked(rotating, again, KeyNotProven)


def test_a_key_that_was_given_up_does_not_come_back(three: Staged) -> None:
    first = three[ORIGIN].keys.signers[0]
    rotated(three)
    pen = Pen(three[ORIGIN], three[CHENGDU])

    parked(pen, change(pen, "rotated", pen.sender.keys, first), KeyNotProven)


def test_a_key_with_which_nothing_can_be_checked_is_kept_as_evidence(rotating: Pen) -> None:
    weak = "A" * 43 + "="

    for field in ("verify_key", "sealing_key"):
        entry = change(rotating, "rotated", rotating.sender.keys, Pair.generate(), **{field: weak})
        assert rotating.send(entry).recorded == 0
    reasons = {kept["reason"] for kept in rotating.receiver.lanes.quarantined(0, 10)}
    assert reasons == {"key-not-proven", "stream-stopped"}


def test_nobody_changes_anothers_keys(three: Staged) -> None:
    pen = Pen(three[ORIGIN], three[CHENGDU])
    keys = {"verify_key": pen.sender.keys.verify_key, "sealing_key": pen.sender.keys.sealing_key}

    for org in (CHENGDU, SHENZHEN):
        entry = pen.entry("signet.opened", Signet.id_of(org), reads={}, **keys)
        assert pen.send(entry).recorded == 0
    reasons = [kept["reason"] for kept in pen.receiver.lanes.quarantined(0, 10)]
    assert reasons == [NotTheirTopic.code()] * 2


def test_a_change_by_telephone_follows_no_forged_chain(three: Staged) -> None:
    """A thief's own replacement is no more than a claim."""
    rotated(three)
    pen, mine = Pen(three[ORIGIN], three[CHENGDU]), Pair.generate()
    signet = three[CHENGDU].ledger.look_up(Signet, Signet.id_of(ORIGIN))
    body = succession.succession("replaced", signet, pen.sender.keys, mine)
    said = body.model_dump(mode="json", exclude_none=True)
    entry = pen.entry("signet.replaced", signet.id, signet.version + 1, succession=said, **WHY)
    before = believed(three[CHENGDU])

    assert pen.send(entry).recorded == 1

    assert believed(three[CHENGDU]) == before


def test_our_own_change_follows_the_key_in_use(three: Staged) -> None:
    signet = three[ORIGIN].key_change
    signet.announce()
    assert signet.signet is not None
    said = succession.succession(
        "rotated", signet.signet, three[ORIGIN].keys, Pair.generate()
    ).model_copy(update={"number": 7})

    with pytest.raises(KeyOutOfTurn):
        three[ORIGIN].execute(ChangeKeys(how="rotated", succession=said))


# A thousand rotations while facts flow.


class Traffic:
    """Three organizations write and change keys; messages come late, twice and out of order."""

    def __init__(self, three: Staged, seed: int) -> None:
        self.three, self.rng = three, random.Random(seed)
        self.post: list[tuple[str, str, bytes]] = []
        self.thieves: list[tuple[str, NodeKeys]] = []
        self.changes = self.edition = self.tried = 0

    def step(self) -> None:
        """Somebody does something, and some of what is under way arrives."""
        code = self.rng.choice(list(self.three.nodes))
        self.three.clock.pass_(seconds=1)
        self.rng.choice([self.write, self.change, self.send, self.retire])(code)
        self.rng.shuffle(self.post)
        for _ in range(self.rng.randrange(4)):
            if self.post:
                self.deliver(*self.post.pop())
        if self.thieves and self.rng.random() < 0.1:
            self.rob(*self.rng.choice(self.thieves))

    def write(self, code: str) -> None:
        self.edition += 1
        on = date(2026, 1, 1) + timedelta(days=self.edition)
        self.three[code].execute(AdoptPolicy(terms=Terms(), effective_from=on))

    def change(self, code: str) -> None:
        node, thief = self.three[code], old_self(self.three[code])
        if node.key_change.waiting_for():
            with pytest.raises(RotationUnderWay):
                node.key_change.rotate(WANG)
            return
        if self.rng.random() < 0.3:
            node.key_change.revoke(WANG, **WHY)
            self.thieves = [*self.thieves[-20:], (code, thief)]
        else:
            node.key_change.rotate(WANG)
        self.changes += 1

    def send(self, code: str) -> None:
        node = self.three[code]
        node.settle()
        for peer in node.relay.peers():
            after = self.three[peer].lanes.standing_in(code).number
            wire, _ = node.relay.batch(peer, max(0, after - self.rng.randrange(3)))
            self.post.append((code, peer, wire))
        del self.post[:-30]

    def retire(self, code: str) -> None:
        self.three[code].key_change.retire()

    def deliver(self, source: str, to: str, wire: bytes) -> None:
        if self.rng.random() < 0.2:
            self.post.append((source, to, wire))
        outcome = self.three[to].inbox.accept(wire)
        assert outcome.fault is None or isinstance(outcome.fault, Gap), outcome.fault
        if outcome.fault is None and self.rng.random() < 0.8:
            self.three[source].relay.acknowledge(outcome.answer)

    def rob(self, code: str, thief: NodeKeys) -> None:
        """Where the revocation is known, the stolen key brings nothing in."""
        for peer in self.three[code].relay.peers():
            if thief.verify_key in {k.verify_key for k in former(self.three[peer], code)}:
                pen = Pen(self.three[code], self.three[peer])
                outcome = pen.send(pen.activity(), keys=thief)
                assert isinstance(outcome.fault, KeyOver | Forged)
                assert outcome.recorded == 0
                self.tried += 1


@pytest.mark.parametrize(
    ("changes", "seed"), [(30, 15), pytest.param(1_000, 1_000, marks=pytest.mark.slow)]
)
def test_changes_during_traffic_refuse_no_fact_and_admit_no_thief(
    three: Staged, changes: int, seed: int
) -> None:
    print(f"seed {seed}")  # noqa: T201
    traffic = Traffic(three, seed)

    while traffic.changes < changes:
        traffic.step()
    three.settle()

    print(f"{traffic.edition} facts, {traffic.tried} thefts")  # noqa: T201
    assert traffic.edition
    assert traffic.tried
    for code, node in three.nodes.items():
        for peer in node.relay.peers():
            assert believed(node, peer) == three[peer].keys.verify_key
            assert not node.lanes.parked(peer)
            head, acknowledged = node.relay.standing(peer)
            assert head.number == acknowledged.number == three[peer].lanes.standing_in(code).number
