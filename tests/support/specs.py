"""Validation of sent requests against the vendors' own OpenAPI 3.0 descriptions."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import urllib3
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

SPECS_VARIABLE = "WEDSYNC_SPECS_DIR"
_ROOT = "urn:description"


@dataclass(frozen=True)
class SentRequest:
    """A request as it left the client; `path` has no base path, `body` is parsed JSON or None."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any


def specs_dir(*parts: str) -> Path:
    """Return a folder of the vendors' descriptions; skip the test when there is none."""
    beside = Path(__file__).parents[2].parent / "shared" / "specs"
    folder = Path(os.environ.get(SPECS_VARIABLE, beside)).joinpath(*parts)
    if not folder.is_dir():
        pytest.skip(f"The vendor's API descriptions are not here; name their folder in {SPECS_VARIABLE}.")
    return folder


def record_urllib3(monkeypatch: pytest.MonkeyPatch, base_url: str) -> list[SentRequest]:
    """Return a list that collects every request urllib3 sends below `base_url` during the test."""
    sent: list[SentRequest] = []
    real = urllib3.PoolManager.urlopen

    def urlopen(self: urllib3.PoolManager, method: str, url: str, *args: Any, **kw: Any) -> Any:
        if url.startswith(base_url):
            parts, body = urlsplit(url[len(base_url) :]), kw.get("body")
            parsed = None if body in {None, ""} else json.loads(body)
            sent.append(SentRequest(method, unquote(parts.path), parse_qs(parts.query), parsed))
        return real(self, method, url, *args, **kw)

    monkeypatch.setattr(urllib3.PoolManager, "urlopen", urlopen)
    return sent


class OpenApi:
    """The operations of one or more OpenAPI 3.0 documents.

    Args:
        documents: JSON files; where two describe the same path, the first one rules.
        closed: whether a field the description does not name is a fault, even where the description leaves it open.
    """

    def __init__(self, *documents: Path, closed: bool = True) -> None:
        self._operations: list[tuple[re.Pattern[str], str, dict[str, Any], dict[str, Any], Registry[Any]]] = []
        for path in documents:
            document = json.loads(path.read_text(encoding="utf-8"))
            if closed:
                _close(document)
            resource = Resource(contents=document, specification=DRAFT4)  # type: ignore[call-arg]
            registry: Registry[Any] = Registry().with_resource(_ROOT, resource)
            for template, item in sorted(document["paths"].items(), key=lambda entry: entry[0].count("{")):
                for method, operation in item.items():
                    if method in {"get", "put", "post", "patch", "delete"}:
                        parameters = [*item.get("parameters", []), *operation.get("parameters", [])]
                        merged = {**operation, "parameters": parameters}
                        self._operations.append((_pattern(template), method.upper(), merged, document, registry))

    def problems(self, request: SentRequest) -> list[str]:
        """Return what is wrong with a request, in words; nothing when the vendor's description allows it."""
        for pattern, method, operation, document, registry in self._operations:
            if method == request.method and pattern.fullmatch(request.path):
                return [*_query_problems(operation, document, request), *_body_problems(operation, registry, request)]
        return [f"{request.method} {request.path} is not described"]


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]+\}", template)
    return re.compile("[^/]+".join(re.escape(part) for part in parts))


def _resolved(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in value:
        found: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        value = found
    return value


def _query_problems(operation: dict[str, Any], document: dict[str, Any], request: SentRequest) -> Iterator[str]:
    parameters = [_resolved(document, parameter) for parameter in operation["parameters"]]
    declared = {parameter["name"]: parameter for parameter in parameters if parameter["in"] == "query"}
    yield from (f"the query parameter {name} is not described" for name in request.query if name not in declared)
    for name, parameter in declared.items():
        if parameter.get("required") and name not in request.query:
            yield f"the query parameter {name} is missing"


def _body_problems(operation: dict[str, Any], registry: Registry[Any], request: SentRequest) -> Iterator[str]:
    described = operation.get("requestBody")
    if described is None:
        if request.body is not None:
            yield "the body is not described"
        return
    if request.body is None:
        if described.get("required"):
            yield "the body is missing"
        return
    schema = described["content"]["application/json"]["schema"]
    validator = OAS30Validator(_anchored(schema), registry=registry)
    for error in validator.iter_errors(request.body):
        yield f"{error.json_path}: {error.message}"


def _anchored(schema: Any) -> Any:
    """The schema with its references pointing into the document, wherever it is looked at."""
    if isinstance(schema, list):
        return [_anchored(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _ROOT + inner if name == "$ref" and isinstance(inner, str) else _anchored(inner)
        for name, inner in schema.items()
    }


def _close(value: Any) -> None:
    if isinstance(value, dict):
        if value.get("properties") and value.get("type") == "object":
            value.setdefault("additionalProperties", False)
        for inner in value.values():
            _close(inner)
    elif isinstance(value, list):
        for inner in value:
            _close(inner)
