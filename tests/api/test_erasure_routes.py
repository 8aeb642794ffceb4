"""删除: over HTTP and from the command line, in Chinese first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from api.erasure_board import RULES
from api.storage.server import EmbeddedServer
from tests.api.conftest import HOST, Run, fresh
from tests.api.support import Site, meet, person, until

LAW = {"reason": "争议尚未办结", "basis": "PIPL 47", "until": "2099-01-01"}


@pytest.fixture(scope="module")
def two(postgres: EmbeddedServer) -> Iterator[tuple[Site, Site]]:
    """Two nodes with their servers: the canaries of this file are nobody else's."""
    with fresh(postgres) as origin, fresh(postgres, **HOST) as host:
        meet(origin, host)
        yield origin, host


def on_file(at: Site, **details: str) -> str:
    """A member whose name the roster knows."""
    receipt = at.post("/members", person(name="欧阳某", **details))
    until(lambda: name_of(at, receipt["id"]) == "欧阳某")
    return str(receipt["id"])


def name_of(at: Site, member: str) -> str | None:
    """What the list of members says."""
    items = at.get("/members", person=member)["items"]
    return items[0]["name"] if items else None


def asked(at: Site, member: str) -> str:
    """A request, put down by wang."""
    body = {"member": member, "ground": "consent_withdrawn"}
    return str(at.post("/erasures", body, Waystation_Person="wang")["id"])


def test_a_request_closes_before_it_answers_and_is_shown_as_that(two: tuple[Site, Site]) -> None:
    origin, _ = two
    member = on_file(origin)

    asked(origin, member)

    assert name_of(origin, member) == "已封存"
    refused = origin.send(f"/members/{member}/phone", {"phone": "13900009999"})
    assert refused.status_code == 403
    assert refused.json()["title"].startswith("该人员的这类信息已封存、限制处理或删除。")


def test_who_is_erased_is_shown_as_that_and_not_as_an_error(two: tuple[Site, Site]) -> None:
    origin, _ = two
    member = on_file(origin)
    erasure = asked(origin, member)
    same = origin.send(f"/erasures/{erasure}/grant", {}, Waystation_Person="wang")
    assert same.json()["type"].endswith("second-person-needed")

    origin.post(f"/erasures/{erasure}/grant", {}, Waystation_Person="li")

    assert name_of(origin, member) == "已删除"
    trail = origin.get(f"/members/{member}/trail/phone")
    assert [each["value"] for each in trail] == ["已删除"]
    told = until(lambda: _in_state(origin, erasure, "已删除"))
    assert [each["answer"] for each in told["holders"]] == ["已销毁"]
    assert told["version"] >= 3
    assert erasure in {each["erasure"] for each in origin.get("/erasures")}


def _in_state(at: Site, erasure: str, state: str) -> dict[str, object] | None:
    told = at.get(f"/erasures/{erasure}")
    return told if told["state"] == state else None


def test_what_is_restricted_opens_for_its_purpose_and_the_reading_is_a_fact(
    two: tuple[Site, Site],
) -> None:
    origin, _ = two
    member = on_file(origin)
    erasure = asked(origin, member)
    origin.post(f"/erasures/{erasure}/restriction", {**LAW, "purposes": ["审计"]})
    until(lambda: name_of(origin, member) == "限制处理")
    said = {"member": member, "field": "phone"}

    refused = origin.send(f"/erasures/{erasure}/consultations", {**said, "purpose": "好奇"})
    assert refused.json()["purposes"] == ["审计"]
    opened = origin.send(f"/erasures/{erasure}/consultations", {**said, "purpose": "审计"})

    assert [each["value"] for each in opened.json()] == ["+8613900001234"]
    until(lambda: origin.get("/history", topic="erasure.consulted")["items"])


def test_a_refusal_opens_again(two: tuple[Site, Site]) -> None:
    origin, _ = two
    member = on_file(origin)
    erasure = asked(origin, member)

    origin.post(f"/erasures/{erasure}/refusal", {"reason": "身份未核实"})

    until(lambda: name_of(origin, member) == "欧阳某")


def test_of_what_is_not_there_it_says_so(two: tuple[Site, Site]) -> None:
    origin, _ = two
    nobody = "00000000-0000-4000-8000-000000000000"
    body = {"member": nobody, "ground": "other"}

    assert origin.send("/erasures", body).status_code == 404
    assert origin.ask(f"/erasures/{nobody}").status_code == 404
    assert origin.send(f"/erasures/{nobody}/grant", {}).status_code == 404


def test_the_command_line_asks_grants_and_shows(two: tuple[Site, Site], run: Run) -> None:
    origin, _ = two
    member = on_file(origin)
    at = ("--url", origin.url)

    assert run("erasure", "request", member, "deceased", "--by", "relative", *at).code == 0
    erasure = next(e for e in origin.get("/erasures") if e["person"] == member)["erasure"]
    assert run("erasure", "grant", erasure, "--person", "li", *at).code == 0
    board = run("erasure", "board", *at)

    assert "已销毁" in board.out
    assert run("erasure", "due", *at).out.strip() == "[]"


def test_the_command_line_restricts_consults_lifts_and_refuses(
    two: tuple[Site, Site], run: Run
) -> None:
    origin, _ = two
    member = on_file(origin)
    erasure = asked(origin, member)
    at = ("--url", origin.url)
    law = ("--basis", "PIPL 47", "--until", "2099-01-01")

    assert run("erasure", "restrict", erasure, "争议", *law, "--purpose", "审计", *at).code == 0
    until(lambda: name_of(origin, member) == "限制处理")
    opened = run("erasure", "consult", erasure, member, "phone", "审计", *at)
    assert "+8613900001234" in opened.out
    assert run("erasure", "lift", erasure, "办结", *at).code == 0
    until(lambda: name_of(origin, member) == "欧阳某")
    again = asked(origin, member)
    assert run("erasure", "refuse", again, "未核实", *at).code == 0
    assert "本组织自己的删除申请" in run("erasure", "keep", again, "案件", *law, *at).sentence


def test_every_rule_of_an_alarm_says_what_it_is() -> None:
    assert all("。" in says for says in RULES.values())
