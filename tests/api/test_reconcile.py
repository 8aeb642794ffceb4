"""对账 over HTTP and on the command line, between two running nodes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from api.agreement.telling import show_differences
from api.agreement.way import ANSWER_S, FETCHES_MAX
from domain.values import utc_now
from sync.card import make_card, read_card
from sync.envelope import BATCH_BYTES
from sync.keys import NodeKeys
from sync.signed_http import Signer
from tests.api.conftest import Run
from tests.api.support import Site, cared_for, until


def edit(at: Site, query: str, *values: Any) -> None:
    with at.node.database.connection() as conn:
        assert conn.execute(query, values).rowcount == 1


def reconcile(at: Site, peer: str, **query: Any) -> dict[str, Any]:
    answer = at.http.post(f"/peers/{peer}/reconcile", params=query)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


def test_two_running_nodes_agree_and_say_since_when(origin: Site, host: Site) -> None:
    outflow, _ = cared_for(origin, host)
    until(lambda: origin.get(f"/outflows/{outflow}")["carer"] == host.code)

    report = reconcile(origin, host.code)

    assert (report["equal"], report["differences"]) == (True, [])
    assert report["rows"]["roster_flow"] >= 1
    for here, there in ((origin, host), (host, origin)):
        (lane,) = (p for p in here.get("/peers") if p["peer"] == there.code)
        assert lane["proven_at"] == report["proven_at"]
        paper = here.get(f"/peers/{there.code}/agreement")
        assert set(paper["signatures"]) == {origin.code, host.code}
    until(lambda: origin.ask("/history", topic="agreement.").json()["items"][1:])


@pytest.mark.slow
def test_a_difference_is_told_with_name_and_field_and_what_to_do(
    origin: Site, host: Site, run: Run, tmp_path: Path
) -> None:
    outflow, _ = cared_for(origin, host)
    member = origin.get(f"/outflows/{outflow}")["member"]
    edit(origin, "UPDATE roster_person SET branch = '别处' WHERE member = %s", member)

    seen = run("reconcile", host.code, "--dry-run", "--url", origin.url)
    paper = tmp_path / "paper.json"
    said = run("reconcile", host.code, "--out", paper, "--url", origin.url)

    assert seen.code == 1
    assert "branch" in seen.out
    assert "张三" in seen.out
    assert "不一致" in seen.out
    assert said.code == 0, said.out + said.err
    assert "mended" in said.out
    assert "一致 in step" in said.out
    assert json.loads(paper.read_text())["certificate"]


def test_what_keeps_two_apart_besides_rows_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    report = {
        "peer": "chengdu",
        "equal": False,
        "differences": [],
        "rows": {"contact": 3},
        "lanes": [
            {"to": "chengdu", "told": 9, "heard": 7, "same_root": False},
            {"to": "jiuquan", "told": 4, "heard": 4, "same_root": False},
        ],
        "waiting": {"chengdu": [{"model": "roster", "because": "stopped"}]},
        "more": True,
        "moved": 2,
        "not_mended": ["rebuild roster: no"],
        "proven_at": None,
    }

    show_differences(Console(width=120), report)

    said = capsys.readouterr().out
    for words in ("7 / 9", "another history at 4", "roster stopped", "more differences", "2 行"):
        assert words in said
    assert "not mended: rebuild roster" in said


def test_a_certificate_is_checked_without_a_node(
    origin: Site, host: Site, run: Run, tmp_path: Path
) -> None:
    cared_for(origin, host)
    paper, cards = tmp_path / "paper.json", []
    assert run("reconcile", host.code, "--out", paper, "--url", origin.url).code == 0
    for at in (origin, host):
        cards.append(tmp_path / f"{at.code}.card")
        cards[-1].write_text(at.card()[0])

    held = run("certificate", paper, *cards)
    paper.write_text(paper.read_text().replace("rows", "cows"))
    changed = run("certificate", paper, *cards)

    assert held.code == 0, held.err
    assert "证明成立" in held.out
    assert f"{origin.code} → {host.code}" in held.out
    assert "一致证明不成立" in changed.sentence


def test_a_peer_nobody_has_enrolled_is_not_compared_with(origin: Site, run: Run) -> None:
    assert "尚未与该组织互换名片" in run("reconcile", "nobody", "--url", origin.url).sentence
    assert origin.ask("/peers/nobody/agreement").status_code == 404


def test_a_question_that_is_not_signed_is_not_answered(origin: Site) -> None:
    answer = origin.http.post("/lanes/compare", content=b"waystation/compare_open/v1 x AAAA\n{}")

    assert answer.status_code == 403
    assert answer.json()["type"] == "/problems/forged"


def test_a_signed_request_without_a_question_is_refused(origin: Site, host: Site) -> None:
    url = f"{origin.url}/lanes/compare"
    signer = Signer(host.code, host.node.keys, utc_now)

    answer = origin.http.post(url, content=b"{}", headers=signer.headers("POST", url, b"{}"))

    assert answer.json()["type"] == "/problems/malformed"


# A peer that is away, or answers what it should not.


class Liar(BaseHTTPRequestHandler):
    """Answers whatever the test tells it to."""

    status, body = 200, b"garbage"

    def do_POST(self) -> None:
        # Read first: whoever closes with bytes unread resets the connection.
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def liar(own: Site) -> Iterator[type[Liar]]:
    """A peer of its own node, and what it says."""
    said = type("Said", (Liar,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), said) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        wire = make_card(NodeKeys.generate(), "liar", "liar", address, utc_now())
        shown = {"card": wire.decode(), "fingerprint": read_card(wire).fingerprint}
        own.post("/peers", shown)
        yield said
        server.shutdown()
        thread.join()


def test_a_peer_that_answers_otherwise_is_refused_with_the_reason(
    own: Site, liar: type[Liar]
) -> None:
    for status, body, problem in (
        (200, b"garbage", "peer-not-believed"),
        (200, b"waystation/compare_opened/v1 liar AAAA\n{}", "peer-not-believed"),
        (200, b"x" * (BATCH_BYTES + 1), "peer-not-believed"),
        (200, b"x" * (BATCH_BYTES * 2 + 1), "peer-not-reached"),
        (500, b"sorry", "peer-not-reached"),
        (302, b"", "peer-not-reached"),
    ):
        liar.status, liar.body = status, body

        answer = own.http.post("/peers/liar/reconcile", params={"dry_run": True})

        assert answer.json()["type"] == f"/problems/{problem}", (status, body[:20], answer.text)
        assert answer.json()["because"]


def test_the_waits_for_a_peer_are_bounded() -> None:
    assert (ANSWER_S, FETCHES_MAX) == (60, 1_000)
