"""台账文件: an exported ledger of any size, taken apart and put together again, by anybody."""

from __future__ import annotations

import random
from base64 import b64encode
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from api.ledger_export import export
from domain.records import leaf
from domain.signet import Signet
from domain.tiles import WIDTH, Growth
from domain.tree import ours
from sync.keys import NodeKeys, Pair, b64
from sync.log import Log
from sync.succession import succession
from sync.verifier.defect import read_json, write_json
from sync.verifier.ledger import signed_text
from tests.support.memory.tree import MemoryTree, grow

ORG = "jiuquan"
NOW = datetime(2026, 1, 5, 1, 0, tzinfo=UTC)


def keys_of(rng: random.Random) -> NodeKeys:
    return NodeKeys.of(*(rng.randbytes(32) for _ in range(4)))


def state(keeper: str = ORG, **said: Any) -> bytes:
    """A state as facts have it, of some hundred bytes."""
    author = {"org": keeper, "person": "wang", "role": "officer", "channel": "desk"}
    occurred = {"on": "2026-01-05", "precision": "day"}
    meta = {"schema_version": 1, "recorded_at": NOW.isoformat(), "occurred": occurred}
    meta |= {"author": author, "keeper": keeper, "audience": ["chengdu"], "source": {}}
    return write_json({"meta": meta, **said})[:-1]


class Unwitnessed:
    """Nobody has cosigned anything."""

    def cosignatures(self, epoch: int, size: int) -> list[str]:
        del epoch, size
        return []

    def cosigned(self) -> tuple[int, int]:
        return (0, 0)


class Ledger:
    """A ledger in memory, with a change of keys and checkpoints at random sizes."""

    def __init__(self, size: int, seed: int = 1, checkpoints: int = 20) -> None:
        rng = random.Random(seed)
        self.keys = keys_of(rng)
        self.database = SimpleNamespace(
            epoch=1,
            tree=Growth.empty(ours()),
            tiles={},
            entries=[],
            checkpoints=[],
            checkpoints_at=[],
            recorder=None,
        )
        tree: Any = MemoryTree(self.database)  # type: ignore[arg-type]
        self.log = Log(ORG, tree, self.keys, lambda: NOW, Unwitnessed())
        self._streams: list[list[Any]] = []
        self._rotate_at = size // 2
        signs = {rng.randrange(1, size) for _ in range(checkpoints)} | {size}
        pile: list[StoredEvent] = []
        for n in range(size):
            pile.append(self._next(n, rng))
            if n + 1 in signs:
                self._grow(pile)
                pile = []
                self.log.sign()

    def _next(self, n: int, rng: random.Random) -> StoredEvent:
        signet = Signet.id_of(ORG)
        if n == 0:
            said = {"verify_key": self.keys.verify_key, "sealing_key": self.keys.sealing_key}
            return StoredEvent(signet, 1, "signet.opened", state(**said, reads={}))
        if n == self._rotate_at:
            return StoredEvent(signet, 2, "signet.rotated", self._rotation(rng))
        if self._streams and rng.random() < 0.7:
            stream = self._streams[
                rng.randrange(max(0, len(self._streams) - 500), len(self._streams))
            ]
            stream[1] += 1
        else:
            stream = [UUID(int=rng.getrandbits(128)), 1, rng.choice([ORG, ORG, "chengdu"])]
            self._streams.append(stream)
        box = b64encode(rng.randbytes(120)).decode()
        return StoredEvent(stream[0], stream[1], "contact.made", state(stream[2], n=n, box=box))

    def _rotation(self, rng: random.Random) -> bytes:
        signet = Signet(Signet.id_of(ORG), ORG)
        signet.verify_key = self.keys.verify_key
        new = Pair.of(rng.randbytes(32), rng.randbytes(32))
        said = succession("rotated", signet, self.keys, new).model_dump(mode="json")
        self.keys.signers = (new, *self.keys.signers)
        return state(succession=said)

    def _grow(self, pile: list[StoredEvent]) -> None:
        self.database.entries += [SimpleNamespace(record=record) for record in pile]
        grow(self.database, pile)  # type: ignore[arg-type]

    def file(self) -> bytes:
        size = self.database.tree.size
        return b"".join(export(self.log, self.keys, size, NOW))


@dataclass
class Apart:
    """A file as its parts; `whole` puts them together, signed by whoever has the keys."""

    head: dict[str, Any]
    leaves: list[bytes]
    hashes: list[bytes]
    upper: list[dict[str, Any]]
    notes: list[str]
    last: bytes = field(default=b"")

    @classmethod
    def of(cls, raw: bytes) -> Apart:
        line, rest = raw.split(b"\n", 1)
        made = cls(read_json(line, ""), [], [], [], [])
        while rest:
            line, rest = rest.split(b"\n", 1)
            said = read_json(line, "")
            if "tile" in said:
                body, rest = rest[: said["bytes"]], rest[said["bytes"] :]
                made._take(body, min(WIDTH, made.head["size"] - len(made.leaves)))
            elif "level" in said:
                made.upper.append(said)
            elif "checkpoint" in said:
                made.notes.append(said["checkpoint"])
            else:
                made.last = line + b"\n"
        return made

    def _take(self, body: bytes, width: int) -> None:
        self.hashes += [body[at : at + 32] for at in range(0, 32 * width, 32)]
        at = 32 * width
        while at < len(body):
            end = at + 2 + int.from_bytes(body[at : at + 2])
            self.leaves.append(body[at + 2 : end])
            at = end

    def copy(self) -> Apart:
        return deepcopy(self)

    def hash_again(self) -> None:
        """Tiles that fit the entries."""
        self.hashes = [ours().leaf(each) for each in self.leaves]

    def whole(self, keys: NodeKeys | None = None) -> bytes:
        pieces = [write_json(self.head)]
        for at in range(0, len(self.leaves), WIDTH):
            leaves = self.leaves[at : at + WIDTH]
            body = b"".join(self.hashes[at : at + WIDTH])
            body += b"".join(len(each).to_bytes(2) + each for each in leaves)
            pieces += [write_json({"tile": at // WIDTH, "bytes": len(body)}), body]
        pieces += [write_json(each) for each in self.upper]
        pieces += [write_json({"checkpoint": each}) for each in self.notes]
        if keys is None:
            return b"".join(pieces) + self.last
        text = signed_text(sha256(b"".join(pieces)).hexdigest())
        signatures = {keys.verify_key: b64(keys.sign(text))}
        return b"".join(pieces) + write_json({"signatures": signatures})


def unleafed(data: bytes) -> StoredEvent:
    end = 26 + int.from_bytes(data[24:26])
    return StoredEvent(
        UUID(bytes=data[:16]), int.from_bytes(data[16:24]), data[26:end].decode(), data[end:]
    )


def leafed(stream: UUID, version: int, topic: str, said: bytes) -> bytes:
    return leaf(StoredEvent(stream, version, topic, said))
