"""被遗忘: at the end of some histories persons are erased, nodes fall over, and nothing opens.

Their absences and transfers are over by then, as far as an officer can end them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from api.erasure.eraser import Asking
from api.service import Who
from domain.commands import Command, RecordReturn, WithdrawTransfer
from domain.decisions.transfers import newest_transfer
from domain.destruction import Destruction
from domain.erasure import Erasure, State
from domain.errors import Refusal
from domain.member import Member
from domain.passage import OVER
from domain.records import PERSONAL, open_field
from domain.sealing import Sealed
from projections.erasing import HOLDING
from tests.simulation.broken import must
from tests.simulation.check_ledgers import proved
from tests.simulation.checks import read_models_stand, rewritten
from tests.simulation.healing import heal
from tests.simulation.moving import tell
from tests.simulation.steps import request
from tests.simulation.watch import fact_of
from tests.simulation.world import World

PERSONS = 2
"""Erased at the end of such a history."""


def forget(world: World) -> None:
    """Erase some persons, and see that nothing of theirs opens anywhere.

    Raises:
        Broken.
    """
    if not world.erases:
        return
    world.say("# erasing")
    world.rng.seed(world.seed * 1_000 + 999)
    persons = [person for file in _files(world) if (person := _erased(world, *file))]
    if not persons:
        return
    heal(world)
    world.look()
    for code in world.codes:
        rewritten(world.watch.accounts[code], world.nodes[code])
    _gone(world, persons)
    for code in world.codes:
        world.start(code)
    _gone(world, persons)
    read_models_stand(world)
    proved(world)


def _files(world: World) -> list[tuple[str, UUID]]:
    """Some of the files that are held, with their keepers: of who has moved first."""
    held = [file for file in world.watch.files.files.values() if file.closed is None]
    chosen = sorted(held, key=lambda file: (file.continues is None, world.rng.random()))
    return [(file.keeper, file.id) for file in chosen[:PERSONS]]


def _erased(world: World, code: str, file: UUID) -> UUID | None:
    """The person, if somebody could ask and grant it."""
    member = world.nodes[code].ledger.look_up(Member, file)
    _come_to_rest(world, code, member)
    erasure = Erasure.id_of(member.person, code, 1)
    asking = Asking(file, "consent_withdrawn")
    _insist(world, code, lambda: world.nodes[code].eraser.request(asking, Who(person="wang")))
    if _state(world, code, erasure) is State.REQUESTED:
        _insist(world, code, lambda: world.nodes[code].eraser.grant(erasure, Who(person="li")))
    for peer in world.others(code):
        world.points.arm(world.rng.choice((0, world.rng.randint(1, 12))))
        tell(world, code, peer)
        tell(world, peer, code)
        world.points.disarm()
    if _state(world, code, erasure) not in {State.GRANTED, State.COMPLETED}:
        return None
    world.happened["erased"] += 1
    return member.person


def _come_to_rest(world: World, code: str, member: Member) -> None:
    _, transfer = newest_transfer(world.nodes[code].ledger, member)
    asked: list[Command] = []
    if transfer is not None and transfer.state not in OVER:
        asked.append(WithdrawTransfer(transfer=transfer.id, reason="本人不去了"))
    if member.away is not None:
        day = world.desk.today(world.nodes[code])
        asked.append(RecordReturn(outflow=member.away, returned_on=day))
    for command in asked:
        world.surviving(code, lambda command=command: request(world, code, command))


def _insist(world: World, code: str, step: Callable[[], Any]) -> None:
    """Ask until there is an answer: the first time the node may fall over."""
    world.points.arm(world.rng.choice((0, world.rng.randint(1, 12))))
    done: list[Any] = []

    def once() -> None:
        try:
            done.append(step().version)
        except Refusal as refusal:
            done.append(refusal.code())

    while not done:
        world.surviving(code, once)
    world.points.disarm()
    world.say(f"{code}: erasing {done[0]}")


def _state(world: World, code: str, erasure: UUID) -> State | None:
    known = world.nodes[code].ledger.find(Erasure, erasure)
    return known and known.state


# What must hold of it.


def _gone(world: World, persons: list[UUID]) -> None:
    for code in world.codes:
        for person in persons:
            opened_nowhere(world, code, person)
    for person in persons:
        answered(world, person)


def opened_nowhere(world: World, code: str, person: UUID) -> None:
    """12: of an erased person no key is kept, no field opens, and no read model shows one."""
    node, account = world.nodes[code], world.watch.accounts[code]
    found = node.eraser.about(person)
    at = {"at": code, "person": person}
    kept = [row[0] for row in world.stage.key_rows(code) if row[1] in found.subjects]
    must(not kept, "Erased: no key is kept.", **at, keys=kept)
    for stream in found.streams:
        for entry in account.streams[stream]:
            fact = fact_of(entry)
            for name, _ in PERSONAL[fact.TOPIC]:
                value = getattr(fact, name)
                if isinstance(value, Sealed):
                    opens = open_field(fact, name, node.keyring) is not None
                    must(not opens, "Erased: nothing opens.", **at, topic=fact.TOPIC, name=name)
    for shared in HOLDING:
        for row in world.stage.rows(code, shared.name):
            shown = [name for name in shared.personal if row[name] is not None]
            gone = row[shared.table.key] in found.streams
            must(not (gone and shown), "Erased: nothing is shown.", **at, shown=shown)


def answered(world: World, person: UUID) -> None:
    """12: it is complete when everybody asked has answered, each once, and no sooner."""
    for code in world.codes:
        erasure = world.nodes[code].ledger.find(Erasure, Erasure.id_of(person, code, 1))
        if erasure is None or erasure.state not in {State.GRANTED, State.COMPLETED}:
            continue
        at = {"at": code, "erasure": erasure.id}
        must(erasure.state is State.COMPLETED, "Delivered: an erasure is completed.", **at)
        told = [fact_of(entry) for entry in world.watch.accounts[code].entries]
        [ended] = [
            n for n, f in enumerate(told) if isinstance(f, Erasure.Completed) and _of(f, erasure.id)
        ]
        for org in erasure.holders:
            id_ = Destruction.id_of(erasure.id, org)
            said = [n for n, f in enumerate(told) if f.originator_id == id_]
            answers = [n for n in said if isinstance(told[n], Destruction.Done)]
            must(len(answers) == 1 and answers[0] < ended, "Erased: all had answered.", **at)
        further = any(isinstance(fact, Destruction.Extended) for fact in told[:ended])
        world.happened["erased further"] += further


def _of(fact: Any, stream: UUID) -> bool:
    return bool(fact.originator_id == stream)
