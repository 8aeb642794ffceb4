"""愈合: the faults end, everybody works, and it must become quiet in bounded time and messages."""

from __future__ import annotations

from datetime import timedelta

from api.following import GRACE_DAYS
from sync.errors import AnotherEpoch
from tests.simulation.broken import Broken, must
from tests.simulation.files import bring, exchange
from tests.simulation.keys import astray, call, mallory_acknowledges
from tests.simulation.restoring import mend_all, retry, show
from tests.simulation.steps import accept, acknowledge, between_epochs, observe, sign_ledger
from tests.simulation.world import STEP, WayOfLane, World, by_file

SECONDS_MAX = 600.0
"""Of the world's own time, until everybody who may hear of something has heard of it."""

MESSAGES_MAX = 60
"""Batches for each lane on the way there."""


def heal(world: World) -> None:
    """End the faults, and let everybody work until all is quiet.

    Raises:
        Broken: it does not become quiet.
    """
    world.say("heal")
    world.rng.seed(world.seed)
    world.points.disarm()
    world.points.full.clear()
    world.cut.clear()
    for node in world.nodes.values():
        node.key_change.retire()
    _sign(world)
    _arrive(world)
    mend_all(world)
    _sign(world)  # Whoever waited for a word could not before.
    if world.log is not None:
        world.log.cut.clear()
        world.log.lost = world.log.doubled = world.log.swapped = 0.0
        world.log.appended = 0
    sent = _quiet(world)
    if world.plan.strangers:
        # Who does not know the new keeper hands nothing on to him: a day later others forward it,
        # by their clocks, which may be two days behind.
        world.now += timedelta(days=GRACE_DAYS + 2) + STEP
        sent += _quiet(world)
    most = MESSAGES_MAX * len(world.pairs)
    sent = sent if world.log is None else world.log.appended
    must(sent <= most, "Delivered: with few messages.", sent=sent, most=most)
    _sign(world)
    for code, node in world.nodes.items():
        while node.projector.catch_up():
            pass
        if code in world.rekeyed:
            mallory_acknowledges(world, code)
            node.key_change.retire()
    for code in sorted(world.restored):
        show(world, code)


def _sign(world: World) -> None:
    for code in world.codes if world.signs else ():
        sign_ledger(world, code)


def _quiet(world: World) -> int:
    """Until nothing moves; how much has."""
    began, sent = world.seconds, 0
    while moved := _round(world):
        sent += moved
        must(world.seconds < began + SECONDS_MAX, "Delivered: in ten minutes.", moved=moved)
    return sent


def _arrive(world: World) -> None:
    """Everything that is on the way arrives, and who is refused for an old key is telephoned."""
    for way, wires in sorted(world.sticks.items()):
        while wires:
            bring(world, way, wires.pop())
    for pair, wires in sorted(world.lanes.items()):
        while wires:
            accept(world, pair, wires.pop())
    for pair, wires in sorted(world.answers.items()):
        # Of the answers a few are enough: receipts only repeat what the newest says.
        del wires[: -world.rng.randint(1, 3)]
        while wires:
            acknowledge(world, pair, wires.pop(0))
    _compare_keys(world)


def _compare_keys(world: World) -> None:
    for code, peer in world.pairs:
        if peer in world.rekeyed and astray(world, code, peer):
            call(world, code, peer)


def _round(world: World) -> int:
    """How much has moved."""
    moved = 0
    world.seconds += 2.0
    for post in world.posts.values():
        post.tick()
    for node in world.nodes.values():
        while node.answer_arrivals():
            moved += 1
        if world.desk.known["transfer"]:
            while node.projector.catch_up():
                pass
            moved += node.further_transfers()
        while node.relay.number():
            moved += 1
    moved += sum(retry(world, code) for code in sorted(world.restored))
    return moved + sum(_travel(world, pair) for pair in world.pairs)


def _travel(world: World, pair: WayOfLane) -> int:
    if by_file(world, *pair):
        # Without facts of its own a file still confirms those of the other side.
        again = _behind(world, pair) or _behind(world, pair[::-1])
        return exchange(world, pair, again=bool(again))
    return _pull(world, pair) if world.log is None else _behind(world, pair)


def _behind(world: World, pair: WayOfLane) -> int:
    """Whether a lane is still under way."""
    source, destination = (world.nodes[code] for code in pair)
    standing = destination.lanes.standing_in(pair[0])
    head, told = source.relay.standing(pair[1])
    return int(not (head.number == told.number == standing.number))


def _pull(world: World, pair: WayOfLane) -> int:
    source, destination = (world.nodes[code] for code in pair)
    if not _behind(world, pair):
        return 0
    after = destination.lanes.standing_in(pair[0]).number
    wire, _ = source.relay.batch(pair[1], after)
    outcome = destination.inbox.accept(wire)
    if isinstance(outcome.fault, AnotherEpoch) and between_epochs(world, pair, wire):
        world.refused[pair[1], pair[0], AnotherEpoch.code()] += 1
    elif outcome.fault is not None:
        raise Broken(f"Delivered: a healthy lane has a fault: {outcome.fault}")
    source.relay.acknowledge(outcome.answer)
    observe(world, pair[0])
    return 1
