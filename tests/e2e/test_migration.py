"""A CRM's work moves to another CRM, is read again there, and the old one ends when that is confirmed."""

from __future__ import annotations

import httpx

from tests.e2e.conftest import RunningStack
from tests.e2e.documents import HUBSPOT, ORGANIZATION, SALESFORCE

ROWS = 40


def test_a_crm_is_replaced_by_another_that_holds_the_same_weddings(stack: RunningStack, fresh: str) -> None:
    scenario = {"organizationId": ORGANIZATION, "reportId": "weddings", "rows": ROWS, "dirtyRatio": 0, "seed": 7}
    with httpx.Client(base_url=stack.ready["emulators"], trust_env=False, timeout=300) as control:
        control.post("/_emulators/wedsync/scenario", json=scenario).raise_for_status()
    old = {**HUBSPOT, "integrationId": f"old-{fresh}"}
    new = {**SALESFORCE, "integrationId": f"new-{fresh}"}
    stack.connect(old)
    target = {"integrationId": old["integrationId"]}
    request = {
        "syncId": f"sync-{fresh}",
        "organizationId": ORGANIZATION,
        "sourceReportId": "weddings",
        "targetIntegration": target,
    }
    assert stack.json("sync", "run", stack.file(request))["books"]["read"] == ROWS
    moved = stack.json("integrations", "migrate", old["integrationId"], stack.file(new))
    assert moved["state"] == "paused"
    assert moved["migration"]["phase"] == "cut_over"
    assert (moved["migration"]["records"], moved["migration"]["verified"]) == (ROWS, ROWS)
    ended = stack.json("integrations", "migrate", old["integrationId"], "--confirm", "--organization", ORGANIZATION)
    assert ended["state"] == "disconnected"
    assert stack.versions(old["integrationId"]) == []
    shown = stack.json("integrations", "show", new["integrationId"], "--organization", ORGANIZATION)
    assert shown["state"] == "active"
