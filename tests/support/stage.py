"""舞台: a federation whose schemas and recorders outlive a test and are emptied in between.

A new federation takes a second, most of it for tables and connections. Here it takes a few
hundredths, so that there can be many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg import sql

import api.node
from api.node import BESIDE, Node
from api.settings import Settings
from api.storage.database import Database
from api.storage.recorder import GroupRecorder
from projections.store import Projector
from sync.keys import NodeKeys
from tests.support.federation import Federation

SEQUENCES = ("stored_events_notification_id_seq", "quarantine_id_seq")


class KeptRecorder:
    """A recorder that stays open when its node is closed."""

    def __init__(self, recorder: GroupRecorder) -> None:
        self.recorder = recorder

    def close(self) -> None:
        """The stage closes it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.recorder, name)


class OneConnection(Database):
    """A database read through one connection: a test asks one thing at a time."""

    def __init__(self, conninfo: str, schema: str) -> None:
        super().__init__(conninfo, schema)
        self._one = self.connect()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """The one."""
        yield self._one

    def close(self) -> None:
        """Give it back."""
        self._one.close()
        super().close()


class Stage:
    """Databases and recorders by code; `node` puts a node on what is there."""

    def __init__(self, url: str, prefix: str, stack: ExitStack) -> None:
        self._url, self._prefix, self._stack = url, prefix, stack
        self.databases: dict[str, Database] = {}
        self.keys: dict[str, NodeKeys] = {}
        self._recorders: dict[str, KeptRecorder] = {}
        self._stands: set[str] = set()
        self._owner = stack.enter_context(psycopg.connect(url, autocommit=True))

    def node(
        self,
        code: str,
        kind: str,
        clock: Callable[[], datetime],
        wrap: Callable[[KeptRecorder], Any] = lambda kept: kept,
    ) -> Node:
        """A node of that code, its memory empty; nothing of its database is made anew."""
        if code not in self.databases:
            self._found(code)
        settings = Settings.model_validate({"code": code, "name": code, "kind": kind})
        recorder = wrap(self._recorders[code])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(api.node, "GroupRecorder", lambda *_: recorder)
            if code in self._stands:
                # What the first node after `empty` has made stands; to make it again is slow.
                patch.setattr(Projector, "_create", lambda *_: None)
            self._stands.add(code)
            return Node(settings, self.databases[code], self.keys[code], clock)

    def empty(self) -> None:
        """Remove every row, and begin to count from one."""
        self._stands.clear()
        statements = [
            sql.SQL("DELETE FROM {}").format(sql.Identifier(*name)) for name in self._tables()
        ]
        for code in self.databases:
            for sequence in SEQUENCES:
                name = f"{self._schema(code)}.{sequence}"
                statements.append(sql.SQL("SELECT setval({}, 1, false)").format(sql.Literal(name)))
        if statements:
            self._owner.execute(sql.SQL("; ").join(statements))

    def _tables(self) -> list[tuple[str, str]]:
        schemas = [self._schema(code) for code in self.databases]
        found = self._owner.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s)"
            " AND tablename <> 'stored_events_notification_id'",
            (schemas,),
        )
        return found.fetchall()

    def _schema(self, code: str) -> str:
        return f"{self._prefix}_{code}"

    def _found(self, code: str) -> None:
        database = OneConnection(self._url, self._schema(code))
        self._stack.callback(database.close)
        recorder = GroupRecorder(database, BESIDE)
        self._stack.callback(recorder.close)
        self.databases[code], self._recorders[code] = database, KeptRecorder(recorder)
        # Fixed keys: what is signed does not change what happens.
        self.keys[code] = NodeKeys.of(*(f"{code}-{n}".encode().ljust(32, b".") for n in range(4)))


class Staged(Federation):
    """A federation on a stage."""

    def __init__(self, stage: Stage, stack: ExitStack) -> None:
        super().__init__("", "", stack)
        self.stage = stage

    def found(self, code: str, kind: str = "department") -> Node:
        """A new organization with its node."""
        self.nodes[code] = self.stage.node(code, kind, self.clock)
        return self.nodes[code]

    def restart(self, code: str) -> Node:
        """The same node with an empty memory."""
        kind = self.nodes[code].settings.kind
        self.nodes[code] = self.stage.node(code, kind, self.clock)
        return self.nodes[code]


@contextmanager
def stage(url: str, prefix: str) -> Iterator[Stage]:
    """An empty stage."""
    with ExitStack() as stack:
        yield Stage(url, prefix, stack)
