"""A Temporal server whose clock runs ahead while everybody waits, for weddings that are months away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.converter import DataConverter
from temporalio.testing import WorkflowEnvironment

from contracts.names import SearchAttribute
from workers.engine import binary
from workers.temporal import core_runtime

PATIENCE = timedelta(minutes=5)
"""A busy machine may take this long to start a server."""


@asynccontextmanager
async def skipped_clock(converter: DataConverter) -> AsyncIterator[WorkflowEnvironment]:
    """Yield a time-skipping server with the project's search attributes.

    Give every story a server of its own: it holds its clock for as long as a task is with a worker, and a run that is
    terminated then holds it for good. So does an activity that is cancelled in the very instant in which its retry is
    due: timers that cancel and retries must not be due together.
    """
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(binary("temporal-test-server")),
        test_server_startup_timeout=PATIENCE,
        data_converter=converter,
        runtime=core_runtime(),
    )
    async with environment:
        keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
        await environment.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(
                namespace=environment.client.namespace,
                search_attributes={attribute.value: keyword for attribute in SearchAttribute},
            )
        )
        yield environment
