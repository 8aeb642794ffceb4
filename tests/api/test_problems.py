"""问题: whoever is refused learns why, what to do, and nothing about anybody else."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.problems import MEDIA_TYPE
from tests.api.support import ACCEPTANCE, Site, absent, number, offered, person

CHINESE, ENGLISH = re.compile(r"[\u4e00-\u9fff]"), re.compile(r"[A-Za-z]{2}")


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem an answer holds, once its form is checked."""
    assert answer.headers["Content-Type"] == MEDIA_TYPE, answer.text
    said: dict[str, Any] = answer.json()
    assert (answer.status_code, said["status"], said["type"]) == (
        status,
        status,
        f"/problems/{code}",
    ), said
    for text in (said["title"], said["mend"]):
        assert CHINESE.search(text), text
        assert ENGLISH.search(text), text
    assert said["instance"] == answer.request.url.path
    return said


def test_what_is_not_there_is_missing(origin: Site) -> None:
    said = problem(origin.ask(f"/outflows/{uuid4()}"), 404, "not-found")

    assert said["kind"] == "outflow"


def test_what_another_keeps_is_forbidden(origin: Site, host: Site) -> None:
    outflow = offered(origin, host)

    answer = host.send(f"/outflows/{outflow}/return", {"returned_on": "2025-05-01"})

    assert problem(answer, 403, "not-ours")["keeper"] == origin.code


def test_what_breaks_a_rule_is_invalid(origin: Site, host: Site) -> None:
    outflow = offered(origin, host)

    said = {**ACCEPTANCE, "accepted_on": "2025-02-01"}
    answer = host.send(f"/inflows/{outflow}/offers/1/accepted", said)

    problem(answer, 422, "accepted-before-departure")


def test_what_comes_twice_is_a_conflict(origin: Site) -> None:
    somebody = person()
    origin.post("/members", somebody)

    problem(origin.send("/members", somebody), 409, "member-known")


@pytest.mark.slow
def test_what_is_not_there_yet_says_when_to_ask_again(origin: Site) -> None:
    answer = origin.ask("/outflows", after=10**9)

    problem(answer, 503, "not-yet")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", ["/nowhere", "/outflows/not-a-uuid/nothing"])
def test_a_path_nobody_knows_is_a_problem(origin: Site, path: str) -> None:
    problem(origin.ask(path), 404, "no-such-route")


def test_a_method_a_path_does_not_take_is_a_problem(origin: Site) -> None:
    answer = origin.http.delete("/outflows")

    problem(answer, 405, "method-not-allowed")
    assert answer.headers["Allow"] == "GET, POST"


# Bodies that do not fit.


def errors(answer: httpx.Response) -> dict[str, str]:
    said = problem(answer, 422, "invalid-request")
    return {error["pointer"]: error["rule"] for error in said["errors"]}


def test_every_error_points_at_its_field(origin: Site) -> None:
    answer = origin.send("/members", person(name="", joined_on="下周", colour="red"))

    assert errors(answer) == {
        "/body/name": "string_too_short",
        "/body/joined_on": "bad-date",
        "/body/colour": "extra_forbidden",
    }


def test_a_missing_field_is_named(origin: Site) -> None:
    assert errors(origin.send("/members", {}))["/body/number"] == "missing"


def test_a_bad_id_in_the_path_is_named_too(origin: Site) -> None:
    answer = origin.send("/outflows/not-a-uuid/return", {"returned_on": "2025-05-01"})

    assert errors(answer) == {"/path/outflow": "uuid_parsing"}


def test_a_bad_query_is_named(origin: Site) -> None:
    assert errors(origin.ask("/outflows", limit=0)) == {"/query/limit": "greater_than_equal"}


def test_a_nested_field_is_named_by_its_whole_path(origin: Site) -> None:
    body = {"terms": {"contact_interval_days": 0}, "effective_from": "2025-01-01"}

    assert "/body/terms/contact_interval_days" in errors(origin.send("/policies", body))


def test_a_pointer_escapes_what_json_pointer_needs_escaped(origin: Site) -> None:
    assert "/body/a~1b~0c" in errors(origin.send("/members", person(**{"a/b~c": 1})))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", "620902197702264861"),
        ("number", "6209021977022648"),
        ("name", "=SECRET(1)"),
        ("joined_on", "620902197702264860"),
        ("phone", "secretphone"),
        ("category", "620902197702264860"),
    ],
)
def test_a_refused_value_is_not_repeated(origin: Site, field: str, value: str) -> None:
    answer = origin.send("/members", person(**{field: value}))

    assert set(errors(answer)) == {f"/body/{field}"}
    assert value not in answer.text


def test_an_id_number_says_what_is_wrong_with_it(origin: Site) -> None:
    answer = origin.send("/members", person(number="620902197702264861"))

    (error,) = answer.json()["errors"]
    assert error["rule"] == "bad-id-number"
    assert CHINESE.search(error["detail"])


def test_a_thousand_errors_are_not_all_told(origin: Site) -> None:
    answer = origin.send("/members", {f"field{n}": n for n in range(1000)})

    assert len(answer.json()["errors"]) <= 100


def test_a_number_that_is_known_finds_its_member(origin: Site) -> None:
    somebody = number()
    member = origin.post("/members", person(number=somebody))["id"]

    found = origin.send("/members/find", {"number": somebody})

    assert found.json()["member"] == member
    assert origin.send("/members/find", {"number": number()}).status_code == 404


def test_a_trail_of_no_field_is_refused(origin: Site) -> None:
    member, _ = absent(origin)

    for field in ("meta", "mutate", "TOPIC", "originator_id", "nothing"):
        problem(origin.ask(f"/members/{member}/trail/{field}"), 404, "no-such-field")


@pytest.mark.parametrize(
    "query",
    [
        "/outflows?state=%00",
        "/outflows?origin=%00&host=%00",
        "/activities?org=%00",
        "/contacts/due?carer=%00",
        "/history?person=%00",
        "/history?topic=%00",
        "/history?source=%00",
        "/policies/%00",
        f"/history?cursor={10**30}",
        f"/quarantine?cursor={10**30}",
        f"/quarantine?cursor={-(10**30)}",
        "/contacts/due?on=9999-12-31",
        "/contacts/due?on=0001-01-01",
        "/history?known_at=0001-01-01T00:00:00%2B14:00",
        "/history?known_at=9999-12-31T23:59:59-14:00",
        "/history?known_at=2025-01-01T00:00:00",
        "/history?from_day=9999-12-31",
        f"/outflows/{uuid4()}/responsible?on=2025-01-01&known_at=0001-01-01T00:00:00%2B14:00",
    ],
)
def test_no_query_is_a_bug(origin: Site, query: str) -> None:
    assert origin.http.get(query).status_code in {200, 404, 422}


@pytest.mark.parametrize("path", ["/quarantine/{}/retry", "/read-models/{}/rebuild"])
@pytest.mark.parametrize("what", ["0", "-1", str(10**30), "%00", "x" * 300])
def test_no_upkeep_path_is_a_bug(origin: Site, path: str, what: str) -> None:
    assert origin.http.post(path.format(what)).status_code in {404, 422}
