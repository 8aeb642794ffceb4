"""数据库: a node's connections to its PostgreSQL schema, pooled for reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from api.storage.errors import DatabaseAway

POOL_MAX = 8
"""Connections for reading; two cores are soon busy."""

POOL_WAIT_S = 5.0
"""How long a reader waits for one of them."""

STATEMENT_TIMEOUT_MS = 30_000
"""How long one statement may take; a rebuild works in small ones."""


class Database:
    """One schema in one PostgreSQL server; the schema is created if it is not there."""

    def __init__(self, conninfo: str, schema: str) -> None:
        self.schema = schema
        options = f"-c search_path={schema} -c statement_timeout={STATEMENT_TIMEOUT_MS}"
        self.conninfo = make_conninfo(conninfo, options=options)
        create = sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema))
        try:
            with psycopg.connect(conninfo, autocommit=True) as conn:
                conn.execute(create)
        except psycopg.OperationalError as fault:
            raise DatabaseAway(because=" ".join(str(fault).split())[:200]) from fault
        self._pool = ConnectionPool(
            self.conninfo,
            min_size=1,
            max_size=POOL_MAX,
            timeout=POOL_WAIT_S,
            kwargs={"autocommit": True},
            open=True,
        )

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of one's own, in autocommit."""
        return psycopg.connect(self.conninfo, autocommit=True)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A pooled connection, in autocommit; `with conn.transaction()` for more."""
        try:
            with self._pool.connection() as conn:
                yield conn
        except (psycopg.OperationalError, PoolTimeout) as fault:
            raise DatabaseAway(because=str(fault)[:200]) from fault

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
