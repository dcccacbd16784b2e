"""Thousands of integrations in one round of checks: `python -m tests.benchmarks.bench_health` prints JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import func, select
from temporalio.client import Client

from activities.storage.connections import ConnectionStore
from activities.storage.database import Database
from activities.storage.health import health_states
from activities.storage.incidents import incidents
from contracts import names
from contracts.health import MonitorHealthInput, MonitorHealthResult
from contracts.integration import IntegrationConfiguration, IntegrationState
from contracts.names import WorkflowType
from starters.schedules import list_schedules
from tests.e2e.conftest import ROOT, RunningStack, environment
from workers.secret_store import open_secret_store
from workers.settings import Settings
from workers.temporal import connect

EXAMPLES = ROOT / "examples"
EXEMPLARY = ("hubspot", "slack", "tave", "pagerduty")
TABLEAU = {
    "platform": "tableau",
    "connectionConfig": {
        "siteName": "lumen",
        "credential": {"tokenName": "sandbox-pat", "tokenSecret": "sandbox-tableau-secret"},
    },
}
ORGANIZATIONS = 500
SHARDS = 8
PATIENCE_S = 900


async def store(settings: Settings, count: int) -> None:
    """Store integrations, spread over platforms and organisations, each with a credential of its own."""
    key, database = settings.load_master_keys(), Database(settings.database_url)
    connections, secrets = ConnectionStore(database, key), open_secret_store(settings, database, key)
    examples = [json.loads((EXAMPLES / f"integration-{name}.json").read_text()) for name in EXEMPLARY]
    samples: list[dict[str, Any]] = [*examples, TABLEAU]
    for number in range(count):
        sample = samples[number % len(samples)]
        owner, name = f"org-{number % ORGANIZATIONS:04}", f"{sample['platform']}-{number:06}"
        config = dict(sample["connectionConfig"])
        ref = await secrets.put(owner, name, config.pop("credential"))
        given = {**sample, "organizationId": owner, "integrationId": name, "syncSchedule": None}
        given["connectionConfig"] = {**config, "credentialRef": ref.model_dump(by_alias=True)}
        await connections.put(IntegrationConfiguration.model_validate(given), IntegrationState.ACTIVE)
    await database.aclose()


async def one_round(client: Client, number: int) -> tuple[float, int]:
    """Return how long all shards took, and how many integrations were checked."""
    began = time.perf_counter()
    runs = [
        await client.start_workflow(
            WorkflowType.MONITOR_HEALTH.value,
            MonitorHealthInput(shard=shard, shards=SHARDS),
            id=names.health_workflow_id(f"bench-{number}-{shard}"),
            task_queue=names.ORCHESTRATION_QUEUE,
            result_type=MonitorHealthResult,
        )
        for shard in range(SHARDS)
    ]
    results = await asyncio.wait_for(asyncio.gather(*(run.result() for run in runs)), PATIENCE_S)
    return time.perf_counter() - began, sum(one.checked for one in results)


async def found(settings: Settings) -> tuple[list[float], dict[str, int], int]:
    """Return the milliseconds of every check, the integrations by word, and the number of incidents."""
    database, states = Database(settings.database_url), health_states.c
    async with database.begin() as connection:
        took = list((await connection.execute(select(states.took_ms))).scalars())
        words = await connection.execute(select(states.word, func.count()).group_by(states.word))
        opened = (await connection.execute(select(func.count()).select_from(incidents))).scalar_one()
        counted = {row[0]: row[1] for row in words.all()}
    await database.aclose()
    return took, counted, opened


def resident_mb(processes: list[psutil.Process]) -> float:
    """Return the memory of all workers."""
    return sum(process.memory_info().rss for process in processes) / 1e6


async def measure(stack: RunningStack, second: subprocess.Popen[str], count: int) -> dict[str, Any]:
    """Return the figures of two rounds."""
    settings = Settings(data_dir=stack.data_dir, temporal_address=stack.ready["temporal"])
    await store(settings, count)
    client = await connect(settings)
    for schedule in await list_schedules(client):
        if schedule.schedule_id != names.health_schedule_id(names.ALERTS_SHARD):
            await client.get_schedule_handle(schedule.schedule_id).pause()
    workers = [psutil.Process(stack.parts()["worker"]), psutil.Process(second.pid)]
    first_s, checked = await one_round(client, 1)
    first_mb = resident_mb(workers)
    took, _, _ = await found(settings)
    second_s, again = await one_round(client, 2)
    later, words, opened = await found(settings)
    alerts = await client.count_workflows(f"WorkflowType = '{WorkflowType.ROUTE_NOTIFICATION.value}'")
    return {
        "integrations": min(checked, again),
        "not_healthy": count - words.get("healthy", 0),
        "round_s": max(first_s, second_s),
        "check_p50_s": statistics.median([*took, *later]) / 1_000,
        "check_p95_s": statistics.quantiles([*took, *later], n=20)[-1] / 1_000,
        "worker_mb": first_mb,
        "memory_ratio": resident_mb(workers) / first_mb,
        "alerts": alerts.count + opened,
    }


def second_worker(stack: RunningStack) -> subprocess.Popen[str]:
    """Start another worker process beside the stack's own."""
    told = {
        "WEDSYNC_DATA_DIR": str(stack.data_dir),
        "WEDSYNC_TEMPORAL_ADDRESS": stack.ready["temporal"],
        "WEDSYNC_EMULATORS_URL": stack.ready["emulators"],
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "workers"], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment() | told
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--integrations", type=int, default=5_000)
    count = parser.parse_args().integrations
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder) / "data")
        stack.start({"WEDSYNC_EMULATOR_RATE_LIMITS": "off", "WEDSYNC_HEALTH_SHARDS": str(SHARDS)})
        second = second_worker(stack)
        try:
            figures = asyncio.run(measure(stack, second, count))
        finally:
            second.terminate()
            second.wait(60)
            stack.stop()
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))  # noqa: T201 - the benchmark's result


if __name__ == "__main__":
    main()
