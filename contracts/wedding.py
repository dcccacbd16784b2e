"""A wedding's timeline: its facts, its automations, the events that change it, and its steps."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from contracts.base import Contract, Instant, OpaqueId, ShortText, Text
from contracts.decisions import ContactId
from contracts.errors import ErrorDetail
from contracts.facts import AtOnce, Facts, FactStamp, Follower, LocalTime, StepAnswer, WeddingDay, ZoneName
from contracts.notification import TargetSystem

LONGEST_OFFSET = timedelta(days=3_660)


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


class Anchor(StrEnum):
    """What an anchored automation counts from; `property=value` names when a property first took a value."""

    WEDDING_DATE = "wedding_date"
    CEREMONY_TIME = "ceremony_time"
    BOOKING_CONFIRMED = "booking_confirmed"
    COMPLETED = "completed"


_TRIGGER_OF = {Anchor.BOOKING_CONFIRMED: "booking_status=confirmed", Anchor.COMPLETED: "completion_status=completed"}


class Automation(Contract):
    """Actions at an instant of the wedding: its anchor, or when a property took a value, plus `offset`.

    Without `at` the offset is elapsed time. With it, the offset's whole days are counted on the venue's calendar and
    the clock there shows `at`.
    """

    name: ShortText
    trigger: Trigger
    trigger_property: ShortText = ""
    trigger_value: ShortText = ""
    anchor: ShortText = Anchor.WEDDING_DATE.value
    offset: timedelta = Field(default=timedelta(), ge=-LONGEST_OFFSET, le=LONGEST_OFFSET)
    at: LocalTime | None = None
    actions: Annotated[list[AutomationAction], Field(min_length=1, max_length=20)]
    when_past: WhenPast | None = None
    """`skip` for anchored automations, `send_now` for those that follow a property, when absent."""
    resend_on_move: bool = False
    """Whether a step that was sent for one day is sent again for the next one."""

    @model_validator(mode="after")
    def _anchored(self) -> Self:
        if self.trigger is Trigger.PROPERTY_CHANGE and not (self.trigger_property and self.trigger_value):
            message = f"the automation {self.name!r} needs triggerProperty and triggerValue"
            raise ValueError(message)
        if self.anchor not in set(Anchor) and not all(self.anchor.partition("=")):
            message = f"the automation {self.name!r} has an unknown anchor: use {', '.join(Anchor)} or property=value"
            raise ValueError(message)
        return self

    @property
    def follows(self) -> str | None:
        """The `property=value` it counts from, None when that is the wedding's day or ceremony."""
        if self.trigger is Trigger.PROPERTY_CHANGE:
            return f"{self.trigger_property}={self.trigger_value}"
        if self.anchor in {Anchor.WEDDING_DATE, Anchor.CEREMONY_TIME}:
            return None
        return _TRIGGER_OF[Anchor(self.anchor)] if self.anchor in set(Anchor) else self.anchor

    @property
    def past_policy(self) -> WhenPast:
        """What happens to a step that is past when it is planned."""
        default = WhenPast.SKIP if self.trigger is Trigger.ANCHOR else WhenPast.SEND_NOW
        return self.when_past or default


class Wedding(Contract):
    """The wedding as WedSync knows it: the input of `WeddingTimeline`."""

    organization_id: OpaqueId
    wedding_id: OpaqueId
    wedding_date: WeddingDay | None = None
    ceremony_time: LocalTime | None = None
    time_zone: ZoneName = "UTC"
    """The venue's."""
    booking_status: ShortText = "inquiry"
    completion_status: ShortText = ""
    participants: Annotated[list[Participant], Field(max_length=100)] = []
    automations: Annotated[list[Automation], Field(max_length=50)] = []
    venue_name: ShortText = ""
    client_name: ShortText = ""
    systems: Annotated[list[TargetSystem], Field(max_length=20)] = []
    """The followers: systems that carry the wedding's day, time and place, and get every change of them.

    A target's `settings` are the metadata its connector needs, such as `taveJobId`.
    """
    at_once: AtOnce = AtOnce.NEWEST
    sequence: int | None = Field(default=None, ge=0)
    """The number of the last event that these facts contain, where the source numbers a wedding's events."""


class WeddingEventType(StrEnum):
    """What happened to the wedding."""

    MOVED = "moved"
    POSTPONED = "postponed"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    REOPENED = "reopened"
    STATUS_CHANGED = "status_changed"
    RESTATED = "restated"
    """All facts as they are now; what the event leaves out of day, time and booking is open."""


class WeddingEvent(Contract):
    """A change of the wedding.

    `event_id` makes a repeat harmless. Of two events about the same fact the newer one counts, whichever arrives
    first: by `sequence` where both have one, otherwise by `occurred_at`.
    """

    event_id: OpaqueId
    type: WeddingEventType
    occurred_at: Annotated[Instant, Field(ge=datetime(1900, 1, 1, tzinfo=UTC))] | None = None
    """When it happened at the source; the time of arrival when absent, or when it lies more than minutes ahead."""
    sequence: int | None = Field(default=None, ge=1)
    """Its number among the wedding's events at the source, counted from 1 without gaps; a gap shows what is missing."""
    origin: OpaqueId | None = None
    """The `systemId` or integration of the follower that the change was made in; WedSync itself when absent."""
    at_once: AtOnce | None = None
    """What that integration declares for changes at once; what the wedding does when absent."""
    is_read: bool = False
    """Whether nobody told of the change: it was found in the system, which may show what was once written to it."""
    wedding_date: WeddingDay | None = None
    ceremony_time: LocalTime | None = None
    time_zone: ZoneName | None = None
    venue_name: ShortText | None = None
    booking_status: ShortText | None = None
    cancelled: bool = False
    """Of a restated wedding: whether it is cancelled."""
    completed: bool = False
    """Of a restated wedding: whether it has taken place."""
    versions: Annotated[dict[ShortText, FactStamp], Field(max_length=20)] = {}
    """Of a restated wedding: the newest event about each fact, by the fact's name in `WeddingState.stamps`.

    Where it is given, the facts named are all that is said, each since its own event. Without it all facts are said as
    of this one.
    """
    reason: Text = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        moved = (self.wedding_date, self.ceremony_time, self.time_zone, self.venue_name)
        if self.type is WeddingEventType.MOVED and all(fact is None for fact in moved):
            message = "a moved wedding needs its new weddingDate, ceremonyTime, timeZone or venueName"
            raise ValueError(message)
        if self.type is WeddingEventType.STATUS_CHANGED and self.booking_status is None:
            message = "a status change needs its new bookingStatus"
            raise ValueError(message)
        return self


class StepStatus(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    ASKED = "asked"
    SENT = "sent"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    FAILED = "failed"


class TimelineStep(Contract):
    """One action at one instant."""

    step_id: OpaqueId
    automation: ShortText
    index: int | None = None
    """Which of the automation's actions it is, from 0."""
    action: AutomationAction
    due_at: Instant
    held_until: Instant | None = None
    """Until when the step waits although it is due, because some recipients are not to be disturbed."""
    held: Annotated[list[ContactId], Field(max_length=100)] = []
    """Who waits; the others have it."""
    status: StepStatus = StepStatus.PENDING
    reason: ShortText = ""
    done_at: Instant | None = None
    error: ErrorDetail | None = None
    told: Facts | None = None
    """What the wedding was when the step went out, in whole or in part."""
    outdated: Annotated[list[ShortText], Field(max_length=10)] = []
    """Which of the facts it told are no longer so: what a recall or a correction is for."""
    asked_at: Instant | None = None
    answer: StepAnswer | None = None
    decided_by: OpaqueId | None = None

    @property
    def runs_at(self) -> datetime:
        """When it is next to be made."""
        return max(self.due_at, self.held_until or self.due_at)


class Dispute(Contract):
    """A change that was made at once with another one, and waits for a person."""

    dispute_id: OpaqueId
    event: WeddingEvent
    since: Instant
    asked: bool = False


class Pull(Contract):
    """How the source is asked for events that are missing."""

    due_at: Instant
    """When it is asked next."""
    tries: int = Field(default=0, ge=0)
    """How often it was asked, and the gap stayed."""
    error: ErrorDetail | None = None
    """Why the latest try brought no answer."""


class Question(Contract):
    """A step or a dispute that somebody was asked to decide, as they were asked."""

    question_id: OpaqueId
    """The step's id, or the dispute's."""
    asked_at: Instant
    what: ShortText
    answer: StepAnswer | None = None
    decided_by: OpaqueId | None = None
    shown: bool = False
    """Whether the answer was sent to where it was asked."""


class WeddingState(Contract):
    """What `weddings show` shows, and what survives continue-as-new."""

    wedding: Wedding
    status: ShortText = "planned"
    """planned, postponed, cancelled, completed, recalled."""
    steps: Annotated[list[TimelineStep], Field(max_length=1_000)] = []
    triggers: Annotated[dict[str, Instant], Field(max_length=100)] = {}
    """`property=value` -> when it became so."""
    seen_events: Annotated[list[OpaqueId], Field(max_length=500)] = []
    last_event_at: Instant | None = None
    """Of a run from before every fact had a stamp of its own: the newest event then."""
    stamps: Annotated[dict[str, FactStamp], Field(max_length=20)] = {}
    """Fact -> the event it is from; those the wedding began with have none."""
    cancelled: bool = False
    completed: bool = False
    recalled: bool = False
    taken: int = Field(default=0, ge=0)
    """How many different events have been taken in."""
    sequence: int | None = None
    """The highest number up to which no event is missing."""
    ahead: Annotated[list[int], Field(max_length=1_000)] = []
    """Numbers of events that arrived before others that are missing."""
    gap_since: Instant | None = None
    """Since when events are missing; a restated wedding closes the gap."""
    pull: Pull | None = None
    """While events are missing: when the source is asked for them."""
    followers: Annotated[list[Follower], Field(max_length=20)] = []
    disputes: Annotated[list[Dispute], Field(max_length=20)] = []
    questions: Annotated[list[Question], Field(max_length=100)] = []
    """The latest ones, open and answered."""
    closes_at: Instant | None = None
    """When the timeline ends, unless something happens before."""


class WeddingRun(Wedding):
    """Input of `WeddingTimeline`: a wedding is enough; one argument, because Temporal types them by their count."""

    resumed: WeddingState | None = None
    """What the run before this one ended with; clients leave it out."""


class WeddingKey(Contract):
    """Input of `timeline.pull`: which wedding to read at the source."""

    organization_id: OpaqueId
    wedding_id: OpaqueId


class PlanTimelineInput(Contract):
    """Input of `timeline.plan`: compute the steps of a wedding as of an instant."""

    state: WeddingState
    now: Instant


class PlanTimelineResult(Contract):
    """The steps after planning: done ones kept, pending ones re-armed, skipped ones explained."""

    steps: Annotated[list[TimelineStep], Field(max_length=1_000)] = []
