"""替身: the node in memory keeps every promise that the one on PostgreSQL keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from itertools import combinations
from random import Random
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking

from api.erasure.closing import ClosingBook
from api.node import Node
from domain import sealing
from domain.commands import (
    AdmitTransfer,
    ApproveTransfer,
    Command,
    ExpireTransfer,
    ForwardRecord,
    HandOn,
    HoldActivity,
    ReceiveMember,
    RecordContact,
    ReissueLetter,
    RequestTransfer,
    ReturnSlip,
    SendTransfer,
)
from domain.errors import Refusal
from domain.ledger import Beside, Write
from domain.outflow import Outflow
from domain.records import digest
from domain.sealing import DataKey, key_id_of
from domain.values import DataClass
from sync import book_hops, evidence
from sync.book_bundle import BundleBook, Exported, Imported
from sync.book_given import AskedByFile, Given
from sync.book_hops import HopBook, InStep
from sync.book_in import InBook
from sync.book_out import OutBook
from sync.book_returned import NO_POSITION, AskedBack, Begun, Renewed, ReturnBook
from sync.book_withheld import Withheld, WithheldBook
from sync.book_witness import CONTRADICTIONS_MAX, Rumour, Seen, WitnessBook
from sync.envelope import LaneReceipt, Refused
from sync.errors import Forged, VersionGap
from sync.evidence import NOBODY, About
from sync.fence import FenceBook, Raised, Wish
from sync.log import Signed
from sync.standing import Book
from sync.store import BESIDE, EVIDENCE_MAX, LaneStore, Numbered
from tests.simulation.histories import live
from tests.simulation.world import Drawn
from tests.support.federation import NOW, ORIGIN, depart, hand_over, register
from tests.support.memory.erased import MemoryClosing
from tests.support.memory.lanes import MemoryLanes
from tests.support.memory.ledger import STATEMENTS
from tests.support.memory.stage import MemoryStage
from tests.support.stage import Stage, Staged

A, B = "chengdu", "shenzhen"
ERASING = 7
"""The seed of a history at whose end somebody is erased."""
ONE, TWO, THREE = (UUID(int=n) for n in (1, 2, 3))
ROOTS = [bytes([n]) * 32 for n in range(10)]


class Both:
    """Two nodes of which the same is asked; they must answer alike."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes = nodes

    def lanes(self, method: str, *said: Any, **named: Any) -> Any:
        """What both lane books say."""
        return self._alike(lambda node: getattr(node.lanes, method)(*said, **named), method)

    def receipt(self, number: int, at: datetime, *parked: Refused, **said: Any) -> None:
        """Both keep a receipt from A, an hour after it was signed."""
        root, heard_at = f"{number}" * 64, at + timedelta(hours=1)
        receipt = LaneReceipt(
            sender=A, receiver=ORIGIN, number=number, root=root, at=at, parked=parked, **said
        )
        self.lanes("keep_receipt", receipt, heard_at, b"wire")

    def recorder(self, method: str, *said: Any) -> Any:
        """What both recorders say."""
        return self._alike(lambda node: getattr(node.recorder, method)(*said), method)

    def write(self, *records: StoredEvent, beside: tuple[Beside, ...] = (), at: Any = None) -> Any:
        """Write with both; the positions, or what kind of fault."""

        def writing(node: Node) -> Any:
            write = Write(records, beside, at)
            node.recorder.submit(write)
            fault = write.done.exception()
            return write.done.result() if fault is None else type(fault)

        return self._alike(writing, "submit")

    def _alike(self, ask: Any, name: str) -> Any:
        answers = []
        for node in self.nodes:
            try:
                answers.append(ask(node))
            except IntegrityError:
                answers.append(IntegrityError)
            except Exception as fault:  # noqa: BLE001 - the drivers have classes of their own.
                refused = type(fault).__name__ in {"UniqueViolation", "IntegrityError"}
                answers.append(IntegrityError if refused else fault)
        assert answers[0] == answers[1], name
        return answers[0]


@pytest.fixture
def both(theatre: Stage) -> Iterator[Both]:
    theatre.empty()
    stages = (theatre, MemoryStage())
    yield Both(*(stage.node(ORIGIN, "department", lambda: NOW) for stage in stages))
    theatre.empty()


STATE_OF_A, STATE_OF_B = (b'{"meta":{"keeper":"%s"}}' % code.encode() for code in (A, B))


def record(stream: UUID, version: int, state: bytes = b"{}") -> StoredEvent:
    return StoredEvent(stream, version, "activity.held", state)


def kept(stream: UUID, version: int) -> StoredEvent:
    return record(stream, version, STATE_OF_A)


def test_every_method_of_the_lane_book_has_its_double() -> None:
    """But for peers that read less: the double refuses those aloud."""
    kinds = (
        Book,
        OutBook,
        InBook,
        HopBook,
        BundleBook,
        WithheldBook,
        WitnessBook,
        FenceBook,
        ReturnBook,
    )
    asked = {name for kind in kinds for name in vars(kind) if not name.startswith("_")}
    theirs = {name for name in asked if getattr(MemoryLanes, name) is getattr(LaneStore, name)}

    assert asked
    assert not theirs
    assert BESIDE.keys() <= STATEMENTS.keys()


def test_every_method_of_the_closing_book_has_its_double() -> None:
    asked = {name for name in vars(ClosingBook) if not name.startswith("_")}

    assert asked
    assert asked <= vars(MemoryClosing).keys()


@pytest.mark.slow
def test_who_is_erased_is_so_in_either_book(theatre: Stage) -> None:
    stored, light = live(theatre, ERASING), live(MemoryStage(), ERASING)

    assert stored.trace == light.trace
    assert stored.happened["erased"] == light.happened["erased"] > 0
    for code in light.codes:
        kept, double = (world.nodes[code].eraser.book for world in (stored, light))
        assert kept.carried() == double.carried()
        assert sorted(kept.erasures()) == sorted(double.erasures())
        assert kept.stray() == double.stray() == {}
        persons = double.carried()[1]
        gone = [[len(book.destroyed(p, DataClass)) for p in persons] for book in (kept, double)]
        assert gone[0] == gone[1]


def test_records_are_put_down_all_or_none(both: Both) -> None:
    head = both.recorder("head")
    first = both.write(record(ONE, 1), record(ONE, 2), at=Tracking("lane", 2))

    assert first == [head + 1, head + 2]
    assert both.write(record(TWO, 1), record(ONE, 2)) is IntegrityError
    assert both.write(record(TWO, 1), at=Tracking("lane", 2)) is IntegrityError
    assert both.write(record(TWO, 1), record(TWO, 1)) is IntegrityError
    assert both.recorder("stream", TWO, 0, 10) == []
    assert both.write(at=Tracking("lane", 5)) == []
    assert both.recorder("max_tracking_id", "lane") == 5
    assert [r.originator_version for r in both.recorder("stream", ONE, 1, 10)] == [2]


def test_entries_are_read_in_order(both: Both) -> None:
    head = both.recorder("head")
    both.write(record(ONE, 1), record(TWO, 1))
    both.write(record(ONE, 2, b'{"a":1}'))

    found = [node.recorder.since(head, 2) for node in both.nodes]
    rest = [node.recorder.since(head + 2, 10) for node in both.nodes]

    assert [[(e.position, e.record) for e in each] for each in found] == [
        [(head + 1, record(ONE, 1)), (head + 2, record(TWO, 1))]
    ] * 2
    assert [[(e.position, e.record) for e in each] for each in rest] == [
        [(head + 3, record(ONE, 2, b'{"a":1}'))]
    ] * 2
    assert both.recorder("head") == head + 3


def test_numbers_and_grants_are_put_down_with_the_bookmark(both: Both) -> None:
    both.write(record(ONE, 1), record(TWO, 1), record(ONE, 2))
    rows = [
        Numbered(A, 1, ONE, 1, 2, ROOTS[1]),
        Numbered(A, 2, TWO, 1, 3, ROOTS[2]),
        Numbered(B, 1, TWO, 1, 3, ROOTS[3]),
    ]
    more, later = [Numbered(A, 3, ONE, 2, 4, ROOTS[4])], NOW + timedelta(hours=1)

    assert both.lanes("head_out", A) == (0, "0" * 64, None, 0)
    assert both.lanes("number", rows, [(A, THREE, 2)], 0, 3, NOW) is True
    assert both.lanes("number", more, [], 0, 4, NOW) is False
    assert both.lanes("number", rows[:1], [], 3, 4, NOW) is IntegrityError
    assert both.lanes("number", more, [(A, THREE, 3)], 3, 4, NOW) is IntegrityError
    assert both.lanes("bookmark") == 3
    assert both.lanes("number", more, [(B, THREE, 1), (A, ONE, 3)], 3, 4, later) is True
    assert both.lanes("heads_out", [A, B, "nobody"])[A].number == 3
    assert both.lanes("heard", [A, B], [ONE, TWO, THREE]) == {
        (A, ONE): 2,
        (A, TWO): 1,
        (B, TWO): 1,
    }
    assert both.lanes("granted", [A, B], [ONE, THREE]) == {(A, THREE), (A, ONE), (B, THREE)}
    assert [o.number for o in both.lanes("page", A, 1, 1)[1]] == [2]
    assert [o.keys for o in both.lanes("page", A, 0, 9)[1]] == [(), (THREE,), (ONE,)]
    assert [o.record for o in both.lanes("page", A, 0, 9)[1]] == [
        record(ONE, 1),
        record(TWO, 1),
        record(ONE, 2),
    ]
    assert both.lanes("page", A, 3, 9) == (ROOTS[4].hex(), [])
    assert both.lanes("page", A, 9, 9) == (None, [])
    assert both.lanes("page", "nobody", 0, 9) == ("0" * 64, [])
    for number in (0, 1, 3, 4):
        both.lanes("root_out", A, number)
    assert both.lanes("unaware", [A, B], TWO, 1) == {A, B}
    both.receipt(2, NOW)
    assert both.lanes("unaware", [A, B], TWO, 1) == {B}
    assert both.lanes("unaware", [A, B], ONE, 2) == {A, B}
    assert both.lanes("root_out", A, 3) == ROOTS[4].hex()
    assert set(both.lanes("records", [ONE, THREE])) == {ONE, THREE}
    assert both.lanes("number_of", A, ONE, 2) == 3
    assert both.lanes("number_of", B, ONE, 2) is None
    assert [both.lanes("passed", A, n)["numbered"][:2] for n in (1, 3)] == [(2, NOW), (3, later)]
    for node in both.nodes:
        (to_a, a, age), (to_b, b, _) = node.lanes.waiting([A, B, "nobody"])
        assert (to_a, a, to_b, b) == (A, 1, B, 1)
        assert 0 <= age < 60


def test_what_no_pact_lets_pass_waits_in_order(both: Both) -> None:
    both.write(record(ONE, 1), record(TWO, 1), record(THREE, 1))
    rows = [Numbered(A, n, s, 1, n + 1, ROOTS[n]) for n, s in enumerate((ONE, TWO, THREE), 1)]
    name, phone = DataClass.IDENTITY, DataClass.CONTACT
    held = [Withheld(A, TWO, name, 2), Withheld(A, ONE, phone, 3), Withheld(A, TWO, name, 3)]
    first = (0, UUID(int=0))

    assert both.lanes("number", rows, [(A, THREE, 1)], 0, 4, NOW, held) is True
    assert both.lanes("withheld", A, [name, phone], first, 9) == [(TWO, 2), (ONE, 3)]
    assert both.lanes("withheld", A, [phone], first, 9) == [(ONE, 3)]
    assert both.lanes("withheld", A, [name, phone], (2, TWO), 9) == [(ONE, 3)]
    assert both.lanes("withheld", B, [name], first, 9) == []
    assert both.lanes("withheld_counts") == [(A, "contact", 1), (A, "identity", 1)]

    # What was numbered and is not acknowledged waits as well; passed, it waits no more.
    assert both.lanes("hold_back", A, [(THREE, name)]) is None
    assert both.lanes("withheld", A, [name], first, 9) == [(THREE, 1), (TWO, 2)]
    assert both.lanes("granted", [A], [THREE]) == set()
    assert both.lanes("number", [], [(A, THREE, 1)], 4, 5, NOW) is True
    assert both.lanes("withheld", A, [name], first, 9) == [(TWO, 2)]
    both.receipt(3, NOW)
    both.lanes("hold_back", A, [(THREE, name)])
    assert both.lanes("granted", [A], [THREE]) == {(A, THREE)}


def test_a_key_that_went_to_a_peer_is_set_aside(both: Both) -> None:
    keys = [node.keyring.ours(ONE, DataClass.IDENTITY) for node in both.nodes]
    for node, key in zip(both.nodes, keys, strict=True):
        other = DataKey(key_id_of(b"p" * 32), ONE, DataClass.IDENTITY, b"p" * 32)
        rows = (*node.keyring.beside([key]), node.keyring.row(other, A), node.keyring.row(other, A))
        node.recorder.submit(write := Write((record(ONE, 1),), rows))
        assert write.done.exception() is None
        node.keyring.kept([key], [])
        there = [Numbered(A, 1, ONE, 1, 2, ROOTS[1])]
        assert node.lanes.number(there, [(A, key.id, 1)], 0, 2, NOW)
        assert node.keyring.key(other.id) is not None, "A peer's key beside ours."

        assert node.keyring.retire(A, [DataClass.CONTACT]) == 0
        assert node.keyring.retire(A, [DataClass.IDENTITY], [TWO]) == 0
        assert node.keyring.retire(B, [DataClass.IDENTITY]) == 0
        assert node.keyring.ours(ONE, DataClass.IDENTITY) == key
        assert node.keyring.retire(A, [DataClass.IDENTITY]) == 1
        assert node.keyring.retire(A, [DataClass.IDENTITY]) == 0
        assert node.keyring.ours(ONE, DataClass.IDENTITY) != key
        assert node.keyring.key(key.id) == key, "What it sealed opens as before."


def test_the_newest_receipt_is_kept(both: Both) -> None:
    later = NOW + timedelta(hours=1)

    assert both.lanes("acknowledged", A) == (0, "0" * 64, None, 0)
    for number, at in ((2, NOW), (1, later), (2, later), (5, NOW)):
        both.receipt(number, at, refused=f"why {number}", stopped=number)
        both.lanes("acknowledged", A)
        both.lanes("told", A)
        both.lanes("passed", A, 0)
    assert both.lanes("acknowledged", A).number == 5
    assert both.lanes("told", A) == ("why 5", 5, 0)
    assert both.lanes("told", B) == (None, None, 0)
    assert both.lanes("passed", A, 3)["receipt"].number == 5
    assert both.lanes("oldest_hops", A) == {"receipt": 2}


def test_what_a_receipt_refuses_is_kept_until_a_receipt_is_silent_about_it(both: Both) -> None:
    both.write(record(ONE, 1), record(TWO, 1), record(ONE, 2))
    rows = [
        Numbered(A, 1, ONE, 1, 2, ROOTS[1]),
        Numbered(A, 2, TWO, 1, 3, ROOTS[2]),
        Numbered(A, 3, ONE, 2, 4, ROOTS[3]),
    ]
    both.lanes("number", rows, [], 0, 4, NOW)
    one, two = (Refused(number=n, code="gap", said=f"缺 {n}", behind=n) for n in (1, 2))
    later = NOW + timedelta(hours=1)

    both.receipt(3, NOW, two, one, Refused(number=9, code="gap", said="?"), stopped=3)
    assert [r["number"] for r in both.lanes("refused", A, 0, 9, also_resolved=False)] == [1, 2]
    assert both.lanes("refusal", A, 3) == (later, "缺 1")
    assert both.lanes("refusal", A, 9) is None
    assert both.lanes("told", A) == (None, 3, 2)
    both.receipt(3, later, two.model_copy(update={"said": "再缺"}), stopped=1)
    assert both.lanes("refusal", A, 3) is None
    assert both.lanes("refused", A, 0, 9, also_resolved=False)[0]["told_at"] == later
    assert len(both.lanes("refused", A, 0, 9, also_resolved=True)) == 2
    assert len(both.lanes("refused", A, 1, 9, also_resolved=True)) == 1
    both.receipt(3, later)
    assert both.lanes("told", A) == (None, None, 1)
    both.receipt(2, later, one, stopped=1)
    assert both.lanes("told", A) == (None, None, 1)
    both.receipt(3, later, one, one, stopped=5)
    assert both.lanes("refused", A, 0, 9, also_resolved=True)[0]["resolved_at"] is None
    assert both.lanes("told", A) == (None, 5, 2)


def test_times_of_hops_are_kept_for_the_newest(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    later = NOW + timedelta(hours=1)

    both.lanes("keep_sent", [(A, n, NOW, "http") for n in (1, 2, 3)] + [(B, 1, NOW, "http")])
    both.lanes("keep_sent", [(A, 2, later, "bundle")])
    assert both.lanes("passed", A, 2)["sent"] == (2, later, "bundle")
    assert both.lanes("passed", A, 4) == {}
    assert both.lanes("oldest_hops", A) == {"sent": 1}
    assert both.lanes("forget_hops") == 0
    monkeypatch.setattr(book_hops, "HOPS_MAX", 2)
    assert both.lanes("forget_hops") == 1
    assert both.lanes("oldest_hops", A) == {"sent": 2}


def test_a_lane_is_in_step_when_nothing_is_under_way_or_set_aside(both: Both) -> None:
    both.write(record(ONE, 1))
    both.lanes("number", [Numbered(A, 1, ONE, 1, 2, ROOTS[1])], [], 0, 2, NOW)

    def proven(hours: int) -> Any:
        both.lanes("prove_step", A, NOW + timedelta(hours=hours))
        return both.lanes("in_step", A)

    assert proven(1) is None
    both.lanes("hear", A, NOW, 0, NOW)
    both.receipt(0, NOW)
    assert proven(2) is None
    both.receipt(1, NOW, stopped=0)
    assert proven(3) == InStep(NOW + timedelta(hours=3), 1, 0)
    both.receipt(1, NOW, Refused(number=1, code="gap", said="缺"), stopped=1)
    assert proven(4).at == NOW + timedelta(hours=3)
    both.receipt(1, NOW, stopped=0)
    assert proven(5).at == NOW + timedelta(hours=5)
    fault = evidence.parked(A, NOW, VersionGap(expected=1, got=3), 4, record(TWO, 3), b"", NOBODY)
    both.write(beside=(fault,), at=Tracking("lane:A", 1))
    assert proven(6).at == NOW + timedelta(hours=5)
    both.write(beside=(Beside("quarantine_resolved", (NOW, 1)),), at=Tracking("lane:A", 2))
    both.lanes("hear", A, NOW, 9, NOW + timedelta(hours=7))
    assert proven(8).at == NOW + timedelta(hours=5)


def test_what_was_heard_only_grows(both: Both) -> None:
    earlier, later = NOW - timedelta(hours=1), NOW + timedelta(hours=1)

    both.lanes("hear", A, NOW, 7, NOW)
    both.lanes("hear", A, later, 9, earlier)
    assert both.lanes("standing_in", A)[2:] == (NOW, 7)
    both.lanes("hear", A, later, 3, later)
    assert both.lanes("standing_in", A)[2:] == (later, 7)

    row = (A, 4, "a" * 64, NOW, 5, earlier)
    assert both.write(beside=(Beside("lane_in", row),), at=Tracking("lane:A", 4)) == []
    assert both.lanes("standing_in", A) == (4, "a" * 64, NOW, 7)
    both.lanes("hear", A, NOW, 12, later)
    assert both.lanes("standing_in", A).head == 7
    both.lanes("standing_in", "nobody")
    assert both.lanes("answer_in", A) == (both.lanes("standing_in", A), [])
    assert both.lanes("behind") == [(A, 3, NOW)]
    assert both.lanes("passed", A, 4)["taken"][:2] == (4, NOW)

    row = (A, 7, "b" * 64, later, 7, later + timedelta(hours=1))
    both.write(beside=(Beside("lane_in", row),), at=Tracking("lane:A", 7))
    assert both.lanes("behind") == []
    both.lanes("hear", A, later, 8, later + timedelta(hours=2))
    both.lanes("hear", A, NOW, 9, later + timedelta(hours=3))
    assert both.lanes("behind") == [(A, 2, later)]
    both.lanes("hear", B, NOW, 0, NOW)
    both.write(beside=(Beside("lane_in", (B, 1, "c" * 64, NOW, 5, NOW)),), at=Tracking("lane:B", 1))
    assert len(both.lanes("behind")) == 2


def test_what_is_set_aside_stays_and_is_resolved_alone(both: Both) -> None:
    fault, about = VersionGap(expected=1, got=3), About(THREE, TWO)
    rows = [
        evidence.parked(A, NOW, fault, 4, record(ONE, 3), b"wire 4", about),
        evidence.parked(A, NOW, fault, 5, record(ONE, 4), b"", NOBODY),
        evidence.parked(A, NOW, fault, 6, record(TWO, 9), b"", NOBODY),
        evidence.parked(B, NOW, fault, 1, record(ONE, 3), b"other", NOBODY),
    ]
    both.write(beside=tuple(rows), at=Tracking("lane:A", 6))

    assert both.lanes("stopped", A, [ONE, TWO, THREE]) == {ONE, TWO}
    assert both.lanes("parked", A) == 3
    assert [p.number for p in both.lanes("parked_from", 1, 10)] == [4, 5]
    assert [p.number for p in both.lanes("parked_from", 2, 10)] == [5]
    assert both.lanes("parked_from", 99, 10) == []
    assert both.lanes("evidence", 3) == (A, b"wire 4", 6)
    assert both.lanes("evidence", 4) == (B, b"other", 1)
    assert both.lanes("evidence", 99) is None
    assert len(both.lanes("quarantined", 0, 10)) == 4
    assert [row["id"] for row in both.lanes("quarantined", 2, 1)] == [3]

    assert [row["id"] for row in both.lanes("quarantined", 0, 9, B)] == [4]
    assert [p.number for p in both.lanes("parked_all", A, 2)] == [4, 5]
    assert both.lanes("stopped_streams", A) == 2
    assert [f["number"] for f in both.lanes("answer_in", A)[1]] == [4, 6]
    assert both.lanes("parked_place", ONE, 4)["id"] == 2
    assert both.lanes("parked_place", ONE, 9) is None
    assert both.lanes("quarantined_one", 1)["behind"] == 1
    assert both.lanes("quarantined_one", 99) is None
    nobody: dict[str, list[Any]] = {n: [] for n in ("outflows", "members", "streams", "origins")}
    for ids in ({"outflows": [TWO]}, {"members": [THREE]}, {"streams": [ONE]}, {"origins": [A]}):
        both.lanes("about", ["activity."], nobody | ids)
    assert both.lanes("about", ["activity."], nobody | {"members": [THREE]}).found[0]["id"] == 1
    assert both.lanes("about", ["activity.", "x"], nobody) == (3, [])
    assert both.lanes("about", ["outflow."], nobody | {"streams": [ONE]}) == (0, [])

    done = Beside("quarantine_resolved", (NOW, 1))
    aside = {5: digest(record(ONE, 4)), 6: digest(record(TWO, 9))}
    assert both.lanes("aside", A, 5, 9) == aside
    both.write(record(ONE, 1), beside=(done,), at=Tracking("quarantine:1", 1))
    assert both.lanes("stopped", A, [ONE]) == {ONE}
    assert both.lanes("parked", A) == 2
    assert both.lanes("parked_from", 1, 10) == []
    assert both.lanes("quarantined_one", 1)["resolved_at"] == NOW
    assert [f["number"] for f in both.lanes("answer_in", A)[1]] == [5, 6]
    assert set(both.lanes("aside", A, 1, 4)) == {4}


def test_refusals_are_counted_and_kept_up_to_a_bound(both: Both) -> None:
    row = evidence.refused(A, NOW, Forged(sender=A), b"x" * 9000)
    for _ in range(EVIDENCE_MAX + 3):
        both.lanes("refuse", row)
    both.lanes("refuse", evidence.refused("?", NOW, Forged(sender="?"), b"y"))

    assert both.lanes("refused_counts") == {
        (A, "forged"): EVIDENCE_MAX + 3,
        ("?", "forged"): 1,
    }
    assert len(both.lanes("quarantined", 0, 1000)) == EVIDENCE_MAX + 1
    assert both.lanes("evidence", 1) == (A, b"x" * 4096, None)
    assert both.lanes("parked", A) == 0


def test_files_are_put_down_with_what_the_next_must_bring(both: Both) -> None:
    later = NOW + timedelta(hours=1)
    first, second = Exported(1, NOW, 0, 7, 3), Exported(2, later, 7, 9, 4)

    assert both.lanes("exported", A) == Exported()
    both.lanes("forget_want", A)
    both.lanes("keep_export", A, first)
    assert both.lanes("exported", A) == first
    both.lanes("keep_want", A, 2, later)
    both.lanes("keep_refusal", A, "缺")
    assert both.lanes("exported", A)[3:] == (2, 3, 2, later, "缺")
    both.lanes("keep_export", A, second)
    assert both.lanes("exported", A) == second._replace(wanted=2, wanted_at=later)
    both.lanes("forget_want", A)
    assert both.lanes("exported", A).wanted is None
    both.lanes("keep_want", B, 5, NOW)
    assert both.lanes("exported", B)[:4] == (0, None, 0, 0)
    both.lanes("keep_refusal", "nobody", "缺")
    assert both.lanes("exported", "nobody") == Exported(refused="缺")

    assert both.lanes("imported", A, 9) is None
    for number in (2, 4, 4):
        both.lanes("keep_import", A, Imported(number, f"{number}" * 64, NOW))
    both.lanes("keep_import", A, Imported(4, "f" * 64, later))
    assert both.lanes("imported", A, 9) == Imported(4, "4" * 64, NOW)
    assert both.lanes("imported", A, 3).number == 2
    assert both.lanes("imported", A, 1) is None


def test_what_is_given_back_by_file_is_kept_until_the_lane_goes_on(both: Both) -> None:
    later = NOW + timedelta(hours=1)
    asked = AskedByFile(7, 12, 3, NOW, 7)

    assert both.lanes("asked_by_file", A) is None
    both.lanes("forget_ask", A, later)
    both.lanes("keep_ask", A, asked)
    both.lanes("keep_ask", B, asked._replace(after=1, answered=True))
    assert both.lanes("asked_by_file", A) == asked
    both.lanes("keep_ask", A, asked._replace(at=later, next=9, cursor=40))
    assert both.lanes("asked_by_file", A)[3:] == (later, 9, 40, False)
    both.lanes("forget_ask", A, later)
    assert both.lanes("asked_by_file", A) is not None
    both.lanes("forget_ask", A, later + timedelta(seconds=1))
    assert both.lanes("asked_by_file", A) is None
    assert both.lanes("asked_by_file", B).answered

    assert both.lanes("given_by") == []
    both.lanes("keep_given", B, [Given("batch", 4, b"b")])
    both.lanes("keep_given", A, [Given("returned", 8, b"old"), Given("batch", 4, b"a")])
    both.lanes("keep_given", A, [Given("returned", 8, b"new")])
    assert both.lanes("given_by") == [A, B]
    assert both.lanes("given", A, "returned", 8) == b"new"
    assert both.lanes("given", A, "returned", 4) is None
    assert both.lanes("given", B, "batch", 4) == b"b"
    both.lanes("release", A)
    assert both.lanes("given", A, "batch", 4) is None
    assert both.lanes("given_by") == [B]


@pytest.mark.slow
def test_what_is_to_be_done_about_transfers_is_found_alike(theatre: Stage) -> None:
    told = [_due_in_a_transfer(stage) for stage in (theatre, MemoryStage())]
    theatre.empty()

    assert told[0] == told[1]
    kinds = {type(command) for due in told[0] for each in due.values() for command in each}
    assert kinds == {ExpireTransfer, ReceiveMember, HandOn, ForwardRecord}


def _due_in_a_transfer(stage: Any) -> list[dict[str, list[Command]]]:
    """From letter to history handed on, what each node would do next at each step."""
    stage.empty()
    found: list[dict[str, list[Command]]] = []
    with ExitStack() as stack:
        stack.enter_context(patch.dict(sealing._drawn, {16: Drawn(Random(7))}))  # noqa: SLF001
        made = Staged(stage, stack)
        for code in (ORIGIN, A, B):
            made.found(code)
        for one, other in combinations((ORIGIN, A, B), 2):
            made.acquaint(one, other)
        made.settle()

        def look() -> None:
            for node in made.nodes.values():
                node.projector.catch_up()
            found.append({c: node._further() for c, node in made.nodes.items()})  # type: ignore[attr-defined]  # noqa: SLF001

        for done in _transferring(made):
            look()
            if done:
                made.settle()
                look()
    return found


def _transferring(made: Staged) -> Iterator[bool]:
    """A host has the care; the member is transferred to another; facts come late.

    It stops where all may settle, or must not.
    """
    origin, host, receiver = (made[code] for code in (ORIGIN, A, B))
    outflow = depart(origin, register(origin))
    hand_over(made, outflow, A)
    said = {"outflow": outflow, "method": "电话", "by": "王", "on": NOW.date()}
    host.execute(RecordContact(**said))
    made.settle()
    member = origin.ledger.look_up(Outflow, outflow).member
    transfer = origin.execute(RequestTransfer(member=member, to=B)).id
    for level, person in (("branch", "甲"), ("committee", "乙")):
        origin.execute(ApproveTransfer(transfer=transfer, level=level), person=person)
    sent = {"transfer": transfer, "letter": "第1号", "channel": "letter", "valid_days": 1}
    origin.execute(SendTransfer.model_validate({**sent, "dues_paid_to": NOW.date()}))
    yield True
    made.clock.pass_(days=2)
    yield True
    origin.execute(ReissueLetter(transfer=transfer, letter="第2号", basis="证明"))
    made.settle()
    today = made.clock.now.date()
    admitted = {"transfer": transfer, "dispatch": 2, "branch": "支部", "admitted_on": today}
    receiver.execute(AdmitTransfer.model_validate(admitted))
    slip = {"transfer": transfer, "handler": "经办人", "phone": "13900001111"}
    receiver.execute(ReturnSlip.model_validate(slip))
    receiver.relay.number()
    made.carry(B, ORIGIN)
    origin.answer_arrivals()
    origin.relay.number()
    made.carry(ORIGIN, B)
    yield False
    receiver.further_transfers()
    receiver.relay.number()
    yield False
    for to in (ORIGIN, A):
        made.carry(B, to)
    yield False
    made.clock.pass_(days=2)
    yield False
    origin.further_transfers()
    yield True
    host.execute(RecordContact(**said))
    yield True


def test_what_is_known_of_ledgers_is_kept(both: Both) -> None:
    seen = [Seen(A, 1, n, ROOTS[n], f"note {n}", NOW) for n in (1, 2, 3)]
    rumour = Rumour(seen[2]._replace(org=B), A)

    assert both.lanes("witnessed", A) is None
    for each in seen[:2]:
        both.lanes("witness", each)
    both.lanes("witness", seen[0]._replace(root=ROOTS[9]))
    both.write(record(ONE, 1), beside=(seen[2].beside(),), at=Tracking("lane", 1))
    assert both.lanes("witnessed", A) == seen[2]
    assert both.lanes("witnessed_at", A, 1, 1) == seen[0]
    assert both.lanes("witnessed_at", A, 2, 1) is None
    assert both.lanes("all_witnessed", [B, A]) == [seen[2]]
    both.lanes("hear_rumour", rumour)
    both.lanes("hear_rumour", rumour._replace(seen=rumour.seen._replace(size=9)))
    assert both.lanes("rumours", B) == [rumour]
    both.lanes("settle_rumour", rumour)
    assert both.lanes("rumours", B) == []
    assert both.lanes("keep_contradiction", A, "split-view", NOW, b"file") is True
    assert both.lanes("keep_contradiction", A, "split-view", NOW, b"file") is False
    for n in range(CONTRADICTIONS_MAX):
        both.lanes("keep_contradiction", A, "split-view", NOW, b"%d" % n)
    assert len(both.lanes("contradictions")) == CONTRADICTIONS_MAX
    assert both.lanes("accused") == {A}
    both.lanes("keep_cosignatures", 1, 2, [(A, "one"), (B, "two")], NOW)
    both.lanes("keep_cosignatures", 1, 3, [(B, "three")], NOW)
    assert both.lanes("cosignatures", 1, 2) == ["one", "two"]
    assert both.lanes("cosigned", A) == (1, 2)
    assert both.lanes("cosigned") == (1, 3)
    for by in (A, B):
        both.lanes("raise_fence", Raised(by, "note", NOW))
    assert both.lanes("fence") == Raised(A, "note", NOW)
    assert both.lanes("wish") is None
    for wish in (Wish("原因", "甲"), Wish("原因", "乙", (A, B))):
        both.lanes("keep_wish", wish)
        assert both.lanes("wish") == wish
    both.lanes("lower_fence")
    assert both.lanes("fence") is None
    both.lanes("keep_wish", wish)
    assert both.lanes("wish") is None


def test_what_is_given_back_is_found(both: Both) -> None:
    facts = [kept(stream, version) for stream in (ONE, TWO) for version in (1, 2)]
    both.write(*facts, record(THREE, 1, STATE_OF_B))
    late = kept(THREE, 2)
    aside = evidence.parked(A, NOW, VersionGap(expected=1, got=2), 3, late, b"wire", NOBODY)
    both.write(beside=(aside,))

    before = both.lanes("before_last_of", A, 3)
    found = both.lanes("kept_of", A, before, 2)
    assert [each for _, each in found] == facts[1:3]
    assert both.lanes("kept_of", A, found[-1][0], 9)[0][1] == facts[3]
    assert both.lanes("before_last_of", A, 0) == NO_POSITION
    assert both.lanes("aside_from", A, 2, 3) == {3: late}
    assert both.lanes("aside_from", A, 3, 9) == {}
    assert (both.lanes("count_aside", A, 0, 3), both.lanes("count_aside", B, 0, 3)) == (1, 0)
    wanted = [(ONE, 1), (ONE, 9), (THREE, 1)]
    assert both.lanes("places", wanted) == {
        (ONE, 1): facts[0],
        (THREE, 1): record(THREE, 1, STATE_OF_B),
    }
    assert both.lanes("places", []) == {}


def test_lanes_are_numbered_as_they_were(both: Both) -> None:
    facts = [record(stream, version) for stream in (ONE, TWO) for version in (1, 2)]
    both.write(*facts[:2])
    both.lanes("number", [Numbered(A, 1, ONE, 1, 1, ROOTS[1])], [(A, TWO, 1)], 0, 1, NOW)
    back = (A, [2, 3], [TWO, TWO], [1, 2], [ROOTS[2], ROOTS[3]])
    granted = (A, [TWO, THREE, THREE], [1, 2, 3])

    both.write(
        *facts[2:],
        beside=(
            Beside("lane_back", back),
            Beside("grant_back", granted),
            Beside("relay_again", ()),
        ),
    )

    assert both.lanes("head_out", A) == (3, ROOTS[3].hex(), None, 0)
    page = both.lanes("page", A, 1, 9)
    assert [(each.number, each.keys) for each in page[1]] == [(2, (THREE,)), (3, ())]
    assert both.lanes("heard", [A], [ONE, TWO]) == {(A, ONE): 1, (A, TWO): 2}
    assert both.lanes("relearned") == (both.recorder("head"), {})
    both.lanes("cut_lane", A, 1)
    assert both.lanes("head_out", A).number == 1
    assert both.lanes("heard", [A], [ONE, TWO]) == {(A, ONE): 1}
    assert both.lanes("granted", [A], [TWO, THREE]) == {(A, TWO)}
    for taken in (False, True, False):
        both.lanes("hold", B, taken=taken)
        assert both.lanes("relearned")[1] in ({B: False}, {B: True})
    assert both.lanes("relearned")[1] == {B: True}
    both.lanes("release", B)
    assert both.lanes("relearned") == (both.recorder("head"), {})
    assert both.lanes("bookmark") == 0


def test_epochs_are_kept(both: Both) -> None:
    both.write(record(ONE, 1))
    begun = Begun(2, 1, 0, "wire", NOW)
    later = [Seen(A, 1, n, ROOTS[n], f"note {n}", NOW + timedelta(days=n)) for n in (2, 4, 6)]

    assert both.lanes("renewal") is None
    both.lanes("raise_fence", Raised(A, "note", NOW))
    both.lanes("renew", Signed(2, 1, ROOTS[1], b"note"), begun, [A])
    assert both.lanes("renewal") == begun
    assert both.lanes("fence") is None
    assert both.lanes("relearned")[1] == {A: True}
    assert [node.log.epoch for node in both.nodes] == [2, 2]
    for each in later:
        both.lanes("witness", each)
    assert both.lanes("marks", A, 1, 2, 9) == [(4, ROOTS[4]), (6, ROOTS[6])]
    assert both.lanes("marks", A, 1, 0, 1) == [(6, ROOTS[6])]
    assert both.lanes("last_within", A, 1, 5) == (4, ROOTS[4])
    assert both.lanes("last_within", A, 1, 1) is None
    assert both.lanes("given_up_since", A, 1, 2) == later[1].at
    assert both.lanes("given_up_since", A, 1, 6) is None
    for asked in (AskedBack(A, 3, 9, NOW), AskedBack(A, 5, 9, NOW), AskedBack(B, 0, 1, NOW)):
        both.lanes("asked_back", asked)
    assert both.lanes("asks_back")[0] == (A, 3, 9, NOW)
    both.lanes("asked_back", AskedBack(A, 10, 12, NOW))
    assert both.lanes("asks_back")[0].after == 10
    renewed = Renewed(A, 2, "wire", 6, 1, NOW)
    assert both.lanes("take_renewal", renewed) is True
    assert both.lanes("take_renewal", renewed) is False
    assert both.lanes("renewals") == [renewed]


def test_a_command_is_answered_as_before(both: Both) -> None:
    asked = HoldActivity(on=NOW.date(), title="主题党日")
    first = both._alike(lambda node: node.execute(asked, key="once"), "execute")  # noqa: SLF001

    assert both._alike(lambda node: node.execute(asked, key="once"), "execute") == first  # noqa: SLF001
    other = asked.model_copy(update={"title": "另一次"})
    for node in both.nodes:
        with pytest.raises(Refusal, match="Idempotency-Key"):
            node.execute(other, key="once")


def test_keys_are_found_again_after_a_restart(theatre: Stage) -> None:
    for stage in (theatre, MemoryStage()):
        stage.empty()
        node: Any = stage.node(ORIGIN, "department", lambda: NOW)
        member = register(node)
        minted = node.keyring.ours(member, DataClass.IDENTITY)

        again: Any = stage.node(ORIGIN, "department", lambda: NOW)

        assert again.keyring.ours(member, DataClass.IDENTITY) == minted
        assert again.keyring.key(minted.id) == minted
        assert again.keyring.key(uuid4()) is None
        rows = stage.key_rows(ORIGIN)
        assert (minted.id, member, "identity", ORIGIN) in rows


def test_a_backup_that_is_put_back_is_what_was_there(theatre: Stage) -> None:
    for stage in (theatre, MemoryStage()):
        stage.empty()
        node: Any = stage.node(ORIGIN, "department", lambda: NOW)
        outflow = depart(node, register(node))
        node.settle()
        held = [digest(entry.record) for entry in node.ledger.since(0)]
        backup = stage.snapshot(ORIGIN)
        with suppress(Refusal):
            node.execute(HoldActivity(on=NOW.date(), title="忘记的"))
        node.settle()

        stage.restore(ORIGIN, backup)
        again: Any = stage.node(ORIGIN, "department", lambda: NOW)

        assert [digest(entry.record) for entry in again.ledger.since(0)] == held
        assert [row["outflow"] for row in stage.rows(ORIGIN, "custody_flow")] == [outflow]
        receipt = again.execute(HoldActivity(on=NOW.date(), title="之后的"))
        assert receipt.position == len(held) + 1


@pytest.mark.slow
def test_read_models_hold_the_same_rows(theatre: Stage) -> None:
    volume = MemoryStage()
    for seed in (2, 4):
        stored, light = live(theatre, seed), live(volume, seed)
        for code, node in stored.nodes.items():
            for projection in node.projector.projections.values():
                for table in projection.tables:
                    rows = [
                        sorted((_plain(row) for row in world.stage.rows(code, table.name)), key=str)
                        for world in (stored, light)
                    ]
                    assert rows[0] == rows[1], (seed, code, table.name)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Without what the machine's clock says; moments as moments, whatever zone they are told in."""
    return {
        name: value.astimezone(UTC) if isinstance(value, datetime) else value
        for name, value in row.items()
        if name != "entered_at"
    }
