"""换钥: keys change while messages are under way, and somebody tries those that were given up.

What a message may still be believed for is written down here a second time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from api.service import Who
from domain.errors import Refusal
from domain.organization import Organization
from domain.signet import Signet
from sync.card import read_card
from sync.envelope import Batch, LaneReceipt, Sealed, Want
from sync.errors import Forged, KeyOver, LaneFault
from sync.keys import NodeKeys
from tests.simulation.broken import Broken, must
from tests.simulation.mallory import KEYS, MALLORY
from tests.simulation.world import WayOfLane, World

WANG = Who(person="wang")
WHY = {"reason": "电脑被盗", "second_person": "li"}
_KINDS: dict[str, type[Batch | LaneReceipt | Want]] = {
    kind.KIND: kind for kind in (Batch, LaneReceipt, Want)
}


def _us(world: World, code: str) -> Organization:
    return world.nodes[code].ledger.look_up(Organization, Organization.id_of(code))


def believed(world: World, code: str, peer: str) -> str:
    """The key by which a node knows a peer."""
    return _us(world, code).peers[peer].verify_key


def emergency(world: World, code: str) -> bool:
    """Whether a node has ever given a key up without waiting for its peers."""
    facts = world.nodes[code].ledger.facts(Signet.id_of(code))
    return any(isinstance(fact, Signet.Revoked | Signet.Replaced) for fact in facts)


def verdict(world: World, to: str, sender: str, wire: bytes) -> type[LaneFault] | None:
    """What a node must say of the keys that have signed a message, by what it has been told.

    The key in use counts for all; a former one for what was recorded under it, and for an answer
    that was given before it went, but a revoked one for no answer. Of two the newer is asked.
    """
    if sender not in world.rekeyed or sender == to:
        return None
    us, sealed = _us(world, to), Sealed(wire)
    if sealed.is_by(us.peers[sender].verify_key):
        return None
    for former in reversed(us.former.get(sender, ())):
        if sealed.is_by(former.verify_key):
            said = sealed.claims(_KINDS[sealed.kind])
            if isinstance(said, Batch):
                return None if said.last <= former.until else KeyOver
            before = said.at <= former.since and former.succeeded == "rotated"
            return None if before else KeyOver
    return Forged


def refused(
    world: World, at: WayOfLane, wire: bytes, expected: type[LaneFault], fault: LaneFault | None
) -> None:
    """An honest message whose key does not count any more: only where one was given up at once."""
    code, sender = at
    must(isinstance(fault, expected), "Authentic: a key that does not count.", at=code, got=fault)
    if not emergency(world, sender):
        # Of clocks that were put back an answer may look younger than the key that signed it.
        late = expected is KeyOver and Sealed(wire).kind != Batch.KIND
        must(late, "Delivered: a rotation refuses nothing.", at=code, sender=sender, got=fault)
    world.refused[code, sender, expected.code()] += 1
    world.happened["an old key refused"] += 1


def change_keys(world: World, code: str) -> None:
    """A node goes over to other keys, at once or with all its peers; or lets the old ones go."""
    change, rng = world.nodes[code].key_change, world.rng
    how = rng.choices(("rotate", "retire", "revoke", "replace"), (6, 5, 1, 1))[0]
    world.rekeyed.add(code)
    if how == "retire":
        mallory_acknowledges(world, code)
        world.say(f"{code}: retires its old key {change.retire()}")
        return
    try:
        receipt = getattr(change, how)(WANG, **({} if how == "rotate" else WHY))
    except Refusal as refusal:
        world.say(f"{code}: {how} refused, {refusal.code()}")
        return
    world.say(f"{code}: {how} {receipt.version}")
    world.happened[how] += 1
    world.look()
    there = world.watch.accounts[code].streams[receipt.id]
    must(len(there) >= receipt.version, "Durable: answered is recorded.", at=code)


def mallory_acknowledges(world: World, code: str) -> None:
    """Also a peer that means ill may confirm what it has heard."""
    if not world.plan.rates["attack"]:
        return
    node = world.nodes[code]
    while node.relay.number():
        pass
    head = node.lanes.head_out(MALLORY)
    said = {"number": head.number, "root": head.root, "at": world.now, "stopped": 0}
    receipt = LaneReceipt(sender=MALLORY, receiver=code, **said)
    node.relay.acknowledge(receipt.signed(KEYS))


def astray(world: World, code: str, peer: str) -> bool:
    """Whether a node knows a peer by a key that signs nothing any more."""
    signers = {pair.verify_key for pair in world.nodes[peer].keys.signers}
    return believed(world, code, peer) not in signers


def telephone(world: World, code: str) -> None:
    """Officers compare the card of a peer whose messages are refused."""
    for peer in world.peers(code):
        if peer in world.rekeyed and astray(world, code, peer):
            call(world, code, peer)
            return


def call(world: World, code: str, peer: str) -> None:
    """One call."""
    card = read_card(world.nodes[peer].card())
    world.nodes[code].rekey(card, **WHY, person="wang")
    world.say(f"{code}: telephones {peer}")
    world.happened["telephone"] += 1


def misuse(world: World, code: str) -> None:
    """Somebody has copied a key that was given up, and tries it on who has heard of that."""
    stolen = [(c, key) for c in sorted(world.rekeyed - {code}) for key in _given_up(world, code, c)]
    if not stolen or code in world.points.full:
        return
    source, key = world.rng.choice(stolen)
    thief = NodeKeys(world.pairs_made[key], b"", b"")
    if world.rng.random() < 0.4:
        _answer_for(world, code, source, thief)
    else:
        _speak_for(world, code, source, thief)
    world.happened["misuse"] += 1


def _given_up(world: World, code: str, source: str) -> list[str]:
    """Of a node, the keys that another knows to be given up."""
    return [former.verify_key for former in _us(world, code).former.get(source, ())]


def _speak_for(world: World, code: str, source: str, thief: NodeKeys) -> None:
    from tests.simulation.steps import insisting  # noqa: PLC0415 - which asks for verdicts here.

    standing = world.nodes[code].lanes.standing_in(source)
    held = {"kind": "theme_day", "title": "主题党日"}
    said = {"keeper": source, "author": source, **held}
    entry = world.mallory.entry("activity.held", world.mallory.id(), 1, code, **said)
    batch = world.mallory.chained(source, code, standing, [entry], sent_at=world.now)
    outcome = insisting(world, code, batch.signed(thief))
    over = isinstance(outcome.fault, KeyOver) and not outcome.recorded
    must(over, "Authentic: a key that was given up says nothing new.", at=code, got=outcome.fault)
    world.say(f"{code}: a former key of {source} says something, {type(outcome.fault).__name__}")
    world.refused[code, source, KeyOver.code()] += 1


def _answer_for(world: World, code: str, source: str, thief: NodeKeys) -> None:
    told = world.nodes[code].lanes.acknowledged(source)
    at = world.now + timedelta(days=400)
    said: dict[str, Any] = {"number": told.number, "root": told.root, "at": at}
    wire = LaneReceipt(sender=source, receiver=code, **said).signed(thief)
    try:
        world.nodes[code].relay.acknowledge(wire)
    except KeyOver as fault:
        world.say(f"{code}: a former key of {source} answers, {type(fault).__name__}")
        world.refused[code, source, KeyOver.code()] += 1
    else:
        raise Broken(f"Authentic: a key that was given up answers nothing. {code} {source}")


def agreed(world: World) -> None:
    """8: once all have heard, everybody knows everybody by the one key that signs."""
    for code in sorted(world.rekeyed):
        keys = world.nodes[code].keys
        signers = [pair.verify_key for pair in keys.signers]
        named: Any = world.nodes[code].key_change.signet
        if named is not None:
            one = signers == [named.verify_key]
            must(one, "Authentic: one key signs, that of the ledger.", at=code, signers=signers)
        for peer in world.peers(code):
            same = believed(world, peer, code) == keys.verify_key
            must(same, "Delivered: the key in use is known.", at=peer, peer=code)
