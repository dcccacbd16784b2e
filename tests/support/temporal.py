"""A time-skipping Temporal for orchestration tests, and workers on it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.boundary import BoundaryInterceptor
from contracts.names import ORCHESTRATION_QUEUE, SearchAttribute
from workers.converter import ContractPayloadConverter
from workers.sandbox import workflow_runner

PATIENCE = timedelta(minutes=5)
"""A busy machine may take this long to start a server."""
PLAIN = DataConverter(payload_converter_class=ContractPayloadConverter)
"""The project's converter without the codec, so that stored histories need no key."""


@asynccontextmanager
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    """Yield a server of its own whose clock runs ahead while everybody waits, with the project's search attributes.

    Never shared: the test server holds its clock for as long as a task is with a worker, and a run that is terminated
    then holds it for good.
    """
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(Path(sys.executable).with_name("temporal-test-server")),
        test_server_startup_timeout=PATIENCE,
        data_converter=PLAIN,
    )
    async with environment:
        wanted = {name.value: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD for name in SearchAttribute}
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=environment.client.namespace, search_attributes=wanted)
        )
        yield environment


@asynccontextmanager
async def polling(
    client: Client, workflows: Sequence[type], activities: Sequence[Any], *queues: str
) -> AsyncIterator[None]:
    """Run `workflows` on the orchestration queue, and `activities` on it and on `queues`."""
    workers = [
        Worker(
            client,
            task_queue=queue,
            workflows=workflows if queue == ORCHESTRATION_QUEUE else [],
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
