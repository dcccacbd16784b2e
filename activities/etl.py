"""The verbs of a warehouse load: check, prepare, extract, load each layer, build analytics, optimise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from temporalio import activity

from activities.access import Access
from activities.connectors.registry import connector_class
from activities.etl_source import fetch_report, local_file
from activities.ports.connector import SourceConnector
from activities.ports.manifest import Capability
from activities.ports.warehouse import LayerFiles, WarehouseConnector
from activities.storage.staging import Staging
from activities.transform import extract, quality
from activities.transport.offload import offload
from contracts.dataset import DatasetRef, SourceFormat, SourceKind
from contracts.errors import InvalidInput, Permanent, Transient
from contracts.etl import (
    DataQuality,
    EtlBatch,
    EtlRequest,
    EtlTarget,
    ExtractResult,
    FetchProgress,
    Layer,
    LayerLoaded,
    LoadLayerInput,
    MartsLoaded,
    Optimized,
    StagedLayer,
    TablesBuilt,
)
from contracts.integration import FieldMapping, ProvisionResult

SourceFactory = Callable[[str], SourceConnector]
"""Organisation -> its open WedSync reporting API."""

_BEAT_S = 5.0


@dataclass(frozen=True)
class _Extracted:
    judgement: extract.Judgement
    parts: list[extract.Part]
    quarantine: Path
    quarantined: int


class Etl:
    """The activities of `RunWarehouseEtl`.

    Args:
        access: opens the integration's connector.
        staging: the sealed object store.
        import_dirs: the directories files may be imported from; None allows every absolute path.
        wedsync: opens the reporting API of an organisation, for sources of kind `wedsync`.
    """

    def __init__(
        self,
        access: Access,
        staging: Staging,
        import_dirs: Sequence[Path] | None,
        *,
        wedsync: SourceFactory | None = None,
    ) -> None:
        self._access = access
        self._staging = staging
        self._import_dirs = None if import_dirs is None else list(import_dirs)
        self._wedsync = wedsync

    @activity.defn(name="etl.check")
    async def check(self, request: EtlRequest) -> EtlTarget:
        """Find the platform and refuse early what cannot work. Idempotent: yes, it only reads.

        Raises:
            InvalidInput: no such integration, it is no warehouse, or source or mapping do not fit.
            IntegrationPaused: the integration takes no work.
        """
        configuration = await self._access.configuration(
            request.organization_id, request.target_integration.integration_id
        )
        manifest = connector_class(configuration.platform).manifest
        if Capability.WAREHOUSE not in manifest.capabilities:
            raise InvalidInput(
                "capability_missing",
                f"{manifest.title} is not a data warehouse.",
                action="Name an integration of a data warehouse as targetIntegration.",
            )
        if request.source.kind is SourceKind.WEDSYNC:
            if request.source.report_id is None:
                raise InvalidInput("report_missing", "The source names no report.", action="Give source.reportId.")
            return EtlTarget(platform=configuration.platform)
        path, file_format = local_file(request.source, self._import_dirs)
        mapping = request.data_mapping or configuration.data_mapping
        async with _beating():
            with self._staging.scratch() as folder:
                columns = await offload(_check_file, folder, path, file_format, mapping)
        return EtlTarget(platform=configuration.platform, columns=columns[:500])

    @activity.defn(name="etl.extract")
    async def extract(self, request: EtlRequest) -> ExtractResult:
        """Read, map, type and judge the whole source; stage sealed Parquet parts and the quarantine.

        Idempotent: yes, the staged objects have fixed names and are replaced as a whole. Resumes a paged source from
        its heartbeat.

        Raises:
            InvalidInput: source or mapping do not fit.
        """
        configuration = await self._access.configuration(
            request.organization_id, request.target_integration.integration_id
        )
        request = request.model_copy(update={"data_mapping": request.data_mapping or configuration.data_mapping})
        prefix = f"{request.organization_id}/{request.etl_id.replace(':', '_')}"
        progress = _resume()
        async with _beating(progress) as beat:
            with self._staging.scratch() as folder:
                path, file_format = await self._source(request, prefix, folder, progress, beat)
                done = await offload(_extract, folder, path, file_format, request)
                return await self._stage(request, prefix, done)

    async def _source(
        self,
        request: EtlRequest,
        prefix: str,
        folder: Path,
        progress: FetchProgress,
        beat: Callable[[FetchProgress], None],
    ) -> tuple[Path, SourceFormat]:
        if request.source.kind is SourceKind.FILE:
            return local_file(request.source, self._import_dirs)
        if self._wedsync is None or request.source.report_id is None:
            raise InvalidInput(
                "source_not_available",
                "This worker has no access to WedSync reports, or the source names none.",
                action="Give source.reportId, or a source of kind file.",
            )
        connector = self._wedsync(request.organization_id)
        path = await fetch_report(connector, request.source.report_id, self._staging, prefix, folder, progress, beat)
        return path, SourceFormat.NDJSON

    async def _stage(self, request: EtlRequest, prefix: str, done: _Extracted) -> ExtractResult:
        staged: dict[Layer, list[DatasetRef]] = {Layer.RAW: [], Layer.STAGING: []}
        for part in done.parts:
            ref = await self._staging.put_file(f"{prefix}/{part.path.name}", part.path, part.rows)
            staged[part.layer].append(ref)
        quarantine = None
        if done.quarantined:
            quarantine = await self._staging.put_file(f"{prefix}/quarantine.ndjson", done.quarantine, done.quarantined)
        found = done.judgement
        return ExtractResult(
            quality=DataQuality(
                total_records=found.total,
                failed_records=found.failed,
                failure_rate=found.failed / found.total,
                threshold=request.data_quality.failure_threshold,
                reasons=found.reasons,
                quarantine=quarantine,
            ),
            raw=_layer(Layer.RAW, staged, found.total, found.raw_digest),
            staging=_layer(Layer.STAGING, staged, found.total - found.failed, found.staging_digest),
        )

    @activity.defn(name="etl.prepare")
    async def prepare(self, batch: EtlBatch) -> ProvisionResult:
        """Create the schemas and tables that are missing. Idempotent: yes, what exists is left as it is."""
        warehouse = await self._warehouse(batch)
        async with _beating():
            return await warehouse.provision()

    @activity.defn(name="etl.load_raw")
    async def load_raw(self, given: LoadLayerInput) -> LayerLoaded:
        """Load every row, bad ones too, as text. Idempotent: yes, by the batch's id and digest."""
        return await self._load(given)

    @activity.defn(name="etl.load_staging")
    async def load_staging(self, given: LoadLayerInput) -> LayerLoaded:
        """Load the good rows, typed. Idempotent: yes, by the batch's id and digest."""
        return await self._load(given)

    async def _load(self, given: LoadLayerInput) -> LayerLoaded:
        warehouse = await self._warehouse(given.batch)
        async with _beating():
            with self._staging.scratch() as folder:
                files = [await self._fetch(ref, folder) for ref in given.staged.parts]
                layer = LayerFiles(given.staged.layer, files, given.staged.rows, given.staged.digest)
                return await warehouse.load_layer(given.batch, layer)

    async def _fetch(self, ref: DatasetRef, folder: Path) -> Path:
        try:
            return await self._staging.fetch(ref, folder)
        except Transient as error:
            # A repeat would look for the same object: only a new extract brings it back.
            raise Permanent(error.detail.code, error.detail.message, action="Start the load again.") from None

    @activity.defn(name="etl.load_marts")
    async def load_marts(self, batch: EtlBatch) -> MartsLoaded:
        """Merge STAGING into dimensions and facts. Idempotent: yes, one transaction that is found again."""
        warehouse = await self._warehouse(batch)
        async with _beating():
            return await warehouse.load_marts(batch)

    @activity.defn(name="etl.build_analytics")
    async def build_analytics(self, batch: EtlBatch) -> TablesBuilt:
        """Rebuild the ANALYTICS tables. Idempotent: yes, they are a function of the marts."""
        warehouse = await self._warehouse(batch)
        async with _beating():
            return await warehouse.build_analytics(batch)

    @activity.defn(name="etl.optimize")
    async def optimize(self, batch: EtlBatch) -> Optimized:
        """Arrange the marts for the usual queries. Idempotent: yes."""
        warehouse = await self._warehouse(batch)
        async with _beating():
            return await warehouse.optimize(batch)

    async def _warehouse(self, batch: EtlBatch) -> WarehouseConnector:
        return await self._access.connector(batch.organization_id, batch.integration_id, WarehouseConnector)


def _layer(layer: Layer, staged: dict[Layer, list[DatasetRef]], rows: int, digest: str) -> StagedLayer:
    return StagedLayer(layer=layer, parts=staged[layer], rows=rows, digest=digest)


def _check_file(folder: Path, path: Path, file_format: SourceFormat, mapping: Sequence[FieldMapping]) -> list[str]:
    with extract.engine(folder, path, file_format) as connection:
        columns = extract.columns_of(connection, path, file_format)
        quality.judged_rows(quality.plan_fields(mapping, columns))
        return columns


def _extract(folder: Path, path: Path, file_format: SourceFormat, request: EtlRequest) -> _Extracted:
    with extract.engine(folder, path, file_format) as connection:
        names = extract.columns_of(connection, path, file_format)
        judgement = extract.judge(connection, path, file_format, names, request.data_mapping)
        parts = list(extract.write_parts(connection, folder, request.etl_id, datetime.now(UTC)))
        quarantine = folder / "quarantine.ndjson"
        return _Extracted(judgement, parts, quarantine, extract.write_quarantine(connection, quarantine))


def _resume() -> FetchProgress:
    details = activity.info().heartbeat_details
    return FetchProgress.model_validate(details[0]) if details else FetchProgress()


@asynccontextmanager
async def _beating(progress: FetchProgress | None = None) -> AsyncIterator[Callable[[FetchProgress], None]]:
    """Heartbeat every five seconds with the latest resume point, while a thread or a vendor works."""
    latest = [progress] if progress is not None else []

    def beat(point: FetchProgress) -> None:
        latest[:] = [point]
        activity.heartbeat(point)

    async def pulse() -> None:
        while True:
            activity.heartbeat(*latest)
            await asyncio.sleep(_BEAT_S)

    task = asyncio.create_task(pulse())
    try:
        yield beat
    finally:
        task.cancel()
