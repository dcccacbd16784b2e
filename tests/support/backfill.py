"""A SyncReport that brings three records; it stands alone because the sandbox imports its module."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.sync import Books, DataSynchronizationRequest, SynchronizationResult, SyncStatus


@workflow.defn(name="SyncReport")
class Backfill:
    """Stands in for the sync of a report."""

    @workflow.run
    async def run(self, request: DataSynchronizationRequest) -> SynchronizationResult:
        """Return closed books over three records."""
        return SynchronizationResult(
            sync_id=request.sync_id,
            status=SyncStatus.SUCCESS,
            books=Books(read=3, created=3),
            total_records=3,
            successful_syncs=3,
            failed_syncs=0,
            started_at=workflow.now(),
            finished_at=workflow.now(),
        )
