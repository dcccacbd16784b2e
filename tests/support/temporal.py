"""A time-skipping Temporal for orchestration tests, and workers on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.common import RawValue, SearchAttributeKey
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.boundary import BoundaryInterceptor
from activities.heartbeat import HeartbeatInterceptor
from contracts.names import EMERGENCY_QUEUE, ORCHESTRATION_QUEUE, SearchAttribute
from starters.skipped_clock import skipped_clock
from workers.converter import ContractPayloadConverter
from workers.engine import binary, dynamic_config
from workers.sandbox import workflow_runner

PLAIN = DataConverter(payload_converter_class=ContractPayloadConverter)
"""The project's converter without the codec, so that stored histories need no key."""


def time_skipping() -> AbstractAsyncContextManager[WorkflowEnvironment]:
    """Return a time-skipping server of its own that keeps payloads in the clear."""
    return skipped_clock(PLAIN)


@asynccontextmanager
async def real_time() -> AsyncIterator[WorkflowEnvironment]:
    """Yield a real server in real time, for what the time-skipping one does otherwise.

    It lists workflows, it ends an activity that fails after its cancellation was asked for, and it suggests a new run
    after two hundred events.
    """
    keyword = [SearchAttributeKey.for_keyword(attribute.value) for attribute in SearchAttribute]
    suggested = ["--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=200"]
    environment = await WorkflowEnvironment.start_local(
        data_converter=PLAIN,
        search_attributes=keyword,
        dev_server_existing_path=str(binary("temporal")),
        dev_server_extra_args=[*dynamic_config(), *suggested],
        dev_server_log_level="error",
    )
    async with environment:
        yield environment


@asynccontextmanager
async def real_server() -> AsyncIterator[Client]:
    """Yield a client of a real server in real time."""
    async with real_time() as environment:
        yield environment.client


@activity.defn(dynamic=True)
async def _missing(_: Sequence[RawValue]) -> None:
    """Fail what would otherwise be tried again for ever: an activity the test has not given its workers."""
    raise ApplicationError(f"This test has no activity {activity.info().activity_type}.", non_retryable=True)


@asynccontextmanager
async def polling(
    client: Client, workflows: Sequence[type], activities: Sequence[Any], *queues: str
) -> AsyncIterator[None]:
    """Run `workflows` on the queues of decisions, and `activities` on orchestration and on `queues`."""
    workers = [
        Worker(
            client,
            task_queue=queue,
            workflows=workflows if queue in {ORCHESTRATION_QUEUE, EMERGENCY_QUEUE} else [],
            activities=[*activities, _missing],
            workflow_runner=workflow_runner(),
            interceptors=[BoundaryInterceptor(), HeartbeatInterceptor()],
            # The default hashes the bytecode of every loaded module.
            build_id="tests",
            # A busy machine may need more than the 2 s that the SDK gives a workflow to decide.
            debug_mode=True,
            # A test has a handful of runs; every poll is a request to answer at the end.
            max_concurrent_workflow_task_polls=2,
            max_concurrent_activity_task_polls=2,
        )
        for queue in (ORCHESTRATION_QUEUE, *queues)
    ]
    running = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        await asyncio.gather(*(worker.shutdown() for worker in workers))
        await asyncio.gather(*running)
