"""剧本·转接: whole transfers, refused ones, lost letters; a node falls over at a chosen place."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

from domain.admission import Admission
from domain.commands import (
    AdmitByLetter,
    AdmitTransfer,
    ApproveTransfer,
    OfferCare,
    RefuseTransfer,
    RegisterOutflow,
    ReissueLetter,
    ReportLetterLost,
    RequestTransfer,
    ReturnSlip,
    SendTransfer,
    WithdrawContact,
    WithdrawTransfer,
)
from domain.passage import State
from domain.transfer import Transfer
from tests.simulation.broken import must
from tests.simulation.scripts import Script, Scripted, accepted, cared_for, contact_of
from tests.simulation.transferring import DUES, HANDLED
from tests.simulation.watch import fact_of
from tests.support.federation import CHENGDU, ORIGIN, SHENZHEN

LEVELS = ("branch", "committee")


def _member(world: Scripted) -> UUID:
    known: UUID = world.desk.known["member", ORIGIN][0]
    return known


def _approved(world: Scripted, member: UUID, origin: str = ORIGIN, to: str = CHENGDU) -> UUID:
    said = {"member": member, "to": to, "by": "organization"}
    transfer = world.do(origin, RequestTransfer.model_validate(said))
    for level in LEVELS:
        approve = {"transfer": transfer, "level": level}
        world.do(origin, ApproveTransfer.model_validate(approve))
    return transfer


def _send(world: Scripted, transfer: UUID, origin: str = ORIGIN, **said: Any) -> None:
    world.do(origin, SendTransfer(transfer=transfer, dues_paid_to=DUES, **said))


def _admit(transfer: UUID, dispatch: int = 1, on: str = "2026-01-05") -> AdmitTransfer:
    said = {"dispatch": dispatch, "branch": "新区第一党支部", "admitted_on": on}
    return AdmitTransfer.model_validate({"transfer": transfer, **said})


def _slip(transfer: UUID) -> ReturnSlip:
    return ReturnSlip.model_validate({"transfer": transfer, **HANDLED})


def _refuse(transfer: UUID) -> RefuseTransfer:
    said = {"dispatch": 1, "reason_code": "file_incomplete", "reason": "档案不全"}
    return RefuseTransfer.model_validate({"transfer": transfer, **said})


def _complete(world: Scripted, transfer: UUID, dispatch: int = 1, on: str = "2026-01-05") -> None:
    world.carry(ORIGIN, CHENGDU)
    world.do(CHENGDU, _admit(transfer, dispatch, on))
    world.carry(CHENGDU, ORIGIN)
    world.do(CHENGDU, _slip(transfer))
    world.carry(CHENGDU, ORIGIN)
    world.carry(ORIGIN, CHENGDU)


# How it must have ended, whoever fell over, and where.

_ONCE = ("transfer.completed", "member.released", "member.received", "admission.filed")


def _counted(world: Scripted) -> Counter[str]:
    """How often each thing was said, by its keeper."""
    return Counter(
        entry.record.topic
        for code, account in world.watch.accounts.items()
        for entry in account.entries
        if fact_of(entry).meta.keeper == code
    )


def _moved(world: Scripted, member: UUID, to: str, *, legs: int = 1, **said: int) -> None:
    """The file is at its new keeper, of each step there is one, and as often this was said."""
    last = world.watch.files.line(member)
    held = last is not None and (last.keeper, last.closed) == (to, None)
    must(held, "Conserved: the file goes on there.", to=to, last=last)
    counted = _counted(world)
    times = {topic: counted[topic] for topic in _ONCE}
    must(set(times.values()) == {legs}, "Once: each step of a transfer.", **times)
    for name, number in said.items():
        topic = name.replace("__", ".")
        must(counted[topic] == number, "Once: no more and no less.", topic=topic, n=counted[topic])


def _knows(world: Scripted, code: str, *streams: UUID) -> None:
    for stream in streams:
        there = stream in world.watch.accounts[code].streams
        must(there, "Delivered: history follows.", at=code, stream=stream)


def _stands(world: Scripted, transfer: UUID, state: State) -> None:
    for code in (ORIGIN, CHENGDU):
        seen = world.nodes[code].ledger.look_up(Transfer, transfer).state
        must(seen is state, "Converged: how the transfer stands.", at=code, seen=seen)


# The days.


def transferred(world: Scripted) -> None:
    """Levels, dispatch, admission, slip, the file's new keeper; what was known goes along."""
    outflow = cared_for(world, SHENZHEN)
    member = _member(world)
    early = [world.do(code, contact_of(outflow)) for code in (SHENZHEN, ORIGIN)]
    world.carry(SHENZHEN, ORIGIN)
    transfer = _approved(world, member)
    _send(world, transfer)
    _complete(world, transfer)
    world.meet(ORIGIN, CHENGDU, SHENZHEN)
    world.ends += [
        lambda: _moved(world, member, CHENGDU, contact__shared=2, outflow__closed=1),
        lambda: _stands(world, transfer, State.COMPLETED),
        lambda: _knows(world, CHENGDU, outflow, *early),
    ]


def late_facts_follow(world: Scripted) -> None:
    """What a former host records late is handed on by itself, and by nobody else."""
    outflow = cared_for(world, SHENZHEN)
    member = _member(world)
    transfer = _approved(world, member)
    _send(world, transfer)
    _complete(world, transfer)
    world.meet(ORIGIN, CHENGDU, SHENZHEN)
    late = world.do(SHENZHEN, contact_of(outflow))
    own = world.do(ORIGIN, contact_of(outflow))
    world.work(SHENZHEN)
    world.work(ORIGIN)
    world.meet(ORIGIN, CHENGDU, SHENZHEN)
    world.ends += [
        lambda: _moved(world, member, CHENGDU, contact__shared=2, transfer__forwarded=0),
        lambda: _knows(world, CHENGDU, outflow, late, own),
    ]


def forwarded_for_a_host(world: Scripted) -> None:
    """A former host has not heard where he is: after a day the old keeper passes its word on."""
    outflow = cared_for(world, SHENZHEN)
    member = _member(world)
    transfer = _approved(world, member)
    _send(world, transfer)
    _complete(world, transfer)
    world.carry(CHENGDU, ORIGIN)
    late = world.do(SHENZHEN, contact_of(outflow))
    world.carry(SHENZHEN, ORIGIN)
    world.now += timedelta(days=3)
    world.work(ORIGIN)
    world.carry(ORIGIN, CHENGDU)

    def once() -> None:
        facts = world.watch.accounts[CHENGDU].facts(transfer)
        said = Counter((f.record, f.record_version) for f in facts if isinstance(f, _FORWARDED))
        must(set(said.values()) == {1}, "Once: each record is passed on.", said=said)
        must(said[late, 1] == 1, "Delivered: the late one too.", said=said)

    world.ends += [lambda: _moved(world, member, CHENGDU), once]


_FORWARDED = Transfer.Forwarded


def a_host_becomes_the_keeper(world: Scripted) -> None:
    """Of what was passed on for a host, the host hears when the file comes to it."""
    outflow = cared_for(world, SHENZHEN)
    member = _member(world)
    first = _approved(world, member)
    _send(world, first)
    _complete(world, first)
    world.carry(CHENGDU, ORIGIN)
    late = world.do(SHENZHEN, contact_of(outflow))
    world.carry(SHENZHEN, ORIGIN)
    world.now += timedelta(days=3)
    world.work(ORIGIN)
    world.meet(ORIGIN, CHENGDU)
    here = world.nodes[CHENGDU].ledger.look_up(Admission, Admission.id_of(first, CHENGDU)).file
    assert here is not None
    # Withdrawn by its host, who is told later that the old keeper has passed it on as it was.
    world.do(SHENZHEN, WithdrawContact(contact=late, reason="重复"))
    second = _approved(world, here, CHENGDU, SHENZHEN)
    _send(world, second, CHENGDU)
    world.meet(ORIGIN, CHENGDU, SHENZHEN)
    world.do(SHENZHEN, _admit(second, on="2026-01-08"))
    world.do(SHENZHEN, _slip(second))
    for _ in range(2):
        world.meet(ORIGIN, CHENGDU, SHENZHEN)

    def stays_withdrawn() -> None:
        for code in (ORIGIN, CHENGDU, SHENZHEN):
            rows = {row["contact"]: row for row in world.stage.rows(code, "contact")}
            must(rows[late]["withdrawn"], "Converged: a contact is withdrawn.", at=code)

    world.ends += [
        lambda: _moved(world, member, SHENZHEN, legs=2),
        lambda: must(_counted(world)["transfer.forwarded"], "Delivered: it was passed on."),
        stays_withdrawn,
    ]


def admitted_by_letter(world: Scripted) -> None:
    """The bearer of a letter is there before the lane is."""
    world.away()
    member = _member(world)
    transfer = _approved(world, member)
    until = world.clock(ORIGIN) + timedelta(days=30)
    _send(world, transfer, channel="letter", letter="第1号", valid_days=30)
    said = {"dispatch": 1, "origin": ORIGIN, "person": member, "until": until}
    said |= {"sent_on": "2026-01-05", "number": world.desk.numbers[member]}
    said |= {"branch": "新区第一党支部", "admitted_on": "2026-01-05"}
    world.do(CHENGDU, AdmitByLetter.model_validate({"transfer": transfer, **said}))
    world.meet(ORIGIN, CHENGDU)
    world.do(CHENGDU, _slip(transfer))
    world.meet(ORIGIN, CHENGDU)
    world.ends += [
        lambda: _moved(world, member, CHENGDU, admission__admitted=1),
        lambda: _stands(world, transfer, State.COMPLETED),
    ]


def lost_and_reissued(world: Scripted) -> None:
    """An admission crosses the loss of its letter: it is void, and the next one counts."""
    world.away()
    member = _member(world)
    transfer = _approved(world, member)
    _send(world, transfer, channel="letter", letter="第1号", valid_days=30)
    world.carry(ORIGIN, CHENGDU)
    world.do(ORIGIN, ReportLetterLost(transfer=transfer, reason="途中遗失"))
    world.do(CHENGDU, _admit(transfer))
    world.meet(ORIGIN, CHENGDU)
    reissue = {"transfer": transfer, "letter": "第2号", "valid_days": 30, "basis": "支部证明"}
    world.do(ORIGIN, ReissueLetter.model_validate(reissue))
    _complete(world, transfer, 2)
    world.meet(ORIGIN, CHENGDU)
    world.ends += [
        lambda: _moved(world, member, CHENGDU, transfer__admission_void=1, transfer__admitted=1),
        lambda: _stands(world, transfer, State.COMPLETED),
    ]


def expired_and_reissued(world: Scripted) -> None:
    """A letter runs out by itself, once."""
    world.away()
    member = _member(world)
    transfer = _approved(world, member)
    _send(world, transfer, valid_days=1)
    world.carry(ORIGIN, CHENGDU)
    world.now += timedelta(days=2)
    world.work(ORIGIN)
    world.tries(CHENGDU, _admit(transfer, on="2026-01-07"))
    world.meet(ORIGIN, CHENGDU)
    world.do(ORIGIN, ReissueLetter(transfer=transfer, basis="支部证明", valid_days=30))
    _complete(world, transfer, 2, on="2026-01-07")
    world.meet(ORIGIN, CHENGDU)
    world.ends += [
        lambda: _moved(world, member, CHENGDU, transfer__expired=1),
        lambda: _stands(world, transfer, State.COMPLETED),
    ]


def _refused(world: Scripted) -> UUID:
    """Contested, and looked at by both departments when its time has run out: nothing ends."""
    world.away()
    transfer = _approved(world, _member(world))
    _send(world, transfer, valid_days=90)
    world.carry(ORIGIN, CHENGDU)
    world.do(CHENGDU, _refuse(transfer))
    world.meet(ORIGIN, CHENGDU)
    world.now += timedelta(days=40)
    for code in (ORIGIN, CHENGDU):
        world.work(code)
    rows = {row["transfer"]: row for row in world.stage.rows(ORIGIN, "transfer")}
    must(rows[transfer]["state"] == State.DISPUTED, "Legal: a dispute waits for people.")
    return transfer


def refused_and_sent_again(world: Scripted) -> None:
    """After the dispute it is sent again, and completed."""
    transfer = _refused(world)
    member = _member(world)
    _send(world, transfer)
    _complete(world, transfer, 2, on="2026-02-14")
    world.meet(ORIGIN, CHENGDU)
    world.ends += [
        lambda: _moved(world, member, CHENGDU, transfer__contested=1, admission__refused=1),
        lambda: _stands(world, transfer, State.COMPLETED),
    ]


def refused_and_withdrawn(world: Scripted) -> None:
    """After the dispute the origin keeps him; his next transfer is another one."""
    transfer = _refused(world)
    member = _member(world)
    world.do(ORIGIN, WithdrawTransfer(transfer=transfer, reason="本人不去了"))
    world.tries(CHENGDU, _admit(transfer, on="2026-02-14"))
    world.meet(ORIGIN, CHENGDU)

    def stays() -> None:
        last = world.watch.files.line(member)
        must(last and last.keeper == ORIGIN and last.closed is None, "Conserved: he stays.")
        counted = _counted(world)
        times = {name: counted[f"transfer.{name}"] for name in ("contested", "withdrawn")}
        must(set(times.values()) == {1} and not counted["member.released"], "Once.", **times)

    world.ends += [stays, lambda: _stands(world, transfer, State.WITHDRAWN)]


def goes_on_to_a_third(world: Scripted) -> None:
    """A to B to C: the first keeper hands on what it keeps, and the last one traces it."""
    outflow = world.away()
    member = _member(world)
    called = world.do(ORIGIN, contact_of(outflow))
    first = _approved(world, member)
    _send(world, first)
    _complete(world, first)
    world.meet(ORIGIN, CHENGDU)
    here = world.nodes[CHENGDU].ledger.look_up(Admission, Admission.id_of(first, CHENGDU)).file
    assert here is not None
    away = {"member": here, "left_on": "2026-01-05", "destination": "广东省深圳市"}
    again = world.do(CHENGDU, RegisterOutflow.model_validate(away))
    second = _approved(world, here, CHENGDU, SHENZHEN)
    _send(world, second, CHENGDU)
    world.carry(CHENGDU, SHENZHEN)
    world.do(SHENZHEN, _admit(second))
    world.do(SHENZHEN, _slip(second))
    world.carry(SHENZHEN, CHENGDU)
    world.carry(CHENGDU, SHENZHEN)
    for _ in range(2):
        world.meet(ORIGIN, CHENGDU, SHENZHEN)
    world.ends += [
        lambda: _moved(world, member, SHENZHEN, legs=2, admission__passed_on=1),
        lambda: _knows(world, SHENZHEN, member, outflow, called, first, again),
    ]


def heard_before_the_release(world: Scripted) -> None:
    """A host hears of the new keeper's file before it hears that the old one has released it."""
    outflow = world.away()
    member = _member(world)
    world.do(ORIGIN, OfferCare(outflow=outflow, host=SHENZHEN))
    world.carry(ORIGIN, SHENZHEN)
    transfer = _approved(world, member)
    _send(world, transfer)
    _complete(world, transfer)
    here = world.nodes[CHENGDU].ledger.look_up(Admission, Admission.id_of(transfer, CHENGDU)).file
    away = {"member": here, "left_on": "2026-01-03", "destination": "广东省深圳市"}
    again = world.do(CHENGDU, RegisterOutflow.model_validate(away))
    world.do(CHENGDU, OfferCare(outflow=again, host=SHENZHEN))
    world.carry(CHENGDU, SHENZHEN)
    world.meet(ORIGIN, CHENGDU, SHENZHEN)
    world.do(SHENZHEN, accepted(again))
    world.meet(ORIGIN, CHENGDU, SHENZHEN)
    world.ends += [
        lambda: _moved(world, member, CHENGDU, outflow__confirmed=1),
        lambda: _knows(world, SHENZHEN, again, *filter(None, [here])),
    ]


TRANSFERS: tuple[Script, ...] = (
    transferred,
    late_facts_follow,
    forwarded_for_a_host,
    a_host_becomes_the_keeper,
    admitted_by_letter,
    lost_and_reissued,
    expired_and_reissued,
    refused_and_sent_again,
    refused_and_withdrawn,
    goes_on_to_a_third,
    heard_before_the_release,
)
