"""续转: A to B to D, and on: the whole history is where the member is, from those who wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from uuid import UUID

import pytest

from api.node import Node
from api.storage.server import EmbeddedServer
from domain.admission import Admission
from domain.commands import (
    AdmitTransfer,
    ApproveTransfer,
    LinkParticipation,
    RecordContact,
    RecordPhone,
    RequestTransfer,
    ReturnSlip,
    SendTransfer,
    ShareOutflow,
    WithdrawContact,
)
from domain.contact import Contact
from domain.decisions.members import on_file
from domain.ledger import Receipt
from domain.member import Member
from domain.outflow import Outflow
from domain.records import digest
from domain.transfer import Transfer
from projections.transfers import BOARD
from tests.support.federation import (
    CHENGDU,
    NOW,
    ORIGIN,
    SHENZHEN,
    ZHANG,
    depart,
    hand_over,
    register,
)
from tests.support.stage import Stage, Staged, stage

pytestmark = pytest.mark.slow

WUHAN, XIAN = "wuhan", "xian"
DAY = NOW.date()


@pytest.fixture(scope="module")
def theatre(postgres: EmbeddedServer) -> Iterator[Stage]:
    """One stage a worker."""
    with stage(postgres.url, "chain") as made:
        yield made


class Chain:
    """Zhang of Jiuquan, cared for in Shenzhen, whose affiliation goes to Chengdu and to Wuhan."""

    def __init__(self, theatre: Stage, stack: ExitStack, *strangers: tuple[str, str]) -> None:
        theatre.empty()
        self.made = made = Staged(theatre, stack)
        codes = (ORIGIN, SHENZHEN, CHENGDU, WUHAN)
        for code in codes:
            made.found(code, "station" if code == SHENZHEN else "department")
        for one, other in (
            (a, b) for i, a in enumerate(codes) for b in codes[i + 1 :] if (a, b) not in strangers
        ):
            made.acquaint(one, other)
        self.member = register(made[ORIGIN])
        self.outflow = depart(made[ORIGIN], self.member)
        hand_over(made, self.outflow, SHENZHEN)

    def move(self, source: str, to: str) -> UUID:
        """A transfer from its request to the slip; which."""
        made, file = self.made, on_file(self.made[source].ledger, ZHANG)
        assert file is not None
        transfer = made[source].execute(RequestTransfer(member=file.id, to=to)).id
        for person, level in (("one", "branch"), ("two", "committee")):
            approve = ApproveTransfer.model_validate({"transfer": transfer, "level": level})
            made[source].execute(approve, person=person)
        made[source].execute(SendTransfer(transfer=transfer, dues_paid_to=DAY))
        made.settle()
        said = {"dispatch": 1, "branch": "第一党支部", "admitted_on": DAY}
        made[to].execute(AdmitTransfer.model_validate({"transfer": transfer, **said}))
        slip = {"transfer": transfer, "handler": "赵干事", "phone": "13900001234"}
        made[to].execute(ReturnSlip.model_validate(slip))
        made.settle()
        return transfer

    def contact(self, by: str, on: date = date(2025, 5, 1)) -> UUID:
        said = {"outflow": self.outflow, "on": on, "method": "电话", "by": "李干事"}
        return self.made[by].execute(RecordContact.model_validate(said)).id

    def away(self, source: str) -> tuple[UUID, UUID]:
        """Another absence, at a later keeper, with a contact."""
        file = on_file(self.made[source].ledger, ZHANG)
        assert file is not None
        outflow = depart(self.made[source], file.id, left_on=DAY)
        said = {"outflow": outflow, "on": DAY, "method": "电话", "by": "李干事"}
        return outflow, self.made[source].execute(RecordContact.model_validate(said)).id

    def pass_days(self, days: int) -> None:
        self.made.clock.pass_(days=days)
        self.made.settle()

    def no_fault(self) -> None:
        for node in self.made.nodes.values():
            assert node.lanes.quarantined(0, 10) == []
            assert node.projector.stopped == {}
            assert node.broken == {}
            head = node.ledger.head
            node.settle()
            assert node.ledger.head == head

    def same(self, stream: UUID, source: str, *nodes: str) -> None:
        """A stream is held verbatim, all of it."""
        kept = self.made[source].ledger.stream(stream)
        assert kept
        for code in nodes:
            assert self.made[code].ledger.stream(stream) == kept, code


def open_board(node: Node) -> list[UUID]:
    values = {"transfer": None, "member": None, "open": True, "after": None, "limit": 10}
    rows = node.database.rows(BOARD, {**values, "org": node.settings.code})
    return [row["transfer"] for row in rows]


def test_the_whole_history_comes_from_those_who_wrote_it(theatre: Stage) -> None:
    with ExitStack() as stack:
        chain = Chain(theatre, stack)
        early = [chain.contact(code) for code in (ORIGIN, SHENZHEN)]
        first = chain.move(ORIGIN, CHENGDU)
        away, called = chain.away(CHENGDU)
        second = chain.move(CHENGDU, WUHAN)
        wuhan = chain.made[WUHAN]
        middle = on_file(chain.made[CHENGDU].ledger, ZHANG)
        assert middle is not None

        for stream in (chain.member, chain.outflow, early[0], first):
            chain.same(stream, ORIGIN, CHENGDU, WUHAN)
        chain.same(early[1], SHENZHEN, ORIGIN, CHENGDU, WUHAN)
        for stream in (middle.id, away, called, second, Admission.id_of(first, CHENGDU)):
            chain.same(stream, CHENGDU, WUHAN)
        assert open_board(wuhan) == []
        chain.no_fault()

        answer = wuhan.ledger.look_up(Admission, Admission.id_of(second, WUHAN))
        assert answer.traced == {chain.member}
        released = [
            record
            for record in wuhan.ledger.stream(chain.member)
            if record.topic == Member.Released.TOPIC
        ]
        (received,) = [f for f in wuhan.ledger.facts(middle.id) if isinstance(f, Member.Received)]
        assert [digest(record) for record in released] == [received.last]


@pytest.mark.parametrize("code", [ORIGIN, SHENZHEN, CHENGDU])
def test_what_is_recorded_late_of_the_oldest_time_reaches_the_last_keeper(
    theatre: Stage, code: str
) -> None:
    with ExitStack() as stack:
        chain = Chain(theatre, stack)
        if code == CHENGDU:
            # The next keeper was a host before: what it keeps of that time is handed on as well.
            share = ShareOutflow(outflow=chain.outflow, to=CHENGDU, purpose="联合走访")
            chain.made[ORIGIN].execute(share)
            chain.made.settle()
            chain.made[CHENGDU].execute(LinkParticipation(outflow=chain.outflow))
            early = chain.contact(CHENGDU, on=date(2025, 4, 1))
        chain.move(ORIGIN, CHENGDU)
        chain.move(CHENGDU, WUHAN)

        late = chain.contact(code, on=date(2025, 6, 1))
        chain.made[code].execute(WithdrawContact(contact=late, reason="重复"))
        chain.made.settle()

        chain.same(late, code, WUHAN)
        assert chain.made[WUHAN].ledger.look_up(Contact, late).withdrawn
        if code == CHENGDU:
            chain.same(early, CHENGDU, ORIGIN, WUHAN)
        chain.no_fault()


def test_a_longer_chain_is_followed_by_everybody(theatre: Stage) -> None:
    with ExitStack() as stack:
        chain = Chain(theatre, stack)
        made = chain.made
        early = [chain.contact(code) for code in (ORIGIN, SHENZHEN)]
        made.found(XIAN)
        for code in (ORIGIN, SHENZHEN, CHENGDU, WUHAN):
            made.acquaint(code, XIAN)
        moves = [chain.move(*step) for step in ((ORIGIN, CHENGDU), (CHENGDU, WUHAN))]
        _, called = chain.away(WUHAN)
        moves.append(chain.move(WUHAN, XIAN))

        for stream, source in zip(early, (ORIGIN, SHENZHEN), strict=True):
            chain.same(stream, source, CHENGDU, WUHAN, XIAN)
        for transfer, source in zip(moves, (ORIGIN, CHENGDU, WUHAN), strict=True):
            chain.same(transfer, source, XIAN)
        chain.same(called, WUHAN, XIAN)
        late = chain.contact(SHENZHEN, on=date(2025, 6, 1))
        made.settle()
        chain.same(late, SHENZHEN, XIAN)
        chain.no_fault()


def test_who_comes_back_and_goes_elsewhere_takes_all_of_it_along(theatre: Stage) -> None:
    with ExitStack() as stack:
        chain = Chain(theatre, stack)
        chain.move(ORIGIN, CHENGDU)
        _, called = chain.away(CHENGDU)
        chain.move(CHENGDU, ORIGIN)
        chain.move(ORIGIN, WUHAN)

        late = chain.contact(SHENZHEN, on=date(2025, 6, 1))
        chain.made.settle()

        for stream, source in (
            (chain.member, ORIGIN),
            (Member.id_of(chain.member, 2), ORIGIN),
            (chain.outflow, ORIGIN),
            (called, CHENGDU),
            (late, SHENZHEN),
        ):
            chain.same(stream, source, WUHAN)
        chain.no_fault()


def test_the_middle_keeper_passes_on_what_the_last_cannot_hear(theatre: Stage) -> None:
    """The origin and its host have not enrolled the last keeper, nor it them."""
    with ExitStack() as stack:
        chain = Chain(theatre, stack, (ORIGIN, WUHAN), (SHENZHEN, WUHAN))
        made = chain.made
        early = chain.contact(ORIGIN)
        by_host = chain.contact(SHENZHEN)
        first = chain.move(ORIGIN, CHENGDU)
        second = chain.move(CHENGDU, WUHAN)
        late = chain.contact(ORIGIN, on=date(2025, 6, 1))
        made.settle()
        wuhan = made[WUHAN]
        assert wuhan.ledger.find(Outflow, chain.outflow) is None

        chain.pass_days(2)

        passed = _passed(wuhan, second)
        for stream in (chain.member, chain.outflow, first, early, by_host, late):
            kept = [digest(record) for record in made[CHENGDU].ledger.stream(stream)]
            assert passed[stream] == kept, stream
        counted = {row["contact"] for row in wuhan.database.rows("SELECT contact FROM contact", {})}
        assert counted == {early, by_host, late}
        chain.no_fault()

        made.acquaint(ORIGIN, WUHAN)
        made.settle()

        chain.same(chain.outflow, ORIGIN, WUHAN)
        chain.same(late, ORIGIN, WUHAN)
        held = [digest(record) for record in wuhan.ledger.stream(late)]
        assert held[: len(passed[late])] == passed[late]
        chain.no_fault()


@pytest.mark.parametrize("fast", [SHENZHEN, WUHAN])
def test_a_peer_whose_clock_is_ahead_keeps_nobody_waiting(theatre: Stage, fast: str) -> None:
    """It recorded something, or filed the member, at a moment that here is still to come."""
    with ExitStack() as stack:
        chain = Chain(theatre, stack, (ORIGIN, WUHAN), (SHENZHEN, WUHAN))
        made = chain.made
        made[fast].service._clock = lambda: made.clock.now + timedelta(days=20)  # noqa: SLF001
        chain.move(ORIGIN, CHENGDU)
        by_host = chain.contact(SHENZHEN)
        second = chain.move(CHENGDU, WUHAN)

        chain.pass_days(2)

        kept = [digest(record) for record in made[CHENGDU].ledger.stream(by_host)]
        assert _passed(made[WUHAN], second).get(by_host) == kept
        chain.no_fault()


def _passed(node: Node, transfer: UUID) -> dict[UUID, list[str]]:
    """By stream, the digests of what was passed on inside a transfer, by version."""
    found: dict[UUID, dict[int, str]] = {}
    for fact in node.ledger.facts(transfer):
        if isinstance(fact, Transfer.Forwarded):
            assert digest(fact.stored) == fact.digest
            found.setdefault(fact.record, {})[fact.record_version] = fact.digest
    return {stream: [said[v] for v in sorted(said)] for stream, said in found.items()}


def test_a_node_that_was_away_hears_the_rest_when_it_is_back(theatre: Stage) -> None:
    with ExitStack() as stack:
        chain = Chain(theatre, stack)
        early = chain.contact(SHENZHEN)
        made, away = chain.made, chain.made.nodes.pop(ORIGIN)
        made.nodes[ORIGIN] = away
        chain.move(ORIGIN, CHENGDU)
        without = {code: node for code, node in made.nodes.items() if code != ORIGIN}
        all_nodes, made.nodes = made.nodes, without
        _only(made, without)
        chain.move(CHENGDU, WUHAN)
        assert made[WUHAN].ledger.find(Outflow, chain.outflow) is None

        made.nodes = all_nodes
        made.settle()

        chain.same(early, SHENZHEN, WUHAN)
        chain.same(chain.outflow, ORIGIN, WUHAN)
        chain.no_fault()


def _only(made: Staged, nodes: dict[str, Node]) -> None:
    """Lanes to whoever is away stand still."""
    assert ORIGIN not in nodes
    carry = made.carry

    def carried(source: str, destination: str) -> int:
        return carry(source, destination) if destination in made.nodes else 0

    made.carry = carried  # type: ignore[method-assign]


def test_a_history_that_was_altered_is_not_called_the_same(theatre: Stage) -> None:
    """The last keeper compares what the first has said with what the second says it said."""
    with ExitStack() as stack:
        chain = Chain(theatre, stack)
        made = chain.made
        chain.move(ORIGIN, CHENGDU)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("domain.decisions.admissions._said_of", lambda *_: "f" * 64)
            chain.move(CHENGDU, WUHAN)
            late = chain.contact(SHENZHEN, on=date(2025, 6, 1))
            made.settle()

            assert list(made[WUHAN].broken) == [f"file {chain.member}"]
            assert made[WUHAN].ledger.find(Contact, late) is None

        made.settle()

        chain.same(late, SHENZHEN, WUHAN)
        chain.no_fault()


def test_what_happens_at_the_last_keeper_is_not_told_to_the_first(theatre: Stage) -> None:
    with ExitStack() as stack:
        chain = Chain(theatre, stack)
        chain.move(ORIGIN, CHENGDU)
        chain.move(CHENGDU, WUHAN)
        new = on_file(chain.made[WUHAN].ledger, ZHANG)
        assert new is not None
        said: Receipt = chain.made[WUHAN].execute(RecordPhone(member=new.id, phone="13900008888"))
        outflow, _ = chain.away(WUHAN)
        chain.made.settle()

        for code in (ORIGIN, CHENGDU, SHENZHEN):
            assert chain.made[code].ledger.find(Member, said.id) is None
            assert chain.made[code].ledger.find(Outflow, outflow) is None


def test_a_read_model_of_a_chain_built_anew_is_the_same(theatre: Stage) -> None:
    with ExitStack() as stack:
        chain = Chain(theatre, stack)
        chain.contact(SHENZHEN)
        chain.move(ORIGIN, CHENGDU)
        chain.move(CHENGDU, WUHAN)

        for node in chain.made.nodes.values():
            for name in ("affiliations", "transfers", "roster", "custody", "contacts"):
                assert node.projector.rebuild(name), (node.settings.code, name)
