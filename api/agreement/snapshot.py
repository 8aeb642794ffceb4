"""快照: what this node shares with one peer at one moment, rows and facts as keyed hashes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from api.node import Node
from domain import suite
from domain.ledger import Entry
from domain.records import PERSONAL, decode, digest
from domain.sealing import Sealed
from domain.values import DataClass, OrgCode
from projections import shared as rows
from projections.shared import BY_NAME, MODELS, SHARED, Shared, Sight
from sync.book_in import InBook
from sync.book_out import OutBook
from sync.book_shared import TAIL_MAX, Pinned, SharedBook, summed
from sync.compare import FACTS, VERSIONS_MAX, Cut, FactTold, Row, Waiting
from sync.comparing import Basis
from sync.ranges import Hashes

LOOKS_MAX = 20
"""How often a node looks whether its read models are level with its ledger."""

LOOK_S = 0.1

_log = logging.getLogger(__name__)


def pause() -> None:
    """Let the worker go on."""
    time.sleep(LOOK_S)


def take(
    node: Node,
    peer: OrgCode,
    salt: bytes,
    theirs: Sequence[DataClass],
    wait: Callable[[], None] = pause,
) -> PairSnapshot:
    """A snapshot with the read models level, if they come level soon.

    `theirs` is what the peer says we may open of its own.
    """
    for look in range(LOOKS_MAX):
        taken = _look(node, peer, salt, theirs, last=look + 1 == LOOKS_MAX)
        if taken is not None:
            return taken
        wait()
    raise AssertionError  # The last look has returned.


def _look(
    node: Node, peer: OrgCode, salt: bytes, theirs: Sequence[DataClass], *, last: bool
) -> PairSnapshot | None:
    org = node.settings.code
    with node.database.connection() as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        pinned = Pinned(conn)
        book = SharedBook(pinned)
        waiting = _waiting(node, conn, book, peer)
        if not last and any(each.because == "behind" for each in waiting):
            return None
        open_to = {org: node.relay.granting.open_to(peer), peer: tuple(theirs)}
        sight = Sight(org, peer, frozenset(book.told(peer)), open_to, salt)
        hashes = hashed(conn, sight, book.streams(peer))
        head = _head(conn)
        told, heard = OutBook(pinned).head_out(peer), InBook(pinned).standing_in(peer)
    cut = Cut(told=told.number, told_root=told.root, heard=heard.number, heard_root=heard.root)
    return PairSnapshot(node, sight, cut, waiting, hashes, head)


def hashed(conn: Any, sight: Sight, streams: dict[UUID, bytes]) -> dict[str, Hashes]:
    """Every table of a pair, and its facts, as keyed hashes."""
    facts = (stream.bytes + _facts_hash(total, sight.salt) for stream, total in streams.items())
    tables = {s.name: Hashes(rows.entries(conn, s, sight)) for s in SHARED}
    return {**tables, FACTS: Hashes(facts)}


def _waiting(node: Node, conn: Any, book: SharedBook, peer: OrgCode) -> tuple[Waiting, ...]:
    """The read models, and the relay, that have not passed all facts of the pair."""
    query = "SELECT name, position FROM read_model WHERE name = ANY(%s)"
    at = dict(conn.execute(query, (list(MODELS),)).fetchall())
    bookmark = conn.execute("SELECT position FROM relay").fetchone()[0]
    head = _head(conn)
    tail = book.tail(node.settings.code, peer, min(bookmark, *at.values()))
    found = {}
    for name in MODELS:
        wants = node.projector.projections[name].wants
        late = any(position > at[name] and wants(topic) for position, topic, _ in tail)
        if late or head > at[name] + TAIL_MAX:
            found[name] = "stopped" if name in node.projector.stopped else "behind"
    if any(ours and position > bookmark for position, _, ours in tail):
        found[FACTS] = "behind"
    return tuple(Waiting.model_validate({"model": n, "because": b}) for n, b in found.items())


def _head(conn: Any) -> int:
    query = "SELECT coalesce(max(notification_id), 0) FROM stored_events"
    return int(conn.execute(query).fetchone()[0])


def _facts_hash(total: bytes, salt: bytes) -> bytes:
    return suite.mac(salt, b"facts\n" + total)


@dataclass(frozen=True)
class PairSnapshot:
    """Hashes of one moment; a row that is asked for is read again, and must still have its hash."""

    node: Node
    sight: Sight
    cut: Cut
    waiting: tuple[Waiting, ...]
    hashes: dict[str, Hashes]
    position: int

    @property
    def basis(self) -> Basis:
        """By what the roots can be computed again."""
        return Basis(self.sight.salt, self.position)

    def row(self, model: str, key: UUID) -> Row:
        """A row field by field, with its facts; empty for what the pair does not share."""
        shared = BY_NAME.get(model)
        if shared is None:
            facts = self._facts(key)
            now = _facts_hash(summed(facts), self.sight.salt) if facts else None
            return self._told(key, facts, moved=now != self._then(model, key))
        with self.node.database.connection() as conn:
            found = rows.one(conn, shared, key)
        shown = None
        if found is not None and self._shares(shared, key, found[1]):
            shown = rows.seen(shared, *found, self.sight)
        stream, facts, edited = self._judged(shared, key, found and rows.canonical(found[0]))
        now = None if shown is None else rows.row_hash(shared, shown, self.sight.salt)
        row = self._told(stream, facts, moved=now != self._then(model, key))
        if shown is None or found is None:
            return row.model_copy(update={"edited": edited and bool(facts)})
        subject, outflow = rows.subjects(found[0])
        salt = self.sight.salt
        fields = {n: rows.field_hash(shared, key, n, v, salt) for n, v in shown.items()}
        more = {"subject": subject, "outflow": outflow, "fields": fields}
        return row.model_copy(update={"edited": edited, **more})

    def _judged(
        self, shared: Shared, key: UUID, live: dict[str, bytes] | None
    ) -> tuple[UUID, list[StoredEvent], bool]:
        """The stream behind a row, its facts, and whether the row is not what they say."""
        streams = shared.streams(key, (self.sight.org, self.sight.peer))
        for stream in streams:
            facts = self._facts(stream)
            try:
                said = self._said(shared, key, facts)
            except Exception as fault:  # noqa: BLE001 - what fails here has stopped the read model.
                _log.warning("%s does not project %s: %s", shared.name, stream, fault)
                return stream, facts, False
            if said is not None:
                return stream, facts, said != live
        facts = self._facts(streams[0])
        return streams[0], facts, live is not None

    def _told(self, stream: UUID, facts: Sequence[StoredEvent], *, moved: bool) -> Row:
        told = (
            FactTold(version=r.originator_version, digest=digest(r), topic=r.topic)
            for r in facts[-VERSIONS_MAX:]
        )
        parked = bool(self.node.lanes.stopped(self.sight.peer, [stream]))
        first = decode(facts[0]) if facts else None
        absence = stream if first and first.TOPIC.startswith("outflow.") else None
        return Row(
            stream=stream,
            subject=first.meta.subject if first else None,
            outflow=getattr(first, "outflow", absence),
            facts=tuple(told),
            moved=moved,
            parked=parked,
            lacking=self._lacking(facts),
        )

    def _facts(self, stream: UUID) -> list[StoredEvent]:
        book = SharedBook(self.node.database)
        return book.shared(self.sight.org, self.sight.peer, stream)

    def _then(self, model: str, key: UUID) -> bytes | None:
        return self.hashes[model].find(key.bytes)

    def _shares(self, shared: Shared, key: UUID, keeper: OrgCode | None) -> bool:
        if keeper == self.sight.org:
            return shared.whole or key in self.sight.told
        return keeper == self.sight.peer

    def _said(
        self, shared: Shared, key: UUID, facts: Sequence[StoredEvent]
    ) -> dict[str, bytes] | None:
        now = self.node.clock()
        entries = [Entry(0, record, now) for record in facts]
        projection = self.node.projector.projections[shared.projection.name]
        return rows.said_by(projection, shared, key, entries) if entries else None

    def _lacking(self, facts: Sequence[StoredEvent]) -> tuple[DataClass, ...]:
        """Classes of which a value is sealed with a key that is not held here."""
        key = self.node.keyring.key
        found = {
            kind
            for fact in map(decode, facts)
            if fact is not None
            for name, kind in PERSONAL[fact.TOPIC]
            if isinstance(value := getattr(fact, name), Sealed) and key(value.key_id) is None
        }
        return tuple(sorted(found))
