"""Connections whose tokens end, are refused or lose a scope, on the session's stack."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import ROOT, RunningStack, environment
from tests.e2e.documents import HUBSPOT, ORGANIZATION, SALESFORCE
from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client
from tests.support.oauth import OAuthApp

EXAMPLES = Path(__file__).parents[2] / "examples"
UPSERTS = "/batch/upsert"
WEDDINGS = 300


@pytest.fixture
def app(stack: RunningStack) -> Iterator[OAuthApp]:
    with loopback_client(stack.ready["emulators"]) as client:
        yield OAuthApp(client, "hubspot", "sandbox-hubspot-client", "sandbox-hubspot-secret", "", "")


def consent(url: str) -> httpx.Response:
    """Grant access at the address of a consent page, as a browser does."""
    params = {**dict(httpx.URL(url).params), "approve": "1"}
    return httpx.get(url, params=params, follow_redirects=True, trust_env=False, timeout=300)


@pytest.fixture
def granted(stack: RunningStack, fresh: str) -> str:
    """The id of an integration that was connected by consent."""
    document = {**HUBSPOT, "integrationId": f"crm-{fresh}", "connectionConfig": {}}
    begun = stack.json("integrations", "authorize", stack.file(document), "--no-wait")
    assert consent(begun["url"]).status_code == 200
    return str(document["integrationId"])


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


def refreshes(app: OAuthApp) -> int:
    return int(app.counts()["requests"]["refresh_token"])


def upserts(emulators: Emulators, since: int) -> list[int]:
    return [one["status"] for one in emulators.requests("hubspot", since) if one["path"].endswith(UPSERTS)]


def test_f29_a_token_that_ends_during_a_sync_is_renewed_once_and_nothing_is_sent_again(
    stack: RunningStack, emulators: Emulators, app: OAuthApp, granted: str, fresh: str
) -> None:
    scenario = {"organizationId": ORGANIZATION, "reportId": "weddings", "rows": WEDDINGS, "dirtyRatio": 0, "seed": 7}
    app.client.post("/_emulators/wedsync/scenario", json=scenario).raise_for_status()
    before, since = refreshes(app), max(one["seq"] for one in emulators.requests("hubspot"))
    emulators.fault("hubspot", "expire_token", path=UPSERTS, count=1)
    target = {"integrationId": granted}
    request = {**example("sync-report"), "syncId": f"sync-{fresh}", "targetIntegration": target, "dataFilters": []}
    result = stack.json("sync", "run", stack.file(request))
    assert result["status"] == "success"
    assert result["books"]["read"] == WEDDINGS
    assert sorted(upserts(emulators, since)) == [200, 200, 200, 401]
    assert refreshes(app) - before == 1


def test_f33_a_scope_that_was_taken_away_fails_what_needs_it_and_nothing_else(
    stack: RunningStack, emulators: Emulators, granted: str, fresh: str
) -> None:
    number = emulators.fault("hubspot", "status", method="POST", path="/objects/notes", status=403)
    try:
        done = stack.cli("notify", stack.file(only_crm(fresh, granted)), "--json")
    finally:
        emulators.clear_faults("hubspot")
    assert number
    (target,) = json.loads(done.stdout)["systemResults"]
    told = {item["kind"]: item for item in target["deliveryResults"]}
    assert told["note.create"]["error"]["code"] == "missing_permission"
    assert {item["status"] for kind, item in told.items() if kind != "note.create"} == {"success"}
    assert stack.json("integrations", "show", granted, "--organization", ORGANIZATION)["state"] == "active"


def only_crm(fresh: str, integration_id: str) -> dict[str, Any]:
    document = {**example("route-notification"), "routingId": fresh}
    targets = [
        {**target, "integrationId": integration_id}
        for target in document["targetSystems"]
        if target["systemType"] == "hubspot"
    ]
    return {**document, "targetSystems": targets}


def test_a_consent_is_good_once_and_only_with_its_state(stack: RunningStack, fresh: str) -> None:
    document = {**HUBSPOT, "integrationId": f"crm-{fresh}", "connectionConfig": {}}
    url = stack.json("integrations", "authorize", stack.file(document), "--no-wait")["url"]
    callback = f"{stack.ready['api']}/v1/oauth/callback"
    forged = httpx.get(callback, params={"state": "x" * 43, "code": "y"}, trust_env=False, timeout=300)
    first = consent(url)
    replayed = httpx.get(str(first.url), trust_env=False, timeout=300)
    assert [answer.status_code for answer in (forged, first, replayed)] == [400, 200, 400]
    assert "not asked for" in replayed.text


def test_a_declined_consent_connects_nothing(stack: RunningStack, fresh: str) -> None:
    document = {**HUBSPOT, "integrationId": f"crm-{fresh}", "connectionConfig": {}}
    url = stack.json("integrations", "authorize", stack.file(document), "--no-wait")["url"]
    params = {**dict(httpx.URL(url).params), "approve": "0"}
    page = httpx.get(url, params=params, follow_redirects=True, trust_env=False, timeout=300)
    assert page.status_code == 400
    listed = stack.json("integrations", "list", "--organization", ORGANIZATION)["integrations"]
    assert document["integrationId"] not in [one["integrationId"] for one in listed]


def test_the_command_that_prints_the_address_waits_until_access_is_granted(stack: RunningStack, fresh: str) -> None:
    document = {**HUBSPOT, "integrationId": f"crm-{fresh}", "connectionConfig": {}}
    command = [sys.executable, "-m", "starters", "integrations", "authorize", stack.file(document), "--json"]
    waiting = subprocess.Popen(
        [*command, "--data-dir", str(stack.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    assert waiting.stderr is not None
    url = next(line.strip() for line in waiting.stderr if line.startswith("http"))
    assert consent(url).status_code == 200
    out, _ = waiting.communicate(timeout=300)
    assert (waiting.returncode, json.loads(out)["state"]) == (0, "active")


def test_over_http_an_integration_is_granted_reconfigured_and_moved(
    stack: RunningStack, api: httpx.Client, fresh: str
) -> None:
    base = f"/v1/organizations/{ORGANIZATION}/integrations"
    document = {**HUBSPOT, "integrationId": f"crm-{fresh}", "connectionConfig": {}}
    begun = api.post(f"{base}/authorizations", json=document)
    assert begun.status_code == 201
    assert consent(begun.json()["url"]).status_code == 200
    mapped = {**document, "dataMapping": HUBSPOT["dataMapping"][:2]}
    assert api.put(f"{base}/crm-{fresh}", json=mapped).json()["state"] == "active"
    moved = api.post(f"{base}/crm-{fresh}/migration", json={**SALESFORCE, "integrationId": f"new-{fresh}"})
    assert moved.status_code == 202
    stack.json("integrations", "disconnect", f"crm-{fresh}", "--organization", ORGANIZATION)
