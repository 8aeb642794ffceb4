"""台账树表: no entry is without its leaf, whatever happens to the commit that should write both."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, Tracking

from api.storage.database import Database
from api.storage.errors import LedgerElsewhere
from api.storage.recorder import GroupRecorder
from api.storage.tree import TreeStore
from domain import suite
from domain.ledger import Beside, Write
from domain.recording import LedgerDamaged
from domain.tiles import WIDTH, Growth, TileName, roots
from domain.tree import Span, consistency, consistent, included, inclusion, ours
from sync.log import Signed
from tests.api.storage.test_recorder import Held, cut, event, submit
from tests.api.support import until
from tests.support import naive as plain
from tests.support.federation import NOW
from tests.support.naive import Naive
from tests.support.postgres import Database as Schema


def leaves(database: Database) -> list[bytes]:
    with database.connection() as conn:
        return plain.data(conn)


def whole(database: Database) -> int:
    with database.connection() as conn:
        return plain.size(conn)


@pytest.mark.slow
def test_many_at_once_with_conflicts_and_refusals(
    recorder: GroupRecorder, opened: Database
) -> None:
    draw, contested = random.Random(1), [uuid4() for _ in range(40)]

    def one(number: int) -> bool:
        stream = contested[number % 40] if number % 5 == 0 else uuid4()
        events = [event(stream, n) for n in range(1, 2 + number % 3)]
        beside = (Beside("note", (draw.randrange(300),)),) if number % 7 == 0 else ()
        write = Write(tuple(events), beside)
        recorder.submit(write)
        return write.done.exception(20) is None

    with ThreadPoolExecutor(16) as pool:
        accepted = list(pool.map(one, range(1_200)))

    assert 0 < accepted.count(False) < 600
    assert whole(opened) > 1_000


def test_a_conflict_in_a_shared_commit_costs_no_position(
    recorder: GroupRecorder, opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = event()
    submit(recorder, Write((taken,)))[0].result(10)
    with Held(recorder, monkeypatch) as held:
        submit(recorder, Write((event(),)))
        assert held.reached.wait(10)
        answers = submit(recorder, Write((event(),)), Write((event(), taken)), Write((event(),)))

    assert [done.exception(10) and IntegrityError for done in answers] == [
        None,
        IntegrityError,
        None,
    ]
    assert [answers[n].result(10) for n in (0, 2)] == [[3], [4]]
    assert whole(opened) == 4


def test_a_commit_that_is_rolled_back_costs_no_position(
    recorder: GroupRecorder, opened: Database
) -> None:
    recorder.insert_events([event()], tracking=Tracking("lane", 1))

    refused = submit(
        recorder,
        Write((event(),), (Beside("unknown", ()),)),
        Write((event(), event()), tracking=Tracking("lane", 1)),
    )

    assert all(done.exception(10) is not None for done in refused)
    assert recorder.insert_events([event()], tracking=Tracking("lane", 2)) == [2]
    assert whole(opened) == 2


def test_what_a_peer_has_sent_is_a_leaf_too(recorder: GroupRecorder, opened: Database) -> None:
    for number in range(1, 6):
        sent = tuple(event() for _ in range(100))
        recorder.insert_events(sent, tracking=Tracking("lane:chengdu", number))

    assert whole(opened) == 500
    assert opened.rows("SELECT count(*) AS n FROM tree_tile", {}) == [{"n": 1}]


@pytest.mark.slow
def test_a_lost_connection_loses_no_leaf(recorder: GroupRecorder, opened: Database) -> None:
    for _ in range(5):
        recorder.insert_events([event(), event()])
        cut(recorder, opened)
        with pytest.raises(OperationalError):
            recorder.insert_events([event()])

    recorder.insert_events([event()])
    assert whole(opened) == 11


WRITER = """
    import sys
    from threading import Thread
    from uuid import uuid4
    from api.storage.database import Database
    from api.storage.recorder import GroupRecorder
    from domain import suite
    from eventsourcing.persistence import StoredEvent

    suite.choose(sys.argv[3])
    recorder = GroupRecorder(Database(sys.argv[1], sys.argv[2]))
    print("ready", flush=True)

    def write():
        while True:
            recorder.insert_events([StoredEvent(uuid4(), 1, "test.happened", b"{}")])

    for _ in range(8):
        Thread(target=write).start()
"""


@pytest.mark.slow
def test_a_killed_process_leaves_every_entry_its_leaf(database: Schema, opened: Database) -> None:
    before, draw, place = 0, random.Random(3), (database.url, database.schema)
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), *place, suite.chosen().name],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(draw.uniform(0.05, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        settled(opened)
        after = whole(opened)
        assert after > before
        before = after


def settled(database: Database) -> None:
    """Wait until the killed writer's session has ended."""

    def free() -> bool:
        try:
            GroupRecorder(database).close()
        except LedgerElsewhere:
            return False
        return True

    until(free)


def test_a_recorder_goes_on_where_another_stopped(opened: Database) -> None:
    for count in (1, 255, 256, 300):
        recorder = GroupRecorder(opened)
        recorder.insert_events([event() for _ in range(count)])
        recorder.close()

    assert whole(opened) == 812


def test_proofs_are_made_from_what_is_stored(recorder: GroupRecorder, opened: Database) -> None:
    for count in (3, 500, 256, 41):
        recorder.insert_events([event() for _ in range(count)])
    data, store = leaves(opened), TreeStore(opened)
    naive = Naive(data)
    for size in (1, 2, 255, 256, 257, 512, 759, 800):
        root = naive.mth(0, size)
        assert roots([Span(0, size)], size, store.tiles, ours()) == [root]
        for index in {0, size // 2, size - 1}:
            proof = roots(inclusion(index, size), size, store.tiles, ours())
            included(ours(), ours().leaf(data[index]), index, size, proof, root)
        for first in {1, size // 2 + 1, size}:
            proof = roots(consistency(first, size), size, store.tiles, ours())
            consistent(ours(), first, size, proof, naive.mth(0, first), root)
    assert store.leaves(256, 300) == data[256:300]


def damaged(opened: Database, statement: str, *values: Any) -> GroupRecorder:
    """A recorder on a ledger of 300 entries that somebody has changed in the database."""
    first = GroupRecorder(opened)
    first.insert_events([event(UUID(int=n)) for n in range(1, 301)])
    first.close()
    with opened.connection() as conn:
        conn.execute(statement, values)
    return GroupRecorder(opened)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM stored_events WHERE notification_id = 300",
        "UPDATE stored_events SET state = '{ }' WHERE notification_id = 290",
        "INSERT INTO stored_events SELECT gen_random_uuid(), 1, 'a.b', '', 301",
        "UPDATE tree_head SET size = 299",
        "UPDATE tree_head SET peaks = overlay(peaks PLACING '\\x00' FROM 1)",
        "UPDATE tree_head SET hash = 'MD5'",
        "DELETE FROM tree_head",
        "DELETE FROM tree_tile",
    ],
)
def test_nothing_is_added_to_a_ledger_that_is_not_what_its_tree_says(
    opened: Database, statement: str
) -> None:
    recorder = damaged(opened, statement)
    try:
        with pytest.raises(LedgerDamaged):
            recorder.insert_events([event()])
        # What is there can be read all the same.
        assert recorder.since(0, 10)
    finally:
        recorder.close()


def test_a_tree_that_somebody_moves_meanwhile_stops_the_ledger(
    recorder: GroupRecorder, opened: Database
) -> None:
    recorder.insert_events([event()])
    with opened.connection() as conn:
        conn.execute("UPDATE tree_head SET size = 7")

    for _ in range(2):
        with pytest.raises(LedgerDamaged):
            recorder.insert_events([event()])
    with opened.connection() as conn:
        conn.execute("UPDATE tree_head SET size = 1")
        recorder.look_at_tree(conn)
    assert recorder.damage is None
    assert recorder.insert_events([event()]) == [2]


def signed(size: int, root: bytes = b"r" * 32, epoch: int = 1) -> Signed:
    return Signed(epoch, size, root, b"note")


@pytest.mark.parametrize("second", [signed(5), signed(5, b"x" * 32), signed(4), signed(9, epoch=0)])
def test_the_database_refuses_a_second_history(
    recorder: GroupRecorder, opened: Database, second: Signed
) -> None:
    del recorder  # It has made the tables.
    store = TreeStore(opened)
    store.keep(signed(5), NOW)

    with pytest.raises(psycopg.errors.CheckViolation):
        store.keep(second, NOW)
    store.keep(signed(6), NOW)
    store.keep(signed(1, epoch=2), NOW)
    assert store.newest() == signed(1, epoch=2)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM checkpoint", "UPDATE checkpoint SET root = 'x'"]
)
def test_a_checkpoint_stays_as_it_was_signed(
    recorder: GroupRecorder, opened: Database, statement: str
) -> None:
    del recorder
    TreeStore(opened).keep(signed(5), NOW)

    with opened.connection() as conn, pytest.raises(psycopg.errors.CheckViolation):
        conn.execute(statement)


def test_two_signers_at_once_sign_one_history(recorder: GroupRecorder, opened: Database) -> None:
    del recorder
    store, draw = TreeStore(opened), random.Random(5)
    sizes = [draw.randrange(1, 60) for _ in range(200)]

    def sign(size: int) -> bool:
        try:
            store.keep(signed(size), NOW)
        except psycopg.errors.CheckViolation:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        kept = [size for size, was in zip(sizes, pool.map(sign, sizes), strict=True) if was]

    rows = opened.rows("SELECT size FROM checkpoint ORDER BY xmin::text::bigint", {})
    found = [row["size"] for row in rows]
    assert sorted(kept) == sorted(found)
    assert found == sorted(set(found))


def test_hashes_cost_less_than_64_bytes_an_entry(recorder: GroupRecorder, opened: Database) -> None:
    entries = 256 * 40
    for _ in range(40):
        recorder.insert_events([event() for _ in range(256)])

    (found,) = opened.rows(
        "SELECT pg_total_relation_size('tree_tile') + pg_total_relation_size('tree_head') AS n", {}
    )
    assert found["n"] / entries < 64


def test_one_statement_writes_entries_and_leaves(recorder: GroupRecorder, opened: Database) -> None:
    recorder.insert_events([event() for _ in range(WIDTH)])

    found = opened.rows(
        "SELECT xmin::text FROM stored_events UNION SELECT xmin::text FROM tree_head"
        " UNION SELECT xmin::text FROM tree_tile",
        {},
    )
    assert len(found) == 1
    assert TreeStore(opened).tiles({TileName(1, 0)}, WIDTH)[TileName(1, 0)] == [
        Growth.empty(ours()).and_then(leaves(opened)).root
    ]
