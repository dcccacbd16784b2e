"""A wedding's timeline: its facts, its automations, the events that change it, and its steps."""

from __future__ import annotations

from datetime import date, time, timedelta
from enum import StrEnum
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from contracts.base import Contract, Instant, OpaqueId, ShortText, Text
from contracts.errors import ErrorDetail


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        message = f"{name!r} is not an IANA time zone such as Europe/London"
        raise ValueError(message) from error
    return name


ZoneName = Annotated[ShortText, AfterValidator(_known_zone)]


class QuietHours(Contract):
    """Local hours in which a participant is not written to."""

    model_config = ConfigDict(serialize_by_alias=True)
    from_: time = Field(alias="from")
    to: time


class Participant(Contract):
    """Someone the wedding writes to; the address is personal and stays in sealed payloads."""

    participant_id: OpaqueId
    role: ShortText = "couple"
    email: ShortText | None = None
    time_zone: ZoneName = "UTC"
    quiet_hours: QuietHours | None = None
    channels: Annotated[list[ShortText], Field(max_length=10)] = ["email"]


class Trigger(StrEnum):
    """What starts an automation."""

    PROPERTY_CHANGE = "property_change"
    ANCHOR = "anchor"


class WhenPast(StrEnum):
    """What happens to an anchored step whose instant is already past when it is planned."""

    SEND_NOW = "send_now"
    SKIP = "skip"
    ASK = "ask"


class AutomationAction(Contract):
    """One action of an automation; `delay` is in elapsed milliseconds after the trigger."""

    type: ShortText
    template: OpaqueId | None = None
    task_type: ShortText = ""
    delay: int = Field(default=0, ge=0, le=315_360_000_000)


class Automation(Contract):
    """Actions that follow a property's value, or a day of the wedding."""

    name: ShortText
    trigger: Trigger
    trigger_property: ShortText = ""
    trigger_value: ShortText = ""
    anchor: ShortText = "wedding_date"
    offset: timedelta = timedelta()
    at: time | None = None
    actions: Annotated[list[AutomationAction], Field(min_length=1, max_length=20)]
    when_past: WhenPast = WhenPast.SKIP

    @model_validator(mode="after")
    def _property_named(self) -> Self:
        if self.trigger is Trigger.PROPERTY_CHANGE and not (self.trigger_property and self.trigger_value):
            message = f"the automation {self.name!r} needs triggerProperty and triggerValue"
            raise ValueError(message)
        return self


class Wedding(Contract):
    """The wedding as WedSync knows it: the input of `WeddingTimeline`."""

    organization_id: OpaqueId
    wedding_id: OpaqueId
    wedding_date: date | None = None
    ceremony_time: time | None = None
    time_zone: ZoneName = "UTC"
    booking_status: ShortText = "inquiry"
    completion_status: ShortText = ""
    participants: Annotated[list[Participant], Field(max_length=100)] = []
    automations: Annotated[list[Automation], Field(max_length=50)] = []
    venue_name: ShortText = ""
    client_name: ShortText = ""


class WeddingEventType(StrEnum):
    """What happened to the wedding."""

    MOVED = "moved"
    POSTPONED = "postponed"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    STATUS_CHANGED = "status_changed"


class WeddingEvent(Contract):
    """A change of the wedding; `event_id` makes a repeat harmless, `occurred_at` orders events."""

    event_id: OpaqueId
    type: WeddingEventType
    occurred_at: Instant | None = None
    """When it happened at the source; the time of arrival when absent."""
    wedding_date: date | None = None
    ceremony_time: time | None = None
    time_zone: ZoneName | None = None
    booking_status: ShortText | None = None
    reason: Text = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type is WeddingEventType.MOVED and self.wedding_date is None and self.ceremony_time is None:
            message = "a moved wedding needs its new weddingDate or ceremonyTime"
            raise ValueError(message)
        if self.type is WeddingEventType.STATUS_CHANGED and self.booking_status is None:
            message = "a status change needs its new bookingStatus"
            raise ValueError(message)
        return self


class StepStatus(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    SENT = "sent"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    FAILED = "failed"


class TimelineStep(Contract):
    """One action at one instant."""

    step_id: OpaqueId
    automation: ShortText
    action: AutomationAction
    due_at: Instant
    status: StepStatus = StepStatus.PENDING
    reason: ShortText = ""
    done_at: Instant | None = None
    error: ErrorDetail | None = None


class WeddingState(Contract):
    """What `weddings show` shows, and what survives continue-as-new."""

    wedding: Wedding
    status: ShortText = "planned"
    """planned, postponed, cancelled, completed."""
    steps: Annotated[list[TimelineStep], Field(max_length=1_000)] = []
    triggers: Annotated[dict[str, Instant], Field(max_length=100)] = {}
    """`property=value` -> when it became so."""
    seen_events: Annotated[list[OpaqueId], Field(max_length=500)] = []
    last_event_at: Instant | None = None


class WeddingRun(Wedding):
    """Input of `WeddingTimeline`: a wedding is enough; one argument, because Temporal types them by their count."""

    resumed: WeddingState | None = None
    """What the run before this one ended with; clients leave it out."""


class PlanTimelineInput(Contract):
    """Input of `timeline.plan`: compute the steps of a wedding as of an instant."""

    state: WeddingState
    now: Instant


class PlanTimelineResult(Contract):
    """The steps after planning: done ones kept, pending ones re-armed, skipped ones explained."""

    steps: Annotated[list[TimelineStep], Field(max_length=1_000)] = []
