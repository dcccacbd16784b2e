"""The verbs of a warehouse load: check, prepare, extract, load each layer, build analytics, optimise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from temporalio import activity

from activities.access import Access
from activities.connectors.registry import connector_class
from activities.ports.manifest import Capability
from activities.ports.warehouse import LayerFiles, WarehouseConnector
from activities.protection import Protection
from activities.source_progress import resume
from activities.sources import Sources
from activities.storage.staging import Staging
from activities.transform import extract, quality, reading
from activities.transform.protection import refuse_unprotectable
from activities.transport.offload import offload
from contracts.dataset import DatasetRef, DataSource, SourceFormat, SourceKind
from contracts.errors import InvalidInput, Permanent, Transient
from contracts.etl import (
    DataQuality,
    EtlBatch,
    EtlRequest,
    EtlTarget,
    ExtractResult,
    Layer,
    LayerLoaded,
    LoadLayerInput,
    MartsLoaded,
    Optimized,
    StagedLayer,
    TablesBuilt,
)
from contracts.integration import ProvisionResult


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
        sources: finds what a request names as its source.
        protection: keeps personal values out of what is written.
    """

    def __init__(self, access: Access, staging: Staging, sources: Sources, protection: Protection) -> None:
        self._access = access
        self._protection = protection
        self._staging = staging
        self._sources = sources

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
        mapping = request.data_mapping or configuration.data_mapping
        with self._staging.scratch() as folder:
            columns = await self._sources.columns(request.organization_id, request.source, folder)
        if columns is not None:
            quality.judged_rows(quality.plan_fields(mapping, columns))
        refuse_unprotectable(quality.named_fields(mapping))
        return EtlTarget(platform=configuration.platform, columns=(columns or [])[:500])

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
        progress = resume()
        with self._staging.scratch() as folder:
            path, file_format = await self._sources.fetch(
                request.organization_id,
                request.source,
                folder,
                prefix=prefix,
                progress=progress,
                beat=activity.heartbeat,
            )
            sealing = self._protection.of(request.organization_id)
            guard = extract.Guard(sealing, configuration.security_config.pii_fields, folder)
            done = await offload(_extract, folder, path, file_format, request, guard)
            return await self._stage(request, prefix, done)

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
                failure_rate=found.failed / found.total if found.total else 0,
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
        return await warehouse.load_marts(batch)

    @activity.defn(name="etl.build_analytics")
    async def build_analytics(self, batch: EtlBatch) -> TablesBuilt:
        """Rebuild the ANALYTICS tables. Idempotent: yes, they are a function of the marts."""
        warehouse = await self._warehouse(batch)
        return await warehouse.build_analytics(batch)

    @activity.defn(name="etl.optimize")
    async def optimize(self, batch: EtlBatch) -> Optimized:
        """Arrange the marts for the usual queries. Idempotent: yes."""
        warehouse = await self._warehouse(batch)
        return await warehouse.optimize(batch)

    async def _warehouse(self, batch: EtlBatch) -> WarehouseConnector:
        return await self._access.connector(batch.organization_id, batch.integration_id, WarehouseConnector)


def _layer(layer: Layer, staged: dict[Layer, list[DatasetRef]], rows: int, digest: str) -> StagedLayer:
    return StagedLayer(layer=layer, parts=staged[layer], rows=rows, digest=digest)


def _window(source: DataSource) -> extract.Window | None:
    """Return what is left to be looked at once the source is read; a database has looked itself."""
    if not source.windowed or source.kind is SourceKind.DATABASE:
        return None
    return extract.Window(source.changed_since, source.changed_before)


def _extract(
    folder: Path, path: Path, file_format: SourceFormat, request: EtlRequest, guard: extract.Guard
) -> _Extracted:
    with extract.engine(folder, path) as connection:
        names = reading.columns_of(connection, path, file_format)
        judgement = extract.judge(
            connection, path, file_format, names, request.data_mapping, guard, _window(request.source)
        )
        parts = list(extract.write_parts(connection, folder, request.etl_id, datetime.now(UTC)))
        quarantine = folder / "quarantine.ndjson"
        return _Extracted(judgement, parts, quarantine, extract.write_quarantine(connection, quarantine))
