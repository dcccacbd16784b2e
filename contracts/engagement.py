"""What recipients did with a notification, and how that is carried between systems (WS-334)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.errors import ErrorDetail
from contracts.integration import Platform


class NotificationState(StrEnum):
    """How far a notification came, from least to most."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    ACKNOWLEDGED = "acknowledged"

    @property
    def rank(self) -> int:
        """How far it is: a state never goes back to a smaller one."""
        return list(NotificationState).index(self)


class ObservedState(Contract):
    """A state that one system knows of."""

    notification_id: OpaqueId
    system_id: OpaqueId
    state: NotificationState
    occurred_at: Instant


class StateTarget(Contract):
    """A system that the states are carried to."""

    system_id: OpaqueId
    system_type: Platform
    integration_id: OpaqueId


class EngagementTracking(Contract):
    """The message whose engagement is asked for."""

    message_id: OpaqueId
    channel_id: OpaqueId
    message_timestamp: ShortText
    """The platform's own id of the message, such as Slack's ts."""


class Reaction(Contract):
    """A reaction and how many gave it; who gave it stays at the platform."""

    name: ShortText
    count: int = Field(ge=0)


class EngagementResult(Contract):
    """Reactions and replies of one message."""

    message_id: OpaqueId
    reactions: Annotated[list[Reaction], Field(max_length=500)] = []
    reply_count: int = Field(default=0, ge=0)
    view_count: int | None = Field(default=None, ge=0)
    """None where the platform does not tell, as Slack does not."""
    engagement_score: float = Field(default=0, ge=0)
    tracked_at: Instant


class EngagementSource(Contract):
    """A message, and the system it stands at."""

    system_id: OpaqueId
    system_type: Platform
    integration_id: OpaqueId
    tracking: EngagementTracking


class StateSynchronization(Contract):
    """Carry the furthest known state of notifications to the systems that show it."""

    sync_id: OpaqueId
    organization_id: OpaqueId
    states: Annotated[list[ObservedState], Field(max_length=1_000)] = []
    engagement: Annotated[list[EngagementSource], Field(max_length=100)] = []
    """Messages whose readers are asked for first; what they did counts as their notification's state."""
    target_systems: Annotated[list[StateTarget], Field(max_length=50)] = []

    @model_validator(mode="after")
    def _knows_something(self) -> Self:
        if not self.states and not self.engagement:
            message = "there is neither a state nor a message to ask about"
            raise ValueError(message)
        return self


class TrackEngagement(Contract):
    """Input of `states.track`."""

    organization_id: OpaqueId
    source: EngagementSource


class TrackedEngagement(Contract):
    """What people made of a message, and what that says of its notification."""

    result: EngagementResult
    states: Annotated[list[ObservedState], Field(max_length=50)] = []


class CarryStates(Contract):
    """Input of `states.carry`: the furthest state of each notification, to be shown by one system."""

    organization_id: OpaqueId
    target: StateTarget
    states: Annotated[list[ObservedState], Field(min_length=1, max_length=1_000)]


class StateSyncDetail(Contract):
    """What became of one notification at one system."""

    notification_id: OpaqueId
    system_id: OpaqueId
    state: NotificationState
    changed: bool
    """False where the system knew a state as far already."""
    reason: ShortText = ""
    """`nothing_stands_there`, `cannot_show_it`, or the code of the error."""
    error: ErrorDetail | None = None


class CarriedStates(Contract):
    """What became of each notification at one system."""

    details: Annotated[list[StateSyncDetail], Field(max_length=1_000)] = []


class StateSyncResult(Contract):
    """The brief's SyncResult of synchronizeNotificationStates."""

    sync_id: OpaqueId
    successful_syncs: int = Field(ge=0)
    failed_syncs: int = Field(ge=0)
    sync_details: Annotated[list[StateSyncDetail], Field(max_length=50_000)] = []
    engagement: Annotated[list[EngagementResult], Field(max_length=100)] = []
