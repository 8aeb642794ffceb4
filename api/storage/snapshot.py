"""快照: many questions asked of one state of the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from psycopg.rows import dict_row, tuple_row

from api.storage.database import Database
from domain.recording import LedgerDamaged

_FETCH = 2_000


class Snapshot:
    """One state of the database, however many questions are asked of it."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def rows(self, query: str, asked: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """All rows, by column name."""
        with self._conn.cursor(row_factory=dict_row) as cursor:
            found: list[dict[str, Any]] = cursor.execute(query, asked or {}).fetchall()
        return found

    def one(self, query: str) -> dict[str, Any]:
        """The only row.

        Raises:
            LedgerDamaged: there is none.
        """
        found = self.rows(query)
        if not found:
            raise LedgerDamaged(because="the only row is missing", table=query.rpartition(" ")[2])
        return found[0]

    def stream(
        self, query: str, asked: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """Row after row; never all of them at once."""
        with self._conn.cursor(name="inspection", row_factory=tuple_row) as cursor:
            cursor.itersize = _FETCH
            yield from cursor.execute(query, asked or {})


@contextmanager
def snapshot(database: Database) -> Iterator[Snapshot]:
    """Of what is committed now."""
    with database.connection() as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield Snapshot(conn)
