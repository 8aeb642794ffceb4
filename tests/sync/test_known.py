"""知悉簿: what a peer had by a moment is what it had signed for, and what had not stopped there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.commands import ShareOutflow
from sync import book_hops
from sync.book_shared import SharedBook
from tests.support.federation import CHENGDU, ORIGIN, depart, register
from tests.support.stage import Staged

pytestmark = pytest.mark.usefixtures("three")


def test_a_peer_had_what_it_had_signed_for(three: Staged) -> None:
    origin = three[ORIGIN]
    outflow = depart(origin, register(origin))
    origin.execute(ShareOutflow(outflow=outflow, to=CHENGDU, purpose="联合管理"))
    before = three.clock()
    three.clock.pass_(hours=1)
    assert origin.lanes.heard_up_to(CHENGDU, three.clock()) < origin.ledger.head
    three.settle()
    now = three.clock()

    number = origin.lanes.heard_up_to(CHENGDU, now)
    heard = origin.lanes.received(CHENGDU, [outflow], number, now)

    assert number == origin.lanes.head_out(CHENGDU).number
    assert sorted(version for _, version in heard) == [1, 2]
    assert {fact.by for fact in heard.values()} == {now}
    assert (
        origin.lanes.received(CHENGDU, [outflow], origin.lanes.heard_up_to(CHENGDU, before), before)
        == {}
    )
    (listener,) = origin.lanes.listeners([CHENGDU], [outflow])
    assert (listener.peer, listener.facts) == (CHENGDU, 2)


def test_a_key_that_is_sent_again_was_granted_when_it_went_first(three: Staged) -> None:
    origin = three[ORIGIN]
    member = register(origin)
    outflow = depart(origin, member)
    origin.execute(ShareOutflow(outflow=outflow, to=CHENGDU, purpose="联合管理"))
    three.settle()
    granted = origin.lanes.classes_granted([CHENGDU], [member])
    with origin.database.connection() as conn:
        keys = conn.execute("SELECT key FROM lane_grant WHERE peer = %s", (CHENGDU,)).fetchall()

    SharedBook(origin.database).regrant(CHENGDU, [key for (key,) in keys])

    assert {kind for _, kind, _ in granted} == {"identity", "contact"}
    assert origin.lanes.classes_granted([CHENGDU], [member]) == granted
    signed = origin.lanes.signed_at(CHENGDU, [first for _, _, first in granted])
    assert set(signed.values()) == {three.clock()}


def test_of_receipts_the_last_of_every_hour_stays(
    three: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes, start = three[ORIGIN].lanes, datetime(2026, 1, 5, 1, 0, tzinfo=UTC)
    with three[ORIGIN].database.connection() as conn:
        conn.execute("DELETE FROM lane_time")
        for number, minutes in enumerate((0, 10, 20, 70, 80, 130), start=1):
            at = start + timedelta(minutes=minutes)
            for hop in ("receipt", "sent"):
                conn.execute(
                    "INSERT INTO lane_time VALUES (%s, %s, %s, %s, %s)",
                    (CHENGDU, hop, number, at, at.isoformat()),
                )
    monkeypatch.setattr(book_hops, "HOPS_MAX", 1)

    lanes.forget_hops()

    with three[ORIGIN].database.connection() as conn:
        kept = conn.execute("SELECT hop, number FROM lane_time ORDER BY hop, number").fetchall()
    assert kept == [("receipt", 3), ("receipt", 5), ("receipt", 6), ("sent", 6)]
    assert lanes.heard_up_to(CHENGDU, start + timedelta(minutes=30)) == 3
    assert lanes.heard_up_to(CHENGDU, start + timedelta(minutes=5)) == 0
