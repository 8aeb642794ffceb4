"""舞台: a federation whose schemas and recorders outlive a test and are emptied in between.

A new federation takes a second, most of it for tables and connections. Here it takes a few
hundredths, so that there can be many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

import api.node
from api.node import BESIDE, Node
from api.settings import Settings
from api.storage.database import Database
from api.storage.recorder import GroupRecorder
from api.storage.vault import Vault
from projections import tables
from sync.key_folder import KeyFolder
from sync.keys import NodeKeys, Pair
from tests.support.anew import begin_anew
from tests.support.federation import Federation

SEQUENCES = ("quarantine_id_seq", "log_contradiction_id_seq")


class KeptRecorder:
    """A recorder that stays open when its node is closed."""

    def __init__(self, recorder: Any) -> None:
        self.recorder = recorder

    def close(self) -> None:
        """The stage closes it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.recorder, name)


class KeyCase:
    """What the folders of keys of some nodes hold, without a disk; outlives each node."""

    def __init__(self) -> None:
        self.keys: dict[str, NodeKeys] = {}
        self.pairs: dict[str, dict[str, Pair]] = {}
        """By code and public key, oldest first: as long as they may sign."""

    def opened(self, code: str) -> KeyFolder:
        """As a node finds its folder: the newest pair signs until the ledger names another."""
        keys = self.keys.get(code)
        if keys is None:
            keys = self.keys[code] = keys_of(code)
            self.pairs[code] = {keys.verify_key: keys.signers[0]}
        keys.signers = (next(reversed(self.pairs[code].values())),)
        return KeyFolder(None, keys, self.pairs[code])

    def clear(self) -> None:
        """Begin anew."""
        self.keys.clear()
        self.pairs.clear()


class OneConnection(Database):
    """A database read through one connection: a test asks one thing at a time."""

    def __init__(self, conninfo: str, schema: str) -> None:
        super().__init__(conninfo, schema)
        super().close()
        self._one = self.connect()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        """The one."""
        yield self._one

    def close(self) -> None:
        """Give it back."""
        self._one.close()


class Stage:
    """Databases and recorders by code; `node` puts a node on what is there."""

    def __init__(self, url: str, prefix: str, stack: ExitStack) -> None:
        self._url, self._prefix, self._stack = url, prefix, stack
        self.databases: dict[str, Database] = {}
        self.case = KeyCase()
        self.folders: dict[str, Path] = {}
        """Of nodes that keep their keys in files, as nodes do."""
        self.vaults: dict[str, Path] = {}
        """Of nodes that keep the slots of persons' keys in files, as nodes do."""
        self._recorders: dict[str, KeptRecorder] = {}
        self._stands: set[str] = set()
        # It puts rows back that no node may change, such as checkpoints.
        freely = "-c session_replication_role=replica"
        self._owner = stack.enter_context(psycopg.connect(url, options=freely, autocommit=True))

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
                patch.setattr(tables, "create", lambda *_: None)
            self._stands.add(code)
            path = self.folders.get(code)
            folder = KeyFolder.load(path) if path else self.case.opened(code)
            slots = self.vaults.get(code)
            vault = Vault(slots, folder.keys.master) if slots else None
            return Node(settings, self.databases[code], folder.keys, clock, folder, vault)

    def empty(self) -> None:
        """Remove every row, and begin to count from one."""
        self._stands.clear()
        self.folders.clear()
        self.case.clear()
        self.vaults.clear()
        statements = [
            sql.SQL("DELETE FROM {}").format(sql.Identifier(*name)) for name in self._tables()
        ]
        for code in self.databases:
            for sequence in SEQUENCES:
                name = f"{self._schema(code)}.{sequence}"
                statements.append(sql.SQL("SELECT setval({}, 1, false)").format(sql.Literal(name)))
        if statements:
            self._owner.execute(sql.SQL("; ").join(statements))
        for code in self.databases:
            self.forget(code)

    def forget(self, code: str) -> None:
        """What a process held in memory of what it put down is gone with it."""
        begin_anew(self._recorders[code].recorder)

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

    @contextmanager
    def performing(self) -> Iterator[None]:
        """For as long as one history lasts."""
        yield

    def rows(self, code: str, table: str) -> list[dict[str, Any]]:
        """A read model's rows."""
        return self.databases[code].rows(f"SELECT * FROM {table}", {})

    def key_rows(self, code: str) -> list[tuple[UUID, UUID, str, str]]:
        """The keys a node keeps: id, subject, class, who minted it."""
        with self.databases[code].connection() as conn:
            return conn.execute(
                "SELECT id, subject, data_class, minted_by FROM subject_key"
            ).fetchall()

    def snapshot(self, code: str) -> Any:
        """A backup of one node: every table as COPY writes it, and where each counter stands."""
        mine = [name for name in self._tables() if name[0] == self._schema(code)]
        kept = {}
        for name in mine:
            copy = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(*name))
            with self._owner.cursor().copy(copy) as out:
                kept[name] = b"".join(map(bytes, out))
        counters = {
            name: self._owner.execute(
                sql.SQL("SELECT last_value, is_called FROM {}").format(
                    sql.Identifier(self._schema(code), name)
                )
            ).fetchone()
            for name in SEQUENCES
        }
        return kept, counters

    def restore(self, code: str, backup: Any) -> None:
        """Put it back; whatever came after it is gone, as after a disaster."""
        kept, counters = backup
        for name, rows in kept.items():
            self._owner.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(*name)))
            copy = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.Identifier(*name))
            with self._owner.cursor().copy(copy) as into:
                into.write(rows)
        for name, stood in counters.items():
            qualified = f"{self._schema(code)}.{name}"
            self._owner.execute("SELECT setval(%s, %s, %s)", (qualified, *stood))
        self.forget(code)


@cache
def _pair_of(code: str) -> Pair:
    return Pair.of(*(f"{code}-{n}".encode().ljust(32, b".") for n in range(2)))


def keys_of(code: str) -> NodeKeys:
    """The same first keys each time: what is signed does not change what happens."""
    master, blind = (f"{code}-{n}".encode().ljust(32, b".") for n in (2, 3))
    return NodeKeys(_pair_of(code), master, blind)


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
        self.stage.forget(code)
        self.nodes[code] = self.stage.node(code, kind, self.clock)
        return self.nodes[code]


@contextmanager
def stage(url: str, prefix: str) -> Iterator[Stage]:
    """An empty stage."""
    with ExitStack() as stack:
        yield Stage(url, prefix, stack)
