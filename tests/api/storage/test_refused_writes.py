"""拒绝的写入: a refused command leaves nothing behind, and does its neighbours no harm."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from eventsourcing.persistence import DatabaseError, IntegrityError, StoredEvent

from api.storage.database import Database
from api.storage.recorder import GroupRecorder
from domain.ledger import Beside, Write
from tests.support.postgres import Database as Schema


@pytest.fixture
def opened(database: Schema) -> Iterator[Database]:
    """A database with a table beside the ledger."""
    opened = Database(database.url, database.schema)
    with opened.connection() as conn:
        conn.execute("CREATE TABLE note (number int CHECK (number > 0))")
    yield opened
    opened.close()


def write(number: int, event: StoredEvent | None = None) -> Write:
    event = event or StoredEvent(uuid4(), 1, "a.b", b"{}")
    return Write((event,), (Beside("note", (number,)),))


def notes(opened: Database) -> list[int]:
    with opened.connection() as conn:
        return [row[0] for row in conn.execute("SELECT number FROM note ORDER BY number")]


def test_a_refused_command_leaves_no_row_beside(recorder: GroupRecorder, opened: Database) -> None:
    first = write(1)
    again = write(2, first.records[0])

    for each in (first, again):
        recorder.submit(each)

    assert first.done.result()
    assert isinstance(again.done.exception(), IntegrityError)
    assert notes(opened) == [1]


def test_a_row_that_cannot_be_written_refuses_its_command_alone(
    recorder: GroupRecorder, opened: Database
) -> None:
    writes = [write(1), write(-1), write(2)]

    for each in writes:
        recorder.submit(each)

    assert [type(each.done.exception()) for each in writes] == [
        type(None),
        DatabaseError,
        type(None),
    ]
    assert notes(opened) == [1, 2]
