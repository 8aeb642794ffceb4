"""台账自查: whatever is changed in the tables beside the node is found; no false alarm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from api.storage.server import EmbeddedServer
from sync.verifier import ledger
from tests.api.conftest import HOST, Run, fresh
from tests.api.support import Site, cared_for, meet, until
from tests.api.test_door import ELSEWHERE, Caller
from tests.federation.test_over_http import contact

ENTRIES = 300
"""More than a tile."""


@pytest.fixture(scope="module")
def whole(postgres: EmbeddedServer) -> Iterator[Site]:
    """A node with a full tile, a lane, and a checkpoint over all of it."""
    with ExitStack() as stack:
        mine = stack.enter_context(fresh(postgres))
        host = stack.enter_context(fresh(postgres, **HOST))
        meet(mine, host)
        outflow, _ = cared_for(mine, host)
        batch = mine.http.post("/contacts/batch", json=[contact(outflow)] * ENTRIES)
        assert batch.status_code == 207
        until(lambda: mine.node.log.checkpoint().size == mine.node.ledger.head > ENTRIES)
        until(lambda: mine.node.relay.looked_through == mine.node.ledger.head)
        until(lambda: mine.node.projector.position("history") == mine.node.ledger.head)
        yield mine


def findings(at: Site) -> list[dict[str, Any]]:
    answer = at.http.post("/inspection", json={})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["findings"]
    return found


@contextmanager
def changed(at: Site, table: str, statement: str) -> Iterator[None]:
    """Somebody with the database's password was here; afterwards all is as it was."""
    with at.node.database.connect() as conn:
        conn.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        conn.execute(f"CREATE TABLE before AS TABLE {table}")
        try:
            assert conn.execute(statement).rowcount
            yield
        finally:
            conn.execute(f"TRUNCATE {table}")
            conn.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM before")
            conn.execute("DROP TABLE before")
            conn.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.mark.slow
def test_a_whole_database_is_whole(whole: Site, run: Run) -> None:
    assert findings(whole) == []
    assert "全部核对无误" in run("inspect", "--url", whole.url).out


_STATE = "set_byte(state, length(state) - 2, get_byte(state, length(state) - 2) # 1)"
CHANGES = [
    ("stored_events", f"UPDATE stored_events SET state = {_STATE} WHERE notification_id = 7"),
    ("stored_events", f"UPDATE stored_events SET state = {_STATE} WHERE notification_id = 290"),
    ("stored_events", "UPDATE stored_events SET topic = 'x' WHERE notification_id = 5"),
    ("stored_events", "DELETE FROM stored_events WHERE notification_id = 40"),
    ("stored_events", "DELETE FROM stored_events WHERE notification_id > 290"),
    (
        "stored_events",
        "UPDATE stored_events SET originator_version = 999 WHERE notification_id = 270",
    ),
    (
        "stored_events",
        "UPDATE stored_events SET notification_id = -1 WHERE notification_id = 20",
    ),
    ("tree_tile", "UPDATE tree_tile SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1)"),
    ("tree_tile", "UPDATE tree_tile SET root = set_byte(root, 4, get_byte(root, 4) # 1)"),
    ("tree_tile", "DELETE FROM tree_tile"),
    ("tree_head", "UPDATE tree_head SET peaks = set_byte(peaks, 4, get_byte(peaks, 4) # 1)"),
    ("tree_head", "UPDATE tree_head SET size = size - 1"),
    ("checkpoint", "UPDATE checkpoint SET note = set_byte(note, 30, get_byte(note, 30) # 1)"),
    ("checkpoint", "UPDATE checkpoint SET root = set_byte(root, 3, get_byte(root, 3) # 1)"),
    (
        "checkpoint",
        "UPDATE checkpoint SET root = note WHERE size = (SELECT min(size) FROM checkpoint)",
    ),
    ("lane_out", "UPDATE lane_out SET root = set_byte(root, 3, get_byte(root, 3) # 1)"),
    ("lane_out", "DELETE FROM lane_out WHERE number = 2"),
    ("contact", "UPDATE contact SET org = 'nobody'"),
    ("history", "DELETE FROM history WHERE position = 9"),
    ("roster_person", "UPDATE roster_person SET name = '李四'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("table", "statement"), CHANGES)
def test_every_change_is_found_and_its_place_named(whole: Site, table: str, statement: str) -> None:
    with changed(whole, table, statement):
        found = findings(whole)

    assert found
    assert all(each["where"] and each["because"] for each in found)


@pytest.mark.slow
def test_the_first_bad_entry_is_named(whole: Site) -> None:
    with changed(whole, *CHANGES[0]):
        first = findings(whole)[0]

    assert first["of"].startswith("stored_events")
    assert first["where"].startswith("第 7 条")


def test_the_exported_file_verifies_offline(whole: Site, run: Run, tmp_path: Path) -> None:
    file, card = tmp_path / "all.ledger", tmp_path / "a.card"
    card.write_text(whole.card()[0], encoding="utf-8")

    written = run("export-ledger", file, "--url", whole.url)
    said = run("verify", file, "--card", card)

    assert written.code == said.code == 0, written.err + said.err
    assert "全部核对无误" in said.out
    assert ledger.verify(file, {}).size >= ENTRIES
    kept = tmp_path / "kept.txt"
    kept.write_bytes(whole.ask("/log/checkpoint").content)
    assert run("verify", file, "--checkpoint", kept).code == 0
    kept.write_text(kept.read_text().replace("/ledger/1", "/ledger/2"))
    assert "验证不通过" in run("verify", file, "--checkpoint", kept).sentence
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    assert "验证不通过" in run("verify", file).sentence


def test_the_whole_ledger_is_for_this_machine_alone(whole: Site) -> None:
    assert Caller(whole, ELSEWHERE).ask("GET", "/ledger/export").status_code == 403


@pytest.mark.slow
def test_a_node_that_has_revoked_its_key_is_whole_before_its_peer_has_heard(
    postgres: EmbeddedServer,
) -> None:
    with fresh(postgres) as mine, fresh(postgres, **HOST) as host:
        meet(mine, host)
        host.stop()
        said = {"reason": "被盗", "second_person": "李"}
        mine.post("/keys/revoke", said, Waystation_Person="王")
        assert len(mine.node.keys.signers) == 2

        assert findings(mine) == []
