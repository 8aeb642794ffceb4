"""请求头: asking again is asking once, and nobody changes what somebody else has changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.api.support import Site, absent, person
from tests.api.test_problems import problem


def key() -> str:
    return f"test/{uuid4()}"


def made(at: Site, outflow: str) -> int:
    """How many contacts the ledger holds of an absence."""
    return len(at.get("/history", outflow=outflow, topic="contact.made")["items"])


def contact(outflow: str, **details: object) -> dict[str, object]:
    return {"outflow": outflow, "on": "2025-04-01", "method": "电话", "by": "李干事", **details}


# Idempotency-Key.


def test_the_same_key_gets_the_same_receipt(origin: Site) -> None:
    _, outflow = absent(origin)
    again = key()
    first = origin.send("/contacts", contact(outflow), Idempotency_Key=again)

    second = origin.send("/contacts", contact(outflow), Idempotency_Key=again)

    assert second.status_code == 201
    assert second.json() == first.json()
    assert second.headers["ETag"] == first.headers["ETag"]
    origin.ask("/outflows", after=first.json()["position"])
    assert made(origin, outflow) == 1


def test_a_key_outlives_what_makes_the_command_impossible(origin: Site) -> None:
    _, outflow = absent(origin)
    path, body, again = f"/outflows/{outflow}/return", {"returned_on": "2025-05-01"}, key()
    first = origin.post(path, body, Idempotency_Key=again)

    assert origin.post(path, body, Idempotency_Key=again) == first
    assert origin.send(path, body).status_code == 409


def test_a_key_is_for_one_body(origin: Site) -> None:
    _, outflow = absent(origin)
    again = key()
    origin.post("/contacts", contact(outflow), Idempotency_Key=again)

    answer = origin.send("/contacts", contact(outflow, method="走访"), Idempotency_Key=again)

    problem(answer, 422, "key-reused")


def test_a_key_is_for_one_command(origin: Site) -> None:
    _, outflow = absent(origin)
    again = key()
    said = {"outflow": outflow, "on": "2025-04-01", "by": "李干事"}
    origin.post("/visits", said, Idempotency_Key=again)

    answer = origin.send("/contacts", {**said, "method": "电话"}, Idempotency_Key=again)

    problem(answer, 422, "key-reused")


def test_a_refused_command_leaves_its_key_free(origin: Site) -> None:
    _, outflow = absent(origin)
    again = key()
    refused = origin.send("/contacts", contact(outflow, on="2035-01-01"), Idempotency_Key=again)

    assert refused.status_code == 422
    origin.post("/contacts", contact(outflow), Idempotency_Key=again)


@pytest.mark.parametrize("bad", ["", "x" * 201])
def test_a_bad_key_is_refused(origin: Site, bad: str) -> None:
    answer = origin.send("/members", person(), Idempotency_Key=bad)

    assert problem(answer, 422, "bad-header")["header"] == "Idempotency-Key"


@pytest.mark.parametrize("path", ["/contacts", "/outflows/{}/lost"])
def test_the_same_key_at_once_is_recorded_once(origin: Site, path: str) -> None:
    _, outflow = absent(origin)
    body = contact(outflow) if path == "/contacts" else {"basis": "三次未联系上"}
    again, there = key(), path.format(outflow)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(origin.send, there, body, Idempotency_Key=again) for _ in range(16)]
        answers = [future.result() for future in asked]

    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    for answer in answers:
        if answer.status_code != 201:
            problem(answer, 409, "still-under-way")
    done = origin.post(there, body, Idempotency_Key=again)
    assert done in [answer.json() for answer in answers]


def test_a_key_at_once_for_two_bodies_is_for_one_of_them(origin: Site) -> None:
    _, outflow = absent(origin)
    again = key()

    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(
                origin.send, "/contacts", contact(outflow, by=f"干事{n}"), Idempotency_Key=again
            )
            for n in range(8)
        ]
        codes = [future.result().status_code for future in asked]

    assert codes.count(201) == 1
    assert set(codes) <= {201, 409, 422}


# If-Match.


def test_the_version_somebody_has_seen_is_checked(origin: Site) -> None:
    _, outflow = absent(origin)
    seen = origin.ask(f"/outflows/{outflow}").headers["ETag"]
    path = f"/outflows/{outflow}/lost"

    answer = origin.send(path, {"basis": "三次未联系上"}, If_Match=seen)

    assert answer.status_code == 201
    assert answer.headers["ETag"] == origin.ask(f"/outflows/{outflow}").headers["ETag"]


@pytest.mark.parametrize("form", ['"{}"', "{}", 'W/"{}"'])
def test_a_stale_version_is_told_both(origin: Site, form: str) -> None:
    _, outflow = absent(origin)
    origin.post(f"/outflows/{outflow}/lost", {"basis": "三次未联系上"})

    answer = origin.send(f"/outflows/{outflow}/restored", If_Match=form.format(1))

    said = problem(answer, 412, "stale")
    assert (said["expected"], said["actual"]) == (1, 2)
    assert origin.get(f"/outflows/{outflow}")["version"] == 2


@pytest.mark.parametrize("bad", ["*", "abc", '"1", "2"', "-1", "\u00b2", "9" * 5000, ""])
def test_a_version_that_is_no_number_is_refused(origin: Site, bad: str) -> None:
    _, outflow = absent(origin)
    headers = {"If-Match": bad.encode("latin-1")}

    answer = origin.http.post(f"/outflows/{outflow}/lost", json={"basis": "x"}, headers=headers)

    assert problem(answer, 422, "bad-header")["header"] == "If-Match"


# Waystation-Person.


def test_who_asks_is_recorded(origin: Site) -> None:
    receipt = origin.post("/members", person(), Waystation_Person="王干事")

    (fact,) = origin.get("/history", subject=receipt["id"], after=receipt["position"])["items"]
    assert fact["person"] == "王干事"


@pytest.mark.parametrize("bad", ["%00", "%E2%80%AE", "%ff%fe%01"])
def test_a_name_that_is_no_text_is_refused(origin: Site, bad: str) -> None:
    answer = origin.http.post("/members", json=person(), headers={"Waystation-Person": bad})

    assert problem(answer, 422, "bad-header")["header"] == "Waystation-Person"
    assert origin.get("/health")["status"] == "ok"
