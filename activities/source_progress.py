"""The heartbeat of an activity that reads a source: what is read, for an attempt that takes over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from temporalio import activity

from contracts.etl import FetchProgress

_BEAT_S = 5.0


def resume() -> FetchProgress:
    """Return how far an earlier attempt of the running activity came."""
    details = activity.info().heartbeat_details
    return FetchProgress.model_validate(details[0]) if details else FetchProgress()


@asynccontextmanager
async def beating(progress: FetchProgress | None = None) -> AsyncIterator[Callable[[FetchProgress], None]]:
    """Heartbeat every five seconds with the latest resume point, while a thread or a vendor works."""
    latest = [progress] if progress is not None else []

    def beat(point: FetchProgress) -> None:
        latest[:] = [point]
        activity.heartbeat(point)

    async def pulse() -> None:
        while True:
            activity.heartbeat(*latest)
            await asyncio.sleep(_BEAT_S)

    task = asyncio.create_task(pulse())
    try:
        yield beat
    finally:
        task.cancel()
