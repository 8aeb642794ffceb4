"""命令行: each command once, against a real node; a refusal is one sentence and exit 1."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from api import cli
from api.client import Client
from api.settings import DATABASE_URL
from api.storage.server import EmbeddedServer
from domain.errors import Refusal
from tests.api.support import Site, absent, free_port, person, until
from tests.api.test_imports import LEDGER
from tests.api.test_peers import card


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What a refusal is told in."""
        assert self.code == 1, self.out + self.err
        (line,) = self.err.strip().splitlines()
        assert "Traceback" not in line
        return line


Run = Callable[..., Said]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`waystation` in this process."""

    def waystation(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["waystation", *map(str, words)])
        code: object = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        told = capsys.readouterr()
        return Said(code if isinstance(code, int) else 0, told.out, told.err)

    return waystation


@pytest.fixture
def ask(run: Run, origin: Site) -> Run:
    """`waystation` told where the origin's node is."""
    return lambda *words: run(*words, "--url", origin.url)


def test_without_words_it_lists_its_commands(run: Run) -> None:
    said = run("--help")

    assert said.code == 0
    for command in ("demo", "init", "serve", "card", "enrol", "import", "show", "rebuild", "retry"):
        assert command in said.out


def test_a_card_is_written_alone(ask: Run, origin: Site) -> None:
    said = ask("card")

    shown, fingerprint = origin.card()
    assert said.out.split("\n", 1)[0].startswith("waystation/card/v1 jiuquan ")
    assert len(said.out.strip()) == len(shown)
    assert fingerprint in said.err


def test_a_card_is_enrolled_from_its_file(run: Run, own: Site, tmp_path: Path) -> None:
    shown, fingerprint = card("lanzhou")
    file = tmp_path / "lanzhou.card"
    file.write_text(shown + "\n", encoding="utf-8")

    said = run("enrol", file, fingerprint, "--grant", "identity", "--url", own.url)

    assert json.loads(said.out)["version"] == 2
    shown_too = json.loads(run("show", "peers", "--url", own.url).out)
    assert [(peer["peer"], peer["grants"]) for peer in shown_too] == [("lanzhou", ["identity"])]


def test_a_workbook_is_tried_and_then_recorded(run: Run, own: Site) -> None:
    tried = run("import", "outflows", LEDGER, "--url", own.url)

    assert tried.code == 1
    assert "登记 24 条" in tried.out
    assert "dry run" in tried.out
    assert "bad_check_digit" in tried.out
    assert own.get("/outflows")["items"] == []
    recorded = run("import", "outflows", LEDGER, "--record", "--url", own.url)
    assert recorded.code == 1
    assert "dry run" not in recorded.out
    until(lambda: len(own.get("/outflows")["items"]) == 24)


@pytest.mark.parametrize(
    "question",
    ["roster", "custody", "claims", "due", "activities", "history", "peers", "quarantine"],
)
def test_every_question_is_answered(ask: Run, question: str) -> None:
    said = ask("show", question)

    assert said.code == 0
    assert isinstance(json.loads(said.out), list)


def test_who_was_responsible_is_told(ask: Run, origin: Site) -> None:
    _, outflow = absent(origin)

    answer = json.loads(ask("who", outflow, "2025-04-01").out)
    then = json.loads(ask("who", outflow, "2025-04-01", "--known-at", "2099-01-01").out)

    assert answer["care"] == then["care"] == origin.code


def test_where_a_value_came_from_is_told(ask: Run, origin: Site) -> None:
    member, _ = absent(origin)

    (value,) = json.loads(ask("trail", member, "phone").out)

    assert value["value"] == "+8613900001234"


def test_any_command_can_be_done(run: Run, origin: Site) -> None:
    words = ["do", "/members", json.dumps(person()), "--key", "cli/1", "--person", "王干事"]

    first = json.loads(run(*words, "--url", origin.url).out)

    assert json.loads(run(*words, "--url", origin.url).out) == first
    rows = origin.get("/history", subject=first["id"], after=first["position"])["items"]
    assert rows[0]["person"] == "王干事"


def test_a_read_model_is_rebuilt(ask: Run) -> None:
    assert ask("rebuild", "roster").out.strip() == "roster: 一致 equal"


# Refusals.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rebuild", "nothing"), "没有找到"),
        (("retry", "999999"), "没有找到"),
        (("who", "x", "2025-04-01"), "/path/outflow"),
        (("who", "00000000-0000-0000-0000-000000000000", "gestern"), "/query/on"),
        (("trail", "00000000-0000-0000-0000-000000000000", "[red]"), "没有这个项目"),
        (("do", "/members", "{}"), "/body/name"),
        (("do", "/nowhere"), "没有这个地址"),
        (("import", "nothing", LEDGER), "/path/kind"),
    ],
)
def test_a_refusal_is_one_sentence(ask: Run, words: tuple[object, ...], told: str) -> None:
    assert told in ask(*words).sentence


def test_a_node_that_is_not_there_is_said_to_be(run: Run) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    assert "节点没有应答" in run("show", "roster", "--url", url).sentence


@pytest.mark.parametrize("url", ["nonsense", "http://", "http://127.0.0.1:99999", "file:///etc"])
def test_an_address_that_is_none_is_said_to_be(run: Run, url: str) -> None:
    assert "节点没有应答" in run("show", "roster", "--url", url).sentence


@pytest.mark.parametrize(
    "words",
    [
        ("do", "/members", "{"),
        ("enrol", "/no/such/file", "x"),
        ("import", "outflows", "/no/such/file"),
        ("show", "everything"),
    ],
)
def test_words_that_cannot_be_meant_are_a_usage_error(run: Run, words: tuple[str, ...]) -> None:
    said = run(*words)

    assert said.code == 2
    assert "Traceback" not in said.err


def test_what_is_no_node_is_said_to_be(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(self: Client, method: str, path: str, **_: object) -> httpx.Response:
        del self, method, path
        return httpx.Response(502, text="<html>Bad gateway</html>")

    monkeypatch.setattr(httpx.Client, "request", answer)

    assert "HTTP 502" in run("show", "roster").sentence


def test_a_refusal_is_told_as_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Refusal(said="[bold]a[/bold] [/]")

    monkeypatch.setattr(Client, "get", refuse)

    assert "[bold]a[/bold] [/]" in run("show", "roster").sentence


# init and serve.


def test_a_node_is_made_in_a_folder_once(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "node"

    assert run("init", "jiuquan", "酒泉市委组织部", "--home", home).code == 0

    kept = json.loads((home / "node.json").read_text(encoding="utf-8"))
    assert (kept["code"], kept["name"], kept["port"]) == ("jiuquan", "酒泉市委组织部", 8700)
    assert "已有节点" in run("init", "jiuquan", "酒泉", "--home", home).sentence


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (("Jiuquan", "酒泉"), "code"),
        (("jiuquan", "酒泉", "--kind", "club"), "kind"),
        (("jiuquan", "酒泉", "--port", "0"), "port"),
        (("jiuquan", "酒泉", "--port", "65536"), "port"),
        (("jiuquan", "酒泉", "--kafka", "nowhere"), "kafka"),
        (("jiuquan", "\x1b[2J"), "name"),
    ],
)
def test_a_setting_that_cannot_work_is_named(
    run: Run, tmp_path: Path, words: tuple[str, ...], setting: str
) -> None:
    assert f"setting={setting}" in run("init", *words, "--home", tmp_path).sentence
    assert not (tmp_path / "node.json").exists()


@pytest.mark.parametrize(
    ("change", "setting"),
    [
        ({"colour": "red"}, "colour"),
        ({"port": 99999}, "port"),
        ({"port": "x"}, "port"),
        ({"poll_seconds": 56}, "poll_seconds"),
        ({"code": None}, "code"),
    ],
)
def test_a_node_with_such_a_setting_does_not_start(
    run: Run, tmp_path: Path, change: dict[str, object], setting: str
) -> None:
    file = tmp_path / "node.json"
    file.write_text(json.dumps({"code": "jiuquan", "name": "酒泉", **change}), encoding="utf-8")

    assert f"setting={setting}" in run("serve", "--home", tmp_path).sentence


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_settings_that_are_none_are_said_to_be(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "node.json").write_text(content, encoding="utf-8")

    assert "setting=node.json" in run("serve", "--home", tmp_path).sentence


def test_a_folder_without_a_node_is_said_to_be(run: Run, tmp_path: Path) -> None:
    assert "waystation init" in run("serve", "--home", tmp_path).sentence


@pytest.fixture
def home(run: Run, tmp_path: Path) -> Path:
    run("init", "jiuquan", "酒泉", "--home", tmp_path, "--port", str(free_port()))
    return tmp_path


@pytest.mark.parametrize("url", ["", "mysql://localhost/x", "localhost:5432", "secret"])
def test_an_address_of_no_database_is_refused_unread(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv(DATABASE_URL, url)

    sentence = run("serve", "--home", home).sentence

    assert f"setting={DATABASE_URL}" in sentence
    assert not url or url not in sentence


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


def test_a_port_that_is_taken_is_named(home: Path, database: str, origin: Site) -> None:
    kept = json.loads((home / "node.json").read_text())
    (home / "node.json").write_text(json.dumps({**kept, "port": origin.node.settings.port}))

    process = serve(home, database)
    _, told = process.communicate(timeout=20)

    assert process.returncode == 1
    assert "setting=host, port" in told.splitlines()[-1]
    assert "Traceback" not in told
