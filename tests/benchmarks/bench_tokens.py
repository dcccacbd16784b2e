"""Tokens of 1,000 connections that end within ten seconds: `python -m tests.benchmarks.bench_tokens` prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr
from sqlalchemy import select

from activities.storage.connections import connections
from contracts import names
from contracts.connect import IntegrationRun
from contracts.integration import (
    ConnectionConfiguration,
    CredentialRef,
    IntegrationConfiguration,
    IntegrationInstance,
    IntegrationState,
)
from contracts.names import WorkflowType
from contracts.sync import DataSynchronizationRequest
from contracts.tokens import TokenState
from starters.client import Store, WedSync, open_store, open_wedsync
from tests.e2e.conftest import ROOT, RunningStack
from tests.e2e.documents import HUBSPOT
from tests.support.loopback import loopback_client
from tests.support.oauth import OAuthApp
from workers.settings import Settings

ORGANIZATION = "lumen-studios"
WINDOW_S = 10.0
LEAD_S = 0.025
"""Seconds of preparation for each connection before the first token ends."""
SYNCS = 20
WORKERS = 3
KILL_EVERY_S = 3.0
PATIENCE_S = 180.0


class Fleet:
    """Worker processes beside the stack's own.

    Args:
        stack: the stack they work for.
        size: how many, the stack's own included.
    """

    def __init__(self, stack: RunningStack, size: int) -> None:
        own = psutil.Process(stack.parts()["worker"]).environ()
        self._environment = {name: value for name, value in own.items() if name != "WEDSYNC_METRICS_ADDRESS"}
        self._processes = [self._start() for _ in range(size - 1)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "workers"], cwd=ROOT, env=self._environment, stdout=subprocess.PIPE
        )

    async def until_ready(self) -> None:
        """Wait for the ready line of every process."""
        for process in self._processes:
            if process.stdout is not None:
                await asyncio.to_thread(process.stdout.readline)

    async def kill_at_random(self, seconds: float, seed: int) -> int:
        """Kill one process after another for a while, each time starting another; return how many."""
        dice, killed, until = random.Random(seed), 0, time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(KILL_EVERY_S)
            number = dice.randrange(len(self._processes))
            self._processes[number].send_signal(signal.SIGKILL)
            await asyncio.to_thread(self._processes[number].wait)
            self._processes[number] = self._start()
            killed += 1
        return killed

    def stop(self) -> None:
        """End every process."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(PATIENCE_S)


class Storm:
    """Connections whose tokens end at the same time.

    Args:
        wedsync: the facade.
        store: where credentials and connections lie.
        app: the vendor's authorisation server.
        prefix: of the integrations' ids.
        count: how many.
    """

    def __init__(self, wedsync: WedSync, store: Store, app: OAuthApp, prefix: str, count: int) -> None:
        self._wedsync = wedsync
        self._store = store
        self._app = app
        self.ids = [f"{prefix}-{number:04d}" for number in range(count)]

    async def gather(self) -> float:
        """Connect everything, with tokens that end together, and return the seconds until the first of them does."""
        lead_s = LEAD_S * len(self.ids) + 5.0
        begin = time.monotonic() + lead_s
        made: list[dict[str, Any]] = []
        while len(made) < len(self.ids):
            made += self._app.grant(count=500, lifetimeS=lead_s + WINDOW_S)["grants"]
        first = datetime.now(UTC) + timedelta(seconds=begin - time.monotonic())
        gate = asyncio.Semaphore(50)

        async def one(number: int) -> None:
            async with gate:
                due = first + timedelta(seconds=WINDOW_S * number / len(self.ids))
                await self._connect(self.ids[number], made[number], due)

        await asyncio.gather(*(one(number) for number in range(len(self.ids))))
        return begin - time.monotonic()

    async def _connect(self, integration_id: str, grant: dict[str, Any], due: datetime) -> None:
        values = {name: grant[name] for name in ("accessToken", "refreshToken")}
        ref = await self._store.secrets.put(ORGANIZATION, integration_id, values)
        configuration = _configuration(integration_id, ref)
        await self._store.connections.put(configuration, IntegrationState.ACTIVE)
        token = TokenState(obtained_at=datetime.now(UTC), expires_at=due, renew_at=due)
        await self._wedsync.client.start_workflow(
            WorkflowType.INTEGRATION.value,
            IntegrationRun(**{**dict(configuration), "state": IntegrationState.ACTIVE, "token": token}),
            id=names.integration_workflow_id(ORGANIZATION, integration_id),
            task_queue=names.ORCHESTRATION_QUEUE,
        )

    async def settled(self) -> dict[str, list[str]]:
        """Wait until every connection has a renewed credential or is parked; return the ids by state."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self._states()
                if not found["waiting"]:
                    return found
                await asyncio.sleep(0.5)

    async def _states(self) -> dict[str, list[str]]:
        statement = select(connections.c.integration_id, connections.c.state, connections.c.credential_expires_at)
        statement = statement.where(connections.c.integration_id.startswith(self.ids[0].rpartition("-")[0]))
        found: dict[str, list[str]] = {"active": [], "reconnect_required": [], "waiting": []}
        async with self._store.database.begin() as connection:
            for name, state, expires_at in (await connection.execute(statement)).all():
                word = state if state == IntegrationState.RECONNECT_REQUIRED or expires_at else "waiting"
                found[word].append(name)
        return found

    async def sync(self, integration_id: str) -> str:
        """Sync a report into one of the connections and return how that ended."""
        request = DataSynchronizationRequest(
            sync_id=f"storm-{integration_id}",
            organization_id=ORGANIZATION,
            source_report_id="weddings",
            target_integration=IntegrationInstance(integration_id=integration_id),
        )
        async with asyncio.timeout(PATIENCE_S):
            return str((await (await self._wedsync.start_sync(request)).result()).status)


def _configuration(integration_id: str, ref: CredentialRef) -> IntegrationConfiguration:
    return IntegrationConfiguration(
        integration_id=integration_id,
        organization_id=ORGANIZATION,
        platform="hubspot",
        connection_config=ConnectionConfiguration(credential_ref=ref),
        data_mapping=HUBSPOT["dataMapping"],
    )


async def calm(storm: Storm, app: OAuthApp) -> dict[str, Any]:
    """Let the tokens end while syncs run."""
    before = app.counts()
    await asyncio.sleep(max(0.0, await storm.gather() - 1.0))
    started = time.monotonic()
    step = len(storm.ids) // SYNCS
    syncs = [asyncio.create_task(storm.sync(name)) for name in storm.ids[::step]]
    found = await storm.settled()
    seconds = time.monotonic() - started
    statuses = Counter(await asyncio.gather(*syncs))
    after = app.counts()
    return {
        "connections": len(storm.ids),
        "requests": after["requests"]["refresh_token"] - before["requests"]["refresh_token"],
        "reuse": after["reuseEvents"] - before["reuseEvents"],
        "parked": len(found["reconnect_required"]),
        "syncs": sum(statuses.values()),
        "failed_syncs": sum(statuses.values()) - statuses["success"],
        "seconds": round(seconds, 1),
    }


async def killed(storm: Storm, app: OAuthApp, fleet: Fleet) -> dict[str, Any]:
    """Let the tokens end while workers are killed at random; nothing may ask for ever."""
    before = app.counts()
    await asyncio.sleep(max(0.0, await storm.gather() - 1.0))
    kills = await fleet.kill_at_random(WINDOW_S + 8.0, seed=7)
    found = await storm.settled()
    after = app.counts()
    await asyncio.sleep(20)
    later = app.counts()
    return {
        "kills": kills,
        "requests_killed": after["requests"]["refresh_token"] - before["requests"]["refresh_token"],
        "active_killed": len(found["active"]),
        "parked_killed": len(found["reconnect_required"]),
        "reuse_killed": after["reuseEvents"] - before["reuseEvents"],
        "requests_later": later["requests"]["refresh_token"] - after["requests"]["refresh_token"],
    }


async def measure(stack: RunningStack, count: int, killed_count: int) -> dict[str, Any]:
    """Return the figures of both storms."""
    settings = Settings(
        data_dir=stack.data_dir,
        temporal_address=stack.ready["temporal"],
        emulators_url=stack.ready["emulators"],
        report_url=f"{stack.ready['emulators']}/wedsync",
        report_token=SecretStr("sandbox-wedsync-token"),
    )
    store = open_store(settings)
    fleet = Fleet(stack, WORKERS)
    try:
        with loopback_client(stack.ready["emulators"]) as http:
            body = {"organizationId": ORGANIZATION, "reportId": "weddings", "rows": 50, "dirtyRatio": 0, "seed": 7}
            http.post("/_emulators/wedsync/scenario", json=body).raise_for_status()
            app = OAuthApp(http, "hubspot", "sandbox-hubspot-client", "sandbox-hubspot-secret", "", "")
            app.rules(rotate=True, revokeOnReuse=True, lifetimeS=1_800)
            await fleet.until_ready()
            async with open_wedsync(settings) as wedsync:
                await wedsync.integrations.connect(IntegrationConfiguration.model_validate(HUBSPOT))
                figures = await calm(Storm(wedsync, store, app, "calm", count), app)
                if killed_count:
                    figures |= await killed(Storm(wedsync, store, app, "killed", killed_count), app, fleet)
    finally:
        fleet.stop()
        await store.database.aclose()
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--killed", type=int, default=300, help="connections of the storm with killed workers")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder) / "data")
        stack.start({"WEDSYNC_EMULATOR_RATE_LIMITS": "off"})
        try:
            figures = asyncio.run(measure(stack, given.connections, given.killed))
        finally:
            stack.stop()
    print(json.dumps(figures))  # noqa: T201 - the benchmark's result


if __name__ == "__main__":
    main()
