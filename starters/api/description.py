"""The OpenAPI description of bodies and errors that handlers read by themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from contracts.base import Contract

_REF = "#/components/schemas/{model}"
_described: dict[str, type[Contract]] = {}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What happened, whose job it is and what to do next."},
        "code": {"type": "string", "description": "Stable machine-readable code."},
        "kind": {"type": "string"},
        "owner": {"type": "string"},
        "action": {"type": "string"},
        "system": {"type": "string"},
    },
}


def body(model: type[Contract]) -> dict[str, Any]:
    """Return the description of a JSON body of this contract."""
    _described[model.__name__] = model
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe(app: FastAPI) -> None:
    """Make the application's OpenAPI document complete."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _complete(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign] # FastAPI's documented way to extend the description


def _complete(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, model in _described.items():
        schema = model.model_json_schema(by_alias=True, ref_template=_REF)
        for inner, definition in schema.pop("$defs", {}).items():
            schemas.setdefault(inner, definition)
        schemas[name] = schema
    schemas["Problem"] = _PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    content = {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}}
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = {"description": "What went wrong.", "content": content}
