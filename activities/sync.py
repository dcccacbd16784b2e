"""The steps of a report sync: prepare, extract, push or publish, finish, and remember how far it came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio import activity

from activities.access import Access
from activities.connectors.registry import connector_class
from activities.ports.datasets import DatasetConnector
from activities.ports.manifest import Capability
from activities.ports.records import BulkRecordConnector, RecordConnector
from activities.ports.sources import SourceConnector
from activities.storage.dead_letters import DeadLetters
from activities.storage.receipts import Receipts, Scope
from activities.storage.report_schemas import ReportSchemas
from activities.storage.staging import Staging
from activities.sync_bulk import BulkPush, groups
from activities.sync_dataset import build_dataset
from activities.sync_extraction import Extraction
from activities.sync_letters import LetterKeeping, outbox_of
from activities.sync_parts import Parts, StagedRecord
from activities.sync_progress import Push, resume
from activities.sync_publication import published
from activities.sync_push import PartPush
from activities.sync_refusals import refuse_unfit
from activities.transform.drift import evolved
from activities.transform.files import FileReports, format_of, locate
from activities.transform.records import Rules, check_mapping
from contracts.dataset import SourceKind
from contracts.errors import InvalidInput
from contracts.integration import IntegrationConfiguration
from contracts.sync import (
    Books,
    DataSynchronizationRequest,
    RecordResult,
    RecordStatus,
    SynchronizationType,
)
from contracts.sync_plan import PlannedChange
from contracts.sync_schema import SchemaPolicy
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

SourceFactory = Callable[[str], SourceConnector]
"""Organisation id -> the WedSync reporting API, opened for it."""

_DETAILS = 100
OVERLAP = timedelta(minutes=5)
"""How far a sync of changes reaches back before the last one: a record may have become visible after it was dated."""
_SINCE_WATERMARK = frozenset({SynchronizationType.INCREMENTAL, SynchronizationType.REAL_TIME})


class Sync:
    """The activities of `SyncReport`.

    Args:
        access: opens the integration's connector.
        staging: the sealed object store.
        receipts: what vendors have acknowledged.
        letters: what could not be brought over.
        schemas: the fields by which reports are known.
        wedsync: opens the reporting API for an organisation.
        import_dirs: the directories from which files may be imported.
        fingerprint_key: 32 secret bytes, derived from the master key.
    """

    def __init__(
        self,
        access: Access,
        staging: Staging,
        receipts: Receipts,
        letters: DeadLetters,
        schemas: ReportSchemas,
        *,
        wedsync: SourceFactory,
        import_dirs: Sequence[Path] = (),
        fingerprint_key: bytes,
    ) -> None:
        self._access = access
        self._staging = staging
        self._receipts = receipts
        self._letters = letters
        self._schemas = schemas
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
        source = request.data_source()
        if source.kind is SourceKind.DATABASE or source.windowed:
            raise InvalidInput(
                "source_unsupported",
                "A sync reads WedSync reports and files, whole or since the last sync.",
                action="Name a report or a file, and leave out changedSince and changedBefore.",
            )
        integration_id = request.target_integration.integration_id
        configuration = await self._access.configuration(request.organization_id, integration_id)
        manifest = connector_class(configuration.platform).manifest
        mapping = request.data_mapping or configuration.data_mapping
        check_mapping(mapping)
        Rules(configuration.transformation_rules)
        mode, target = await self._target(request, configuration)
        refuse_unfit(request, mode, manifest)
        if mode is SyncMode.RECORDS and not mapping:
            raise InvalidInput(
                "mapping_missing",
                f"The sync into {manifest.title} has no field mapping.",
                action="Give dataMapping in the request or in the integration's configuration.",
            )
        report_id = source.report_id or request.source_report_id
        since = None
        since_last = request.sync_type in _SINCE_WATERMARK and not request.record_ids
        if mode is SyncMode.RECORDS and since_last and source.kind is SourceKind.WEDSYNC:
            scope = Scope(request.organization_id, integration_id, target)
            watermark = await self._receipts.watermark(scope, report_id)
            since = None if watermark is None else watermark - OVERLAP
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
            removals=request.removals,
            schema_policy=request.schema_policy,
            known_fields=await self._schemas.known(Scope(request.organization_id, integration_id, target), report_id),
            record_ids=request.record_ids,
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
        pulse = resume(ExtractProgress)
        progress = pulse.progress
        parts = Parts(self._staging, plan.organization_id, plan.run_id)
        with self._staging.scratch() as folder:
            extraction = Extraction(plan, parts, folder, progress)
            await extraction.restore()
            source = self._source(plan)
            if source is not None and not progress.done:
                since = None if plan.since is None else plan.since.isoformat()
                pages = source.pages(
                    plan.report_id, cursor=progress.cursor, updated_since=since, record_ids=plan.record_ids
                )
                async for page in pages:
                    pulse.beat(await extraction.take(page))
            if plan.takes_letters and progress.retried is None:
                due = await self._letters.due(outbox_of(plan), datetime.now(UTC))
                pulse.beat(await extraction.take_letters(due))
            return await extraction.close()

    def _source(self, plan: SyncPlan) -> SourceConnector | FileReports | None:
        if plan.source.kind is SourceKind.DEAD_LETTERS:
            return None
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
        planned = None if job.planned is None else await parts.read(job.planned, PlannedChange)
        allowed = None if planned is None else {change.record_id: change for change in planned}
        push = Push(resume(PushProgress))
        for refs in groups(mine[push.done.parts_done :], job):
            number = job.first + push.done.parts_done
            bulk = None
            if isinstance(connector, BulkRecordConnector):
                bulk = BulkPush(connector, job, parts, number, push.called)
            pusher = PartPush(connector, self._receipts, job, self._key, push.called, bulk, allowed)
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
            files = [
                await self._staging.fetch(ref, folder) for ref in await parts.refs(given.parts, 0, given.parts.count)
            ]
            dataset = await asyncio.to_thread(build_dataset, files, given.columns, folder)
            return await published(connector, plan, dataset, parts, folder)

    @activity.defn(name="sync.finish")
    async def finish(self, given: FinishSync) -> FinishedSync:
        """Join the outcomes, count the books from them, keep dead letters, drop the staged records. Idempotent: yes."""
        parts = Parts(self._staging, given.organization_id, given.run_id)
        keeping = None if given.plan is None else await LetterKeeping.of(self._letters, given.plan)
        books, details, last, letters, asked = Books(), list[RecordResult](), list[RecordStatus](), 0, 0
        for ref in given.outcomes:
            async for rows in parts.slices(ref, RecordResult):
                statuses = [row.status for row in rows]
                books = books.plus(counted(statuses))
                asked += sum(bool(row.asks) for row in rows)
                last = [*last, *statuses][-given.retried :] if given.retried else []
                details += [row for row in rows if row.status in {RecordStatus.REJECTED, RecordStatus.HELD}]
                del details[_DETAILS:]
                if keeping is not None:
                    keeping.follow(rows)
        if keeping is not None and given.plan is not None:
            letters = await keeping.close(parts, given.parts)
            await self._know(given.plan, given.found_fields)
        details_ref = await parts.join("details.ndjson", given.outcomes)
        await parts.drop_parts()
        return FinishedSync(
            details_ref=details_ref,
            books=books,
            details=details,
            retried=counted(last),
            dead_letters=letters,
            asked=asked,
        )

    async def _know(self, plan: SyncPlan, found: Mapping[str, str]) -> None:
        """Know the report's fields as they are, except those whose records were kept out because they changed."""
        known = plan.known_fields
        if not found or (known and plan.schema_policy is SchemaPolicy.FREEZE):
            return
        fields = evolved(known, found)
        if plan.schema_policy is SchemaPolicy.QUARANTINE:
            fields |= known
        scope = Scope(plan.organization_id, plan.integration_id, plan.target_object)
        await self._schemas.put(scope, plan.report_id, fields)

    @activity.defn(name="sync.record_watermark")
    async def record_watermark(self, given: WatermarkRecord) -> None:
        """Remember up to when the report is synced. Idempotent: yes, it only moves forward."""
        scope = Scope(given.organization_id, given.integration_id, given.object_type)
        await self._receipts.advance(scope, given.report_id, given.watermark)
