"""账本: fills two nodes' ledgers quickly with plausible facts, through the real decisions."""

from __future__ import annotations

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
from api.storage.database import Database
from api.storage.keyring import NodeKeyring
from bench.lanes import put_down
from domain import commands as c
from domain.aggregate import Stamp, current
from domain.decisions import decide
from domain.ledger import Entry, Ledger, Write
from domain.policy import Terms
from domain.records import digest
from domain.values import Author, DataClass
from sync.envelope import read_card
from sync.keys import NodeKeys

ORIGIN, HOST = "jiuquan", "chengdu"
GRANTS = (DataClass.IDENTITY, DataClass.CONTACT)
CONTACTS = 7
"""By the host, for each member; with what precedes them fifteen facts a member."""

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


class Town:
    """Two acquainted organizations, and what has happened between them so far."""

    def __init__(self, url: str, schema: str, folder: Path) -> None:
        self.url, self.schema, self.folder = url, schema, folder
        self.random = random.Random(7)
        # A peer's address stands on its card, so it is chosen before anything else.
        self.ports = {code: free_port() for code in (ORIGIN, HOST)}
        self.keys = {code: NodeKeys.load(folder / code) for code in (ORIGIN, HOST)}
        self.facts = 0
        self.absences: list[UUID] = []

    def settings(self, code: str) -> dict[str, Any]:
        """What a node of the town is told."""
        kind = "department" if code == ORIGIN else "station"
        return {"code": code, "name": code, "kind": kind, "port": self.ports[code]}

    def open(self, code: str) -> Node:
        """A node of the town, in this process; its caller closes it."""
        database = Database(self.url, f"{self.schema}_{code}")
        return Node(Settings.model_validate(self.settings(code)), database, self.keys[code])

    def fill(self, facts: int) -> None:
        """Acquaint the nodes, then pile up and load that many facts into both ledgers."""
        nodes = {code: self.open(code) for code in (ORIGIN, HOST)}
        _acquaint(nodes[ORIGIN], nodes[HOST])
        pile = self._pile(nodes, facts)
        self.facts = len(pile.records)
        for node in nodes.values():
            _load(node, pile)
        put_down(nodes[ORIGIN], nodes[HOST], pile)
        put_down(nodes[HOST], nodes[ORIGIN], pile)
        while nodes[ORIGIN].projector.catch_up():
            pass
        _copy_read_models(nodes[ORIGIN], nodes[HOST])
        for node in nodes.values():
            with node.database.connection() as conn:
                conn.execute("ANALYZE")
            node.close()
            node.database.close()

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
            self._absence(ledgers[ORIGIN], ledgers[HOST])
        # The first ones are in the ledgers already.
        del pile.records[:before]
        return pile

    def _absence(self, origin: Ledger, host: Ledger) -> None:
        r = self.random
        left = date(2024, 2, 1) + timedelta(days=r.randrange(300))
        member = _run(origin, c.RegisterMember.model_validate(_person(r)))
        said = {"member": member, "left_on": left, "reason": "务工", "destination": "四川省成都市"}
        outflow = _run(origin, c.RegisterOutflow.model_validate(said))
        _run(origin, c.OfferCare(outflow=outflow, host=HOST))
        host.forget({outflow})
        since = left + timedelta(days=9)
        said = {"outflow": outflow, "offer": 1, "branch": "第一党支部", "liaison": "李干事"}
        accepted = c.AcceptInflow.model_validate({**said, "accepted_on": since})
        inflow = _run(host, accepted)
        confirmed = {"outflow": outflow, "offer": 1, "host": HOST, "since": since}
        acceptance = digest(origin.stream(inflow)[-1])
        _run(origin, c.ConfirmCare.model_validate({**confirmed, "acceptance": acceptance}))
        host.forget({outflow})
        for number in range(CONTACTS):
            on = since + timedelta(days=7 * number + 1)
            _run(host, c.RecordContact.model_validate(contact(outflow, on, r)))
        visit = {"outflow": outflow, "on": since + timedelta(days=60), "by": "王干事"}
        _run(origin, c.RecordVisit.model_validate({**visit, "condition": r.choice(WORDS)}))
        self.absences.append(outflow)


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


def _person(r: random.Random) -> dict[str, Any]:
    born = date(1955, 1, 1) + timedelta(days=r.randrange(15_000))
    stem = f"6209{r.choice(('02', '21', '22'))}{born:%Y%m%d}{r.randrange(1000):03d}"
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


def _of(entry: Entry, node: Node) -> bool:
    return entry.fact is not None and entry.fact.meta.keeper == node.settings.code


def _acquaint(origin: Node, host: Node) -> None:
    """Exchange cards, and carry by hand what there is to carry."""
    origin.enrol(read_card(host.card()), GRANTS)
    host.enrol(read_card(origin.card()), GRANTS)
    origin.execute(c.AdoptPolicy(terms=Terms(), effective_from=date(2024, 1, 1)))
    for node in (origin, host):
        node.settle()
    wire, _ = origin.relay.batch(HOST, 0)
    origin.relay.acknowledge(host.inbox.accept(wire).answer)
    host.settle()


def _load(node: Node, pile: Pile) -> None:
    with (
        node.database.connection() as conn,
        conn.transaction(),
        conn.cursor() as cursor,
    ):
        with cursor.copy(
            "COPY stored_events (originator_id, originator_version, topic, state)"
            " FROM STDIN (FORMAT binary)"
        ) as copy:
            copy.set_types(["uuid", "int8", "text", "bytea"])
            for r in pile.records:
                copy.write_row((r.originator_id, r.originator_version, r.topic, r.state))
        with cursor.copy("COPY subject_key FROM STDIN") as copy:
            for row in pile.keys[node.settings.code]:
                copy.write_row(row)
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
