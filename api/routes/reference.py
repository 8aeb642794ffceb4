"""接口说明页: the OpenAPI document as one page, with nothing loaded from anywhere else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response

from api.access.reading import shows_nobody

router = APIRouter(include_in_schema=False)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
STYLE = """
body { font: 15px/1.6 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
summary { cursor: pointer; padding: .2rem 0 } code { font-size: 14px }
b { display: inline-block; width: 3.5rem } table { border-collapse: collapse; margin: .3rem 0 1rem }
td, th { border: 1px solid #ccc; padding: .1rem .6rem; text-align: left; font-weight: normal }
"""

Document = dict[str, Any]


@router.get("/docs")
@shows_nobody
async def docs(request: Request) -> Response:
    """For people; programs read /openapi.json."""
    text = page(request.app.openapi())
    return Response(text, media_type="text/html; charset=utf-8", headers=HEADERS)


def page(document: Document) -> str:
    """The whole page."""
    info = document["info"]
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            shown = _operation(method.upper(), path, operation, document)
            by_tag[operation.get("tags", ["其他 more"])[0]].append(shown)
    sections = [f"<h2>{escape(tag)}</h2>{''.join(shown)}" for tag, shown in by_tag.items()]
    return (
        f'<!doctype html><html lang="zh"><meta charset="utf-8">'
        f"<title>接口说明 Interface · {escape(info['title'])}</title><style>{STYLE}</style>"
        f"<h1>接口说明 Interface</h1><p>{escape(info['title'])} {escape(info['version'])}</p>"
        f"<p>{escape(info.get('description', ''))}</p>"
        f'<p><a href="/openapi.json">/openapi.json</a></p>{"".join(sections)}</html>'
    )


def _operation(method: str, path: str, operation: Document, document: Document) -> str:
    rows = [
        (p["name"], p["in"], p.get("required", False), _kind(p["schema"], document))
        for p in operation.get("parameters", [])
    ]
    rows += _fields(operation, document)
    table = "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(where)}<td>{'必填 required' * needed}"
        f"<td>{escape(kind)}"
        for name, where, needed, kind in rows
    )
    head = "<tr><th>名称 name<th>位置 in<th><th>类型 type"
    return (
        f"<details><summary><b>{method}</b> <code>{escape(path)}</code> "
        f"{escape(operation.get('summary', ''))}</summary>"
        f"<p>{escape(operation.get('description', ''))}</p>"
        + (f"<table>{head}{table}</table>" if rows else "")
        + "</details>"
    )


def _fields(operation: Document, document: Document) -> Iterator[tuple[str, str, bool, str]]:
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    for name, field in schema.get("properties", {}).items():
        yield name, "body", name in schema.get("required", ()), _kind(field, document)


def _kind(schema: Document, document: Document, depth: int = 3) -> str:
    """What a value may be, in a few words."""
    if "$ref" in schema and depth:
        name = schema["$ref"].rsplit("/", 1)[1]
        return _kind(document["components"]["schemas"][name], document, depth - 1)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        kinds = [_kind(each, document, depth) for each in schema["anyOf"]]
        return " | ".join(kind for kind in kinds if kind != "null")
    if schema.get("type") == "array":
        return f"[{_kind(schema.get('items', {}), document, depth)}]"
    if "properties" in schema and depth:
        fields = schema["properties"].items()
        return "{" + ", ".join(f"{n}: {_kind(f, document, depth - 1)}" for n, f in fields) + "}"
    return str(schema.get("format") or schema.get("type", "JSON"))
