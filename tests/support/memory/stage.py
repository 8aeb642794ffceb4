"""内存舞台: as tests/support/stage, with nothing behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any
from unittest.mock import patch
from uuid import UUID

import api.erasure.eraser
import api.node
from api.node import Node
from api.settings import Settings
from api.storage.vault import Vault
from domain import records
from domain.commands import Command
from sync import affiliation, checks
from tests.support.memory import following
from tests.support.memory.database import MemoryDatabase
from tests.support.memory.erased import MemoryClosing, MemoryEraser
from tests.support.memory.lanes import MemoryLanes
from tests.support.memory.ledger import MemoryKeyring, MemoryRecorder, MemoryService
from tests.support.memory.models import MemoryProjector
from tests.support.memory.tree import MemoryTree
from tests.support.stage import KeptRecorder, KeyCase

_PARTS = {
    "Eraser": MemoryEraser,
    "NodeKeyring": MemoryKeyring,
    "Service": MemoryService,
    "Projector": MemoryProjector,
    "LaneStore": MemoryLanes,
    "TreeStore": MemoryTree,
}


_READERS = (records, checks, affiliation)
_decoded = lru_cache(50_000)(records.decode)


class MemoryNode(Node):
    """A node whose questions to its database are answered from memory."""

    def _run_out(self) -> list[tuple[UUID, int]]:
        rows = self.database.rows["custody_flow"].values()
        due = [
            (row["until"], row["outflow"], row["offer"])
            for row in rows
            if row["offer_state"] == "open"
            and row["origin"] == self.settings.code
            and row["until"] < self.clock()
        ]
        return [(outflow, offer) for _, outflow, offer in sorted(due)[:1000]]

    def _further(self) -> list[Command]:
        peers = list(self.relay.peers())
        return following.due(self.database, self.settings.code, peers, self.clock())


@contextmanager
def _built_of(parts: dict[str, Any]) -> Iterator[None]:
    """Nodes are made of these; by hand, because a history starts several and `patch` is slow."""
    kept = {name: getattr(api.node, name) for name in parts}
    book = api.erasure.eraser.ClosingBook
    vars(api.node).update(parts)
    vars(api.erasure.eraser)["ClosingBook"] = MemoryClosing
    try:
        yield
    finally:
        vars(api.node).update(kept)
        vars(api.erasure.eraser)["ClosingBook"] = book


class MemoryStage:
    """Databases by code; `node` puts a node on what is there."""

    def __init__(self) -> None:
        self.databases: dict[str, MemoryDatabase] = {}
        self.case = KeyCase()
        self._vaults: dict[str, Vault] = {}
        """Slots outlive a node, as files do."""
        self._settings: dict[tuple[str, str], Settings] = {}

    def node(
        self,
        code: str,
        kind: str,
        clock: Callable[[], datetime],
        wrap: Callable[[Any], Any] = lambda kept: kept,
    ) -> Node:
        """A node of that code, its memory empty."""
        if code not in self.databases:
            self.databases[code] = MemoryDatabase()
        if (code, kind) not in self._settings:
            said = {"code": code, "name": code, "kind": kind}
            self._settings[code, kind] = Settings.model_validate(said)
        database: Any = self.databases[code]
        recorder = wrap(KeptRecorder(MemoryRecorder(database)))
        folder = self.case.opened(code)
        parts = {**_PARTS, "GroupRecorder": lambda *_: recorder}
        keys, settings = folder.keys, self._settings[code, kind]
        vault = self._vaults.setdefault(code, Vault(None, keys.master))
        with _built_of(parts):
            return MemoryNode(settings, database, keys, clock, folder, vault)

    def empty(self) -> None:
        """Begin anew."""
        self.databases.clear()
        self.case.clear()
        self._vaults.clear()

    @contextmanager
    def performing(self) -> Iterator[None]:
        """A record is decoded once, and not once by each of its readers: facts are immutable."""
        with ExitStack() as stack:
            for reader in _READERS:
                stack.enter_context(patch.object(reader, "decode", _decoded))
            yield
        _decoded.cache_clear()

    def forget(self, code: str) -> None:
        """Its recorder holds nothing that its database does not."""

    def rows(self, code: str, table: str) -> list[dict[str, Any]]:
        """A read model's rows."""
        return list(self.databases[code].rows[table].values())

    def key_rows(self, code: str) -> list[tuple[UUID, UUID, str, str]]:
        """The keys a node keeps: id, subject, class, who minted it."""
        return [row[:4] for row in self.databases[code].subject_keys.values()]

    def snapshot(self, code: str) -> Any:
        """A backup of one node."""
        return self.databases[code].snapshot()

    def restore(self, code: str, backup: Any) -> None:
        """Put it back."""
        self.databases[code].restore(backup)
