"""编号: decides which peer must hear which record, at which number, with which keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from pydantic_core import from_json

from domain.ledger import Entry, Ledger
from domain.organization import Peer
from domain.records import digest, key_ids
from domain.values import OrgCode
from sync.errors import NotEnrolled
from sync.standing import Standing
from sync.store import LaneStore, Numbered


def next_root(root: str, record: StoredEvent) -> str:
    """The lane's root after one more entry."""
    return hashlib.sha256(bytes.fromhex(root) + bytes.fromhex(digest(record))).hexdigest()


class _Hearing(NamedTuple):
    """One organization must hear of one entry of ours."""

    peer: OrgCode
    stream: UUID
    entry: Entry


class Page:
    """One pass over some entries of the ledger: the rows that number them, in a few queries."""

    def __init__(
        self,
        ledger: Ledger,
        store: LaneStore,
        peers: dict[OrgCode, Peer],
        heads: dict[OrgCode, Standing],
    ) -> None:
        self._ledger, self._store, self._peers, self._heads = ledger, store, peers, heads
        self.rows: list[Numbered] = []
        self.grants: list[tuple[OrgCode, UUID, int]] = []

    def take(self, entries: Sequence[Entry]) -> None:
        """Number each entry for each organization that must hear of it; our own facts alone."""
        hearings = [h for entry in entries for h in self._hearings(entry)]
        if not hearings:
            return
        codes = sorted({h.peer for h in hearings})
        heads = self._heads
        if unknown := [code for code in codes if code not in heads]:
            heads |= self._store.heads_out(unknown)
        wanted: list[tuple[OrgCode, UUID, int]] = []
        for peer, record, position in self._passing(codes, hearings):
            root = next_root(heads[peer].root, record)
            heads[peer] = Standing(heads[peer].number + 1, root)
            number, stream, version = heads[peer].number, _stream(record), record.originator_version
            self.rows.append(Numbered(peer, number, stream, version, position, bytes.fromhex(root)))
            wanted += ((peer, key, number) for key in key_ids(record))
        self._grant(codes, wanted)

    def _hearings(self, entry: Entry) -> list[_Hearing]:
        meta = from_json(entry.record.state)["meta"]
        if meta["keeper"] != self._ledger.org:
            return []
        audience: list[OrgCode] = meta.get("audience", [])
        for code in audience:
            if code not in self._peers:
                raise NotEnrolled(sender=code, position=entry.position)
        return [_Hearing(code, _stream(entry.record), entry) for code in audience]

    def _passing(
        self, codes: list[OrgCode], hearings: list[_Hearing]
    ) -> Iterator[tuple[OrgCode, StoredEvent, int]]:
        first: dict[tuple[OrgCode, UUID], int] = {}
        for peer, stream, entry in hearings:
            first.setdefault((peer, stream), entry.record.originator_version)
        # A stream that begins here nobody has heard of, and there is no more of it.
        older = {stream for (_, stream), version in first.items() if version > 1}
        heard = self._store.heard(codes, older) if older else set()
        joined = {s for (peer, s) in first.keys() - heard if first[peer, s] > 1}
        whole = self._store.records(joined) if joined else {}
        for peer, stream, entry in hearings:
            if (peer, stream) in heard:
                yield peer, entry.record, entry.position
                continue
            # Whoever joins receives the stream from its first fact.
            heard.add((peer, stream))
            for record in whole.get(stream, [entry.record]):
                if record.originator_version <= entry.record.originator_version:
                    yield peer, record, entry.position

    def _grant(self, codes: list[OrgCode], wanted: list[tuple[OrgCode, UUID, int]]) -> None:
        allowed = [each for each in wanted if self._may_open(*each[:2])]
        if not allowed:
            return
        granted = self._store.granted(codes, {key for _, key, _ in allowed})
        for peer, key_id, number in allowed:
            if (peer, key_id) not in granted:
                granted.add((peer, key_id))
                self.grants.append((peer, key_id, number))

    def _may_open(self, peer: OrgCode, key_id: UUID) -> bool:
        key = self._ledger.keyring.key(key_id)
        return key is not None and key.data_class in self._peers[peer].grants


def _stream(record: StoredEvent) -> UUID:
    assert isinstance(record.originator_id, UUID)
    return record.originator_id
