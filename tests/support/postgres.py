"""A real PostgreSQL for the tests: one server a worker, one empty schema a test."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from api.storage.server import EmbeddedServer

CLOSING_S = 10.0
"""How long a server may take to notice that a session is closed."""

numbers = count(1)


@dataclass(frozen=True)
class Database:
    """An empty schema on the worker's server.

    `url` leads to the server as a node's settings would; `conninfo` also sets the search path, for
    a test that talks SQL itself.
    """

    url: str
    schema: str

    @property
    def conninfo(self) -> str:
        return make_conninfo(self.url, options=f"-csearch_path={self.schema}")

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.conninfo, autocommit=True)


def remove_all(conn: psycopg.Connection[Any], *tables: str) -> None:
    """Empty a ledger and these tables: quicker than TRUNCATE, which makes new files."""
    names = ("stored_events", "bookmarks", "tree_head", "tree_tile", *tables)
    conn.execute("; ".join(f"DELETE FROM {name}" for name in names))


def sessions(url: str) -> dict[int, str]:
    """The server's sessions but our own, with what each has said last."""
    with psycopg.connect(url, autocommit=True) as conn:
        found = conn.execute(
            "SELECT pid, query FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return dict(found.fetchall())


def until_closed(url: str, before: Collection[int]) -> list[str]:
    """What sessions that were not there before have said, unless all of them end in a moment."""
    deadline = time.monotonic() + CLOSING_S
    while left := [said for pid, said in sessions(url).items() if pid not in before]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return left


@contextmanager
def running_server(*, durable: bool = False) -> Iterator[EmbeddedServer]:
    """Run a server in a temporary folder that also root's server, run as nobody, can reach."""
    folder = Path(tempfile.mkdtemp(prefix="waystation-test-"))
    folder.chmod(0o711)
    server = EmbeddedServer(folder / "postgres", durable=durable)
    try:
        with server:
            yield server
    finally:
        server.erase()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def empty_schema(url: str) -> Iterator[Database]:
    """Make a schema, and drop it with all it holds."""
    database = Database(url, f"test_{next(numbers)}")
    name = sql.Identifier(database.schema)
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    yield database
    with psycopg.connect(url, autocommit=True) as owner:
        # A test that left a transaction open would otherwise wait here for ever.
        owner.execute("SET lock_timeout = '5s'")
        owner.execute("SET client_min_messages = warning")
        owner.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(name))
