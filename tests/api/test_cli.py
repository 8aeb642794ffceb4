"""命令行: each command once, against a real node; a refusal is one sentence and exit 1."""

from __future__ import annotations

import json
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import get_args

import httpx
import pytest

from api.cli_show import Question
from api.client import Client
from domain.errors import Refusal
from tests.api.conftest import Run
from tests.api.support import Site, absent, free_port, person, until
from tests.api.test_imports import LEDGER
from tests.api.test_peers import card


@pytest.fixture
def ask(run: Run, origin: Site, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`waystation` told where the origin's node is, and what for."""
    monkeypatch.setenv("WAYSTATION_PURPOSE", "audit")
    return lambda *words: run(*words, "--url", origin.url)


def test_without_words_it_lists_its_commands(run: Run) -> None:
    said = run("--help")

    assert said.code == 0
    for command in (
        "demo",
        "init",
        "serve",
        "card",
        "enrol",
        "import",
        "show",
        "rebuild",
        "quarantine",
    ):
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
    assert "有效至" in said.err
    shown_too = json.loads(run("show", "peers", "--url", own.url).out)
    assert [(peer["peer"], peer["grants"]) for peer in shown_too] == [("lanzhou", ["identity"])]


@pytest.mark.slow
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
    get_args(Question),
)
def test_every_question_is_answered(ask: Run, question: str) -> None:
    said = ask("show", question)

    assert said.code == 0
    assert isinstance(json.loads(said.out), list)


def test_who_was_responsible_is_told(ask: Run, origin: Site) -> None:
    member, outflow = absent(origin)
    until(lambda: origin.get("/history", outflow=outflow)["items"])

    answer = json.loads(ask("audit", "who", member, "2025-04-01").out)
    then = json.loads(ask("audit", "who", member, "2025-04-01", "--known-at", "2099-01-01").out)

    assert answer["care"] == then["care"] == origin.code


def test_where_a_value_came_from_is_told(ask: Run, origin: Site) -> None:
    member, _ = absent(origin)

    (value,) = json.loads(ask("audit", "trail", member, "phone").out)

    assert value["value"] == "+8613900001234"


def test_every_question_of_an_audit_has_its_command(ask: Run, origin: Site) -> None:
    member, outflow = absent(origin)
    until(lambda: origin.get("/history", outflow=outflow)["items"])
    until(lambda: origin.get("/figures", on="2025-06-01")["cells"])
    on, between = "2025-06-01", ("--from", "2020-01-01T00:00:00Z", "--to", "2099-01-01T00:00:00Z")

    said = {
        words[0]: json.loads(ask("audit", *words).out)
        for words in (
            ("known", outflow, on),
            ("changes", outflow, on, *between),
            ("attempts", member, "--limit", "5"),
            ("late", "--origin", origin.code, "--destination", "四川", "--limit", "1"),
            ("figures", on, "--org", origin.code),
            ("recount", on, *between, "--limit", "1"),
            ("explain", "roster", outflow, "destination"),
            ("history", "--outflow", outflow, "--topic", "outflow.", "--person", "officer"),
        )
    }

    assert said["known"]["care"] == origin.code
    assert said["changes"]["differs"]["state"]["before"] is None
    assert said["attempts"]["items"] == []
    assert len(said["late"]["items"]) == 1
    assert said["figures"]["cells"]
    assert len(said["recount"]["items"]) == 1
    assert said["explain"]["value"] == "四川省成都市"
    assert [row["topic"] for row in said["history"]["items"]] == ["outflow.registered"]


def test_any_command_can_be_done(run: Run, origin: Site) -> None:
    words = ["do", "/members", json.dumps(person()), "--key", "cli/1", "--person", "王干事"]

    first = json.loads(run(*words, "--url", origin.url).out)

    assert json.loads(run(*words, "--url", origin.url).out) == first
    rows = origin.get("/history", subject=first["id"], after=first["position"])["items"]
    assert rows[0]["person"] == "王干事"


@pytest.mark.usefixtures("host")
def test_a_peer_s_lane_is_shown_and_tried_at_once(ask: Run) -> None:
    shown = json.loads(ask("peers", "list").out)
    assert "chengdu" in {peer["peer"] for peer in shown}

    assert json.loads(ask("peers", "retry", "chengdu").out)["retrying"] is True
    # The node is shared: what others had refused has been settled since, and is shown if asked for.
    also = json.loads(ask("peers", "refused", "chengdu", "--resolved").out)["items"]
    open_ones = json.loads(ask("peers", "refused", "chengdu").out)["items"]
    assert open_ones == [item for item in also if item["resolved_at"] is None]


def test_an_empty_quarantine_counts_nothing(ask: Run) -> None:
    assert json.loads(ask("quarantine", "list", "--peer", "chengdu").out) == []
    tried = json.loads(ask("quarantine", "retry", "--peer", "chengdu").out)
    assert (tried["dry_run"], tried["waiting"], tried["count"]) == (True, 0, 0)


def test_a_read_model_is_rebuilt(ask: Run) -> None:
    assert ask("rebuild", "roster").out.strip() == "roster: 一致 equal"


# Refusals.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rebuild", "nothing"), "没有找到"),
        (("quarantine", "retry", "999999"), "没有找到"),
        (("quarantine", "show", "999999"), "没有找到"),
        (("peers", "retry", "nobody"), "没有找到"),
        (("peers", "refused", "nobody"), "没有找到"),
        (("audit", "who", "x", "2025-04-01"), "/path/member"),
        (("audit", "who", "00000000-0000-0000-0000-000000000000", "gestern"), "/query/on"),
        (("audit", "trail", "00000000-0000-0000-0000-000000000000", "[red]"), "没有这个项目"),
        (("do", "/members", "{}"), "/body/name"),
        (("do", "/nowhere"), "没有这个地址"),
        (("import", "nothing", LEDGER), "/path/kind"),
        (("reconcile", "nobody"), "尚未与该组织互换名片"),
        (("reconcile", "../peers"), "没有这个地址"),
        (("reconcile", "jiuquan?dry_run=true"), "/path/peer"),
        (("peers", "recompute", "nobody"), "没有找到"),
        (("peers", "retry", "no body"), "/path/peer"),
        (("quarantine", "retry", "--peer", "jiuquan&dry_run=false"), "/query/peer"),
        (("where", "../../peers"), "没有这个地址"),
        (("bundle", "export", "--to", "Nobody"), "/path/peer"),
        (("letter", "../../card"), "没有这个地址"),
        (("scan", "hello"), "这不是"),
    ],
)
def test_a_refusal_is_one_sentence(ask: Run, words: tuple[object, ...], told: str) -> None:
    assert told in ask(*words).sentence


def test_a_certificate_that_could_not_be_written_is_not_asked_for(run: Run, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "paper.json"
    url = f"http://127.0.0.1:{free_port()}"

    for file in (missing, tmp_path):
        said = run("reconcile", "chengdu", "--out", file, "--url", url).sentence
        assert "不能写入这个文件" in said
        assert f"option=--out, file={file}" in said


def test_a_scanner_that_sends_no_text_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b"\xff\xfe\x00"), "utf-8"))

    assert "标准输入不是文字" in run("scan", "-").sentence


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
        ("quarantine", "retry"),
        ("quarantine", "retry", "1", "--peer", "jiuquan"),
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
