"""Two organizations with some history between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from api.storage.server import EmbeddedServer
from domain.commands import (
    AcceptInflow,
    AdmitTransfer,
    AdoptPolicy,
    ApproveTransfer,
    AskCorrection,
    CorrectAttendance,
    CorrectContact,
    CorrectIdentity,
    DeclineInflow,
    EndInflow,
    FindMember,
    HoldActivity,
    LinkParticipation,
    MarkAttendance,
    OfferCare,
    RecallOffer,
    RecognizeClaim,
    RecordAddress,
    RecordContact,
    RecordInflowDetails,
    RecordPhone,
    RecordRelocation,
    RecordReturn,
    RecordVisit,
    RegisterMember,
    RegisterOutflow,
    ReportInflow,
    ReportLost,
    ReportOutflow,
    RequestTransfer,
    SendTransfer,
    ShareOutflow,
    VoidOutflow,
    WithdrawContact,
)
from domain.policy import Terms
from tests.support.people import LI_NUMBER, ZHANG_NUMBER, register_member
from tests.support.postgres import empty_schema
from tests.support.sides import Side, acquaint, settle, sides
from tests.support.story import CHENGDU, ORIGIN, TODAY

NUMBERS = (ZHANG_NUMBER, LI_NUMBER, "11010519491231002X", "620902195003151235")


class Pair(NamedTuple):
    """The two sides."""

    origin: Side
    host: Side

    def settle(self) -> None:
        settle(self.origin, self.host)


@contextmanager
def acquainted(url: str) -> Iterator[Pair]:
    """An origin and a host on schemas of their own."""
    with (
        empty_schema(url) as one,
        empty_schema(url) as other,
        sides(url, (one.schema, ORIGIN), (other.schema, CHENGDU)) as made,
    ):
        yield Pair(*made)


@pytest.fixture(scope="package")
def schemas(postgres: EmbeddedServer) -> Iterator[Pair]:
    """One pair for a worker."""
    with acquainted(postgres.url) as made:
        yield made


@pytest.fixture
def pair(schemas: Pair) -> Pair:
    """An origin and a host, acquainted, without members."""
    for side in schemas:
        side.wipe()
    acquaint(list(schemas))
    return schemas


def leave(pair: Pair, number: str = ZHANG_NUMBER, **details: Any) -> UUID:
    """A member on file, and away since March."""
    member = pair.origin.do(register_member(number=number, phone="13900001234")).id
    said = {"member": member, "left_on": date(2025, 3, 1), "destination": "成都", **details}
    return pair.origin.do(RegisterOutflow.model_validate(said)).id


def offer(pair: Pair, outflow: UUID, **details: Any) -> None:
    """Chengdu is asked, and hears of it."""
    pair.origin.do(OfferCare(outflow=outflow, host=CHENGDU, **details))
    pair.settle()


def accept(pair: Pair, outflow: UUID, number: int = 1, on: date = date(2025, 3, 10)) -> UUID:
    """Chengdu says yes, and the origin confirms."""
    receipt = pair.host.do(
        AcceptInflow(
            outflow=outflow, offer=number, branch="第一支部", liaison="李干事", accepted_on=on
        )
    )
    pair.settle()
    return receipt.id


def stay(pair: Pair, number: str = ZHANG_NUMBER) -> UUID:
    """A member in Chengdu's care since the tenth of March."""
    outflow = leave(pair, number)
    offer(pair, outflow)
    accept(pair, outflow)
    return outflow


def send(pair: Pair, member: UUID, **said: Any) -> UUID:
    """A transfer of his to Chengdu is on its way, and Chengdu has heard of it."""
    transfer = pair.origin.do(RequestTransfer(member=member, to=CHENGDU)).id
    approve(pair, transfer)
    pair.origin.do(SendTransfer(transfer=transfer, dues_paid_to=TODAY, **said))
    pair.settle()
    return transfer


def approve(pair: Pair, transfer: UUID) -> None:
    """Both levels, by two persons."""
    story = pair.origin.story
    for person, level in (("gao", "branch"), ("wang", "committee")):
        story.person = person
        pair.origin.do(ApproveTransfer.model_validate({"transfer": transfer, "level": level}))


def admit(pair: Pair, transfer: UUID, dispatch: int = 1) -> None:
    """Chengdu admits him, and the origin notes it."""
    said = {"dispatch": dispatch, "branch": "第一支部"}
    on = pair.host.story.now.date()
    pair.host.do(AdmitTransfer(transfer=transfer, admitted_on=on, **said))
    pair.settle()


@pytest.fixture(scope="package")
def history(postgres: EmbeddedServer) -> Iterator[Pair]:
    """A bit of everything, for all tests of a worker: leave the rows as they are found."""
    with acquainted(postgres.url) as made:
        live(made)
        yield made


def live(pair: Pair) -> None:
    """Four members, and whatever may happen to them."""
    origin = pair.origin
    origin.do(AdoptPolicy(terms=Terms(contact_interval_days=14), effective_from=date(2025, 4, 1)))
    _first(pair, stay(pair))
    _second(pair, leave(pair, LI_NUMBER))
    _third(pair)
    member = origin.do(
        RegisterMember.model_validate(register_member(number=NUMBERS[3]).model_dump())
    ).id
    outflow = origin.do(ReportOutflow(member=member, planned_on=date(2026, 2, 1))).id
    origin.do(AskCorrection(outflow=outflow, reason="缺少去向"))
    pair.settle()


def _first(pair: Pair, outflow: UUID) -> None:
    origin, host = pair
    call = RecordContact(
        outflow=outflow, on=date(2025, 4, 1), method="电话", by="李干事", condition="良好"
    )
    contact = host.do(call).id
    host.do(CorrectContact(contact=contact, reached=False, reason="实际未接通"))
    wrong = host.do(call).id
    host.do(WithdrawContact(contact=wrong, reason="重复"))
    host.do(RecordVisit(outflow=outflow, on=date(2025, 5, 1), by="李干事", festival="五一"))
    origin.do(call.model_copy(update={"on": date(2025, 5, 20)}))
    day = host.do(HoldActivity(on=date(2025, 4, 5), title="主题党日")).id
    host.do(MarkAttendance(activity=day, outflow=outflow, mark="late"))
    host.do(CorrectAttendance(activity=day, outflow=outflow, mark="present", reason="误记"))
    inflow = next(iter(host.table("roster_arrival")))
    host.do(RecordInflowDetails(inflow=inflow, phone="13900009999", address="武侯区"))
    host.do(EndInflow(inflow=inflow, because="relocated", ended_on=date(2025, 6, 1)))
    pair.settle()
    origin.do(RecordRelocation(outflow=outflow, moved_on=date(2025, 6, 1), destination="深圳"))
    origin.do(ReportLost(outflow=outflow, basis="三个月未联系上"))
    member = origin.table("roster_flow")[outflow]["member"]
    origin.do(RecordPhone(member=member, phone="13900008888"))
    origin.do(RecordAddress(member=member, address="深圳市南山区"))
    origin.do(CorrectIdentity(member=member, name="张叁", reason="录入错误"))


def _second(pair: Pair, outflow: UUID) -> None:
    origin, host = pair
    offer(pair, outflow)
    host.do(ReportInflow(outflow=outflow, on=date(2025, 3, 5)))
    host.do(DeclineInflow(outflow=outflow, offer=1, reason_code="capacity", reason="支部尚未成立"))
    pair.settle()
    offer(pair, outflow)
    origin.do(RecallOffer(outflow=outflow, offer=2, reason="去向有误"))
    origin.do(ShareOutflow(outflow=outflow, to=CHENGDU, purpose="参加组织生活"))
    pair.settle()
    host.do(LinkParticipation(outflow=outflow))
    origin.do(RecordReturn(outflow=outflow, returned_on=date(2025, 9, 1), conduct="表现良好"))
    transfer = send(pair, origin.table("roster_flow")[outflow]["member"])
    admit(pair, transfer)


def _third(pair: Pair) -> None:
    origin, host = pair
    found = host.do(FindMember(origin=ORIGIN, name="王五", number=NUMBERS[2])).id
    pair.settle()
    outflow = leave(pair, NUMBERS[2])
    origin.do(RecognizeClaim(inflow=found, outflow=outflow))
    offer(pair, outflow, claim=found)
    accept(pair, outflow)
    origin.do(VoidOutflow(outflow=outflow, reason="重复登记", second_person="li"))
