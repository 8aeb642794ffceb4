"""密钥夹: whatever a crash leaves of a change of keys, the node starts and its lanes work."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from domain.ledger import Ledger
from sync import key_folder
from sync.card import read_card
from sync.key_folder import OPENERS_MAX, KeyDamaged, KeyFolder, KeyMissing
from sync.keys import wrap
from tests.support.federation import CHENGDU, HOST_MAY_OPEN, ORIGIN, SHENZHEN
from tests.support.stage import Stage, Staged
from tests.sync.test_key_change import WANG, WHY, believed

CHANGES: dict[str, Callable[[Staged], Any]] = {
    "rotate": lambda three: three[ORIGIN].key_change.rotate(WANG),
    "revoke": lambda three: three[ORIGIN].key_change.revoke(WANG, **WHY),
    "replace": lambda three: three[ORIGIN].key_change.replace(WANG, **WHY),
}


class Crash(BaseException):
    """The process dies here."""


# The files.


def test_keys_are_made_once_and_read_by_their_owner_alone(tmp_path: Path) -> None:
    made = KeyFolder.load(tmp_path / "keys").keys

    again = KeyFolder.load(tmp_path / "keys").keys

    assert (again.verify_key, again.sealing_key) == (made.verify_key, made.sealing_key)
    assert (again.master, again.blind) == (made.master, made.blind)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "keys").iterdir()}
    assert modes == {0o600}


@pytest.mark.parametrize("pattern", ["*.pair", "master.key", "blind.key", "search.key"])
@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 65])
def test_a_damaged_file_is_named(tmp_path: Path, pattern: str, content: bytes) -> None:
    KeyFolder.load(tmp_path)
    (damaged,) = tmp_path.glob(pattern)
    damaged.write_bytes(content)

    with pytest.raises(KeyDamaged) as refused:
        KeyFolder.load(tmp_path)

    assert refused.value.facts["file"] == str(damaged)


@pytest.mark.parametrize("name", ["master.key", "blind.key"])
def test_a_secret_that_is_lost_is_not_made_again_in_silence(tmp_path: Path, name: str) -> None:
    KeyFolder.load(tmp_path)
    (tmp_path / name).unlink()

    with pytest.raises(KeyDamaged) as refused:
        KeyFolder.load(tmp_path)

    assert refused.value.facts["file"] == str(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(_: int) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(key_folder.os, "fsync", dies)
        with pytest.raises(Crash):
            KeyFolder.load(tmp_path)
    assert list(tmp_path.glob("*.pair")) == []

    made = KeyFolder.load(tmp_path).keys

    assert made.verify_key == KeyFolder.load(tmp_path).keys.verify_key
    assert list(tmp_path.glob("*.new")) == []


def test_what_was_sealed_to_the_last_former_keys_opens(tmp_path: Path) -> None:
    folder = KeyFolder.load(tmp_path)
    wrapped, ever = [], [folder.keys.verify_key]
    for _ in range(OPENERS_MAX + 2):
        wrapped.append(wrap(b"secret", folder.keys.sealing_key, b"purpose"))
        new = folder.next_pair(tuple(ever))
        os.utime(next(tmp_path.glob("*.pair")))
        ever.append(new.verify_key)
        folder.choose(new.verify_key, None, tuple(ever))

    for keys in (folder.keys, KeyFolder.load(tmp_path).keys):
        opened = [keys.unwrap(each, b"purpose") for each in wrapped]
        assert opened == [None] * 2 + [b"secret"] * OPENERS_MAX
    assert len(list(tmp_path.glob("*.pair"))) == 1


# Crashes.


@pytest.fixture
def kept(theatre: Stage, tmp_path: Path) -> Iterator[Staged]:
    """Three organizations; the origin keeps its keys in files."""
    theatre.empty()
    theatre.folders[ORIGIN] = tmp_path / "keys"
    with ExitStack() as stack:
        made = Staged(theatre, stack)
        made.found(ORIGIN)
        for code in (CHENGDU, SHENZHEN):
            made.found(code, "station")
            made.acquaint(ORIGIN, code, HOST_MAY_OPEN)
        yield made


def steps(monkeypatch: pytest.MonkeyPatch, die_at: int) -> list[str]:
    """Let the process die before its nth effect; the effects that came to be."""
    done: list[str] = []

    def counted(name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            if len(done) == die_at:
                raise Crash
            done.append(name)
            return effect(*args, **kwargs)

        return step

    for owner, name in (
        (Path, "replace"),
        (Path, "unlink"),
        (Ledger, "record"),
        (KeyFolder, "choose"),
        (KeyFolder, "retire"),
    ):
        monkeypatch.setattr(owner, name, counted(name, getattr(owner, name)))
    return done


@pytest.mark.slow
@pytest.mark.parametrize("how", CHANGES)
def test_a_crash_at_any_step_leaves_a_node_that_starts_and_lanes_that_work(
    kept: Staged, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    die_at, finished = 0, False
    while not finished:
        with monkeypatch.context() as patch:
            done = steps(patch, die_at)
            try:
                CHANGES[how](kept)
                if how != "replace":
                    kept.settle()
                kept[ORIGIN].key_change.retire()
                finished = True
            except Crash:
                die_at = die_at + 1 if len(done) == die_at else die_at
        kept.restart(ORIGIN)
        reach_the_others(kept)
        for code in (CHENGDU, SHENZHEN):
            assert believed(kept[code]) == kept[ORIGIN].keys.verify_key
    assert die_at >= 5


def reach_the_others(kept: Staged) -> None:
    """Facts pass both ways; of a lost key the others are told by telephone."""
    kept[ORIGIN].key_change.announce()
    signet = kept[ORIGIN].key_change.signet
    assert signet is not None
    for code in (CHENGDU, SHENZHEN):
        if signet.old_key is None and believed(kept[code]) != signet.verify_key:
            kept[code].rekey(read_card(kept[ORIGIN].card()), **WHY)
    kept.settle()
    kept[ORIGIN].key_change.retire()
    assert len(kept[ORIGIN].keys.signers) == 1


def test_a_pair_that_nothing_names_yet_is_the_next_one(
    kept: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any, **__: Any) -> None:
        raise Crash

    kept[ORIGIN].key_change.announce()
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record", dies)
        with pytest.raises(Crash):
            kept[ORIGIN].key_change.rotate(WANG)
    pairs = set(kept.stage.folders[ORIGIN].glob("*.pair"))
    before = kept[ORIGIN].keys.verify_key
    kept.restart(ORIGIN)
    assert kept[ORIGIN].keys.verify_key == before

    kept[ORIGIN].key_change.rotate(WANG)

    assert kept[ORIGIN].keys.verify_key != before
    assert set(kept.stage.folders[ORIGIN].glob("*.pair")) == pairs
    assert len(pairs) == 2


def test_a_node_does_not_start_with_keys_the_ledger_does_not_name(
    kept: Staged, tmp_path: Path
) -> None:
    kept[ORIGIN].key_change.announce()
    kept.stage.folders[ORIGIN] = tmp_path / "others"

    with pytest.raises(KeyMissing):
        kept.restart(ORIGIN)
