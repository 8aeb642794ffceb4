"""钥匙: keeps the data keys of persons, wrapped by a master key that is never in the database."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import islice
from threading import Lock
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api.storage.database import Database
from domain.ledger import Beside
from domain.sealing import DataKey, key_id_of
from domain.values import DataClass, OrgCode

CACHE_MAX = 200_000
"""Unwrapped keys kept in memory."""

TABLES = """
    CREATE TABLE IF NOT EXISTS subject_key (
        id uuid PRIMARY KEY, subject uuid NOT NULL, data_class text NOT NULL,
        minted_by text NOT NULL, wrapped bytea NOT NULL
    );
    CREATE UNIQUE INDEX IF NOT EXISTS subject_key_ours
        ON subject_key (subject, data_class, minted_by);
"""

BESIDE = {
    "subject_key": "INSERT INTO subject_key VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
}

_SELECT = "SELECT id, subject, data_class, wrapped FROM subject_key"


class NodeKeyring:
    """The keys of one node: its own, and those its peers granted it."""

    def __init__(self, database: Database, org: OrgCode, master: bytes, blind_key: bytes) -> None:
        self._database, self._org = database, org
        self._wrap = AESGCM(master)
        self._blind_key = blind_key
        self._by_id: OrderedDict[UUID, DataKey] = OrderedDict()
        self._ours: dict[tuple[UUID, DataClass], DataKey] = {}
        self._unkept: set[UUID] = set()
        self._lock = Lock()
        with database.connection() as conn:
            conn.execute(TABLES)

    def ours(self, subject: UUID, data_class: DataClass) -> DataKey:
        """Our key for this person and class; minted at first use, kept with the fact it seals."""
        with self._lock:
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
            return known

    def preload(self, key_ids: Iterable[UUID]) -> None:
        """Fetch many keys at once, ahead of opening a batch."""
        with self._lock:
            missing = [k for k in set(key_ids) if k not in self._by_id]
            if missing:
                with self._database.connection() as conn:
                    rows = conn.execute(f"{_SELECT} WHERE id = ANY(%s)", (missing,)).fetchall()
                for row in rows:
                    self._remember(self._unwrap(*row))

    def blind(self, kind: str, value: str) -> UUID:
        """A keyed pseudonym, the key outside the database."""
        mac = hmac.digest(self._blind_key, f"{kind}\n{value}".encode(), hashlib.sha256)
        return UUID(bytes=mac[:16])

    def beside(self, keys: Sequence[DataKey]) -> tuple[Beside, ...]:
        """The rows for the keys that no commit has kept yet."""
        fresh = {key.id: key for key in keys if key.id in self._unkept}
        return tuple(self.row(key, self._org) for key in fresh.values())

    def kept(self, keys: Sequence[DataKey]) -> None:
        """They are committed."""
        if self._unkept:
            with self._lock:
                self._unkept.difference_update(key.id for key in keys)

    def row(self, key: DataKey, minted_by: OrgCode) -> Beside:
        """How a key is kept: wrapped, bound to its id."""
        nonce = os.urandom(12)
        wrapped = nonce + self._wrap.encrypt(nonce, key.secret, key.id.bytes)
        values = (key.id, key.subject, key.data_class.value, minted_by, wrapped)
        return Beside("subject_key", values)

    def _mint(self, subject: UUID, data_class: DataClass) -> DataKey:
        secret = AESGCM.generate_key(256)
        key = DataKey.of(key_id_of(secret), subject, data_class, secret)
        self._unkept.add(key.id)
        return key

    def _find(self, subject: UUID, data_class: DataClass) -> DataKey | None:
        where = "subject = %s AND data_class = %s AND minted_by = %s"
        return self._load(where, subject, data_class.value, self._org)

    def _load(self, where: str, *values: object) -> DataKey | None:
        with self._database.connection() as conn:
            row = conn.execute(f"{_SELECT} WHERE {where}", values, prepare=True).fetchone()
        if row is None:
            return None
        key = self._unwrap(*row)
        self._remember(key)
        return key

    def _unwrap(self, key_id: UUID, subject: UUID, data_class: str, wrapped: bytes) -> DataKey:
        secret = self._wrap.decrypt(wrapped[:12], wrapped[12:], key_id.bytes)
        return DataKey.of(key_id, subject, DataClass(data_class), secret)

    def _remember(self, key: DataKey) -> None:
        self._by_id[key.id] = key
        if len(self._by_id) > CACHE_MAX:
            # A tenth at once, so that making room stays cheap; what no commit has kept stays.
            old = [k for k in islice(self._by_id, CACHE_MAX // 10) if k not in self._unkept]
            for key_id in old:
                gone = self._by_id.pop(key_id)
                self._ours.pop((gone.subject, gone.data_class), None)
