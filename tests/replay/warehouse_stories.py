"""Stories of warehouses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import WorkflowHandle

from tests.orchestration import test_query_warehouse as queries
from tests.orchestration import test_run_warehouse_etl as etl
from tests.orchestration import test_transform_report as transform


@asynccontextmanager
async def load_with_a_lost_part() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = etl.FakeEtl(corrupt=1)
    async with etl.server() as client, etl.workers(client, fake.activities()):
        handle = await client.start_workflow(
            etl.RunWarehouseEtl.run, etl.asked(), id="load-recorded", task_queue=etl.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def question_to_a_warehouse() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with queries.server() as client, queries.workers(client, queries.FakeAnalytics().activities()):
        handle = await client.start_workflow(
            queries.QueryWarehouse.run, queries.QUERY, id="query-recorded", task_queue=queries.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def transformation_of_a_file() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with transform.server() as client, transform.workers(client, transform.FakeTransformations().activities()):
        handle = await client.start_workflow(
            transform.TransformReport.run,
            transform.asked(),
            id="transformation-recorded",
            task_queue=transform.ORCHESTRATION_QUEUE,
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def load_with_steps_side_by_side() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = etl.FakeEtl()
    async with etl.server() as client, etl.workers(client, fake.activities()):
        handle = await client.start_workflow(
            etl.RunWarehouseEtl.run, etl.asked(), id="load-recorded", task_queue=etl.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


PLAYS = (load_with_a_lost_part, question_to_a_warehouse, transformation_of_a_file, load_with_steps_side_by_side)
