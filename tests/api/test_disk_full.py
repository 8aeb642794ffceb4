"""磁盘已满: nothing is recorded, in so many words; questions are answered, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.storage import space as space_module
from api.storage.space import LOOK_S, RESERVE_BYTES, DiskFull, Space
from tests.api.support import Site, absent, person, until
from tests.api.test_problems import problem

# No disk is as large: on any there is less room than that.
EVERYTHING = 2**62


def fill(site: Site, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The node's database lies on this disk, and nearly all of it is to be kept free."""
    patch.setattr(site.node.database, "space", Space(folder))
    patch.setattr(space_module, "RESERVE_BYTES", EVERYTHING)


def test_a_command_is_refused_and_says_how_much_is_free(
    own: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, outflow = absent(own)
    head = own.node.ledger.head
    fill(own, tmp_path, monkeypatch)

    answer = own.send("/members", person())

    said = problem(answer, 503, "disk-full")
    assert answer.headers["Retry-After"] == "1"
    assert 0 < said["free"] < said["needed"] == EVERYTHING
    assert own.node.ledger.head == head
    assert own.get(f"/outflows/{outflow}")["state"] == "待报到"
    assert own.get("/outflows", after=head)["items"]


def test_with_room_again_the_same_key_records_it_once(
    own: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody, head = person(), own.node.ledger.head
    with monkeypatch.context() as filled:
        fill(own, tmp_path, filled)
        problem(own.send("/members", somebody, Idempotency_Key="one"), 503, "disk-full")

    receipts = [own.post("/members", somebody, Idempotency_Key="one") for _ in range(2)]

    assert receipts[0] == receipts[1]
    assert own.node.ledger.head == head + 1


def test_what_a_peer_sends_waits_until_there_is_room(
    origin: Site, host: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, outflow = absent(origin)

    def fault() -> str:
        (peer,) = (p for p in host.get("/peers") if p["peer"] == origin.code)
        return str((peer["lane"] or {}).get("last_error") or "")

    with monkeypatch.context() as filled:
        fill(host, tmp_path, filled)
        origin.post(f"/outflows/{outflow}/offers", {"host": host.code})
        until(lambda: "磁盘空间不足" in fault())
        assert host.ask(f"/outflows/{outflow}").status_code == 404
    host.http.post(f"/peers/{origin.code}/retry", json={})

    until(lambda: host.ask(f"/outflows/{outflow}").status_code == 200)
    until(lambda: not fault())


def test_a_server_of_the_operators_that_finds_its_disk_full_is_told_alike(own: Site) -> None:
    head = own.node.ledger.head
    with own.node.database.connection() as conn:
        conn.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
        )
        conn.execute(
            "CREATE TRIGGER no_room BEFORE INSERT ON stored_events EXECUTE FUNCTION no_room()"
        )

    said = problem(own.send("/members", person()), 503, "disk-full")

    assert "could not extend file" in said["because"]
    assert own.node.ledger.head == head
    with own.node.database.connection() as conn:
        conn.execute("DROP TRIGGER no_room ON stored_events")
    own.post("/members", person())


# The room itself.


class Disk:
    """A disk with so many bytes free; how often it was looked at."""

    def __init__(self, free: int, patch: pytest.MonkeyPatch) -> None:
        self.free, self.looks = free, 0
        patch.setattr(space_module.os, "statvfs", self._look)

    def _look(self, _: Path) -> Any:
        self.looks += 1
        return SimpleNamespace(f_bavail=self.free, f_frsize=1)


def test_so_much_must_be_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(RESERVE_BYTES, monkeypatch)
    Space(tmp_path).must_suffice()

    disk.free -= 1

    with pytest.raises(DiskFull) as refused:
        Space(tmp_path).must_suffice()
    assert refused.value.facts == {"free": RESERVE_BYTES - 1, "needed": RESERVE_BYTES}


def test_a_look_at_the_disk_counts_for_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, space, now = Disk(RESERVE_BYTES, monkeypatch), Space(tmp_path), [100.0]
    monkeypatch.setattr(space_module.time, "monotonic", lambda: now[0])
    space.must_suffice()
    disk.free = 0

    now[0] += LOOK_S / 2
    space.must_suffice()
    now[0] = 100.0 + LOOK_S
    with pytest.raises(DiskFull):
        space.must_suffice()

    assert disk.looks == 2
