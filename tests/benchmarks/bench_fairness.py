"""A quiet organisation beside one that queues 20,000 items: `python -m tests.benchmarks.bench_fairness` prints JSON.

Both send notifications, of one message each, to chat accounts of their own; the noisy one's takes what its vendor's
limit allows. The quiet one's time from start to result is measured alone, while the other's items are being started,
which is as fast as this machine can, and while they are queued.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from contracts.integration import IntegrationConfiguration
from contracts.limits import CallLimit, OwnLimit
from contracts.names import ORCHESTRATION_QUEUE
from contracts.notification import CrossSystemRouting
from starters.client import WedSync, open_wedsync
from starters.limits import Limits, open_limits
from tests.benchmarks.bench_limits import queue
from tests.benchmarks.bench_notify import example
from tests.e2e.conftest import RunningStack
from workers.settings import Settings

ITEMS = 20_000
RUNS = 30
PAUSE_S = 0.4
PLENTY = CallLimit(requests=1_000, per_s=1.0)
"""What the quiet account takes, so that its own limit is not what is measured."""
SETTLING_S = 900.0


def routing(organization: str, number: int, kind: str) -> CrossSystemRouting:
    """Return a notification of one organisation, of one message."""
    given = example("route-notification")
    given["sourceNotification"] = {**given["sourceNotification"], "metadata": {}}
    given["targetSystems"] = [
        {
            "systemId": "chat",
            "systemType": "slack",
            "integrationId": "slack-main",
            "channels": [{"channelId": "C0WEDDINGS"}],
        }
    ]
    words = {"organizationId": organization, "routingId": f"{kind}-{number}"}
    return CrossSystemRouting.model_validate({**given, **words})


async def latencies(wedsync: WedSync, kind: str) -> list[float]:
    """Return the milliseconds of the quiet organisation's notifications, one at a time."""
    taken = []
    for number in range(RUNS):
        started = time.perf_counter()
        await (await wedsync.start_notification(routing("quiet", number, kind))).result()
        taken.append((time.perf_counter() - started) * 1_000)
        await asyncio.sleep(PAUSE_S)
    return taken


async def connect(wedsync: WedSync, limits: Limits) -> None:
    """Connect an account for each organisation."""
    for organization in ("quiet", "noisy"):
        given = {**example("integration-slack"), "organizationId": organization}
        await wedsync.integrations.connect(IntegrationConfiguration.model_validate(given))
    await limits.set_own(wedsync.client, "quiet", "slack-main", OwnLimit(limit=PLENTY))


async def done(wedsync: WedSync) -> int:
    """Return how many of the noisy organisation's items have ended."""
    query = "OrganizationId = 'noisy' AND WorkflowType = 'RouteNotification' AND ExecutionStatus = 'Completed'"
    return (await wedsync.client.count_workflows(query)).count


async def measure(stack: RunningStack, items: int) -> dict[str, Any]:
    """Return both organisations' figures."""
    settings = Settings(data_dir=stack.data_dir).on_stack()
    async with open_wedsync(settings) as wedsync, open_limits(settings) as limits:
        await connect(wedsync, limits)
        await latencies(wedsync, "warm")
        idle = await latencies(wedsync, "idle")
        feeding = asyncio.create_task(queue(wedsync, [routing("noisy", number, "noisy") for number in range(items)]))
        during = await latencies(wedsync, "during")
        still_feeding = not feeding.done()
        await feeding
        await planned(wedsync)
        before, began = await done(wedsync), time.perf_counter()
        beside = await latencies(wedsync, "beside")
        shared = (await done(wedsync) - before) / (time.perf_counter() - began)
        waiting = items - await done(wedsync)
    p95 = {
        name: statistics.quantiles(taken, n=20)[-1]
        for name, taken in (("idle", idle), ("during", during), ("beside", beside))
    }
    return {
        "items": items,
        "waiting_at_the_end": waiting,
        "idle_p50_ms": statistics.median(idle),
        "idle_p95_ms": p95["idle"],
        "during_p50_ms": statistics.median(during),
        "during_p95_ms": p95["during"],
        "fed_throughout": float(still_feeding),
        "beside_p50_ms": statistics.median(beside),
        "beside_p95_ms": p95["beside"],
        "ratio": p95["beside"] / p95["idle"],
        "noisy_beside_per_s": shared,
    }


async def planned(wedsync: WedSync) -> None:
    """Wait until every item has been planned and stands in its vendor's queue."""
    asked = DescribeTaskQueueRequest(
        namespace=wedsync.client.namespace,
        task_queue=TaskQueue(name=ORCHESTRATION_QUEUE),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        report_stats=True,
    )
    async with asyncio.timeout(SETTLING_S):
        # Temporal tells nobody of an empty queue.
        while (await wedsync.client.workflow_service.describe_task_queue(asked)).stats.approximate_backlog_count:  # noqa: ASYNC110
            await asyncio.sleep(1)
    # The workers finish what they have taken.
    await asyncio.sleep(5)


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    items = parser.parse_args().items
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder) / "data")
        stack.start({"WEDSYNC_EMULATOR_RATE_LIMITS": "off"})
        try:
            figures = asyncio.run(measure(stack, items))
        finally:
            stack.stop()
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))  # noqa: T201 - the result


if __name__ == "__main__":
    main()
