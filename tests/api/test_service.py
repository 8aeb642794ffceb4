"""服务: a command is decided, recorded and answered once, however often it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from threading import Event, Thread
from uuid import UUID

import pytest
from eventsourcing.persistence import StoredEvent

from api import service as service_module
from api.service import (
    ATTEMPTS_MAX,
    BY_ITSELF,
    REPLAY_DAYS,
    AlreadyRecorded,
    KeyReused,
    Service,
    Stale,
    StillUnderWay,
    Who,
    because_of,
)
from api.storage import keyring as keyring_module
from api.storage.database import Database
from api.storage.keyring import NodeKeyring
from api.storage.recorder import GroupRecorder
from domain.commands import (
    Command,
    EstablishStation,
    FoundOrganization,
    OpenUnit,
    RecordPhone,
    RegisterOutflow,
    RenameUnit,
)
from domain.ledger import Ledger, NotFound, Overtaken, Receipt, Write
from domain.member import AlreadyAway
from domain.values import FactId, Source
from tests.support.people import register_member
from tests.support.postgres import Database as Schema
from tests.support.story import NOW, ORIGIN, name

BESIDE = {**keyring_module.BESIDE, **service_module.BESIDE}


class Rivals(GroupRecorder):
    """Before a write to a contested stream goes in, somebody else takes its place."""

    def __init__(self, database: Database) -> None:
        self.contested: UUID | None = None
        self.left = 0
        super().__init__(database, BESIDE)

    def submit(self, write: Write) -> None:
        first = write.records[0]
        if self.left and first.originator_id == self.contested:
            self.left -= 1
            assert isinstance(first.originator_id, UUID)
            newest = self.stream(first.originator_id, 0, 100)[-1]
            taken = StoredEvent(
                first.originator_id, first.originator_version, newest.topic, newest.state
            )
            super().submit(Write((taken,)))
        super().submit(write)


class Office:
    """A service with all it stands on."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.recorder = Rivals(database)
        self.keyring = NodeKeyring(database, ORIGIN, b"m" * 32, b"b" * 32)
        self.ledger = Ledger(ORIGIN, self.recorder, self.keyring)
        self.service = self.opened()
        self.service.execute(FoundOrganization(code=ORIGIN, name=ORIGIN))

    def opened(self) -> Service:
        return Service(self.ledger, self.database, lambda: self.now)

    def member(self) -> UUID:
        return self.service.execute(register_member()).id

    def unit(self) -> UUID:
        return self.service.execute(OpenUnit(name="支部")).id


@pytest.fixture
def office(database: Schema) -> Iterator[Office]:
    opened = Database(database.url, database.schema)
    made = Office(opened)
    yield made
    made.recorder.close()
    opened.close()


Ask = Callable[[Office, Command, Who], Receipt]


def execute(office: Office, command: Command, who: Who) -> Receipt:
    return office.service.execute(command, who)


def submit(office: Office, command: Command, who: Who) -> Receipt:
    return asyncio.run(office.service.submit(command, who))


BOTH = pytest.mark.parametrize("ask", [execute, submit])


# Once, however often.


@BOTH
def test_the_same_key_again_is_the_same_command(office: Office, ask: Ask) -> None:
    member = office.member()
    leave = RegisterOutflow(member=member, left_on=date(2025, 3, 1))

    first = ask(office, leave, Who(key="k1"))
    again = ask(office, leave, Who(key="k1"))

    assert again == first
    assert office.ledger.head == first.position
    with pytest.raises(AlreadyAway):
        ask(office, leave, Who(key="k2"))


@BOTH
def test_a_key_stands_for_one_content(office: Office, ask: Ask) -> None:
    unit = office.unit()
    ask(office, RenameUnit(unit=unit, name="甲"), Who(key="k1"))

    with pytest.raises(KeyReused):
        ask(office, RenameUnit(unit=unit, name="乙"), Who(key="k1"))


@BOTH
def test_a_key_is_remembered_by_the_next_process(office: Office, ask: Ask) -> None:
    unit = office.unit()
    first = ask(office, RenameUnit(unit=unit, name="甲"), Who(key="k1"))
    office.service = office.opened()

    assert ask(office, RenameUnit(unit=unit, name="甲"), Who(key="k1")) == first


@BOTH
def test_a_refused_command_leaves_its_key_free(office: Office, ask: Ask) -> None:
    rename = RenameUnit(unit=name("nowhere"), name="甲")
    with pytest.raises(NotFound):
        ask(office, rename, Who(key="k1"))

    with pytest.raises(NotFound):
        ask(office, rename, Who(key="k1"))
    assert ask(office, OpenUnit(name="支部"), Who(key="k1")).version == 1


def test_an_overtaken_command_answers_for_itself_when_replayed(office: Office) -> None:
    unit = office.unit()
    office.recorder.contested, office.recorder.left = unit, 1

    first = office.service.execute(RenameUnit(unit=unit, name="甲"), Who(key="k1"))
    again = office.service.execute(RenameUnit(unit=unit, name="甲"), Who(key="k1"))

    assert first.version == 3
    assert again == first


def test_a_key_is_forgotten_in_time(office: Office) -> None:
    unit = office.unit()
    office.service.execute(RenameUnit(unit=unit, name="甲"), Who(key="k1"))
    office.now += timedelta(days=REPLAY_DAYS, seconds=1)
    office.service = office.opened()

    receipt = office.service.execute(RenameUnit(unit=unit, name="乙"), Who(key="k1"))

    assert receipt.version == 3


def test_of_two_requests_with_one_key_the_second_is_told_to_wait(office: Office) -> None:
    reached, go = Event(), Event()
    unit = office.unit()

    at_once = office.recorder.submit

    def slowly(write: Write) -> None:
        reached.set()
        assert go.wait(10)
        at_once(write)

    office.recorder.submit = slowly  # type: ignore[method-assign]
    outcome: list[Receipt] = []
    rename = RenameUnit(unit=unit, name="甲")
    thread = Thread(target=lambda: outcome.append(office.service.execute(rename, Who(key="k1"))))
    thread.start()
    assert reached.wait(10)
    try:
        with pytest.raises(StillUnderWay):
            office.service.execute(rename, Who(key="k1"))
    finally:
        go.set()
        thread.join(10)

    assert office.service.execute(rename, Who(key="k1")) == outcome[0]


# Overtaken.


@BOTH
def test_an_overtaken_command_is_decided_anew(office: Office, ask: Ask) -> None:
    unit = office.unit()
    office.recorder.contested, office.recorder.left = unit, ATTEMPTS_MAX - 1

    receipt = ask(office, RenameUnit(unit=unit, name="甲"), Who())

    assert receipt.version == 1 + ATTEMPTS_MAX


@BOTH
def test_a_command_overtaken_again_and_again_is_given_up(office: Office, ask: Ask) -> None:
    unit = office.unit()
    office.recorder.contested, office.recorder.left = unit, ATTEMPTS_MAX

    with pytest.raises(Overtaken):
        ask(office, RenameUnit(unit=unit, name="甲"), Who())

    assert office.recorder.left == 0


@BOTH
def test_what_is_recorded_already_is_not_recorded_again(office: Office, ask: Ask) -> None:
    station = EstablishStation(code="cd-1", name="驻蓉站", city="成都", approval="1号")
    receipt = ask(office, station, Who())

    with pytest.raises(AlreadyRecorded) as refused:
        ask(office, station, Who())

    assert refused.value.facts == {"id": receipt.id}


def test_two_members_of_one_office_do_not_overtake_one_another(office: Office) -> None:
    member = office.member()

    async def together() -> list[Receipt]:
        commands = [RecordPhone(member=member, phone=f"1390000{n:04}") for n in range(4)]
        return list(
            await asyncio.gather(*(office.service.submit(each, Who()) for each in commands))
        )

    assert sorted(receipt.version for receipt in asyncio.run(together())) == [2, 3, 4, 5]


def test_many_commands_at_once_are_all_answered(office: Office) -> None:
    async def together() -> list[Receipt]:
        asked = (office.service.submit(OpenUnit(name=f"支部{n}"), Who()) for n in range(300))
        return list(await asyncio.gather(*asked))

    receipts = asyncio.run(together())

    assert len({receipt.id for receipt in receipts}) == 300
    assert sorted(receipt.position for receipt in receipts) == list(range(2, 302))


# The version one has seen.


def test_a_command_may_name_the_version_it_was_made_for(office: Office) -> None:
    unit = office.unit()

    receipt = office.service.execute(RenameUnit(unit=unit, name="甲"), version=1)

    assert receipt.version == 2


@pytest.mark.parametrize("version", [0, 2])
def test_another_version_is_refused(office: Office, version: int) -> None:
    unit = office.unit()

    with pytest.raises(Stale) as refused:
        office.service.execute(RenameUnit(unit=unit, name="甲"), version=version)

    assert refused.value.facts == {"id": unit, "expected": version, "actual": 1}


def test_who_names_a_version_is_not_decided_anew(office: Office) -> None:
    unit = office.unit()
    office.recorder.contested, office.recorder.left = unit, 1

    with pytest.raises(Stale):
        office.service.execute(RenameUnit(unit=unit, name="甲"), version=1)


# What is stamped.


def test_a_fact_says_who_asked_and_from_where(office: Office) -> None:
    source = Source(kind="import", file="台账.xlsx", sheet="Sheet1", row=3)
    who = Who(
        person="wang",
        role="clerk",
        on_behalf_of="zhang",
        channel="import",
        source=source,
        correlation=name("import"),
        causation=FactId(stream=name("cause"), version=2),
    )

    receipt = office.service.execute(OpenUnit(name="支部"), who)

    meta = office.ledger.facts(receipt.id)[0].meta
    assert meta.author.model_dump() == {
        "org": ORIGIN,
        "person": "wang",
        "role": "clerk",
        "on_behalf_of": "zhang",
        "channel": "import",
    }
    assert (meta.source, meta.recorded_at) == (source, NOW)
    assert (meta.correlation, meta.causation) == (name("import"), who.causation)


def test_what_the_node_does_by_itself_names_its_cause() -> None:
    cause = FactId(stream=name("cause"), version=2)

    who = because_of(cause, name("chain"))

    assert who == replace(BY_ITSELF, causation=cause, correlation=name("chain"))
    assert who.channel == "automatic"


def test_a_rehearsal_records_nothing(office: Office) -> None:
    head = office.ledger.head

    office.service.rehearse(OpenUnit(name="支部"), Who(key="k1"))
    with pytest.raises(NotFound):
        office.service.rehearse(RenameUnit(unit=name("nowhere"), name="甲"), Who())

    assert office.ledger.head == head
    assert office.service.execute(OpenUnit(name="支部"), Who(key="k1")).version == 1
