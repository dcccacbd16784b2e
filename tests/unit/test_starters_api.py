"""The HTTP API's doors: keys, bodies, idempotency, problems, description."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from openapi_schema_validator import OAS31Validator
from temporalio.client import WorkflowHandle

from activities.storage.api_keys import ApiKeyStore, Role
from activities.storage.connections import ConnectionStore
from activities.storage.database import Database, metadata
from contracts import names
from contracts.integration import IntegrationConfiguration, IntegrationState
from contracts.notification import CrossSystemRouting, RoutingResult
from starters.api.app import create_app
from starters.api.settings import ApiSettings
from starters.runs import Run
from workers.settings import Settings

ROUTING = {
    "routingId": "route-1",
    "sourceNotification": {"notificationId": "n-1", "type": "timeline_change", "title": "Moved", "message": "To 15:30"},
    "targetSystems": [{"systemId": "chat", "systemType": "slack", "integrationId": "slack-main"}],
}
PATH = "/v1/organizations/org-a/notifications"


class Starts:
    """A facade that remembers what it was asked to start."""

    def __init__(self) -> None:
        self.routings: list[CrossSystemRouting] = []

    async def start_notification(self, routing: CrossSystemRouting) -> Run[RoutingResult]:
        self.routings.append(routing)
        workflow_id = names.routing_workflow_id(routing.organization_id, routing.routing_id)
        handle: WorkflowHandle[object, RoutingResult] = WorkflowHandle(None, workflow_id)  # type: ignore[arg-type]
        return Run(handle, RoutingResult)


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    found = Settings(data_dir=tmp_path, temporal_address="127.0.0.1:1")
    database = Database(found.database_url)
    async with database.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await database.aclose()
    return found


@pytest.fixture
def starts() -> Starts:
    return Starts()


async def application(settings: Settings, starts: Starts | None) -> FastAPI:
    app = create_app(settings, ApiSettings())
    app.state.gateway._wedsync = starts
    return app


async def key_for(settings: Settings, organization_id: str | None, role: Role = Role.OPERATOR) -> str:
    database = Database(settings.database_url)
    text = await ApiKeyStore(database).issue("test", organization_id, role=role)
    await database.aclose()
    return text


def client_of(app: FastAPI, key: str = "") -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)


@pytest.fixture
async def client(settings: Settings, starts: Starts) -> AsyncIterator[httpx.AsyncClient]:
    app = await application(settings, starts)
    async with client_of(app, await key_for(settings, None)) as found:
        yield found
    await app.state.gateway.aclose()


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_start_answers_202_with_the_place_of_its_run(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=ROUTING)
    assert answer.status_code == 202
    said = answer.json()
    assert answer.headers["location"] == said["url"]
    assert said["url"].endswith(f"/v1/organizations/org-a/runs/{said['runId']}")


async def test_the_same_key_and_body_give_the_same_answer_and_one_start(
    client: httpx.AsyncClient, starts: Starts
) -> None:
    headers = {"Idempotency-Key": "k-1"}
    first = await client.post(PATH, json=ROUTING, headers=headers)
    reordered = json.dumps(dict(reversed(ROUTING.items())), indent=3)
    second = await client.post(PATH, content=reordered, headers=headers)
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert len(starts.routings) == 1


@pytest.mark.parametrize("place", ["notifications", "queries", "etl-runs", "transformations"])
async def test_a_viewer_starts_and_asks_nothing(settings: Settings, starts: Starts, place: str) -> None:
    app = await application(settings, starts)
    async with client_of(app, await key_for(settings, "org-a", Role.VIEWER)) as viewer:
        assert_problem(await viewer.post(f"/v1/organizations/org-a/{place}", json=ROUTING), 403, "role_insufficient")
        assert_problem(await viewer.post(f"/v1/organizations/org-b/{place}", json=ROUTING), 404, "not_found")
    assert starts.routings == []
    await app.state.gateway.aclose()


async def test_an_answer_survives_a_restart_of_the_api(
    client: httpx.AsyncClient, settings: Settings, starts: Starts
) -> None:
    headers = {"Idempotency-Key": "k-1", "Authorization": client.headers["authorization"]}
    first = await client.post(PATH, json=ROUTING, headers=headers)
    again = await application(settings, Starts())
    async with client_of(again) as restarted:
        second = await restarted.post(PATH, json=ROUTING, headers=headers)
    assert second.content == first.content
    await again.state.gateway.aclose()


async def test_a_key_used_for_another_body_is_refused(client: httpx.AsyncClient, starts: Starts) -> None:
    headers = {"Idempotency-Key": "k-1"}
    await client.post(PATH, json=ROUTING, headers=headers)
    assert_problem(
        await client.post(PATH, json={**ROUTING, "routingId": "route-2"}, headers=headers), 409, "idempotency_mismatch"
    )
    assert len(starts.routings) == 1


async def test_a_refused_request_frees_its_key(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k-1"}
    assert_problem(await client.post(PATH, json={"sink": 1}, headers=headers), 422, "invalid_input")
    assert (await client.post(PATH, json=ROUTING, headers=headers)).status_code == 202


async def test_two_organisations_may_use_the_same_key(client: httpx.AsyncClient, starts: Starts) -> None:
    for path in (PATH, "/v1/organizations/org-b/notifications"):
        await client.post(path, json=ROUTING, headers={"Idempotency-Key": "k-1"})
    assert [one.organization_id for one in starts.routings] == ["org-a", "org-b"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({**ROUTING, "sink": "canary-value"}, 422, "unknown_fields"),
        ({**ROUTING, "routingId": "canary value"}, 422, "invalid_input"),
        ({**ROUTING, "organizationId": "org-b"}, 422, "organization_mismatch"),
        ([], 422, "not_an_object"),
    ],
)
async def test_a_body_that_does_not_fit_is_refused_without_its_values(
    client: httpx.AsyncClient, body: Any, status: int, code: str
) -> None:
    answer = await client.post(PATH, json=body)
    assert_problem(answer, status, code)
    assert "canary" not in answer.text


async def test_a_body_that_is_no_json_is_refused(client: httpx.AsyncClient) -> None:
    assert_problem(await client.post(PATH, content=b"{"), 400, "not_json")


async def test_a_body_over_one_mebibyte_is_refused(client: httpx.AsyncClient) -> None:
    assert_problem(await client.post(PATH, content=b" " * ((1 << 20) + 1)), 413, "payload_too_large")


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer wsk_0_0", "Basic eDp5", "Bearer wsk_" + "x" * 5_000])
async def test_without_a_valid_key_nothing_is_said(client: httpx.AsyncClient, header: str) -> None:
    answer = await client.post(PATH, json=ROUTING, headers={"Authorization": header})
    assert_problem(answer, 401, "api_key_refused")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_foreign_organisation_is_not_found(settings: Settings, starts: Starts) -> None:
    app = await application(settings, starts)
    async with client_of(app, await key_for(settings, "org-b")) as foreign:
        assert_problem(await foreign.post(PATH, json=ROUTING), 404, "not_found")
        assert (await foreign.post("/v1/organizations/org-b/notifications", json=ROUTING)).status_code == 202
    assert len(starts.routings) == 1
    await app.state.gateway.aclose()


async def test_a_revoked_key_is_refused_at_once(client: httpx.AsyncClient, settings: Settings) -> None:
    text = client.headers["authorization"].removeprefix("Bearer ")
    database = Database(settings.database_url)
    await ApiKeyStore(database).revoke(text.split("_")[1])
    await database.aclose()
    assert_problem(await client.post(PATH, json=ROUTING), 401, "api_key_refused")


async def test_the_store_holds_no_key_that_can_be_read(settings: Settings) -> None:
    text = await key_for(settings, None)
    secret = text.split("_", 2)[-1].encode()
    files = [path.read_bytes() for path in settings.data_dir.rglob("*") if path.is_file()]
    assert not any(secret in content for content in files)


async def test_with_temporal_away_a_start_is_told_to_come_back(settings: Settings) -> None:
    app = await application(settings, None)
    async with client_of(app, await key_for(settings, None)) as found:
        answer = await found.post(PATH, json=ROUTING)
        ready = await found.get("/readyz")
    assert_problem(answer, 503, "temporal_unreachable")
    assert int(answer.headers["retry-after"]) > 0
    assert (ready.status_code, ready.json()["checks"]["temporal"]) == (503, "temporal_unreachable")
    await app.state.gateway.aclose()


async def test_an_unknown_path_is_a_problem_too(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/v1/nothing"), 404, "not_found")


async def test_the_description_is_openapi_3_1_and_names_every_body(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    schemas = document["components"]["schemas"]
    bodies = [
        operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        for operations in document["paths"].values()
        for operation in operations.values()
        if "requestBody" in operation
    ]
    assert {"CrossSystemRouting", "IntegrationConfiguration", "Wedding"} <= set(bodies)
    for name in bodies:
        OAS31Validator.check_schema(schemas[name])
    text = json.dumps(document)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= schemas.keys()


async def test_the_documentation_page_asks_no_other_host(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "://" not in page.text


ROUTES = "/v1/organizations/org-a/health/routes"


async def test_alert_routes_are_kept_for_their_organisation(client: httpx.AsyncClient, settings: Settings) -> None:
    await connect_slack(settings)
    given = {"routes": [{"integrationId": "slack-main", "channels": [{"channelId": "C0OPS"}]}]}
    assert (await client.put(ROUTES, json=given)).status_code == 200
    held = (await client.get(ROUTES)).json()
    assert [one["integrationId"] for one in held["routes"]] == ["slack-main"]
    assert (await client.get(ROUTES.replace("org-a", "org-b"))).json()["routes"] == []


async def test_a_route_through_an_unknown_integration_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.put(ROUTES, json={"routes": [{"integrationId": "nobody"}]})
    assert_problem(answer, 404, "integration_not_found")


async def test_the_routes_of_another_organisation_are_not_found(settings: Settings, starts: Starts) -> None:
    app = await application(settings, starts)
    async with client_of(app, await key_for(settings, "org-b")) as foreign:
        assert_problem(await foreign.get(ROUTES), 404, "not_found")
        assert_problem(await foreign.put(ROUTES, json={"routes": []}), 404, "not_found")
    await app.state.gateway.aclose()


async def test_health_shows_what_the_checks_found_and_nothing_before_them(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/organizations/org-a/health/board")).json() == {"statuses": []}


EMERGENCIES = "/v1/organizations/org-a/emergencies"
POLICY = "/v1/organizations/org-a/emergency-policies/day"


def policy(**changes: Any) -> dict[str, Any]:
    chat = {"systemId": "ops", "systemType": "slack", "integrationId": "slack-main", "channels": [{"channelId": "C0"}]}
    sound = {
        "policyId": "day",
        "contacts": [{"contactId": "planner", "channels": [chat]}],
        "levels": [{"ackWithin": "PT60S", "contacts": ["planner"]}],
    }
    return {**sound, **changes}


async def test_a_sound_policy_is_kept_for_its_organisation_alone(client: httpx.AsyncClient, settings: Settings) -> None:
    await connect_slack(settings)
    assert (await client.put(POLICY, json=policy())).status_code == 200
    assert (await client.get(POLICY)).json()["levels"][0]["contacts"] == ["planner"]
    assert (await client.get(f"{POLICY}/check")).json()["problems"] == []
    assert_problem(await client.get(POLICY.replace("org-a", "org-b")), 404, "policy_not_found")


async def test_all_that_is_wrong_with_a_policy_is_named_when_it_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.put(POLICY, json=policy(levels=[{"ackWithin": "PT1S", "contacts": ["ghost"]}]))
    assert_problem(answer, 422, "policy_unsound")
    assert all(word in answer.json()["detail"] for word in ("slack-main is not connected", "ghost", "ackWithin"))
    assert_problem(await client.get(POLICY), 404, "policy_not_found")


async def test_a_policy_is_readable_nowhere_in_the_store(client: httpx.AsyncClient, settings: Settings) -> None:
    await connect_slack(settings)
    await client.put(POLICY, json=policy(contacts=[{**policy()["contacts"][0], "role": "canary-role"}]))
    files = [path.read_bytes() for path in settings.data_dir.rglob("*") if path.is_file()]
    assert not any(b"canary-role" in content for content in files)


async def test_an_alert_by_an_unknown_policy_is_refused_before_anything_starts(client: httpx.AsyncClient) -> None:
    notification = {"notificationId": "n-1", "type": "weather_emergency", "title": "Storm", "message": "Indoors."}
    given = {"alertId": "a-1", "notification": notification, "policyId": "nowhere"}
    assert_problem(await client.post(EMERGENCIES, json=given), 404, "policy_not_found")


async def connect_slack(settings: Settings) -> None:
    database = Database(settings.database_url)
    configuration = IntegrationConfiguration(organization_id="org-a", integration_id="slack-main", platform="slack")
    await ConnectionStore(database, settings.load_master_keys()).put(configuration, IntegrationState.ACTIVE)
    await database.aclose()
