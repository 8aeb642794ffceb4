"""钥匙: keeps the data keys of persons, wrapped by secrets that are never in the database."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from threading import Lock
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag

from api.storage.database import Database
from api.storage.vault import Vault
from domain import suite
from domain.aggregate import Aggregate
from domain.erasure import Erasure, State
from domain.ledger import Beside
from domain.sealing import Closure, DataKey, PersonClosed, key_id_of, purpose
from domain.values import DataClass, OrgCode

CACHE_MAX = 200_000
"""Unwrapped keys kept in memory."""

MARK_BYTES = 16
"""Of a mark: among a billion values two meet with a chance of 1 in 2⁶⁹."""

MARK_KEY_BYTES = 8
"""Of the id of the key that makes them: tells two keys of one node apart."""

TABLES = """
    CREATE TABLE IF NOT EXISTS subject_key (
        id uuid PRIMARY KEY, subject uuid NOT NULL, data_class text NOT NULL,
        minted_by text NOT NULL, slot bigint NOT NULL, wrapped bytea NOT NULL,
        sealing boolean NOT NULL
    );
    CREATE INDEX IF NOT EXISTS subject_key_subject ON subject_key (subject);
    CREATE UNIQUE INDEX IF NOT EXISTS subject_key_ours
        ON subject_key (subject, data_class) WHERE sealing;
"""

BESIDE = {
    "subject_key": "INSERT INTO subject_key VALUES (%s, %s, %s, %s, %s, %s, %s)"
    " ON CONFLICT DO NOTHING"
}

_SELECT = "SELECT id, subject, data_class, minted_by, slot, wrapped FROM subject_key"

_RETIRE = """
    UPDATE subject_key k SET sealing = false FROM lane_grant g
    WHERE g.peer = %(peer)s AND g.key = k.id AND k.sealing AND k.data_class = ANY(%(classes)s)
        AND (%(keys)s::uuid[] IS NULL OR g.key = ANY(%(keys)s::uuid[]))
    RETURNING k.subject, k.data_class
"""


class NodeKeyring:
    """The keys of one node: its own, and those its peers granted it."""

    def __init__(
        self,
        database: Database,
        org: OrgCode,
        master: bytes,
        blind_key: bytes,
        vault: Vault | None = None,
    ) -> None:
        self._database, self._org = database, org
        self.vault = vault or Vault(None, master)
        self._blind_key = blind_key
        self.search_by(blind_key)
        self._by_id: OrderedDict[UUID, DataKey] = OrderedDict()
        self._ours: dict[tuple[UUID, DataClass], DataKey] = {}
        self._unkept: set[UUID] = set()
        self._closed: dict[tuple[UUID, DataClass], Closure] = {}
        self._lock = Lock()
        with database.connection() as conn:
            conn.execute(TABLES)
        for subject, data_class in self.vault.persons:
            self._closed[subject, data_class] = Closure.ERASED

    def ours(self, subject: UUID, data_class: DataClass) -> DataKey:
        """Our key for this person and class; minted at first use, kept with the fact it seals."""
        with self._lock:
            if why := self._closed.get((subject, data_class)):
                raise PersonClosed(person=subject, data_class=data_class.value, because=why.value)
            known = self._ours.get((subject, data_class))
            if known is None:
                known = self._find(subject, data_class) or self._mint(subject, data_class)
                self._remember(known)
                self._ours[subject, data_class] = known
            return known

    def key(self, key_id: UUID) -> DataKey | None:
        """The key of that id, if this node holds it."""
        with self._lock:
            known = self._by_id.get(key_id)
            if known is None:
                known = self._load("id = %s", key_id)
            return known if known is not None and self._opens(known) else None

    def preload(self, key_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Those of many keys that are held here, fetched at once."""
        wanted = set(key_ids)
        with self._lock:
            missing = [k for k in wanted if k not in self._by_id]
            if missing:
                with self._database.connection() as conn:
                    rows = conn.execute(f"{_SELECT} WHERE id = ANY(%s)", (missing,)).fetchall()
                for row in rows:
                    if (key := self._unwrap(*row)) is not None:
                        self._remember(key)
            held = {k: self._by_id[k] for k in wanted if k in self._by_id}
            return {k: key for k, key in held.items() if self._opens(key)}

    def _opens(self, key: DataKey) -> bool:
        """Not what is closed, but what is restricted for a purpose that somebody has named."""
        why = self._closed.get((key.subject, key.data_class)) if self._closed else None
        return why is None or (why is Closure.RESTRICTED and purpose.get() is not None)

    # Closing.

    def closed(self, subject: UUID, data_class: DataClass) -> Closure | None:
        """Whether data of this person and class do not open here, and why."""
        return self._closed.get((subject, data_class))

    @property
    def any_closed(self) -> bool:
        """Whether anything of anybody is closed."""
        return bool(self._closed)

    def close(self, subject: UUID, classes: Iterable[DataClass], why: Closure) -> None:
        """Let nothing of a person and these classes open any more; what is erased stays so."""
        with self._lock:
            for data_class in classes:
                if self._closed.get((subject, data_class)) is not Closure.ERASED:
                    self._closed[subject, data_class] = why
                self._ours.pop((subject, data_class), None)

    def reopen(self, subject: UUID, data_class: DataClass) -> None:
        """Let them open again; what is erased does not."""
        with self._lock:
            if self._closed.get((subject, data_class)) is not Closure.ERASED:
                self._closed.pop((subject, data_class), None)

    def forget(self, keys: Iterable[UUID]) -> None:
        """Hold them in memory no more."""
        with self._lock:
            for key in keys:
                self._by_id.pop(key, None)

    def retire(
        self, peer: OrgCode, classes: Collection[DataClass], keys: Collection[UUID] | None = None
    ) -> int:
        """Seal no more with our keys of these classes that went to a peer; how many there were."""
        with self._lock:
            retired = self._retire(peer, classes, keys)
            for owned in retired:
                self._ours.pop(owned, None)
        return len(retired)

    def _retire(
        self, peer: OrgCode, classes: Collection[DataClass], keys: Collection[UUID] | None
    ) -> list[tuple[UUID, DataClass]]:
        said = {"peer": peer, "classes": list(classes), "keys": None if keys is None else [*keys]}
        with self._database.connection() as conn:
            rows = conn.execute(_RETIRE, said).fetchall()
        return [(subject, DataClass(data_class)) for subject, data_class in rows]

    def blind(self, kind: str, value: str) -> UUID:
        """A keyed pseudonym, the key outside the database."""
        return UUID(bytes=suite.mac(self._blind_key, f"{kind}\n{value}".encode())[:16])

    def search_by(self, search_key: bytes) -> None:
        """Make marks by another key from now on; what was marked by the one before fits no more."""
        self._mark_keys: dict[str, bytes] = {}
        self._search_key = search_key
        said = suite.mac(search_key, b"waystation/search/id/v1")
        self._mark_key = said[:MARK_KEY_BYTES].hex()

    @property
    def mark_key(self) -> str:
        """The id of the key that marks are made by; says nothing of the key."""
        return self._mark_key

    def mark(self, kind: str, value: str) -> bytes:
        """What a value is searched by: each kind has a key of its own, outside the database."""
        key = self._mark_keys.get(kind)
        if key is None:
            key = suite.mac(self._search_key, b"waystation/search/v1\n" + kind.encode())
            self._mark_keys[kind] = key
        return suite.mac(key, value.encode())[:MARK_BYTES]

    def unlike(self, vault: Vault) -> tuple[UUID, str] | None:
        """The first key that does not open, by the slots of a vault, as what its row says it is."""
        with self._database.connection() as conn:
            rows = conn.execute(f"{_SELECT} ORDER BY id").fetchall()
        beside = NodeKeyring(self._database, self._org, b"", self._blind_key, vault)
        for row in rows:
            try:
                key = beside._unwrap(*row)
            except (InvalidTag, ValueError):
                return row[0], "it does not open as what its row says"
            if key is None:
                return row[0], "it was destroyed"
        return None

    def opens(self) -> bool:
        """Whether the master key is the one that wraps what is kept; true while nothing is."""
        with self._database.connection() as conn:
            row = conn.execute(f"{_SELECT} LIMIT 1", prepare=True).fetchone()
        try:
            return row is None or self._unwrap(*row) is not None
        except InvalidTag:
            return False

    def beside(self, keys: Sequence[DataKey]) -> tuple[Beside, ...]:
        """The rows for the keys that no commit has kept yet."""
        fresh = {key.id: key for key in keys if key.id in self._unkept}
        for key in fresh.values():
            if why := self.closed(key.subject, key.data_class):
                raise PersonClosed(person=key.subject, because=why.value)
        return tuple(self.row(key, self._org) for key in fresh.values())

    def kept(self, keys: Sequence[DataKey], aggregates: Sequence[Aggregate]) -> None:
        """They are committed; a request to erase closes before anybody is told that it is."""
        if self._unkept:
            with self._lock:
                self._unkept.difference_update(key.id for key in keys)
        for each in aggregates:
            if isinstance(each, Erasure) and each.state is State.REQUESTED:
                self.close(each.person, each.classes, Closure.HELD)

    def row(self, key: DataKey, minted_by: OrgCode) -> Beside:
        """How a key is kept: wrapped by master key and slot, bound to all its row says."""
        slot, nonce = self.vault.draw(), os.urandom(12)
        wrapping = self.vault.wrapping(slot)
        assert wrapping is not None, "A new slot is not destroyed."
        row = (key.id, key.subject, key.data_class.value, minted_by, slot)
        box = suite.chosen().cipher(wrapping).encrypt(nonce, key.secret, _binding(*row))
        # One of our own keys a person and class is sealed with; a peer may grant any number.
        return Beside("subject_key", (*row, nonce + box, minted_by == self._org))

    def _mint(self, subject: UUID, data_class: DataClass) -> DataKey:
        secret = os.urandom(suite.SECRET_SIZE)
        key = DataKey(key_id_of(secret), subject, data_class, secret)
        self._unkept.add(key.id)
        return key

    def _find(self, subject: UUID, data_class: DataClass) -> DataKey | None:
        return self._load("subject = %s AND data_class = %s AND sealing", subject, data_class.value)

    def _load(self, where: str, *values: object) -> DataKey | None:
        with self._database.connection() as conn:
            row = conn.execute(f"{_SELECT} WHERE {where}", values, prepare=True).fetchone()
        if row is None:
            return None
        key = self._unwrap(*row)
        if key is not None:
            self._remember(key)
        return key

    def _unwrap(self, key_id: UUID, *row: Any) -> DataKey | None:
        """The key; None if it is destroyed."""
        subject, data_class, _, slot, wrapped = row
        wrapping = None if key_id in self.vault.keys else self.vault.wrapping(slot)
        if wrapping is None:
            return None
        cipher, binding = suite.chosen().cipher(wrapping), _binding(key_id, *row[:4])
        secret = cipher.decrypt(wrapped[:12], wrapped[12:], binding)
        return DataKey(key_id, subject, DataClass(data_class), secret)

    def _remember(self, key: DataKey) -> None:
        self._by_id[key.id] = key
        if len(self._by_id) > CACHE_MAX:
            # A tenth at once, so that making room stays cheap; what no commit has kept stays.
            old = [k for k in islice(self._by_id, CACHE_MAX // 10) if k not in self._unkept]
            for key_id in old:
                gone = self._by_id.pop(key_id)
                self._ours.pop((gone.subject, gone.data_class), None)


def _binding(key_id: UUID, *row: object) -> bytes:
    """Whose key, of which class, by whom, in which slot: none of it can be changed beside us."""
    return key_id.bytes + "\n".join(map(str, row)).encode()
