"""转接全程: an old keeper, a host station, a new keeper, also when their messages cross."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.audit.auditor import Auditor
from api.audit.reading import Reader
from api.node import Node
from api.passport import of_member
from api.storage.server import EmbeddedServer
from domain.absence import State as Flow
from domain.admission import Admission
from domain.commands import (
    AdmitTransfer,
    ApproveTransfer,
    Command,
    HoldActivity,
    MarkAttendance,
    RecordContact,
    RecordPhone,
    RegisterOutflow,
    ReissueLetter,
    ReportLetterLost,
    RequestTransfer,
    ReturnSlip,
    SendTransfer,
    WithdrawContact,
    WithdrawTransfer,
)
from domain.contact import Contact
from domain.decisions.members import on_file
from domain.member import Member
from domain.outflow import Outflow
from domain.passage import State
from domain.transfer import Transfer
from projections.affiliations import HELD
from projections.transfers import BOARD
from tests.support.federation import (
    CHENGDU,
    HOST_MAY_OPEN,
    NOW,
    ORIGIN,
    SHENZHEN,
    ZHANG,
    depart,
    hand_over,
    register,
)
from tests.support.stage import Stage, Staged, stage

DAY = NOW.date()
SHARED = ("transfer", "transfer_answer", "custody_flow", "roster_flow", "contact")
MODELS = ("roster", "custody", "contacts", "activities", "history", "transfers", "affiliations")


@pytest.fixture(scope="module")
def theatre(postgres: EmbeddedServer) -> Iterator[Stage]:
    """One stage a worker."""
    with stage(postgres.url, "transfer") as made:
        yield made


@pytest.fixture
def three(theatre: Stage) -> Iterator[Staged]:
    """The origin, the station in Shenzhen, and Chengdu, all acquainted."""
    theatre.empty()
    with ExitStack() as stack:
        made = Staged(theatre, stack)
        made.found(ORIGIN)
        made.found(SHENZHEN, "station")
        made.found(CHENGDU)
        made.acquaint(ORIGIN, SHENZHEN, HOST_MAY_OPEN)
        made.acquaint(ORIGIN, CHENGDU)
        made.acquaint(SHENZHEN, CHENGDU)
        yield made


class Move:
    """Zhang, who lives in Shenzhen and is to be transferred to Chengdu."""

    def __init__(self, three: Staged) -> None:
        self.three = three
        self.origin, self.host, self.receiver = (three[c] for c in (ORIGIN, SHENZHEN, CHENGDU))
        self.member = register(self.origin)
        self.outflow = depart(self.origin, self.member)
        hand_over(three, self.outflow, SHENZHEN)
        self.transfer = self.origin.execute(RequestTransfer(member=self.member, to=CHENGDU)).id
        for person, level in (("one", "branch"), ("two", "committee")):
            approve = ApproveTransfer.model_validate({"transfer": self.transfer, "level": level})
            self.origin.execute(approve, person=person)

    def send(self, **said: Any) -> None:
        self.origin.execute(SendTransfer(transfer=self.transfer, dues_paid_to=DAY, **said))

    def admit(self, dispatch: int = 1) -> None:
        said = {"branch": "武侯区第一党支部", "admitted_on": self.three.clock().date()}
        self.receiver.execute(
            AdmitTransfer.model_validate({"transfer": self.transfer, "dispatch": dispatch, **said})
        )

    def give_slip(self) -> None:
        said = {"handler": "赵干事", "phone": "13900001234"}
        self.receiver.execute(ReturnSlip.model_validate({"transfer": self.transfer, **said}))

    def complete(self) -> None:
        self.send()
        self.three.settle()
        self.admit()
        self.three.settle()
        self.give_slip()
        self.three.settle()

    def contact(self, by: Node, on: date = date(2025, 5, 1)) -> UUID:
        said = {"outflow": self.outflow, "on": on, "method": "电话", "by": "李干事"}
        return by.execute(RecordContact.model_validate(said)).id

    def seen(self, node: Node) -> Transfer:
        return node.ledger.look_up(Transfer, self.transfer)

    def board(self, node: Node) -> dict[str, Any]:
        values = {"transfer": self.transfer, "member": None, "open": False, "after": None}
        values |= {"limit": 5, "org": node.settings.code}
        [row] = node.database.rows(BOARD, values)
        return row


@pytest.fixture
def move(three: Staged) -> Move:
    return Move(three)


def counted(node: Node, keeper: str | None = None) -> list[tuple[str, str]]:
    """Whom a node counts, and at which organization."""
    values = {"keeper": keeper, "person": None, "held": True, "after": None, "limit": 10}
    return [(row["keeper"], row["name"]) for row in node.database.rows(HELD, values)]


def shared_rows(node: Node, table: str) -> list[dict[str, Any]]:
    return node.database.rows(f"SELECT * FROM {table} ORDER BY 1", {})


def no_fault(three: Staged) -> None:
    for node in three.nodes.values():
        assert node.lanes.quarantined(0, 10) == []
        assert node.projector.stopped == {}


@pytest.mark.slow
def test_a_member_is_transferred(move: Move, three: Staged) -> None:
    move.complete()

    old = move.receiver.ledger.look_up(Member, move.member)
    new = on_file(move.receiver.ledger, ZHANG)
    assert new is not None
    assert (old.released_to, new.keeper, new.person) == (CHENGDU, CHENGDU, move.member)
    assert new.continues == move.member
    assert [move.seen(node).state for node in (move.origin, move.receiver)] == [State.COMPLETED] * 2
    for node in three.nodes.values():
        absence = node.ledger.look_up(Outflow, move.outflow)
        assert (absence.state, absence.carer) == (Flow.CLOSED, ORIGIN)
    no_fault(three)


@pytest.mark.slow
def test_a_file_that_has_moved_is_the_same_persons(move: Move) -> None:
    move.complete()

    file = on_file(move.receiver.ledger, ZHANG)

    assert file is not None
    assert file.id != move.member
    for known_as in (file.id, move.member):
        assert of_member(move.receiver, known_as) == ("member", move.member)


@pytest.mark.slow
def test_he_is_counted_once_and_by_his_keeper(move: Move) -> None:
    before = [counted(node) for node in (move.origin, move.host)]

    move.complete()

    assert before == [[(ORIGIN, "张三")], [(ORIGIN, "张三")]]
    assert counted(move.receiver) == [(CHENGDU, "张三")]
    assert [counted(node) for node in (move.origin, move.host)] == [[], []]


@pytest.mark.slow
def test_the_history_follows_him_from_whoever_recorded_it(move: Move, three: Staged) -> None:
    by_host, by_origin = move.contact(move.host), move.contact(move.origin)
    day = move.host.execute(HoldActivity(on=date(2025, 4, 5), title="主题党日")).id
    move.host.execute(MarkAttendance(activity=day, outflow=move.outflow, mark="present"))
    three.settle()

    move.complete()

    told = [e.record.topic for e in move.receiver.ledger.since(0)]
    for stream in (by_host, by_origin):
        made = move.receiver.ledger.stream(stream)[0]
        assert made == move.origin.ledger.stream(stream)[0]
    assert {"activity.held", "attendance.marked", "inflow.accepted"} <= set(told)
    for table in SHARED:
        assert shared_rows(move.receiver, table) == shared_rows(move.origin, table), table
    no_fault(three)


@pytest.mark.slow
@pytest.mark.parametrize("code", [ORIGIN, SHENZHEN])
def test_what_is_recorded_late_is_handed_on(move: Move, three: Staged, code: str) -> None:
    move.complete()

    late = move.contact(three[code], on=date(2025, 6, 1))
    three.settle()

    found = move.receiver.ledger.look_up(Contact, late)
    assert (found.keeper, CHENGDU in found.audience) == (code, True)
    no_fault(three)


@pytest.mark.slow
def test_the_old_keeper_passes_on_what_the_new_one_cannot_hear(
    theatre: Stage,
) -> None:
    theatre.empty()
    with ExitStack() as stack:
        three = Staged(theatre, stack)
        three.found(ORIGIN)
        three.found(SHENZHEN, "station")
        three.found(CHENGDU)
        three.acquaint(ORIGIN, SHENZHEN, HOST_MAY_OPEN)
        three.acquaint(ORIGIN, CHENGDU)
        move = Move(three)
        early = move.contact(move.host)
        move.complete()
        late = move.contact(move.host, on=date(2025, 6, 1))
        wrong = move.contact(move.host, on=date(2025, 6, 2))
        move.host.execute(WithdrawContact(contact=wrong, reason="重复"))
        three.settle()
        assert move.receiver.ledger.find(Contact, late) is None

        three.clock.pass_(days=2)
        three.settle()

        passed = move.receiver.database.rows("SELECT * FROM contact ORDER BY 1", {})
        assert {row["contact"] for row in passed} == {early, late, wrong}
        assert passed == move.origin.database.rows("SELECT * FROM contact ORDER BY 1", {})
        head = move.origin.ledger.head
        three.settle()
        assert move.origin.ledger.head == head
        assert move.receiver.projector.rebuild("contacts")
        no_fault(three)


@pytest.mark.slow
def test_what_happens_afterwards_is_not_told_to_the_old_keeper(move: Move, three: Staged) -> None:
    move.complete()
    new = on_file(move.receiver.ledger, ZHANG)
    assert new is not None
    away = move.receiver.execute(RegisterOutflow(member=new.id, left_on=DAY)).id

    three.settle()

    assert move.origin.ledger.find(Outflow, away) is None
    assert move.origin.ledger.find(Member, new.id) is None
    assert move.receiver.ledger.look_up(Outflow, away).person == move.member


@pytest.mark.slow
def test_he_comes_back(move: Move, three: Staged) -> None:
    move.complete()
    there = on_file(move.receiver.ledger, ZHANG)
    assert there is not None
    back = move.receiver.execute(RequestTransfer(member=there.id, to=ORIGIN)).id
    for person, level in (("three", "branch"), ("four", "committee")):
        approve = ApproveTransfer.model_validate({"transfer": back, "level": level})
        move.receiver.execute(approve, person=person)
    move.receiver.execute(SendTransfer(transfer=back, dues_paid_to=DAY))
    three.settle()
    said = {"transfer": back, "dispatch": 1, "branch": "东沟村党支部", "admitted_on": DAY}
    move.origin.execute(AdmitTransfer.model_validate(said))
    slip = {"transfer": back, "handler": "王干事", "phone": "13900005678"}
    move.origin.execute(ReturnSlip.model_validate(slip))
    three.settle()

    here = on_file(move.origin.ledger, ZHANG)

    assert here is not None
    assert (here.id, here.person) == (Member.id_of(move.member, 2), move.member)
    assert counted(move.origin) == [(ORIGIN, "张三")]
    assert counted(move.receiver) == []
    no_fault(three)


@pytest.mark.slow
def test_the_auditor_says_who_was_responsible_on_which_day(move: Move, three: Staged) -> None:
    three.clock.pass_(days=10)
    move.complete()
    passed = three.clock().date()

    for node in (move.origin, move.receiver):
        auditor = Auditor(Reader(node))
        said = [
            auditor.responsible(move.outflow, on)
            for on in (date(2025, 3, 5), passed - timedelta(days=1), passed)
        ]
        assert [(each["affiliation"], each["care"]) for each in said] == [
            (ORIGIN, ORIGIN),
            (ORIGIN, SHENZHEN),
            (CHENGDU, CHENGDU),
        ]


@pytest.mark.slow
def test_a_new_telephone_is_found_under_either_file(move: Move, three: Staged) -> None:
    move.complete()
    new = on_file(move.receiver.ledger, ZHANG)
    assert new is not None
    move.receiver.execute(RecordPhone(member=new.id, phone="13900008888"))
    three.settle()
    auditor = Auditor(Reader(move.receiver))

    trails = [[v["value"] for v in auditor.trail(m, "phone")] for m in (move.member, new.id)]

    assert trails == [["+8613900001234", "+8613900001234", "+8613900008888"]] * 2


# Messages that cross.


def crossing_withdrawal(move: Move) -> Command:
    return WithdrawTransfer(transfer=move.transfer, reason="暂不转出")


def crossing_loss(move: Move) -> Command:
    return ReportLetterLost(transfer=move.transfer, reason="途中遗失")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cross", "because"), [(crossing_withdrawal, "withdrawn"), (crossing_loss, "lost")]
)
def test_an_admission_that_crosses_the_end_of_its_dispatch_is_void_on_both_sides(
    move: Move, three: Staged, cross: Any, because: str
) -> None:
    move.send(channel="letter", letter="第17号")
    three.settle()
    move.origin.execute(cross(move))
    move.admit()
    move.give_slip()

    three.settle()

    for node in (move.origin, move.receiver):
        assert len(move.seen(node).voided_admissions) == 1
        assert move.board(node)["void"] == because
        assert node.ledger.look_up(Member, move.member).released_on is None
    no_fault(three)


@pytest.mark.slow
def test_an_admission_after_expiry_is_void_and_the_next_one_counts(
    move: Move, three: Staged
) -> None:
    move.send(valid_days=5)
    three.settle()
    move.admit()
    three.clock.pass_(days=6)
    move.origin.settle()

    three.settle()

    assert move.seen(move.receiver).state is State.EXPIRED
    assert move.board(move.receiver)["void"] == "expired"
    move.origin.execute(ReissueLetter(transfer=move.transfer, basis="支部证明、本人申请"))
    three.settle()
    move.admit(2)
    three.settle()
    move.give_slip()
    three.settle()
    assert move.seen(move.receiver).state is State.COMPLETED
    assert counted(move.receiver) == [(CHENGDU, "张三")]
    no_fault(three)


@pytest.mark.slow
def test_an_admission_in_time_wins_over_a_withdrawal_that_is_late(
    move: Move, three: Staged
) -> None:
    from domain.passage import TransferNotThere  # noqa: PLC0415

    move.send()
    three.settle()
    move.admit()
    three.settle()

    with pytest.raises(TransferNotThere):
        move.origin.execute(crossing_withdrawal(move))


@pytest.mark.slow
def test_a_node_that_was_away_files_him_when_it_is_back(move: Move, three: Staged) -> None:
    move.send()
    three.settle()
    move.admit()
    move.give_slip()
    three.settle()
    late = three.restart(CHENGDU)

    three.settle()

    assert counted(late) == [(CHENGDU, "张三")]
    answer = late.ledger.look_up(Admission, Admission.id_of(move.transfer, CHENGDU))
    assert answer.file is not None


@pytest.mark.slow
def test_read_models_built_anew_are_the_same(move: Move, three: Staged) -> None:
    move.contact(move.host)
    move.complete()

    for code in (ORIGIN, SHENZHEN, CHENGDU):
        equal = {name: three[code].projector.rebuild(name) for name in MODELS}
        assert equal == dict.fromkeys(MODELS, True), code
