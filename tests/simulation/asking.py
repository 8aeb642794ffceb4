"""办理: what officers of three organizations might ask for next, sensible or not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Any
from uuid import UUID

from stdnum.cn import ric

from domain.absence import OPEN
from domain.aggregate import CIVIL_ZONE
from domain.commands import (
    AcceptInflow,
    Command,
    CorrectContact,
    DeclineInflow,
    EndInflow,
    FindMember,
    HoldActivity,
    LapseOffer,
    LinkParticipation,
    MarkAttendance,
    OfferCare,
    RecallOffer,
    RecognizeClaim,
    RecordContact,
    RecordPhone,
    RecordRelocation,
    RecordReturn,
    RefuseClaim,
    RegisterMember,
    RegisterOutflow,
    ReissueLetter,
    ReportInflow,
    RequestTransfer,
    SendTransfer,
    ShareOutflow,
    VoidOutflow,
)
from domain.inflow import Inflow
from domain.outflow import Outflow
from tests.simulation.transferring import Transferring
from tests.support.federation import CHENGDU, ORIGIN, SHENZHEN

CODES = (ORIGIN, CHENGDU, SHENZHEN, "lanzhou", "wuhan", "xian", "xining")
"""The first so many of them take part."""

Kinds = dict[Callable[..., Command | None], int]
"""What can be asked, and how often it is."""


class Desk:
    """What has been asked so far, and what could be asked next of one organization."""

    def __init__(self, rng: Random, codes: tuple[str, ...], transfers: float = 0.0) -> None:
        self._rng, self._codes = rng, codes
        self._numbers = 0
        self.known: dict[Any, list[Any]] = defaultdict(list)
        self.numbers: dict[UUID, str] = {}
        """By the person's id, his id number."""
        self.rate, self.transferring = transfers, Transferring(rng, self)
        """How often a transfer is what is thought of."""
        self.agreed: Callable[[], date] | None = None
        """In place of each node's own date, where what is asked must not depend on clocks."""

    def ask(self, node: Any) -> Command | None:
        """A command for a node, chosen by what it knows; None when nothing comes to mind."""
        if self.rate and self._rng.random() < self.rate:
            return self.transferring.ask(node)
        outflow = self._outflow(node)
        if outflow is None:
            kinds = _BEGINNING
        elif self._rng.random() < 0.15:
            kinds = _ANYTHING
        else:
            kinds = self._fitting(node.settings.code, outflow)
        kind = self._rng.choices(list(kinds), list(kinds.values()))[0]
        made: Command | None = kind(self, node, outflow)
        return made

    def _fitting(self, code: str, outflow: Outflow) -> Kinds:
        """What an officer would do next about an absence."""
        waiting = outflow.open_offer
        if outflow.state not in OPEN:
            return _AFTERWARDS
        if outflow.keeper == code:
            if waiting:
                return _WAITING
            return _FREE if outflow.carer == code else _AWAY
        if waiting and waiting.host == code:
            return _OFFERED
        return _CARING if outflow.carer == code else _BESIDE

    def note(self, code: str, command: Command, id_: UUID) -> None:
        """Remember what was answered."""
        match command:
            case RegisterMember():
                self.known["member", code].append(id_)
                self.numbers[id_] = command.number
            case RequestTransfer():
                self.known["transfer"].append(id_)
            case SendTransfer() | ReissueLetter():
                self.transferring.sent(command)
            case RegisterOutflow():
                self.known["outflow"].append(id_)
            case FindMember():
                self.known["found", command.origin].append((code, id_))
            case RecordContact():
                self.known["contact", code].append(id_)
            case HoldActivity():
                self.known["activity", code].append(id_)

    def today(self, node: Any) -> date:
        """The civil date by that node's own clock."""
        if self.agreed is not None:
            return self.agreed()
        return node.clock().astimezone(CIVIL_ZONE).date()

    def day(self, node: Any) -> date:
        return self.today(node) - timedelta(days=self._rng.choice((0, 0, 0, 1, 3, 20, 400)))

    def pick(self, *kind: str) -> Any:
        found = self.known[kind if len(kind) > 1 else kind[0]]
        return self._rng.choice(found) if found else None

    def _outflow(self, node: Any) -> Outflow | None:
        here = [o for id_ in self.known["outflow"] if (o := node.ledger.find(Outflow, id_))]
        return self._rng.choice(here) if here else None

    def peer(self, node: Any) -> str:
        return self._rng.choice([code for code in self._codes if code != node.settings.code])

    # What can be asked.

    def wait(self, _: Any, __: Outflow) -> None:
        """Others have to speak first."""

    def register(self, node: Any, _: Outflow | None) -> Command:
        self._numbers += 1
        day = CODES.index(node.settings.code) + 1
        base = f"620902197702{day:02d}{self._numbers % 1000:03d}"
        number = base + ric.calc_check_digit(base + "0")
        return RegisterMember.model_validate(
            {
                "name": f"张{self._numbers}",
                "number": number,
                "joined_on": date(2000, 7, 1),
                "full_on": date(2001, 7, 1),
                "branch": "东沟村党支部",
                "phone": f"139{self._numbers:08d}",
                "family": "妻子李四",
            }
        )

    def depart(self, node: Any, _: Outflow | None) -> Command | None:
        member = self.pick("member", node.settings.code)
        if member is None:
            return self.register(node, None)
        left_on = self.today(node) - timedelta(days=self._rng.randint(30, 60))
        said = {"member": member, "left_on": left_on, "destination": "四川省成都市"}
        return RegisterOutflow.model_validate(said)

    def phone(self, node: Any, _: Outflow | None) -> Command | None:
        member = self.pick("member", node.settings.code)
        number = f"138{self._rng.randint(0, 10**8 - 1):08d}"
        return member and RecordPhone(member=member, phone=number)

    def offer(self, node: Any, outflow: Outflow) -> Command:
        days = self._rng.choice([1, 7, 30])
        host, claim = self.peer(node), None
        if self._rng.random() < 0.3 and (found := self.pick("found", node.settings.code)):
            host, claim = found
        return OfferCare(outflow=outflow.id, host=host, valid_days=days, claim=claim)

    def recall(self, _: Any, outflow: Outflow) -> Command:
        return RecallOffer(outflow=outflow.id, offer=self._number(outflow), reason="另行安排")

    def lapse(self, _: Any, outflow: Outflow) -> Command:
        return LapseOffer(outflow=outflow.id, offer=self._number(outflow))

    def _number(self, outflow: Outflow) -> int:
        if self._rng.random() < 0.9 and outflow.offers:
            return max(outflow.offers)
        return self._rng.randint(1, 3)

    def accept(self, node: Any, outflow: Outflow) -> Command:
        return AcceptInflow(
            outflow=outflow.id,
            offer=self._number(outflow),
            branch="驻外第一党支部",
            liaison="李干事",
            accepted_on=self.day(node),
        )

    def decline(self, _: Any, outflow: Outflow) -> Command:
        return DeclineInflow(
            outflow=outflow.id,
            offer=self._number(outflow),
            reason_code="not_here",
            reason="不在本地",
        )

    def arrive(self, node: Any, outflow: Outflow) -> Command:
        return ReportInflow(outflow=outflow.id, on=self.day(node))

    def link(self, _: Any, outflow: Outflow) -> Command:
        return LinkParticipation(outflow=outflow.id)

    def find(self, node: Any, _: Outflow | None) -> Command:
        return FindMember(origin=self.peer(node), name="王五", phone="13900001234")

    def answer_claim(self, node: Any, outflow: Outflow) -> Command | None:
        found = self.pick("found", node.settings.code)
        if found is None:
            return None
        if self._rng.random() < 0.3:
            return RefuseClaim(inflow=found[1], reason="不是本组织党员")
        return RecognizeClaim(inflow=found[1], outflow=outflow.id)

    def end(self, node: Any, outflow: Outflow) -> Command:
        inflow = Inflow.id_of(outflow.id, node.settings.code)
        return EndInflow(inflow=inflow, because="relocated", ended_on=self.today(node))

    def contact(self, node: Any, outflow: Outflow) -> Command:
        said = {"method": "电话", "by": "王联络", "condition": "身体健康"}
        return RecordContact.model_validate({"outflow": outflow.id, "on": self.day(node), **said})

    def mend_contact(self, node: Any, _: Outflow) -> Command | None:
        contact = self.pick("contact", node.settings.code)
        return contact and CorrectContact(contact=contact, condition="住院", reason="误记")

    def hold(self, node: Any, _: Outflow | None) -> Command:
        return HoldActivity(on=self.day(node), title="主题党日")

    def attend(self, node: Any, outflow: Outflow) -> Command | None:
        activity = self.pick("activity", node.settings.code)
        mark = self._rng.choice(["present", "absent", "sick"])
        return activity and MarkAttendance(activity=activity, outflow=outflow.id, mark=mark)

    def relocate(self, node: Any, outflow: Outflow) -> Command:
        return RecordRelocation(
            outflow=outflow.id, moved_on=self.today(node), destination="广东省深圳市"
        )

    def come_back(self, node: Any, outflow: Outflow) -> Command:
        return RecordReturn(outflow=outflow.id, returned_on=self.today(node))

    def void(self, _: Any, outflow: Outflow) -> Command:
        return VoidOutflow(outflow=outflow.id, reason="误登", second_person="复核人")

    def share(self, node: Any, outflow: Outflow) -> Command:
        return ShareOutflow(outflow=outflow.id, to=self.peer(node), purpose="联合管理")


_BEGINNING: Kinds = {Desk.depart: 3, Desk.find: 1, Desk.hold: 1}
_FREE: Kinds = {
    Desk.offer: 12,
    Desk.answer_claim: 5,
    Desk.share: 1,
    Desk.relocate: 1,
    Desk.come_back: 1,
    Desk.contact: 1,
    Desk.depart: 1,
    Desk.phone: 1,
}
_WAITING: Kinds = {
    Desk.wait: 12,
    Desk.recall: 3,
    Desk.lapse: 1,
    Desk.come_back: 1,
    Desk.void: 1,
    Desk.share: 1,
}
_AWAY: Kinds = {
    Desk.wait: 2,
    Desk.relocate: 4,
    Desk.come_back: 1,
    Desk.contact: 2,
    Desk.attend: 1,
}
_OFFERED: Kinds = {Desk.accept: 14, Desk.decline: 2, Desk.arrive: 1}
_CARING: Kinds = {
    Desk.contact: 4,
    Desk.mend_contact: 1,
    Desk.hold: 2,
    Desk.attend: 4,
    Desk.end: 1,
}
_BESIDE: Kinds = {Desk.wait: 4, Desk.arrive: 1, Desk.link: 1, Desk.find: 1, Desk.hold: 1}
_AFTERWARDS: Kinds = {Desk.depart: 4, Desk.contact: 1, Desk.find: 1, Desk.wait: 3}
_ANYTHING: Kinds = {
    kind: 1
    for kinds in (_BEGINNING, _FREE, _WAITING, _AWAY, _OFFERED, _CARING, _BESIDE)
    for kind in kinds
}
