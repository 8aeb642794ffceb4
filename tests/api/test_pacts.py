"""同步约定: two real nodes, what each says of it, and the command line that concludes it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from api.pact_board import today_of
from api.storage.server import EmbeddedServer
from domain.values import utc_now
from tests.api.conftest import HOST, Run, fresh
from tests.api.support import Site, meet, offered, until
from tests.api.test_problems import problem


class Two:
    """An origin and a station that nothing is agreed with, their clocks the test's."""

    def __init__(self, origin: Site, host: Site) -> None:
        self.origin, self.host = origin, host
        self.later = timedelta()

    def now(self) -> Any:
        return utc_now() + self.later

    def day(self, ahead: int) -> str:
        return (today_of(self.origin.node) + timedelta(days=ahead)).isoformat()

    def name(self, outflow: str) -> str | None:
        """The member's, as the station's roster shows it."""
        rows = {row["outflow"]: row for row in self.host.get("/outflows")["items"]}
        return rows[outflow]["name"] if outflow in rows else "not yet read"

    def pact(self, at: Site, which: str) -> dict[str, Any]:
        (row,) = at.get("/pacts")
        return dict(row[which])


@pytest.fixture
def two(postgres: EmbeddedServer) -> Iterator[Two]:
    made: list[Two] = []

    def clock() -> Any:
        return made[0].now() if made else utc_now()

    with fresh(postgres, clock=clock) as origin, fresh(postgres, clock=clock, **HOST) as host:
        made.append(Two(origin, host))
        meet(origin, host, ())
        yield made[0]


@pytest.mark.slow
def test_a_pact_from_the_command_line_to_its_end(two: Two, run: Run) -> None:
    origin, host = two.origin, two.host
    at = ["--url", origin.url]
    first = offered(origin, host)
    until(lambda: two.pact(origin, "ours")["withheld"] == {"contact": 1, "identity": 1})
    until(lambda: two.name(first) is None)
    assert {row["class"] for row in host.get(f"/outflows/{first}/sealed")} == {
        "identity",
        "contact",
    }

    grant = ["--grant", "identity", "--grant", "contact"]
    said = run("pact", "conclude", host.code, *grant, "--until", two.day(9), *at)
    assert said.code == 0, said.err
    until(lambda: two.name(first) == "张三")
    assert two.pact(host, "theirs")["in_force_until"] == two.day(9)
    assert host.get(f"/outflows/{first}/sealed") == []
    shown = run("pact", "list", *at).out
    assert "有效" in shown
    assert host.code in shown

    narrower = ["--grant", "identity", "--until", two.day(20), "--reason", "不再需要电话"]
    assert run("pact", "change", host.code, *narrower, *at).code == 0
    until(lambda: two.pact(host, "theirs")["classes"] == ["identity"])
    assert run("pact", "end", host.code, "联络站撤销", *at).code == 0
    until(lambda: two.pact(host, "theirs")["state"] == "已终止")
    assert "没有现行的同步约定" in run("pact", "end", host.code, "再次", *at).sentence


@pytest.mark.slow
def test_before_it_lapses_and_after_it_is_an_alarm_on_both_nodes(two: Two) -> None:
    origin, host = two.origin, two.host
    terms = {
        "purposes": ["identify", "care"],
        "classes": ["identity", "contact"],
        "effective_from": two.day(0),
        "until": two.day(39),
    }
    origin.post(f"/pacts/{host.code}", {"terms": terms})
    until(lambda: two.pact(host, "theirs")["state"] == "有效")
    assert origin.get("/alarms")["items"] == []

    two.later = timedelta(days=15)
    (soon,) = origin.get("/alarms")["items"]
    assert (soon["rule"], soon["keeper"], soon["days_left"]) == ("pact-lapses", origin.code, 24)
    two.later = timedelta(days=40)
    for site in (origin, host):
        (over,) = site.get("/alarms")["items"]
        assert (over["rule"], over["peer"]) == ("pact-lapsed", host.code)
        site.running.worker.watch.look()
        assert site.get("/health")["alarms"]["pact-lapsed"] == 1


def test_what_cannot_be_agreed_is_refused_with_its_reason(two: Two) -> None:
    origin, host = two.origin, two.host
    terms = {
        "purposes": ["identify"],
        "classes": ["identity", "notes"],
        "effective_from": two.day(0),
        "until": two.day(1),
    }

    answer = origin.send(f"/pacts/{host.code}", {"terms": terms})
    assert problem(answer, 422, "class-without-purpose")["classes"] == ["notes"]
    unknown = {**terms, "purposes": ["marketing"]}
    problem(origin.send(f"/pacts/{host.code}", {"terms": unknown}), 422, "invalid-request")
    answer = origin.send(f"/pacts/{host.code}/change", {"terms": terms})
    problem(answer, 409, "no-pact")
    answer = origin.send("/pacts/nobody", {"terms": {**terms, "classes": ["identity"]}})
    problem(answer, 409, "peer-unknown")
