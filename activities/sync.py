"""The steps of a report sync: prepare, extract, push or publish, finish, and remember how far it came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from temporalio import activity

from activities.access import Access
from activities.connectors.registry import connector_class
from activities.ports.connector import (
    BulkRecordConnector,
    DatasetConnector,
    RecordConnector,
    SourceConnector,
)
from activities.ports.manifest import Capability
from activities.storage.receipts import Receipts, Scope
from activities.storage.staging import Staging
from activities.sync_bulk import BulkPush, groups
from activities.sync_dataset import build_dataset
from activities.sync_extraction import Extraction
from activities.sync_parts import Parts, StagedRecord
from activities.sync_publication import published
from activities.sync_push import PartPush
from activities.transform.files import FileReports, format_of, locate
from activities.transform.records import Rules, check_mapping
from contracts.base import Contract
from contracts.dataset import DatasetRef, SourceKind
from contracts.errors import InvalidInput, Transient
from contracts.integration import IntegrationConfiguration
from contracts.sync import (
    Books,
    ConflictResolutionStrategy,
    DataSynchronizationRequest,
    RecordResult,
    RecordStatus,
    SynchronizationType,
)
from contracts.sync_steps import (
    ExtractedReport,
    ExtractProgress,
    FinishedSync,
    FinishSync,
    PrepareSync,
    PublishDataset,
    PushedRecords,
    PushParts,
    PushProgress,
    SyncMode,
    SyncPlan,
    WatermarkRecord,
    counted,
)

C = TypeVar("C", bound=Contract)
P = TypeVar("P", ExtractProgress, PushProgress)

SourceFactory = Callable[[str], SourceConnector]
"""Organisation id -> the WedSync reporting API, opened for it."""

_BEAT_S = 5.0
_HELD_ROUNDS = 3
_DETAILS = 100
_SINCE_WATERMARK = frozenset({SynchronizationType.INCREMENTAL, SynchronizationType.REAL_TIME})


@dataclass
class Pulse(Generic[C]):
    """What the running activity last reported as its resume point."""

    progress: C

    def beat(self, progress: C) -> None:
        """Report a new resume point."""
        self.progress = progress
        activity.heartbeat(progress)


@asynccontextmanager
async def beating(progress: C) -> AsyncIterator[Pulse[C]]:
    """Heartbeat every five seconds, so that a long vendor call is not taken for a dead worker."""
    pulse = Pulse(progress)

    async def _beat() -> None:
        while True:
            activity.heartbeat(pulse.progress)
            await asyncio.sleep(_BEAT_S)

    task = asyncio.create_task(_beat())
    try:
        yield pulse
    finally:
        task.cancel()


class Push:
    """How far a push is; every change is reported as its resume point."""

    def __init__(self, pulse: Pulse[PushProgress]) -> None:
        self._pulse = pulse

    @property
    def done(self) -> PushProgress:
        """What is accounted for."""
        return self._pulse.progress

    def called(self, calls: int) -> None:
        """Count calls of the vendor."""
        self._note(vendor_calls=self.done.vendor_calls + calls)

    def refuse_held(self, waiting: int) -> None:
        """Let Temporal try again while the vendor could not take single records; after that they stay held.

        Raises:
            Transient: `records_held`.
        """
        if waiting and self.done.held_rounds < _HELD_ROUNDS:
            self._note(held_rounds=self.done.held_rounds + 1)
            raise _still_held(waiting)

    def pushed(self, parts: int, outcomes: DatasetRef, results: Sequence[RecordResult]) -> None:
        """Account for parts that are pushed."""
        self._note(
            parts_done=self.done.parts_done + parts,
            outcomes=[*self.done.outcomes, outcomes],
            books=self.done.books.plus(counted([result.status for result in results])),
        )

    def _note(self, **changes: object) -> None:
        self._pulse.beat(self.done.model_copy(update=changes))


class Sync:
    """The activities of `SyncReport`.

    Args:
        access: opens the integration's connector.
        staging: the sealed object store.
        receipts: what vendors have acknowledged.
        wedsync: opens the reporting API for an organisation.
        import_dirs: the directories from which files may be imported.
        fingerprint_key: 32 secret bytes, derived from the master key.
    """

    def __init__(
        self,
        access: Access,
        staging: Staging,
        receipts: Receipts,
        *,
        wedsync: SourceFactory,
        import_dirs: Sequence[Path] = (),
        fingerprint_key: bytes,
    ) -> None:
        self._access = access
        self._staging = staging
        self._receipts = receipts
        self._wedsync = wedsync
        self._import_dirs = list(import_dirs)
        self._key = fingerprint_key

    @activity.defn(name="sync.prepare")
    async def prepare(self, given: PrepareSync) -> SyncPlan:
        """Resolve a request against its integration; checks mapping and rules once. Idempotent: yes, it only reads.

        Raises:
            InvalidInput: no such integration, it cannot take this, or mapping, rules or strategy do not fit.
            IntegrationPaused: the integration takes no work.
        """
        request = given.request
        integration_id = request.target_integration.integration_id
        configuration = await self._access.configuration(request.organization_id, integration_id)
        manifest = connector_class(configuration.platform).manifest
        mapping = request.data_mapping or configuration.data_mapping
        check_mapping(mapping)
        Rules(configuration.transformation_rules)
        mode, target = await self._target(request, configuration)
        _refuse_strategy(request, mode)
        if mode is SyncMode.RECORDS and not mapping:
            raise InvalidInput(
                "mapping_missing",
                f"The sync into {manifest.title} has no field mapping.",
                action="Give dataMapping in the request or in the integration's configuration.",
            )
        source = request.data_source()
        report_id = source.report_id or request.source_report_id
        since = None
        if mode is SyncMode.RECORDS and request.sync_type in _SINCE_WATERMARK and source.kind is SourceKind.WEDSYNC:
            since = await self._receipts.watermark(Scope(request.organization_id, integration_id, target), report_id)
        return SyncPlan(
            organization_id=request.organization_id,
            integration_id=integration_id,
            run_id=given.run_id,
            platform=configuration.platform,
            mode=mode,
            target_object=target,
            source=source,
            report_id=report_id,
            sync_type=request.sync_type,
            conflict_resolution=request.conflict_resolution,
            batch_size=min(request.batch_size, manifest.batch_size),
            bulk_from=manifest.bulk_from,
            bulk_size=manifest.bulk_size,
            filters=request.data_filters,
            mapping=mapping,
            rules=configuration.transformation_rules,
            max_rejected_ratio=configuration.error_handling.max_rejected_ratio,
            since=since,
        )

    async def _target(
        self, request: DataSynchronizationRequest, configuration: IntegrationConfiguration
    ) -> tuple[SyncMode, str]:
        key = (request.organization_id, configuration.integration_id)
        if Capability.DATASETS in connector_class(configuration.platform).manifest.capabilities:
            dataset = await self._access.connector(*key, DatasetConnector)
            names = dataset.data_sources()
            name = request.target_object or names.get(request.data_source().report_id or request.source_report_id)
            if name is None:
                raise InvalidInput(
                    "no_data_source_for_report",
                    f"No data source is fed by the report {request.source_report_id!r}.",
                    action=f"Name one in targetObject, or sync one of: {', '.join(sorted(names))}.",
                )
            return SyncMode.DATASET, name
        records = await self._access.connector(*key, RecordConnector)
        return SyncMode.RECORDS, request.target_object or records.default_object()

    @activity.defn(name="sync.extract")
    async def extract(self, plan: SyncPlan) -> ExtractedReport:
        """Read the source into staged parts of mapped records. Idempotent: yes, parts are replaced by name.

        Raises:
            InvalidInput: no such report or file, or a column is missing.
            Transient: the source does not answer.
        """
        progress = _resume(ExtractProgress)
        parts = Parts(self._staging, plan.organization_id, plan.run_id)
        with self._staging.scratch() as folder:
            async with beating(progress) as pulse:
                extraction = Extraction(plan, parts, folder, progress)
                await extraction.restore()
                if not progress.done:
                    since = None if plan.since is None else plan.since.isoformat()
                    source = self._source(plan)
                    async for page in source.pages(plan.report_id, cursor=progress.cursor, updated_since=since):
                        pulse.beat(await extraction.take(page))
                return await extraction.close()

    def _source(self, plan: SyncPlan) -> SourceConnector | FileReports:
        if plan.source.kind is SourceKind.FILE:
            path = locate(plan.source, self._import_dirs)
            return FileReports(path, format_of(plan.source, path))
        return self._wedsync(plan.organization_id)

    @activity.defn(name="sync.push_records")
    async def push_records(self, job: PushParts) -> PushedRecords:
        """Bring parts into the vendor's records. Idempotent: yes, by the receipts written after each vendor answer.

        Raises:
            AuthExpired: the vendor refuses the credential.
            Transient: time-outs, 5xx, 429, or single records the vendor could not take for the moment.
        """
        connector = await self._access.connector(job.organization_id, job.integration_id, RecordConnector)
        parts = Parts(self._staging, job.organization_id, job.run_id)
        mine = await parts.refs(job.parts, job.first, job.count)
        async with beating(_resume(PushProgress)) as pulse:
            push = Push(pulse)
            for refs in groups(mine[push.done.parts_done :], job):
                number = job.first + push.done.parts_done
                bulk = None
                if isinstance(connector, BulkRecordConnector):
                    bulk = BulkPush(connector, job, parts, number, push.called)
                pusher = PartPush(connector, self._receipts, job, self._key, push.called, bulk)
                results = await pusher.push([row for ref in refs for row in await parts.read(ref, StagedRecord)])
                push.refuse_held(pusher.waiting)
                outcomes = await parts.write(f"outcomes/{number:06d}.ndjson", results)
                push.pushed(len(refs), outcomes, results)
            done = push.done
            outcomes = await parts.join(f"outcomes/from-{job.first:06d}.ndjson", done.outcomes)
        return PushedRecords(outcomes=outcomes, books=done.books, vendor_calls=done.vendor_calls)

    @activity.defn(name="sync.publish_dataset")
    async def publish_dataset(self, given: PublishDataset) -> PushedRecords:
        """Replace the plan's data source by the extract. Idempotent: yes, the name is overwritten as a whole.

        Raises:
            AuthExpired: the vendor refuses the credential.
            OutcomeUnknown: the answer was lost; publishing again ends in the same state.
        """
        plan = given.plan
        connector = await self._access.connector(plan.organization_id, plan.integration_id, DatasetConnector)
        parts = Parts(self._staging, plan.organization_id, plan.run_id)
        with self._staging.scratch() as folder:
            async with beating(PushProgress()):
                files = [
                    await self._staging.fetch(ref, folder)
                    for ref in await parts.refs(given.parts, 0, given.parts.count)
                ]
                dataset = await asyncio.to_thread(build_dataset, files, given.columns, folder)
                return await published(connector, plan, dataset, parts, folder)

    @activity.defn(name="sync.finish")
    async def finish(self, given: FinishSync) -> FinishedSync:
        """Join the outcomes of all records, count the books from them, and drop the staged records. Idempotent: yes."""
        parts = Parts(self._staging, given.organization_id, given.run_id)
        books, details = Books(), list[RecordResult]()
        async with beating(given):
            for ref in given.outcomes:
                rows = await parts.read(ref, RecordResult)
                books = books.plus(counted([row.status for row in rows]))
                details += [row for row in rows if row.status in {RecordStatus.REJECTED, RecordStatus.HELD}]
                del details[_DETAILS:]
            details_ref = await parts.join("details.ndjson", given.outcomes)
            await parts.drop_parts()
        return FinishedSync(details_ref=details_ref, books=books, details=details)

    @activity.defn(name="sync.record_watermark")
    async def record_watermark(self, given: WatermarkRecord) -> None:
        """Remember up to when the report is synced. Idempotent: yes, it only moves forward."""
        scope = Scope(given.organization_id, given.integration_id, given.object_type)
        await self._receipts.advance(scope, given.report_id, given.watermark)


def _refuse_strategy(request: DataSynchronizationRequest, mode: SyncMode) -> None:
    strategy = request.conflict_resolution
    if strategy is ConflictResolutionStrategy.NEWEST_WINS or (
        mode is SyncMode.DATASET and strategy is not ConflictResolutionStrategy.SOURCE_WINS
    ):
        raise InvalidInput(
            "conflict_resolution_unsupported",
            f"This target cannot resolve conflicts by {strategy.value}.",
            action="Use source_wins; record targets also take target_wins and manual.",
        )


def _still_held(waiting: int) -> Transient:
    return Transient(
        "records_held",
        f"{waiting} records could not be taken for the moment; the others stand.",
        operation="sync.push_records",
    )


def _resume(model: type[P]) -> P:
    details = activity.info().heartbeat_details
    return model.model_validate(details[0]) if details else model()
