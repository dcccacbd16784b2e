"""A load of reporting data into a data warehouse: request, steps and result."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from contracts.base import Contract, OpaqueId, ShortText
from contracts.dataset import DatasetRef, DataSource
from contracts.errors import ErrorDetail
from contracts.integration import FieldMapping, IntegrationInstance, Platform
from contracts.sync import Books, SyncPriority

RuleCounts = Annotated[dict[ShortText, int], Field(max_length=200)]
"""Rule -> number of rows that break it; a row may break several."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class DataQualityRules(Contract):
    """How many bad rows a load may have."""

    failure_threshold: float = Field(default=0.05, ge=0, le=1)
    """Share of rows; a load with a larger share of bad rows never reaches STAGING."""


class EtlRequest(Contract):
    """Load one source into one warehouse (WS-333); the data itself travels by reference."""

    model_config = ConfigDict(title="WeddingReportingData")
    etl_id: OpaqueId
    organization_id: OpaqueId
    target_integration: IntegrationInstance
    source: DataSource
    data_mapping: Annotated[list[FieldMapping], Field(max_length=500)] = []
    data_quality: DataQualityRules = DataQualityRules()
    optimize: bool = False
    as_of: date | None = None
    """The day from which what the source says holds; the day of the load when absent. Earlier days may come later."""
    priority: SyncPriority = SyncPriority.NORMAL


class EtlTarget(Contract):
    """Output of `etl.check`: which platform the integration is, and the columns the source has."""

    platform: Platform
    columns: Annotated[list[ShortText], Field(max_length=2_000)] = []


class EtlBatch(Contract):
    """The identity of one load at the warehouse."""

    etl_id: OpaqueId
    organization_id: OpaqueId
    integration_id: OpaqueId
    run_id: OpaqueId
    """The workflow run: a retry inside it is told the counts that it has already caused."""
    as_of: date
    """The day from which new versions in the dimensions hold."""


class DataQuality(Contract):
    """What the quality rules found; `failure_rate` counts rows, not broken rules."""

    total_records: int = Field(default=0, ge=0)
    failed_records: int = Field(default=0, ge=0)
    failure_rate: float = Field(default=0, ge=0, le=1)
    threshold: float = Field(default=0.05, ge=0, le=1)
    reasons: RuleCounts = {}
    quarantine: DatasetRef | None = None
    """NDJSON: row number, reasons and the original row of every rejected row."""

    @property
    def passes(self) -> bool:
        """Whether the share of bad rows is within the threshold; exactly the threshold passes."""
        return self.failure_rate <= self.threshold

    @property
    def good_records(self) -> int:
        """Rows that break no rule."""
        return self.total_records - self.failed_records


class Layer(StrEnum):
    """The two layers that are loaded from files."""

    RAW = "raw"
    STAGING = "staging"


class StagedLayer(Contract):
    """The Parquet parts of one layer, and a digest of their rows that does not depend on when they were written."""

    layer: Layer
    parts: Annotated[list[DatasetRef], Field(max_length=1_000)] = []
    rows: int = Field(default=0, ge=0)
    digest: Digest


class ExtractResult(Contract):
    """Output of `etl.extract`."""

    quality: DataQuality
    raw: StagedLayer
    staging: StagedLayer


class LoadLayerInput(Contract):
    """Input of `etl.load_raw` and `etl.load_staging`."""

    batch: EtlBatch
    staged: StagedLayer


class LayerLoaded(Contract):
    """Rows of this load that the layer now holds, counted in the warehouse."""

    rows: int = Field(ge=0)
    replayed: bool = False
    """True when the layer already held exactly these rows."""


class MartsLoaded(Contract):
    """What loading the marts did to the facts, and the rows each mart table now has."""

    created: int = Field(default=0, ge=0)
    updated: int = Field(default=0, ge=0)
    unchanged: int = Field(default=0, ge=0)
    standing: int = Field(default=0, ge=0)
    """Facts of this load that the warehouse holds in exactly the loaded state, counted after the load."""
    dimension_rows: int = Field(default=0, ge=0)
    """Versions added to the dimensions."""
    tables: Annotated[dict[ShortText, int], Field(max_length=50)] = {}


class TablesBuilt(Contract):
    """Rows per qualified table."""

    tables: Annotated[dict[ShortText, int], Field(max_length=50)] = {}
    rebuilt: bool = True


class TableOptimization(Contract):
    """What was done to a table, and its figures before and after.

    `queryMs` is how long the usual query took; the others are the warehouse's own, such as `unsortedPercent`.
    """

    table: ShortText
    action: ShortText
    before: Annotated[dict[ShortText, float], Field(max_length=20)] = {}
    after: Annotated[dict[ShortText, float], Field(max_length=20)] = {}


class Optimized(Contract):
    """Output of `etl.optimize`."""

    optimizations: Annotated[list[TableOptimization], Field(max_length=50)] = []


class EtlStatus(StrEnum):
    """Overall outcome of a load."""

    COMPLETED = "completed"
    FAILED = "failed"


class ETLResult(Contract):
    """The result of `RunWarehouseEtl`; `job_id` is the request's `etl_id`."""

    job_id: OpaqueId
    status: EtlStatus
    records_processed: int = Field(default=0, ge=0)
    processing_time: int = Field(default=0, ge=0)
    """Milliseconds from start to result."""
    data_quality: DataQuality = DataQuality()
    books: Books = Books()
    tables: Annotated[dict[ShortText, int], Field(max_length=50)] = {}
    """Qualified table name -> rows it holds after the load."""
    facts_created: int = Field(default=0, ge=0)
    facts_updated: int = Field(default=0, ge=0)
    facts_unchanged: int = Field(default=0, ge=0)
    dimension_versions_created: int = Field(default=0, ge=0)
    optimized: bool = False
    optimizations: Annotated[list[TableOptimization], Field(max_length=50)] = []
    error: ErrorDetail | None = None

    @model_validator(mode="after")
    def _green_only_when_closed(self) -> Self:
        if self.status is EtlStatus.COMPLETED and not self.books.closed:
            message = "a load whose books do not close cannot be completed"
            raise ValueError(message)
        return self


class FetchProgress(Contract):
    """Heartbeat of `etl.extract` while it reads a paged source: what is staged and where reading goes on."""

    cursor: Annotated[str, StringConstraints(max_length=1_000)] | None = None
    segments: Annotated[list[DatasetRef], Field(max_length=2_000)] = []
    """NDJSON objects that hold every record before `cursor`."""
