"""SyncReport: one report into one integration, with closed books or red."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.integration import SyncObservation
    from contracts.names import DATA_QUEUE, RECORD_CHANGED, WorkflowType
    from contracts.sync import Books, DataSynchronizationRequest, Removals, SynchronizationResult, SyncStatus
    from contracts.sync_plan import SHOWN, PlanCounts, PreviewedParts, SyncPreview, hash_of
    from contracts.sync_steps import (
        ExtractedReport,
        FinishedSync,
        FinishSync,
        PrepareSync,
        PushedRecords,
        SyncPlan,
        WatermarkRecord,
    )
    from workflows import policies
    from workflows.pushing import PushesRecords
    from workflows.removing import RemovesRecords, needs_approval
    from workflows.sync_gates import refuse_drift, refuse_open_books, refuse_rejected, refuse_schema
    from workflows.visibility import detail_of, failure, tag


_EXTRACT_AGAIN = frozenset({"staging_corrupt", "sealed_data_unreadable"})
"""What is wrong with staged files is mended by reading the source once more."""


@dataclass(frozen=True)
class _Done:
    """What the steps brought about."""

    plan: SyncPlan
    extracted: ExtractedReport
    pushed: list[PushedRecords]
    finished: FinishedSync
    removals: Removals
    preview: SyncPreview | None = None


@workflow.defn(name=WorkflowType.SYNC_REPORT)
class SyncReport(PushesRecords, RemovesRecords):
    """Prepare, extract, push or publish, finish, and only then move the watermark.

    The run ends as success when every record read stands at the target; as partial when some were rejected within the
    integration's `maxRejectedRatio`, or held; and fails, typed, when more were rejected (`too_many_rejected`, before
    anything is written where the extract shows it already), when a step fails, or when the books do not close
    (`books_not_closed`). Rejected records do not hold the watermark back, because mending one at the source changes it
    again; held ones do. Both are kept as dead letters, which later syncs of the report take along.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changes = 0
        self._round = 0

    @workflow.signal(name=RECORD_CHANGED)
    def record_changed(self) -> None:
        """Learn that the record of a real-time sync changed, perhaps after it was read."""
        self._changes += 1

    @workflow.run
    async def run(self, request: DataSynchronizationRequest) -> SynchronizationResult:
        """Return the result with its books; a failure carries an `ErrorDetail`."""
        while True:
            seen = self._changes
            result = await self._round_of(request)
            if self._changes == seen:
                return result
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(request)
            self._round += 1

    async def _round_of(self, request: DataSynchronizationRequest) -> SynchronizationResult:
        started = workflow.now()
        tag(
            organization_id=request.organization_id,
            integration_id=request.target_integration.integration_id,
            run_kind=request.sync_type.value,
            priority=request.priority.value,
        )
        try:
            done = await self._steps(request)
        except (ActivityError, ApplicationError) as error:
            if is_cancelled_exception(error):
                raise
            detail = detail_of(error)
            tag(outcome=SyncStatus.FAILED.value)
            self.show(f"failed: {detail.code}")
            await self._observe(request, SyncStatus.FAILED)
            raise failure(detail) from error
        return await self._result(request, done, started)

    async def _result(
        self, request: DataSynchronizationRequest, done: _Done, started: datetime
    ) -> SynchronizationResult:
        books = done.finished.books
        left = books.rejected or books.held or done.removals.withheld
        status = SyncStatus.PARTIAL if left else SyncStatus.SUCCESS
        tag(outcome=status.value)
        self.show(status.value)
        if not request.dry_run:
            await self._observe(request, status)
        return SynchronizationResult(
            sync_id=request.sync_id,
            status=status,
            books=books,
            total_records=books.read,
            successful_syncs=books.created + books.updated + books.unchanged,
            failed_syncs=books.rejected + books.held,
            details=done.finished.details,
            details_ref=done.finished.details_ref,
            removals=done.removals,
            plan=done.preview,
            drift=done.extracted.drift,
            absent=done.extracted.absent,
            retried=done.finished.retried.read,
            dead_letters=done.finished.dead_letters,
            vendor_calls=sum(item.vendor_calls for item in done.pushed),
            watermark=done.extracted.watermark,
            started_at=started,
            finished_at=workflow.now(),
        )

    async def _steps(self, request: DataSynchronizationRequest) -> _Done:
        self.show("preparing")
        plan = await self._prepare(request)
        tag(platform=plan.platform)
        try:
            return await self._carried_out(request, plan)
        except ActivityError as error:
            if detail_of(error).code not in _EXTRACT_AGAIN or not workflow.patched("extract-again"):
                raise
        return await self._carried_out(request, plan)

    async def _carried_out(self, request: DataSynchronizationRequest, plan: SyncPlan) -> _Done:
        """Extract, push and close the books; a repeat writes nothing twice."""
        self.show("extracting")
        extracted = await self._extract(request, plan)
        self._books = Books(read=extracted.read, rejected=extracted.rejected)
        refuse_schema(plan, extracted)
        if request.dry_run:
            return await self._dry_run(request, plan, extracted)
        refuse_rejected(plan, self._books, extracted.retried)
        planned: list[PreviewedParts] = []
        if request.plan_hash is not None:
            preview, planned = await self._planned(request, plan, extracted)
            refuse_drift(request.plan_hash, preview)
        self.show("writing to the target")
        pushed = await self.push(plan, extracted, request.priority, planned)
        found = await self.find_removals(plan, extracted, request.priority)
        self.show("closing the books")
        finished = await self._finish(request, plan, extracted, pushed)
        self._books = finished.books
        refuse_open_books(extracted, pushed, finished)
        refuse_rejected(plan, finished.books, finished.retried)
        if extracted.watermark is not None and finished.books.held == finished.asked:
            await self._record_watermark(request, plan, extracted)
        removals = Removals()
        if found is not None:
            self.show("removing what is gone")
            removals = await self.remove(plan, found, request.priority)
        return _Done(plan, extracted, pushed, finished, removals)

    async def _dry_run(self, request: DataSynchronizationRequest, plan: SyncPlan, extracted: ExtractedReport) -> _Done:
        preview, _ = await self._planned(request, plan, extracted)
        # Without the plan nothing is kept, and what was staged is dropped.
        finished = await self._finish(request, plan, extracted, [])
        self._books = Books()
        return _Done(plan, extracted, [], finished, Removals(), preview)

    async def _planned(
        self, request: DataSynchronizationRequest, plan: SyncPlan, extracted: ExtractedReport
    ) -> tuple[SyncPreview, list[PreviewedParts]]:
        """Return what the sync would do, and the changes by push."""
        self.show("comparing with the target")
        previewed = await self.preview(plan, extracted, request.priority)
        found = await self.find_removals(plan, extracted, request.priority)
        gone = found.gone.rows if found else 0
        fields = Counter[str]()
        for item in previewed:
            fields.update(item.fields)
        preview = SyncPreview(
            hash=hash_of([*(item.digest for item in previewed), found.digest if found else ""]),
            counts=reduce(PlanCounts.plus, (item.counts for item in previewed), PlanCounts(remove=gone)),
            fields=dict(sorted(fields.items())),
            changes=[change for item in previewed for change in item.shown][:SHOWN],
            changes_refs=[item.changes for item in previewed],
            needs_approval=found is not None and needs_approval(plan, found),
        )
        return preview, previewed

    async def _prepare(self, request: DataSynchronizationRequest) -> SyncPlan:
        run_id = workflow.info().run_id
        given = PrepareSync(request=request, run_id=f"{run_id}:{self._round}" if self._round else run_id)
        target = request.target_integration.integration_id

        async def prepare() -> SyncPlan:
            plan: SyncPlan = await workflow.execute_activity(
                "sync.prepare",
                given,
                result_type=SyncPlan,
                task_queue=DATA_QUEUE,
                priority=policies.priority(request.priority, request.organization_id),
                summary=f"resolve {target}",
                **policies.LOCAL.options(),
            )
            return plan

        return await self.through_reconnection(target, prepare)

    async def _extract(self, request: DataSynchronizationRequest, plan: SyncPlan) -> ExtractedReport:
        extracted: ExtractedReport = await workflow.execute_activity(
            "sync.extract",
            plan,
            result_type=ExtractedReport,
            task_queue=DATA_QUEUE,
            priority=policies.priority(request.priority, request.organization_id),
            summary=f"{plan.report_id} since {plan.since.isoformat() if plan.since else 'the beginning'}",
            **policies.SYNC.options(),
        )
        return extracted

    async def _finish(
        self,
        request: DataSynchronizationRequest,
        plan: SyncPlan,
        extracted: ExtractedReport,
        pushed: list[PushedRecords],
    ) -> FinishedSync:
        finished: FinishedSync = await workflow.execute_activity(
            "sync.finish",
            FinishSync(
                organization_id=plan.organization_id,
                run_id=plan.run_id,
                outcomes=[item.outcomes for item in pushed],
                plan=None if request.dry_run else plan,
                parts=extracted.parts,
                found_fields=extracted.found_fields,
                retried=extracted.retried.read,
            ),
            result_type=FinishedSync,
            task_queue=DATA_QUEUE,
            priority=policies.priority(request.priority, request.organization_id),
            summary="join the outcomes",
            **policies.BULK.options(),
        )
        return finished

    async def _record_watermark(
        self, request: DataSynchronizationRequest, plan: SyncPlan, extracted: ExtractedReport
    ) -> None:
        await workflow.execute_activity(
            "sync.record_watermark",
            WatermarkRecord(
                organization_id=plan.organization_id,
                integration_id=plan.integration_id,
                object_type=plan.target_object,
                report_id=plan.report_id,
                watermark=extracted.watermark or workflow.now(),
            ),
            task_queue=DATA_QUEUE,
            priority=policies.priority(request.priority, request.organization_id),
            summary="move the watermark",
            **policies.LOCAL.options(),
        )

    async def _observe(self, request: DataSynchronizationRequest, status: SyncStatus) -> None:
        """Tell the integration, so that its health check knows how fresh its data is; never a reason to fail."""
        seen = SyncObservation(
            organization_id=request.organization_id,
            integration_id=request.target_integration.integration_id,
            status=status.value,
            synced_at=None if status is SyncStatus.FAILED else workflow.now(),
            run_id=workflow.info().run_id,
            series=f"{request.source_report_id}/{request.sync_type}",
            records=self._books.read if status is not SyncStatus.FAILED else None,
        )
        try:
            await workflow.execute_local_activity("health.observe_sync", seen, **policies.local_options(policies.LOCAL))
        except (ActivityError, ApplicationError) as error:  # a local activity's failure comes unwrapped
            if is_cancelled_exception(error):
                raise
            workflow.logger.warning("the sync's outcome was not noted: %s", detail_of(error).code)
