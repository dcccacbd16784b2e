"""What a vendor's Swagger description does not know of a request."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx


def problems(described: dict[str, Any], request: httpx.Request, status: int) -> list[str]:
    """Return what the vendor's Swagger description does not know of a request and its answer."""
    path = request.url.path.removeprefix("/powerbi")
    for template, item in described["paths"].items():
        pattern = "[^/]+".join(re.escape(part) for part in re.split(r"\{[^}]+\}", template))
        operation = item.get(request.method.lower())
        if operation is None or not re.fullmatch(pattern, path):
            continue
        parameters = {one["name"]: one for one in operation["parameters"]}
        found = [f"{template}: query {name}" for name in request.url.params if name not in parameters]
        if str(status) not in operation["responses"]:
            found.append(f"{template}: status {status}")
        [body] = [one["schema"] for one in parameters.values() if one["in"] == "body"] or [None]
        if body is not None and request.content:
            found += unknown(described, body, json.loads(request.content), template)
        return found
    return [f"{request.method} {path} is not described"]


def unknown(described: dict[str, Any], schema: dict[str, Any], value: Any, where: str) -> list[str]:
    """Return the fields and words of a body that its schema does not have, and those that it lacks."""
    if "$ref" in schema:
        schema = described["definitions"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list):
        return [one for item in value for one in unknown(described, schema.get("items", {}), item, where)]
    if not isinstance(value, dict):
        return [] if value in schema.get("enum", [value]) else [f"{where}: the word {value}"]
    properties = schema.get("properties")
    found = [f"{where}: lacks {name}" for name in schema.get("required", []) if name not in value]
    if properties is None:
        return found
    found += [f"{where}: {name}" for name in value if name not in properties]
    return found + [
        one
        for name, inner in value.items()
        if name in properties
        for one in unknown(described, properties[name], inner, f"{where}/{name}")
    ]
