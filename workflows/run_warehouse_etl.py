"""RunWarehouseEtl: one source into one warehouse, past a quality gate, with closed books or red."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.base import Contract
    from contracts.dataset import STAGED_FILE_LOST
    from contracts.errors import ErrorDetail, ErrorKind, Owner
    from contracts.etl import (
        DataQuality,
        EtlBatch,
        EtlRequest,
        ETLResult,
        EtlStatus,
        EtlTarget,
        ExtractResult,
        LayerLoaded,
        LoadLayerInput,
        MartsLoaded,
        Optimized,
        StagedLayer,
        TablesBuilt,
    )
    from contracts.integration import ProvisionResult
    from contracts.names import DATA_QUEUE, WorkflowType, system_queue
    from contracts.sync import Books
    from workflows import policies
    from workflows.visibility import detail_of, failure, tag
    from workflows.waiting import WaitsForReconnection

R = TypeVar("R", bound=Contract)
S = TypeVar("S", bound=Contract)

_SIDE_BY_SIDE = "steps-side-by-side"


@dataclass(frozen=True)
class _Loaded:
    """What the steps brought about."""

    extracted: ExtractResult
    marts: MartsLoaded
    analytics: TablesBuilt


@workflow.defn(name=WorkflowType.RUN_WAREHOUSE_ETL)
class RunWarehouseEtl(WaitsForReconnection):
    """Check, prepare beside extract, quality gate, RAW beside STAGING, MARTS, ANALYTICS, optimise.

    The run fails with `QualityGateFailed` before anything reaches STAGING when the share of bad rows is above the
    threshold, and with `books_not_closed` when the warehouse does not hold what the books say.
    """

    def __init__(self) -> None:
        self._request: EtlRequest
        self._done: list[str] = []
        self._running: list[str] = []

    @workflow.run
    async def run(self, request: EtlRequest) -> ETLResult:
        """Load the source and return the counts as the warehouse holds them."""
        self._request = request
        started = workflow.now()
        tag(
            organization_id=request.organization_id,
            integration_id=request.target_integration.integration_id,
            run_kind="etl",
            outcome="running",
        )
        try:
            result = await self._load(int(started.timestamp() * 1_000))
        except ActivityError as error:
            tag(outcome="failed")
            raise failure(detail_of(error)) from error
        tag(outcome=result.status)
        if result.error is not None:
            raise failure(result.error)
        return result

    async def _load(self, started_ms: int) -> ETLResult:
        request = self._request
        target = await self._step("etl.check", request, EtlTarget, DATA_QUEUE, "Check integration, source and mapping")
        tag(platform=target.platform)
        queue = system_queue(target.platform)
        batch = EtlBatch(
            etl_id=request.etl_id,
            organization_id=request.organization_id,
            integration_id=request.target_integration.integration_id,
            run_id=workflow.info().run_id,
            as_of=request.as_of or workflow.now().date(),
        )
        _, extracted = await _both(
            self._step("etl.prepare", batch, ProvisionResult, queue, "Create missing schemas and tables"),
            self._extract(),
        )
        loaded = await self._layers(extracted, batch, queue)
        if isinstance(loaded, ErrorDetail):
            tag(outcome="failed")
            raise failure(loaded)
        optimized = Optimized()
        if request.optimize:
            optimized = await self._step("etl.optimize", batch, Optimized, queue, "Arrange the marts")
        elapsed = int(workflow.now().timestamp() * 1_000) - started_ms
        return _result(request, loaded, optimized, elapsed)

    async def _layers(self, extracted: ExtractResult, batch: EtlBatch, queue: str) -> _Loaded | ErrorDetail:
        try:
            return await self._through(extracted, batch, queue)
        except ActivityError as error:
            if detail_of(error).code not in STAGED_FILE_LOST:
                raise
        return await self._through(await self._extract(), batch, queue)

    async def _extract(self) -> ExtractResult:
        return await self._step(
            "etl.extract", self._request, ExtractResult, DATA_QUEUE, "Read, map and judge the source"
        )

    async def _through(self, extracted: ExtractResult, batch: EtlBatch, queue: str) -> _Loaded | ErrorDetail:
        quality = extracted.quality
        load_raw = self._layer("etl.load_raw", extracted.raw, batch, queue)
        if not quality.passes:
            await load_raw
            return _gate_closed(quality)
        raw, staging = await _both(load_raw, self._layer("etl.load_staging", extracted.staging, batch, queue))
        if (raw.rows, staging.rows) != (quality.total_records, quality.good_records):
            return _not_closed(f"RAW holds {raw.rows} and STAGING {staging.rows} rows of this load")
        marts = await self._step(
            "etl.load_marts", batch, MartsLoaded, queue, f"Merge {staging.rows} rows into the marts"
        )
        analytics = await self._step("etl.build_analytics", batch, TablesBuilt, queue, "Rebuild the analytics tables")
        return _Loaded(extracted, marts, analytics)

    async def _layer(self, name: str, staged: StagedLayer, batch: EtlBatch, queue: str) -> LayerLoaded:
        given = LoadLayerInput(batch=batch, staged=staged)
        return await self._step(name, given, LayerLoaded, queue, f"{staged.rows} rows in {len(staged.parts)} parts")

    async def _step(self, name: str, given: Contract, answer: type[R], queue: str, summary: str) -> R:
        request = self._request
        line = f"{name}: {summary}"
        self._running.append(line)
        self._show()
        integration_id = request.target_integration.integration_id
        priority = (
            policies.priority(request.priority, request.organization_id)
            if queue == DATA_QUEUE
            else policies.connection_priority(request.priority, request.organization_id, integration_id)
        )

        async def take() -> R:
            result: R = await workflow.execute_activity(
                name,
                given,
                result_type=answer,
                task_queue=queue,
                summary=summary,
                priority=priority,
                **policies.BULK.options(),
            )
            return result

        result = await self.through_reconnection(integration_id, take)
        self._running.remove(line)
        self._done.append(line)
        return result

    def _show(self) -> None:
        done, running = (f"- {line}" for line in self._done), (f"- **{line}**" for line in self._running)
        workflow.set_current_details("\n".join([f"Load `{self._request.etl_id}`", "", *done, *running]))


async def _both(first: Coroutine[Any, Any, R], second: Coroutine[Any, Any, S]) -> tuple[R, S]:
    """Run two steps side by side and wait for both, so that none still works when the other's failure is dealt with."""
    if not workflow.patched(_SIDE_BY_SIDE):
        try:
            return await first, await second
        finally:
            second.close()
    one, other = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(one, BaseException):
        raise one
    if isinstance(other, BaseException):
        raise other
    return one, other


def _result(request: EtlRequest, loaded: _Loaded, optimized: Optimized, elapsed_ms: int) -> ETLResult:
    quality, marts = loaded.extracted.quality, loaded.marts
    books = Books(
        read=quality.total_records,
        created=marts.created,
        updated=marts.updated,
        unchanged=marts.unchanged,
        rejected=quality.failed_records,
    )
    error = None
    if not books.closed or marts.standing != quality.good_records:
        error = _not_closed(f"{marts.standing} of {quality.good_records} good rows stand in the facts")
    return ETLResult(
        job_id=request.etl_id,
        status=EtlStatus.FAILED if error else EtlStatus.COMPLETED,
        records_processed=quality.total_records,
        processing_time=max(elapsed_ms, 0),
        data_quality=quality,
        books=books,
        tables={**marts.tables, **loaded.analytics.tables},
        facts_created=marts.created,
        facts_updated=marts.updated,
        facts_unchanged=marts.unchanged,
        dimension_versions_created=marts.dimension_rows,
        optimized=request.optimize,
        optimizations=optimized.optimizations,
        error=error,
    )


def _gate_closed(quality: DataQuality) -> ErrorDetail:
    worst = sorted(quality.reasons.items(), key=lambda item: (-item[1], item[0]))[:5]
    named = ", ".join(f"{rule} {count}" for rule, count in worst)
    return ErrorDetail(
        kind=ErrorKind.QUALITY_GATE_FAILED,
        code="quality_gate_failed",
        message=(
            f"{quality.failed_records} of {quality.total_records} rows ({quality.failure_rate:.2%}) are bad, above the "
            f"threshold of {quality.threshold:.2%}: {named}; nothing was loaded past RAW."
        ),
        owner=Owner.TENANT,
        action="Correct the rows whose REJECTED_BECAUSE in RAW says why (BATCH_ID is the etlId), and start a new load.",
        operation="etl.gate",
        evidence={
            "failedRecords": quality.failed_records,
            "totalRecords": quality.total_records,
            "reasons": dict(worst),
            "quarantine": quality.quarantine.key if quality.quarantine else None,
        },
    )


def _not_closed(found: str) -> ErrorDetail:
    return ErrorDetail(
        kind=ErrorKind.PERMANENT,
        code="books_not_closed",
        message=f"The books of this load do not close: {found}.",
        owner=Owner.ENGINEER,
        action="Compare the load's rows in RAW, STAGING and the facts before starting it again.",
        operation="etl.verify",
    )
