"""A real PostgreSQL for the tests: one server a worker, one empty schema a test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from api.storage.server import EmbeddedServer

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
        # A test that left a transaction open would otherwise wait here for ever.
        owner.execute("SET lock_timeout = '5s'")
        owner.execute("SET client_min_messages = warning")
        owner.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(name))
