"""SyncReport: its decisions, with fake activities."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError

from activities.boundary import as_application_error
from contracts.dataset import DatasetRef
from contracts.errors import AuthExpired
from contracts.integration import SyncObservation
from contracts.names import DATA_QUEUE, ORCHESTRATION_QUEUE, system_queue
from contracts.sync import Books, DataSynchronizationRequest, SynchronizationResult, SyncProgress, SyncStatus
from contracts.sync_plan import PlanCounts, PreviewedParts, hash_of
from contracts.sync_steps import (
    ExtractedReport,
    FindRemovals,
    FinishedSync,
    FinishSync,
    FoundRemovals,
    PartList,
    PrepareSync,
    PushedRecords,
    PushParts,
    RemovalProgress,
    RemoveRecords,
    SyncPlan,
    WatermarkRecord,
)
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.support.temporal import polling, time_skipping
from workflows.sync_report import SyncReport

ORGANIZATION = "lumen-studios"
REF = DatasetRef(key="o/x", rows=0, size_bytes=0, sha256="0" * 64)


def asked(**changes: Any) -> DataSynchronizationRequest:
    return DataSynchronizationRequest.model_validate(
        {
            "syncId": "sync-0001",
            "organizationId": ORGANIZATION,
            "sourceReportId": "weddings",
            "targetIntegration": {"integrationId": "hubspot-main"},
            **changes,
        }
    )


@asynccontextmanager
async def server() -> AsyncIterator[Client]:
    """A time-skipping Temporal with the project's search attributes."""
    async with time_skipping() as environment:
        yield environment.client


def workers(client: Client, activities: list[Any], *systems: str) -> AbstractAsyncContextManager[None]:
    return polling(client, [SyncReport], activities, DATA_QUEUE, *(system_queue(system) for system in systems))


async def run(client: Client, request: DataSynchronizationRequest) -> SynchronizationResult:
    return await client.execute_workflow(SyncReport.run, request, id=f"sync-{uuid4()}", task_queue=ORCHESTRATION_QUEUE)


class FakeSync:
    """Activities under the real names that answer what a test wants."""

    def __init__(self, *, parts: int = 2, rejected: int = 0, lost: int = 0, held: int = 0, ratio: float = 0.1) -> None:
        self.parts, self.rejected, self.lost, self.held, self.ratio = parts, rejected, lost, held, ratio
        self.bulk: dict[str, int] = {}
        self.pushed: list[int] = []
        self.watermarks: list[WatermarkRecord] = []
        self.observed: list[SyncObservation] = []
        self.refuse_push = False
        self.on_push: Callable[[], Awaitable[None]] | None = None
        self.gone = 0
        self.removals: dict[str, Any] = {}

    def activities(self) -> list[Any]:
        return [
            *(self.prepare, self.extract, self.push_records, self.finish, self.record_watermark, self.observe_sync),
            *(self.preview_records, self.find_removals, self.remove_records),
        ]

    @activity.defn(name="sync.prepare")
    async def prepare(self, given: PrepareSync) -> SyncPlan:
        return SyncPlan.model_validate(
            {
                "organizationId": ORGANIZATION,
                "integrationId": "hubspot-main",
                "runId": given.run_id,
                "platform": "hubspot",
                "mode": "records",
                "targetObject": "weddings",
                "source": {"reportId": "weddings"},
                "reportId": "weddings",
                "syncType": "full_sync",
                "conflictResolution": "source_wins",
                "batchSize": 100,
                "maxRejectedRatio": self.ratio,
                "removals": self.removals,
                **self.bulk,
            }
        )

    @activity.defn(name="sync.extract")
    async def extract(self, plan: SyncPlan) -> ExtractedReport:
        return ExtractedReport.model_validate(
            {
                "parts": PartList(inline=[REF] * self.parts, count=self.parts),
                "read": 10 * self.parts,
                "rejected": self.rejected,
                "watermark": "2027-01-01T00:00:00Z",
            }
        )

    @activity.defn(name="sync.push_records")
    async def push_records(self, job: PushParts) -> PushedRecords:
        self.pushed.append(job.first)
        if self.on_push is not None and len(self.pushed) == 1:
            await self.on_push()
        if self.refuse_push:
            raise as_application_error(AuthExpired("credential_refused", "The vendor refuses the credential."))
        rejected, held = (self.rejected, self.held) if job.first == 0 else (0, 0)
        read = 10 * job.count
        books = Books(read=read, created=read - rejected - held, rejected=rejected, held=held)
        return PushedRecords(outcomes=REF, books=books, vendor_calls=1)

    @activity.defn(name="sync.preview_records")
    async def preview_records(self, job: PushParts) -> PreviewedParts:
        return PreviewedParts(changes=REF, counts=PlanCounts(create=10 * job.count), digest=hash_of([str(job.first)]))

    @activity.defn(name="sync.find_removals")
    async def find_removals(self, given: FindRemovals) -> FoundRemovals:
        return FoundRemovals(gone=REF.model_copy(update={"rows": self.gone}), known=100)

    @activity.defn(name="sync.remove_records")
    async def remove_records(self, given: RemoveRecords) -> RemovalProgress:
        return RemovalProgress(done=self.gone, removed=self.gone)

    @activity.defn(name="sync.finish")
    async def finish(self, given: FinishSync) -> FinishedSync:
        total = 10 * self.parts - self.lost
        rejected, held = self.rejected, self.held
        books = Books(read=total, created=total - rejected - held, rejected=rejected, held=held)
        return FinishedSync(details_ref=REF, books=books)

    @activity.defn(name="sync.record_watermark")
    async def record_watermark(self, given: WatermarkRecord) -> None:
        self.watermarks.append(given)

    @activity.defn(name="health.observe_sync")
    async def observe_sync(self, seen: SyncObservation) -> None:
        self.observed.append(seen)


async def run_fake(fake: FakeSync) -> SynchronizationResult:
    async with server() as client, workers(client, fake.activities(), "hubspot"):
        return await run(client, asked())


async def test_a_run_tells_its_integration_that_it_is_up_to_date():
    fake = FakeSync()
    await run_fake(fake)
    seen = {(seen.integration_id, seen.status, seen.synced_at is None) for seen in fake.observed}
    assert seen == {("hubspot-main", "success", False)}


async def test_a_failed_run_is_told_and_freshens_nothing():
    fake = FakeSync()
    fake.refuse_push = True
    await failure_of(fake)
    assert {(seen.status, seen.synced_at) for seen in fake.observed} == {("failed", None)}


async def failure_of(fake: FakeSync) -> ApplicationError:
    with pytest.raises(WorkflowFailureError) as caught:
        await run_fake(fake)
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause


async def test_a_run_without_rejections_succeeds_and_moves_the_watermark():
    fake = FakeSync()
    result = await run_fake(fake)
    assert (result.status, result.books.created, len(fake.watermarks)) == (SyncStatus.SUCCESS, 20, 1)


async def test_rejections_within_the_ratio_make_the_run_partial():
    result = await run_fake(FakeSync(rejected=2))
    assert (result.status, result.successful_syncs, result.failed_syncs) == (SyncStatus.PARTIAL, 18, 2)


async def test_rejections_above_the_ratio_fail_the_run_before_anything_is_written():
    fake = FakeSync(rejected=3)
    failure = await failure_of(fake)
    assert (failure.details[0]["code"], fake.pushed) == ("too_many_rejected", [])


async def test_books_that_do_not_close_fail_the_run_and_leave_the_watermark():
    fake = FakeSync(lost=1)
    failure = await failure_of(fake)
    assert (failure.type, failure.details[0]["code"], fake.watermarks) == ("Permanent", "books_not_closed", [])


async def test_held_records_leave_the_watermark_where_it_was():
    fake = FakeSync(held=1)
    result = await run_fake(fake)
    assert (result.status, fake.watermarks) == (SyncStatus.PARTIAL, [])


async def test_a_failed_push_starts_no_further_ones():
    fake = FakeSync(parts=30)
    fake.refuse_push = True
    failure = await failure_of(fake)
    assert (failure.type, len(fake.pushed) < 30) == ("AuthExpired", True)


async def test_a_run_tells_how_far_it_is():
    fake = FakeSync(parts=4)
    async with server() as client, workers(client, fake.activities(), "hubspot"):
        handle = await client.start_workflow(
            SyncReport.run, asked(), id=f"sync-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
        )
        await handle.result()
        told = await handle.query("progress", result_type=SyncProgress)
    assert (told.done, told.total, told.sentence()) == (40, 40, "40 of 40 records (100%)")


async def test_a_record_that_changes_while_it_is_brought_over_is_read_again():
    fake = FakeSync(parts=1)
    async with server() as client:
        request = asked(syncType="real_time", recordIds=["wed-1001"])
        handle = await client.start_workflow(
            SyncReport.run,
            request,
            id=f"sync-{uuid4()}",
            task_queue=ORCHESTRATION_QUEUE,
            start_signal="record_changed",
        )
        fake.on_push = lambda: handle.signal("record_changed")
        async with workers(client, fake.activities(), "hubspot"):
            await handle.result()
    assert len(fake.pushed) == 2
