"""Emergencies on an idle stack, beside 10,000 notifications, and with dead channels: prints JSON.

`python -m tests.benchmarks.bench_emergency`. Measured is the time from the moment before an emergency is started to the
moment at which the ledger notes that the first channel has taken it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from contracts.emergency import EmergencyAlert, EmergencyResult
from contracts.integration import IntegrationConfiguration
from contracts.limits import OwnLimit
from contracts.notification import CrossSystemRouting, DeliveryStatus
from starters.client import WedSync, open_wedsync
from starters.limits import Limits, open_limits
from tests.benchmarks.bench_fairness import PLENTY, done, routing
from tests.benchmarks.bench_limits import queue
from tests.benchmarks.bench_notify import example
from tests.e2e.conftest import RunningStack
from workers.settings import Settings

ITEMS = 10_000
RUNS = 120
WARM_UP = 5
PAUSE_S = 0.5
MOST_DEAD = 2
OWNER = "lumen-studios"


def alert(kind: str, number: int, dead: int = 0) -> EmergencyAlert:
    """Return an emergency of one level whose first `dead` channels are Slack's, and the next is PagerDuty's."""
    first = [f"slack-{position}" for position in range(max(dead, 1))]
    chat = {"systemType": "slack", "integrationId": "slack-main"}
    targets: list[dict[str, Any]] = [
        {**chat, "systemId": name, "channels": [{"channelId": channel}]}
        for name, channel in zip(first, ("C0EMERGENCY", "C0WEDDINGS", "C0BOOKINGS"), strict=False)
    ]
    levels = [{"level": 1, "ackWithin": "PT8S" if dead else "PT1S", "targets": targets[:1]}]
    if dead:
        targets[0]["failover"] = [*first[1:], "oncall"]
        spare = [*targets[1:], {"systemId": "oncall", "systemType": "pagerduty", "integrationId": "pagerduty-main"}]
        levels.append({"level": 2, "ackWithin": "PT1S", "targets": spare})
    given = example("emergency-alert")
    notification = {**given["notification"], "notificationId": f"n-{kind}-{number}"}
    changes = {"alertId": f"{kind}-{number}", "notification": notification, "escalation": levels}
    return EmergencyAlert.model_validate({**given, **changes, "repeatUntilAcknowledged": False})


async def connect(wedsync: WedSync, limits: Limits) -> None:
    """Connect the emergency's channels, and a chat whose limit a noisy organisation uses up."""
    noisy = {**example("integration-slack"), "organizationId": "noisy"}
    oncall = {**example("integration-pagerduty"), "integrationId": "pagerduty-main"}
    for given in (noisy, example("integration-slack"), oncall):
        await wedsync.integrations.connect(IntegrationConfiguration.model_validate(given))
    for owner, integration_id in (("noisy", "slack-main"), (OWNER, "slack-main"), (OWNER, "pagerduty-main")):
        await limits.set_own(wedsync.client, owner, integration_id, OwnLimit(limit=PLENTY))


async def latency(wedsync: WedSync, given: EmergencyAlert) -> float:
    """Return the milliseconds until the first channel had one emergency."""
    began = datetime.now(UTC)
    result: EmergencyResult = await (await wedsync.emergencies.start(given)).result()
    reached = [one.delivered_at for one in result.deliveries if one.status is DeliveryStatus.SUCCESS]
    first = min(one for one in reached if one is not None)
    return (first - began).total_seconds() * 1_000


async def latencies(wedsync: WedSync, kind: str, runs: int = RUNS) -> list[float]:
    """Return the milliseconds of emergencies that are raised one after the other."""
    raised = []
    for number in range(runs):
        raised.append(asyncio.create_task(latency(wedsync, alert(kind, number))))
        await asyncio.sleep(PAUSE_S)
    return await asyncio.gather(*raised)


def fed(number: int) -> CrossSystemRouting:
    """Return a bulk item."""
    return routing("noisy", number, "bulk")


async def rate(wedsync: WedSync, seconds: float) -> float:
    """Return how many bulk items end in a second."""
    before, began = await done(wedsync), time.perf_counter()
    await asyncio.sleep(seconds)
    return (await done(wedsync) - before) / (time.perf_counter() - began)


async def beside_bulk(wedsync: WedSync, items: int) -> dict[str, float]:
    """Return the figures while bulk items are queued and worked on."""
    await queue(wedsync, [fed(number) for number in range(items)])
    alone = await rate(wedsync, 20.0)
    measuring = asyncio.create_task(rate(wedsync, RUNS * PAUSE_S))
    beside = await latencies(wedsync, "beside")
    shared = await measuring
    again = await rate(wedsync, 20.0)
    return {
        "beside_p50_ms": statistics.median(beside),
        "beside_p99_ms": p99(beside),
        "waiting_at_the_end": items - await done(wedsync),
        "bulk_alone_per_s": (alone + again) / 2,
        "bulk_beside_per_s": shared,
    }


async def with_dead_channels(wedsync: WedSync, emulators: str) -> dict[str, float]:
    """Return the longest time to the first channel with k channels that never answer."""
    found = {}
    async with httpx.AsyncClient(base_url=f"{emulators}/_emulators/slack", trust_env=False) as vendor:
        for dead in range(1, MOST_DEAD + 1):
            fault = {"kind": "hang", "match": {"path": "/chat.postMessage/"}, "count": 100}
            (await vendor.post("/faults", json=fault)).raise_for_status()
            taken = [await latency(wedsync, alert(f"dead-{dead}", number, dead)) for number in range(2)]
            (await vendor.delete("/faults")).raise_for_status()
            found[f"dead_{dead}_ms"] = max(taken)
    return found


def p99(taken: list[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(taken, n=100)[-1]


async def measure(stack: RunningStack, items: int) -> dict[str, float]:
    """Return all figures."""
    settings = Settings(data_dir=stack.data_dir).on_stack()
    async with open_wedsync(settings) as wedsync, open_limits(settings) as limits:
        await connect(wedsync, limits)
        await latencies(wedsync, "warm", WARM_UP)
        idle = await latencies(wedsync, "idle")
        dead = await with_dead_channels(wedsync, stack.ready["emulators"])
        loaded = await beside_bulk(wedsync, items)
    return {"idle_p50_ms": statistics.median(idle), "idle_p99_ms": p99(idle), **dead, **loaded, "items": items}


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
