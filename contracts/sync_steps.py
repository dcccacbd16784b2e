"""What the steps of `SyncReport` hand each other: plans, references and counts, never records."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId, ShortText, Text
from contracts.dataset import DatasetRef, DataSource, SourceKind
from contracts.integration import FieldMapping, Platform, TransformationRule
from contracts.sync import (
    Books,
    ConflictResolutionStrategy,
    DataFilter,
    DataSynchronizationRequest,
    RecordResult,
    RecordStatus,
    RemovalRules,
    SynchronizationType,
)
from contracts.sync_schema import KnownFields, SchemaDrift, SchemaPolicy

MAX_INLINE_PARTS = 100
"""More parts than this travel as one staged manifest."""

PartRefs = Annotated[list[DatasetRef], Field(max_length=MAX_INLINE_PARTS)]


class SyncMode(StrEnum):
    """Whether the target takes records one by one or a whole data set."""

    RECORDS = "records"
    DATASET = "dataset"


class PrepareSync(Contract):
    """Input of `sync.prepare`; `run_id` names the run's staged files and its receipts."""

    request: DataSynchronizationRequest
    run_id: OpaqueId


class SyncPlan(Contract):
    """A request resolved against its integration: the input of every later step that needs all of it."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    run_id: OpaqueId
    platform: Platform
    mode: SyncMode
    target_object: ShortText
    """The vendor's object type, or the name of the data source."""
    source: DataSource
    report_id: OpaqueId
    sync_type: SynchronizationType
    conflict_resolution: ConflictResolutionStrategy
    batch_size: int = Field(ge=1)
    """Records per vendor call, never more than the vendor takes."""
    bulk_from: int | None = Field(default=None, ge=1)
    """A push with more changed records than this is one bulk job; None where the vendor has none."""
    bulk_size: int = Field(default=10_000, ge=1)
    """Records per bulk job."""
    filters: Annotated[list[DataFilter], Field(max_length=50)] = []
    mapping: Annotated[list[FieldMapping], Field(max_length=500)] = []
    """Empty only for data sets: every source field under its own name."""
    rules: Annotated[list[TransformationRule], Field(max_length=100)] = []
    max_rejected_ratio: float = Field(ge=0, le=1)
    removals: RemovalRules = RemovalRules()
    since: Instant | None = None
    """Only records changed at or after this instant; None reads everything."""
    schema_policy: SchemaPolicy = SchemaPolicy.EVOLVE
    known_fields: KnownFields = {}
    record_ids: Annotated[list[OpaqueId], Field(max_length=1_000)] = []
    """Only these records, where any are named."""

    @property
    def whole(self) -> bool:
        """Whether the extract is the whole report, so that what is not in it is gone."""
        partial = self.filters or self.record_ids or self.since is not None
        return not partial and self.source.kind is not SourceKind.DEAD_LETTERS

    @property
    def takes_letters(self) -> bool:
        """Whether the dead letters that are due are taken along, because the source may not hand them over again."""
        return self.since is not None or self.source.kind is SourceKind.DEAD_LETTERS


class PartList(Contract):
    """The staged parts of an extract: inline, or one staged manifest of `count` references."""

    inline: PartRefs = []
    manifest: DatasetRef | None = None
    count: int = Field(default=0, ge=0)


class RetryBudget(Contract):
    """Since when a step has made no progress, and how many attempts ago."""

    progressed_at: Instant | None = None
    stalled: int = Field(default=0, ge=0)


class ExtractProgress(Contract):
    """The resume point of `sync.extract`: everything up to `cursor` is staged."""

    cursor: Text | None = None
    done: bool = False
    position: int = Field(default=0, ge=0)
    """Records the source has handed over, skipped ones included."""
    read: int = Field(default=0, ge=0)
    rejected: int = Field(default=0, ge=0)
    parts: PartRefs = []
    segments: Annotated[list[DatasetRef], Field(max_length=10_000)] = []
    """Staged lists of full hundreds of earlier parts."""
    tail: DatasetRef | None = None
    """Records that do not fill a part yet."""
    columns: Annotated[list[ShortText], Field(max_length=1_000)] = []
    watermark: Instant | None = None
    kinds: Annotated[dict[ShortText, dict[ShortText, int]], Field(max_length=1_000)] = {}
    """Field -> kind of value -> records that have it."""
    retried: Books | None = None
    """The dead letters taken along after the source's end; None until then."""
    budget: RetryBudget = RetryBudget()

    @property
    def units(self) -> int:
        """How much is done: more of it is progress."""
        return self.position + (self.retried is not None)


class ExtractedReport(Contract):
    """Result of `sync.extract`: `read` records in scope, the rejected ones among them already known."""

    parts: PartList
    read: int = Field(ge=0)
    rejected: int = Field(ge=0)
    columns: Annotated[list[ShortText], Field(max_length=1_000)] = []
    watermark: Instant | None = None
    retried: Books = Books()
    """The dead letters among the records, which come last."""
    found_fields: KnownFields = {}
    drift: Annotated[list[SchemaDrift], Field(max_length=1_000)] = []
    absent: int = Field(default=0, ge=0)
    """Records that were named and are not in the report."""


class PushParts(Contract):
    """Input of `sync.push_records`: the parts `first` to `first + count - 1` of an extract."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    run_id: OpaqueId
    object_type: ShortText
    sync_type: SynchronizationType
    conflict_resolution: ConflictResolutionStrategy
    batch_size: int = Field(ge=1)
    bulk_from: int | None = Field(default=None, ge=1)
    bulk_size: int = Field(default=10_000, ge=1)
    report_id: OpaqueId | None = None
    """The report that the records come from."""
    target_owned: Annotated[list[ShortText], Field(max_length=500)] = []
    """Properties whose value at the target stands where conflicts are merged."""
    planned: DatasetRef | None = None
    """The changes that may be made; a record whose target is no longer as they say is held."""
    parts: PartList
    first: int = Field(ge=0)
    count: int = Field(ge=1)


class PushProgress(Contract):
    """The resume point of `sync.push_records`: `parts_done` parts are accounted for in `outcomes`."""

    parts_done: int = Field(default=0, ge=0)
    outcomes: Annotated[list[DatasetRef], Field(max_length=10_000)] = []
    books: Books = Books()
    vendor_calls: int = Field(default=0, ge=0)
    held_rounds: int = Field(default=0, ge=0)
    """Attempts that ended because the vendor could not take single records."""
    budget: RetryBudget = RetryBudget()

    @property
    def units(self) -> int:
        """How much is done: more of it is progress."""
        return self.parts_done


class PublishDataset(Contract):
    """Input of `sync.publish_dataset`."""

    plan: SyncPlan
    parts: PartList
    columns: Annotated[list[ShortText], Field(max_length=1_000)]


class PushedRecords(Contract):
    """Result of a push or a publication; `outcomes` names every record and what became of it."""

    outcomes: DatasetRef
    books: Books
    vendor_calls: int = Field(default=0, ge=0)


class FindRemovals(Contract):
    """Input of `sync.find_removals`: the plan of a full sync, and all it read."""

    plan: SyncPlan
    parts: PartList


class FoundRemovals(Contract):
    """Result of `sync.find_removals`: what the report once brought over and no longer has."""

    gone: DatasetRef
    known: int = Field(ge=0)
    """Records the report has brought over, those that are gone included."""
    anonymous: int = Field(default=0, ge=0)
    """Records of the report that have no id."""
    digest: ShortText = ""
    """Of the ids that are gone."""


class RemoveRecords(Contract):
    """Input of `sync.remove_records`."""

    plan: SyncPlan
    gone: DatasetRef


class RemovalProgress(Contract):
    """The resume point of `sync.remove_records`, and its result."""

    done: int = Field(default=0, ge=0)
    """Records looked at, in their staged order."""
    removed: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    reappeared: int = Field(default=0, ge=0)
    vendor_calls: int = Field(default=0, ge=0)
    details: Annotated[list[RecordResult], Field(max_length=100)] = []
    budget: RetryBudget = RetryBudget()

    @property
    def units(self) -> int:
        """How much is done: more of it is progress."""
        return self.done


class FinishSync(Contract):
    """Input of `sync.finish`."""

    organization_id: OpaqueId
    run_id: OpaqueId
    outcomes: PartRefs
    plan: SyncPlan | None = None
    """With the parts, so that what was rejected or held is kept as dead letters."""
    parts: PartList = PartList()
    found_fields: KnownFields = {}
    retried: int = Field(default=0, ge=0)
    """How many of the last records came from the dead letters."""


class FinishedSync(Contract):
    """Result of `sync.finish`: books counted afresh from the outcomes, and the records that need somebody."""

    details_ref: DatasetRef
    books: Books
    details: Annotated[list[RecordResult], Field(max_length=100)] = []
    retried: Books = Books()
    """What became of the dead letters among the records."""
    dead_letters: int = Field(default=0, ge=0)
    """The report's dead letters now."""
    asked: int = Field(default=0, ge=0)
    """Held records that wait for somebody's decision, and so do not hold the watermark back."""


class WatermarkRecord(Contract):
    """Input of `sync.record_watermark`: a later incremental sync starts at `watermark`."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    object_type: ShortText
    report_id: OpaqueId
    watermark: Instant


def counted(statuses: list[RecordStatus]) -> Books:
    """Return the books of records with these outcomes, each of them read."""
    counts = {status.value: statuses.count(status) for status in RecordStatus}
    return Books(read=len(statuses), **counts)
