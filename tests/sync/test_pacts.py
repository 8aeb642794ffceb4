"""同步约定: without one in force no key leaves, and what it withheld follows when it is renewed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from api import pact_board as board
from api import pacts
from domain.commands import (
    ChangePact,
    ConcludePact,
    EndPact,
    RecordPhone,
    ShareOutflow,
)
from domain.outflow import Outflow
from domain.pact import Pact, PactState, PactTerms
from domain.purposes import purposes_of
from domain.values import DataClass
from sync import granting
from sync.envelope import Batch, Sealed
from tests.api.support import number
from tests.support.federation import CHENGDU, HOST_MAY_OPEN, ORIGIN, depart, register
from tests.support.stage import Stage, Staged
from tests.sync.conftest import acquainted
from tests.sync.pen import Pen

STATION = "lanzhou"
"""A station with which nothing is agreed."""

IDENTITY, CONTACT = DataClass.IDENTITY, DataClass.CONTACT


def told(made: Staged, host: str, **details: Any) -> UUID:
    """An absence that a host is told about: the absence."""
    member = register(made[ORIGIN], number(), **details)
    outflow = depart(made[ORIGIN], member)
    made[ORIGIN].execute(ShareOutflow(outflow=outflow, to=host, purpose="联合管理"))
    return outflow


def shown(made: Staged, host: str, outflow: UUID) -> tuple[str | None, str | None]:
    """Name and telephone, as the host's read model has them."""
    member = made[ORIGIN].ledger.look_up(Outflow, outflow).member
    query = "SELECT name, phone FROM roster_person WHERE member = %(member)s"
    (row,) = made[host].database.rows(query, {"member": member})
    return row["name"], row["phone"]


def terms(made: Staged, *classes: DataClass, days: int = 365, **said: Any) -> PactTerms:
    today = board.today_of(made[ORIGIN])
    usual = {
        "purposes": purposes_of(classes),
        "classes": classes,
        "effective_from": today,
        "until": date.fromordinal(today.toordinal() + days - 1),
    }
    return PactTerms.model_validate({**usual, **said})


def renew(made: Staged, *classes: DataClass, host: str = CHENGDU, **said: Any) -> None:
    made[ORIGIN].execute(ChangePact(peer=host, terms=terms(made, *classes, **said)))


def withheld(made: Staged, host: str = CHENGDU) -> dict[str, int]:
    (row,) = (each for each in board.board(made[ORIGIN]) if each["peer"] == host)
    return dict(row["ours"]["withheld"])


def resumed(made: Staged, host: str = CHENGDU) -> int:
    """How many facts have brought withheld keys."""
    stream = made[ORIGIN].ledger.stream(Pact.id_of(ORIGIN, host))
    return sum(record.topic == Pact.Resumed.TOPIC for record in stream)


@pytest.fixture
def three(theatre: Stage) -> Iterator[Staged]:
    """As elsewhere, and each has been told what was agreed."""
    theatre.empty()
    with ExitStack() as stack:
        yield acquainted(theatre, stack, told=True)


@pytest.fixture
def with_stranger(three: Staged) -> Staged:
    three.found(STATION, "station")
    three.acquaint(ORIGIN, STATION, (), told=True)
    three.settle()
    return three


# None.


@pytest.mark.slow
def test_without_a_pact_facts_arrive_and_stay_sealed(with_stranger: Staged) -> None:
    outflow = told(with_stranger, STATION)
    with_stranger.settle()

    host = with_stranger[STATION]
    assert host.ledger.look_up(Outflow, outflow).keeper == ORIGIN
    assert shown(with_stranger, STATION, outflow) == (None, None)
    assert withheld(with_stranger, STATION) == {"contact": 1, "identity": 1}
    (row,) = (each for each in board.sealed(host, outflow) if each["class"] == IDENTITY)
    assert (row["keeper"], row["agreed"], row["state"]) == (ORIGIN, False, PactState.NONE)
    assert "no new key passes" in row["says"]


@pytest.mark.slow
def test_concluded_later_it_brings_what_was_withheld(with_stranger: Staged) -> None:
    outflow = told(with_stranger, STATION)
    with_stranger.settle()

    agreed = terms(with_stranger, *HOST_MAY_OPEN)
    with_stranger[ORIGIN].execute(ConcludePact(peer=STATION, terms=agreed))
    with_stranger.settle()

    assert shown(with_stranger, STATION, outflow) == ("张三", "+8613900001234")
    assert withheld(with_stranger, STATION) == {}
    assert board.sealed(with_stranger[STATION], outflow) == []


@pytest.mark.slow
def test_both_sides_know_the_same_pact(three: Staged) -> None:
    three.settle()

    ours, theirs = (board.told(three[code], ORIGIN, CHENGDU) for code in (ORIGIN, CHENGDU))

    assert ours == theirs
    assert (theirs["state"], theirs["classes"]) == (PactState.IN_FORCE, HOST_MAY_OPEN)
    assert theirs["days_left"] == 364


@pytest.mark.slow
def test_it_is_in_force_from_its_first_day(with_stranger: Staged) -> None:
    first = date(2026, 2, 1)
    ahead = terms(with_stranger, *HOST_MAY_OPEN, effective_from=first)
    with_stranger[ORIGIN].execute(ConcludePact(peer=STATION, terms=ahead))
    outflow = told(with_stranger, STATION)
    with_stranger.settle()
    assert board.told(with_stranger[STATION], ORIGIN, STATION)["state"] is PactState.AHEAD
    assert shown(with_stranger, STATION, outflow) == (None, None)

    with_stranger.clock.pass_(days=27)
    with_stranger.settle()

    assert shown(with_stranger, STATION, outflow) == ("张三", "+8613900001234")


# Lapse and renewal.


@pytest.fixture
def lapsed(three: Staged) -> Staged:
    """One absence known and open, then the pact is over."""
    three.before = told(three, CHENGDU)  # type: ignore[attr-defined]
    three.settle()
    three.clock.pass_(days=365)
    three.settle()
    return three


@pytest.mark.slow
def test_after_its_last_day_no_new_key_passes(lapsed: Staged) -> None:
    outflow = told(lapsed, CHENGDU)
    lapsed.settle()

    assert shown(lapsed, CHENGDU, outflow) == (None, None)
    assert shown(lapsed, CHENGDU, lapsed.before) == ("张三", "+8613900001234")  # type: ignore[attr-defined]
    (row, *_) = board.sealed(lapsed[CHENGDU], outflow)
    assert (row["agreed"], row["state"]) == (False, PactState.LAPSED)


@pytest.mark.slow
def test_what_follows_about_a_known_person_is_sealed_with_a_new_key(lapsed: Staged) -> None:
    before: UUID = lapsed.before  # type: ignore[attr-defined]
    member = lapsed[ORIGIN].ledger.look_up(Outflow, before).member

    lapsed[ORIGIN].execute(RecordPhone(member=member, phone="13900005678"))
    lapsed.settle()

    assert shown(lapsed, CHENGDU, before) == ("张三", None)
    assert shown(lapsed, ORIGIN, before) == ("张三", "+8613900005678")
    assert withheld(lapsed) == {"contact": 1}


@pytest.mark.slow
def test_it_lapses_with_the_civil_day(three: Staged) -> None:
    # The clock stands at nine in the morning in China; fifteen hours on it is the next day.
    three.clock.pass_(days=364, hours=14, minutes=59)
    open_until = told(three, CHENGDU)
    three.settle()
    three.clock.pass_(minutes=1)
    closed_from = told(three, CHENGDU)
    three.settle()

    assert shown(three, CHENGDU, open_until)[0] == "张三"
    assert shown(three, CHENGDU, closed_from)[0] is None


@pytest.mark.slow
def test_renewal_passes_what_was_withheld_the_oldest_first(
    lapsed: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(granting, "KEYS_PASSED_MAX", 2)
    missed = [told(lapsed, CHENGDU, name=name) for name in ("赵一", "钱二", "孙三")]
    lapsed.settle()
    assert withheld(lapsed) == {"contact": 3, "identity": 3}

    renew(lapsed, *HOST_MAY_OPEN)
    origin, opened = lapsed[ORIGIN], []
    origin.relay.number()
    while origin.pacts.step():
        origin.relay.number()
        lapsed.carry(ORIGIN, CHENGDU)
        lapsed[CHENGDU].settle()
        opened.append([shown(lapsed, CHENGDU, each)[0] for each in missed])

    assert opened == [["赵一", None, None], ["赵一", "钱二", None], ["赵一", "钱二", "孙三"]]
    assert (withheld(lapsed), resumed(lapsed)) == ({}, 3)


@pytest.mark.slow
def test_renewed_before_it_lapses_nothing_is_withheld(three: Staged) -> None:
    three.clock.pass_(days=300)
    renew(three, *HOST_MAY_OPEN)
    three.clock.pass_(days=100)
    outflow = told(three, CHENGDU)
    three.settle()

    assert shown(three, CHENGDU, outflow) == ("张三", "+8613900001234")
    assert resumed(three) == 0


# Less, and the end.


@pytest.mark.slow
def test_a_narrower_version_stops_that_class_alone(three: Staged) -> None:
    before = told(three, CHENGDU)
    three.settle()
    renew(three, IDENTITY)
    three[ORIGIN].pacts.step()  # Every second, while a node runs.
    three[ORIGIN].execute(RecordPhone(member=member_of(three, before), phone="13900005678"))
    after = told(three, CHENGDU)
    three.settle()

    assert shown(three, CHENGDU, before) == ("张三", None)
    assert shown(three, CHENGDU, after) == ("张三", None)
    assert withheld(three) == {"contact": 2}
    renew(three, *HOST_MAY_OPEN)
    three.settle()
    assert shown(three, CHENGDU, before) == ("张三", "+8613900005678")
    assert shown(three, CHENGDU, after) == ("张三", "+8613900001234")


def member_of(made: Staged, outflow: UUID) -> UUID:
    return made[ORIGIN].ledger.look_up(Outflow, outflow).member


@pytest.mark.slow
def test_ended_early_it_stops_at_once(three: Staged) -> None:
    three.settle()
    three[ORIGIN].execute(EndPact(peer=CHENGDU, reason="联络站撤销"))
    outflow = told(three, CHENGDU)
    three.settle()

    assert shown(three, CHENGDU, outflow) == (None, None)
    pact = board.told(three[CHENGDU], ORIGIN, CHENGDU)
    assert (pact["state"], pact["ended"]["reason"]) == (PactState.ENDED, "联络站撤销")


@pytest.mark.slow
def test_another_peer_is_served_by_its_own_pact(three: Staged) -> None:
    outflow = told(three, CHENGDU)
    three[ORIGIN].execute(ShareOutflow(outflow=outflow, to="shenzhen", purpose="联合管理"))
    three.settle()
    three[ORIGIN].execute(EndPact(peer=CHENGDU, reason="联络站撤销"))
    three.settle()

    three[ORIGIN].execute(RecordPhone(member=member_of(three, outflow), phone="13900005678"))
    three.settle()

    assert shown(three, CHENGDU, outflow) == ("张三", None)
    assert shown(three, "shenzhen", outflow) == ("张三", "+8613900005678")


# A peer that asks.


def granted(made: Staged, after: int = 0) -> int:
    """How many keys a batch brings that Chengdu asks for."""
    wire, _ = made[ORIGIN].relay.batch(CHENGDU, after)
    return len(Sealed(wire).open(Batch, made[ORIGIN].keys.verify_key).grants)


@pytest.mark.slow
def test_asked_for_again_an_old_batch_brings_no_key_any_more(three: Staged) -> None:
    told(three, CHENGDU)
    three.settle()
    assert granted(three) == 2

    three[ORIGIN].execute(EndPact(peer=CHENGDU, reason="联络站撤销"))

    assert granted(three) == 0
    assert withheld(three) == {}, "It has them: that cannot be undone by asking."


@pytest.mark.slow
def test_what_was_numbered_before_and_is_asked_for_after_waits(three: Staged) -> None:
    outflow = told(three, CHENGDU)
    while three[ORIGIN].relay.number():
        pass
    three[ORIGIN].execute(EndPact(peer=CHENGDU, reason="联络站撤销"))

    assert granted(three) == 0
    assert withheld(three) == {"contact": 1, "identity": 1}
    three.settle()
    assert shown(three, CHENGDU, outflow) == (None, None)
    agreed = terms(three, *HOST_MAY_OPEN)
    three[ORIGIN].execute(ConcludePact(peer=CHENGDU, terms=agreed))
    three.settle()
    assert shown(three, CHENGDU, outflow) == ("张三", "+8613900001234")


@pytest.mark.slow
def test_a_peer_cannot_agree_with_itself(three: Staged) -> None:
    """What Chengdu may open stands on the origin's stream, which only the origin writes."""
    back = Pen(three[CHENGDU], three[ORIGIN])
    said = {"peer": CHENGDU, "terms": terms(three, *DataClass).model_dump(mode="json")}
    ours = Pact.id_of(ORIGIN, CHENGDU)

    back.send(back.entry("pact.concluded", ours, **said))
    back.send(back.entry("pact.changed", ours, 2, terms=said["terms"]))

    (first, second) = three[ORIGIN].lanes.quarantined(0, 10)
    assert {first["reason"], second["reason"]} <= {"not-their-topic", "not-the-keeper"} | {
        "stream-stopped"
    }
    assert three[ORIGIN].relay.granting.open_to(CHENGDU) == HOST_MAY_OPEN


@pytest.mark.slow
def test_a_pact_names_whom_it_is_made_with(three: Staged, pen: Pen) -> None:
    said = {"peer": "shenzhen", "terms": terms(three, IDENTITY).model_dump(mode="json")}

    pen.send(pen.entry("pact.concluded", Pact.id_of(ORIGIN, CHENGDU), **said))

    (row,) = three[CHENGDU].lanes.quarantined(0, 10)
    assert row["reason"] == "not-their-topic"


@pytest.mark.slow
def test_a_file_brings_no_more_keys_than_the_network(three: Staged) -> None:
    told(three, CHENGDU)
    while three[ORIGIN].relay.number():
        pass
    three[ORIGIN].execute(EndPact(peer=CHENGDU, reason="联络站撤销"))

    assert three[ORIGIN].bundles.pack(CHENGDU) is not None

    assert withheld(three) == {"contact": 1, "identity": 1}


# Crashes.


@pytest.mark.slow
def test_a_crash_before_the_keys_are_numbered_loses_none(lapsed: Staged) -> None:
    outflow = told(lapsed, CHENGDU)
    lapsed.settle()
    renew(lapsed, *HOST_MAY_OPEN)
    while lapsed[ORIGIN].relay.number():
        pass
    assert lapsed[ORIGIN].pacts.step() > 0
    assert lapsed[ORIGIN].pacts.step() == 0, "What is recorded and not on its way is not repeated."

    lapsed.restart(ORIGIN)
    lapsed.settle()

    assert shown(lapsed, CHENGDU, outflow) == ("张三", "+8613900001234")
    assert resumed(lapsed) == 1


@pytest.mark.slow
def test_a_crash_before_the_keys_are_read_is_made_up_for(lapsed: Staged) -> None:
    outflow = told(lapsed, CHENGDU)
    lapsed.settle()
    renew(lapsed, *HOST_MAY_OPEN)
    lapsed[ORIGIN].settle()
    while lapsed.carry(ORIGIN, CHENGDU):
        pass
    while lapsed[CHENGDU].projector.catch_up():
        pass
    assert shown(lapsed, CHENGDU, outflow) == (None, None)

    lapsed.restart(CHENGDU)
    lapsed.settle()

    assert shown(lapsed, CHENGDU, outflow) == ("张三", "+8613900001234")


@pytest.mark.slow
def test_a_restart_after_the_lapse_seals_with_new_keys_too(three: Staged) -> None:
    before = told(three, CHENGDU)
    three.settle()
    three.clock.pass_(days=365)
    three.restart(ORIGIN)
    three[ORIGIN].pacts.step()

    three[ORIGIN].execute(RecordPhone(member=member_of(three, before), phone="13900005678"))
    three.settle()

    assert shown(three, CHENGDU, before) == ("张三", None)


@pytest.mark.slow
def test_a_peer_that_goes_on_resuming_does_not_keep_us_reading(
    lapsed: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacts, "REST_MAX_TIMES", 1e6)
    told(lapsed, CHENGDU)
    lapsed.settle()
    renew(lapsed, *HOST_MAY_OPEN)
    lapsed.settle()
    lapsed[ORIGIN].execute(EndPact(peer=CHENGDU, reason="试"))
    outflow = told(lapsed, CHENGDU)
    lapsed.settle()
    agreed = terms(lapsed, *HOST_MAY_OPEN)
    lapsed[ORIGIN].execute(ConcludePact(peer=CHENGDU, terms=agreed))
    lapsed[ORIGIN].settle()
    while lapsed.carry(ORIGIN, CHENGDU):
        pass

    assert lapsed[CHENGDU].pacts.step(hurry=False) == 0
    lapsed.settle()
    assert shown(lapsed, CHENGDU, outflow) == ("张三", "+8613900001234")


# Alarms.


@pytest.mark.slow
def test_before_it_lapses_and_after_it_is_an_alarm(three: Staged) -> None:
    three.settle()
    notice = three[ORIGIN].settings.pact_notice_days
    three.clock.pass_(days=365 - notice - 1)
    assert alarms(three, ORIGIN) == set()

    three.clock.pass_(days=1)
    assert alarms(three, ORIGIN) == {
        ("pact-lapses", ORIGIN, CHENGDU, notice - 1),
        ("pact-lapses", CHENGDU, ORIGIN, notice - 1),
        ("pact-lapses", ORIGIN, "shenzhen", notice - 1),
        ("pact-lapses", "shenzhen", ORIGIN, notice - 1),
    }
    three.clock.pass_(days=notice)
    assert ("pact-lapsed", ORIGIN, CHENGDU, -1) in alarms(three, CHENGDU)
    renew(three, *HOST_MAY_OPEN)
    three[ORIGIN].execute(EndPact(peer="shenzhen", reason="联络站撤销"))
    three.settle()
    assert {(rule, keeper) for rule, keeper, _, _ in alarms(three, ORIGIN)} == {
        ("pact-lapsed", CHENGDU),
        ("pact-lapsed", "shenzhen"),
    }


def alarms(made: Staged, code: str) -> set[tuple[str, str, str, int]]:
    return {
        (each["rule"], each["keeper"], each["peer"], each["days_left"])
        for each in board.alarms(made[code])
    }
