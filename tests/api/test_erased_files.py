"""擦除: a thousand values of a person are found in no file, after a backup was put back as well."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
from stdnum.cn import ric

from api.erasure.eraser import Asking
from api.node import Node
from api.service import Who
from api.settings import Settings
from api.storage.database import Database
from api.storage.programs import Programs
from api.storage.scrub import scrub
from api.storage.server import EmbeddedServer
from api.storage.vault import Vault
from domain.commands import CorrectIdentity, RecordAddress, RecordContact, RecordPhone, RecordReturn
from domain.erasure import Erasure, State
from projections.erasing import HOLDING
from sync.keys import NodeKeys
from tests.support.federation import (
    CHENGDU,
    EVERYTHING,
    ORIGIN,
    Federation,
    depart,
    hand_over,
    register,
)
from tests.support.postgres import running_server

EACH = 250
_MARK = re.compile(
    rb"\+8613977[0-9]{6}|\xe9\x87\x91\xe4\xb8\x9d\xe9\x9b\x80[0-9]{4}|620902[0-9]{11}[0-9X]"
)
"""Telephones, everything named 金丝雀, and id numbers."""


def canary(number: int) -> str:
    """A name, an address or a note."""
    return f"金丝雀{number:04}"


def telephone(number: int) -> str:
    return f"+8613977{number:06}"


def id_number(number: int) -> str:
    born = date(1950, 1, 1) + timedelta(days=number)
    stem = f"620902{born:%Y%m%d}{number % 1000:03}"
    return stem + str(ric.calc_check_digit(stem + "0"))


class Town(Federation):
    """Two nodes whose keys and slots are in folders."""

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        super().__init__(url, "erased", stack)
        self._folder = folder
        self._keys: dict[str, NodeKeys] = {}

    def found(self, code: str, kind: str = "department") -> Node:
        """A node, or the same once more on another server."""
        folder = self._folder / code
        folder.mkdir(exist_ok=True)
        keys = self._keys.setdefault(code, NodeKeys.generate())
        database = Database(self._url, f"{self._schema}_{code}")
        self._stack.callback(database.close)
        settings = Settings.model_validate({"code": code, "name": code, "kind": kind})
        vault = Vault(folder, keys.master)
        node = Node(settings, database, keys, self.clock, vault=vault)
        self._stack.callback(node.close)
        self.nodes[code] = node
        return node


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A server of the test's own: its files are looked through."""
    with running_server(durable=True) as running:
        yield running


def lived(town: Town) -> Federation:
    """A person of whom both sides have recorded a thousand values."""
    town.found(ORIGIN)
    town.found(CHENGDU, "station")
    town.acquaint(ORIGIN, CHENGDU, EVERYTHING)
    origin, chengdu = town[ORIGIN], town[CHENGDU]
    member = register(origin, id_number(0), name=canary(0), phone=telephone(0))
    for n in range(1, EACH):
        origin.execute(RecordPhone(member=member, phone=telephone(n)))
        origin.execute(RecordAddress(member=member, address=canary(n)))
        origin.execute(
            CorrectIdentity(
                member=member, name=canary(EACH + n), number=id_number(n), reason="更正"
            )
        )
        # Each stands in a row for a moment, and in the log of changes for longer.
        origin.projector.catch_up()
    outflow = depart(origin, member)
    hand_over(town, outflow, CHENGDU)
    for n in range(EACH):
        contact = {
            "outflow": outflow,
            "on": date(2025, 6, 1),
            "method": "电话",
            "by": "李干事",
            "condition": canary(2 * EACH + n),
        }
        chengdu.execute(RecordContact.model_validate(contact))
    origin.execute(RecordReturn(outflow=outflow, returned_on=date(2025, 9, 1)))
    town.settle()
    for node in town.nodes.values():
        with node.database.connection() as conn:
            conn.execute("ANALYZE")
            conn.execute("CHECKPOINT")
    forged = f"waystation/batch/v1 {ORIGIN} {'A' * 86}==\n".encode()
    assert chengdu.inbox.accept(forged + str(member).encode() + canary(1).encode()).fault
    return town


def found_in(*folders: Path) -> set[str]:
    """Which canaries stand in the bytes of any file."""
    found: set[bytes] = set()
    for folder in folders:
        for file in folder.rglob("*"):
            if file.is_file():
                found |= set(_MARK.findall(file.read_bytes()))
    return {each.decode() for each in found}


def marks_in(town: Town, *folders: Path) -> int:
    """How many marks of the telephones stand in the bytes of any file."""
    marks = {node.keyring.mark("phone", telephone(n)) for node in _both(town) for n in range(EACH)}
    raw = [file.read_bytes() for each in folders for file in each.rglob("*") if file.is_file()]
    return sum(
        any(mark in whole or mark.hex().encode() in whole for whole in raw) for mark in marks
    )


def _both(town: Town) -> list[Node]:
    return [town[ORIGIN], town[CHENGDU]]


def dumped(server: EmbeddedServer) -> set[str]:
    """Which canaries pg_dump writes."""
    socket = server.url.partition("host=")[2].replace("%2F", "/")
    program = Programs().folder / "pg_dump"
    told = subprocess.run(  # noqa: PLW1510 - what went wrong is in the message.
        [program, "-h", socket, "-U", "postgres", "postgres"], capture_output=True
    )
    assert told.returncode == 0, told.stderr
    assert b"stored_events" in told.stdout
    return {each.decode() for each in _MARK.findall(told.stdout)}


def gone(town: Federation) -> None:
    """Erase, and let everybody answer."""
    (row,) = town[ORIGIN].database.rows("SELECT member FROM roster_person", {})
    member = row["member"]
    ask = town[ORIGIN].eraser.request
    asked = ask(Asking(member, "consent_withdrawn"), Who(person="wang"))
    town[ORIGIN].eraser.grant(asked.id, Who(person="li"))
    town.settle()
    assert town[ORIGIN].ledger.look_up(Erasure, asked.id).state is State.COMPLETED


@pytest.mark.slow
def test_a_thousand_canaries_are_found_nowhere(
    server: EmbeddedServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with ExitStack() as stack:
        town = lived(Town(server.url, tmp_path, stack))
        before = found_in(server.home)
        # The log tells of a changed row what has changed alone: some values are cut in two there.
        assert len(before) >= 2 * EACH, len(before)
        assert marks_in(town, server.home) >= 2 * EACH
        backup = _backed_up(server, tmp_path / "backup")

        gone(town)

        assert dumped(server) == set()
        assert found_in(server.home, tmp_path / ORIGIN, tmp_path / CHENGDU) == set()
        assert marks_in(town, server.home, tmp_path / ORIGIN, tmp_path / CHENGDU) == 0
        assert _MARK.search(caplog.text.encode()) is None
        assert not town[ORIGIN].eraser.log_kept
    assert found_in(backup) >= before & found_in(backup) != set()
    _starts_again_without_them(backup, town, tmp_path)


def _backed_up(server: EmbeddedServer, to: Path) -> Path:
    """The files as they lie there, with their log: what a copy of a disk would hold."""
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute("SELECT pg_backup_start('canaries', true)")
        shutil.copytree(server.home / "data", to / "data", ignore=shutil.ignore_patterns("*.pid"))
        label = conn.execute("SELECT labelfile FROM pg_backup_stop(false)").fetchone()
    assert label is not None
    (to / "data" / "backup_label").write_text(label[0])
    for segment in (server.home / "data" / "pg_wal").glob("0*"):
        shutil.copy(segment, to / "data" / "pg_wal" / segment.name)
    return to


def _starts_again_without_them(backup: Path, town: Town, folder: Path) -> None:
    """Started on the backup's files, with the folder of keys as it is, it destroys them again."""
    backup.chmod(0o711)
    with running_server(durable=True) as restored:
        target = restored.home / "data"
        restored.stop()
        shutil.rmtree(target)
        shutil.copytree(backup / "data", target)
        Programs().hand_over(restored.home)
        _hand_over_all(target)
        restored.start()
        with ExitStack() as stack:
            again = Town(restored.url, folder, stack)
            again._keys = town._keys  # noqa: SLF001
            for code in (ORIGIN, CHENGDU):
                again.found(code)
            assert dumped(restored) == set()
            assert found_in(restored.home) == set()
            assert marks_in(again, restored.home) == 0


def _hand_over_all(target: Path) -> None:
    for file in (target, *target.rglob("*")):
        Programs().hand_over(file)


@pytest.mark.slow
def test_what_is_only_overwritten_is_found_until_it_is_scrubbed(
    server: EmbeddedServer, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        town = Town(server.url, tmp_path, stack)
        node = town.found(ORIGIN)
        register(node, id_number(1), name=canary(1), phone=telephone(1))
        town.settle()
        with node.database.connection() as conn:
            conn.execute("CHECKPOINT")
            conn.execute(
                "UPDATE roster_person SET name = NULL, number = NULL, phone = NULL, born_on = NULL"
            )
            conn.execute("UPDATE affiliation SET name = NULL")
            conn.execute("VACUUM")
            conn.execute("CHECKPOINT")
        assert canary(1) in found_in(server.home)

        assert scrub(node.database, [shared.name for shared in HOLDING])

        assert found_in(server.home) == set()
