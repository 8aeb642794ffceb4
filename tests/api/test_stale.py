"""陈旧与预演: what a stopped stream makes stale is marked where it is read, and retried."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from api.storage.server import EmbeddedServer
from domain.values import utc_now
from tests.api.support import Site, absent, cared_for, meet, offered, site, until
from tests.api.test_problems import problem
from tests.support.narrow import refusing

_schemas = count(1)
CALL = {"on": "2025-05-01", "method": "电话", "by": "李干事", "reached": True}


@pytest.fixture(scope="module")
def both(postgres: EmbeddedServer) -> Iterator[tuple[Site, Site]]:
    """An origin and a host; each test leaves nothing in the quarantine."""
    with ExitStack() as stack:
        number = next(_schemas)
        made = [
            stack.enter_context(site(postgres.url, f"stale_{number}_{code}", code=code))
            for code in ("jiuquan", "chengdu")
        ]
        meet(*made)
        yield made[0], made[1]


@contextmanager
def stopped(host: Site, *topics: str) -> Iterator[list[dict[str, Any]]]:
    """What the body sends of these topics is set aside; in the end all of it is retried."""
    found: list[dict[str, Any]] = []
    with refusing(*topics):
        yield found
    again(host, dry_run=False, count=again(host)["count"])
    assert host.get("/quarantine") == []


def again(host: Site, peer: str = "jiuquan", **query: Any) -> dict[str, Any]:
    answer = host.http.post("/quarantine/retry", params={"peer": peer, **query})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def set_aside(host: Site, number: int = 1) -> list[dict[str, Any]]:
    """The quarantine, once it holds so many."""
    return until(lambda: len(rows := host.get("/quarantine")) >= number and rows)


def read(host: Site, path: str, **query: Any) -> dict[str, Any]:
    """A list, once it shows all that has been recorded."""
    shown: dict[str, Any] = host.get(path, after=host.node.ledger.head, **query)
    return shown


@pytest.mark.slow
def test_a_row_says_which_stopped_stream_it_lags_behind(both: tuple[Site, Site]) -> None:
    origin, host = both
    outflow, _ = cared_for(origin, host)
    other, _ = cared_for(origin, host)
    with stopped(host, "contact.made"):
        origin.post("/contacts", {"outflow": outflow, **CALL})
        (parked,) = set_aside(host)

        page = read(host, "/contacts/due")
        marks = {row["outflow"]: row["stale"] for row in page["items"]}

        assert page["stale"] == {"stopped_streams": 1, "read_model": None}
        assert [mark["id"] for mark in marks[outflow]] == [parked["id"]]
        assert marks[outflow][0]["reason"] == "not-their-topic"
        assert marks[other] == []
        # The roster reads no contacts: nothing of it is stale.
        assert host.get("/outflows")["stale"]["stopped_streams"] == 0

    until(lambda: host.get("/contacts/due")["stale"]["stopped_streams"] == 0)
    assert all(row["stale"] == [] for row in host.get("/contacts/due")["items"])


@pytest.mark.slow
def test_every_list_shows_that_a_member_s_facts_have_stopped(both: tuple[Site, Site]) -> None:
    origin, host = both
    outflow, _ = cared_for(origin, host)
    member = origin.get(f"/outflows/{outflow}")["member"]
    with stopped(host, "member.phone_recorded", "outflow.contact_lost"):
        origin.post(f"/members/{member}/phone", {"phone": "13900007777"})
        origin.post(f"/outflows/{outflow}/lost", {"basis": "电话未通"})
        set_aside(host, 2)

        (row,) = read(host, "/outflows", member=member)["items"]
        assert {mark["topic"] for mark in row["stale"]} == {
            "member.phone_recorded",
            "outflow.contact_lost",
        }
        (turn,) = read(host, "/custody", outflow=outflow)["items"]
        assert [mark["topic"] for mark in turn["stale"]] == ["outflow.contact_lost"]
        assert host.get(f"/outflows/{outflow}")["stale"] == turn["stale"]


@pytest.mark.slow
def test_what_is_in_no_row_yet_is_counted_on_the_page(both: tuple[Site, Site]) -> None:
    origin, host = both
    _, outflow = absent(origin)
    with stopped(host, "outflow.registered"):
        origin.post(f"/outflows/{outflow}/offers", {"host": host.code})
        set_aside(host)

        assert host.ask(f"/outflows/{outflow}").status_code == 404
        assert host.get("/outflows")["stale"]["stopped_streams"] == 1


@pytest.mark.slow
def test_a_stopped_policy_marks_every_absence_of_its_origin(both: tuple[Site, Site]) -> None:
    origin, host = both
    outflow, _ = cared_for(origin, host)
    with refusing("policy.adopted"):
        terms = {"contact_interval_days": 14}
        origin.post("/policies", {"effective_from": "2025-01-01", "terms": terms})
        set_aside(host)

    (row,) = read(host, "/contacts/due", outflow=outflow)["items"]
    depends = again(host)["difference"]["depends"]

    assert [mark["topic"] for mark in row["stale"]] == ["policy.adopted"]
    ours = [d for d in depends if d["obligation"] == f"contacts/due {outflow}"]
    changed = {d["field"]: d["after"] for d in ours}
    assert changed["interval_days"] == 14
    assert "next_due" in changed
    again(host, dry_run=False, count=1)


@pytest.mark.slow
def test_an_alarm_says_what_it_may_lag_behind(
    both: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The origin has taken the care back; the host has set that aside, and sounds the alarm."""
    origin, host = both
    outflow, inflow = cared_for(origin, host)
    other, other_inflow = cared_for(origin, host)
    with stopped(host, "outflow.returned"):
        for each in (inflow, other_inflow):
            ended = {"because": "returned", "ended_on": "2025-06-01"}
            host.post(f"/inflows/{each}/end", ended)
        origin.post(f"/outflows/{outflow}/return", {"returned_on": "2025-06-01"})
        (parked,) = set_aside(host)
        read(host, "/custody")

        with monkeypatch.context() as later:
            later.setattr(host.node, "clock", lambda: utc_now() + timedelta(days=400))
            page = host.get("/alarms")
        alarms = {row["outflow"]: row for row in page["items"] if row["rule"] == "left-behind"}

        assert page["stale"] == {"stopped_streams": 1, "read_model": None}
        assert [mark["id"] for mark in alarms[outflow]["stale"]] == [parked["id"]]
        assert alarms[other]["stale"] == []

    until(lambda: host.get("/alarms")["stale"]["stopped_streams"] == 0)


@pytest.mark.slow
def test_one_parked_stream_tells_whom_and_what_it_makes_stale(both: tuple[Site, Site]) -> None:
    origin, host = both
    outflow, _ = cared_for(origin, host)
    member = origin.get(f"/outflows/{outflow}")["member"]
    with stopped(host, "contact.made"):
        made = origin.post("/contacts", {"outflow": outflow, **CALL})
        origin.post(f"/contacts/{made['id']}/correction", {"reason": "误记", "reached": False})
        first, _ = set_aside(host, 2)

        read(host, "/custody")
        shown = host.get(f"/quarantine/{first['id']}")

        assert (shown["stream"], shown["behind"]) == (made["id"], 1)
        assert "Check who is to record this." in shown["said"]
        affects = shown["affects"]
        assert affects["members"] == [member]
        assert affects["absences"] == [outflow]
        assert affects["read_models"] == ["contacts", "history", "figures"]
        assert affects["rows"]["contact_absence"] == 1
        assert affects["obligations"][f"contacts/due {outflow}"]["contacts"] == 0
        assert affects["obligations"][f"custody {outflow}"]["carer"] == host.code
        assert sum(row["shown"] for row in affects["figures"]["away"]) >= 1
    resolved = host.get(f"/quarantine/{first['id']}")
    assert (resolved["affects"], resolved["behind"]) == (None, 0)
    assert resolved["resolved_at"]


@pytest.mark.slow
def test_a_dry_run_shows_every_field_that_would_change_and_changes_none(
    both: tuple[Site, Site],
) -> None:
    origin, host = both
    outflow, _ = cared_for(origin, host)
    member = origin.get(f"/outflows/{outflow}")["member"]
    with refusing("contact.made", "member.phone_recorded"):
        origin.post("/contacts", {"outflow": outflow, **CALL})
        origin.post(f"/members/{member}/phone", {"phone": "13900008888"})
        set_aside(host, 2)
    before = (read(host, "/contacts/due")["items"], read(host, "/outflows")["items"])

    shown = again(host)

    assert (shown["waiting"], shown["count"], shown["failing"]) == (2, 2, [])
    difference = shown["difference"]
    assert difference["rows"]["contact"] == {"added": 1, "changed": 0}
    assert difference["rows"]["roster_person"] == {"added": 0, "changed": 1}
    changes = {(c["table"], c["field"]): (c["before"], c["after"]) for c in difference["changes"]}
    assert changes["contact", "on_day"] == (None, "2025-05-01")
    # A personal value is masked, but that it changes is seen.
    assert changes["roster_person", "phone"] == ("***", "***")
    assert "13900008888" not in json.dumps(shown)
    depends = {
        (d["obligation"], d["field"]): (d["before"], d["after"]) for d in difference["depends"]
    }
    assert depends[f"contacts/due {outflow}", "contacts"] == (0, 1)
    assert depends[f"contacts/due {outflow}", "last_reached"] == (None, "2025-05-01")
    assert difference["stops"] == {}
    assert (host.get("/contacts/due")["items"], host.get("/outflows")["items"]) == before
    # What was shown is what comes.
    again(host, dry_run=False, count=2)
    until(lambda: host.get("/contacts/due", outflow=outflow)["items"][0]["contacts"] == 1)
    person = host.get(f"/members/{member}/trail/phone")
    assert person[-1]["value"] == "+8613900008888"


@pytest.mark.slow
def test_all_is_retried_only_with_the_count_that_was_shown(both: tuple[Site, Site]) -> None:
    origin, host = both
    outflow, _ = cared_for(origin, host)
    with refusing("contact.made"):
        for _ in range(3):
            origin.post("/contacts", {"outflow": outflow, **CALL})
        set_aside(host, 3)
    assert again(host)["count"] == 3
    query = {"peer": "jiuquan", "dry_run": False}

    refused = host.http.post("/quarantine/retry", params={**query, "count": 2})

    said = problem(refused, 409, "count-differs")
    assert (said["count"], said["would"], said["waiting"]) == (2, 3, 3)
    problem(host.http.post("/quarantine/retry", params=query), 409, "count-differs")
    assert len(host.get("/quarantine")) == 3
    assert again(host, dry_run=False, count=3)["count"] == 3
    # An empty quarantine says that it is empty, and retries nothing.
    assert again(host)["count"] == again(host)["waiting"] == 0
    assert again(host, dry_run=False, count=0)["recorded"] == []


@pytest.mark.slow
def test_a_retry_that_would_stop_a_read_model_says_so(
    both: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, host = both
    outflow, _ = cared_for(origin, host)
    with stopped(host, "contact.made"):
        origin.post("/contacts", {"outflow": outflow, **CALL})
        set_aside(host)
        with monkeypatch.context() as broken, refusing():

            def fail(*_: object) -> None:
                raise ValueError("cannot read this")

            broken.setattr(host.node.projector.projections["contacts"], "project", fail)
            broken.setattr("sync.authority.check", lambda *_: None)
            difference = again(host)["difference"]

        assert difference["stops"] == {"contacts": "ValueError: cannot read this"}


@pytest.mark.slow
def test_a_read_model_that_has_stopped_is_told_with_every_page(
    both: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, host = both
    outflow = offered(origin, host)
    read(host, "/custody")

    def fail(*_: object) -> None:
        raise ValueError("cannot read this")

    with monkeypatch.context() as broken:
        broken.setattr(host.node.projector.projections["custody"], "project", fail)
        origin.post(f"/outflows/{outflow}/offers/1/recall", {"reason": "改期"})
        told = until(lambda: host.get("/custody")["stale"]["read_model"])

        assert (told["name"], told["topic"]) == ("custody", "outflow.recalled")
        assert told["stream"] == outflow
        assert told["because"] == "ValueError: cannot read this"
        models = {model["name"]: model for model in host.get("/read-models")}
        assert models["custody"]["held_by"]["position"] == told["position"]
        assert models["custody"]["position"] == told["position"] - 1
        assert models["roster"]["held_by"] is None
        assert host.get("/outflows")["stale"]["read_model"] is None
    until(lambda: host.get("/custody")["stale"]["read_model"] is None)


@pytest.mark.slow
def test_what_nobody_can_read_says_that_its_reach_is_unknown(both: tuple[Site, Site]) -> None:
    _, host = both
    with host.node.database.connection() as conn:
        (number,) = conn.execute(
            "INSERT INTO quarantine (peer, at, reason, evidence, number, stream, version, topic,"
            " state, wire) VALUES ('jiuquan', now(), 'malformed', '{}', 9999, %s, 1,"
            " 'activity.held', '{', '') RETURNING id",
            (uuid4(),),
        ).fetchone()

    assert host.get(f"/quarantine/{number}")["affects"]["unreadable"] is True

    with host.node.database.connection() as conn:
        conn.execute("DELETE FROM quarantine WHERE id = %s", (number,))


@pytest.mark.slow
def test_nothing_of_that_number_is_not_found(both: tuple[Site, Site]) -> None:
    problem(both[1].ask("/quarantine/999999"), 404, "not-found")
