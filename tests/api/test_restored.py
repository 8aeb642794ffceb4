"""恢复旧备份: a whole node on PostgreSQL is put back, hears of it over HTTP, and heals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from api.node import Node
from api.routes.fence import WITHOUT_MAX
from api.settings import Settings
from api.storage.database import Database
from api.storage.server import EmbeddedServer
from domain.values import utc_now
from sync.checkpoint import epoch_of
from sync.keys import NodeKeys
from tests.api.conftest import Run, fresh
from tests.api.support import Site, cared_for, free_port, meet, offered, person, until
from tests.api.test_problems import problem
from tests.support import naive

_schemas = count(1)


class Kept:
    """One organization: its database, its keys, and whichever node serves it just now."""

    def __init__(self, url: str, code: str, stack: ExitStack) -> None:
        self.url, self.schema = url, f"restored_{next(_schemas)}_{code}"
        said = {"code": code, "name": code, "port": free_port(), "poll_seconds": 1.0}
        self.settings = Settings.model_validate(said)
        self.keys = NodeKeys.generate()
        freely = "-c session_replication_role=replica"
        self._owner = stack.enter_context(psycopg.connect(url, options=freely, autocommit=True))
        self.site = self._serve()
        stack.callback(self.stop)

    def _serve(self) -> Site:
        self._database = Database(self.url, self.schema)
        made = Site(Node(self.settings, self._database, self.keys, utc_now))
        made.start()
        return made

    def stop(self) -> None:
        self.site.stop()
        self.site.http.close()
        self.site.node.close()
        self._database.close()

    def backup(self) -> dict[str, bytes]:
        """Every table, as COPY writes it."""
        found = self._owner.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s", (self.schema,)
        )
        kept = {}
        for (table,) in found.fetchall():
            with self._owner.cursor().copy(self._copy(table, "TO STDOUT")) as out:
                kept[table] = b"".join(map(bytes, out))
        return kept

    def restore(self, backup: dict[str, bytes]) -> Site:
        """Stop, put it back, start."""
        self.stop()
        for table, rows in backup.items():
            name = sql.Identifier(self.schema, table)
            self._owner.execute(sql.SQL("DELETE FROM {}").format(name))
            with self._owner.cursor().copy(self._copy(table, "FROM STDIN")) as into:
                into.write(rows)
        self.site = self._serve()
        return self.site

    def _copy(self, table: str, way: str) -> sql.Composed:
        name = sql.Identifier(self.schema, table)
        return sql.SQL("COPY {} {} (FORMAT binary)").format(name, sql.SQL(way))  # type: ignore[arg-type]

    def quiet(self) -> None:
        """Whole, in step with itself: every entry is a leaf, and the root is the naive one."""
        with self._database.connection() as conn, conn.transaction():
            naive.size(conn)


@pytest.fixture
def two(postgres: EmbeddedServer) -> Iterator[tuple[Kept, Kept]]:
    with ExitStack() as stack:
        origin, host = (Kept(postgres.url, code, stack) for code in ("jiuquan", "chengdu"))
        meet(origin.site, host.site)
        yield origin, host


def witnessed(site: Site, by: Site) -> bool:
    """Whether a peer has taken the newest checkpoint."""
    seen = by.node.lanes.witnessed(site.code)
    return seen is not None and seen.size == site.node.ledger.head


def settled(one: Kept, other: Kept) -> None:
    """Both lanes acknowledged, both ledgers witnessed."""
    for here, there in ((one.site, other.site), (other.site, one.site)):
        until(lambda h=here, t=there: witnessed(h, t))
        until(lambda h=here, t=there: _acknowledged(h, t))


def _acknowledged(here: Site, there: Site) -> bool:
    head, known = here.node.relay.standing(there.code)
    return head.number == known.number


@pytest.mark.slow
def test_a_whole_node_has_nothing_to_renew(postgres: EmbeddedServer) -> None:
    with fresh(postgres) as own:
        assert own.get("/fence")["state"] == "whole"
        problem(own.send("/fence/renewal", {"reason": "试"}), 409, "nothing-to-renew")
        problem(own.send("/fence/lanes/chengdu"), 409, "nothing-to-take")
        many = ["chengdu"] * (WITHOUT_MAX + 1)
        for wrong in ({}, {"reason": " "}, {"reason": "试", "without": many}):
            problem(own.send("/fence/renewal", wrong), 422, "invalid-request")


@pytest.mark.slow
def test_what_was_lost_comes_back_and_signing_goes_on(two: tuple[Kept, Kept]) -> None:
    origin, host = two
    cared_for(origin.site, host.site)
    settled(origin, host)
    backup = host.backup()
    outflow, _ = cared_for(origin.site, host.site)
    settled(origin, host)
    shown = origin.site.node.lanes.witnessed(host.site.code)
    assert shown is not None

    site = host.restore(backup)

    until(lambda: site.get("/fence")["state"] == "whole" and site.node.ledger.head >= shown.size)
    assert site.node.log.epoch == 1
    assert site.node.log.root(shown.size) == shown.root
    assert site.get(f"/outflows/{outflow}")["carer"] == site.code
    said = {"outflow": outflow, "on": "2025-05-01", "method": "电话", "by": "李干事"}
    site.post("/contacts", said)
    settled(origin, host)
    assert not origin.site.node.lanes.contradictions()
    assert site.http.post("/inspection").json()["findings"] == []
    host.quiet()


@pytest.mark.slow
def test_what_cannot_be_made_again_begins_an_epoch(
    two: tuple[Kept, Kept], run: Run, tmp_path: Path
) -> None:
    origin, host = two
    offered(origin.site, host.site)
    settled(origin, host)
    backup = origin.backup()
    origin.site.post("/members", person(name="只在本地"))
    outflow, _ = cared_for(origin.site, host.site)
    settled(origin, host)
    old = host.site.node.lanes.witnessed("jiuquan")
    assert old is not None

    site = origin.restore(backup)

    until(lambda: site.get("/fence")["state"] == "wanting")
    assert site.get("/health")["status"] == "degraded"
    assert site.send("/members", person()).status_code == 503
    told = run("fence", "status", "--url", site.url).out
    assert "不能原样复原" in told
    assert "chengdu" in told
    told = run("fence", "renew", "--reason", "盘坏", "--person", "王", "--url", site.url).out
    assert "取回" in told
    until(lambda: site.get("/fence")["state"] == "whole")
    assert site.get(f"/outflows/{outflow}")["carer"] == host.site.code
    member = site.get(f"/outflows/{outflow}")["member"]
    trail = site.get(f"/members/{member}/trail/phone")
    assert trail[-1]["value"] == "+8613900001234"
    assert site.post("/members", person())["position"]
    settled(origin, host)
    new: Any = host.site.node.lanes.witnessed("jiuquan")
    assert epoch_of(new.note.partition("\n")[0]) == ("jiuquan", 2)
    (renewed,) = host.site.get("/fence")["theirs"]
    assert (renewed["epoch"], renewed["by"], renewed["reason"]) == (2, "王", "盘坏")
    assert renewed["gave_up"] == f"1/{old.size}"
    assert renewed["lacking"] > 0
    assert not host.site.node.lanes.contradictions()
    offered(site, host.site)
    settled(origin, host)
    assert site.http.post("/inspection").json()["findings"] == []
    cards: list[Any] = ["--witnesses", "1"]
    for each in (origin.site, host.site):
        cards += ["--card", tmp_path / f"{each.code}.card"]
        cards[-1].write_text(each.card()[0])
    file = tmp_path / "a.passport"
    assert run("passport", outflow, "--out", file, "--url", site.url).code == 0
    assert run("verify", file, *cards).code == 0
    origin.quiet()
