"""复原: a node is put back to an old backup, fetches back what its peers hold, and goes on.

As the guide for operators has it: the node is started where its peers can be reached, and nothing
is entered before it is whole.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sync.errors import AnotherEpoch, Fenced, LaneHeld, RootsDiffer
from sync.fence import Wish
from sync.quarantine import Quarantine
from sync.taking_back import NotReached
from tests.simulation.broken import Broken, must
from tests.simulation.check_ledgers import gather, signed_once
from tests.simulation.mallory import MALLORY
from tests.simulation.steps import between_epochs
from tests.simulation.world import Done, World

WISH = Wish("磁盘损坏，备份较旧", "操作员")

ROUNDS = 50
"""In which a node must be whole, once all its peers can be reached."""

BACKUP_AGE = timedelta(days=10)
"""Older ones are not put back: peers take a new epoch for thirty days."""

RENEWED = 0.3
"""How often a backup takes the place of an older one."""

SHOWN = 3
"""Batches that a checkpoint takes at most, with the proofs that are asked for."""


class Hands:
    """Peers asked at their addresses, whatever way their lanes go."""

    def __init__(self, world: World, code: str, *, sure: bool) -> None:
        self._world, self._code, self._sure = world, code, sure
        # Nobody can be made to give anything back.
        self._silent = {MALLORY} if world.rng.random() < 0.5 else set()

    def returned(self, peer: str, after: int, cursor: int, size: int) -> bytes:
        """A page of what it gives back."""
        self._must_reach(peer)
        if peer == MALLORY:
            return self._world.mallory.page(self._world.nodes[self._code], after)
        page: bytes = self._world.nodes[peer].restoring.page(self._code, after, cursor, size)
        return page

    def batch(self, peer: str, after: int) -> bytes:
        """The batch that follows."""
        self._must_reach(peer)
        if peer == MALLORY:
            return self._world.mallory.nothing(self._world.nodes[self._code])
        wire: bytes = self._world.nodes[peer].relay.batch(self._code, after)[0]
        return wire

    def _must_reach(self, peer: str) -> None:
        world, way = self._world, (self._code, peer)
        lost = not self._sure and world.rng.random() < world.plan.rates["drop"]
        if lost or {way, way[::-1]} & world.cut or peer in self._silent:
            world.say(f"{self._code}: {peer} does not answer")
            raise NotReached(peer=peer)


def back_up(world: World, code: str) -> None:
    """A backup is made; or an old one is put back."""
    recent = [each for each, kept in world.backups.items() if world.now - kept[-1] < BACKUP_AGE]
    if recent and world.rng.random() < 0.6:
        put_back(world, world.rng.choice(sorted(recent)))
    elif code not in world.mending and (code not in world.backups or world.rng.random() < RENEWED):
        position = len(world.watch.accounts[code].entries)
        counted = {key: n for key, n in world.refused.items() if key[0] == code}
        world.backups[code] = (
            world.stage.snapshot(code),
            position,
            world.parked[code],
            counted,
            world.now,
        )
        world.say(f"{code}: backed up")


def put_back(world: World, code: str) -> None:
    """The disk fails; the backup is put back, and the node starts."""
    gather(world, code)
    if code not in world.mending:
        signed_once(world, code)
    keys = _keys(world)
    backup, position, parked, counted, _ = world.backups[code]
    world.stage.restore(code, backup)
    world.restored.add(code)
    world.mending.add(code)
    world.happened["restored"] += 1
    world.say(f"{code}: restored to {position}")
    world.watch.rewind(code, position)
    for key in [key for key in world.refused if key[0] == code]:
        del world.refused[key]
    world.parked[code] = parked
    world.refused.update(counted)
    _forget_what_was_under_way(world, code)
    world.restart(code)
    world.watch.forget(world.nodes)
    # What nobody holds any more is gone; of what was answered nothing else may be.
    world.done = [done for done in world.done if _held(world, done)]
    world.lost_keys |= keys - _keys(world)


def _held(world: World, done: Done) -> bool:
    return world.watch.held(done.receipt.id, done.receipt.version)


def _keys(world: World) -> set[Any]:
    """Which persons' keys anybody holds."""
    return {row[0] for code in world.codes for row in world.stage.key_rows(code)}


def _forget_what_was_under_way(world: World, code: str) -> None:
    """No message of a node outlives its disk: what it had signed and shown to nobody is gone."""
    for pair in world.pairs:
        if pair[0] == code:
            world.lanes[pair].clear()
        if pair[1] == code:
            world.answers[pair].clear()
    for topic, messages in world.log.topics.items() if world.log is not None else ():
        if topic.endswith(f".{code}"):
            messages.clear()


# The way back.


def waits(world: World, code: str) -> bool:
    """Whether a node has not been told yet what it signed, or is not whole."""
    return code in world.mending or world.nodes[code].fence.holds()


def mend(world: World, code: str) -> None:
    """A node that waits asks its peers; an operator helps."""
    waiting = [each for each in world.codes if waits(world, each)]
    if waiting:
        code = world.rng.choice(waiting)
        world.surviving(code, lambda: attempt(world, code, sure=False))


def attempt(world: World, code: str, *, sure: bool) -> None:
    """One round, as the node's thread and its operator have it."""
    restoring, hands = world.nodes[code].restoring, Hands(world, code, sure=sure)
    epoch = world.nodes[code].log.epoch
    moved = restoring.step(hands)
    for peer, taken in sorted(world.nodes[code].relay.held.items()):
        if not taken:
            world.say(f"{code}: takes what {peer} claims")
            world.happened["claim"] += 1
            restoring.take(peer)
    moved = restoring.step(hands) or moved
    if moved and world.log is not None:
        for lane in world.posts[code].carrier.lanes.values():
            lane.reset()  # As the node's thread does.
    report = restoring.report()
    world.say(f"{code}: {report['state']}, {report['lost']} lost, {report['found']} found")
    _decide(world, code, report)
    world.look()
    if code in world.mending and _whole(world, code):
        world.mending.discard(code)
        world.say(f"{code}: whole, epoch {report['epoch']}")
        world.happened["a new epoch" if report["epoch"] > epoch else "the epoch goes on"] += 1
        retry(world, code)


def _decide(world: World, code: str, report: dict[str, Any]) -> None:
    """What an operator makes of it: he puts the backup back again, or begins a new epoch."""
    faults = world.nodes[code].restoring.healer.told.faults
    reached = {each["peer"] for each in report["peers"] if each["reached"]}
    near = set(world.nodes[code].restoring.healer.greeting.near()) - {MALLORY}
    if any("被另一条占用" in fault for fault in faults.values()):
        world.happened["place taken"] += 1
        put_back(world, code)
    elif report["state"] == "wanting" or (report["state"] == "asking" and near <= reached):
        world.say(f"{code}: wishes for a new epoch")
        world.nodes[code].restoring.renew(WISH._replace(without=(MALLORY,)))


def _whole(world: World, code: str) -> bool:
    node = world.nodes[code]
    return not node.fence.holds() and node.relay.held.keys() <= {MALLORY}


def retry(world: World, code: str) -> int:
    """What was set aside is looked at again: it answered what was forgotten, or came before it."""
    node = world.nodes[code]
    quarantine = Quarantine(node.ledger, node.lanes, node.clock)
    done = 0
    for peer in world.others(code):
        would = len(quarantine.retry_all(peer, dry_run=True).recorded)
        if would:
            quarantine.retry_all(peer, dry_run=False, count=would)
            world.say(f"{code}: records {would} of {peer} that were set aside")
        done += would
    return done


def greet(world: World, code: str) -> None:
    """Every peer that may speak says a word."""
    for source in world.others(code):
        after = world.nodes[code].lanes.standing_in(source).number
        try:
            wire, _ = world.nodes[source].relay.batch(code, after)
        except (Fenced, LaneHeld):
            continue
        outcome = world.nodes[code].inbox.accept(wire)
        # Of two that were restored neither knows how far the other's lane went.
        knows = isinstance(outcome.fault, RootsDiffer) and source in world.mending
        told = isinstance(outcome.fault, Fenced) and code in world.mending
        world.refused[code, source, "roots-differ"] += knows
        fits = outcome.fault is None or knows or told
        must(fits, "Delivered: a healthy lane has a fault.", fault=outcome.fault)


def show(world: World, code: str) -> None:
    """Every peer takes the newest checkpoint, of whatever epoch: no lane stands still."""
    node = world.nodes[code]
    for peer in world.others(code):
        # A proof may have to be asked for first.
        for _ in range(SHOWN):
            after = world.nodes[peer].lanes.standing_in(code).number
            wire, _ = node.relay.batch(peer, after)
            outcome = world.nodes[peer].inbox.accept(wire)
            between = isinstance(outcome.fault, AnotherEpoch)
            between = between and between_epochs(world, (code, peer), wire)
            world.refused[peer, code, AnotherEpoch.code()] += between
            fits = outcome.fault is None or between
            must(fits, "Delivered: a healthy lane.", at=peer, fault=outcome.fault)
            node.relay.acknowledge(outcome.answer)
        seen, newest = world.nodes[peer].lanes.witnessed(code), node.log.newest()
        same = seen is not None and seen[1:4] == newest[:3]
        must(same, "Delivered: the newest checkpoint is witnessed.", at=peer, peer=code, seen=seen)


def mend_all(world: World) -> None:
    """Once the faults have ended everybody is told, and whole.

    Raises:
        Broken: it takes too long.
    """
    for _ in range(ROUNDS):
        waiting = [code for code in world.codes if waits(world, code)]
        if not waiting:
            return
        for code in waiting:
            greet(world, code)
            if world.plan.rates["restore"]:
                attempt(world, code, sure=True)
    reports = {code: world.nodes[code].restoring.report() for code in world.mending}
    raise Broken(f"Durable: a restored node becomes whole: {reports}")
