"""运行维护: what has stopped is said, what can be repaired is, and the end comes soon."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from psycopg import sql

from api.storage.errors import DatabaseAway
from api.storage.server import EmbeddedServer
from domain.values import utc_now
from sync.signed_http import Signer
from tests.api.conftest import fresh
from tests.api.support import Site, absent, until
from tests.api.test_problems import problem

MODELS = [
    "roster",
    "custody",
    "contacts",
    "activities",
    "history",
    "transfers",
    "affiliations",
    "figures",
    "phones",
]


@pytest.mark.slow
def test_a_healthy_node_says_so_and_that_it_is_in_step(own: Site) -> None:
    in_step = {"facts": 0, "seconds": 0.0}
    behind = {"out_lag": in_step, "in_lag": in_step}

    alone = {"alarms": {}, "unwitnessed_s": None}
    assert own.get("/health") == {"status": "ok", "stopped": [], **alone, **behind}


@pytest.mark.slow
def test_a_read_model_that_has_stopped_is_named(own: Site) -> None:
    with own.node.database.connection() as conn:
        conn.execute("ALTER TABLE roster_flow RENAME TO gone")
    member, _ = absent(own)

    health = until(lambda: (h := own.get("/health"))["status"] == "degraded" and h)

    assert health["stopped"] == ["roster"]
    models = {model["name"]: model for model in own.get("/read-models")}
    assert "roster_flow" in models["roster"]["stopped"]
    assert models["history"]["stopped"] is None
    assert own.get("/history", subject=member, after=own.node.ledger.head)["items"]
    # And when it is mended, it goes on by itself.
    with own.node.database.connection() as conn:
        conn.execute("ALTER TABLE gone RENAME TO roster_flow")
    until(lambda: own.get("/health")["status"] == "ok")
    assert len(own.get("/outflows", after=own.node.ledger.head)["items"]) == 1


@pytest.mark.slow
def test_a_worker_that_fails_is_named_and_tries_again(own: Site) -> None:
    def fails() -> int:
        raise RuntimeError("gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own.node.relay, "number", fails)
        absent(own)
        health = until(lambda: (h := own.get("/health"))["status"] == "degraded" and h)

    assert health["stopped"] == ["relay"]
    until(lambda: own.get("/health")["status"] == "ok")


@pytest.mark.slow
def test_deadlines_that_cannot_be_looked_through_are_named_and_looked_at_again(own: Site) -> None:
    own.stop()
    with own.node.database.connection() as conn:
        conn.execute("ALTER TABLE custody_flow RENAME TO gone")
    own.start()

    health = until(lambda: (h := own.get("/health"))["status"] == "degraded" and h)

    assert health["stopped"] == ["deadlines"]
    assert "custody_flow" in own.running.worker.ailing()["deadlines"]
    with own.node.database.connection() as conn:
        conn.execute("ALTER TABLE gone RENAME TO custody_flow")
    until(lambda: own.get("/health")["status"] == "ok")


def test_reads_are_sealed_while_a_claim_waits_for_a_person(
    own: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = own.node
    monkeypatch.setattr("api.storage.access.SEAL_S", 0.0)
    node.lanes.hold("chengdu", taken=False)
    node.relay.relearn()
    node.restoring.healer.greeting.claims.add("chengdu")
    assert node.restoring.waits()

    own.get("/outflows")

    until(lambda: node.access.sealed_to() >= 1)
    assert node.restoring.waits()


@pytest.mark.slow
def test_an_offer_whose_time_has_run_out_lapses_by_itself(
    postgres: EmbeddedServer, host: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = timedelta()
    monkeypatch.setattr("api.worker.DEADLINES_S", 0.0)
    with fresh(postgres, clock=lambda: utc_now() + ahead) as origin:
        card, fingerprint = host.card()
        origin.post("/peers", {"card": card, "fingerprint": fingerprint})
        _, outflow = absent(origin)
        origin.post(f"/outflows/{outflow}/offers", {"host": host.code, "valid_days": 1})

        def state() -> str:
            (offer,) = origin.get(f"/outflows/{outflow}")["offers"]
            return str(offer["state"])

        assert state() == "open"

        ahead = timedelta(days=1, seconds=1)

        until(lambda: state() == "lapsed")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_read_model_is_built_anew_beside_the_live_one(origin: Site, name: str) -> None:
    absent(origin)

    answer = origin.http.post(f"/read-models/{name}/rebuild", json={})

    assert answer.json() == {"name": name, "equal": True}


@pytest.mark.slow
def test_a_read_model_that_was_tampered_with_is_mended_and_told(own: Site) -> None:
    _, outflow = absent(own)
    own.get("/outflows", after=own.node.ledger.head)
    with own.node.database.connection() as conn:
        query = sql.SQL("UPDATE {} SET destination = 'x'").format(sql.Identifier("roster_flow"))
        conn.execute(query)
    assert own.get("/outflows")["items"][0]["destination"] == "x"

    answer = own.http.post("/read-models/roster/rebuild", json={})

    assert answer.json()["equal"] is False
    (row,) = own.get("/outflows")["items"]
    assert (row["outflow"], row["destination"]) == (outflow, "四川省成都市")


@pytest.mark.slow
def test_a_read_model_nobody_knows_cannot_be_built(origin: Site) -> None:
    problem(origin.send("/read-models/nothing/rebuild"), 404, "not-found")


@pytest.mark.slow
def test_how_far_each_has_come_is_shown(origin: Site) -> None:
    models = origin.get("/read-models")

    assert [model["name"] for model in models] == MODELS
    assert all(0 <= model["position"] <= model["head"] for model in models)


@pytest.mark.slow
def test_an_empty_quarantine_is_empty(own: Site) -> None:
    assert own.get("/quarantine") == []
    problem(own.send("/quarantine/1/retry"), 404, "not-found")


@pytest.mark.slow
def test_the_end_does_not_wait_for_a_poll(own: Site, host: Site) -> None:
    card, fingerprint = host.card()
    own.post("/peers", {"card": card, "fingerprint": fingerprint})
    until(lambda: own.running.worker.pullers)
    url = f"{own.url}/lanes/{host.code}?of={own.code}&after=0&wait=50.0"
    signed = Signer(host.code, host.node.keys, lambda: datetime.now(UTC))
    answers: list[httpx.Response] = []

    def poll() -> None:
        headers = signed.headers("GET", url)
        answers.append(httpx.get(url, headers=headers, timeout=60, trust_env=False))

    polling = threading.Thread(target=poll)
    polling.start()
    until(lambda: own.running.worker.lane_news._waiting)  # noqa: SLF001 - it waits there.
    started = time.monotonic()

    own.stop()

    assert time.monotonic() - started < 5
    polling.join(5)
    assert [answer.status_code for answer in answers] == [200]


@pytest.mark.slow
def test_the_end_does_not_wait_for_who_reads_his_own_writing(own: Site) -> None:
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(own.ask("/outflows", after=10**9)))
    asking.start()
    until(lambda: own.running.worker.read_news._waiting)  # noqa: SLF001 - it waits there.
    started = time.monotonic()

    own.stop()

    assert time.monotonic() - started < 5
    asking.join(5)
    assert [answer.status_code for answer in answers] == [503]


@pytest.mark.slow
def test_after_the_end_no_thread_of_the_node_is_left(own: Site) -> None:
    workers = own.running.worker._threads  # noqa: SLF001 - tests look inside.
    assert all(thread.is_alive() for thread in workers)

    own.stop()

    assert not any(thread.is_alive() for thread in workers)


@pytest.mark.slow
def test_a_node_goes_on_where_it_ended(own: Site) -> None:
    _, outflow = absent(own)
    own.stop()

    own.start()

    assert own.get(f"/outflows/{outflow}")["version"] == 1
    absent(own)


# What only looks alive.


@pytest.mark.slow
def test_a_thread_that_has_ended_makes_health_red(
    own: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead:
        name, ident = "relay", 1

        def is_alive(self) -> bool:
            return False

        def join(self, timeout: float) -> None: ...

    worker = own.running.worker
    monkeypatch.setattr(worker, "_threads", [Dead(), *worker._threads[2:]])  # noqa: SLF001

    health = own.get("/health")
    assert (health["status"], health["stopped"]) == ("degraded", ["relay"])


@pytest.mark.slow
def test_a_thread_that_hangs_makes_health_red(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr("api.worker.STUCK_S", 0.2)
    with monkeypatch.context() as hanging:
        hanging.setattr(own.node.relay, "number", lambda: release.wait(10) and 0)
        absent(own)

        until(lambda: "relay" in own.get("/health")["stopped"])
        release.set()
    monkeypatch.setattr("api.worker.STUCK_S", 60.0)

    until(lambda: own.get("/health")["status"] == "ok")


@pytest.mark.slow
def test_keys_that_open_nothing_make_health_red(own: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    absent(own)
    assert own.get("/health")["status"] == "ok"

    monkeypatch.setattr(own.node.keyring.vault, "_master", b"x" * 32)

    health = own.get("/health")
    assert (health["status"], health["stopped"]) == ("degraded", ["keys"])


@pytest.mark.slow
def test_a_database_that_is_away_makes_health_red(
    own: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> bool:
        raise DatabaseAway(because="gone")

    monkeypatch.setattr(own.node.keyring, "opens", away)

    health = own.get("/health")
    assert (health["status"], health["stopped"]) == ("degraded", ["database"])
