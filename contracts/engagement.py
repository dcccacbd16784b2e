"""What recipients did with a notification, and how that is carried between systems (WS-334)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.errors import ErrorDetail
from contracts.integration import Platform


class NotificationState(StrEnum):
    """How far a notification came, from least to most."""

    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    ACKNOWLEDGED = "acknowledged"


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


class StateSynchronization(Contract):
    """Carry the furthest known state of notifications to the systems that show it."""

    sync_id: OpaqueId
    organization_id: OpaqueId
    states: Annotated[list[ObservedState], Field(min_length=1, max_length=1_000)]
    target_systems: Annotated[list[StateTarget], Field(min_length=1, max_length=50)]


class StateSyncDetail(Contract):
    """What became of one notification at one system."""

    notification_id: OpaqueId
    system_id: OpaqueId
    state: NotificationState
    changed: bool
    """False where the system knew a state as far already."""
    error: ErrorDetail | None = None


class StateSyncResult(Contract):
    """The brief's SyncResult of synchronizeNotificationStates."""

    sync_id: OpaqueId
    successful_syncs: int = Field(ge=0)
    failed_syncs: int = Field(ge=0)
    sync_details: Annotated[list[StateSyncDetail], Field(max_length=50_000)] = []


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
