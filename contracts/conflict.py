"""Booking conflicts: what collides, who decides, and what was decided (WS-334)."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.errors import ErrorDetail
from contracts.integration import Platform
from contracts.notification import CommunicationChannel, DeliveryStatus, Slot


class BookingConflict(Contract):
    """Two bookings of one resource that cannot both stand."""

    conflict_id: OpaqueId
    type: ShortText
    conflict_date: date
    duration: int = Field(ge=1, le=10_080)
    """Minutes that the resource is needed."""
    photographer_id: OpaqueId
    """The resource that is booked twice; the brief's name, whatever the resource is."""
    primary_booking_id: OpaqueId
    conflicting_booking_id: OpaqueId

    @model_validator(mode="after")
    def _two_bookings(self) -> Self:
        if self.primary_booking_id == self.conflicting_booking_id:
            message = f"the conflict {self.conflict_id!r} names one booking twice"
            raise ValueError(message)
        return self


class DecisionMode(StrEnum):
    """Who decides a conflict."""

    HUMAN = "human"
    AUTOMATIC = "automatic"


class DeadlinePolicy(StrEnum):
    """What is decided when nobody has decided by the deadline."""

    KEEP_PRIMARY = "keep_primary"
    KEEP_CONFLICTING = "keep_conflicting"
    ESCALATE = "escalate"


class DecisionAudience(Contract):
    """Who is asked for the decision, and where."""

    system_type: Platform
    integration_id: OpaqueId
    channels: Annotated[list[CommunicationChannel], Field(max_length=20)] = []


class ConflictDecisionPolicy(Contract):
    """How a decision comes about; durations are ISO 8601, counted from the question."""

    mode: DecisionMode = DecisionMode.HUMAN
    deadline: timedelta = timedelta(days=2)
    remind_after: Annotated[list[timedelta], Field(max_length=10)] = []
    on_deadline: DeadlinePolicy = DeadlinePolicy.KEEP_PRIMARY
    notify: Annotated[list[DecisionAudience], Field(max_length=10)] = []


class BookingConflicts(Contract):
    """Conflicts that one booking system reported."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    conflicts: Annotated[list[BookingConflict], Field(min_length=1, max_length=100)]
    decision: ConflictDecisionPolicy = ConflictDecisionPolicy()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({one.conflict_id for one in self.conflicts}) < len(self.conflicts):
            message = "two conflicts have one conflictId"
            raise ValueError(message)
        return self


class Alternative(Contract):
    """A slot that the losing booking could take instead."""

    starts_at: Instant
    ends_at: Instant
    photographer_id: OpaqueId
    rank: int = Field(ge=1)
    """1 is the best."""

    @property
    def slot(self) -> Slot:
        """The time of the resource."""
        return Slot(resource_id=self.photographer_id, starts_at=self.starts_at, ends_at=self.ends_at)


class ConflictStatus(StrEnum):
    """Where a conflict stands: a record of it is not yet its resolution."""

    PENDING_RESOLUTION = "pending_resolution"
    RESOLVED = "resolved"
    RESOLUTION_FAILED = "resolution_failed"


class Consequence(Contract):
    """One thing that a decision brings about."""

    name: ShortText
    """`winner_confirmed`, `loser_released`, `loser_told` or `question_answered`."""
    status: DeliveryStatus
    reason: ShortText = ""
    error: ErrorDetail | None = None


class ConflictDecision(Contract):
    """Somebody's choice: the argument of the Update `decide`."""

    choice: OpaqueId
    """The booking that keeps the slot, or `alternative-N`: the primary keeps it and the other gets alternative N."""
    decided_by: OpaqueId = "api"
    """Who decided, as an opaque word; never a name, an address or a number."""


class DecisionAnswer(Contract):
    """What the conflict made of a choice; `message` is shown to whoever made it."""

    accepted: bool
    conflict_id: OpaqueId
    winning_booking_id: OpaqueId | None = None
    choice: OpaqueId | None = None
    decided_by: OpaqueId | None = None
    message: ShortText = ""


class ResolutionDetail(Contract):
    """What became of one conflict."""

    conflict_id: OpaqueId
    status: ConflictStatus
    conflict_record_id: ShortText | None = None
    """Its record at the booking system, where that keeps one (the brief's taveConflictId)."""
    winning_booking_id: OpaqueId | None = None
    alternatives: Annotated[list[Alternative], Field(max_length=50)] = []
    created_at: Instant
    choice: OpaqueId | None = None
    decided_by: OpaqueId | None = None
    """`deadline` and `automatic` where no human chose."""
    decided_at: Instant | None = None
    consequences: Annotated[list[Consequence], Field(max_length=10)] = []
    error: ErrorDetail | None = None


class ConflictResolution(Contract):
    """What became of all conflicts of a request."""

    total_conflicts: int = Field(ge=0)
    resolved_conflicts: int = Field(ge=0)
    failed_resolutions: int = Field(ge=0)
    resolution_details: Annotated[list[ResolutionDetail], Field(max_length=100)] = []
