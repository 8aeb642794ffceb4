"""一路相随: officers follow one member on his way: into care, on to a new keeper, and afterwards.

What is asked at random seldom becomes a whole transfer. Here whoever's turn it is does what comes
next, over the same lanes and under the same faults: a step looks at what the ledgers say, so what
was lost is done again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from domain.absence import OPEN
from domain.admission import Admission
from domain.commands import (
    AcceptInflow,
    Command,
    ExpireTransfer,
    HoldActivity,
    MarkAttendance,
    OfferCare,
    RecallOffer,
    RecordContact,
    RegisterOutflow,
    RequestTransfer,
)
from domain.decisions.transfers import newest_transfer
from domain.member import Member
from domain.outflow import Outflow
from domain.passage import UNDECIDED, State
from domain.transfer import Transfer
from domain.values import DataClass
from tests.simulation.files import bring, export
from tests.simulation.steps import (
    accept,
    acknowledge,
    look_at_arrivals,
    request,
    send,
    sign_ledger,
    tick,
)
from tests.simulation.world import WayOfLane, World, by_file

PATIENCE = 40
"""Steps after which another member's way is followed."""

REFUSED, RUN_OUT, RECALLED = 0.12, 0.25, 0.3
"""How often a receiver says no, a letter runs out although its bearer is admitted, an offer is
recalled that its host accepts."""


class Move:
    """One member's way from an origin, perhaps by a host, to a receiver."""

    def __init__(self, origin: str, host: str | None, to: str, member: UUID | None) -> None:
        self.origin, self.host, self.to, self.member = origin, host, to, member
        self.told: set[str] = set()
        """Who has recorded something about the absence."""
        self.after, self.left = 0, PATIENCE

    @property
    def absence(self) -> UUID:
        """The first of this file."""
        assert self.member is not None
        return Outflow.id_of(self.member, 1)

    def flow(self, world: World, code: str | None = None) -> Outflow | None:
        """It, as somebody knows it."""
        return world.nodes[code or self.origin].ledger.find(Outflow, self.absence)

    def transfer(self, world: World, code: str | None = None) -> Transfer | None:
        """The newest of this file, as somebody knows it."""
        ledger = world.nodes[self.origin].ledger
        file = self.member and ledger.find(Member, self.member)
        newest = newest_transfer(ledger, file)[1] if file else None
        if newest is None or code is None:
            return newest
        return world.nodes[code].ledger.find(Transfer, newest.id)

    def admission(self, world: World, transfer: Transfer, code: str) -> Admission | None:
        """The receiver's answer, as somebody knows it."""
        assert transfer.to is not None
        id_ = Admission.id_of(transfer.id, transfer.to)
        return world.nodes[code].ledger.find(Admission, id_)


def move_on(world: World, _: str) -> None:
    """Whoever's turn it is does what comes next; on a busy day, and what comes after that."""
    for _ in range(world.rng.choice((1, 1, 2, 3))):
        _one_step(world)


def _one_step(world: World) -> None:
    if world.steady is not None:
        return  # Whether a letter is still valid is a question to a clock.
    if world.move is None or not world.move.left:
        world.move = _another(world, world.move)
    move: Move = world.move
    move.left -= 1
    if not any(stage(world, move) for stage in _STAGES):
        world.happened["moved"] += 1
        move.left = 0


def _another(world: World, last: Move | None) -> Move:
    """Another member; or the one who has arrived goes on from there."""
    rng, member = world.rng, None
    origin = rng.choice(world.codes)
    if last is not None and last.member is not None and rng.random() < 0.6:
        gone = last.transfer(world)
        filed = gone and gone.to and last.admission(world, gone, gone.to)
        if filed and filed.file:
            origin, member = str(gone and gone.to), filed.file
    others = world.peers(origin)
    # Whose name is closed to a receiver is not admitted there.
    able = [code for code in others if DataClass.IDENTITY in world.granted[origin, code]]
    to = rng.choice(able or others)
    others.remove(to)
    host = rng.choice(others) if others and rng.random() < 0.8 else None
    return Move(origin, host, to, member)


# News.


def tell(world: World, source: str, to: str) -> None:
    """News sets out, arrives as a rule, and is looked at; between strangers there is none."""
    if to not in world.peers(source):
        return
    if world.plan.slow in {source, to} and world.rng.random() < 0.9:
        return
    world.surviving(source, lambda: _set_out(world, (source, to)))
    world.surviving(to, lambda: _arrive(world, (source, to)))


def _set_out(world: World, way: WayOfLane) -> None:
    world.nodes[way[0]].relay.number()
    if world.signs and world.rng.random() < 0.4:
        sign_ledger(world, way[0])
    if world.log is not None:
        tick(world, way[0])
    elif by_file(world, *way):
        export(world, way, world.rng.choice(("again", "")))
    else:
        send(world, *way)


def _arrive(world: World, way: WayOfLane) -> None:
    source, to = way
    if world.log is not None:
        world.posts[to].tick()
    elif wire := _taken(world, way):
        if by_file(world, *way):
            bring(world, way, wire)
        else:
            accept(world, way, wire)
            if world.rng.random() < 0.7 and world.answers[way]:
                wire = world.answers[way].pop()
                world.surviving(source, lambda: acknowledge(world, way, wire))
    # Who reads may be ahead of who answers, or behind.
    if world.rng.random() < 0.3:
        world.nodes[to].projector.catch_up()
    look_at_arrivals(world, to)


def _taken(world: World, way: WayOfLane) -> bytes | None:
    """The newest message of a way; none if it is lost."""
    wires = (world.sticks if by_file(world, *way) else world.lanes)[way]
    if not wires:
        return None
    wire = wires.pop()
    if world.rng.random() < world.plan.rates["drop"] or way in world.cut:
        world.say(f"{way[0]} → {way[1]}: lost")
        return None
    return wire


def _ask(world: World, code: str, command: Command | None) -> None:
    if command is not None:
        world.surviving(code, lambda: request(world, code, command))


def _works(world: World, code: str) -> None:
    """A node does what is left to do about transfers, by what it has read so far."""
    node = world.nodes[code]

    def work() -> None:
        while world.rng.random() < 0.8 and node.projector.catch_up():
            pass
        world.say(f"{code}: further {0 if node.restoring.waits() else node.further_transfers()}")

    world.surviving(code, work)


# One after the other; each says whether it had anything to do.


def _registered(world: World, move: Move) -> bool:
    """The member is on file, and away."""
    node, desk = world.nodes[move.origin], world.desk
    if move.member is not None and move.flow(world) is not None:
        return False
    if move.member is None:
        known = len(world.done)
        _ask(world, move.origin, desk.register(node, None))
        if len(world.done) == known:
            return True
        move.member = world.done[-1].receipt.id
    said = {"left_on": desk.today(node) - timedelta(days=40), "destination": "四川省成都市"}
    _ask(world, move.origin, RegisterOutflow.model_validate({"member": move.member, **said}))
    return True


def _in_care(world: World, move: Move) -> bool:
    """A host has taken the daily care."""
    flow = move.flow(world)
    if move.host is None or flow is None or flow.state not in OPEN or flow.stays:
        return False
    if move.left < PATIENCE // 2:
        return False
    waiting, there = flow.open_offer, move.flow(world, move.host)
    if waiting is None:
        _ask(world, move.origin, OfferCare(outflow=flow.id, host=move.host, valid_days=30))
    if waiting is None or there is None or there.open_offer is None:
        tell(world, move.origin, move.host)
        return True
    if waiting.host != move.host:
        return False
    if world.rng.random() < RECALLED:
        recall = RecallOffer(outflow=flow.id, offer=waiting.number, reason="另行安排")
        _ask(world, move.origin, recall)
    day = world.desk.today(world.nodes[move.host]) - timedelta(days=20)
    said = {"outflow": flow.id, "offer": waiting.number, "accepted_on": day, "liaison": "李干事"}
    _ask(world, move.host, AcceptInflow.model_validate({**said, "branch": "驻外第一党支部"}))
    tell(world, move.host, move.origin)
    return True


def _remembered(world: World, move: Move) -> bool:
    """Whoever has to do with him has recorded something."""
    flow = move.flow(world)
    if flow is None or flow.state not in OPEN:
        return False
    stayed = move.host is not None and flow.stayed_at(move.host, _day(world, move.host))
    for code in filter(None, (move.host if stayed else None, move.origin)):
        if code not in move.told:
            move.told.add(code)
            _record(world, move, code)
            return True
    return False


def _day(world: World, code: str) -> Any:
    """Some days ago, on any clock."""
    return world.desk.today(world.nodes[code]) - timedelta(days=4)


def _record(world: World, move: Move, code: str) -> None:
    """A contact, or a mark at an activity; the origin hears of it."""
    day, desk = _day(world, code), world.desk
    if world.rng.random() < 0.6:
        said = {"outflow": move.absence, "on": day, "method": "电话", "by": "王联络"}
        _ask(world, code, RecordContact.model_validate(said))
    else:
        _ask(world, code, HoldActivity(on=day, title="主题党日"))
        activity = desk.known["activity", code][-1:]
        for id_ in activity:
            _ask(world, code, MarkAttendance(activity=id_, outflow=move.absence, mark="present"))
    if code != move.origin:
        tell(world, code, move.origin)


def _on_its_way(world: World, move: Move) -> bool:
    """The transfer is requested, approved by its levels, and sent."""
    node, desk = world.nodes[move.origin], world.desk.transferring
    known = move.transfer(world)
    if known is None or known.state in {State.REJECTED, State.WITHDRAWN}:
        said = {"member": move.member, "to": move.to, "by": "organization"}
        _ask(world, move.origin, RequestTransfer.model_validate(said))
        return True
    begun = known.state
    while known is not None and known.state in UNDECIDED:
        before = known.version
        _ask(world, move.origin, desk.approve(node, known))
        known = move.transfer(world)
        if known is None or known.version == before:
            return True
    if known is None or known.state not in _TO_SEND:
        return begun in UNDECIDED
    again = known.state in {State.EXPIRED, State.LOST}
    _ask(world, move.origin, (desk.reissue if again else desk.send)(node, known))
    tell(world, move.origin, known.to or move.to)
    return True


_TO_SEND = {State.APPROVED, State.DISPUTED, State.EXPIRED, State.LOST}


def _admitted(world: World, move: Move) -> bool:
    """The receiver has answered, and the origin has noted it."""
    transfer, desk = move.transfer(world), world.desk.transferring
    if transfer is None or transfer.state is not State.SENT:
        return False
    if transfer.to is None:
        _ask(world, move.origin, desk.record_slip(world.nodes[move.origin], transfer))
        return True
    here = move.transfer(world, transfer.to)
    if here is None or here.version < transfer.version:
        tell(world, move.origin, transfer.to)
        return True
    answered = move.admission(world, transfer, transfer.to)
    if answered is None or transfer.last.number not in answered.answered:
        ask = desk.refuse if world.rng.random() < REFUSED else desk.admit
        _ask(world, transfer.to, ask(world.nodes[transfer.to], here))
    tell(world, transfer.to, move.origin)
    return True


def _completed(world: World, move: Move) -> bool:
    """The slip is given back; meanwhile somebody tries to let the letter expire."""
    transfer = move.transfer(world)
    if transfer is None or transfer.to is None or transfer.state is not State.ADMITTED:
        return False
    if world.rng.random() < RUN_OUT:
        days = world.rng.choice((3, 62))
        world.now += timedelta(days=3 if world.restored else days)
        expire = ExpireTransfer(transfer=transfer.id, dispatch=transfer.last.number)
        _ask(world, move.origin, expire)
        return True
    here = move.transfer(world, transfer.to)
    if here is None:
        tell(world, move.origin, transfer.to)
    _ask(world, transfer.to, world.desk.transferring.return_slip(None, here))
    tell(world, transfer.to, move.origin)
    return True


def _filed(world: World, move: Move) -> bool:
    """His file goes on at the receiver, and the origin knows."""
    transfer = move.transfer(world)
    if transfer is None or transfer.to is None or transfer.state is not State.COMPLETED:
        return False
    known = move.admission(world, transfer, move.origin)
    if known is not None and known.file is not None:
        return False
    filed = move.admission(world, transfer, transfer.to)
    if filed is None or filed.file is None:
        tell(world, move.origin, transfer.to)
        _works(world, transfer.to)
    else:
        tell(world, transfer.to, move.origin)
        if move.host is not None and move.host != transfer.to and world.rng.random() < 0.5:
            tell(world, transfer.to, move.host)
    return True


def _afterwards(world: World, move: Move) -> bool:
    """What is recorded late follows him, from whoever has recorded it."""
    transfer = move.transfer(world)
    if transfer is None or transfer.to is None or move.after >= len(_LATE):
        return False
    move.after += 1
    _LATE[move.after - 1](world, move, transfer.to)
    return True


def _say_late(world: World, move: Move, _: str) -> None:
    flow = move.flow(world)
    stayed = move.host and flow and flow.stayed_at(move.host, _day(world, move.host))
    _record(world, move, move.host if move.host and stayed else move.origin)


def _pass_on(world: World, move: Move, to: str) -> None:
    """A third party has not told the receiver in time: the origin does."""
    world.now += timedelta(days=3)
    _works(world, move.origin)
    tell(world, move.origin, to)


def _hand_on(world: World, move: Move, to: str) -> None:
    if move.host is not None and move.host != to:
        _works(world, move.host)
        tell(world, move.host, to)
    else:
        _record(world, move, move.origin)
        _works(world, move.origin)


_LATE: tuple[Callable[[World, Move, str], None], ...] = (_say_late, _pass_on, _hand_on)
_STAGES: tuple[Callable[[World, Move], bool], ...] = (
    _registered,
    _in_care,
    _remembered,
    _on_its_way,
    _admitted,
    _completed,
    _filed,
    _afterwards,
)
