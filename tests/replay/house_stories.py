"""Stories of what the house does by itself: health checks and renewed keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import WorkflowHandle

from tests.orchestration import test_monitor_health as health
from tests.orchestration import test_rotate_keys as keys


@asynccontextmanager
async def health_of_two_pages() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = health.FakeHealth(12)
    fake.broken = {"slack-07"}
    async with health.stage(fake) as environment:
        handle = await health.monitor(environment)
        await handle.result()
        yield handle


@asynccontextmanager
async def health_of_a_shard() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = health.FakeHealth(12)
    fake.broken = {"slack-07"}
    async with health.stage(fake) as environment:
        handle = await health.monitor(environment, shard=0, shards=1, batch_size=5)
        await handle.result()
        yield handle


@asynccontextmanager
async def health_alerts_told() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = health.FakeHealth()
    fake.alerts = [health.alert("one"), health.alert("two")]
    async with health.stage(fake) as environment:
        handle = await health.monitor(environment, tell=True)
        await handle.result()
        yield handle


@asynccontextmanager
async def keys_rotated_in_two_passes() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with keys.stage(keys.FakeKeys(steps=2, left=[1, 0])) as environment:
        handle = await keys.rotation(environment)
        await handle.result()
        yield handle


PLAYS = (health_of_two_pages, health_of_a_shard, health_alerts_told, keys_rotated_in_two_passes)
