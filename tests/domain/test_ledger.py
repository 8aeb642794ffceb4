"""台账: where facts are written, looked up, and read again in order."""

from __future__ import annotations

import time
from threading import Thread
from uuid import UUID

import pytest
from eventsourcing.persistence import (
    IntegrityError,
    OperationalError,
    StoredEvent,
    Tracking,
)

from domain import ledger as ledger_module
from domain.aggregate import current
from domain.commands import OpenUnit, RenameUnit
from domain.ledger import Ledger, NotFound, NotOurs, OutcomeUnknown, Overtaken, Receipt, Write
from domain.member import Member
from domain.records import encode
from domain.unit import Unit
from tests.support.golden import example
from tests.support.story import CHENGDU, Story, fact, name

BRANCH = fact(Unit.Opened, name="支部", kind="branch", depth=1)
RENAMED = fact(Unit.Renamed, name="第二支部")
UNIT = name("unit")


def unit(story: Story, *more: object, by: str | None = None) -> UUID:
    return story.given(UNIT, BRANCH, *more, by=by)  # type: ignore[arg-type]


# Reading.


def test_a_thing_is_found_by_kind_and_id(origin: Story) -> None:
    unit(origin)

    assert isinstance(origin.ledger.find(Unit, UNIT), Unit)
    assert origin.ledger.find(Member, UNIT) is None
    assert origin.ledger.find(Unit, name("nothing")) is None
    with pytest.raises(NotFound) as refused:
        origin.ledger.look_up(Member, UNIT)
    assert refused.value.facts == {"kind": "member", "id": UNIT}


def test_one_changes_a_copy(origin: Story) -> None:
    unit(origin)

    mine, other = origin.ledger.open(Unit, UNIT), origin.ledger.find(Unit, UNIT)
    mine.name = "第二支部"

    assert other is not None
    assert other.name == "支部"


def test_one_may_say_which_version_one_has_seen(origin: Story) -> None:
    unit(origin)

    assert origin.ledger.open(Unit, UNIT, 1).version == 1
    with pytest.raises(Overtaken) as refused:
        origin.ledger.open(Unit, UNIT, 2)
    assert refused.value.facts == {"id": UNIT, "expected": 2, "actual": 1}


def test_what_another_keeps_is_not_opened(origin: Story) -> None:
    unit(origin, by=CHENGDU)

    with pytest.raises(NotOurs) as refused:
        origin.ledger.open(Unit, UNIT)
    assert refused.value.facts == {"kind": "unit", "id": UNIT, "keeper": CHENGDU}


def test_what_another_keeps_is_not_written_either(origin: Story) -> None:
    """Whatever way a decision came by it."""
    unit(origin, by=CHENGDU)
    theirs = origin.ledger.look_up(Unit, UNIT).private_copy()
    token = current.set(origin._stamp(None))  # noqa: SLF001
    theirs.rename("第二支部")
    current.reset(token)

    with pytest.raises(NotOurs):
        origin.ledger.record(theirs)

    assert len(origin.ledger.stream(UNIT)) == 1


def test_a_stream_longer_than_a_page_is_read_to_its_end(
    origin: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit(origin, *(fact(Unit.Renamed, name=f"支部{n}") for n in range(9)))
    monkeypatch.setattr(ledger_module, "STREAM_MAX", 5)

    assert origin.ledger.look_up(Unit, UNIT).version == 10
    assert [fact.originator_version for fact in origin.ledger.facts(UNIT)] == list(range(1, 11))
    assert len(origin.ledger.stream(UNIT, after=3)) == 7


def test_memory_has_an_end(origin: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "CACHE_MAX", 2)
    ids = [origin.given(name(f"unit {n}"), BRANCH) for n in range(4)]

    found = [origin.ledger.find(Unit, id_) for id_ in (*ids, *ids)]

    assert [each.id for each in found if each] == [*ids, *ids]
    assert len(origin.ledger._cache) == 2  # noqa: SLF001


def test_a_copy_read_while_a_fact_comes_in_is_not_kept(
    origin: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a peer's stream would be seen as it was, until its next fact."""
    unit(origin, by=CHENGDU)
    recorder = origin.ledger._recorder  # noqa: SLF001
    read = recorder.stream
    arriving = [RENAMED]

    def read_slowly(stream: UUID, after: int, limit: int) -> list[StoredEvent]:
        page = read(stream, after, limit)
        if arriving and page:
            origin.given(UNIT, arriving.pop(), by=CHENGDU)
        return page

    monkeypatch.setattr(recorder, "stream", read_slowly)
    origin.ledger.find(Unit, UNIT)
    monkeypatch.undo()

    assert origin.ledger.look_up(Unit, UNIT).version == 2


def test_what_came_from_a_peer_is_read_anew(origin: Story) -> None:
    unit(origin, by=CHENGDU)
    before = origin.ledger.look_up(Unit, UNIT).version

    origin.given(UNIT, RENAMED, by=CHENGDU)

    assert (before, origin.ledger.look_up(Unit, UNIT).version) == (1, 2)


# Writing.


def test_a_receipt_says_where_it_stands(origin: Story) -> None:
    head = origin.ledger.head

    receipt = origin.when(OpenUnit(name="支部")).then(
        fact(Unit.Opened, name="支部", kind="branch", depth=1)
    )

    assert receipt == Receipt(id=receipt.id, version=1, position=head + 1)
    assert origin.ledger.head == head + 1


def test_a_command_that_changes_nothing_has_a_receipt_too(origin: Story) -> None:
    unit(origin)

    origin.when(RenameUnit(unit=UNIT, name="支部")).then_nothing()

    assert origin.receipt == Receipt(id=UNIT, version=1, position=origin.ledger.head)


def test_who_comes_second_is_told_and_sees_the_first(origin: Story) -> None:
    unit(origin)
    first, second = origin.ledger.open(Unit, UNIT), origin.ledger.open(Unit, UNIT)
    token = current.set(origin._stamp(None))  # noqa: SLF001
    first.rename("第一")
    second.rename("第二")
    current.reset(token)
    origin.ledger.record(first)

    with pytest.raises(Overtaken):
        origin.ledger.record(second)

    assert origin.ledger.look_up(Unit, UNIT).name == "第一"


def test_without_an_answer_the_outcome_is_unknown(
    origin: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(write: Write) -> None:
        write.done.set_exception(OperationalError("lost"))

    monkeypatch.setattr(origin.ledger._recorder, "submit", lose)  # noqa: SLF001

    origin.when(OpenUnit(name="支部")).then_refused(OutcomeUnknown)


def test_records_are_taken_in_once_with_their_bookmark(origin: Story) -> None:
    record = encode(example("inflow.reported"), origin.ledger.keyring).record
    first, second = Tracking("lane:chengdu", 1), Tracking("lane:chengdu", 2)
    origin.ledger.replicate([record], first)

    with pytest.raises(Overtaken):
        origin.ledger.replicate([record], second)
    with pytest.raises(Overtaken):
        origin.ledger.replicate([], first)
    origin.ledger.replicate([], second)

    assert origin.ledger.stream(name("inflow.reported")) == [record]


# Waiting.


def test_one_waits_for_what_comes_next(origin: Story) -> None:
    head = origin.ledger.head
    thread = Thread(target=lambda: origin.given(UNIT, BRANCH))

    thread.start()

    assert origin.ledger.wait_beyond(head, 10)
    thread.join()


def test_who_waits_is_woken_once_a_commit_also_if_its_last_command_is_refused(
    origin: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger: Ledger = origin.ledger
    head, together = ledger.head, list[Write]()
    monkeypatch.setattr(ledger._recorder, "submit", together.append)  # noqa: SLF001
    token = current.set(origin._stamp(None))  # noqa: SLF001
    for _ in range(2):
        ledger.submit([Unit.open(UNIT, "支部", "branch", None)], lambda _: None)
    current.reset(token)
    waiting = Thread(target=ledger.wait_beyond, args=(head, 30), daemon=True)
    waiting.start()

    first, last = together
    first.more = True
    first.done.set_result([head + 1])
    alive = waiting.is_alive()
    last.done.set_exception(IntegrityError("taken"))
    waiting.join(10)

    assert (alive, waiting.is_alive()) == (True, False)


def test_one_waits_no_longer_than_asked(origin: Story) -> None:
    assert not origin.ledger.wait_beyond(origin.ledger.head, 0.01)
    assert origin.ledger.wait_beyond(origin.ledger.head - 1, 0)


def test_who_waits_can_be_woken(origin: Story) -> None:
    ledger: Ledger = origin.ledger
    answers: list[bool] = []
    thread = Thread(target=lambda: answers.append(ledger.wait_beyond(ledger.head, 30)))
    thread.start()
    while thread.is_alive():
        ledger.wake()
        time.sleep(0.01)

    assert answers == [False]


def test_a_page_has_a_limit(origin: Story) -> None:
    for number in range(3):
        origin.given(name(f"unit {number}"), BRANCH)

    assert len(origin.ledger.since(0, 2)) == 2
    assert origin.ledger.since(origin.ledger.head) == []
