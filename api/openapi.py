"""接口说明: the OpenAPI document of a node, complete in itself."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.access.reading import Reading, reading_of
from api.access.words import PURPOSES
from api.problems import MEDIA_TYPE

PROBLEM = {
    "title": "Problem",
    "description": "RFC 9457; further members are the evidence.",
    "type": "object",
    "required": ["type", "title", "status", "instance"],
    "properties": {
        "type": {"type": "string", "examples": ["/problems/not-found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "instance": {"type": "string"},
        "mend": {"type": "string", "description": "可以怎么办 what to do about it"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}
_REFUSED = {
    "description": "拒绝 refused",
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_OF_FASTAPI = ("HTTPValidationError", "ValidationError")


def _purpose(reading: Reading) -> dict[str, Any]:
    unless = f"; {reading.purpose} unless said otherwise" if reading.purpose else ""
    return {
        "name": "Waystation-Purpose",
        "in": "header",
        "required": reading.purpose is None,
        "description": f"查阅用途 what the data is needed for{unless}",
        "schema": {"type": "string", "enum": list(PURPOSES)},
    }


def install(app: FastAPI) -> None:
    """Let an application describe itself; worked out when first asked for."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def describe(app: FastAPI) -> dict[str, Any]:
    """The document: models that only a body names among the others, every refusal a problem."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = _REFUSED
            for content in operation.get("requestBody", {}).get("content", {}).values():
                schemas.update(content["schema"].pop("$defs", {}))
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            if (reading := reading_of(route)) is None:
                continue
            for method in route.methods or ():
                operation = document["paths"][route.path_format][method.lower()]
                operation.setdefault("parameters", []).append(_purpose(reading))
    for name in _OF_FASTAPI:
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM
    return document
