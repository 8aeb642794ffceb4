"""演示: the story is told to its end, goes on, starts over, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.demo.nodes import erase
from tests.support.broker import Broker

pytestmark = pytest.mark.slow

TELLING_S = 240.0
"""How long the story may take where everything else runs as well; alone it takes a fifth."""

CHECKED = re.compile(r"(\d+) 处说法全部核对无误")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder whose path is short enough for sockets, wherever the tests run."""
    folder = Path(tempfile.mkdtemp(prefix="waystation-demo-"))
    folder.chmod(0o711)
    yield folder / "demo"
    for process in _started:
        # Its nodes end with it: it holds the other end of what they listen to.
        process.kill()
        process.communicate()
    _started.clear()
    erase(folder / "demo")
    shutil.rmtree(folder, ignore_errors=True)


_started: list[subprocess.Popen[str]] = []


def start(home: Path, *words: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "api.cli", "demo", "--home", str(home), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _started.append(process)
    return process


def tell(home: Path, *words: str) -> str:
    """What the demonstration says from its beginning to its end."""
    process = start(home, "--once", *words)
    said, _ = process.communicate(timeout=TELLING_S)
    assert process.returncode == 0, said
    assert "✗" not in said
    assert CHECKED.search(said), said
    return said


def left_behind(home: Path) -> list[str]:
    """The command lines of the processes that still name the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(home) in line and int(entry.parent.name) != os.getpid():
            found.append(line)
    return found


def checked(said: str) -> int:
    found = CHECKED.search(said)
    assert found is not None
    return int(found.group(1))


def test_the_story_is_told_goes_on_and_starts_over(home: Path) -> None:
    first = tell(home)
    assert checked(first) > 20
    assert "登记 24 名，拒绝 5 行" in first
    assert left_behind(home) == []

    second = tell(home)
    assert "接着上次的数据" in second
    assert "一年的联系" not in second
    assert checked(second) < checked(first)

    third = tell(home, "--fresh")
    assert "接着上次的数据" not in third
    assert checked(third) == checked(first)
    assert left_behind(home) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_while_it_stays_up_a_signal_stops_everything(home: Path, how: signal.Signals) -> None:
    process = start(home)
    said = _until_said(process, "Ctrl-C")
    assert len(re.findall(r"http://127\.0\.0\.1:\d+/docs", said)) == 3

    started = time.monotonic()
    process.send_signal(how)
    rest, _ = process.communicate(timeout=60)

    assert process.returncode == 0, rest
    assert "都已正常停止" in rest
    assert "✗" not in said + rest
    assert "Traceback" not in rest
    assert time.monotonic() - started < 30
    assert left_behind(home) == []


def test_a_signal_in_the_middle_of_the_story_stops_everything(home: Path) -> None:
    process = start(home)
    _until_said(process, "2. 逐人发出邀约")

    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)

    assert "Traceback" not in rest
    assert process.returncode == 0, rest
    assert left_behind(home) == []
    # What was told so far is kept: the next start tells the rest.
    assert checked(tell(home)) > 20


def _until_said(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    said = ""
    deadline = time.monotonic() + TELLING_S
    for line in process.stdout:
        said += line
        if words in line:
            return said
        assert time.monotonic() < deadline, said
    raise AssertionError(said)


@pytest.mark.live
def test_the_story_is_told_over_kafka(home: Path, broker: Broker) -> None:
    said = tell(home, "--kafka", broker.bootstrap)

    assert f"Kafka {broker.bootstrap}" in said
    assert checked(said) > 20
    assert left_behind(home) == []
