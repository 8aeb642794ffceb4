"""剧本: scripted days of three organizations, in which a node falls over at a chosen place."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from api.node import Node
from domain.commands import (
    AcceptInflow,
    Command,
    CorrectContact,
    DeclineInflow,
    EndInflow,
    FindMember,
    HoldActivity,
    LinkParticipation,
    MarkAttendance,
    OfferCare,
    RecallOffer,
    RecognizeClaim,
    RecordContact,
    RecordRelocation,
    RecordReturn,
    RefuseClaim,
    ReportInflow,
    ShareOutflow,
    VoidOutflow,
)
from domain.errors import Refusal
from domain.inflow import Inflow
from sync.envelope import LaneReceipt, Sealed
from tests.simulation.broken import must
from tests.simulation.checks import check
from tests.simulation.faults import Crash
from tests.simulation.healing import heal
from tests.simulation.plan import HIGHEST, Plan
from tests.simulation.steps import sign_ledger
from tests.simulation.transferring import person_of
from tests.simulation.watch import durable
from tests.simulation.world import Done, World
from tests.support.federation import CHENGDU, ORIGIN, SHENZHEN

NOTHING = dict.fromkeys(HIGHEST, 0.0)
SEED = 1

HOLD = timedelta(seconds=11)
"""For as long a node waits for its witnesses after a start."""


class Scripted(World):
    """A world in which nothing happens by chance, and a node falls over once, or twice."""

    def __init__(self, stage: Any, first: int = 0, second: int = 0) -> None:
        codes = (ORIGIN, CHENGDU, SHENZHEN)
        plan = Plan(
            codes, over_broker=False, slow=None, files=(), strangers=(), apart=5, rates=NOTHING
        )
        super().__init__(stage, SEED, plan=plan)
        self.skew = dict.fromkeys(codes, timedelta())
        self._first, self._second = first, second
        self.fell: list[str] = []
        self.signs = False
        self.ends: list[Callable[[], None]] = []
        """What must hold besides, once all is quiet."""

    def play(self, script: Script) -> int:
        """The day, then the peace after it; how many places were passed at which it could fall.

        Raises:
            Broken: with what does not hold.
        """
        with self.alive():
            before = self.points.passed.total()
            self.points.arm(self._first)
            script(self)
            self.points.disarm()
            self._second = 0
            passed = self.points.passed.total() - before
            heal(self)
            check(self)
            for end in self.ends:
                end()
        return passed

    def whole(self, code: str, step: Callable[[Node], Any]) -> Any:
        """What a node does, again after it has fallen over, until it is done."""
        while True:
            try:
                return step(self.nodes[code])
            except Crash as crash:
                self.fell.append(f"{code} {crash}")
                self.restart(code)
                if self.signs:
                    self.now += HOLD
                self.points.arm(self._second)
                self._second = 0

    # What can be scripted.

    def do(self, code: str, command: Command) -> UUID:
        """An officer asks until he is answered; a refusal that comes of it is an answer too."""
        self.asked += 1
        key = f"script-{self.asked}"

        def ask(node: Node) -> UUID:
            receipt = node.execute(command, key=key, person=person_of(command))
            self.look()
            durable(self.watch.accounts[code], receipt.id, receipt.version)
            self.done.append(Done(code, key, receipt))
            self.desk.note(code, command, receipt.id)
            return receipt.id

        return UUID(str(self.whole(code, ask)))

    def tries(self, code: str, command: Command) -> None:
        """As do, of what may have been overtaken."""
        try:
            self.do(code, command)
        except Refusal as refusal:
            self.say(f"{code}: refused, {refusal.code()}")

    def away(self) -> UUID:
        """A member leaves."""
        self.desk.known["member", ORIGIN] = []
        register: Any = self.desk.depart(self.nodes[ORIGIN], None)
        self.desk.known["member", ORIGIN] = [self.do(ORIGIN, register)]
        depart: Any = self.desk.depart(self.nodes[ORIGIN], None)
        return self.do(ORIGIN, depart)

    def work(self, code: str) -> None:
        """A node's own threads take a turn each."""
        self.whole(code, lambda node: node.answer_arrivals())
        self.whole(code, lambda node: node.relay.number())
        self.whole(code, lambda node: node.projector.catch_up())
        self.whole(code, lambda node: node.lapse_offers())
        self.whole(code, lambda node: node.further_transfers())
        if self.signs:
            self.whole(code, lambda _: sign_ledger(self, code))

    def carry(self, source: str, to: str, *, lose_answer: bool = False) -> None:
        """News travels one way, and the answer back."""
        self.whole(source, lambda node: node.relay.number())
        after = self.nodes[to].lanes.standing_in(source).number
        wire, _ = self.nodes[source].relay.batch(to, after)
        outcome = self.whole(to, lambda node: node.inbox.accept(wire))
        if not lose_answer and Sealed(outcome.answer).kind == LaneReceipt.KIND:
            self.whole(source, lambda node: node.relay.acknowledge(outcome.answer))
        self.work(to)

    def meet(self, *codes: str) -> None:
        """Everybody named hears everybody."""
        for _ in range(2):
            for source in codes:
                for to in codes:
                    if source != to:
                        self.carry(source, to)


Script = Callable[[Scripted], None]


def accepted(outflow: UUID, offer: int = 1) -> AcceptInflow:
    said = {"branch": "驻外第一党支部", "liaison": "李干事", "accepted_on": "2026-01-04"}
    return AcceptInflow.model_validate({"outflow": outflow, "offer": offer, **said})


def contact_of(outflow: UUID, on: str = "2026-01-04") -> RecordContact:
    said = {"outflow": outflow, "on": on, "method": "电话", "by": "王联络"}
    return RecordContact.model_validate(said)


def _ended(outflow: UUID, host: str, because: str = "relocated") -> EndInflow:
    said = {"inflow": Inflow.id_of(outflow, host), "because": because, "ended_on": "2026-01-04"}
    return EndInflow.model_validate(said)


def _returned(outflow: UUID) -> RecordReturn:
    return RecordReturn.model_validate({"outflow": outflow, "returned_on": "2026-01-05"})


def _relocated(outflow: UUID) -> RecordRelocation:
    said = {"outflow": outflow, "moved_on": "2026-01-04", "destination": "广东省深圳市"}
    return RecordRelocation.model_validate(said)


def cared_for(world: Scripted, host: str = CHENGDU) -> UUID:
    outflow = world.away()
    world.do(ORIGIN, OfferCare(outflow=outflow, host=host))
    world.meet(ORIGIN, host)
    world.do(host, accepted(outflow))
    world.meet(ORIGIN, host)
    return outflow


def departs(world: Scripted) -> None:
    world.away()
    world.work(ORIGIN)


def offered_and_accepted(world: Scripted) -> None:
    cared_for(world)


def offered_and_declined(world: Scripted) -> None:
    outflow = world.away()
    world.do(ORIGIN, OfferCare(outflow=outflow, host=CHENGDU))
    world.meet(ORIGIN, CHENGDU)
    said = {"outflow": outflow, "offer": 1, "reason_code": "not_here", "reason": "不在本地"}
    world.do(CHENGDU, DeclineInflow.model_validate(said))
    world.meet(ORIGIN, CHENGDU)


def acceptance_crosses_recall(world: Scripted) -> None:
    outflow = world.away()
    world.do(ORIGIN, OfferCare(outflow=outflow, host=CHENGDU))
    world.carry(ORIGIN, CHENGDU)
    world.do(ORIGIN, RecallOffer(outflow=outflow, offer=1, reason="另行安排"))
    world.do(CHENGDU, accepted(outflow))
    world.meet(ORIGIN, CHENGDU)


def recalled_and_offered_to_another(world: Scripted) -> None:
    outflow = world.away()
    world.do(ORIGIN, OfferCare(outflow=outflow, host=CHENGDU))
    world.carry(ORIGIN, CHENGDU)
    world.do(ORIGIN, RecallOffer(outflow=outflow, offer=1, reason="另行安排"))
    world.do(ORIGIN, OfferCare(outflow=outflow, host=SHENZHEN))
    world.do(CHENGDU, accepted(outflow))
    world.meet(ORIGIN, SHENZHEN)
    world.do(SHENZHEN, accepted(outflow, 2))
    world.meet(ORIGIN, CHENGDU, SHENZHEN)


def an_offer_lapses(world: Scripted) -> None:
    outflow = world.away()
    world.do(ORIGIN, OfferCare(outflow=outflow, host=CHENGDU, valid_days=1))
    world.carry(ORIGIN, CHENGDU)
    world.now += timedelta(days=3)
    world.work(ORIGIN)
    world.tries(CHENGDU, accepted(outflow))
    world.meet(ORIGIN, CHENGDU)


def acceptance_crosses_lapse(world: Scripted) -> None:
    outflow = world.away()
    world.do(ORIGIN, OfferCare(outflow=outflow, host=CHENGDU, valid_days=1))
    world.carry(ORIGIN, CHENGDU)
    world.do(CHENGDU, accepted(outflow))
    world.now += timedelta(days=3)
    world.work(ORIGIN)
    world.meet(ORIGIN, CHENGDU)


def a_lost_answer(world: Scripted) -> None:
    outflow = world.away()
    world.do(ORIGIN, OfferCare(outflow=outflow, host=CHENGDU))
    world.carry(ORIGIN, CHENGDU, lose_answer=True)
    world.do(CHENGDU, accepted(outflow))
    world.carry(CHENGDU, ORIGIN, lose_answer=True)
    world.carry(CHENGDU, ORIGIN)
    world.carry(ORIGIN, CHENGDU)


def comes_back(world: Scripted) -> None:
    outflow = cared_for(world)
    world.do(ORIGIN, _returned(outflow))
    world.meet(ORIGIN, CHENGDU)


def ended_by_the_host(world: Scripted) -> None:
    outflow = cared_for(world)
    world.do(CHENGDU, _ended(outflow, CHENGDU, "returned"))
    world.meet(ORIGIN, CHENGDU)
    world.do(ORIGIN, _returned(outflow))
    world.meet(ORIGIN, CHENGDU)


def end_crosses_return(world: Scripted) -> None:
    outflow = cared_for(world)
    world.do(ORIGIN, _returned(outflow))
    world.do(CHENGDU, _ended(outflow, CHENGDU))
    world.meet(ORIGIN, CHENGDU)


def moves_on(world: Scripted) -> None:
    outflow = cared_for(world)
    world.do(CHENGDU, _ended(outflow, CHENGDU))
    world.meet(ORIGIN, CHENGDU)
    world.do(ORIGIN, _relocated(outflow))
    world.do(ORIGIN, OfferCare(outflow=outflow, host=SHENZHEN))
    world.meet(ORIGIN, SHENZHEN)
    world.do(SHENZHEN, accepted(outflow, 2))
    world.meet(ORIGIN, CHENGDU, SHENZHEN)


def contacts_of_both(world: Scripted) -> None:
    outflow = cared_for(world)
    made = world.do(CHENGDU, contact_of(outflow))
    world.do(ORIGIN, contact_of(outflow))
    world.meet(ORIGIN, CHENGDU)
    said = {"contact": made, "reason": "误记", "condition": "住院"}
    world.do(CHENGDU, CorrectContact.model_validate(said))
    world.meet(ORIGIN, CHENGDU)


def a_day_of_the_branch(world: Scripted) -> None:
    outflow = cared_for(world)
    held = HoldActivity.model_validate({"on": "2026-01-04", "title": "主题党日"})
    day = world.do(CHENGDU, held)
    world.do(CHENGDU, MarkAttendance(activity=day, outflow=outflow, mark="present"))
    world.meet(ORIGIN, CHENGDU)


def reports_himself(world: Scripted) -> None:
    outflow = world.away()
    world.do(ORIGIN, ShareOutflow(outflow=outflow, to=CHENGDU, purpose="联合管理"))
    world.meet(ORIGIN, CHENGDU)
    said = {"outflow": outflow, "on": "2026-01-03"}
    world.do(CHENGDU, ReportInflow.model_validate(said))
    world.meet(ORIGIN, CHENGDU)


def found_and_recognized(world: Scripted) -> None:
    outflow = world.away()
    inflow = world.do(CHENGDU, FindMember(origin=ORIGIN, name="王五", phone="13900001234"))
    world.meet(ORIGIN, CHENGDU)
    world.do(ORIGIN, RecognizeClaim(inflow=inflow, outflow=outflow))
    world.do(ORIGIN, OfferCare(outflow=outflow, host=CHENGDU, claim=inflow))
    world.meet(ORIGIN, CHENGDU)
    world.do(CHENGDU, accepted(outflow))
    world.meet(ORIGIN, CHENGDU)


def found_and_refused(world: Scripted) -> None:
    inflow = world.do(CHENGDU, FindMember(origin=ORIGIN, name="王五", phone="13900001234"))
    world.meet(ORIGIN, CHENGDU)
    world.do(ORIGIN, RefuseClaim(inflow=inflow, reason="不是本组织党员"))
    world.meet(ORIGIN, CHENGDU)


def takes_part_elsewhere(world: Scripted) -> None:
    outflow = cared_for(world)
    world.do(ORIGIN, ShareOutflow(outflow=outflow, to=SHENZHEN, purpose="联合走访"))
    world.meet(ORIGIN, SHENZHEN)
    world.do(SHENZHEN, LinkParticipation(outflow=outflow))
    world.do(SHENZHEN, contact_of(outflow))
    world.meet(ORIGIN, CHENGDU, SHENZHEN)


def registered_in_error(world: Scripted) -> None:
    outflow = world.away()
    world.do(ORIGIN, OfferCare(outflow=outflow, host=CHENGDU))
    world.carry(ORIGIN, CHENGDU)
    void = VoidOutflow(outflow=outflow, reason="误登", second_person="复核人")
    world.do(ORIGIN, void)
    world.do(CHENGDU, accepted(outflow))
    world.meet(ORIGIN, CHENGDU)


def two_members_at_once(world: Scripted) -> None:
    first, second = world.away(), world.away()
    world.do(ORIGIN, OfferCare(outflow=first, host=CHENGDU))
    world.do(ORIGIN, OfferCare(outflow=second, host=SHENZHEN))
    world.meet(ORIGIN, CHENGDU, SHENZHEN)
    world.do(CHENGDU, accepted(first))
    world.do(SHENZHEN, accepted(second))
    world.meet(ORIGIN, CHENGDU, SHENZHEN)


def late_contact_after_return(world: Scripted) -> None:
    outflow = cared_for(world)
    world.do(ORIGIN, _returned(outflow))
    world.do(CHENGDU, contact_of(outflow))
    world.meet(ORIGIN, CHENGDU)


def witnessed(world: Scripted) -> None:
    """Checkpoints are signed, shown, cosigned, proved from one another, and told of to a third."""
    world.signs = True
    outflow = cared_for(world)
    world.do(CHENGDU, contact_of(outflow))
    world.meet(ORIGIN, CHENGDU, SHENZHEN)
    world.do(ORIGIN, contact_of(outflow))
    world.meet(ORIGIN, CHENGDU, SHENZHEN)
    world.ends.append(lambda: _all_have_cosigned(world))


def _all_have_cosigned(world: Scripted) -> None:
    for us, them in world.pairs:
        _, size = world.nodes[us].lanes.cosigned(them)
        must(size, "Delivered: each ledger has its witnesses.", at=us, peer=them)


SCRIPTS: tuple[Script, ...] = (
    departs,
    offered_and_accepted,
    offered_and_declined,
    acceptance_crosses_recall,
    recalled_and_offered_to_another,
    an_offer_lapses,
    acceptance_crosses_lapse,
    a_lost_answer,
    comes_back,
    ended_by_the_host,
    end_crosses_return,
    moves_on,
    contacts_of_both,
    a_day_of_the_branch,
    reports_himself,
    found_and_recognized,
    found_and_refused,
    takes_part_elsewhere,
    registered_in_error,
    two_members_at_once,
    late_contact_after_return,
    witnessed,
)
