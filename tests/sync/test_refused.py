"""对方未收: the sender is told which of its facts were set aside, and when they no longer are."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.commands import OfferCare, RecordContact, ShareOutflow
from sync import envelope
from sync.envelope import LaneReceipt, Refused, Sealed
from sync.errors import LaneFault, told
from sync.quarantine import Quarantine
from tests.support.federation import CHENGDU, NOW, ORIGIN, depart, hand_over, register
from tests.support.narrow import refusing
from tests.support.stage import Staged
from tests.sync.pen import Pen


def refused(three: Staged, **query: Any) -> list[dict[str, Any]]:
    """What the origin knows of its facts that Chengdu set aside."""
    asked: dict[str, Any] = {"after": 0, "limit": 100, "also_resolved": False, **query}
    return three[ORIGIN].lanes.refused(CHENGDU, **asked)


def receipt(three: Staged) -> LaneReceipt:
    """Chengdu's receipt, which the origin takes in."""
    wire = three[CHENGDU].inbox.receipt(ORIGIN)
    three[ORIGIN].relay.acknowledge(wire)
    return Sealed(wire).open(LaneReceipt, three[CHENGDU].keys.verify_key)


def retry(three: Staged) -> None:
    node = three[CHENGDU]
    first = node.lanes.quarantined(0, 1)[0]["id"]
    Quarantine(node.ledger, node.lanes, node.clock).retry(first, dry_run=False)


@pytest.fixture
def contacts(three: Staged) -> list[UUID]:
    """Three contacts of the origin's own during an absence in Chengdu's care, each set aside."""
    outflow = depart(three[ORIGIN], register(three[ORIGIN]))
    hand_over(three, outflow, CHENGDU)
    call = {"outflow": outflow, "on": "2025-05-01", "method": "电话", "by": "李干事"}
    made = [three[ORIGIN].execute(RecordContact(**call)).id for _ in range(3)]
    with refusing("contact.made"):
        three.settle()
    return made


def test_the_sender_is_told_which_fact_why_and_what_to_do(
    three: Staged, contacts: list[UUID]
) -> None:
    said = receipt(three)

    assert said.stopped == 3
    assert [(row["stream"], row["version"], row["topic"]) for row in refused(three)] == [
        (contact, 1, "contact.made") for contact in contacts
    ]
    row = refused(three)[0]
    assert (row["code"], row["number"]) == ("not-their-topic", said.parked[0].number)
    assert "请核对此事由谁登记" in row["said"]
    assert "Check who is to record this." in row["said"]
    assert "topic=contact.made" in row["said"]


@pytest.mark.usefixtures("contacts")
def test_it_is_told_again_until_it_is_resolved(three: Staged) -> None:
    three.clock.pass_(minutes=1)
    assert receipt(three).parked == receipt(three).parked
    told_at = [row["told_at"] for row in refused(three)]
    assert told_at == [NOW] * 3

    for _ in range(3):
        retry(three)
    receipt(three)

    assert refused(three) == []
    resolved = refused(three, also_resolved=True)
    assert [row["resolved_at"] for row in resolved] == [three.clock()] * 3
    assert three[ORIGIN].lanes.told(CHENGDU).known == 0


@pytest.mark.usefixtures("contacts")
def test_one_that_is_resolved_leaves_the_others_as_they_are(three: Staged) -> None:
    before = [row["number"] for row in refused(three)]

    retry(three)
    receipt(three)

    assert [row["number"] for row in refused(three)] == before[1:]


@pytest.mark.usefixtures("contacts")
def test_it_outlives_a_restart_of_either_side(three: Staged) -> None:
    before = refused(three)

    three.restart(ORIGIN)
    three.restart(CHENGDU)

    assert refused(three) == before
    assert len(receipt(three).parked) == 3


@pytest.mark.usefixtures("contacts")
def test_more_than_one_receipt_holds_are_told_in_turn(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sync.book_in.REFUSED_MAX", 2)

    said = receipt(three)

    assert (said.stopped, len(said.parked)) == (3, 2)
    assert said.told_up_to == said.parked[-1].number
    # What it does not name lies beyond what it tells of: nothing is thought to be resolved.
    assert len(refused(three)) == 3
    retry(three)
    assert len(receipt(three).parked) == 2
    assert len(refused(three)) == 2


def test_what_waits_behind_is_counted_and_not_listed(three: Staged) -> None:
    outflow = depart(three[ORIGIN], register(three[ORIGIN]))
    with refusing("outflow.registered"):
        three[ORIGIN].execute(ShareOutflow(outflow=outflow, to=CHENGDU, purpose="联合管理"))
        three[ORIGIN].execute(OfferCare(outflow=outflow, host=CHENGDU))
        three.settle()

    (row,) = refused(three)

    assert (row["stream"], row["version"], row["behind"]) == (outflow, 1, 2)


def test_a_receipt_of_an_older_node_resolves_nothing(three: Staged, contacts: list[UUID]) -> None:
    said = receipt(three)
    older = said.model_copy(update={"parked": (), "stopped": None})

    three[ORIGIN].relay.acknowledge(older.signed(three[CHENGDU].keys))

    assert len(refused(three)) == len(contacts)


def test_an_overtaken_receipt_changes_nothing(three: Staged, contacts: list[UUID]) -> None:
    lanes = three[ORIGIN].lanes
    said = receipt(three)
    fields = {"parked": (), "stopped": 0, "number": 1, "root": lanes.root_out(CHENGDU, 1)}

    three[ORIGIN].relay.acknowledge(said.model_copy(update=fields).signed(three[CHENGDU].keys))

    assert len(refused(three)) == len(contacts)


@pytest.mark.usefixtures("contacts")
def test_only_what_was_sent_can_be_refused(three: Staged) -> None:
    said = receipt(three)
    invented = Refused(number=9_999, code="malformed", said="?", behind=2**53 - 1)

    lie = said.model_copy(update={"parked": (*said.parked, invented), "stopped": 4})
    three[ORIGIN].relay.acknowledge(lie.signed(three[CHENGDU].keys))

    assert [row["number"] for row in refused(three)] == [each.number for each in said.parked]


def test_why_a_whole_batch_was_refused_is_kept_until_it_passes(three: Staged, pen: Pen) -> None:
    three[ORIGIN].relay.acknowledge(pen.send(pen.activity(), before="ab" * 32).answer)
    why = three[ORIGIN].lanes.told(CHENGDU).refused

    assert why is not None
    assert "恢复了旧备份" in why
    # The lane has not moved by it: what was refused is sent again.
    assert three[ORIGIN].lanes.acknowledged(CHENGDU).number == 0
    depart(three[ORIGIN], register(three[ORIGIN]))
    three.settle()
    receipt(three)
    assert three[ORIGIN].lanes.told(CHENGDU).refused is None


def test_an_answer_tells_that_entries_were_set_aside(pen: Pen) -> None:
    outcome = pen.send(pen.activity(2), pen.contact(uuid4(), subject=uuid4()))

    assert (outcome.recorded, outcome.parked, outcome.fault) == (0, 2, None)


def test_a_receipt_has_room_for_all_it_may_name(pen: Pen) -> None:
    entries = [pen.activity(2) for _ in range(envelope.REFUSED_MAX + 5)]

    said = Sealed(pen.send(*entries).answer).open(LaneReceipt, pen.receiver.keys.verify_key)

    assert (len(said.parked), said.stopped) == (envelope.REFUSED_MAX, len(entries))


# Those an inbox or an import of files can meet; what a comparison meets is never parked.
FAULTS = [kind for kind in LaneFault.__subclasses__() if kind.__module__ == "sync.errors"]


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_every_fault_says_what_to_do_in_both_languages(kind: type[LaneFault]) -> None:
    chinese, english = kind.mend.split("。", 1)

    assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
    assert english.endswith(".")
    assert told(kind.code(), {"topic": "x"}) == str(kind(topic="x"))
    assert len(told(kind.code(), {})) < envelope.REASON_MAX


def test_a_fault_only_a_newer_node_knows_is_told_by_its_code() -> None:
    assert told("too-good", {}) == "too-good"
