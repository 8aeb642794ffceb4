"""篡改自查: whatever is changed in any table or file of a node is found, and its place named.

The tables are those of the database's catalogue: a new one is looked at, or has its reason in a
list, or this file fails. `WAYSTATION_TAMPERINGS` says how many changes are tried in all, and
`WAYSTATION_TAMPER_SEED` which.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from api import inspecting_keys
from api.erasure.eraser import Asking
from api.inspection import NO_EVIDENCE, PARTS, Finding, inspect, looked_at
from api.node import Node
from api.seals import seal
from api.service import Who
from api.settings import Settings
from api.storage.database import Database
from api.storage.read import Read
from api.storage.server import EmbeddedServer
from api.storage.vault import SLOT_BYTES, Vault
from domain.commands import (
    AdoptPolicy,
    ApproveTransfer,
    EndInflow,
    HoldActivity,
    MarkAttendance,
    RecordAddress,
    RecordContact,
    RecordInflowDetails,
    RecordPhone,
    RecordRelocation,
    RequestTransfer,
    SendTransfer,
    ShareOutflow,
)
from domain.policy import Terms
from domain.tiles import WIDTH
from sync.card import read_card
from sync.key_folder import KeyFolder
from tests.support.federation import (
    CHENGDU,
    HOST_MAY_OPEN,
    ORIGIN,
    Federation,
    depart,
    hand_over,
    register,
)
from tests.support.narrow import refusing
from tests.support.tampering import Change, Intruder, Tampered, changes

TOTAL = int(os.environ.get("WAYSTATION_TAMPERINGS", "10000"))
SEED = int(os.environ.get("WAYSTATION_TAMPER_SEED", "0")) or random.SystemRandom().getrandbits(32)

UNBOUND = {
    "checkpoint": {"at"},
    "lane_out": {"at"},
    "lane_in": {"at", "head", "sent_at", "behind_since"},
    "quarantine": {"id", "at", "reason", "evidence", "wire", "subject", "outflow", "resolved_at"},
    "log_cosigned": {"at"},
    "log_fence": {"at", "reason", "person", "without"},
    "log_contradiction": {"id", "at"},
    "closing": {"scrubbed"},
    "subject_key": {"sealing"},
}
"""What this node alone has noted, and nobody signed: when it saw something, what it made of it."""

ADDED_ONLY = {
    "checkpoint": "a later one says all that an earlier one did; the newest is signed anew",
    "log_witnessed": "it lets go of the oldest by itself",
    "log_rumour": "it is let go of once it is settled",
    "log_cosigned": "with fewer witnesses less is proved, and nothing else",
    "log_contradiction": "who is accused has the same messages, and so has whoever told of them",
    "log_fence": "the next word of a peer raises it again",
}
"""Tables in which a row that is gone is not missed, with the reason; what is there is checked."""


class Town(Federation):
    """Two nodes in folders, as `waystation init` makes them."""

    def __init__(self, url: str, schema: str, folder: Path, stack: ExitStack) -> None:
        super().__init__(url, schema, stack)
        self._folder = folder

    def found(self, code: str, kind: str = "department") -> Node:
        home = self._folder / code
        settings = Settings.model_validate({"code": code, "name": code, "kind": kind})
        settings.save(home)
        folder = KeyFolder.load(home / "keys")
        database = Database(self._url, f"{self._schema}_{code}")
        self._stack.callback(database.close)
        vault = Vault(home / "keys", folder.keys.master)
        node = Node(settings, database, folder.keys, self.clock, folder, vault)
        self._stack.callback(node.close)
        node.key_change.announce()
        self.nodes[code] = node
        return node

    def meet(self) -> None:
        """What nobody can see being taken away, a key of notes that was granted, is not granted."""
        for one, other in ((ORIGIN, CHENGDU), (CHENGDU, ORIGIN)):
            self[one].enrol(read_card(self[other].card()), HOST_MAY_OPEN)

    def rest(self) -> None:
        """All is sealed, signed, numbered, carried, acknowledged, and projected."""
        for _ in range(3):
            self.clock.pass_(minutes=2)
            for node in self.nodes.values():
                seal(node, everything=True)
                node.log.sign()
            self.settle()
        for node in self.nodes.values():
            node.log.sign()
            assert node.log.checkpoint().size == node.ledger.head


def number(n: int) -> str:
    """The id number of nobody."""
    stem = f"62090219{60 + n:02}0226{486 + n:03}"[:17]
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return stem + "10X98765432"[sum(int(a) * w for a, w in zip(stem, weights, strict=True)) % 11]


@dataclass
class Place:
    """The node that is tampered with, and how to get at it."""

    node: Node
    home: Path
    intruder: Intruder
    before: dict[str, list[tuple[str | None, ...]]]
    slots: bytes
    """The file of slots, as it was earlier."""

    def tampered(self, name: str) -> Tampered:
        where = "stream IS NOT NULL" if name == "quarantine" else "true"
        columns, rows = self.intruder.read(name, where)
        unbound = frozenset(UNBOUND.get(name, ()))
        return Tampered(name, columns, rows, self.before.get(name, []), unbound)


def first_half(town: Town) -> UUID:
    """Some members, one of them in Chengdu's care."""
    town.found(ORIGIN)
    town.found(CHENGDU, "station")
    town.meet()
    origin, chengdu = town[ORIGIN], town[CHENGDU]
    origin.execute(AdoptPolicy(terms=Terms(), effective_from=date(2025, 1, 1)))
    members = [register(origin, number(n), name=f"张{n}", phone=f"1390000{n:04}") for n in range(8)]
    outflows = [depart(origin, member) for member in members[:3]]
    for outflow in outflows[:2]:
        hand_over(town, outflow, CHENGDU)
    inflow = chengdu.database.rows("SELECT inflow FROM roster_arrival ORDER BY 1", {})[0]["inflow"]
    chengdu.execute(RecordInflowDetails(inflow=inflow, phone="13911112222", address="武侯区"))
    day = chengdu.execute(HoldActivity(on=date(2025, 4, 5), title="主题党日")).id
    chengdu.execute(
        MarkAttendance.model_validate({"activity": day, "outflow": outflows[0], "mark": "present"})
    )
    for n in range(60):
        contact = {"outflow": outflows[n % 3], "on": date(2025, 6, 1), "method": "电话", "by": "李"}
        origin.execute(RecordContact.model_validate(contact))
    erased(town, members[7])
    with refusing("contact.made"):
        said = {"outflow": outflows[0], "on": date(2025, 7, 1), "method": "电话", "by": "李"}
        chengdu.execute(RecordContact.model_validate(said))
        chengdu.execute(RecordContact.model_validate(said))
        town.settle()
    read(town, members)
    town.rest()
    return outflows[1]


def second_half(town: Town, outflow: UUID) -> None:
    """More of it, so that every table was shorter before."""
    origin, chengdu = town[ORIGIN], town[CHENGDU]
    rows = origin.database.rows("SELECT member FROM roster_person ORDER BY number NULLS LAST", {})
    members = [row["member"] for row in rows]
    origin.execute(RecordPhone(member=members[0], phone="13933334444"))
    origin.execute(RecordAddress(member=members[0], address="肃州区"))
    origin.execute(ShareOutflow(outflow=outflow, to=CHENGDU, purpose="慰问"))
    transfer = origin.execute(RequestTransfer(member=members[4], to=CHENGDU)).id
    for person, level in (("one", "branch"), ("two", "committee")):
        asked = ApproveTransfer.model_validate({"transfer": transfer, "level": level})
        origin.execute(asked, person=person)
    origin.execute(SendTransfer(transfer=transfer, dues_paid_to=date(2026, 1, 5)))
    town.settle()
    arrival = chengdu.database.rows(
        "SELECT inflow FROM roster_arrival WHERE outflow = %(o)s", {"o": outflow}
    )[0]
    ended = {"inflow": arrival["inflow"], "because": "relocated", "ended_on": date(2025, 8, 1)}
    chengdu.execute(EndInflow.model_validate(ended))
    town.settle()
    moved = {"outflow": outflow, "moved_on": date(2025, 8, 1), "destination": "深圳"}
    origin.execute(RecordRelocation.model_validate(moved))
    erased(town, members[6])
    for n in range(150):
        said = {"outflow": outflow, "on": date(2025, 9, 1 + n % 28), "method": "走访", "by": "李"}
        origin.execute(RecordContact.model_validate(said))
    register(origin, number(9), name="王五", phone="13955556666")
    read(town, members[:3])
    town.rest()


def erased(town: Town, member: UUID) -> None:
    eraser = town[ORIGIN].eraser
    asked = eraser.request(Asking(member, "consent_withdrawn"), Who(person="wang"))
    eraser.grant(asked.id, Who(person="li"))
    town.settle()


def read(town: Town, members: list[UUID]) -> None:
    """Somebody has looked at them."""
    for n, member in enumerate(members):
        town[ORIGIN].access.record(
            Read(
                at=town.clock(),
                account="wang",
                role="officer",
                purpose="care",
                act="view",
                what="roster",
                subjects=(member,),
                fields=("name", "phone"),
                request=UUID(int=n),
                outcome="shown",
            )
        )


@pytest.fixture(scope="module")
def place(postgres: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A node that has lived, with a full tile, a peer, an erasure, and entries set aside."""
    folder = tmp_path_factory.mktemp("tampered")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspecting_keys, "UNDER_WAY_S", 0)
        town = Town(postgres.url, "tampered", folder, stack)
        outflow = first_half(town)
        node = town[ORIGIN]
        intruder = Intruder(postgres.url, node.database.schema)
        stack.callback(intruder.close)
        before = {name: intruder.read(name)[1] for name in intruder.tables()}
        slots = (folder / ORIGIN / "keys" / "slots").read_bytes()
        second_half(town, outflow)
        assert node.ledger.head > 256
        for name in node.projector.projections:
            node.projector.build(name)
        yield Place(node, folder / ORIGIN, intruder, before, slots)


# Nothing is left out, and nothing is found where nothing was changed.


def models(node: Node) -> dict[str, str]:
    """By table, the read model it belongs to."""
    return {t.name: p.name for p in node.projector.projections.values() for t in p.tables}


@pytest.mark.slow
def test_every_table_of_the_database_is_looked_at_or_has_its_reason(place: Place) -> None:
    known = {table for part in PARTS for table in part.tables} - {"keys/"}
    there = {name for name in place.intruder.tables() if not name.endswith("__next")}

    assert known & NO_EVIDENCE.keys() == set()
    assert there == known | NO_EVIDENCE.keys() | models(place.node).keys()
    assert all(NO_EVIDENCE.values())


@pytest.mark.slow
def test_every_column_that_is_passed_over_exists(place: Place) -> None:
    for table, names in UNBOUND.items():
        assert names <= {column.name for column in place.tampered(table).columns}


def compared(node: Node, model: str) -> str | None:
    """What `inspect` compares: the live rows with those that were built beside them."""
    with node.database.connection() as conn, conn.transaction():
        return node.projector.level(conn, model)


def found(node: Node, table: str) -> Finding | None:
    """What the checks of one table find; whatever they find, `inspect` tells."""
    for part in PARTS:
        if table in part.tables and (finding := looked_at(node, part)):
            return finding
    model = models(node).get(table)
    at = compared(node, model) if model else None
    return Finding("read model", at, "") if at else None


def whole(place: Place) -> None:
    """No false alarm."""
    for part in PARTS:
        assert looked_at(place.node, part) is None
    for name in place.node.projector.projections:
        assert compared(place.node, name) is None


@pytest.mark.slow
def test_a_node_that_nobody_has_touched_is_whole(place: Place) -> None:
    whole(place)


# Tables.


def allowed(name: str) -> Callable[[Change], bool]:
    """What counts as tampering with a table."""
    if name in ADDED_ONLY:
        return lambda change: len(change.come) >= len(change.gone)
    if name == "subject_key":
        # A key that a peer has granted, and grants again, is not missed; one of ours is.
        return lambda change: bool(change.come) or any(ORIGIN in row for row in change.gone)
    if name == "quarantine":
        # A message that was refused as a whole is told by nothing but itself.
        return lambda change: all(row[6] is not None for row in change.come)
    return lambda _: True


LEDGER = ("stored_events", "tree_head", "tree_tile", "checkpoint")
LANES = ("lane_out", "lane_in", "lane_receipt", "quarantine")
WITNESSES = ("log_witnessed", "log_cosigned", "log_rumour", "log_fence", "log_contradiction")
PERSONS = ("subject_key", "destroyed_key", "closing", "access", "access_subject")
READ_MODELS = ("read models",)
SHARES = {LEDGER: 0.25, LANES: 0.15, WITNESSES: 0.1, PERSONS: 0.15, READ_MODELS: 0.25}
"""Of all changes, how many fall to each group; the rest to files."""


def must_name(finding: Finding, change: Change) -> None:
    """The entry by its number; in a tile that is not full, the first checkpoint after it."""
    (old,), (new,) = change.gone, change.come
    if old[:1] != new[:1] or old[4:] != new[4:]:
        return
    entry = int(old[4] or 0)
    if entry <= WIDTH:
        assert finding.where.startswith(f"第 {entry} 条"), (change, finding)
    else:
        named = finding.where.rpartition(" ")[2]
        assert (
            entry <= int(named) if "checkpoint" in finding.where else f" {entry} " in finding.where
        )


WHOLE_EVERY = 250
"""After so many changes it is looked whether anything is found where all was undone."""


@pytest.mark.slow
@pytest.mark.parametrize("group", SHARES, ids=lambda group: group[0])
def test_every_change_of_a_table_is_found_and_its_place_named(
    place: Place, group: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    names = sorted(models(place.node)) if group is READ_MODELS else group
    tables = [place.tampered(name) for name in names]
    rng = random.Random(f"{SEED} {group[0]}")
    tried, started = Counter[str](), time.process_time()
    for table, change in changes(rng, tables, {name: allowed(name) for name in names}):
        with place.intruder.changed(table, change) as done:
            finding = found(place.node, table.name) if done else None
        if not done:
            continue
        assert finding is not None, f"seed {SEED}: {change} was not found"
        assert finding.where, change
        if table.name == "stored_events" and change.how == "edit":
            must_name(finding, change)
        tried[f"{change.how} {table.name}"] += 1
        if tried.total() % WHOLE_EVERY == 0:
            whole(place)
        if tried.total() >= TOTAL * SHARES[group]:
            break
    whole(place)
    told = f"seed {SEED}: {tried.total()} changes, {time.process_time() - started:.0f} s: {tried}"
    record_property("torture", told)
    assert {key.split()[1] for key in tried} == set(names) or TOTAL < 5_000


@pytest.mark.slow
def test_inspect_tells_what_its_checks_find(place: Place) -> None:
    """The whole of it, for one change of each table."""
    rng = random.Random(f"{SEED} whole")
    for group in SHARES:
        for name in group if group is not READ_MODELS else ():
            table = place.tampered(name)
            for _, change in changes(rng, [table], {name: allowed(name)}):
                with place.intruder.changed(table, change) as done:
                    told = list(inspect(place.node)) if done else []
                if done:
                    break
            assert any(name in finding.of for finding in told), (SEED, change, told)
    assert list(inspect(place.node)) == []


@pytest.mark.slow
def test_a_read_model_that_was_edited_is_told_and_mended(place: Place) -> None:
    node, rng = place.node, random.Random(f"{SEED} mended")
    for name in rng.sample(sorted(models(node)), 6):
        table = place.tampered(name)
        change = next(c for _, c in changes(rng, [table], {}) if c.how in {"cut", "edit", "insert"})
        with suppress(psycopg.errors.IntegrityError):
            place.intruder.make(table, change)
            told = list(inspect(node))
            assert any(name in finding.where for finding in told), (SEED, change, told)
        assert list(inspect(node)) == []
    for name in node.projector.projections:
        node.projector.build(name)
    whole(place)


# Files.


def file_changes(
    place: Place, rng: random.Random
) -> Iterator[tuple[str, dict[Path, bytes | None]]]:
    """Random changes of the files of keys and of the settings, by what they put in their place."""
    keys = place.home / "keys"
    (pair,) = keys.glob("*.pair")
    secrets = [pair, *(keys / f"{name}.key" for name in ("master", "blind", "search"))]
    files = [*secrets, keys / "slots", keys / "destroyed"]
    rows = place.node.database.rows("SELECT slot FROM subject_key", {})
    used = [row["slot"] * SLOT_BYTES for row in rows]
    # Of a seed of X25519 five bits say nothing, and of the slots those that nobody uses.
    bound = {pair: [*range(32), *range(33, 63)]}
    bound[keys / "slots"] = [first + n for first in used for n in range(SLOT_BYTES)]
    settings = place.home / "node.json"
    while True:
        file, how = (
            rng.choice(files),
            rng.choice(("edit", "cut", "insert", "swap", "replace", "remove")),
        )
        raw = file.read_bytes()
        at = rng.choice(bound.get(file, range(len(raw))))
        if how == "edit":
            yield how, {file: raw[:at] + bytes([raw[at] ^ (1 << rng.randrange(8))]) + raw[at + 1 :]}
        elif how == "cut":
            yield how, {file: raw[:at]}
        elif how == "insert":
            yield how, {file: raw[:at] + rng.randbytes(rng.choice((1, 32))) + raw[at:]}
        elif how == "swap":
            one, two = rng.sample(files, 2)
            yield how, {one: two.read_bytes(), two: one.read_bytes()}
        elif how == "replace" and file in secrets:
            yield how, {file: rng.randbytes(len(raw))}
        elif how == "replace":
            said = settings.read_text()
            yield how, {settings: said.replace(*rng.choice(OTHER_SETTINGS)).encode()}
        elif how == "remove":
            yield how, {file: None}


OTHER_SETTINGS = (('"jiuquan"', '"lanzhou"'), ('"suite": "', '"suite": "other-'), ("{", ""))


def lines(raw: bytes) -> set[bytes]:
    """What a list of destroyed keys says: the order of its lines means nothing."""
    return set(raw.rpartition(b"\n")[0].split(b"\n"))


def same(old: dict[Path, bytes], new: dict[Path, bytes | None]) -> bool:
    """Whether it is no change at all."""
    return all(
        raw == old[file] or (file.name == "destroyed" and raw and lines(raw) == lines(old[file]))
        for file, raw in new.items()
    )


@pytest.mark.slow
def test_every_change_of_a_file_is_found_and_the_file_named(
    place: Place, record_property: Callable[[str, object], None]
) -> None:
    (folder,) = [part for part in PARTS if "keys/" in part.tables]
    rng, tried = random.Random(f"{SEED} files"), Counter[str]()
    wanted = TOTAL - sum(int(TOTAL * share) for share in SHARES.values())
    for how, new in file_changes(place, rng):
        old = {file: file.read_bytes() for file in new}
        if same(old, new):
            continue
        for file, raw in new.items():
            put(place, file, raw)
        try:
            finding = looked_at(place.node, folder)
        finally:
            for file, raw in old.items():
                put(place, file, raw)
        named = [file.name for file in new]
        assert finding is not None, f"seed {SEED}: {how} {named} was not found"
        assert any(part in finding.where for file in new for part in (file.name, file.suffix)), (
            how,
            named,
            finding,
        )
        tried[f"{how} {','.join(name.rpartition('.')[2] for name in named)}"] += 1
        if tried.total() % WHOLE_EVERY == 0:
            whole(place)
        if tried.total() >= wanted:
            break
    whole(place)
    record_property("torture", f"seed {SEED}: {tried.total()} changes of files: {tried}")


def put(place: Place, file: Path, raw: bytes | None) -> None:
    """Write in place, as the node holds some of them open; None puts it away."""
    away = place.home / f"{file.name}.away"
    if raw is None:
        file.rename(away)
        return
    if away.exists():
        away.rename(file)
    with file.open("r+b") as opened:
        opened.write(raw)
        opened.truncate()
