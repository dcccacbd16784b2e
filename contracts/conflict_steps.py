"""What the steps of resolving a conflict pass to each other."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.conflict import Alternative, BookingConflict, DecisionAudience
from contracts.notification import CrossSystemRouting
from contracts.resource_day import FoundSlot, SystemRef


class NoticeKind(StrEnum):
    """What a message about a conflict is for."""

    QUESTION = "question"
    REMINDER = "reminder"
    ESCALATION = "escalation"
    ANSWERED = "answered"
    """What the question says once it is decided."""
    CALLED_OFF = "called_off"
    RECORD = "record"
    """The conflict on a booking's own page, because booking systems keep no conflict records."""
    WINNER = "winner"
    LOSER = "loser"
    """The booking system confirms the one and releases the other."""
    LOSER_TOLD = "loser_told"
    """What the couple reads that did not get the slot."""


class Choice(Contract):
    """What was decided, and by whom."""

    choice: OpaqueId
    winning_booking_id: OpaqueId
    losing_booking_id: OpaqueId
    decided_by: OpaqueId
    decided_at: Instant
    alternative: Alternative | None = None
    """The slot that is kept for the losing booking."""
    kept_until: Instant | None = None


class ComposeNotice(Contract):
    """Input of `conflicts.compose`."""

    organization_id: OpaqueId
    kind: NoticeKind
    number: int = Field(default=0, ge=0)
    """Tells reminders apart."""
    conflict: BookingConflict
    found: FoundSlot
    bookings: SystemRef
    booking_id: OpaqueId | None = None
    """Which of the two bookings the notice is about."""
    audience: Annotated[list[DecisionAudience], Field(max_length=10)] = []
    recipients: Annotated[list[ShortText], Field(max_length=20)] = []
    alternatives: Annotated[list[Alternative], Field(max_length=50)] = []
    choice: Choice | None = None


class ComposedNotice(Contract):
    """The notice as a routing; nothing where nobody would get it."""

    routing: CrossSystemRouting | None = None
