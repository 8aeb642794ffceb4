"""不断线: an alarm names the absence, the clock and the facts that prove it, and ends by itself."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from domain.records import digest
from domain.values import utc_now
from tests.api.support import Site, absent, until

LATER = timedelta(days=40)


def test_a_pocket_member_is_an_alarm_with_its_proof_until_somebody_takes_over(
    own: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    member, outflow = absent(own)
    early = own.get("/alarms")["items"]
    own.get("/custody", after=own.node.ledger.head)
    monkeypatch.setattr(own.node, "clock", lambda: utc_now() + LATER)

    (told,) = own.get("/alarms", outflow=outflow)["items"]
    with caplog.at_level(logging.WARNING):
        own.running.worker.watch.look()
    health = own.get("/health")

    assert early == []
    assert (told["rule"], told["member"], told["clock"]) == ("pocket", member, "report_in_days")
    assert told["days"] == LATER.days
    (proof,) = told["facts"]
    (record,) = own.node.ledger.stream(proof["stream"])
    assert (proof["topic"], proof["digest"]) == ("outflow.registered", digest(record))
    assert health["alarms"] == {"pocket": 1}
    assert f"Alarm pocket: absence {outflow}" in caplog.text

    own.post(f"/outflows/{outflow}/return", {"returned_on": "2025-06-01"})
    own.get("/custody", after=own.node.ledger.head)
    with caplog.at_level(logging.WARNING):
        own.running.worker.watch.look()

    assert own.get("/alarms")["items"] == []
    assert own.get("/health")["alarms"] == {}
    assert f"Alarm pocket is over: absence {outflow}" in caplog.text


def test_a_found_member_waits_for_the_origin_by_a_clock(origin: Site, host: Site) -> None:
    host.post("/inflows/found", {"origin": origin.code, "name": "李四", "via": "visit"})

    claim = until(lambda: host.get("/claims")["items"])[-1]

    assert claim["turn"]["whose"] == origin.code
    assert claim["turn"]["clock"] == "registration_days"
    assert claim["turn"]["until"] > claim["turn"]["since"]
