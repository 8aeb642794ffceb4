"""台账自查: a node looks through its own database for what somebody has changed beside it."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from api import inspecting_keys, inspecting_lanes, inspecting_numbers
from api.access import verifying
from api.ledger_export import export
from api.node import Node
from api.storage.snapshot import snapshot
from api.storage.tree import HEAD, opened
from domain.errors import Refusal
from domain.tiles import HEIGHT, WIDTH, TileName, split, subtree
from domain.tree import Place, ours
from sync.checkpoint import Checkpoint, origin_of
from sync.errors import LaneFault
from sync.log import TreeHead
from sync.note import Note
from sync.verifier import ledger
from sync.verifier.defect import Defect, bad

_TILES = "SELECT level, number, hashes, root FROM tree_tile ORDER BY level, number"
_CHECKPOINTS = "SELECT epoch, size, root, note FROM checkpoint ORDER BY epoch, size"
_EMPTY = """
    SELECT notification_id FROM stored_events
    WHERE topic IS NULL OR state IS NULL ORDER BY notification_id
"""
_OTHER_MOMENT = """
    SELECT notification_id FROM stored_events e JOIN history h ON h.position = e.notification_id
    WHERE h.entered_at IS DISTINCT FROM e.entered_at ORDER BY notification_id LIMIT 1
"""
_NOBODY_READ = """
    SELECT number FROM access_subject s
    WHERE NOT EXISTS (SELECT FROM access a WHERE a.number = s.number) ORDER BY number
"""
_FETCH = 2_000

DIFFERS = "the rows are not those that the facts make; they are now"


_log = logging.getLogger(__name__)


class Finding(NamedTuple):
    """What does not fit: the table or what stands for it, the first bad place, and why."""

    of: str
    where: str
    because: str


class Part(NamedTuple):
    """One check, and the tables that it holds against something else."""

    tables: tuple[str, ...]
    check: Callable[[Node], None]


def inspect(node: Node) -> Iterator[Finding]:
    """Everything that can be checked against something else, one finding a part at most.

    A read model that differs is mended by being looked at: the rebuilt one takes over.
    """
    for part in PARTS:
        if found := looked_at(node, part):
            yield found
    for name in node.projector.projections:
        if place := node.projector.renew(name):
            yield Finding("read model", f"{name}: {place}", DIFFERS)


def looked_at(node: Node, part: Part) -> Finding | None:
    """What one check finds."""
    of = ", ".join(part.tables)
    try:
        part.check(node)
    except Defect as defect:
        return Finding(of, str(defect.facts["where"]), str(defect.facts["because"]))
    except (Refusal, LaneFault) as damage:
        return Finding(of, of, str(damage))
    except Exception as damage:  # noqa: BLE001 - over what it stumbles is damage as well.
        _log.warning("%s could not be looked at", of, exc_info=damage)
        return Finding(of, of, f"{type(damage).__name__}: {damage}")
    return None


def _ledger(node: Node) -> None:
    """As whoever audits it without us would, to the last fact."""
    for (position,) in _rows(node, _EMPTY):
        raise bad(f"第 {position} 条 entry", "a part of it is missing")
    head = node.ledger.head
    if node.log.checkpoint().size < head:
        # What is signed now is what the tree says, behind what was signed: whole first, both.
        _head(node)
        _checkpoints(node)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "whole.ledger"
        with file.open("wb") as out:
            out.writelines(export(node.log, node.keys, head, node.clock()))
        ledger.verify(file, {node.settings.code: [node.keys.verify_key]})
    _head(node)
    for (position,) in _rows(node, _OTHER_MOMENT):
        raise bad(f"第 {position} 条 entry", "the history says that it came in at another moment")


def _checkpoints(node: Node) -> None:
    """The columns say what was signed."""
    for epoch, size, root, note in _rows(node, _CHECKPOINTS):
        said = Checkpoint.read(Note.read(bytes(note)).text)
        if (said.origin, said.size, said.root) != (
            origin_of(node.settings.code, epoch),
            size,
            root,
        ):
            where = f"检查点 checkpoint {epoch}/{size}"
            raise Defect(where=where, because="the row does not say what was signed")


def _head(node: Node) -> None:
    with node.database.connection() as conn, conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        opened(conn)
        there = conn.execute("SELECT count(*) FROM stored_events").fetchone()
        head, newest = TreeHead(*conn.execute(HEAD).fetchone()), node.log.newest()  # type: ignore[misc]
    if head.hash != ours().name or (newest and newest.epoch != head.epoch):
        raise bad("tree_head", "another epoch or hash than what was signed")
    if there != (head.size,):
        raise bad("stored_events", f"{head.size} entries are counted in the tree, not {there}")


def _rows(node: Node, query: str) -> Iterator[tuple[Any, ...]]:
    with (
        node.database.connection() as conn,
        conn.transaction(),
        conn.cursor(name="inspection") as cursor,
    ):
        cursor.itersize = _FETCH
        yield from cursor.execute(query)


def _tiles(node: Node) -> None:
    """Each root is that of its hashes, each tile that should be there is, and no other."""
    with snapshot(node.database) as at:
        size = int(at.one("SELECT size FROM tree_head")["size"])
        missing = {
            TileName(level, number)
            for level in range(size.bit_length() // HEIGHT + 1)
            for number in range(size >> HEIGHT * (level + 1))
        }
        for level, number, hashes, root in at.stream(_TILES):
            where = f"瓦片 tile {level}/{number}"
            if TileName(level, number) not in missing:
                raise bad(where, "the tree has no such tile")
            missing.discard(TileName(level, number))
            if subtree(ours(), split(hashes), Place(HEIGHT, 0)) != root:
                raise bad(where, f"the root is not that of its {WIDTH} hashes")
    if missing:
        raise bad("瓦片 tile {}/{}".format(*min(missing)), "it is missing")


def _reads(node: Node) -> None:
    """Who read whose data: the chain of rows, past every seal in the ledger."""
    broken = verifying.verify(node.database).broken
    if broken is not None:
        raise bad(f"查阅 read {broken.number}", broken.because)
    for (number,) in _rows(node, _NOBODY_READ):
        raise bad(f"查阅 read {number}", "there is an index to it, and no such read")


PARTS = (
    Part(("tree_head",), _head),
    Part(("stored_events", "tree_tile", "checkpoint"), _ledger),
    Part(("checkpoint",), _checkpoints),
    Part(("tree_tile",), _tiles),
    Part(("access", "access_subject"), _reads),
    Part(("lane_out",), inspecting_numbers.numbered),
    Part(("lane_receipt",), inspecting_lanes.receipts),
    Part(("lane_in", "quarantine"), inspecting_lanes.taken),
    Part(inspecting_lanes.SIGNED, inspecting_lanes.witnessed),
    Part(("subject_key",), inspecting_keys.kept),
    Part(("closing", "destroyed_key"), inspecting_keys.closed),
    Part(("keys/",), inspecting_keys.folder),
)
"""In this order; read models are held against a rebuild besides."""

NO_EVIDENCE = {
    "bookmarks": "书签: what follows is taken again, which changes nothing",
    "relay": "书签: a number is given once, whatever it says",
    "read_model": "书签: the rows are compared with those that all facts make",
    "read_model_time": "时间: when a batch was projected; the newest only, and let go of",
    "lane_time": "时间: when a number passed a hop; the newest only, and let go of",
    "lane_step": "时间: when both ends were last level; written anew at every receipt",
    "idempotency": "缓存: what was answered to a key, for seven days",
    "lane_grant": "授权: which key went with which number, by the decision of that day",
    "lane_withheld": "授权: which key waits for a pact, by the decision of that day",
    "lane_held": "进度: whose lane waits for an operator after a backup was restored",
    "log_asked": "对方所报: who asked to be given back what, signed by nobody",
    "lane_refused": "对方所报: repeated by the peer in every receipt until it is resolved",
    "refused_count": "计数: how many messages were refused, signed by nobody",
    "bundle_out": "进度: what the next bundle must bring; the file itself is signed",
    "bundle_ask": "进度: what a peer asked for by file; it asks again",
    "lane_given": "对方所报: what a peer gave back by file, judged when it is taken back",
    "bundle_in": "进度: which bundles came in; the same one again changes nothing",
}
"""Tables in which nothing is looked for, each with its reason."""
