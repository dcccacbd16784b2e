"""The worker process: polls its queues until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

from activities.connectors import registry
from activities.storage.database import migrate
from activities.transform import rules
from contracts.errors import WedSyncError
from contracts.names import EMERGENCY_QUEUE, system_queue
from workers import roster
from workers.composition import compose
from workers.privacy import keep_secrets_in
from workers.rate_limits import apply_rate_limits
from workers.search_attributes import require_attributes
from workers.settings import Settings
from workers.telemetry import telemetry
from workers.temporal import connect


async def run(settings: Settings, only: Sequence[str]) -> None:
    """Poll until SIGTERM or SIGINT, then finish or hand back what is running."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    await asyncio.to_thread(migrate, settings.database_url)
    await asyncio.to_thread(_warm_up, only)
    client = await connect(settings)
    await require_attributes(client)
    await apply_rate_limits(client, only)
    async with AsyncExitStack() as stack:
        stack.enter_context(telemetry(settings))
        parts = await stack.enter_async_context(compose(settings))
        for worker in roster.workers(client, parts, only):
            await stack.enter_async_context(worker)
        sys.stdout.write(json.dumps({"event": "ready", "queues": list(only) or roster.queues()}) + "\n")
        sys.stdout.flush()
        await stop.wait()


def _warm_up(only: Sequence[str]) -> None:
    """Pay for vendors' SDKs and for the CEL grammar before the first call, which would wait for them."""
    everything = not only or EMERGENCY_QUEUE in only  # an emergency speaks to any vendor from its own queue
    registry.load(name for name in registry.CONNECTORS if everything or system_queue(name) in only)
    rules.holds("true", {}, name="warm-up")


def main() -> int:
    """Read the command line and run; one sentence and exit code 1 on an error we know."""
    parser = argparse.ArgumentParser(prog="wedsync-worker", description="Run WedSync workers.")
    parser.add_argument("--queues", default="", help="comma-separated task queues; all when empty")
    only = [name for name in parser.parse_args().queues.split(",") if name]
    try:
        settings = Settings()
        keep_secrets_in()
        asyncio.run(run(settings, only))
    except WedSyncError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
