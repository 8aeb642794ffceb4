"""自查·编号: whether each lane to a peer holds what the facts say that it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from api.node import Node
from api.storage.snapshot import Snapshot, snapshot
from domain.values import OrgCode
from sync.numbering import Page, next_root
from sync.standing import START, Standing
from sync.store import LaneStore, Numbered
from sync.verifier.defect import bad

PAGE = 1_000
"""Entries of the ledger that are numbered again at once."""

_OUT = """
    SELECT o.peer, o.number, o.stream, o.version, o.position, o.root
    FROM unnest(%(peers)s::text[], %(numbers)s::bigint[]) AS w (peer, number)
    JOIN lane_out o USING (peer, number)
"""
_LANES = "SELECT peer, count(*) AS n, max(number) AS last FROM lane_out GROUP BY peer ORDER BY peer"
_HELD = """
    SELECT o.peer, o.stream, o.version
    FROM unnest(%(peers)s::text[], %(streams)s::uuid[], %(versions)s::bigint[])
        AS w (peer, stream, version)
    JOIN lane_out o USING (peer, stream, version)
"""
_ROOTS = """
    SELECT o.number, o.root, e.originator_id, e.originator_version, e.topic, e.state
    FROM lane_out o JOIN stored_events e
        ON e.originator_id = o.stream AND e.originator_version = o.version
    WHERE o.peer = %(peer)s ORDER BY o.number
"""


class _Begun:
    """Lanes on which nothing stands yet; who may open what was a decision of its day."""

    def __init__(self, node: Node) -> None:
        self.records = node.lanes.records
        self.told: dict[tuple[OrgCode, UUID], int] = {}

    def heads_out(self, peers: Sequence[OrgCode]) -> dict[OrgCode, Standing]:
        return dict.fromkeys(peers, START)

    def heard(
        self, peers: Iterable[OrgCode], streams: Iterable[UUID]
    ) -> dict[tuple[OrgCode, UUID], int]:
        return {each: self.told[each] for each in product(peers, streams) if each in self.told}

    def granted(self, peers: Iterable[OrgCode], keys: Iterable[UUID]) -> set[tuple[OrgCode, UUID]]:
        return set(product(peers, keys))


def numbered(node: Node) -> None:
    """Every lane holds what the facts say that it holds, number by number, and nothing else.

    Where facts have come back after a backup was restored, a lane is in the order of the peer that
    gave them: then it holds the same facts, and its roots follow from one another.
    """
    heads: dict[OrgCode, Standing] = {}
    begun = _Begun(node)
    with snapshot(node.database) as at:
        relay, position = at.one("SELECT position, again FROM relay"), 0
        bookmark, stands = int(relay["position"]), _holds if relay["again"] else _must_stand
        while position < bookmark:
            entries = node.ledger.since(position, PAGE)
            page = Page(
                node.ledger,
                cast("LaneStore", begun),
                node.relay.granting,
                node.relay.peers(),
                heads,
            )
            page.take([entry for entry in entries if entry.position <= bookmark])
            stands(at, page.rows)
            begun.told |= {(row.peer, row.stream): row.version for row in page.rows}
            position = entries[-1].position if entries else bookmark
        lanes = at.rows(_LANES)
        for lane in lanes if relay["again"] else ():
            _must_follow(at, lane["peer"])
    for lane in lanes:
        expected = heads.get(lane["peer"], START).number
        if (lane["n"], lane["last"]) != (expected, expected):
            first = min(int(lane["last"]), expected + 1)
            raise _out(lane["peer"], first, "the facts give it no such number")


def _must_stand(at: Snapshot, expected: Sequence[Numbered]) -> None:
    asked = {"peers": [row.peer for row in expected], "numbers": [row.number for row in expected]}
    there = {(row["peer"], row["number"]): tuple(row.values()) for row in at.rows(_OUT, asked)}
    for row in expected:
        found = there.get((row.peer, row.number))
        if found != tuple(row):
            why = "it is missing" if found is None else "it is not what the facts say"
            raise _out(row.peer, row.number, why)


def _out(peer: OrgCode, number: int, because: str) -> Exception:
    return bad(f"→ {peer} 第 {number} 号 number {number}", because)


def _holds(at: Snapshot, expected: Sequence[Numbered]) -> None:
    asked = {
        "peers": [row.peer for row in expected],
        "streams": [row.stream for row in expected],
        "versions": [row.version for row in expected],
    }
    there = {tuple(row.values()) for row in at.rows(_HELD, asked)}
    for row in expected:
        if (row.peer, row.stream, row.version) not in there:
            raise _out(row.peer, row.number, "it is missing")


def _must_follow(at: Snapshot, peer: OrgCode) -> None:
    root = START.root
    for number, found, *record in at.stream(_ROOTS, {"peer": peer}):
        stream, version, topic, state = record
        root = next_root(root, StoredEvent(stream, version, topic, bytes(state)))
        if bytes(found).hex() != root:
            raise _out(peer, number, "its root does not follow from the one before")
