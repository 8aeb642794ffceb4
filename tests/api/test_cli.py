"""命令行: each command once, against a real node; a refusal is one sentence and exit 1."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from api.client import Client
from domain.errors import Refusal
from tests.api.conftest import Run
from tests.api.support import Site, absent, free_port, person, until
from tests.api.test_imports import LEDGER
from tests.api.test_peers import card


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
