"""Many notifications routed as one run, and what became of each of them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts.base import Contract, Instant, OpaqueId
from contracts.dataset import DatasetRef
from contracts.effects import EffectStep, TargetPlan
from contracts.errors import ErrorDetail
from contracts.integration import Platform
from contracts.notification import CrossSystemRouting, DeliveryResult, RoutingResult
from contracts.sync import SyncPriority

PART_SIZE = 100
"""Routings per part: about as many vendor calls as one activity should make."""


class NotificationBatch(Contract):
    """Route many notifications; the input of `RouteNotificationBatch`.

    A few hundred fit into the input itself. The doors stage more than that, sealed, and name the parts.
    """

    batch_id: OpaqueId
    organization_id: OpaqueId
    routings: Annotated[list[CrossSystemRouting], Field(max_length=500)] = []
    parts: Annotated[list[DatasetRef], Field(max_length=1_000)] = []
    """NDJSON of at most 100 routings each."""
    priority: SyncPriority = SyncPriority.NORMAL

    @model_validator(mode="after")
    def _given_once(self) -> Self:
        if bool(self.routings) == bool(self.parts):
            message = "a batch names its routings or its parts, one of the two"
            raise ValueError(message)
        if any(routing.organization_id != self.organization_id for routing in self.routings):
            message = "every routing of a batch belongs to the batch's organization"
            raise ValueError(message)
        return self


class BatchCounts(Contract):
    """How many notifications ended how; the books close when they add up to `total`."""

    success: int = Field(default=0, ge=0)
    partial_failure: int = Field(default=0, ge=0)
    failed: int = Field(default=0, ge=0)
    skipped: int = Field(default=0, ge=0)

    @property
    def total(self) -> int:
        """Return all of them."""
        return self.success + self.partial_failure + self.failed + self.skipped

    @property
    def went_well(self) -> bool:
        """Return whether every notification reached everyone it should."""
        return not self.partial_failure and not self.failed

    def plus(self, other: BatchCounts) -> BatchCounts:
        """Return the sum of both."""
        return BatchCounts(**{name: getattr(self, name) + getattr(other, name) for name in type(self).model_fields})


class BatchSummary(Contract):
    """What became of a batch; every notification's own result lies in `results`, one `RoutingResult` per line."""

    batch_id: OpaqueId
    total: int = Field(ge=0)
    counts: BatchCounts = BatchCounts()
    vendor_calls: int = Field(default=0, ge=0)
    results: Annotated[list[DatasetRef], Field(max_length=1_000)] = []
    processing_time: int = Field(default=0, ge=0)
    """Milliseconds from start to result."""


class BatchRun(NotificationBatch):
    """Input of `RouteNotificationBatch`: a batch is enough."""

    resumed: BatchSummary | None = None
    """What the run before this one had done, part by part; clients leave it out."""


class BatchPart(Contract):
    """A hundred routings or less, staged or given."""

    part: DatasetRef | None = None
    routings: Annotated[list[CrossSystemRouting], Field(max_length=PART_SIZE)] = []


class PlanPart(BatchPart):
    """Input of `batch.plan`."""

    organization_id: OpaqueId
    batch_id: OpaqueId
    number: int = Field(ge=0)
    occurred_at: Instant


class PlannedRouting(Contract):
    """A routing with the decision about each of its targets; a line of a staged plan."""

    routing: CrossSystemRouting
    targets: Annotated[list[TargetPlan], Field(max_length=50)]


class PlannedStep(Contract):
    """An effect of a part, with the notification it belongs to; a line of the effects of one system."""

    notification_id: OpaqueId
    step: EffectStep


class SystemEffects(Contract):
    """The effects of a part at one integration."""

    system: Platform
    integration_id: OpaqueId
    effects: DatasetRef


class PartPlan(Contract):
    """What a part comes to."""

    plan: DatasetRef
    systems: Annotated[list[SystemEffects], Field(max_length=500)]
    apart: Annotated[list[CrossSystemRouting], Field(max_length=PART_SIZE)] = []
    """Routings that wait, take turns or fail over: each of them is a run of its own."""


class ApplyEffects(Contract):
    """Input of `batch.apply`."""

    organization_id: OpaqueId
    batch_id: OpaqueId
    integration_id: OpaqueId
    effects: DatasetRef


class AppliedEffects(Contract):
    """Where the outcomes lie, one `DeliveryResult` per line, and the vendor calls they took."""

    outcomes: DatasetRef
    vendor_calls: int = Field(ge=0)


class ApplyProgress(Contract):
    """How far `batch.apply` is, as its heartbeat carries it: refusals that need not be asked for again."""

    refused: Annotated[list[DeliveryResult], Field(max_length=10_000)] = []
    vendor_calls: int = Field(default=0, ge=0)


class ClosePart(BatchPart):
    """Input of `batch.close`: join the outcomes of a part to its plan."""

    organization_id: OpaqueId
    batch_id: OpaqueId
    number: int = Field(ge=0)
    plan: DatasetRef | None = None
    """None for a part that was called off, or failed, before it was planned: its routings are then given."""
    error: ErrorDetail | None = None
    """Why it could not be planned; None for one that was called off."""
    outcomes: Annotated[list[DatasetRef], Field(max_length=500)] = []
    apart: Annotated[dict[OpaqueId, RoutingResult], Field(max_length=PART_SIZE)] = {}
    """Routing id -> the result of its own run."""
    refused: Annotated[dict[OpaqueId, ErrorDetail], Field(max_length=500)] = {}
    """Integration id -> why none of its effects could be applied."""


class PartResult(Contract):
    """The results of a part."""

    results: DatasetRef | None = None
    """None where they could not be written."""
    counts: BatchCounts
    vendor_calls: int = Field(default=0, ge=0)
