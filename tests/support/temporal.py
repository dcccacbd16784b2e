"""A time-skipping Temporal for orchestration tests, and workers on it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    WorkflowHandle,
)
from temporalio.converter import DataConverter
from temporalio.service import RPCError
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


class SkippedTime:
    """A namespace of its own on the process's server, whose clock runs ahead while everybody waits.

    Args:
        server: the server that all tests of the process share.
    """

    def __init__(self, server: WorkflowEnvironment) -> None:
        self._server = server
        self._started = _Started()
        config = server.client.config()
        config["namespace"] = f"test-{uuid4()}"
        config["interceptors"] = [*config["interceptors"], self._started]
        self.client = Client(**config)

    async def sleep(self, duration: timedelta) -> None:
        """Let the server's clock run ahead by `duration`."""
        await self._server.sleep(duration)

    async def get_current_time(self) -> datetime:
        """Return what the server's clock shows, which is later than now when other tests ran before."""
        return await self._server.get_current_time()

    async def aclose(self) -> None:
        """Terminate what still runs, so that none of its timers holds up the clock of the next test."""
        for workflow_id in self._started.ids:
            with suppress(RPCError):
                await self.client.get_workflow_handle(workflow_id).terminate()


class _Started(Interceptor):
    """Notes which workflows a client has started."""

    def __init__(self) -> None:
        self.ids: set[str] = set()

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        return _NoteStarts(next, self.ids)


class _NoteStarts(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, ids: set[str]) -> None:  # noqa: A002 - the SDK's name
        super().__init__(next)
        self._ids = ids

    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
        self._ids.add(input.id)
        return await super().start_workflow(input)


_servers: list[WorkflowEnvironment] = []


@asynccontextmanager
async def time_skipping() -> AsyncIterator[SkippedTime]:
    """Yield a namespace on the process's server, which the first call starts with the project's search attributes."""
    if not _servers:
        _servers.append(await _server())
    environment = SkippedTime(_servers[0])
    try:
        yield environment
    finally:
        await environment.aclose()


async def _server() -> WorkflowEnvironment:
    server = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(Path(sys.executable).with_name("temporal-test-server")),
        test_server_startup_timeout=PATIENCE,
        data_converter=PLAIN,
    )
    wanted = {name.value: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD for name in SearchAttribute}
    await server.client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace=server.client.namespace, search_attributes=wanted)
    )
    return server


async def stop_servers() -> None:
    """End the process's server, if one was started."""
    while _servers:
        await _servers.pop().shutdown()


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
        )
        for queue in (ORCHESTRATION_QUEUE, *queues)
    ]
    running = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield
    finally:
        await asyncio.gather(*(worker.shutdown() for worker in workers))
        await asyncio.gather(*running)
