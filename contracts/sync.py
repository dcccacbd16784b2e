"""A sync of report data into a target system, and its books."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, JsonValue, model_validator

from contracts.base import Contract, FieldName, Instant, OpaqueId, ShortText, Text
from contracts.dataset import DatasetRef, DataSource
from contracts.errors import ErrorDetail
from contracts.integration import FieldMapping, IntegrationInstance
from contracts.sync_plan import PlanHash, SyncPreview
from contracts.sync_schema import SchemaDrift, SchemaPolicy


class SynchronizationType(StrEnum):
    """How much of the report is synced: all, what changed since the last sync, one record, or the records named."""

    FULL_SYNC = "full_sync"
    INCREMENTAL = "incremental"
    REAL_TIME = "real_time"
    BATCH = "batch"


class SyncPriority(StrEnum):
    """Priority words of requests and notifications."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    CRITICAL = "critical"


class ConflictResolutionStrategy(StrEnum):
    """Which side wins when both changed a record since the last sync.

    `merge` takes every field from the side its mapping names (`winner`); a field of the target's is written only
    while it is empty there. `manual` holds the record until somebody decides.
    """

    SOURCE_WINS = "source_wins"
    TARGET_WINS = "target_wins"
    NEWEST_WINS = "newest_wins"
    MERGE = "merge"
    MANUAL = "manual"


class RemovalPolicy(StrEnum):
    """What becomes of target records that are no longer in the report; connectors say which of it they can do."""

    IGNORE = "ignore"
    ARCHIVE = "archive"
    DELETE = "delete"


class RemovalRules(Contract):
    """What a full sync does about records that it once brought over and that are gone from the report.

    More than `max_ratio` of the report's records, or more than `max_records`, wait for approval, and stay where nobody
    approves in time.
    """

    policy: RemovalPolicy = RemovalPolicy.IGNORE
    max_ratio: float = Field(default=0.2, ge=0, le=1)
    max_records: int = Field(default=1_000, ge=0)
    approve_within: timedelta = timedelta(days=1)


class RemovalDecision(StrEnum):
    """Whether records that are gone from the report may be removed."""

    WITHIN_LIMITS = "within_limits"
    APPROVED = "approved"
    REFUSED = "refused"
    NOT_DECIDED = "not_decided"
    """Nobody approved in time."""
    UNCERTAIN = "uncertain"
    """Some records of the report have no id, and may be the missing ones."""


class RemovalApproval(Contract):
    """Whether the records that a sync found gone may be removed from the target."""

    organization_id: OpaqueId
    approved: bool
    decided_by: OpaqueId


class RemovalAnswer(Contract):
    """Whether an approval or refusal counts; the first one does."""

    accepted: bool


class FilterOperator(StrEnum):
    """Comparisons of a data filter."""

    EQUALS = "eq"
    NOT_EQUALS = "ne"
    IN = "in"
    NOT_IN = "not_in"
    GREATER = "gt"
    GREATER_OR_EQUAL = "gte"
    LESS = "lt"
    LESS_OR_EQUAL = "lte"


class DataFilter(Contract):
    """Keep the records whose `field` compares so with `value`."""

    field: FieldName
    operator: FilterOperator
    value: JsonValue


class DataSynchronizationRequest(Contract):
    """Sync one report into one integration (WS-333)."""

    sync_id: OpaqueId
    organization_id: OpaqueId
    source_report_id: OpaqueId
    source: DataSource | None = None
    target_integration: IntegrationInstance
    sync_type: SynchronizationType = SynchronizationType.FULL_SYNC
    data_filters: Annotated[list[DataFilter], Field(max_length=50)] = []
    data_mapping: Annotated[list[FieldMapping], Field(max_length=500)] = []
    """Overrides the integration's own mapping when not empty."""
    target_object: ShortText | None = None
    """The vendor's object or data source to write to; the connector's default when absent."""
    batch_size: int = Field(default=100, ge=1, le=10_000)
    removals: RemovalRules = RemovalRules()
    priority: SyncPriority = SyncPriority.NORMAL
    conflict_resolution: ConflictResolutionStrategy = ConflictResolutionStrategy.SOURCE_WINS

    schema_policy: SchemaPolicy = SchemaPolicy.EVOLVE
    record_ids: Annotated[list[OpaqueId], Field(max_length=1_000)] = []
    """Only these records, as the source has them now; for `batch`, and for `real_time`, which takes one."""
    dry_run: bool = False
    """Say what would be done, and write nothing."""
    plan_hash: PlanHash | None = None
    """Do exactly what the plan of this hash said, or nothing."""

    def data_source(self) -> DataSource:
        """Return the source, the WedSync report when none was given."""
        return self.source or DataSource(report_id=self.source_report_id)


class Books(Contract):
    """The count of a run's records: closed when everything read is accounted for."""

    read: int = Field(default=0, ge=0)
    created: int = Field(default=0, ge=0)
    updated: int = Field(default=0, ge=0)
    unchanged: int = Field(default=0, ge=0)
    rejected: int = Field(default=0, ge=0)
    held: int = Field(default=0, ge=0)

    @property
    def closed(self) -> bool:
        """Whether read = created + updated + unchanged + rejected + held."""
        return self.read == self.created + self.updated + self.unchanged + self.rejected + self.held

    def plus(self, other: Books) -> Books:
        """Return the sum of both books."""
        return Books(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


class SyncProgress(Contract):
    """How far a running sync is."""

    step: ShortText = ""
    total: int = Field(default=0, ge=0)
    """Records to bring to the target; 0 until they are read."""
    done: int = Field(default=0, ge=0)
    """Of these, how many are accounted for."""
    ends_at: Instant | None = None
    """When the last of them will be, at the pace so far."""

    def sentence(self) -> str:
        """Return records, share and expected end as one line; empty before anything is counted."""
        if not self.done or not self.total:
            return ""
        ends = f", until about {self.ends_at:%H:%M:%S} UTC" if self.ends_at and self.done < self.total else ""
        return f"{self.done} of {self.total} records ({self.done / self.total:.0%}){ends}"


class RecordStatus(StrEnum):
    """What became of one record."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    HELD = "held"


class RecordResult(Contract):
    """What became of one record, by its opaque id."""

    record_id: ShortText
    status: RecordStatus
    remote_id: ShortText | None = None
    reason: Text = ""
    asks: ShortText = ""
    """A digest of what the target held, where somebody has to decide which side wins; otherwise empty."""


class SyncStatus(StrEnum):
    """Overall outcome: success, partial (some records rejected or held) or failed."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"


class Removals(Contract):
    """What became of the target's records that are gone from the report; they are not among the records read."""

    found: int = Field(default=0, ge=0)
    removed: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    reappeared: int = Field(default=0, ge=0)
    """Brought over again by another sync before they were removed."""
    decision: RemovalDecision = RemovalDecision.WITHIN_LIMITS
    decided_by: OpaqueId | None = None
    details: Annotated[list[RecordResult], Field(max_length=100)] = []
    """The first that could not be removed."""

    @property
    def withheld(self) -> int:
        """Those that stay although the policy would have them removed."""
        return self.found - self.removed - self.reappeared


class SynchronizationResult(Contract):
    """The result of `SyncReport`; `total_records`, `successful_syncs`, `failed_syncs` are WS-333's names."""

    sync_id: OpaqueId
    status: SyncStatus
    books: Books = Books()
    total_records: int = 0
    successful_syncs: int = 0
    failed_syncs: int = 0
    details: Annotated[list[RecordResult], Field(max_length=1_000)] = []
    """The first rejected and held records; every record's outcome is in `details_ref`."""
    details_ref: DatasetRef | None = None
    removals: Removals = Removals()
    plan: SyncPreview | None = None
    """What would be done; of a dry run only."""
    drift: Annotated[list[SchemaDrift], Field(max_length=1_000)] = []
    """The report's fields that are not as the last sync knew them."""
    absent: int = Field(default=0, ge=0)
    """Records that were named and are not in the report; they are not among those read."""
    retried: int = Field(default=0, ge=0)
    """Records of `books` that came from the dead letters of earlier syncs."""
    dead_letters: int = Field(default=0, ge=0)
    """Records of the report that still stand in the dead letters."""
    vendor_calls: int = Field(default=0, ge=0)
    watermark: Instant | None = None
    started_at: Instant | None = None
    finished_at: Instant | None = None
    error: ErrorDetail | None = None

    @model_validator(mode="after")
    def _green_only_when_closed(self) -> Self:
        if self.status is SyncStatus.SUCCESS and not self.books.closed:
            message = "a sync whose books do not close cannot be a success"
            raise ValueError(message)
        return self
