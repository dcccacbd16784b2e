"""BI systems on the real stack: a worker that is killed in the middle leaves every row once, and none half."""

from __future__ import annotations

import json
import os
import signal
import time
from random import Random
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import ROOT, RunningStack
from tests.e2e.documents import ORGANIZATION
from tests.support.emulators import Emulators

BASE = f"/v1/organizations/{ORGANIZATION}"
ROWS, SAP = 12_000, "sap_analytics_cloud"
MODEL, FACTS = "Wedding Business Intelligence", "Catering_Costs"
OCCUPANCY = [{"source": name, "target": name} for name in ("weddingId", "venueId", "guestCount")]
CATERERS = [{"field": "supplierCategory", "operator": "eq", "value": "catering"}]
CATERING = [
    {"source": "weddingId", "target": "Wedding"},
    {"source": "weddingDate", "target": "Date"},
    {"target": "Region", "expression": "'Scotland'"},
    {"source": "supplierId", "target": "Supplier"},
    {"source": "guestCount", "target": "Meals"},
]


def sync(api: httpx.Client, example: str, **given: Any) -> str:
    """Begin a sync of all weddings into an example's integration, and return the run's address."""
    document = connection(example)
    body = {
        "organizationId": ORGANIZATION,
        "sourceReportId": "weddings",
        "targetIntegration": {"integrationId": document["integrationId"]},
        **given,
    }
    return str(api.post(f"{BASE}/syncs", json=body).raise_for_status().headers["location"])


def connection(example: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "examples" / f"integration-{example}.json").read_text()))


@pytest.fixture
def connected(stack: RunningStack, api: httpx.Client) -> RunningStack:
    """The stack with both systems connected."""
    for example in ("powerbi", "sap"):
        assert api.post(f"{BASE}/integrations", json=connection(example)).is_success
    return stack


def until_asked(emulators: Emulators, system: str, method: str, path: str, since: int) -> None:
    """Wait for a request that has no answer yet."""
    while not any(
        path in item["path"] and (item["method"], item["status"]) == (method, None)
        for item in emulators.requests(system, since)
    ):
        time.sleep(0.5)  # noqa: TID251 - a test outside Temporal


def ended(api: httpx.Client, location: str) -> dict[str, Any]:
    while (view := api.get(location).raise_for_status().json())["status"] == "running":
        time.sleep(1)  # noqa: TID251 - a test outside Temporal
    return dict(view)


def last(items: list[dict[str, Any]]) -> int:
    return max((item["seq"] for item in items), default=0)


def seed_of_the_second_draw() -> int:
    """Return a seed by which a fault of every other request spares the first one and meets the second."""
    return next(seed for seed in range(100) if (draw := Random(seed)).random() > 0.5 > draw.random())


def hold_the_second(emulators: Emulators, system: str, method: str, path: str) -> None:
    """Leave the second of these requests without an answer."""
    rule = {"delayS": 60, "count": 1, "probability": 0.5, "seed": seed_of_the_second_draw()}
    emulators.fault(system, "hang", method=method, path=path, **rule)


def test_f2_a_worker_killed_between_two_parts_and_during_an_import_leaves_every_row_once(
    connected: RunningStack, api: httpx.Client, emulators: Emulators, fresh: str
) -> None:
    given = {"organizationId": ORGANIZATION, "reportId": "weddings", "rows": ROWS, "dirtyRatio": 0, "seed": 7}
    emulators.control("wedsync", "scenario", given)
    effects = {system: last(emulators.effects(system)) for system in ("powerbi", SAP)}
    requests = {system: last(emulators.requests(system)) for system in effects}
    hold_the_second(emulators, "powerbi", "POST", "rows$")
    hold_the_second(emulators, SAP, "GET", "status$")
    runs = [
        sync(api, "powerbi", syncId=f"sync-bi-{fresh}", dataMapping=OCCUPANCY, targetObject=MODEL),
        sync(api, "sap", syncId=f"sync-sap-{fresh}", dataMapping=CATERING, dataFilters=CATERERS, targetObject=FACTS),
    ]
    until_asked(emulators, SAP, "GET", "/status", requests[SAP])
    while not added(emulators, effects["powerbi"]):
        time.sleep(0.5)  # noqa: TID251 - a test outside Temporal
    until_asked(emulators, "powerbi", "POST", "/rows", requests["powerbi"])
    os.kill(connected.parts()["worker"], signal.SIGKILL)
    assert [ended(api, run)["outcome"] for run in runs] == ["success"] * 2
    [model] = [one["id"] for one in emulators.objects("powerbi", "models") if one["name"] == MODEL]
    pushes = [push for push in emulators.objects("powerbi", "pushes") if push["place"].startswith(model)]
    held = [row["weddingId"] for push in pushes for row in push["rows"]]
    assert (sorted(added(emulators, effects["powerbi"])), len(held), len(set(held))) == ([2_000, 10_000], ROWS, ROWS)
    facts = [fact["row"]["Wedding"] for fact in emulators.objects(SAP, "facts")]
    imported = [one["body"]["rows"] for one in emulators.effects(SAP, effects[SAP]) if one["kind"] == "facts.imported"]
    assert imported == [len(facts)] == [len(set(facts))]


def added(emulators: Emulators, since: int) -> list[int]:
    """Return how many rows each request has added to the model."""
    return [one["body"]["rows"] for one in emulators.effects("powerbi", since) if one["kind"] == "rows.added"]


@pytest.mark.usefixtures("connected")
def test_f30_a_token_that_ends_while_three_syncs_need_it_is_asked_for_once(
    api: httpx.Client, emulators: Emulators, fresh: str
) -> None:
    given = {"organizationId": ORGANIZATION, "reportId": "weddings", "rows": 50, "dirtyRatio": 0, "seed": 7}
    emulators.control("wedsync", "scenario", given)
    first = sync(api, "powerbi", syncId=f"sync-before-{fresh}", dataMapping=OCCUPANCY, targetObject=MODEL)
    assert ended(api, first)["outcome"] == "success"
    issued = tokens(emulators)
    emulators.control("powerbi", "oauth/revoke", {})
    runs = [
        sync(api, "powerbi", syncId=f"sync-{model}-{fresh}", dataMapping=OCCUPANCY, targetObject=f"Model {model}")
        for model in range(3)
    ]
    assert [ended(api, run)["outcome"] for run in runs] == ["success"] * 3
    assert tokens(emulators) == issued + 1


def tokens(emulators: Emulators) -> int:
    return [effect["kind"] for effect in emulators.effects("powerbi")].count("token.issued")
