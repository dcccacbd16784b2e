"""Stories of syncs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import WorkflowHandle

from tests.orchestration import test_sync_removals as removals
from tests.orchestration import test_sync_report as sync
from tests.orchestration import test_wedding_interleavings as interleavings


@asynccontextmanager
async def sync_as_bulk_jobs() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = sync.FakeSync(parts=5)
    fake.bulk = {"bulkFrom": 20, "bulkSize": 25}
    async with sync.server() as client, sync.workers(client, fake.activities(), "hubspot"):
        handle = await client.start_workflow(
            sync.SyncReport.run, sync.asked(), id="sync-recorded", task_queue=sync.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def sync_of_two_parts() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = sync.FakeSync()
    async with sync.server() as client, sync.workers(client, fake.activities(), "hubspot"):
        handle = await client.start_workflow(
            sync.SyncReport.run, sync.asked(), id="sync-recorded", task_queue=sync.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


@asynccontextmanager
async def sync_of_a_plan_that_removes_once_approved() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = sync.FakeSync()
    fake.gone, fake.removals = 50, {"policy": "archive"}
    async with sync.server() as client, sync.workers(client, fake.activities(), "hubspot"):
        request = sync.asked(planHash=sync.hash_of([sync.hash_of(["0"]), sync.hash_of(["1"]), ""]))
        handle = await client.start_workflow(
            sync.SyncReport.run, request, id="sync-recorded", task_queue=sync.ORCHESTRATION_QUEUE
        )
        await interleavings.until(lambda: removals.waits(handle))
        await removals.answer(handle, approved=True)
        await handle.result()
        yield handle


@asynccontextmanager
async def sync_of_a_record_that_changed_again() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = sync.FakeSync()
    async with sync.server() as client:
        handle = await client.start_workflow(
            sync.SyncReport.run,
            sync.asked(syncType="real_time", recordIds=["wed-1001"]),
            id="sync-recorded",
            task_queue=sync.ORCHESTRATION_QUEUE,
            start_signal="record_changed",
        )
        fake.on_push = lambda: handle.signal("record_changed")
        async with sync.workers(client, fake.activities(), "hubspot"):
            await handle.result()
        yield handle


@asynccontextmanager
async def sync_only_planned() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with sync.server() as client, sync.workers(client, sync.FakeSync().activities(), "hubspot"):
        handle = await client.start_workflow(
            sync.SyncReport.run, sync.asked(dryRun=True), id="sync-recorded", task_queue=sync.ORCHESTRATION_QUEUE
        )
        await handle.result()
        yield handle


PLAYS = (
    sync_as_bulk_jobs,
    sync_of_two_parts,
    sync_of_a_plan_that_removes_once_approved,
    sync_of_a_record_that_changed_again,
    sync_only_planned,
)
