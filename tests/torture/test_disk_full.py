"""The disk is full: commands are refused in so many words, and it heals when there is room."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from api.storage.space import RESERVE_BYTES
from tests.torture.checks import check
from tests.torture.load import under_load
from tests.torture.pair import Pair, pair
from tests.torture.supervised import until

pytestmark = pytest.mark.torture

SIZE_MIB = 448
MIB = 1024 * 1024

Telling = Callable[..., None]


@pytest.fixture
def small() -> Iterator[Path]:
    """A disk of its own, small enough to be filled."""
    folder = Path(tempfile.mkdtemp(prefix="waystation-small-"))
    words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=0711", "tmpfs", str(folder)]
    made = subprocess.run(words, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a disk to be filled cannot be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def filled(folder: Path, left: int) -> Iterator[None]:
    """Until so many bytes are left; the room is given back in the end."""
    ballast = folder / "ballast"
    try:
        with ballast.open("ab", buffering=0) as file, suppress(OSError):
            while (free := room(folder)) > left:
                file.write(b"\0" * min(MIB, free - left))
        yield
    finally:
        ballast.unlink()


def room(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@pytest.fixture
def two(small: Path) -> Iterator[Pair]:
    with pair(within=small) as made:
        yield made


def test_a_full_disk_refuses_commands_and_loses_nothing(
    two: Pair, small: Path, tell: Telling
) -> None:
    visit = {"outflow": two.absences[0], "on": "2025-06-01", "by": "王干事"}

    with under_load(two, 7) as load:
        time.sleep(1.0)
        with filled(small, RESERVE_BYTES // 2):
            time.sleep(1.0)
            for node in two.both:
                refused = node.http.post("/visits", json=visit)
                assert refused.status_code == 503
                assert refused.json()["type"] == "/problems/disk-full"
                assert "磁盘空间不足" in refused.json()["title"]
                assert "The disk is full" in refused.json()["title"]
                assert node.get("/outflows")["items"]
                before = node.get("/read-models")[0]["head"]
            time.sleep(1.0)
            assert two.host.get("/read-models")[0]["head"] == before
        answered = len(load.told)
        until(lambda: len(load.told) > answered + 10, 30.0, two.origin.state)
        with filled(small, 0):
            # Whoever must write now cannot, PostgreSQL included: kill it, and it cannot start.
            two.host.kill_database()
            time.sleep(3.0)
        freed, answered = time.monotonic(), len(load.told)
        until(lambda: len(load.told) > answered + 10, 60.0, two.host.state)
        back = round(time.monotonic() - freed, 2)

    assert load.statuses["503 disk-full"] > 0
    check(two, load)
    tell("disk full", 7, load, back_s=back)
