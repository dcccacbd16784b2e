"""What the emulated vendors answer is valid against the vendors' own machine-readable descriptions."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft4Validator

from emulators import asana, hubspot, slack, square, tave
from emulators.core import State, build_app

SPECS = Path(os.environ.get("WEDSYNC_SPECS_DIR", Path(__file__).parents[2].parent / "shared" / "specs"))
HUBSPOT = {"Authorization": "Bearer sandbox-hubspot-token"}
SLACK = {"Authorization": "Bearer sandbox-slack-token"}
TAVE = {"X-API-KEY": "sandbox-tave-key"}
WEDDINGS: dict[str, Any] = {
    "name": "weddings",
    "labels": {"singular": "Wedding", "plural": "Weddings"},
    "primaryDisplayProperty": "wedsync_id",
    "requiredProperties": ["wedsync_id"],
    "searchableProperties": [],
    "secondaryDisplayProperties": [],
    "allowsSensitiveProperties": False,
    "associatedObjects": ["CONTACT"],
    "properties": [
        {"name": "wedsync_id", "label": "Id", "type": "string", "fieldType": "text", "hasUniqueValue": True}
    ],
}


@cache
def spec(name: str) -> dict[str, Any]:
    path = SPECS / name
    if not path.exists():
        pytest.skip(f"The vendor's description {name} is not here; WEDSYNC_SPECS_DIR says where to look.")
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if ".yaml" in path.suffixes:
        raw = json.dumps(yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)), default=str).encode()
    found: dict[str, Any] = json.loads(raw)
    return found


def as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0 nullability as JSON Schema; read-only markers have no meaning in answers."""
    if isinstance(node, list):
        return [as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: as_json_schema(value) for key, value in node.items() if key != "nullable"}
    if node.get("nullable") is True and "type" in plain:
        plain["type"] = [plain["type"], "null"]
        if "enum" in plain and None not in plain["enum"]:
            plain["enum"] = [*plain["enum"], None]
    return plain


def objections(document: dict[str, Any], schema: dict[str, Any], body: Any) -> list[str]:
    whole = {**as_json_schema({key: document[key] for key in ("components", "definitions") if key in document})}
    validator = Draft4Validator({**whole, **as_json_schema(schema)})
    return [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in validator.iter_errors(body)
    ]


def documented(document: dict[str, Any], path: str, method: str, answer: httpx.Response) -> dict[str, Any]:
    responses = document["paths"][path][method]["responses"]
    declared = responses.get(str(answer.status_code)) or responses["default"]
    declared = document["components"]["responses"][declared["$ref"].split("/")[-1]] if "$ref" in declared else declared
    content: dict[str, Any] = next(iter(declared["content"].values()))["schema"]
    return content


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    state = State()
    app = build_app([build(state) for build in (hubspot.build, slack.build, tave.build, asana.build, square.build)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vendors.test") as opened:
        yield opened
    state.close()


def batch(*emails: str) -> dict[str, Any]:
    return {
        "inputs": [
            {"id": email, "idProperty": "email", "objectWriteTraceId": email, "properties": {"firstname": "A"}}
            for email in emails
        ]
    }


SEARCH = {
    "filterGroups": [{"filters": [{"propertyName": "email", "operator": "EQ", "value": "anna.fisher@example.com"}]}]
}
NOTE = {
    "properties": {"hs_timestamp": "2027-06-12T00:00:00Z", "hs_note_body": "x"},
    "associations": [
        {"to": {"id": "501"}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]}
    ],
}
GROUP = "contactinformation"
PROPERTY = {"name": "wedsync_key", "label": "Key", "type": "string", "fieldType": "text", "groupName": GROUP}
OBJECTS, ONE = "/crm/objects/2026-09/{objectType}", "/crm/objects/2026-09/{objectType}/{objectId}"
HUBSPOT_CALLS: list[tuple[str, str, str, str, Any, int]] = [
    ("contacts.json", ONE, "get", "/crm/objects/2026-09/contacts/501", None, 200),
    ("contacts.json", ONE, "get", "/crm/objects/2026-09/contacts/9", None, 404),
    ("contacts.json", ONE, "patch", "/crm/objects/2026-09/contacts/501", {"properties": {"city": "Bath"}}, 200),
    ("contacts.json", ONE, "patch", "/crm/objects/2026-09/contacts/501", {"properties": {"nope": "1"}}, 400),
    ("contacts.json", OBJECTS, "get", "/crm/objects/2026-09/contacts", None, 200),
    ("contacts.json", f"{OBJECTS}/search", "post", "/crm/objects/2026-09/contacts/search", SEARCH, 200),
    (
        "contacts.json",
        f"{OBJECTS}/batch/upsert",
        "post",
        "/crm/objects/2026-09/contacts/batch/upsert",
        batch("a@x.yz"),
        200,
    ),
    ("notes.json", OBJECTS, "post", "/crm/objects/2026-09/notes", NOTE, 201),
    (
        "schemas.json",
        "/crm-object-schemas/2026-09/schemas",
        "post",
        "/crm-object-schemas/2026-09/schemas",
        WEDDINGS,
        201,
    ),
    ("schemas.json", "/crm-object-schemas/2026-09/schemas", "get", "/crm-object-schemas/2026-09/schemas", None, 200),
    (
        "properties.json",
        "/crm/properties/2026-09/{objectType}",
        "post",
        "/crm/properties/2026-09/contacts",
        PROPERTY,
        201,
    ),
    ("properties.json", "/crm/properties/2026-09/{objectType}", "get", "/crm/properties/2026-09/contacts", None, 200),
    ("pipelines.json", "/crm/pipelines/2026-09/{objectType}", "get", "/crm/pipelines/2026-09/deals", None, 200),
    (
        "associations.json",
        "/crm/objects/2026-09/{fromObjectType}/{fromObjectId}/associations/default/{toObjectType}/{toObjectId}",
        "put",
        "/crm/objects/2026-09/contacts/501/associations/default/companies/601",
        None,
        200,
    ),
]


@pytest.mark.parametrize(("file", "path", "method", "url", "body", "status"), HUBSPOT_CALLS)
async def test_a_hubspot_answer_has_the_documented_shape(
    client: httpx.AsyncClient, file: str, path: str, method: str, url: str, body: Any, status: int
) -> None:
    document = spec(f"hubspot/2026-09/{file}")
    answer = await client.request(method.upper(), f"/hubspot{url}", json=body, headers=HUBSPOT)
    assert answer.status_code == status
    assert objections(document, documented(document, path, method, answer), answer.json()) == []


async def test_a_hubspot_multi_status_answer_has_the_documented_v3_shape(client: httpx.AsyncClient) -> None:
    document = spec("hubspot/v3/objects.json")
    body = batch("a@x.yz", "b@x.yz")
    body["inputs"][1]["properties"]["nope"] = "1"
    answer = await client.post("/hubspot/crm/v3/objects/contacts/batch/upsert", json=body, headers=HUBSPOT)
    schema = document["components"]["schemas"]["BatchResponseSimplePublicUpsertObjectWithErrors"]
    assert (answer.status_code, objections(document, schema, answer.json())) == (207, [])


MAPPING = {"id": "wed-2", "url": "https://app.wedsync.example.com/weddings/wed-2"}
TAVE_CALLS: list[tuple[str, str, str, Any, int]] = [
    ("/studio/me", "get", "/studio/me", None, 200),
    ("/job", "get", "/job?externalMappingId=wed-1001", None, 200),
    ("/job", "post", "/job", {"name": "W", "stage": "lead", "externalMappings": [MAPPING]}, 201),
    ("/job", "post", "/job", {"stage": "cancelled"}, 400),
    ("/job/{id}", "get", "/job/job-77", None, 200),
    ("/job/{id}", "put", "/job/job-77", {"customFields": [{"fieldId": "cf-conflict", "value": "x"}]}, 200),
    ("/event", "get", "/event?jobId=job-77", None, 200),
    ("/event/{id}", "put", "/event/sess-1", {"startDate": "2027-06-12", "startTime": "14:00"}, 200),
    ("/note", "post", "/note", {"jobId": "job-77", "contentHtml": "<p>x</p>"}, 201),
    ("/note", "get", "/note?jobId=job-77", None, 200),
    ("/custom-field", "get", "/custom-field", None, 200),
    ("/event-type", "get", "/event-type", None, 200),
    ("/timezone", "get", "/timezone", None, 200),
]


@pytest.mark.parametrize(("path", "method", "url", "body", "status"), TAVE_CALLS)
async def test_a_vsco_workspace_answer_has_the_documented_shape(
    client: httpx.AsyncClient, path: str, method: str, url: str, body: Any, status: int
) -> None:
    document = spec("tave/vsco-workspace-v2-openapi.json.gz")
    answer = await client.request(method.upper(), f"/tave/api/v2{url}", json=body, headers=TAVE)
    assert answer.status_code == status
    assert objections(document, documented(document, path, method, answer), answer.json()) == []


async def test_a_vsco_workspace_quota_answer_has_the_documented_shape(client: httpx.AsyncClient) -> None:
    document = spec("tave/vsco-workspace-v2-openapi.json.gz")
    await client.post("/_emulators/tave/faults", json={"kind": "rate_limit", "retryAfter": 5})
    answer = await client.get("/tave/api/v2/studio/me", headers=TAVE)
    assert objections(document, document["components"]["schemas"]["Error"], answer.json()) == []
    assert (answer.json()["type"], answer.headers["Retry-After"]) == ("quota-limit", "5")


TASK = {
    "data": {"name": "W", "due_on": "2027-06-12", "projects": [asana.PROJECT], "external": {"gid": "e", "data": "x"}}
}


async def test_every_asana_answer_has_the_documented_shape(client: httpx.AsyncClient) -> None:
    document, found = spec("asana/asana_oas.yaml.gz"), []

    async def ask(path: str, method: str, url: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {asana.TOKEN}"}
        answer = await client.request(method, f"/asana/api/1.0{url}", json=body, headers=headers)
        declared = documented(document, path, method, answer)
        found.append((path, method, answer.status_code, objections(document, declared, answer.json())))
        return answer.json()

    task, stories, story = "/tasks/{task_gid}", "/tasks/{task_gid}/stories", "/stories/{story_gid}"
    await ask("/projects/{project_gid}", "get", f"/projects/{asana.PROJECT}")
    await ask("/tasks", "post", "/tasks", TASK)
    await ask("/tasks", "post", "/tasks", {"data": {"name": 7, "projects": [asana.PROJECT]}})
    await ask(task, "get", "/tasks/external:e")
    await ask(task, "get", "/tasks/external:none")
    await ask(task, "put", "/tasks/external:e", {"data": {"completed": True}})
    made = await ask(stories, "post", "/tasks/external:e/stories", {"data": {"text": "x"}})
    await ask(stories, "post", "/tasks/external:e/stories", {"data": {"text": "y"}})
    await ask(stories, "get", "/tasks/external:e/stories?limit=1")
    await ask(story, "put", f"/stories/{made['data']['gid']}", {"data": {"text": "z"}})
    await ask(story, "delete", f"/stories/{made['data']['gid']}")
    statuses = [status for _, _, status, _ in found]
    assert [one for one in found if one[3]] == []
    assert statuses == [200, 201, 400, 200, 404, 200, 201, 201, 200, 200, 200]


async def test_every_square_answer_has_the_documented_shape(client: httpx.AsyncClient) -> None:
    document, headers = spec("square/api.json.gz"), {"Authorization": f"Bearer {square.TOKEN}"}
    order = {"order": {"location_id": square.LOCATION, "version": 1, "ticket_name": "F"}, "idempotency_key": "k"}
    asked = [
        ("/v2/merchants/{merchant_id}", "get", "/v2/merchants/me", None, 200),
        ("/v2/orders/{order_id}", "get", f"/v2/orders/{square.ORDER}", None, 200),
        ("/v2/orders/{order_id}", "put", f"/v2/orders/{square.ORDER}", order, 200),
        (
            "/v2/orders/{order_id}",
            "put",
            f"/v2/orders/{square.ORDER}",
            {"order": {"location_id": square.LOCATION}},
            400,
        ),
        ("/v2/orders/{order_id}", "get", "/v2/orders/none", None, 404),
    ]
    for path, method, url, body, status in asked:
        answer = await client.request(method, f"/square{url}", json=body, headers=headers)
        schema = document["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        assert (url, answer.status_code, objections(document, schema, answer.json())) == (url, status, [])


SLACK_CALLS: list[tuple[str, dict[str, str]]] = [
    ("auth.test", {}),
    ("team.info", {}),
    ("chat.postMessage", {"channel": "C0WEDDINGS", "text": "x"}),
    ("chat.postMessage", {"channel": "C0PRIVATE", "text": "x"}),
    ("conversations.info", {"channel": "C0WEDDINGS"}),
    ("conversations.list", {}),
]


@pytest.mark.parametrize(("name", "arguments"), SLACK_CALLS)
async def test_a_slack_answer_has_the_documented_required_fields(
    client: httpx.AsyncClient, name: str, arguments: dict[str, str]
) -> None:
    document = spec("slack/slack_web_openapi_v2.json.gz")
    answer = (await client.post(f"/slack/api/{name}", data=arguments, headers=SLACK)).json()
    responses = next(iter(document["paths"][f"/{name}"].values()))["responses"]
    schema = responses["200" if answer["ok"] else "default"]["schema"]
    # The archived description of 2021 lacks later fields, so only the top level's names and types are held to it.
    top = {key: _shallow(document, value) for key, value in schema["properties"].items()}
    outline = {"type": "object", "required": schema["required"], "properties": top}
    assert objections(document, outline, answer) == []


def _shallow(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    target = document["definitions"][node["$ref"].split("/")[-1]] if "$ref" in node else node
    return {key: target[key] for key in ("type", "pattern", "enum") if isinstance(target.get(key), str | list)}
