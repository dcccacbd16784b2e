"""What a recipient wants to get and when, and what an organisation asks for all of its recipients."""

from __future__ import annotations

from datetime import time, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from contracts.base import Contract, OpaqueId, ShortText
from contracts.decisions import ContactId
from contracts.facts import ZoneName
from contracts.identity import SenderIdentity
from contracts.sync import SyncPriority
from contracts.wedding import QuietHours

_Channel = ShortText
"""A platform, such as `email` or `twilio`, or what it does: `email`, `message`, `call`."""


def _bounded(value: timedelta) -> timedelta:
    if not timedelta() <= value <= timedelta(days=31):
        message = "a time span here is between nothing and 31 days"
        raise ValueError(message)
    return value


Span = Annotated[timedelta, AfterValidator(_bounded)]


class Mute(Contract):
    """Something a recipient has switched off; what is empty stands for all."""

    channel: _Channel = ""
    type: ShortText = ""
    category: ShortText = ""


class DigestCadence(StrEnum):
    """How often collected messages are sent as one."""

    NEVER = "never"
    """Nothing is collected, whatever the organisation has."""
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    """On Mondays."""


class Digest(Contract):
    """When a recipient's collected messages are sent, in the recipient's zone."""

    cadence: DigestCadence = DigestCadence.DAILY
    at: time = time(8, 0)
    """The hour counts for a daily and a weekly digest, the minute for each."""
    up_to: SyncPriority = SyncPriority.LOW
    """Messages of this priority and below are collected."""


class ContactPreferences(Contract):
    """One recipient's wishes with one organisation; what is absent is as the organisation has it."""

    opted_out: bool = False
    """Wants nothing any more; no urgency overrides it."""
    stopped_channels: Annotated[list[_Channel], Field(max_length=20)] = []
    """Channels forbidden by the recipient's word, such as STOP on a text message; no urgency overrides it."""
    muted: Annotated[list[Mute], Field(max_length=100)] = []
    time_zone: ZoneName | None = None
    quiet_hours: QuietHours | None = None
    """Hours that end as they begin are none at all."""
    digest: Digest | None = None


class PreferenceChange(Contract):
    """Set the preferences of an address or number of the organisation's recipients."""

    organization_id: OpaqueId
    address: ShortText | None = None
    """An e-mail address or phone number; it is not kept, and a `contact` stands for it afterwards."""
    contact: ContactId | None = None
    preferences: ContactPreferences


class AddressQuestion(Contract):
    """Whose preferences are asked for."""

    organization_id: OpaqueId
    address: ShortText


class KnownPreferences(Contract):
    """A recipient's preferences as they are kept."""

    organization_id: OpaqueId
    contact: ContactId
    preferences: ContactPreferences


class Cap(Contract):
    """At most `messages` to one recipient about one wedding within any `per`, over all systems."""

    messages: int = Field(ge=1, le=10_000)
    per: Span


class Override(StrEnum):
    """What a critical message does not wait for."""

    MUTE = "mute"
    BLACKOUT = "blackout"
    QUIET_HOURS = "quiet_hours"
    DIGEST = "digest"
    THROTTLE = "throttle"
    CAP = "cap"


class SystemPreference(Contract):
    """What a system that is nobody in person, such as a CRM or a team's channel, does not take."""

    system_id: OpaqueId
    muted: Annotated[list[Mute], Field(max_length=100)] = []


class NotificationPolicy(Contract):
    """How an organisation writes to its recipients, until each of them says otherwise."""

    organization_id: OpaqueId
    identity: SenderIdentity = SenderIdentity()
    time_zone: ZoneName | None = None
    """For recipients whose zone nobody knows; the venue's, else UTC, when absent."""
    quiet_hours: QuietHours | None = None
    digest: Digest | None = None
    blackout_before: Span = timedelta(minutes=30)
    """Recipients are not written to from this long before their ceremony."""
    blackout_after: Span = timedelta(hours=2)
    caps: Annotated[list[Cap], Field(max_length=10)] = []
    throttle: Span = timedelta()
    """The least time between two messages of one type to one recipient."""
    duplicates_within: Span = timedelta(hours=24)
    """Within this time the same message does not reach the same recipient twice, by whichever routing."""
    hold_at_most: Span = timedelta(hours=72)
    """A message that would wait longer is not sent at all."""
    critical_overrides: Annotated[list[Override], Field(max_length=10)] = list(Override)
    systems: Annotated[list[SystemPreference], Field(max_length=100)] = []
