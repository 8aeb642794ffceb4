"""步骤: what can happen next in a world, each a function of it and of the node whose turn it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from eventsourcing.persistence import PersistenceError, StoredEvent, Tracking

from api.storage.errors import DatabaseAway
from domain.errors import Refusal
from sync.checkpoint import epoch_of
from sync.envelope import Batch, LaneReceipt, Sealed, Want, sign
from sync.errors import AnotherEpoch, Fenced, Gap, LaneFault, LaneHeld, Misaddressed, RootsDiffer
from sync.note import NoteUnsigned
from tests.simulation.broken import Broken, must
from tests.simulation.faults import Crash
from tests.simulation.keys import emergency, refused, verdict
from tests.simulation.mallory import KEYS, MALLORY, forged
from tests.simulation.transferring import person_of
from tests.simulation.watch import durable
from tests.simulation.world import Done, WayOfLane, World
from tests.sync.pen import record_of

SIGNED = 0.4
"""How often, where backups are put back, a checkpoint goes with the news."""


def begin(world: World) -> None:
    """Members leave; of some histories one is to be transferred."""
    for _ in range(2):
        code = world.rng.choice(world.codes)
        for _ in range(2):
            asked = world.desk.depart(world.nodes[code], None)
            assert asked is not None
            _execute(world, code, _key(world), asked)
    if world.rng.random() < 2 * world.desk.rate:
        for asked in world.desk.transferring.begun(world.nodes[code]):
            _execute(world, code, _key(world), asked)
    if world.plan.rates["restore"]:
        _witness(world)


def _witness(world: World) -> None:
    """Everybody witnesses everybody: of whom nobody has, nobody can tell what he has forgotten."""
    for node in world.nodes.values():
        while node.relay.number():
            pass
    for code in world.codes:
        sign_ledger(world, code)
    for source, to in world.pairs:
        after = world.nodes[to].lanes.standing_in(source).number
        wire, _ = world.nodes[source].relay.batch(to, after)
        world.nodes[source].relay.acknowledge(world.nodes[to].inbox.accept(wire).answer)
    world.look()


# Commands.


def command(world: World, code: str) -> None:
    """An officer asks for something."""
    asked = world.desk.ask(world.nodes[code])
    if asked is None:
        hop(world, code)
    else:
        request(world, code, asked)


def request(world: World, code: str, asked: Any) -> None:
    """One request; whoever hears nothing asks again, or gives up."""
    key = _key(world)
    try:
        heard = _execute(world, code, key, asked)
    except Crash:
        world.restart(code)
        heard = False
    if not heard and world.rng.random() < 0.6:
        world.say(f"{code}: asks again")
        _execute(world, code, key, asked)


def _key(world: World) -> str:
    world.asked += 1
    return f"{world.seed}-{world.asked}"


def _execute(world: World, code: str, key: str, asked: Any) -> bool:
    """Whether there was an answer."""
    name, fenced = type(asked).__name__, world.nodes[code].fence.raised is not None
    if code in world.mending and not fenced:
        return False  # Whoever has restored it enters nothing before it is whole.
    try:
        receipt = world.nodes[code].execute(asked, key=key, person=person_of(asked))
    except Refusal as refusal:
        world.say(f"{code}: {name} refused, {refusal.code()}")
        return refusal.kind != "busy"
    must(not fenced, "Fenced: no command is answered.", at=code, asked=name)
    world.say(f"{code}: {name} {receipt.version}")
    world.look()
    durable(world.watch.accounts[code], receipt.id, receipt.version)
    world.done.append(Done(code, key, receipt))
    world.desk.note(code, asked, receipt.id)
    return True


# Lanes.


def hop(world: World, code: str) -> None:
    """News travels to a peer, or sets out; the peer may answer at once."""
    world.nodes[code].relay.number()
    if world.plan.rates["restore"] and world.rng.random() < SIGNED:
        sign_ledger(world, code)
    if world.log is not None:
        tick(world, code)
        return
    others = world.others(code)
    if not others:
        return
    wise = world.rng.random() < 0.8
    behind = [c for c in others if wise and _behind(world, code, c)]
    peer = world.rng.choice(behind or others)
    send(world, code, peer)
    if world.rng.random() < 0.7:
        world.surviving(peer, lambda: deliver(world, peer))
        world.surviving(peer, lambda: _arrivals(world, peer))


def tick(world: World, code: str) -> None:
    """Everybody's threads take a turn, in some order."""
    world.seconds += world.rng.choice((0.1, 1.0, 4.0, 40.0))
    some = [c for c in world.codes if c == code or world.rng.random() < 0.6]
    for each in some:
        world.surviving(each, world.posts[each].tick)
        observe(world, each)
    world.say(f"{code}: ticks with {len(some)}")
    world.surviving(code, lambda: _arrivals(world, code))


def observe(world: World, code: str) -> None:
    """What the lanes from and to a node say of themselves."""
    lanes = world.nodes[code].lanes
    for peer in world.peers(code):
        told = lanes.acknowledged(peer)
        must(
            lanes.root_out(peer, told.number) == told.root,
            "Authentic: a receipt is of what was sent.",
            lane=(code, peer),
        )
        world.watch.acknowledged(code, peer, told.number)
        head, standing = lanes.head_out(peer), lanes.standing_in(peer)
        world.watch.lane(code, peer, head.number, head.root)
        world.watch.lane(peer, code, standing.number, standing.root)


def _behind(world: World, code: str, peer: str) -> bool:
    head = world.nodes[code].lanes.head_out(peer).number
    return head > world.nodes[peer].lanes.standing_in(code).number


def _arrivals(world: World, code: str) -> None:
    if world.rng.random() < 0.5:
        world.say(f"{code}: looked at {look_at_arrivals(world, code)}")


def look_at_arrivals(world: World, code: str) -> int:
    """As the node's thread does it: before its peers' word it would do once more what it forgot."""
    node = world.nodes[code]
    return 0 if node.restoring.waits() else node.answer_arrivals()


def send(world: World, code: str, peer: str) -> None:
    """A puller asks from where it stands; a pusher goes on from what it sent, or was told."""
    pair, relay = (code, peer), world.nodes[code].relay
    told = world.nodes[code].lanes.acknowledged(peer).number
    standing = world.nodes[peer].lanes.standing_in(code).number
    after = world.rng.choice((standing, told, world.sent.get(pair, told)))
    try:
        wire, last = relay.batch(peer, after)
    except (Fenced, LaneHeld) as fault:
        _says_nothing(world, code, fault)
        return
    world.sent[pair] = last
    world.messages += 1
    if world.rng.random() < world.plan.rates["bend"] and (body := world.bent(wire)):
        world.say(f"{code} → {peer}: bent")
        wire = sign(Batch.KIND, code, body, world.nodes[code].keys)
    world.lanes[pair].append(wire)
    world.overheard = [*world.overheard[-20:], (pair, wire)]
    world.say(f"{code} → {peer}: {after + 1}–{last}")
    observe(world, code)


def _says_nothing(world: World, code: str, fault: LaneFault) -> None:
    """A node that is fenced, or a lane that waits; nobody is who was not put back."""
    world.say(f"{code}: says nothing, {type(fault).__name__}")
    must(code in world.mending, "Durable: nobody else is fenced.", at=code, fault=fault)


def taken_from(world: World, lanes: dict[WayOfLane, list[bytes]], to: str, end: int) -> Any:
    """A message on its way to a node: the next, or another; lost, or here again later."""
    waiting = sorted(pair for pair, wires in lanes.items() if pair[end] == to and wires)
    if not waiting:
        return None
    rng, rates = world.rng, world.plan.rates
    pair = rng.choice(waiting)
    wires = lanes[pair]
    index = rng.randrange(len(wires)) if rng.random() < rates["overtake"] else 0
    if rng.random() < rates["repeat"]:
        return pair, wires[index]
    wire = wires.pop(index)
    travels = pair if end else pair[::-1]
    if rng.random() < rates["drop"] or travels in world.cut:
        world.say(f"{travels[0]} → {travels[1]}: lost")
        return None
    return pair, wire


def deliver(world: World, code: str) -> None:
    """A batch arrives."""
    if world.log is not None:
        world.surviving(code, world.posts[code].tick)
    elif taken := taken_from(world, world.lanes, code, 1):
        accept(world, *taken)


def accept(world: World, pair: WayOfLane, wire: bytes) -> None:
    """The inbox takes a batch in."""
    source, code = pair
    expected = verdict(world, code, source, wire)
    outcome = world.nodes[code].inbox.accept(wire)
    because = outcome.fault and type(outcome.fault).__name__
    world.say(f"{source} → {code}: {outcome.recorded} new, {because}")
    if isinstance(outcome.fault, Fenced):
        _says_nothing(world, code, outcome.fault)
        return
    if expected is not None:
        refused(world, (code, source), wire, expected, outcome.fault)
    elif isinstance(outcome.fault, RootsDiffer) and (
        _is_bent(world, pair, wire) or _forgot(world, pair, wire)
    ):
        world.refused[code, source, "roots-differ"] += 1
    elif isinstance(outcome.fault, AnotherEpoch) and between_epochs(world, pair, wire):
        world.refused[code, source, AnotherEpoch.code()] += 1
    elif isinstance(outcome.fault, NoteUnsigned) and emergency(world, source):
        # A key that was given up at once has signed its checkpoint, and the new one not yet.
        world.refused[code, source, NoteUnsigned.code()] += 1
    elif outcome.fault is not None and not isinstance(outcome.fault, Gap):
        raise Broken(f"An honest message was refused: {outcome.fault}")
    world.answers[pair].append(outcome.answer)
    observe(world, code)


def _is_bent(world: World, pair: WayOfLane, wire: bytes) -> bool:
    batch = Sealed(wire).claims(Batch)
    return world.nodes[pair[0]].lanes.root_out(pair[1], batch.last) == batch.root


def between_epochs(world: World, pair: WayOfLane, wire: bytes) -> bool:
    """It is from before its sender began, or knew of, a new epoch; or its receiver forgot that one.

    The answer to it says so, and the statement comes with the next.
    """
    said = Sealed(wire).claims(Batch).log
    epoch = epoch_of(said.checkpoint.partition("\n")[0])[1] if said else 0
    seen = world.nodes[pair[1]].lanes.witnessed(pair[0])
    forgot = pair[1] in world.restored and seen is not None and seen.epoch < epoch
    return forgot or pair[0] in world.mending or epoch < world.nodes[pair[0]].log.epoch


def _forgot(world: World, pair: WayOfLane, wire: bytes) -> bool:
    """A restored node was asked for what follows a number that it did not know then."""
    batch = Sealed(wire).claims(Batch)
    known = world.nodes[pair[0]].lanes.root_out(pair[1], batch.first - 1)
    return pair[0] in world.restored and not batch.entries and known != batch.before


def answer(world: World, code: str) -> None:
    """A receipt or a want arrives."""
    if world.log is None and (taken := taken_from(world, world.answers, code, 0)):
        acknowledge(world, *taken)


def acknowledge(world: World, pair: WayOfLane, wire: bytes) -> None:
    """The relay takes an answer in."""
    source, peer = pair
    relay = world.nodes[source].relay
    kind = Sealed(wire).kind
    expected = verdict(world, source, peer, wire)
    world.say(f"{source} ← {peer}: {kind}, {expected and expected.__name__}")
    try:
        if kind == LaneReceipt.KIND:
            relay.acknowledge(wire)
            observe(world, source)
        else:
            assert kind == Want.KIND
            world.sent[pair] = relay.wanted(wire).after
    except (Fenced, RootsDiffer) as fault:
        # It confirms, or shows, what was forgotten.
        if source not in world.mending:
            raise Broken(f"An honest answer was refused: {fault}") from fault
        world.refused[source, peer, fault.code()] += 1
    except LaneFault as fault:
        if expected is None:
            raise Broken(f"An honest answer was refused: {fault}") from fault
        refused(world, pair, wire, expected, fault)
    else:
        must(expected is None, "Authentic: an answer by a key that counts.", at=source, by=peer)


# What a node does by itself, and what time does to it.


def work(world: World, code: str) -> None:
    """One of the node's own threads takes a turn."""
    node = world.nodes[code]
    further = 4 if world.transferring else 0
    names = ("answer_arrivals", "number", "lapse_offers", "catch_up", "further_transfers", "sign")
    name = world.rng.choices(names, (5, 4, 2, 1, further, 5))[0]
    works: dict[str, Callable[[], Any]] = {
        "answer_arrivals": lambda: look_at_arrivals(world, code),
        "number": node.relay.number,
        "lapse_offers": lambda: (
            node.projector.catch_up(),
            0 if node.restoring.waits() else node.lapse_offers(),
        ),
        "catch_up": node.projector.catch_up,
        "further_transfers": lambda: (
            world.rng.random() < 0.5 and node.projector.catch_up(),
            0 if node.restoring.waits() else node.further_transfers(),
        ),
        "sign": lambda: sign_ledger(world, code),
    }
    world.say(f"{code}: {name} {works[name]()}")


def sign_ledger(world: World, code: str) -> bool:
    """A node signs what its ledger has come to."""
    log = world.nodes[code].log
    signed = log.sign()
    if (newest := log.newest()) is not None:
        world.watch.checkpoint(code, *newest[:3])
    return signed


def pass_time(world: World, code: str) -> None:
    """Time goes by; a clock is put right, or wrong."""
    hours = world.rng.choice((1, 12, 48, 240))
    # Peers are told of a new epoch within days: what it gives up may not be older than a backup.
    world.now += timedelta(hours=min(hours, 12) if world.restored else hours)
    world.seconds += 60
    if world.rng.random() < 0.3:
        jump = world.drawn_skew()
        if world.steady is None:
            world.skew[code] = jump
    if world.steady is None:
        world.say(f"{code}: it is {world.clock(code).isoformat()}")


def fill(world: World, code: str) -> None:
    """A disk is full, or is so no longer."""
    world.points.full ^= {code}
    world.say(f"{code}: full {code in world.points.full}")


def cut(world: World, code: str) -> None:
    """A way in one direction is cut, or open again; of a broker, the way to it."""
    if world.log is not None:
        world.log.cut ^= {code}
        world.say(f"{code}: reaches the broker {code not in world.log.cut}")
        return
    peer = world.rng.choice(world.peers(code))
    ways = {(code, peer)} if world.rng.random() < 0.6 else {(code, peer), (peer, code)}
    world.cut ^= ways
    world.happened["cut one way" if len(ways) == 1 else "cut"] += 1
    world.say(f"{code} → {peer}: open {(code, peer) not in world.cut}")


def break_broker(world: World, code: str) -> None:
    """A broker loses messages it has acknowledged, a topic, everything, or where readers stood."""
    if world.log is None:
        hop(world, code)
        return
    topics = sorted(world.log.topics)
    how = world.rng.choice(("truncated", "deleted", "wiped", "rebalanced"))
    if how == "wiped" or not topics:
        world.log.wipe()
    elif how == "rebalanced":
        world.posts[code].client.forget()
    else:
        topic = world.rng.choice(topics)
        world.log.truncate(topic) if how == "truncated" else world.log.topics.pop(topic)
    world.happened[how] += 1
    world.say(f"{code}: the broker is {how}")


def attack(world: World, code: str) -> None:
    """Mallory tries something; or a message that was overheard is bent, or sent elsewhere."""
    if code in world.points.full or world.nodes[code].fence.raised is not None:
        return
    if world.overheard and world.rng.random() < 0.5:
        _forge(world, code)
    elif world.rng.random() < 0.15:
        _acknowledge_nothing(world, code)
    else:
        _try(world, code)


def _forge(world: World, code: str) -> None:
    pair, wire = world.rng.choice(world.overheard)
    forgery = forged(world.rng, pair, wire, code)
    if forgery.sender not in {*world.peers(code), MALLORY}:
        return  # Nobody enrols himself, or strangers: it is not read.
    if forgery.fault is Misaddressed and (over := verdict(world, code, *forgery[1::-1])):
        forgery = forgery._replace(fault=over)
    outcome = insisting(world, code, forgery.wire)
    name = forgery.fault.__name__
    world.say(f"{code}: forged, {name}")
    world.happened[f"forged {name}"] += 1
    if isinstance(outcome.fault, Fenced):
        _says_nothing(world, code, outcome.fault)  # It shows what is ours, whoever it is for.
        return
    fits = isinstance(outcome.fault, forgery.fault) and not outcome.recorded
    must(fits, "Authentic: a forgery is refused.", expected=name, got=outcome.fault)
    world.refused[code, forgery.sender, forgery.fault.code()] += 1


def insisting(world: World, code: str, wire: bytes) -> Any:
    """Send again until the node has survived it."""
    while True:
        try:
            outcome = world.nodes[code].inbox.accept(wire)
        except Crash:
            world.restart(code)
        except (DatabaseAway, PersistenceError) as fault:
            world.say(f"{code}: {type(fault).__name__}")
        else:
            return outcome


def _acknowledge_nothing(world: World, code: str) -> None:
    wire = world.mallory.receipt(code)
    try:
        world.nodes[code].relay.acknowledge(wire)
    except RootsDiffer:
        world.refused[code, MALLORY, "roots-differ"] += 1
        world.say(f"{code}: a receipt for nothing is refused")
    else:
        raise Broken("Authentic: a receipt for nothing is taken.")


def _try(world: World, code: str) -> None:
    attempt = world.mallory.attempt(world, code)
    for entry in attempt.entries[: attempt.good]:
        world.watch.keep(record_of(entry), code)
    batch = world.mallory.batch(world.nodes[code], attempt)
    outcome = insisting(world, code, batch.signed(KEYS))
    world.say(f"{code}: Mallory, {attempt.entries[-1].topic}, {outcome.fault}")
    bad = len(attempt.entries) - attempt.good
    world.happened["attempt"] += bad
    world.parked[code] += bad
    must(outcome.fault is None, "Isolated: the batch is taken.", got=outcome.fault)


def poison(world: World, code: str) -> None:
    """A node records, by some bug of its own, what no peer can take; everything else goes on."""
    if code in world.mending:
        return
    mine = sorted(s for s, keeper in world.watch.poison.items() if keeper == code)
    stream = world.rng.choice(mine) if mine and world.rng.random() < 0.5 else world.mallory.id()
    version = len(world.watch.accounts[code].streams.get(stream, ())) + 1
    peers = world.peers(code)
    said = {"keeper": code, "author": code, "reason": "毒"}
    entry = world.mallory.entry("activity.cancelled", stream, version, *peers, **said)
    record = StoredEvent(stream, version, entry.topic, entry.state.encode())
    world.watch.poison[stream] = code
    world.say(f"{code}: poison {version}")
    world.happened["poison"] += 1
    number = world.happened["poison"]
    world.nodes[code].ledger.replicate([record], Tracking("poison", number))
