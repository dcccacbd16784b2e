"""Two worker processes at the limits of two vendors: `python -m tests.benchmarks.bench_limits` prints JSON.

One limit is per second, an account's own at the chat system; one is per ten seconds, the CRM's, which the stand-in also
enforces. More work than both limits allow is queued before, and the stand-in's own log of requests is counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from temporalio.service import RPCError

from contracts.integration import IntegrationConfiguration
from contracts.limits import CallLimit, OwnLimit
from contracts.notification import CrossSystemRouting
from starters.client import WedSync, open_wedsync
from starters.limits import open_limits
from tests.benchmarks.bench_notify import example
from tests.e2e.conftest import ROOT, RunningStack, environment
from tests.support.emulators import Emulators
from tests.support.loopback import loopback_client
from workers.settings import Settings

ORGANIZATION = "lumen-studios"
PER_SECOND = CallLimit(requests=20, per_s=1.0)
PER_TEN_SECONDS = CallLimit(requests=190, per_s=10.0)
SECONDS = 30
AT_ONCE = 20
CHANNELS = ("C0WEDDINGS", "C0BOOKINGS", "C0EMERGENCY")
CONTACT_STEPS = 2


def chat(number: int) -> CrossSystemRouting:
    """Return a notification of one message to each of three channels."""
    channels = [{"channelId": channel} for channel in CHANNELS]
    return _routing(f"chat-{number}", {"systemType": "slack", "integrationId": "slack-main", "channels": channels})


def crm(number: int) -> CrossSystemRouting:
    """Return a notification that changes one contact and leaves one note."""
    contacts = [{"crmContactId": "501"}]
    return _routing(f"crm-{number}", {"systemType": "hubspot", "integrationId": "hubspot-main", "contacts": contacts})


def _routing(name: str, target: dict[str, Any]) -> CrossSystemRouting:
    given = example("route-notification")
    given["sourceNotification"] = {**given["sourceNotification"], "metadata": {}}
    given["targetSystems"] = [{"systemId": target["systemType"], **target}]
    return CrossSystemRouting.model_validate({**given, "routingId": f"bench-{name}"})


@contextmanager
def second_worker(stack: RunningStack) -> Iterator[None]:
    """Run another worker process beside the stack's own."""
    emulators = stack.ready["emulators"]
    extra = {
        "WEDSYNC_DATA_DIR": str(stack.data_dir),
        "WEDSYNC_TEMPORAL_ADDRESS": stack.ready["temporal"],
        "WEDSYNC_EMULATORS_URL": emulators,
    }
    command = [sys.executable, "-m", "workers"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment() | extra)
    try:
        if process.stdout is None or "ready" not in process.stdout.readline():
            message = "the second worker did not start"
            raise RuntimeError(message)
        yield
    finally:
        process.terminate()
        process.wait(60)


async def queue(wedsync: WedSync, routings: Sequence[CrossSystemRouting]) -> None:
    """Start all routings, a few at a time."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def start(routing: CrossSystemRouting) -> None:
        async with slots:
            await wedsync.start_notification(routing)

    await asyncio.gather(*(start(routing) for routing in routings))


def most_in(times: Sequence[float], window_s: float) -> int:
    """Return the most requests that any window of that length holds."""
    inside: deque[float] = deque()
    most = 0
    for instant in times:
        inside.append(instant)
        while inside[0] <= instant - window_s:
            inside.popleft()
        most = max(most, len(inside))
    return most


def figures(requests: Sequence[dict[str, Any]], limit: CallLimit, began: float) -> dict[str, float]:
    """Return the busiest window ever, the share of the limit used in the steady run, and the vendor's refusals."""
    times = sorted(datetime.fromisoformat(item["at"]).timestamp() for item in requests)
    steady = [instant for instant in times if began <= instant < began + SECONDS]
    return {
        "requests": len(times),
        "most_in_window": most_in(times, limit.per_s),
        "used": len(steady) / (SECONDS * limit.requests / limit.per_s),
        "refused": sum(item["status"] == 429 for item in requests),
    }


async def measure(stack: RunningStack, emulators: Emulators) -> dict[str, Any]:
    """Return the figures of both limits."""
    settings = Settings(data_dir=stack.data_dir).on_stack()
    async with open_wedsync(settings) as wedsync, open_limits(settings) as limits:
        for name in ("hubspot", "slack"):
            configuration = IntegrationConfiguration.model_validate(example(f"integration-{name}"))
            await wedsync.integrations.connect(configuration)
        await limits.set_own(wedsync.client, ORGANIZATION, "slack-main", OwnLimit(limit=PER_SECOND))
        found = {}
        for name, limit, steps, routing in (
            ("slack", PER_SECOND, len(CHANNELS), chat),
            ("hubspot", PER_TEN_SECONDS, CONTACT_STEPS, crm),
        ):
            before = len(emulators.requests(name))
            enough = int(2.5 * SECONDS * limit.requests / limit.per_s / steps)
            await queue(wedsync, [routing(number) for number in range(enough)])
            await asyncio.sleep(limit.per_s)
            began = time.time()
            await asyncio.sleep(SECONDS)
            found[name] = figures(emulators.requests(name, since=before), limit, began)
            await forget(wedsync)
    return found


async def forget(wedsync: WedSync) -> None:
    """End what is still queued, so that the next measurement has the machine for itself."""
    async for run in wedsync.client.list_workflows(
        "WorkflowType = 'RouteNotification' AND ExecutionStatus = 'Running'"
    ):
        with suppress(RPCError):  # it has just ended by itself
            await wedsync.client.get_workflow_handle(run.id).terminate(reason="measured")


def main() -> None:
    """Print the figures as one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder) / "data")
        stack.start({"WEDSYNC_EMULATOR_RATE_LIMITS": "on"})
        try:
            with second_worker(stack), loopback_client(stack.ready["emulators"]) as client:
                found = asyncio.run(measure(stack, Emulators(client)))
        finally:
            stack.stop()
    print(json.dumps({**found, "processes": 2, "cores": os.cpu_count()}))  # noqa: T201 - the benchmark's result


if __name__ == "__main__":
    main()
