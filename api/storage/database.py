"""数据库: a node's connections to its PostgreSQL schema, pooled for reading."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from api.storage.errors import DatabaseAway, DatabaseUnfit
from api.storage.space import Space

POOL_MAX = 8
"""Connections for reading; two cores are soon busy."""

POOL_WAIT_S = 2.0
"""How long a reader waits for one of them."""

AWAY_WAIT_S = 0.1
"""The same while the database is known to be away: requests are refused at once, not in turn."""

RECONNECT_S = 1.0
"""How long the pool tries before it gives up; the next reader makes it try again."""

CONNECT_S = 5
"""How long a server may take to answer a call, unless the operator's address says otherwise."""

OLDEST = 150_000
"""PostgreSQL 15."""

STATEMENT_TIMEOUT_MS = 30_000
"""How long one statement may take; a rebuild works in small ones."""


class Database:
    """One schema in one PostgreSQL server; the schema is created if it is not there.

    `space` is the room under it, where that can be seen from here.
    """

    def __init__(self, conninfo: str, schema: str, space: Space | None = None) -> None:
        self.schema, self.space = schema, space
        options = f"-c search_path={schema} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
        self.conninfo = _with(conninfo, options)
        self.lost = 0.0  # When a connection was last found to be gone; monotonic seconds.
        self._away = False
        create = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
        try:
            with psycopg.connect(conninfo, autocommit=True) as conn:
                _must_fit(conn.info)
                conn.execute(create)
        except psycopg.OperationalError as fault:
            raise DatabaseAway(because=_line(fault)) from fault
        except psycopg.Error as fault:
            # The schema may not be made, say: an operator's decision, and none of time.
            raise DatabaseUnfit(because=_line(fault)) from fault
        self._pool = ConnectionPool(
            self.conninfo,
            min_size=1,
            max_size=POOL_MAX,
            timeout=POOL_WAIT_S,
            reconnect_timeout=RECONNECT_S,
            reconnect_failed=lambda _: self._miss(),
            kwargs={"autocommit": True},
            open=True,
        )

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of one's own, in autocommit."""
        return psycopg.connect(self.conninfo, autocommit=True)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A pooled connection, in autocommit; `with conn.transaction()` for more."""
        conn, asked = None, time.monotonic()
        try:
            with self._pool.connection(AWAY_WAIT_S if self._away else POOL_WAIT_S) as conn:
                yield conn
                # One that was in use all the time says nothing about the server by now.
                self._away = self._away and asked < self.lost
        except (psycopg.OperationalError, PoolTimeout) as fault:
            if conn is not None and conn.closed:
                # As this one was lost, so are the others: nobody need find out one by one.
                self._miss()
                self._pool.drain()
            raise DatabaseAway(because=str(fault)[:200]) from fault

    def _miss(self) -> None:
        self.lost, self._away = time.monotonic(), True

    def rows(self, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        """What a read model answers: each row by column name."""
        with self.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, values, prepare=True).fetchall()

    def parameters(self) -> dict[str, Any]:
        """What the library's datastore wants to know."""
        known = conninfo_to_dict(self.conninfo)
        return {
            "dbname": known.get("dbname", "postgres"),
            "host": known.get("host", ""),
            "port": known.get("port", "5432"),
            "user": known.get("user", "postgres"),
            "password": known.get("password", ""),
            "schema": self.schema,
        }

    def close(self) -> None:
        """Give every connection back."""
        self._pool.close()


class Kept:
    """One pooled connection that goes back when something goes wrong; the next use asks anew.

    Not for two threads at once.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stack = ExitStack()
        self._conn: psycopg.Connection[Any] | None = None
        self._taken = 0.0

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """As of the database, without asking the pool each time."""
        if self._conn is None or self._taken < self._database.lost:
            # When another connection was lost, this one was as well.
            self.close()
            self._taken = time.monotonic()
            self._conn = self._stack.enter_context(self._database.connection())
        try:
            yield self._conn
        except BaseException:
            self._conn = None
            self._stack.__exit__(*sys.exc_info())  # Which may say what it means.
            raise

    def close(self) -> None:
        """Give it back."""
        self._conn = None
        self._stack.close()


def _with(conninfo: str, options: str) -> str:
    """An address with what this node adds to it; what the operator has said stands.

    Raises:
        DatabaseUnfit: it is no address, or names a parameter that nobody knows.
    """
    try:
        patience: dict[str, Any] = {"connect_timeout": CONNECT_S, **conninfo_to_dict(conninfo)}
        return make_conninfo(**{**patience, "options": options})
    except psycopg.ProgrammingError as fault:
        raise DatabaseUnfit(because=_line(fault)) from None


def _line(fault: Exception) -> str:
    return " ".join(str(fault).split())[:200]


def _must_fit(info: psycopg.ConnectionInfo) -> None:
    """Refuse a database in which a node could not keep what it is told."""
    if info.server_version < OLDEST:
        raise DatabaseUnfit(version=info.server_version // 10_000, oldest=OLDEST // 10_000)
    if (encoding := info.parameter_status("server_encoding")) != "UTF8":
        raise DatabaseUnfit(encoding=encoding, needed="UTF8")
