"""Health against a real stack: scheduled rounds, what they show, and where alerts go."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from typing import Any

import httpx
from temporalio.client import Client

from contracts import names
from starters.schedules import apply_schedules, list_schedules
from tests.e2e.conftest import ROOT, RunningStack, environment
from tests.e2e.documents import ORGANIZATION
from workers.settings import Settings
from workers.temporal import connect

BASE = f"/v1/organizations/{ORGANIZATION}/health"
ROUTES = {
    "organizationId": ORGANIZATION,
    "routes": [{"integrationId": "slack-main", "channels": [{"channelId": "C0BOOKINGS"}], "minSeverity": "error"}],
}
_PATIENCE_S = 120


async def client_of(stack: RunningStack) -> Client:
    return await connect(Settings(data_dir=stack.data_dir, temporal_address=stack.ready["temporal"]))


async def trigger_all(stack: RunningStack) -> None:
    client = await client_of(stack)
    for schedule in await list_schedules(client):
        if schedule.schedule_id.startswith(names.HEALTH_SCHEDULES):
            await client.get_schedule_handle(schedule.schedule_id).trigger()


def board(api: httpx.Client, *wanted: str) -> dict[str, Any]:
    """Wait until the scheduled checks have found the integrations, and return them by id."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        found = {one["integrationId"]: one for one in api.get(f"{BASE}/board").json()["statuses"]}
        if set(wanted) <= set(found):
            return found
        time.sleep(0.2)  # noqa: TID251 - a test outside Temporal
    message = "the scheduled checks found nothing in time"
    raise AssertionError(message)


def test_a_scheduled_round_checks_every_integration(connected: RunningStack, api: httpx.Client) -> None:
    asyncio.run(trigger_all(connected))
    found = board(api, "slack-main", "hubspot-main")
    assert {found[name]["status"] for name in ("slack-main", "hubspot-main")} == {"healthy"}
    # A look that comes while the account's own limit is at work leaves it to the work.
    assert {found[name]["metrics"][0]["metric"] for name in ("slack-main", "hubspot-main")} <= {
        "connection",
        "headroom",
    }


def test_watching_shows_what_was_found_and_ends_cleanly_with_ctrl_c(connected: RunningStack, api: httpx.Client) -> None:
    asyncio.run(trigger_all(connected))
    board(api, "slack-main")
    command = [sys.executable, "-m", "starters", "health", "--watch", "--json", "--organization", ORGANIZATION]
    watching = subprocess.Popen(
        [*command, "--data-dir", str(connected.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    assert watching.stdout is not None
    shown = json.loads(watching.stdout.readline())
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=_PATIENCE_S)
    assert "slack-main" in {one["integrationId"] for one in shown["statuses"]}
    assert (watching.returncode, errors) == (0, "")


def test_alert_routes_are_set_from_a_file_and_read_over_http(connected: RunningStack, api: httpx.Client) -> None:
    connected.json("health", "routes", connected.file(ROUTES))
    assert (
        connected.json("health", "routes", "show", "--organization", ORGANIZATION) == api.get(f"{BASE}/routes").json()
    )
    assert api.get(f"{BASE}/routes").json()["routes"][0]["integrationId"] == "slack-main"


def test_another_number_of_shards_replaces_the_schedules(stack: RunningStack) -> None:
    async def reshard(shards: int) -> set[str]:
        client = await client_of(stack)
        wanted = {one for one in await apply_schedules(client, shards) if one.startswith(names.HEALTH_SCHEDULES)}
        while True:
            seen = {one.schedule_id for one in await list_schedules(client)}
            if {one for one in seen if one.startswith(names.HEALTH_SCHEDULES)} == wanted:
                return wanted
            await asyncio.sleep(0.2)

    assert len(asyncio.run(reshard(2))) == 3
    assert len(asyncio.run(reshard(8))) == 9
