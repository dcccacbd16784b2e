"""One resource on one day: who holds which of its hours, and what is asked of their owner."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.conflict import Alternative, BookingConflict
from contracts.effects import StandingEffect
from contracts.errors import ErrorDetail
from contracts.facts import ZoneName
from contracts.integration import Platform
from contracts.notification import Slot

DAY_TURNS = time(5)
"""A resource's day runs from five to five, because weddings end after midnight and none begins before five."""


class ResourceDayKey(Contract):
    """Which owner answers for a slot; made by `resource_day`, so that no run reads zone rules."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    resource_id: OpaqueId
    day: date
    time_zone: ZoneName
    """The booking system's own zone, in which its days turn; the same for every slot of an integration."""
    opens_at: Instant
    closes_at: Instant


def resource_day(
    organization_id: str, integration_id: str, resource_id: str, day: date, time_zone: str
) -> ResourceDayKey:
    """Return the owner of a resource's day. Not for workflows: it reads the zone rules."""
    zone = ZoneInfo(time_zone)
    opens, closes = (datetime.combine(day + timedelta(days=after), DAY_TURNS, zone) for after in (0, 1))
    return ResourceDayKey(
        organization_id=organization_id,
        integration_id=integration_id,
        resource_id=resource_id,
        day=day,
        time_zone=time_zone,
        opens_at=opens,
        closes_at=closes,
    )


def owner_of(slot: Slot, near: ResourceDayKey) -> ResourceDayKey:
    """Return the owner of a slot of the same booking system as `near`. Not for workflows: it reads the zone rules."""
    day = day_of(slot.starts_at, near.time_zone)
    if (slot.resource_id, day) == (near.resource_id, near.day):
        return near
    return resource_day(near.organization_id, near.integration_id, slot.resource_id, day, near.time_zone)


def day_of(instant: datetime, time_zone: str) -> date:
    """Return the resource's day that an instant belongs to. Not for workflows: it reads the zone rules."""
    local = instant.astimezone(ZoneInfo(time_zone))
    return local.date() if local.time() >= DAY_TURNS else local.date() - timedelta(days=1)


class HoldStatus(StrEnum):
    """How firmly a slot is kept."""

    HELD = "held"
    CONFIRMED = "confirmed"
    RELEASED = "released"


class SlotHold(Contract):
    """A slot that is kept for a booking, or for two until it is decided which of them gets it."""

    hold_id: OpaqueId
    booking_ids: Annotated[list[OpaqueId], Field(min_length=1, max_length=2)]
    slot: Slot
    since: Instant
    """When it was taken: a slot that is let go and taken again is another entry in calendars."""
    status: HoldStatus = HoldStatus.HELD
    expires_at: Instant | None = None
    reason: ShortText = ""
    """Why it was released: `expired`, `lost`, `decided` or `given_back`."""
    on_calendar: Annotated[list[StandingEffect], Field(max_length=10)] = []
    """What stands for it at connected calendars."""
    written: bool = False
    """Whether the calendars were asked to keep it."""
    error: ErrorDetail | None = None
    """Why a calendar does not show it as it is."""


class BusySpan(Contract):
    """A time at which a resource is taken, and by which booking where that is known."""

    slot: Slot
    booking_id: OpaqueId | None = None
    confirmed: bool = True
    """False for a session that nobody has confirmed: it takes no precedence, and is offered to nobody else."""


class Settlement(Contract):
    """How a contested slot was decided; there is one for ever."""

    conflict_id: OpaqueId
    winning_booking_id: OpaqueId
    losing_booking_id: OpaqueId
    slot: Slot


class SlotCommandKind(StrEnum):
    """What is asked of the owner of a day."""

    HOLD = "hold"
    """Keep the slot until `expires_at`."""
    CONFIRM = "confirm"
    """Give the booking the slot, if nobody else has it."""
    CONTEST = "contest"
    """Keep the slot for both bookings until it is decided."""
    SETTLE = "settle"
    """Give the slot to the first booking and take it from the second, unless it was decided before."""
    RELEASE = "release"
    """Let a hold go."""
    SHOWN = "shown"
    """Say whether the calendars show the hold as it is."""


class SlotCommand(Contract):
    """One thing asked of `ResourceDay`."""

    kind: SlotCommandKind
    hold_id: OpaqueId
    """The hold, or the conflict: the same id asks for the same thing."""
    booking_ids: Annotated[list[OpaqueId], Field(max_length=2)] = []
    slot: Slot | None = None
    expires_at: Instant | None = None


class SlotAnswer(Contract):
    """What the owner made of a command."""

    accepted: bool
    reason: ShortText = ""
    """`held`, `busy`, `undecided`, `released` or `outside_the_day` where it is refused."""
    held_by: Annotated[list[OpaqueId], Field(max_length=50)] = []
    """The bookings that have the slot."""
    hold: SlotHold | None = None
    settlement: Settlement | None = None
    alternatives: Annotated[list[Alternative], Field(max_length=50)] = []
    conflict: BookingConflict | None = None
    """The conflict to raise when the refused booking is to be decided on by a human."""


class SlotCommands(Contract):
    """Argument of the Update `act`: commands that arrived together, decided in their order."""

    commands: Annotated[list[SlotCommand], Field(min_length=1, max_length=50)]


class SlotAnswers(Contract):
    """What became of the commands, in their order."""

    answers: Annotated[list[SlotAnswer], Field(max_length=50)]


class ConfirmBooking(Contract):
    """A booking that wants its slot."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    """The booking system."""
    booking_id: OpaqueId
    slot: Slot


class AskOwner(Contract):
    """Input of `bookings.ask_owner`."""

    day: ResourceDayKey
    """The owner of the command's slot where it names one, or any other of the same booking system."""
    command: SlotCommand


class ResourceDayState(Contract):
    """Everything the owner of a day knows."""

    holds: Annotated[list[SlotHold], Field(max_length=2_000)] = []
    settlements: Annotated[list[Settlement], Field(max_length=500)] = []


class ResourceDayRun(ResourceDayKey):
    """Input of `ResourceDay`; the state is what the run before it ended with, and clients leave it out."""

    resumed: ResourceDayState | None = None


class SystemRef(Contract):
    """A connection, and the system whose queue its calls go through."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    system: Platform


class ReadBookings(Contract):
    """Input of `bookings.refresh`: read what changed at the booking system."""

    source: SystemRef


class ReadCalendar(Contract):
    """Input of `bookings.read_calendar`."""

    source: SystemRef
    resource_ids: Annotated[list[OpaqueId], Field(max_length=20)]
    starts_at: Instant
    ends_at: Instant


class BusySpans(Contract):
    """What a calendar says."""

    spans: Annotated[list[BusySpan], Field(max_length=2_000)] = []


class FindSlot(Contract):
    """Input of `bookings.locate`: which slot a conflict is about."""

    organization_id: OpaqueId
    integration_id: OpaqueId
    conflict: BookingConflict


class FoundSlot(Contract):
    """The contested slot, its owner, and the sessions of both bookings there."""

    day: ResourceDayKey
    slot: Slot
    sessions: Annotated[dict[OpaqueId, list[OpaqueId]], Field(max_length=2)] = {}
    """Booking -> its sessions that the decision is about."""


class LookAround(Contract):
    """Input of `bookings.sources`: what would have to be asked about a resource around a day."""

    day: ResourceDayKey
    max_age_s: float = Field(default=60, ge=0)


class Sources(Contract):
    """Answer of `bookings.sources`."""

    bookings: SystemRef
    stale: bool
    """Whether the mirror of the booking system is older than was asked for."""
    known: bool = True
    """Whether the mirror was ever read; without it nobody can say what is free."""
    calendars: Annotated[list[SystemRef], Field(max_length=10)] = []
    resource_ids: Annotated[list[OpaqueId], Field(max_length=20)] = []
    """The resource, and others of its kind."""
    starts_at: Instant
    ends_at: Instant


class RankAlternatives(Contract):
    """Input of `bookings.rank`."""

    day: ResourceDayKey
    wanted: Slot
    booking_ids: Annotated[list[OpaqueId], Field(max_length=2)] = []
    """Whose own sessions are no obstacle."""
    calendar: Annotated[list[BusySpan], Field(max_length=2_000)] = []
    resource_ids: Annotated[list[OpaqueId], Field(max_length=20)] = []
    now: Instant


class RankedAlternatives(Contract):
    """The slots that are free, best first, and what is taken on the day itself."""

    alternatives: Annotated[list[Alternative], Field(max_length=50)] = []
    taken: Annotated[list[BusySpan], Field(max_length=500)] = []


class NoteHolds(Contract):
    """Input of `bookings.note_holds`."""

    day: ResourceDayKey
    holds: Annotated[list[SlotHold], Field(max_length=2_000)]


class PlanHold(Contract):
    """Input of `bookings.plan_hold`."""

    day: ResourceDayKey
    hold: SlotHold


class BookingRef(Contract):
    """Input of `bookings.recipients`."""

    source: SystemRef
    booking_id: OpaqueId


class Recipients(Contract):
    """Whom a booking's news goes to; personal, therefore only in sealed payloads."""

    addresses: Annotated[list[ShortText], Field(max_length=20)] = []
