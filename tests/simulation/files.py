"""数据包: what passes between two nodes as files: lost, copied, altered, brought astray."""

from __future__ import annotations

from typing import Any

from sync.errors import Altered, ForAnother, KeyOver, LaneFault
from sync.note import NoteUnsigned
from tests.simulation.broken import must
from tests.simulation.keys import emergency
from tests.simulation.steps import observe, taken_from
from tests.simulation.world import WayOfLane, World


def _ways(world: World) -> tuple[WayOfLane, WayOfLane]:
    one, other = world.plan.files
    return (one, other), (other, one)


def carry(world: World, _: str) -> None:
    """A file is written; or one that was written is brought to whom it is for."""
    way = world.rng.choice(_ways(world))
    how = world.rng.choices(("again", "go_on", ""), (2, 3, 5))[0]
    world.surviving(way[0], lambda: export(world, way, how))
    if world.rng.random() < 0.6:
        to = world.rng.choice(world.plan.files)
        world.surviving(to, lambda: _bring(world, to))


def export(world: World, way: WayOfLane, how: str = "") -> None:
    """A node writes a file, if it has something to tell: again all, or what follows the last."""
    source, to = way
    packed = world.nodes[source].bundles.pack(to, again=how == "again", go_on=how == "go_on")
    if packed is None:
        world.say(f"{source} ⇒ {to}: nothing to write")
        return
    rises = packed.header.number > world.written.get(way, 0)
    must(rises, "Once: each file has a number of its own.", way=way, number=packed.header.number)
    world.written[way] = packed.header.number
    world.sticks[way].append(packed.wire)
    world.messages += 1
    world.say(f"{source} ⇒ {to}: file {packed.header.number}, {packed.cover.facts} facts")


def _bring(world: World, to: str) -> None:
    taken = taken_from(world, world.sticks, to, 1)
    if not taken:
        return
    way, wire = taken
    rng = world.rng
    if rng.random() < 3 * world.plan.rates["bend"]:
        at = rng.randrange(wire.index(b"\n") + 1, len(wire))
        bent = wire[:at] + bytes([wire[at] ^ (1 << rng.randrange(8))]) + wire[at + 1 :]
        _refused(world, to, way[0], bent, Altered)
    else:
        bring(world, way, wire)


def bring(world: World, way: WayOfLane, wire: bytes) -> None:
    """A file is taken in; doing it again changes nothing."""
    source, to = way
    node = world.nodes[to]
    before = node.lanes.standing_in(source).number
    taken = node.bundles.take(wire)
    faults = [type(fault) for fault in taken.faults]
    told = (taken.recorded, taken.known, taken.again, [fault.__name__ for fault in faults])
    world.say(f"{source} ⇒ {to}: taken {told}")
    world.happened["file"] += 1
    world.happened["file again"] += taken.again
    world.happened["file before its time"] += taken.missing is not None
    must(not (taken.again and taken.recorded), "Once: a file again.", at=to, way=way)
    moved = node.lanes.standing_in(source).number - before
    fits = taken.recorded + taken.parked == moved
    must(fits, "Durable: a file says what it brought.", way=way, moved=moved, said=told)
    for fault in taken.faults:
        known = _by_an_old_key(world, source, fault)
        must(known, "Delivered: an honest file was refused.", way=way, fault=fault)
        world.refused[to, source, fault.code()] += 1
    observe(world, to)


def _by_an_old_key(world: World, source: str, fault: LaneFault) -> bool:
    """Of a key that was given up at once; or an answer that looks younger than a rotated one."""
    if isinstance(fault, KeyOver) and fault.facts["succeeded"] == "rotated":
        return True
    return isinstance(fault, Altered | KeyOver | NoteUnsigned) and emergency(world, source)


def _refused(world: World, at: str, source: str, wire: bytes, kind: type[Any]) -> None:
    head = world.nodes[at].ledger.head
    taken = world.nodes[at].bundles.take(wire)
    same = [type(fault) for fault in taken.faults] == [kind] and not taken.recorded
    must(same and world.nodes[at].ledger.head == head, "Authentic: such a file.", got=taken.faults)
    world.say(f"{at}: a file of {source} is {kind.code()}")
    world.happened[f"file {kind.code()}"] += 1
    world.refused[at, source, kind.code()] += 1


def mislay(world: World, code: str) -> None:
    """A file is brought to whom it is not for: also to who has written it."""
    ways = [way for way in _ways(world) if world.sticks[way] and way[1] != code]
    if not ways or code in world.points.full:
        return
    way = world.rng.choice(ways)
    wire = world.rng.choice(world.sticks[way])
    sender = way[0] if way[0] in world.peers(code) else "?"
    _refused(world, code, sender, wire, ForAnother)


def exchange(world: World, way: WayOfLane, *, again: bool) -> int:
    """Once the faults have ended: a file is written if there is anything to tell, and arrives."""
    source, to = way
    packed = world.nodes[source].bundles.pack(to, again=again)
    if packed is None:
        return 0
    taken = world.nodes[to].bundles.take(packed.wire)
    must(not taken.faults, "Delivered: a healthy file has a fault.", way=way, faults=taken.faults)
    must(taken.missing is None, "Delivered: each file begins where it must.", way=way)
    observe(world, source)
    observe(world, to)
    return 1
