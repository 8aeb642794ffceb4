"""接口说明: complete in itself, and readable without anything from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.routes.commands import COMMANDS
from tests.api.support import Site

METHODS = {"get", "post"}


@pytest.fixture
def document(origin: Site) -> dict[str, Any]:
    found: dict[str, Any] = origin.get("/openapi.json")
    return found


def values(node: Any, name: str) -> Iterator[Any]:
    """Every value of that name, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield value
            yield from values(value, name)
    elif isinstance(node, list):
        for each in node:
            yield from values(each, name)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(values(document, "$ref"))

    assert references
    for reference in references:
        node = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_no_definition_is_left_inside_a_body(document: dict[str, Any]) -> None:
    assert list(values(document, "$defs")) == []


def test_it_says_which_openapi_it_is(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"].keys() >= {"title", "version", "description"}


def test_every_command_is_described_with_its_fields(document: dict[str, Any]) -> None:
    for path, kind, tag in COMMANDS:
        operation = document["paths"][path]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        in_path = set(re.findall(r"{(\w+)}", path))
        assert set(schema.get("properties", {})) == kind.model_fields.keys() - in_path
        assert {p["name"] for p in operation["parameters"] if p["in"] == "path"} == in_path
        assert operation["tags"] == [tag]
        assert schema["additionalProperties"] is False


def test_every_answer_and_every_refusal_is_described(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        assert operations.keys() <= METHODS
        for operation in operations.values():
            assert "default" in operation["responses"], path
            assert "422" not in operation["responses"], path
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_operations_have_ids_of_their_own(document: dict[str, Any]) -> None:
    ids = list(values(document["paths"], "operationId"))

    assert len(set(ids)) == len(ids) == sum(map(len, document["paths"].values()))


def test_the_page_shows_every_path(origin: Site, document: dict[str, Any]) -> None:
    page = origin.ask("/docs")

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "接口说明 Interface" in page.text
    for path in document["paths"]:
        assert f"<code>{path}</code>" in page.text


def test_the_page_loads_nothing_from_elsewhere(origin: Site) -> None:
    page = origin.ask("/docs")

    assert not re.search(r"https?://|<script|<link|<img|@import|url\(", page.text)
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect"])
def test_the_pages_that_would_are_gone(origin: Site, path: str) -> None:
    assert origin.ask(path).status_code == 404
