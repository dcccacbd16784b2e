"""Killed workers: `python -m tests.benchmarks.bench_kill` prints how long each step waited for another as JSON.

A step hangs at its vendor when `wedsync up`'s worker is killed; measured is the time until the server has given the
step to another worker, by the server's own clock. The machine's clock is the server's.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client

from contracts.names import etl_workflow_id, sync_workflow_id
from tests.e2e.conftest import RunningStack
from tests.e2e.documents import HUBSPOT, ORGANIZATION
from tests.e2e.test_faults import ended, example
from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client, patient_client

ROWS = 2_000
POLL_S = 0.05
BEATS_S = 2.5
"""How long a step works before its worker is killed: long enough for its first beat."""
STARTED = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
REPORT = {"kind": "wedsync", "reportId": "weddings"}


@dataclass(frozen=True)
class Step:
    """A step of a run, its vendor, and how that is made to hang."""

    activity: str
    vendor: str
    run: Callable[[str], tuple[str, dict[str, Any], str]]
    hang: Callable[[Emulators], object]


def load(key: str) -> tuple[str, dict[str, Any], str]:
    """Return the path, body and workflow id of a warehouse load."""
    given = {"etlId": key, "organizationId": ORGANIZATION, "targetIntegration": {"integrationId": "snowflake-main"}}
    return "etl-runs", {**given, "source": REPORT}, etl_workflow_id(ORGANIZATION, "snowflake-main", key)


def sync(key: str) -> tuple[str, dict[str, Any], str]:
    """Return the path, body and workflow id of a sync of records."""
    given = {"syncId": key, "organizationId": ORGANIZATION, "targetIntegration": {"integrationId": "hubspot-main"}}
    return "syncs", {**given, "sourceReportId": "weddings"}, sync_workflow_id(ORGANIZATION, "hubspot-main", key)


STEPS = {
    "push": Step(
        "sync.push_records", "hubspot", sync, lambda at: at.fault("hubspot", "hang", path="upsert", delayS=60, count=1)
    ),
    "marts": Step("etl.load_marts", "snowflake", load, lambda at: at.hang("MERGE INTO WEDDING_MARTS.FACT_WEDDINGS")),
    "extract": Step(
        "etl.extract", "wedsync", load, lambda at: at.fault("wedsync", "hang", path="records", delayS=60, count=1)
    ),
}


async def taken(address: str, workflow_id: str, activity: str, attempt: int) -> float:
    """Return the instant at which a worker took an attempt of a step, or a later one."""
    handle = (await Client.connect(address)).get_workflow_handle(workflow_id)
    while True:
        for pending in (await handle.describe()).raw_description.pending_activities:
            if (pending.activity_type.name, pending.state) == (activity, STARTED) and pending.attempt >= attempt:
                return pending.last_started_time.ToNanoseconds() / 1e9
        await asyncio.sleep(POLL_S)


def recovery(stack: RunningStack, api: httpx.Client, at: Emulators, name: str) -> float:
    """Return the seconds from the kill of a step's worker until another one had the step."""
    step, address = STEPS[name], stack.ready["temporal"]
    path, body, workflow_id = step.run(f"killed-{name}")
    asked = max((item["seq"] for item in at.requests(step.vendor)), default=0)
    step.hang(at)
    location = api.post(f"/v1/organizations/{ORGANIZATION}/{path}", json=body).raise_for_status().headers["location"]
    while not any(item["status"] in {0, None} for item in at.requests(step.vendor, asked)):
        time.sleep(POLL_S)  # noqa: TID251 - a measurement outside Temporal
    time.sleep(BEATS_S)  # noqa: TID251 - a measurement outside Temporal
    killed = time.time()
    os.kill(stack.parts()["worker"], signal.SIGKILL)
    # As the vendor does once the lock of a silent session is in somebody's way.
    at.abort_abandoned("snowflake")
    again = asyncio.run(taken(address, workflow_id, step.activity, 2))
    ended(api, location)
    return again - killed


def measure(stack: RunningStack, api: httpx.Client, at: Emulators) -> dict[str, float]:
    """Return the seconds of every step."""
    at.control("wedsync", "scenario", {"organizationId": ORGANIZATION, "reportId": "weddings", "rows": ROWS})
    for given in (HUBSPOT, example("integration-snowflake")):
        api.post(f"/v1/organizations/{ORGANIZATION}/integrations", json=given).raise_for_status()
    return {name: recovery(stack, api, at, name) for name in STEPS}


def main() -> None:
    """Print the figures as one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder) / "data")
        stack.start()
        headers = {"Authorization": f"Bearer {stack.ready['api_key']}"}
        try:
            with (
                loopback_client(stack.ready["emulators"]) as vendors,
                patient_client(stack.ready["api"], headers) as api,
            ):
                figures = measure(stack, api, Emulators(vendors))
        finally:
            stack.stop()
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
