"""请求内容: what is too large, too deep or no JSON at all stops at the door, as a problem."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from api.gate import BODY_MAX, IMPORT_MAX
from tests.api.support import Site, absent, person
from tests.api.test_headers import contact
from tests.api.test_problems import problem

JSON = {"Content-Type": "application/json"}


def raw(at: Site, path: str, content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
    return at.http.post(path, content=content, headers={**JSON, **headers})


def chunks(total: int) -> Iterator[bytes]:
    for _ in range(0, total, 65536):
        yield b" " * 65536


PATHS = ["/members", "/contacts", "/contacts/batch", "/peers", "/members/find", "/units"]


@pytest.mark.parametrize("path", [*PATHS, "/lanes/receipts"])
def test_a_body_beyond_the_limit_is_refused(origin: Site, path: str) -> None:
    answer = raw(origin, path, b" " * (BODY_MAX + 1))

    assert problem(answer, 413, "too-large")["maximum"] == BODY_MAX


@pytest.mark.parametrize("path", [*PATHS, "/lanes/receipts"])
def test_a_body_without_a_length_is_counted_while_it_comes(origin: Site, path: str) -> None:
    answer = raw(origin, path, chunks(BODY_MAX + 65536))

    assert problem(answer, 413, "too-large")["maximum"] == BODY_MAX


def test_a_body_without_a_length_is_taken(origin: Site) -> None:
    def said() -> Iterator[bytes]:
        yield b'{"name": '
        yield '"第三党支部"}'.encode()

    assert raw(origin, "/units", said()).status_code == 201


@pytest.mark.slow
def test_a_workbook_may_be_larger(origin: Site) -> None:
    answer = raw(origin, "/imports/outflows", b" " * (BODY_MAX + 1))

    problem(answer, 422, "not-a-workbook")


def test_a_workbook_has_a_limit_too(origin: Site) -> None:
    answer = raw(origin, "/imports/outflows", chunks(IMPORT_MAX + 65536))

    assert problem(answer, 413, "too-large")["maximum"] == IMPORT_MAX


DEEP = {
    "lists": b"[" * 100_000,
    "objects": b'{"a":' * 100_000,
    "closed": b"[" * 40 + b"]" * 40,
    "in a field": b'{"name": ' + b"[" * 5000 + b"]" * 5000 + b"}",
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("bomb", DEEP.values(), ids=list(DEEP))
def test_a_body_that_nests_too_deep_is_refused(origin: Site, path: str, bomb: bytes) -> None:
    problem(raw(origin, path, bomb), 422, "too-deep")


def test_brackets_in_a_text_are_text(origin: Site) -> None:
    said = "如下：" + "[甲]" * 50

    assert origin.send("/units", {"name": said}).status_code == 201


NOT_JSON = {
    "words": b"hello",
    "half": b'{"name": "x"',
    "utf-16": '{"name": "x"}'.encode("utf-16"),
    "latin": b'{"name": "\xff\xfe"}',
    "surrogate": b'{"name": "\\ud800"}',
    "list": b"[]",
    "number": b"1",
    "null": b"null",
    "empty": b"",
}


@pytest.mark.parametrize("path", [*PATHS, "/outflows/00000000-0000-0000-0000-000000000000/lost"])
@pytest.mark.parametrize("body", NOT_JSON.values(), ids=list(NOT_JSON))
def test_what_is_no_json_object_is_refused(origin: Site, path: str, body: bytes) -> None:
    if path == "/contacts/batch" and body == b"[]":
        assert raw(origin, path, body).json() == []
        return

    answer = raw(origin, path, body)

    assert problem(answer, 422, answer.json()["type"].rsplit("/", 1)[1])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_body_that_does_not_say_it_is_json_is_refused(origin: Site, path: str, kind: str) -> None:
    answer = raw(origin, path, b"{}", **{"Content-Type": kind})

    problem(answer, 415, "not-json")


def test_json_may_name_its_charset(origin: Site) -> None:
    answer = raw(
        origin, "/units", b'{"name": "x"}', **{"Content-Type": "application/json; charset=utf-8"}
    )

    assert answer.status_code == 201


def test_a_command_that_needs_no_body_takes_none(origin: Site) -> None:
    _, outflow = absent(origin)
    origin.post(f"/outflows/{outflow}/lost", {"basis": "三次未联系上"})

    assert origin.http.post(f"/outflows/{outflow}/restored").status_code == 201


# Many in one request.


def test_each_of_many_contacts_is_answered_alone_and_in_order(origin: Site) -> None:
    _, outflow = absent(origin)
    many = [contact(outflow), contact(outflow, on="2035-01-01"), {"outflow": outflow}, 7]

    answer = origin.http.post("/contacts/batch", json=many)

    assert answer.status_code == 207
    first, second, third, fourth = answer.json()
    assert first["version"] == 1
    assert (second["type"], second["status"]) == ("/problems/in-the-future", 422)
    assert second["mend"]
    assert third["type"] == fourth["type"] == "/problems/invalid-request"
    lacking = {error["pointer"] for error in third["errors"]}
    assert lacking == {"/body/2/on", "/body/2/method", "/body/2/by"}


def test_the_same_many_again_are_recorded_once(origin: Site) -> None:
    _, outflow = absent(origin)
    many, headers = [contact(outflow), contact(outflow)], {"Idempotency-Key": f"many/{outflow}"}

    first = origin.http.post("/contacts/batch", json=many, headers=headers).json()

    assert origin.http.post("/contacts/batch", json=many, headers=headers).json() == first


def test_more_than_the_most_are_refused(origin: Site) -> None:
    answer = origin.http.post("/contacts/batch", json=[{}] * 501)

    assert problem(answer, 422, "too-many")["maximum"] == 500


def test_what_the_last_refusal_left_does_not_hinder_the_next(origin: Site) -> None:
    raw(origin, "/members", chunks(BODY_MAX + 65536))

    assert origin.send("/members", person()).status_code == 201
