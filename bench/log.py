"""证明: what the ledger's tree costs a command, and how long a proof takes to make and to check."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.persistence import StoredEvent

from api.storage import tree
from api.storage.database import Database
from api.storage.recorder import GroupRecorder
from api.storage.statements import GROUP as WITH_TREE
from api.storage.statements import TABLE
from api.storage.tree import TreeStore
from bench.commands import GROUP, body, ours
from bench.figures import Figure, interleaved, percentile
from bench.town import GROW, ORIGIN, Town
from domain.records import leaf
from domain.tiles import Growth
from domain.tree import ours as hashing
from domain.values import utc_now
from sync.checkpoint import origin_of, verifiers
from sync.envelope import NO_ROOT
from sync.keys import NodeKeys
from sync.log import Log
from sync.store import LaneStore

LEAVES = 1_000_000
INCLUSION_MS, VERIFY_MS = 5.0, 0.2
"""What a proof may take: a bound and no floor, for there is nothing to take away from."""

BARE = f"""
    WITH input AS (
        SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::bytea[], %b::int[])
        WITH ORDINALITY AS t (stream, version, topic, state, command, place)
    ), taken AS (
        SELECT DISTINCT i.command FROM input i JOIN {TABLE} e
        ON e.originator_id = i.stream AND e.originator_version = i.version
    ), added AS (
        INSERT INTO {TABLE} (notification_id, originator_id, originator_version, topic, state)
        SELECT %b + place, stream, version, topic, state FROM input
        WHERE NOT EXISTS (SELECT FROM taken) ORDER BY place
        RETURNING notification_id, entered_at
    )
    SELECT notification_id, entered_at, NULL::int, (SELECT pg_notify('{TABLE}', '')) IS NULL
    FROM added UNION ALL SELECT NULL, NULL, command, NULL FROM taken
"""  # noqa: S608 - the recorder's statement but for the tree.


def measure(town: Town, seconds: float, repeats: int, samples: int) -> Iterator[Figure]:
    """The tree's part of a command, and the two proofs."""
    yield _share(town, seconds, repeats)
    with _place(town, "proofs") as database:
        _pile_up(database)
        keys = NodeKeys.generate()
        log = Log(ORIGIN, TreeStore(database), keys, utc_now, LaneStore(database, NO_ROOT))
        yield from _proofs(log, keys, samples)


def _share(town: Town, seconds: float, repeats: int) -> Figure:
    """What 64 commands in a commit lose to their leaves, in shares of what they cost in all."""
    node = town.open(ORIGIN)
    try:
        commands = ours(node, [body(town) for _ in range(1000)], seconds)
        with _place(town, "with") as grown, _place(town, "bare") as bare:
            runs = {
                "command": lambda: 1000 / commands(),
                "with": lambda: _commit(grown, _growing, seconds),
                "bare": lambda: _commit(bare, _plain, seconds),
            }
            for run in runs.values():
                run()
            took = interleaved(runs, repeats)
    finally:
        node.close()
        node.database.close()
    lost = max(took["with"] - took["bare"], 0.001)
    return Figure("log.tree", lost, "ms/command", took["command"], town.facts)


@contextmanager
def _place(town: Town, name: str) -> Iterator[Database]:
    """A schema with the tables of a ledger that nobody writes."""
    database = Database(town.url, f"{town.schema}_{name}")
    GroupRecorder(database).close()
    yield database
    database.close()


def _records() -> list[StoredEvent]:
    return [StoredEvent(uuid4(), 1, "contact.made", os.urandom(300) * 2) for _ in range(GROUP)]


def _columns(records: list[StoredEvent]) -> list[list[Any]]:
    return [
        [r.originator_id for r in records],
        [r.originator_version for r in records],
        [r.topic for r in records],
        [r.state for r in records],
        list(range(len(records))),
    ]


Put = Callable[[list[StoredEvent]], None]


def _growing(conn: Any) -> Put:
    now = tree.opened(conn)

    def put(records: list[StoredEvent]) -> None:
        nonlocal now
        grown = now.and_then(map(leaf, records))
        values = (*_columns(records), *tree.growing(now, grown))
        assert len(conn.execute(WITH_TREE, values, prepare=True, binary=True).fetchall()) == GROUP
        now = grown

    return put


def _plain(conn: Any) -> Put:
    size = conn.execute("SELECT coalesce(max(notification_id), 0) FROM stored_events").fetchone()[0]

    def put(records: list[StoredEvent]) -> None:
        nonlocal size
        conn.execute(BARE, (*_columns(records), size), prepare=True, binary=True).fetchall()
        size += len(records)

    return put


def _commit(database: Database, way: Callable[[Any], Put], seconds: float) -> float:
    """Milliseconds a record."""
    spent, done = 0.0, 0
    with database.connect() as conn:
        put = way(conn)
        while spent < seconds:
            records = _records()
            began = time.perf_counter()
            put(records)
            spent += time.perf_counter() - began
            done += GROUP
    return 1000 * spent / done


def _pile_up(database: Database) -> None:
    """A tree of a million leaves; of the records only those whose tile is not full."""
    tail = [
        StoredEvent(UUID(int=n + 1), 1, "contact.made", b"{}")
        for n in range(LEAVES - LEAVES % 256, LEAVES)
    ]
    hashes = hashing()
    growth = Growth.empty(hashes)
    for _ in range(LEAVES - len(tail)):
        growth.append(os.urandom(32))
    for record in tail:
        growth.append(hashes.leaf(leaf(record)))
    with database.connection() as conn, conn.transaction():
        conn.execute(GROW, tree.growing(Growth.empty(hashes), growth), binary=True)
        with conn.cursor().copy(
            f"COPY {TABLE} (notification_id, originator_id, originator_version, topic, state)"
            " FROM STDIN"
        ) as copy:
            for number, r in enumerate(tail, LEAVES - len(tail) + 1):
                copy.write_row((number, r.originator_id, 1, r.topic, r.state))
        conn.execute("ANALYZE")


def _proofs(log: Log, keys: NodeKeys, samples: int) -> Iterator[Figure]:
    draw, known = random.Random(3), verifiers(origin_of(ORIGIN, 1), [keys.verify_key])
    log.sign()
    made, times = [], []
    for _ in range(samples):
        position = draw.randrange(1, LEAVES + 1)
        began = time.perf_counter()
        made.append(log.proof(position))
        times.append(1000 * (time.perf_counter() - began))
    yield Figure("log.inclusion.p99", percentile(times, 0.99), "ms", INCLUSION_MS, LEAVES)
    last = StoredEvent(UUID(int=LEAVES), 1, "contact.made", b"{}")
    proof, data = log.proof(LEAVES), leaf(last)
    began = time.perf_counter()
    for _ in range(samples):
        proof.proves(data, known)
    took = 1000 * (time.perf_counter() - began) / samples
    yield Figure("log.verify", took, "ms", VERIFY_MS, LEAVES)
