"""记录器: the library's own cases pass on it, and what it promises beyond them holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from threading import Event, Thread
from types import ModuleType
from typing import Self
from unittest import TestCase
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError, OperationalError, StoredEvent, Tracking

from api.storage import recorder as recorder_module
from api.storage.database import Database
from api.storage.errors import LedgerElsewhere
from api.storage.recorder import GROUP_MAX, GroupRecorder, LedgerBusy
from domain.ledger import Beside, Write
from tests.api.storage.conftest import NOTES
from tests.support.postgres import Database as Schema
from tests.support.postgres import sessions, until_closed

# The library's cases import its cipher, which needs a package that nothing else here does.
_cipher = ModuleType("eventsourcing.cipher")
_cipher.AESCipher = None  # type: ignore[attr-defined]
sys.modules["eventsourcing.cipher"] = _cipher
try:
    from eventsourcing.tests import persistence as library
finally:
    del sys.modules["eventsourcing.cipher"]


# The library's cases.


class OnPostgres(TestCase):
    """A recorder for each case, on a schema of its own."""

    @pytest.fixture(autouse=True)
    def _on(self, database: Schema) -> Iterator[None]:
        self.database = Database(database.url, database.schema)
        self.made: list[GroupRecorder] = []
        yield
        for recorder in self.made:
            recorder.close()
        self.database.close()

    def create_recorder(self) -> GroupRecorder:
        self.made.append(GroupRecorder(self.database))
        return self.made[-1]


class WithoutPositions(GroupRecorder):
    """As an aggregate recorder answers, which has no notifications to number."""

    def insert_events(self, stored_events: list[StoredEvent], **kwargs: object) -> None:  # type: ignore[override]
        super().insert_events(stored_events, **kwargs)


class TestAsAggregateRecorder(OnPostgres, library.AggregateRecorderTestCase):
    """It keeps streams."""

    def create_recorder(self) -> GroupRecorder:
        self.made.append(WithoutPositions(self.database))
        return self.made[-1]


class TestAsApplicationRecorder(OnPostgres, library.ApplicationRecorderTestCase[GroupRecorder]):
    """It numbers what it keeps."""


class TestAsTrackingRecorder(OnPostgres, library.TrackingRecorderTestCase):
    """It keeps bookmarks."""


class TestAsProcessRecorder(OnPostgres, library.ProcessRecorderTestCase):
    """It moves both at once."""


class TestPositionsDoNotInterleave(OnPostgres, library.NonInterleavingNotificationIDsBaseCase):
    """One commit after another."""


# Ours.


def event(stream: UUID | None = None, version: int = 1, state: bytes = b"{}") -> StoredEvent:
    return StoredEvent(stream or uuid4(), version, "test.happened", state)


def submit(recorder: GroupRecorder, *writes: Write) -> list[Future[list[int]]]:
    for write in writes:
        recorder.submit(write)
    return [write.done for write in writes]


def count(database: Database, table: str) -> int:
    with database.connection() as conn:
        row = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


class Held:
    """Keeps the recorder's thread at its next commit until released, so that others queue up."""

    def __init__(self, recorder: GroupRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.go = Event(), Event()
        self.batches: list[int] = []
        put = recorder._put  # noqa: SLF001 - the commit is what is held.

        def held(batch: list[Write]) -> list[list[int] | Exception]:
            self.batches.append(len(batch))
            self.reached.set()
            assert self.go.wait(10)
            return put(batch)

        monkeypatch.setattr(recorder, "_put", held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()


def test_concurrent_commands_share_commits(
    recorder: GroupRecorder, opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Held(recorder, monkeypatch) as held:
        first = submit(recorder, Write((event(),)))
        assert held.reached.wait(10)
        others = submit(recorder, *(Write((event(),)) for _ in range(300)))
    positions = [done.result(10) for done in (*first, *others)]
    with opened.connection() as conn:
        commits = conn.execute("SELECT count(DISTINCT xmin::text) FROM stored_events").fetchone()

    assert held.batches == [1, 300]
    assert commits == (2,)
    assert positions == [[number] for number in range(1, 302)]


def test_a_commit_is_shared_by_so_many(
    recorder: GroupRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Held(recorder, monkeypatch) as held:
        submit(recorder, Write((event(),)))
        assert held.reached.wait(10)
        others = submit(recorder, *(Write((event(),)) for _ in range(GROUP_MAX + 1)))
    for done in others:
        done.result(10)

    assert held.batches == [1, GROUP_MAX, 1]


def test_a_command_is_answered_after_its_commit(recorder: GroupRecorder, opened: Database) -> None:
    seen: list[int] = []
    done = Event()
    write = Write((event(), event()))

    def look(_: object) -> None:
        seen.append(count(opened, "stored_events"))
        done.set()

    write.done.add_done_callback(look)
    recorder.submit(write)

    assert done.wait(10)
    assert seen == [2]


def test_a_conflict_refuses_that_command_alone(
    recorder: GroupRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, contested = event(), event()
    submit(recorder, Write((taken,)))[0].result(10)
    with Held(recorder, monkeypatch) as held:
        submit(recorder, Write((event(),)))
        assert held.reached.wait(10)
        answers = submit(
            recorder,
            Write((event(), taken)),
            Write((contested,)),
            Write((contested, event())),
            Write((event(),)),
        )

    outcomes = [type(done.exception(10)) for done in answers]

    assert outcomes == [IntegrityError, type(None), IntegrityError, type(None)]


def test_a_refused_command_leaves_nothing(recorder: GroupRecorder) -> None:
    taken, other = event(), event()
    submit(recorder, Write((taken,)))[0].result(10)

    refused = submit(recorder, Write((other, taken)))[0].exception(10)

    assert isinstance(refused, IntegrityError)
    assert isinstance(other.originator_id, UUID)
    assert recorder.stream(other.originator_id, 0, 10) == []


def test_positions_are_in_the_order_of_commits_and_a_follower_never_skips(
    recorder: GroupRecorder,
) -> None:
    done = Event()
    followed: list[int] = []

    def follow() -> None:
        while True:
            last = done.is_set()
            page = recorder.since(followed[-1] if followed else 0, 50)
            followed.extend(entry.position for entry in page)
            if last and not page:
                return

    follower = Thread(target=follow)
    follower.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            for write in [
                pool.submit(recorder.insert_events, [event(), event()]) for _ in range(400)
            ]:
                write.result(10)
    finally:
        done.set()
        follower.join(10)

    assert followed == list(range(1, 801))


def test_entries_come_with_when_they_entered(recorder: GroupRecorder) -> None:
    for _ in range(3):
        recorder.insert_events([event()])

    entries = recorder.since(0, 10)

    assert [entry.position for entry in entries] == [1, 2, 3]
    assert all(one.entered_at < next_.entered_at for one, next_ in pairwise(entries))
    assert (recorder.head(), len(recorder.since(2, 10)), recorder.since(3, 10)) == (3, 1, [])


def test_a_stream_is_read_in_pages(recorder: GroupRecorder) -> None:
    stream = uuid4()
    recorder.insert_events([event(stream, version) for version in range(1, 6)])

    versions = [record.originator_version for record in recorder.stream(stream, 2, 2)]

    assert versions == [3, 4]


def test_a_second_writer_is_refused_and_leaves_no_session(
    recorder: GroupRecorder, opened: Database
) -> None:
    before = sessions(opened.conninfo)
    with pytest.raises(LedgerElsewhere) as refused:
        GroupRecorder(opened, NOTES)

    assert refused.value.facts == {"schema": opened.schema}
    assert until_closed(opened.conninfo, before) == []
    assert recorder.insert_events([event()]) == [1]


def test_after_the_first_writer_is_gone_the_next_may_write(opened: Database) -> None:
    GroupRecorder(opened, NOTES).close()

    with closing(GroupRecorder(opened, NOTES)) as successor:
        assert successor.insert_events([event()]) == [1]


def cut(recorder: GroupRecorder, database: Database) -> None:
    """End the writer's session, as an operator or a network would."""
    pid = recorder._conn.info.backend_pid  # noqa: SLF001 - the one to be cut.
    with database.connection() as conn:
        conn.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def test_a_lost_connection_fails_closed_and_recovers(
    recorder: GroupRecorder, opened: Database
) -> None:
    recorder.insert_events([event()])
    lost = event()
    cut(recorder, opened)

    with pytest.raises(OperationalError):
        recorder.insert_events([lost])

    assert recorder.insert_events([lost]) == [2]
    assert count(opened, "stored_events") == 2


def test_while_another_writes_a_lost_connection_stays_closed(
    recorder: GroupRecorder, opened: Database
) -> None:
    cut(recorder, opened)
    usurper = GroupRecorder(opened, NOTES)
    try:
        for _ in range(2):
            with pytest.raises(OperationalError):
                recorder.insert_events([event()])
    finally:
        usurper.close()

    assert recorder.insert_events([event()])
    assert count(opened, "stored_events") == 1


def test_so_many_commands_may_wait(
    recorder: GroupRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "QUEUE_MAX", 2)
    with Held(recorder, monkeypatch) as held:
        submit(recorder, Write((event(),)))
        assert held.reached.wait(10)
        waiting = submit(recorder, Write((event(),)), Write((event(),)))
        with pytest.raises(LedgerBusy) as refused:
            recorder.submit(Write((event(),)))

    assert refused.value.facts == {"waiting": 2, "maximum": 2}
    assert [done.result(10) for done in waiting] == [[2], [3]]


def test_closing_writes_what_is_queued_and_takes_nothing_more(
    opened: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        closing(GroupRecorder(opened, NOTES)) as recorder,
        Held(recorder, monkeypatch) as held,
    ):
        first = submit(recorder, Write((event(),)))
        assert held.reached.wait(10)
        queued = submit(recorder, *(Write((event(),)) for _ in range(5)))

    assert [done.result(0) for done in (*first, *queued)] == [[n] for n in range(1, 7)]
    with pytest.raises(LedgerBusy):
        recorder.submit(Write((event(),)))


@pytest.mark.parametrize("size", [300_000, 3_000_000])
def test_a_large_batch_does_not_hang(recorder: GroupRecorder, size: int) -> None:
    """Beyond 285 kB a statement no longer fits the buffers of both ends of a socket."""
    one = event(state=b"x" * size)
    many = [event(state=b"y" * (size // 100)) for _ in range(100)]

    answers = submit(recorder, Write((one,)), Write(tuple(many)))

    assert [len(done.result(20)) for done in answers] == [1, 100]
    assert isinstance(one.originator_id, UUID)
    assert recorder.stream(one.originator_id, 0, 1) == [one]


def test_an_empty_write_is_answered(recorder: GroupRecorder) -> None:
    assert recorder.insert_events([]) == []


def test_a_bookmark_moves_with_its_effect_or_not_at_all(
    recorder: GroupRecorder, opened: Database
) -> None:
    taken = event()
    note = (Beside("note", (1,)),)
    recorder.insert_events([taken], tracking=Tracking("lane", 1))

    conflict = submit(recorder, Write((event(), taken), note, Tracking("lane", 2)))[0]
    repeated = submit(recorder, Write((event(),), note, Tracking("lane", 1)))[0]

    assert isinstance(conflict.exception(10), IntegrityError)
    assert isinstance(repeated.exception(10), IntegrityError)
    assert (recorder.max_tracking_id("lane"), count(opened, "note")) == (1, 0)
    assert count(opened, "stored_events") == 1


def test_rows_beside_are_in_the_same_commit(recorder: GroupRecorder, opened: Database) -> None:
    write = Write((event(),), (Beside("note", (1,)),))

    submit(recorder, write)[0].result(10)

    with opened.connection() as conn:
        commits = conn.execute(
            "SELECT xmin::text FROM note UNION SELECT xmin::text FROM stored_events"
        ).fetchall()
    assert len(commits) == 1


def test_a_row_that_does_not_fit_takes_its_records_along(
    recorder: GroupRecorder, opened: Database
) -> None:
    submit(recorder, Write((event(),), (Beside("note", (1,)),)))[0].result(10)

    refused = submit(recorder, Write((event(),), (Beside("note", (1,)),)))[0]

    assert refused.exception(10) is not None
    assert count(opened, "stored_events") == 1


def test_a_statement_nobody_knows_refuses_its_command_alone(
    recorder: GroupRecorder, opened: Database
) -> None:
    wrong, right = submit(recorder, Write((event(),), (Beside("unknown", ()),)), Write((event(),)))

    assert wrong.exception(10) is not None
    assert len(right.result(10)) == 1
    assert count(opened, "stored_events") == 1


def test_whoever_listens_hears_of_a_commit(recorder: GroupRecorder, opened: Database) -> None:
    with opened.connect() as conn:
        conn.execute("LISTEN stored_events")
        recorder.insert_events([event(), event()])
        heard = list(conn.notifies(timeout=5, stop_after=1))

    assert [notice.channel for notice in heard] == ["stored_events"]
