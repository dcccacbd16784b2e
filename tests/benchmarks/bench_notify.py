"""One notification to three systems on an idle stack: `python -m tests.benchmarks.bench_notify` prints JSON."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from activities.access import Access
from activities.ports.delivery import DeliveryConnector
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database
from activities.transform.routing import Voice, rendered
from contracts.effects import Delivery
from contracts.integration import IntegrationConfiguration
from contracts.notification import CrossSystemRouting, OverallStatus
from starters.client import WedSync, open_wedsync
from tests.e2e.conftest import RunningStack
from tests.support.loopback import IN_DEVELOPMENT
from workers.composition import endpoint_resolver
from workers.settings import Settings

EXAMPLES = Path(__file__).parents[2] / "examples"
WARM_UP, RUNS = 5, 40
PAUSE_S = 2.0
"""Between two notifications, so that no vendor's limit is what is measured."""


def example(name: str) -> Any:
    """Return an example as JSON."""
    return json.loads((EXAMPLES / f"{name}.json").read_text())


def routing(number: int, kind: str) -> CrossSystemRouting:
    """Return the example's notification as a new one."""
    given = {**example("route-notification"), "routingId": f"bench-{kind}-{number}"}
    return CrossSystemRouting.model_validate(given)


async def ours(wedsync: WedSync) -> list[float]:
    """Return the milliseconds from start to result of each notification."""
    taken = []
    for number in range(WARM_UP + RUNS):
        started = time.perf_counter()
        result = await (await wedsync.start_notification(routing(number, "ours"))).result()
        taken.append((time.perf_counter() - started) * 1_000)
        if result.overall_status is not OverallStatus.SUCCESS:
            message = f"notification {number} ended {result.overall_status}"
            raise RuntimeError(message)
        await asyncio.sleep(PAUSE_S)
    return taken[WARM_UP:]


async def bare(settings: Settings) -> list[float]:
    """Return the milliseconds of the same vendor calls, made by the same connectors without Temporal or ledger."""
    key, database = settings.load_master_keys(), Database(settings.database_url)
    access = Access(
        ConnectionStore(database, key), SealedSecretStore(database, key), endpoint_resolver(settings), IN_DEVELOPMENT
    )
    taken = []
    for number in range(WARM_UP + RUNS):
        wanted = routing(number, "bare")
        started = time.perf_counter()
        await asyncio.gather(*(_deliver(access, wanted, index) for index in range(len(wanted.target_systems))))
        taken.append((time.perf_counter() - started) * 1_000)
    await access.aclose()
    await database.aclose()
    return taken[WARM_UP:]


async def _deliver(access: Access, wanted: CrossSystemRouting, index: int) -> None:
    target = wanted.target_systems[index]
    connector = await access.connector(wanted.organization_id, target.integration_id, DeliveryConnector)
    delivery = Delivery(
        organization_id=wanted.organization_id,
        business_key=wanted.routing_id,
        notification=wanted.source_notification,
        target=target,
        rendered=rendered(wanted, target, Voice()),
        occurred_at=datetime.now(UTC),
    )
    await asyncio.gather(*(connector.apply(step) for step in connector.plan(delivery)))


async def measure(stack: RunningStack) -> dict[str, Any]:
    """Return both paths' figures."""
    settings = Settings(
        data_dir=stack.data_dir,
        temporal_address=stack.ready["temporal"],
        emulators_url=stack.ready["emulators"],
        report_url=f"{stack.ready['emulators']}/wedsync",
        report_token=SecretStr("sandbox-wedsync-token"),
    )
    async with open_wedsync(settings) as wedsync:
        for name in ("hubspot", "tave", "slack"):
            configuration = IntegrationConfiguration.model_validate(example(f"integration-{name}"))
            await wedsync.integrations.connect(configuration)
        routed = await ours(wedsync)
    plain = await bare(settings)
    p50, p95 = statistics.median(routed), statistics.quantiles(routed, n=20)[-1]
    bare_p50 = statistics.median(plain)
    return {"runs": RUNS, "p50_ms": p50, "p95_ms": p95, "bare_p50_ms": bare_p50, "ratio": p50 / bare_p50}


def main() -> None:
    """Print the figures as one JSON line."""
    with tempfile.TemporaryDirectory() as folder:
        stack = RunningStack(Path(folder) / "data")
        stack.start({"WEDSYNC_EMULATOR_RATE_LIMITS": "off"})
        try:
            figures = asyncio.run(measure(stack))
        finally:
            stack.stop()
    print(json.dumps({name: round(value, 1) for name, value in figures.items()}))  # noqa: T201 - the benchmark's result


if __name__ == "__main__":
    main()
