"""钥匙槽: what is overwritten opens nothing, and what was destroyed is known at every start."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api.storage import keyring as keyring_module
from api.storage.database import Database as Connections
from api.storage.keyring import NodeKeyring
from api.storage.recorder import GroupRecorder
from api.storage.vault import DRAWN_MAX, SLOT_BYTES, Vault, VaultDamaged
from domain.ledger import Write
from domain.values import DataClass
from tests.support.postgres import Database

MASTER, BLIND = b"m" * 32, b"b" * 32
PERSON, KEY = uuid4(), uuid4()


def test_a_slot_is_drawn_once_also_after_a_restart(tmp_path: Path) -> None:
    drawn = [Vault(tmp_path, MASTER).draw() for _ in range(3)]

    assert drawn == [0, DRAWN_MAX, 2 * DRAWN_MAX]


def test_a_block_that_was_cut_short_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "slots").write_bytes(b"x" * (SLOT_BYTES + 5))

    assert Vault(tmp_path, MASTER).draw() == 2


def test_more_slots_than_a_block_are_made_when_they_are_needed(tmp_path: Path) -> None:
    vault = Vault(tmp_path, MASTER)

    assert [vault.draw() for _ in range(DRAWN_MAX + 1)] == list(range(DRAWN_MAX + 1))


def test_a_slot_that_was_destroyed_wraps_nothing_ever_again(tmp_path: Path) -> None:
    vault = Vault(tmp_path, MASTER)
    slot, other = vault.draw(), vault.draw()
    before, kept = vault.wrapping(slot), vault.wrapping(other)

    vault.destroy([(PERSON, DataClass.NOTES)], [KEY], [slot])

    again = Vault(tmp_path, MASTER)
    assert vault.wrapping(slot) is again.wrapping(slot) is None
    assert again.wrapping(other) == kept != before
    assert (again.keys, again.persons) == ({KEY}, {(PERSON, DataClass.NOTES)})


def test_a_line_that_was_cut_short_counts_for_nothing_and_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "destroyed").write_text(f"key {KEY}\nkey {uuid4().hex[:9]}")
    vault = Vault(tmp_path, MASTER)
    assert vault.keys == {KEY}

    more = uuid4()
    vault.destroy([], [more], [])

    assert Vault(tmp_path, MASTER).keys == {KEY, more}


def test_a_list_that_says_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "destroyed").write_text("key of the door\n")

    with pytest.raises(VaultDamaged) as refused:
        Vault(tmp_path, MASTER)

    assert refused.value.facts["line"] == 1


def test_neither_database_nor_master_key_open_a_key_whose_slot_is_destroyed(
    tmp_path: Path, database: Database
) -> None:
    connections = Connections(database.url, database.schema)
    vault = Vault(tmp_path, MASTER)
    keyring = NodeKeyring(connections, "jiuquan", MASTER, BLIND, vault)
    recorder = GroupRecorder(connections, keyring_module.BESIDE)
    key = keyring.ours(PERSON, DataClass.IDENTITY)
    write = Write((), keyring.beside([key]))
    recorder.submit(write)
    write.done.result()
    with connections.connection() as conn:
        slot, wrapped = conn.execute("SELECT slot, wrapped FROM subject_key").fetchone()
    assert NodeKeyring(connections, "jiuquan", MASTER, BLIND, vault).key(key.id) == key

    vault.destroy([], [key.id], [slot])

    assert NodeKeyring(connections, "jiuquan", MASTER, BLIND, vault).key(key.id) is None
    for guess in (MASTER, bytes(32)):
        with pytest.raises(InvalidTag):
            AESGCM(guess).decrypt(wrapped[:12], wrapped[12:], key.id.bytes)
    recorder.close()
    connections.close()
