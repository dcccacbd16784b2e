"""Many notifications as one run: a window of parts, each planned together and applied by system."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.batch import (
        PART_SIZE,
        AppliedEffects,
        ApplyEffects,
        BatchCounts,
        BatchPart,
        BatchRun,
        BatchSummary,
        ClosePart,
        PartPlan,
        PartResult,
        PlanPart,
        SystemEffects,
    )
    from contracts.errors import ErrorDetail
    from contracts.names import DATA_QUEUE, WorkflowType, routing_workflow_id, system_queue
    from contracts.notification import CrossSystemRouting, RoutingResult
    from workflows import policies
    from workflows.visibility import detail_of, failure, tag
    from workflows.waiting import WaitsForReconnection

WINDOW = 4
"""Parts under way at once: enough to keep every system busy, few enough to be stopped within moments."""


@workflow.defn(name=WorkflowType.ROUTE_NOTIFICATION_BATCH)
class RouteNotificationBatch(WaitsForReconnection):
    """Routes every notification once and keeps one result for each; `summary` is a Query."""

    @workflow.init
    def __init__(self, batch: BatchRun) -> None:
        """Take the batch, or what a long run continues with."""
        self._batch = batch
        self._parts = _parts_of(batch)
        total = sum(_size(part) for part in self._parts)
        self._summary = batch.resumed or BatchSummary(batch_id=batch.batch_id, total=total)
        self._added = len(self._summary.results)
        self._ended: dict[int, PartResult] = {}

    @workflow.run
    async def run(self, batch: BatchRun) -> BatchSummary:
        """Work through the parts in a sliding window and return the sum.

        A batch that is cancelled, or of which a part cannot be planned or closed, ends what is under way, gives every
        notification its result, and ends as cancelled or failed.

        Raises:
            ApplicationError: why a part could not be planned or closed.
        """
        tag(
            organization_id=batch.organization_id,
            run_kind="notification_batch",
            priority=batch.priority.value,
            outcome="running",
        )
        started, resumed = workflow.time(), self._summary.processing_time
        waiting = list(range(self._added, len(self._parts)))
        running: list[asyncio.Task[None]] = []
        try:
            while running or (waiting and not workflow.info().is_continue_as_new_suggested()):
                while waiting and len(running) < WINDOW:
                    running.append(asyncio.create_task(self._part(waiting.pop(0))))
                done, running = await workflow.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                elapsed = int((workflow.time() - started) * 1_000)
                self._add_up(resumed + elapsed)
        except (asyncio.CancelledError, ActivityError) as error:
            cancelled = is_cancelled_exception(error)
            await self._wind_up(running, waiting)
            self._add_up(resumed + int((workflow.time() - started) * 1_000))
            tag(outcome="cancelled" if cancelled else "failed")
            if cancelled:
                raise
            raise failure(detail_of(error)) from error
        if waiting:
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(BatchRun(**{**dict(batch), "resumed": self._summary}))
        tag(outcome="success" if self._summary.counts.went_well else "partial_failure")
        return self._summary

    @workflow.query
    def summary(self) -> BatchSummary:
        """Return what has become of the batch so far."""
        return self._summary

    def _add_up(self, elapsed_ms: int) -> None:
        """Count the parts that have ended, in their order, so that a resumed run knows where to begin."""
        update: dict[str, object] = {"processing_time": elapsed_ms}
        results, counts, calls = list(self._summary.results), self._summary.counts, self._summary.vendor_calls
        while (ended := self._ended.pop(self._added, None)) is not None:
            self._added += 1
            results += [ended.results] if ended.results else []
            counts, calls = counts.plus(ended.counts), calls + ended.vendor_calls
        update |= {"results": results, "counts": counts, "vendor_calls": calls}
        self._summary = self._summary.model_copy(update=update)
        workflow.set_current_details(
            f"**{counts.total} of {self._summary.total} notifications**\n"
            f"- success {counts.success}, partial {counts.partial_failure}, failed {counts.failed}, "
            f"skipped {counts.skipped}\n- {calls} vendor calls"
        )

    async def _part(self, number: int) -> None:
        """Plan, apply and close one part; trouble at one integration touches no other."""
        part, plan = self._parts[number], None
        applied: list[AppliedEffects] = []
        refused: dict[str, ErrorDetail] = {}
        apart: dict[str, RoutingResult] = {}
        try:
            plan = await self._planned(number, part)
            await asyncio.gather(
                *(self._applied(one, applied, refused) for one in plan.systems),
                *(self._apart(routing, apart) for routing in plan.apart),
            )
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                await self._close(number, plan, applied, refused, apart, detail_of(error))
                raise
        await self._close(number, plan, applied, refused, apart)

    async def _wind_up(self, running: list[asyncio.Task[None]], waiting: list[int]) -> None:
        """End what is under way and account for every part that is left; one that cannot be closed has failed."""
        for task in running:
            task.cancel()
        await asyncio.gather(*running, *(self._close(number, None) for number in waiting), return_exceptions=True)
        for number in range(self._added, len(self._parts)):
            lost = PartResult(counts=BatchCounts(failed=_size(self._parts[number])))
            self._ended.setdefault(number, lost)

    async def _planned(self, number: int, part: BatchPart) -> PartPlan:
        request = PlanPart(
            organization_id=self._batch.organization_id,
            batch_id=self._batch.batch_id,
            number=number,
            occurred_at=workflow.now(),
            **dict(part),
        )
        planned: PartPlan = await workflow.execute_activity(
            "batch.plan",
            request,
            result_type=PartPlan,
            task_queue=DATA_QUEUE,
            summary=f"Part {number + 1} of {len(self._parts)}: decide",
            priority=policies.priority(self._batch.priority, self._batch.organization_id),
            **policies.BULK.options(),
        )
        return planned

    async def _applied(
        self, effects: SystemEffects, applied: list[AppliedEffects], refused: dict[str, ErrorDetail]
    ) -> None:
        batch = self._batch
        request = ApplyEffects(
            organization_id=batch.organization_id,
            batch_id=batch.batch_id,
            integration_id=effects.integration_id,
            effects=effects.effects,
        )

        async def apply() -> AppliedEffects:
            outcome: AppliedEffects = await workflow.execute_activity(
                "batch.apply",
                request,
                result_type=AppliedEffects,
                task_queue=system_queue(effects.system),
                summary=f"{effects.system}: {effects.effects.rows} effects",
                priority=policies.connection_priority(batch.priority, batch.organization_id, effects.integration_id),
                cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
                **policies.MESSAGES.options(),
            )
            return outcome

        try:
            applied.append(await self.through_reconnection(effects.integration_id, apply))
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            refused[effects.integration_id] = detail_of(error)

    async def _apart(self, routing: CrossSystemRouting, apart: dict[str, RoutingResult]) -> None:
        """Run a routing that waits, takes turns or fails over as what it is by itself."""
        try:
            apart[routing.routing_id] = await workflow.execute_child_workflow(
                WorkflowType.ROUTE_NOTIFICATION,
                routing,
                result_type=RoutingResult,
                id=routing_workflow_id(routing.organization_id, routing.routing_id),
                priority=policies.priority(routing.source_notification.priority, routing.organization_id),
                static_summary=f"Route {routing.source_notification.notification_id} apart from its batch",
            )
        except ChildWorkflowError as error:
            if is_cancelled_exception(error):
                raise

    async def _close(
        self,
        number: int,
        plan: PartPlan | None,
        applied: list[AppliedEffects] | None = None,
        refused: dict[str, ErrorDetail] | None = None,
        apart: dict[str, RoutingResult] | None = None,
        error: ErrorDetail | None = None,
    ) -> None:
        request = ClosePart(
            organization_id=self._batch.organization_id,
            batch_id=self._batch.batch_id,
            number=number,
            plan=plan.plan if plan else None,
            error=error,
            outcomes=[one.outcomes for one in applied or []],
            refused=refused or {},
            apart=apart or {},
            **dict(self._parts[number] if plan is None else BatchPart()),
        )
        closed: PartResult = await workflow.execute_activity(
            "batch.close",
            request,
            result_type=PartResult,
            task_queue=DATA_QUEUE,
            summary=f"Part {number + 1} of {len(self._parts)}: one result each",
            priority=policies.priority(self._batch.priority, self._batch.organization_id),
            **policies.STORE.options(),
        )
        calls = sum(one.vendor_calls for one in applied or [])
        self._ended[number] = closed.model_copy(update={"vendor_calls": calls})


def _size(part: BatchPart) -> int:
    return part.part.rows if part.part else len(part.routings)


def _parts_of(batch: BatchRun) -> list[BatchPart]:
    staged = [BatchPart(part=ref) for ref in batch.parts]
    starts = range(0, len(batch.routings), PART_SIZE)
    return staged or [BatchPart(routings=batch.routings[start : start + PART_SIZE]) for start in starts]
