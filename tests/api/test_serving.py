"""建立与启动: a node is made once, serves until it is told to stop, or says what hinders it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from api.settings import DATABASE_URL
from api.storage.server import EmbeddedServer
from tests.api.conftest import Run
from tests.api.support import Site, free_port


@pytest.mark.slow
def test_a_node_is_made_in_a_folder_once(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "node"

    assert run("init", "jiuquan", "酒泉市委组织部", "--home", home).code == 0

    kept = json.loads((home / "node.json").read_text(encoding="utf-8"))
    assert (kept["code"], kept["name"], kept["port"]) == ("jiuquan", "酒泉市委组织部", 8700)
    assert "已有节点" in run("init", "jiuquan", "酒泉", "--home", home).sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (("Jiuquan", "酒泉"), "code"),
        (("jiuquan", "酒泉", "--kind", "club"), "kind"),
        (("jiuquan", "酒泉", "--port", "0"), "port"),
        (("jiuquan", "酒泉", "--port", "65536"), "port"),
        (("jiuquan", "酒泉", "--kafka", "nowhere"), "kafka.servers.0"),
        (("jiuquan", "酒泉", "--kafka", "here:9092,there:0"), "kafka.servers.1"),
        (("jiuquan", "\x1b[2J"), "name"),
    ],
)
def test_a_setting_that_cannot_work_is_named(
    run: Run, tmp_path: Path, words: tuple[str, ...], setting: str
) -> None:
    assert f"setting={setting}" in run("init", *words, "--home", tmp_path).sentence
    assert not (tmp_path / "node.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"colour": "red"}, "colour"),
        ({"port": 99999}, "port"),
        ({"port": "x"}, "port"),
        ({"poll_seconds": 56}, "poll_seconds"),
        ({"code": None}, "code"),
        ({"kafka": "kafka.example:9092"}, "kafka"),
        ({"kafka": {"servers": ["kafka.example:9092"], "security": "TLS"}}, "kafka.security"),
        ({"kafka": {"servers": ["k:1"], "security": "SSL", "ca_file": "ca.pem"}}, "kafka.ca_file"),
        ({"kafka": {"servers": ["k:1"], "replication_factor": 0}}, "kafka.replication_factor"),
    ],
)
def test_a_node_with_such_a_setting_does_not_start(
    run: Run, tmp_path: Path, change: dict[str, object], setting: str
) -> None:
    file = tmp_path / "node.json"
    file.write_text(json.dumps({"code": "jiuquan", "name": "酒泉", **change}), encoding="utf-8")

    assert f"setting={setting}" in run("serve", "--home", tmp_path).sentence


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_settings_that_are_none_are_said_to_be(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "node.json").write_text(content, encoding="utf-8")

    assert "setting=node.json" in run("serve", "--home", tmp_path).sentence


@pytest.mark.slow
def test_a_folder_without_a_node_is_said_to_be(run: Run, tmp_path: Path) -> None:
    assert "waystation init" in run("serve", "--home", tmp_path).sentence


@pytest.fixture
def home(run: Run, tmp_path: Path) -> Path:
    run("init", "jiuquan", "酒泉", "--home", tmp_path, "--port", str(free_port()))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("url", ["", "mysql://localhost/x", "localhost:5432", "secret"])
def test_an_address_of_no_database_is_refused_unread(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv(DATABASE_URL, url)

    sentence = run("serve", "--home", home).sentence

    assert f"setting={DATABASE_URL}" in sentence
    assert not url or url not in sentence


@pytest.mark.slow
def test_a_database_that_cannot_be_used_is_said_to_be(
    run: Run, home: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATABASE_URL, database)
    monkeypatch.setattr("api.storage.database.OLDEST", 990_000)

    sentence = run("serve", "--home", home).sentence

    assert "这个数据库不能用" in sentence
    assert "oldest=99" in sentence


@pytest.mark.slow
def test_a_database_that_is_not_there_is_said_to_be(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://somebody:hidden@127.0.0.1:{free_port()}/x"
    monkeypatch.setenv(DATABASE_URL, url)

    sentence = run("serve", "--home", home).sentence

    assert "数据库没有应答" in sentence
    assert "hidden" not in sentence


@pytest.fixture
def database(postgres: EmbeddedServer) -> Iterator[str]:
    """A database of a node's own: a served node takes the schema `waystation`."""
    with psycopg.connect(postgres.url, autocommit=True) as owner:
        owner.execute("CREATE DATABASE served")
        yield postgres.url.replace("/postgres?", "/served?")
        owner.execute("DROP DATABASE served WITH (FORCE)")


def serve(home: Path, database: str) -> subprocess.Popen[str]:
    """`waystation serve` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "api.cli", "serve", "--home", str(home), "--while-stdin"],
        env={**os.environ, DATABASE_URL: database},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def served(home: Path, database: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A node that serves, and its address."""
    process = serve(home, database)
    port = json.loads((home / "node.json").read_text())["port"]
    url = f"http://127.0.0.1:{port}"
    assert process.stdout is not None
    assert f"{url}/docs" in process.stdout.readline()
    yield process, url
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, None])
def test_a_node_serves_until_it_is_told_to_stop(
    run: Run, served: tuple[subprocess.Popen[str], str], how: signal.Signals | None
) -> None:
    process, url = served
    assert run("show", "roster", "--url", url).code == 0

    if how is None:
        assert process.stdin is not None
        process.stdin.close()
    else:
        process.send_signal(how)

    assert process.wait(20) == 0


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(home: Path, database: str, origin: Site) -> None:
    kept = json.loads((home / "node.json").read_text())
    (home / "node.json").write_text(json.dumps({**kept, "port": origin.node.settings.port}))

    process = serve(home, database)
    _, told = process.communicate(timeout=20)

    assert process.returncode == 1
    assert "setting=host, port" in told.splitlines()[-1]
    assert "Traceback" not in told
