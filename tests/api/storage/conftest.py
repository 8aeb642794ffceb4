"""A database of the test's own, and a recorder that writes notes beside its entries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.storage.database import Database
from api.storage.recorder import GroupRecorder
from tests.support.postgres import Database as Schema

NOTES = {"note": "INSERT INTO note VALUES (%s)"}
"""What may be written beside entries."""


@pytest.fixture
def opened(database: Schema) -> Iterator[Database]:
    """A schema with the table of notes."""
    opened = Database(database.url, database.schema)
    with opened.connection() as conn:
        conn.execute("CREATE TABLE note (number int PRIMARY KEY)")
    yield opened
    opened.close()


@pytest.fixture
def recorder(opened: Database) -> Iterator[GroupRecorder]:
    """One that is closed, be the test green or red."""
    recorder = GroupRecorder(opened, NOTES)
    yield recorder
    recorder.close()
