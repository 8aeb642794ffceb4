"""版本: an older node keeps working, loses not a byte, and both sides see what it cannot read."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.versions import reading
from domain import upcasts
from domain.activity import Activity
from domain.catalogue import FACTS, reads
from domain.commands import ReportLost, ReportRestored
from domain.outflow import Outflow
from domain.records import decode, digest
from domain.signet import Signet
from sync.envelope import Batch, LaneEntry, Sealed
from tests.support.federation import CHENGDU, EVERYTHING, ORIGIN, depart, hand_over, register
from tests.support.stage import Staged
from tests.sync.pen import Pen, record_of

LOST = Outflow.ContactLost.TOPIC


@contextmanager
def lacking(*topics: str) -> Iterator[None]:
    """The software of an older version, which has never heard of these facts."""
    with pytest.MonkeyPatch.context() as patch:
        for topic in topics:
            patch.delitem(FACTS, topic)
        yield


@contextmanager
def second_version_of_an_activity() -> Iterator[None]:
    """The software of a newer version, in which an activity says for whom it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Activity.Held, "VERSION", 2)
        patch.setitem(upcasts.UPCASTS, (Activity.Held.TOPIC, 1), lambda old: old)
        yield


def announced(three: Staged) -> None:
    """Every node has started once, and says what it can read."""
    for node in three.nodes.values():
        node.key_change.announce()


def upgraded(three: Staged, code: str) -> None:
    """The node is stopped, updated and started."""
    three.restart(code)
    three[code].key_change.announce()
    three.settle()


def restarted_older(three: Staged, code: str, *topics: str) -> None:
    with lacking(*topics):
        three.restart(code)
        three[code].key_change.announce()
        three[code].settle()
    three.settle()


def board(three: Staged, code: str) -> list[dict[str, Any]]:
    """What both sides should show of the absences."""
    with three[code].database.connection() as conn:
        found = conn.execute("SELECT outflow, lost FROM roster_flow ORDER BY outflow").fetchall()
    return [dict(zip(("outflow", "lost"), row, strict=True)) for row in found]


def out_of_touch(three: Staged) -> UUID:
    """Facts an older Chengdu cannot read, in the middle of a stream, and what follows on it."""
    outflow = depart(three[ORIGIN], register(three[ORIGIN]))
    hand_over(three, outflow, CHENGDU)
    three[ORIGIN].execute(ReportLost(outflow=outflow, basis="三个月未联系上"))
    three[ORIGIN].settle()
    return outflow


def carried_to_older(three: Staged) -> None:
    """An older Chengdu takes in what there is, projects it and answers."""
    with lacking(LOST):
        while three.carry(ORIGIN, CHENGDU):
            three[CHENGDU].settle()


def test_what_an_older_node_cannot_read_it_keeps_to_the_byte(three: Staged) -> None:
    outflow = out_of_touch(three)
    carried_to_older(three)

    ours, theirs = (three[code].ledger.stream(outflow) for code in (ORIGIN, CHENGDU))

    assert LOST in {record.topic for record in theirs}
    assert [digest(record) for record in theirs] == [digest(record) for record in ours]
    assert three[CHENGDU].lanes.quarantined(0, 10) == []
    with lacking(LOST):
        seen = three[CHENGDU].ledger.look_up(Outflow, outflow)
        assert (seen.version, seen.carer) == (len(ours), CHENGDU)


@pytest.mark.slow
def test_after_its_upgrade_a_rebuild_reads_what_was_passed_over(three: Staged) -> None:
    outflow = out_of_touch(three)
    carried_to_older(three)
    assert [row["lost"] for row in board(three, CHENGDU)] == [False]

    upgraded(three, CHENGDU)
    equal = {name: three[CHENGDU].projector.rebuild(name) for name in ("roster", "history")}

    assert equal == {"roster": False, "history": True}
    assert board(three, CHENGDU) == board(three, ORIGIN)
    assert [row["lost"] for row in board(three, CHENGDU)] == [True]
    three[ORIGIN].execute(ReportRestored(outflow=outflow))
    three.settle()
    assert board(three, CHENGDU) == board(three, ORIGIN)


def test_both_sides_see_what_the_older_cannot_read_and_since_when(three: Staged) -> None:
    announced(three)
    restarted_older(three, CHENGDU, LOST)
    out_of_touch(three)
    carried_to_older(three)

    (sent,) = reading(three[ORIGIN], CHENGDU)["they_cannot"]
    with lacking(LOST):
        (held,) = reading(three[CHENGDU], ORIGIN)["we_cannot"]

    assert (sent["topic"], sent["version"], sent["reads"], sent["facts"]) == (LOST, 1, 0, 1)
    assert (held["topic"], held["version"], held["reads"], held["facts"]) == (LOST, 1, 0, 1)
    assert sent["since"]
    assert held["since"]
    assert reading(three[ORIGIN], CHENGDU)["we_cannot"] == []


def test_after_its_upgrade_nothing_is_left_to_see(three: Staged) -> None:
    announced(three)
    restarted_older(three, CHENGDU, LOST)
    assert reading(three[ORIGIN], CHENGDU)["they_cannot"]

    upgraded(three, CHENGDU)

    assert reading(three[ORIGIN], CHENGDU)["they_cannot"] == []
    signet = three[ORIGIN].ledger.look_up(Signet, Signet.id_of(CHENGDU))
    assert [fact.TOPIC for fact in three[ORIGIN].ledger.facts(signet.id)] == [
        "signet.opened",
        "signet.upgraded",
        "signet.upgraded",
    ]


def test_a_start_without_a_change_says_nothing(three: Staged) -> None:
    announced(three)
    head = three[ORIGIN].ledger.head

    announced(three)

    assert three[ORIGIN].ledger.head == head


def test_what_a_card_says_is_known_at_enrolment(three: Staged) -> None:
    with lacking(LOST):
        lanzhou = three.found("lanzhou")
        lanzhou.key_change.announce()
        three.acquaint(ORIGIN, "lanzhou", EVERYTHING)
    from sync.card import read_card  # noqa: PLC0415

    with lacking(LOST):
        card = read_card(lanzhou.card())
    three[ORIGIN].enrol(card, EVERYTHING)

    assert [each["topic"] for each in reading(three[ORIGIN], "lanzhou")["they_cannot"]] == [LOST]


def test_a_peer_that_has_said_nothing_is_not_known(three: Staged) -> None:
    silent = three[ORIGIN].relay.peer(CHENGDU).model_copy(update={"reads": None})
    three[ORIGIN].relay.peers()[CHENGDU] = silent

    assert reading(three[ORIGIN], CHENGDU) == {"known": False, "they_cannot": [], "we_cannot": []}


def test_an_older_node_reads_of_a_newer_fact_what_it_knows(three: Staged) -> None:
    """A field is added: the older node passes it over, and reads the rest."""
    pen = Pen(three[ORIGIN], three[CHENGDU])
    state = pen.state("activity.held", title="重阳走访")
    state["meta"]["schema_version"] = 2
    entry = LaneEntry(
        stream=uuid4(),
        version=1,
        topic="activity.held",
        state=json.dumps({**state, "for": ["老党员"]}, ensure_ascii=False, separators=(",", ":")),
    )

    assert pen.send(entry).recorded == 1

    (record,) = three[CHENGDU].ledger.stream(entry.stream)
    assert record == record_of(entry)
    read = decode(record)
    assert isinstance(read, Activity.Held)
    assert read.title == "重阳走访"


def test_a_newer_version_that_does_not_fit_is_passed_over_and_counted(three: Staged) -> None:
    announced(three)
    with second_version_of_an_activity():
        three[ORIGIN].key_change.announce()
        three[ORIGIN].settle()
    three.settle()
    pen = Pen(three[ORIGIN], three[CHENGDU])
    state = pen.state("activity.held", title={"zh": "重阳走访"})
    state["meta"]["schema_version"] = 2
    entry = pen.activity().model_copy(update={"state": json.dumps(state, separators=(",", ":"))})
    assert entry.state.startswith('{"meta"')

    assert pen.send(entry).recorded == 1

    assert decode(three[CHENGDU].ledger.stream(entry.stream)[0]) is None
    (unread,) = reading(three[CHENGDU], ORIGIN)["we_cannot"]
    assert (unread["topic"], unread["version"], unread["reads"]) == ("activity.held", 2, 1)
    assert unread["facts"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_unknown_fields_survive_any_number_of_hands(three: Staged, seed: int) -> None:
    """Odd spellings and all: what the bytes say is never written anew."""
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    pen, entries = Pen(three[ORIGIN], three[CHENGDU]), []
    for number in range(20):
        odd = f', "more{number}" : {_odd(rng, 3)} , "还有":"\\u9a7f站\\/"'
        whole = json.dumps(pen.state("activity.held"), separators=(",", ":"))
        entry = pen.activity().model_copy(update={"state": whole[:-1] + odd + "}"})
        entries.append(entry)

    outcome = pen.send(*entries)

    assert (outcome.fault, outcome.recorded) == (None, len(entries))
    for entry in entries:
        (record,) = three[CHENGDU].ledger.stream(entry.stream)
        assert record.state == entry.state.encode()
        # Handed on in a batch of the older node, it is the same again.
        handed = entry.model_copy(update={"state": record.state.decode()})
        wire = Pen(three[CHENGDU], three[ORIGIN]).wire(handed)
        (again,) = Sealed(wire).open(Batch, three[CHENGDU].keys.verify_key).entries
        assert digest(record_of(again)) == digest(record_of(entry))


def _odd(rng: random.Random, depth: int) -> str:
    kind = rng.randrange(6 if depth else 4)
    if kind == 0:
        return rng.choice(["1.0", "1e2", "-0", "0.10", "9007199254740991", "1E+2"])
    if kind == 1:
        return rng.choice(['"\\u00e9"', '"é"', '"\\/"', '"\\n\\t"', '"𠮷"', '""'])
    if kind == 2:
        return rng.choice(["null", "true", "false"])
    if kind == 3:
        return rng.choice(["[]", "[ ]", "{}", "{ }"])
    inside = [_odd(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 4:
        return f"[{' , '.join(inside)}]"
    return "{" + ",".join(f'"k{n}": {value}' for n, value in enumerate(inside)) + "}"


def test_what_is_told_is_what_the_catalogue_holds(three: Staged) -> None:
    three[ORIGIN].key_change.announce()

    signet = three[ORIGIN].ledger.look_up(Signet, Signet.id_of(ORIGIN))

    assert signet.reads == reads()
    assert all(not topic.startswith("organization.") for topic in signet.reads)
