"""Bringing an extract to its target: pushes side by side, what they would do beforehand, and how far they are."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.base import Contract
    from contracts.integration import Side
    from contracts.names import system_queue
    from contracts.sync import Books, SyncPriority, SyncProgress
    from contracts.sync_plan import PreviewedParts
    from contracts.sync_steps import (
        ExtractedReport,
        PartList,
        PublishDataset,
        PushedRecords,
        PushParts,
        SyncMode,
        SyncPlan,
    )
    from workflows import policies
    from workflows.waiting import WaitsForReconnection

R = TypeVar("R", bound=Contract)

MAX_PUSHES = 60
"""Push activities of one run, so that its history stays small whatever the report's size."""

WINDOW = 3
"""Pushes under way at once."""


class PushesRecords(WaitsForReconnection):
    """A sync that pushes parts; `progress` tells how far it is."""

    def __init__(self) -> None:
        super().__init__()
        self._books = Books()
        self._progress = SyncProgress()
        self._began: datetime | None = None

    @workflow.query
    def progress(self) -> SyncProgress:
        """Return the step the run is at, and how many of its records are accounted for."""
        return self._progress

    def show(self, step: str) -> None:
        """Show operators the step, and the books so far."""
        self._progress = self._progress.model_copy(update={"step": step})
        rows = "".join(f"| {name} | {count} |\n" for name, count in self._books.model_dump().items())
        far = self._progress.sentence()
        workflow.set_current_details(
            f"**{step}**{f' - {far}' if far else ''}\n\n| records | count |\n|---|---|\n{rows}"
        )

    async def push(
        self, plan: SyncPlan, extracted: ExtractedReport, priority: SyncPriority, planned: Sequence[PreviewedParts] = ()
    ) -> list[PushedRecords]:
        """Write every part; after a failure no further push starts, and those under way come to their end.

        Args:
            plan: of the run.
            extracted: what it read.
            priority: of the request.
            planned: the changes that may be made, one for each push; none where nobody planned.
        """
        if not extracted.parts.count:
            return []
        self._begin(extracted.read)
        if plan.mode is SyncMode.DATASET:
            given = PublishDataset(plan=plan, parts=extracted.parts, columns=extracted.columns)
            summary = plan.target_object
            return [await self._vendor_step(plan, priority, "sync.publish_dataset", given, PushedRecords, summary)]
        jobs = jobs_of(plan, extracted)
        if planned:
            jobs = [job.model_copy(update={"planned": item.changes}) for job, item in zip(jobs, planned, strict=True)]

        async def push(job: PushParts) -> PushedRecords:
            summary = _parts(job, extracted)
            done = await self._vendor_step(plan, priority, "sync.push_records", job, PushedRecords, summary)
            self._account(done.books)
            return done

        return await _side_by_side(jobs, push)

    async def preview(self, plan: SyncPlan, extracted: ExtractedReport, priority: SyncPriority) -> list[PreviewedParts]:
        """Return what the pushes would do."""
        if not extracted.parts.count:
            return []

        async def preview(job: PushParts) -> PreviewedParts:
            summary = f"plan {_parts(job, extracted)}"
            return await self._vendor_step(plan, priority, "sync.preview_records", job, PreviewedParts, summary)

        return await _side_by_side(jobs_of(plan, extracted), preview)

    async def _vendor_step(
        self,
        plan: SyncPlan,
        priority: SyncPriority,
        name: str,
        given: PushParts | PublishDataset,
        result_type: type[R],
        summary: str,
    ) -> R:
        async def act() -> R:
            done: R = await workflow.execute_activity(
                name,
                given,
                result_type=result_type,
                task_queue=system_queue(plan.platform),
                priority=policies.connection_priority(priority, plan.organization_id, plan.integration_id),
                summary=summary,
                **policies.SYNC.options(),
            )
            return done

        return await self.through_reconnection(plan.integration_id, act)

    def _begin(self, total: int) -> None:
        self._began = workflow.now()
        self._books = Books()
        self._progress = self._progress.model_copy(update={"total": total})

    def _account(self, books: Books) -> None:
        self._books = self._books.plus(books)
        done, total = self._books.read, self._progress.total
        spent = workflow.now() - (self._began or workflow.now())
        left = spent * ((total - done) / done) if done else None
        ends_at = None if left is None else workflow.now() + left
        self._progress = self._progress.model_copy(update={"done": done, "ends_at": ends_at})
        self.show(self._progress.step)


async def _side_by_side(jobs: Sequence[PushParts], act: Callable[[PushParts], Awaitable[R]]) -> list[R]:
    """Return what became of all jobs, in their order, a few of them at once."""
    window = asyncio.Semaphore(WINDOW)
    failures: list[ActivityError] = []

    async def one(job: PushParts) -> R | None:
        async with window:
            if failures:
                return None
            try:
                return await act(job)
            except ActivityError as error:
                failures.append(error)
                return None

    found = await asyncio.gather(*(one(job) for job in jobs))
    if failures:
        raise failures[0]
    return [item for item in found if item is not None]


def _parts(job: PushParts, extracted: ExtractedReport) -> str:
    return f"parts {job.first + 1} to {job.first + job.count} of {extracted.parts.count}"


def jobs_of(plan: SyncPlan, extracted: ExtractedReport) -> list[PushParts]:
    """Return the pushes of an extract: few enough for one history, and each worth a bulk job where there are such."""
    parts = extracted.parts
    size = math.ceil(parts.count / MAX_PUSHES)
    if plan.bulk_from is not None and extracted.read > plan.bulk_from:
        # A bulk job wants many records: a push gets as many parts as fill one.
        size = max(size, plan.bulk_size // math.ceil(extracted.read / parts.count))
    jobs = []
    for first in range(0, parts.count, size):
        count = min(size, parts.count - first)
        mine = parts if parts.manifest else PartList(inline=parts.inline[first : first + count], count=count)
        jobs.append(
            PushParts(
                organization_id=plan.organization_id,
                integration_id=plan.integration_id,
                run_id=plan.run_id,
                object_type=plan.target_object,
                sync_type=plan.sync_type,
                conflict_resolution=plan.conflict_resolution,
                batch_size=plan.batch_size,
                bulk_from=plan.bulk_from,
                bulk_size=plan.bulk_size,
                report_id=plan.report_id,
                target_owned=[field.target for field in plan.mapping if field.winner is Side.TARGET],
                parts=mine,
                first=first,
                count=count,
            )
        )
    return jobs
