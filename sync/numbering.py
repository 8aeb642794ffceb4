"""编号: decides which peer must hear which record, at which number, with which keys."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent
from pydantic_core import from_json

from domain import suite
from domain.ledger import Entry, Ledger
from domain.organization import Peer
from domain.pact import Pact
from domain.records import digest, key_ids
from domain.values import DataClass, OrgCode
from sync.book_withheld import Withheld
from sync.errors import NotEnrolled
from sync.granting import Granting
from sync.standing import Standing
from sync.store import LaneStore, Numbered


def next_root(root: str, record: StoredEvent) -> str:
    """The lane's root after one more entry."""
    return suite.digest(bytes.fromhex(root) + bytes.fromhex(digest(record))).hex()


class _Hearing(NamedTuple):
    """One organization must hear of one entry of ours."""

    peer: OrgCode
    stream: UUID
    entry: Entry


class Page:
    """One pass over some entries of the ledger: the rows that number them, in a few queries."""

    def __init__(  # noqa: PLR0913 - once for a pass.
        self,
        ledger: Ledger,
        store: LaneStore,
        granting: Granting,
        peers: dict[OrgCode, Peer],
        heads: dict[OrgCode, Standing],
        *,
        again: bool = False,
        held: Collection[OrgCode] = (),
    ) -> None:
        """`again`: some may be numbered already; `held`: whose lanes wait."""
        self._ledger, self._store, self._peers, self._heads = ledger, store, peers, heads
        self._granting, self._again, self._held = granting, again, held
        self._open: dict[OrgCode, tuple[DataClass, ...]] = {}
        self.rows: list[Numbered] = []
        self.grants: list[tuple[OrgCode, UUID, int]] = []
        self.withheld: list[Withheld] = []

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
            wanted += ((peer, key, number) for key in self._keys_with(record, peer))
        self._grant(codes, wanted)

    def _keys_with(self, record: StoredEvent, peer: OrgCode) -> Sequence[UUID]:
        """The keys that an entry needs; with one that says so, those that were withheld."""
        resumes = record.topic == Pact.Resumed.TOPIC
        return self._granting.due(peer) if resumes else key_ids(record)

    def _hearings(self, entry: Entry) -> list[_Hearing]:
        meta = from_json(entry.record.state)["meta"]
        if meta["keeper"] != self._ledger.org:
            return []
        audience: list[OrgCode] = meta.get("audience", [])
        for code in audience:
            if code not in self._peers:
                raise NotEnrolled(sender=code, position=entry.position)
        heard_by = (code for code in audience if code not in self._held)
        return [_Hearing(code, _stream(entry.record), entry) for code in heard_by]

    def _passing(
        self, codes: list[OrgCode], hearings: list[_Hearing]
    ) -> Iterator[tuple[OrgCode, StoredEvent, int]]:
        first: dict[tuple[OrgCode, UUID], int] = {}
        for peer, stream, entry in hearings:
            first.setdefault((peer, stream), entry.record.originator_version)
        # A stream that begins here nobody has heard of, and there is no more of it.
        older = {stream for (_, stream), version in first.items() if version > 1 or self._again}
        heard = self._store.heard(codes, older) if older else {}
        joined = {s for (p, s), version in first.items() if heard.get((p, s), 0) < version - 1}
        whole = self._store.records(joined) if joined else {}
        for peer, stream, entry in hearings:
            done, version = heard.get((peer, stream), 0), entry.record.originator_version
            if version <= done:
                continue  # Numbered before a backup was restored.
            heard[peer, stream] = version
            # Whoever joins receives the stream from its first fact.
            for record in [entry.record] if version == done + 1 else whole[stream]:
                if done < record.originator_version <= version:
                    yield peer, record, entry.position

    def _grant(self, codes: list[OrgCode], wanted: list[tuple[OrgCode, UUID, int]]) -> None:
        if not wanted:
            return
        known = self._store.granted(codes, {key for _, key, _ in wanted})
        for peer, key_id, number in wanted:
            key = self._ledger.keyring.key(key_id)
            if key is None or (peer, key_id) in known:
                continue
            known.add((peer, key_id))
            if key.data_class in self._open_to(peer):
                self.grants.append((peer, key_id, number))
            else:
                self.withheld.append(Withheld(peer, key_id, key.data_class, number))

    def _open_to(self, peer: OrgCode) -> tuple[DataClass, ...]:
        if peer not in self._open:
            self._open[peer] = self._granting.open_to(peer)
        return self._open[peer]


def _stream(record: StoredEvent) -> UUID:
    assert isinstance(record.originator_id, UUID)
    return record.originator_id
