"""账本: fills two nodes' ledgers quickly with plausible facts, through the real decisions."""

from __future__ import annotations

import json
import random
import socket
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from eventsourcing.persistence import StoredEvent, Tracking
from stdnum.cn import ric

from api.node import CUSTODIAN, Node
from api.settings import Settings
from api.storage import tree
from api.storage.database import Database
from api.storage.keyring import NodeKeyring
from bench.lanes import put_down
from domain import commands as c
from domain.aggregate import Stamp, current
from domain.decisions import decide
from domain.ledger import Entry, Ledger, Write
from domain.policy import Policy, Terms
from domain.records import digest, head, leaf
from domain.values import Author, DataClass
from sync.card import read_card
from sync.key_folder import KeyFolder

ORIGIN, HOST, OTHER = "jiuquan", "chengdu", "shenzhen"
GRANTS = (DataClass.IDENTITY, DataClass.CONTACT)
CONTACTS = 7
"""By the host, for each member; with what precedes them fifteen facts a member."""

GROW = f"WITH taken AS (SELECT WHERE false), {tree.GROWN} SELECT size FROM grown"  # noqa: S608
"""A ledger's tree over what was loaded into it."""

WORDS = (
    "在岗，身体健康，近期在工地轮班",
    "已换单位，地址不变",
    "按时参加组织生活，无困难",
    "电话未接",
)


class _Fresh(NodeKeyring):
    """A keyring over an empty database: no key need be looked for before it is minted."""

    def _find(self, subject: UUID, data_class: DataClass) -> None:
        del subject, data_class


@dataclass
class Pile:
    """A recorder that only piles up what is written; two ledgers share it as if replicated."""

    records: list[StoredEvent] = field(default_factory=list)
    keys: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))
    streams: dict[UUID, list[StoredEvent]] = field(default_factory=lambda: defaultdict(list))
    keyrings: dict[str, NodeKeyring] = field(default_factory=dict)

    def submit(self, write: Write) -> None:
        for row in write.beside:
            self.keys[row.values[3]].append(row.values)
        self.take(write.records)
        write.done.set_result([len(self.records)])

    def take(self, records: Sequence[StoredEvent]) -> None:
        for record in records:
            assert isinstance(record.originator_id, UUID)
            self.streams[record.originator_id].append(record)
            self.records.append(record)

    def stream(self, stream: UUID, after: int, limit: int) -> list[StoredEvent]:
        return self.streams.get(stream, [])[after:limit]

    def since(self, position: int, limit: int) -> list[Entry]:
        raise NotImplementedError

    def head(self) -> int:
        return len(self.records)

    def heard_by(self, org: str) -> Pile:
        """What one organization keeps or hears of."""
        heard = {s for s, records in self.streams.items() if any(_hears(r, org) for r in records)}
        records = [r for r in self.records if r.originator_id in heard]
        return Pile(records, self.keys, self.streams, self.keyrings)


class Town:
    """An origin acquainted with its hosts, and what has happened between them so far."""

    def __init__(
        self, url: str, schema: str, folder: Path, hosts: tuple[str, ...] = (HOST,)
    ) -> None:
        self.url, self.schema, self.folder, self.hosts = url, schema, folder, hosts
        self.random = random.Random(7)
        # A peer's address stands on its card, so it is chosen before anything else.
        self.ports = {code: free_port() for code in (ORIGIN, *hosts)}
        self.keys = {code: KeyFolder.load(folder / code).keys for code in (ORIGIN, *hosts)}
        self.facts = 0
        self.absences: list[UUID] = []
        self.cared_by: dict[str, list[UUID]] = {host: [] for host in hosts}

    def settings(self, code: str) -> dict[str, Any]:
        """What a node of the town is told."""
        kind = "department" if code == ORIGIN else "station"
        told = {"code": code, "name": code, "kind": kind, "port": self.ports[code]}
        # No backup is put back here, so no node waits for its peers' word before it signs.
        return {**told, "restore_hold_seconds": 0}

    def open(self, code: str) -> Node:
        """A node of the town, in this process; its caller closes it."""
        database = Database(self.url, f"{self.schema}_{code}")
        return Node(Settings.model_validate(self.settings(code)), database, self.keys[code])

    def fill(self, facts: int) -> None:
        """Acquaint the nodes, then pile up and load that many facts into both ledgers."""
        nodes = {code: self.open(code) for code in (ORIGIN, *self.hosts)}
        for host in self.hosts:
            _acquaint(nodes[ORIGIN], nodes[host])
        pile = self._pile(nodes, facts)
        self.facts = len(pile.records)
        for code, node in nodes.items():
            _load(node, pile.heard_by(code))
        for host in self.hosts:
            put_down(nodes[ORIGIN], nodes[host], pile)
            put_down(nodes[host], nodes[ORIGIN], pile)
        while nodes[ORIGIN].projector.catch_up():
            pass
        if len(self.hosts) == 1:
            _copy_read_models(nodes[ORIGIN], nodes[HOST])
        for node in nodes.values():
            while node.projector.catch_up():
                pass
            _let_go(node)

    def ahead(self, visits: int, host: str = HOST) -> None:
        """What the origin has recorded since, and no host has heard of."""
        node = self.open(ORIGIN)
        pile = Pile()
        keys = self.keys[ORIGIN]
        pile.keyrings[ORIGIN] = NodeKeyring(node.database, ORIGIN, keys.master, keys.blind)
        pile.take([r for o in self.cared_by[host] for r in node.ledger.stream(o)])
        pile.take(node.ledger.stream(Policy.id_of(ORIGIN)))
        before = len(pile.records)
        ledger = Ledger(ORIGIN, pile, pile.keyrings[ORIGIN])
        for _ in range(visits):
            outflow = self.random.choice(self.cared_by[host])
            said = {"outflow": outflow, "on": date(2025, 6, 1), "by": "王干事"}
            condition = self.random.choice(WORDS)
            _run(ledger, c.RecordVisit.model_validate({**said, "condition": condition}))
        del pile.records[:before]
        _load(node, pile)
        _let_go(node)

    def _pile(self, nodes: dict[str, Node], facts: int) -> Pile:
        pile = Pile()
        # What stands in the ledgers so far: the origin's has the policy, both have themselves.
        for node in nodes.values():
            pile.take([e.record for e in node.ledger.since(0) if _of(e, node)])
        before = len(pile.records)
        for code, node in nodes.items():
            keys = self.keys[code]
            pile.keyrings[code] = _Fresh(node.database, code, keys.master, keys.blind)
        ledgers = {code: Ledger(code, pile, pile.keyrings[code]) for code in nodes}
        while len(pile.records) < facts + before:
            for host in self.hosts:
                self._absence(ledgers[ORIGIN], ledgers[host])
        # The first ones are in the ledgers already.
        del pile.records[:before]
        return pile

    def _absence(self, origin: Ledger, host: Ledger) -> None:
        r = self.random
        left = date(2024, 2, 1) + timedelta(days=r.randrange(300))
        member = _run(origin, c.RegisterMember.model_validate(_person(r, len(self.absences))))
        said = {"member": member, "left_on": left, "reason": "务工", "destination": "四川省成都市"}
        outflow = _run(origin, c.RegisterOutflow.model_validate(said))
        _run(origin, c.OfferCare(outflow=outflow, host=host.org))
        host.forget({outflow})
        since = left + timedelta(days=9)
        said = {"outflow": outflow, "offer": 1, "branch": "第一党支部", "liaison": "李干事"}
        accepted = c.AcceptInflow.model_validate({**said, "accepted_on": since})
        inflow = _run(host, accepted)
        confirmed = {"outflow": outflow, "offer": 1, "host": host.org, "since": since}
        acceptance = digest(origin.stream(inflow)[-1])
        _run(origin, c.ConfirmCare.model_validate({**confirmed, "acceptance": acceptance}))
        host.forget({outflow})
        for number in range(CONTACTS):
            on = since + timedelta(days=7 * number + 1)
            _run(host, c.RecordContact.model_validate(contact(outflow, on, r)))
        visit = {"outflow": outflow, "on": since + timedelta(days=60), "by": "王干事"}
        _run(origin, c.RecordVisit.model_validate({**visit, "condition": r.choice(WORDS)}))
        self.absences.append(outflow)
        self.cared_by[host.org].append(outflow)


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def contact(outflow: UUID, on: date, r: random.Random) -> dict[str, Any]:
    """A contact as an officer would enter it."""
    return {
        "outflow": outflow,
        "on": on,
        "method": r.choice(("电话", "微信", "见面")),
        "by": "李干事",
        "reached": r.random() < 0.9,  # noqa: PLR2004 - nine of ten are reached.
        "condition": r.choice(WORDS),
    }


def visit(outflow: UUID, on: date) -> bytes:
    """A visit as it arrives."""
    said = {"outflow": outflow, "on": on, "by": "王干事", "condition": WORDS[0]}
    return json.dumps(said, default=str, ensure_ascii=False).encode()


def _person(r: random.Random, nth: int) -> dict[str, Any]:
    """The nth person; no two have one id number."""
    order, days = divmod(nth * 7_919, 15_000)
    born = date(1955, 1, 1) + timedelta(days=days)
    stem = f"6209{r.choice(('02', '21', '22'))}{born:%Y%m%d}{order % 1000:03d}"
    return {
        "name": r.choice("赵钱孙李周吴郑王") + r.choice(("伟", "芳", "建国", "秀英", "志强")),
        "number": stem + ric.calc_check_digit(stem + "0"),
        "joined_on": date(2000, 7, 1),
        "full_on": date(2001, 7, 1),
        "branch": f"东沟村第{r.randrange(1, 40)}党支部",
        "phone": f"139{r.randrange(10**8):08d}",
        "address": "甘肃省酒泉市肃州区东大街 12 号",
    }


def _run(ledger: Ledger, command: c.Command) -> UUID:
    id_ = uuid4()
    author = Author(org=ledger.org, person="officer")
    token = current.set(Stamp(author, datetime.now(UTC), id_, id_))
    try:
        decision = decide(command, ledger)
    finally:
        current.reset(token)
    return ledger.record(*decision).id


def _hears(record: StoredEvent, org: str) -> bool:
    meta = head(record).meta
    return meta.keeper == org or org in meta.audience


def _let_go(node: Node) -> None:
    with node.database.connection() as conn:
        conn.execute("ANALYZE")
    node.close()
    node.database.close()


def _of(entry: Entry, node: Node) -> bool:
    return entry.fact is not None and entry.fact.meta.keeper == node.settings.code


def _acquaint(origin: Node, host: Node) -> None:
    """Exchange cards, and carry by hand what there is to carry."""
    origin.enrol(read_card(host.card()), GRANTS)
    host.enrol(read_card(origin.card()), GRANTS)
    if origin.ledger.find(Policy, Policy.id_of(ORIGIN)) is None:
        origin.execute(c.AdoptPolicy(terms=Terms(), effective_from=date(2024, 1, 1)))
    for node in (origin, host):
        node.settle()
    wire, _ = origin.relay.batch(host.settings.code, 0)
    origin.relay.acknowledge(host.inbox.accept(wire).answer)
    host.settle()


def _load(node: Node, pile: Pile) -> None:
    with (
        node.database.connection() as conn,
        conn.transaction(),
        conn.cursor() as cursor,
    ):
        now = tree.opened(conn)
        with cursor.copy(
            "COPY stored_events (notification_id, originator_id, originator_version, topic, state)"
            " FROM STDIN (FORMAT binary)"
        ) as copy:
            copy.set_types(["int8", "uuid", "int8", "text", "bytea"])
            for number, r in enumerate(pile.records, now.size + 1):
                row = (r.originator_id, r.originator_version, r.topic, r.state)
                copy.write_row((number, *row))
        conn.execute(GROW, tree.growing(now, now.and_then(map(leaf, pile.records))))
        with cursor.copy("COPY subject_key FROM STDIN") as copy:
            for row in pile.keys[node.settings.code]:
                copy.write_row(row)
        node.recorder.look_at_tree(conn)
    node.recorder.insert_tracking(Tracking(CUSTODIAN, node.recorder.head()))


def _copy_read_models(source: Node, target: Node) -> None:
    """The same rows stand at both: projecting them twice would only take time."""
    theirs = source.database.schema
    head = target.recorder.head()
    shift = head - source.recorder.head()
    with target.database.connection() as conn, conn.transaction():
        for projection in target.projector.projections.values():
            for table in projection.tables:
                names = ", ".join(f"{n} + {shift}" if n == "position" else n for n in table.columns)
                conn.execute(f"TRUNCATE {table.name}")
                conn.execute(f"INSERT INTO {table.name} SELECT {names} FROM {theirs}.{table.name}")  # noqa: S608
        conn.execute("UPDATE read_model SET position = %s", (head,))
