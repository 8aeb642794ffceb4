"""审计: what is answered about the past, as it was known at a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.api.support import Site, absent, cared_for, person, until
from tests.api.test_headers import contact
from tests.api.test_imports import SAMPLES, upload
from tests.api.test_problems import problem


def now() -> str:
    return datetime.now(UTC).isoformat()


def responsible(at: Site, outflow: str, on: str, known_at: str | None = None) -> dict[str, Any]:
    asked = {"known_at": known_at} if known_at else {}
    answer: dict[str, Any] = at.get(f"/outflows/{outflow}/responsible", on=on, **asked)
    return answer


def known(at: Site, outflow: str, on: str, known_at: str | None = None) -> dict[str, Any]:
    asked = {"known_at": known_at} if known_at else {}
    answer: dict[str, Any] = at.get(f"/outflows/{outflow}/known", on=on, **asked)
    return answer


# Who was responsible.


@pytest.mark.slow
def test_the_care_passes_on_the_day_of_acceptance(origin: Site, host: Site) -> None:
    outflow, _ = cared_for(origin, host)

    for site in (origin, host):
        answers = {on: responsible(site, outflow, on) for on in ("2025-03-09", "2025-03-10")}
        assert [a["care"] for a in answers.values()] == [origin.code, host.code]
        assert {a["affiliation"] for a in answers.values()} == {origin.code}


@pytest.mark.slow
def test_before_the_answer_was_known_the_origin_was_responsible(origin: Site, host: Site) -> None:
    outflow, _ = cared_for(origin, host)
    facts = responsible(host, outflow, "2025-06-01")["facts"]
    before = next(f for f in facts if f["topic"] == "outflow.offered")["entered_at"]

    assert responsible(host, outflow, "2025-06-01", before)["care"] == origin.code
    assert responsible(host, outflow, "2025-06-01")["care"] == host.code


def test_a_return_told_late_changes_the_answer_only_afterwards(origin: Site, host: Site) -> None:
    outflow, inflow = cared_for(origin, host)
    before = now()

    host.post(f"/inflows/{inflow}/end", {"because": "returned", "ended_on": "2025-06-01"})
    origin.post(f"/outflows/{outflow}/return", {"returned_on": "2025-06-01"})

    assert responsible(origin, outflow, "2025-07-01")["care"] == origin.code
    assert responsible(origin, outflow, "2025-07-01", before)["care"] == host.code
    assert responsible(origin, outflow, "2025-05-01")["care"] == host.code


def test_every_answer_names_its_facts(origin: Site, host: Site) -> None:
    outflow, _ = cared_for(origin, host)

    answers = [responsible(site, outflow, "2025-06-01")["facts"] for site in (origin, host)]

    topics = [[fact["topic"] for fact in facts] for facts in answers]
    assert topics == [["outflow.registered", "outflow.offered", "outflow.confirmed"]] * 2
    ours, theirs = ([f["digest"] for f in facts] for facts in answers)
    assert ours == theirs
    assert {fact["by"] for fact in answers[0]} == {origin.code}


def test_of_what_was_not_known_nothing_is_said(origin: Site) -> None:
    before = now()
    _, outflow = absent(origin)

    path = f"/outflows/{outflow}/responsible"
    problem(origin.ask(path, on="2025-04-01", known_at=before), 404, "not-found")


def test_a_moment_without_a_zone_is_the_civil_one(origin: Site) -> None:
    _, outflow = absent(origin)

    ahead = responsible(origin, outflow, "2025-04-01", "2099-01-01T00:00:00")

    assert ahead["known_at"] == "2099-01-01T00:00:00+08:00"


# What was known.


def test_contacts_count_from_when_they_were_recorded(origin: Site) -> None:
    _, outflow = absent(origin)
    before = now()
    origin.post("/contacts", contact(outflow, on="2025-04-01"))
    receipt = origin.post("/contacts", contact(outflow, on="2025-05-01"))
    origin.ask("/history", after=receipt["position"])

    after = known(origin, outflow, "2025-06-01")
    assert (after["contacts"], after["last_contact"]) == (2, "2025-05-01")
    day = known(origin, outflow, "2025-04-15")
    assert (day["contacts"], day["last_contact"]) == (1, "2025-04-01")
    then = known(origin, outflow, "2025-06-01", before)
    assert (then["contacts"], then["last_contact"]) == (0, None)


def test_a_contact_withdrawn_counts_until_it_was(origin: Site) -> None:
    _, outflow = absent(origin)
    made = origin.post("/contacts", contact(outflow, on="2025-04-01"))["id"]
    before = now()
    receipt = origin.post(f"/contacts/{made}/withdrawal", {"reason": "登记有误"})
    origin.ask("/history", after=receipt["position"])

    assert known(origin, outflow, "2025-06-01")["contacts"] == 0
    assert known(origin, outflow, "2025-06-01", before)["contacts"] == 1


def test_a_number_told_late_is_the_number_of_its_day(origin: Site) -> None:
    member, outflow = absent(origin)
    _phone(origin, member, "13900000002", "2025-06-01")
    before = now()
    _phone(origin, member, "13900000001", "2025-04-01")

    assert known(origin, outflow, "2025-07-01")["phone"].endswith("13900000002")
    assert known(origin, outflow, "2025-05-01")["phone"].endswith("13900000001")
    assert known(origin, outflow, "2025-05-01", before)["phone"] is None


def _phone(at: Site, member: str, phone: str, on: str) -> None:
    at.post(f"/members/{member}/phone", {"phone": phone, "on": on})


# Where from.


def trail(at: Site, member: str, field: str, **asked: str) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = at.get(f"/members/{member}/trail/{field}", **asked)
    return values


def test_every_value_says_who_recorded_it_and_when(origin: Site) -> None:
    member = origin.post("/members", person(), Waystation_Person="王干事")["id"]
    before = now()
    _phone(origin, member, "13900000003", "2025-06-01")

    first, second = trail(origin, member, "phone")

    assert (first["value"], first["person"]) == ("+8613900001234", "王干事")
    assert (second["value"], second["occurred_on"]) == ("+8613900000003", "2025-06-01")
    assert first["recorded_at"] <= second["recorded_at"]
    assert [v["value"] for v in trail(origin, member, "phone", known_at=before)] == [first["value"]]


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "张三"), ("joined_on", "2000-07-01"), ("branch", "东沟村党支部"), ("sex", None)],
)
def test_every_field_has_a_trail(origin: Site, field: str, value: str | None) -> None:
    member = origin.post("/members", person())["id"]

    (only,) = trail(origin, member, field)

    assert only["value"] == (value or only["value"])


def test_a_correction_leaves_what_was_said_before(origin: Site) -> None:
    member = origin.post("/members", person())["id"]
    origin.post(f"/members/{member}/identity", {"name": "张山", "reason": "写错"})

    assert [v["value"] for v in trail(origin, member, "name")] == ["张三", "张山"]


@pytest.mark.slow
def test_an_imported_value_names_file_sheet_and_row(own: Site) -> None:
    report = upload(own, "outflows", Path(SAMPLES) / "流出党员台账.xlsx", dry_run=False)
    place, outflow = next(iter(report["ids"].items()))
    member = own.get(f"/outflows/{outflow}")["member"]

    source = trail(own, member, "name")[0]["source"]

    sheet, row = place.rsplit("/", 1)
    assert (source["file"], source["sheet"], source["row"]) == (report["file"], sheet, int(row))
    assert source["digest"] == report["digest"]


def test_what_a_host_found_out_is_in_the_trail_of_both(origin: Site, host: Site) -> None:
    outflow, inflow = cared_for(origin, host)
    member = origin.get(f"/outflows/{outflow}")["member"]
    host.post(f"/inflows/{inflow}/details", {"phone": "13900007777"})
    until(lambda: len(trail(origin, member, "phone")) == 2)

    for site in (origin, host):
        last = trail(site, member, "phone")[-1]
        assert (last["value"], last["by"]) == ("+8613900007777", host.code)


# The history of all.


def test_history_is_narrowed_on_both_axes_of_time(origin: Site) -> None:
    _, outflow = absent(origin)
    before = now()
    receipt = origin.post("/contacts", contact(outflow, on="2025-04-01"))
    origin.ask("/history", after=receipt["position"])

    def told(**asked: str) -> int:
        rows = origin.get("/history", outflow=outflow, topic="contact.", **asked)
        return len(rows["items"])

    assert told() == 1
    assert told(from_day="2025-04-01", to_day="2025-04-01") == 1
    assert told(from_day="2025-04-02") == told(to_day="2025-03-31") == 0
    assert told(known_at=before) == 0
    assert told(org=origin.code, person="officer") == 1
    assert told(org="chengdu") == told(person="somebody") == 0
