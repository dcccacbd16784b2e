"""A time-skipping Temporal for orchestration tests, and workers on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.boundary import BoundaryInterceptor
from contracts.names import EMERGENCY_QUEUE, ORCHESTRATION_QUEUE
from starters.skipped_clock import skipped_clock
from workers.converter import ContractPayloadConverter
from workers.sandbox import workflow_runner

PLAIN = DataConverter(payload_converter_class=ContractPayloadConverter)
"""The project's converter without the codec, so that stored histories need no key."""


def time_skipping() -> AbstractAsyncContextManager[WorkflowEnvironment]:
    """Return a time-skipping server of its own that keeps payloads in the clear."""
    return skipped_clock(PLAIN)


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
            activities=activities,
            workflow_runner=workflow_runner(),
            interceptors=[BoundaryInterceptor()],
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
