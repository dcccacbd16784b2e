"""An organisation's saved escalation policy: its people, their duty hours, and the wedding days they cover."""

from __future__ import annotations

from datetime import date, time, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, OpaqueId, ShortText, Text
from contracts.emergency import MAX_LEVELS, REPEAT_EVERY, HumanTarget
from contracts.facts import ZoneName
from contracts.weather import AlertSeverity


class Weekday(StrEnum):
    """Days, in ISO order."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class DutyHours(Contract):
    """Local hours in which a person answers; hours that end before they begin go over midnight."""

    days: Annotated[list[Weekday], Field(max_length=7)] = []
    """The days on which the hours begin; every day when empty."""
    from_: time = Field(default=time(0), alias="from")
    to: time = time(0)
    """Exclusive; 00:00 is the end of the day."""


class EmergencyContact(Contract):
    """A person, or a post such as venue security or a backup vendor, and every channel to them."""

    contact_id: OpaqueId
    role: ShortText = ""
    """Such as `planner`, `venue_security`, `backup_vendor`."""
    time_zone: ZoneName = "UTC"
    duty: Annotated[list[DutyHours], Field(max_length=20)] = []
    """Always, when empty."""
    days: Annotated[list[date], Field(max_length=400)] = []
    """Only on these days, in the contact's zone; on all when empty."""
    channels: Annotated[list[HumanTarget], Field(max_length=10)] = []
    """Alerted all at once."""


class PolicyLevel(Contract):
    """The contacts that are alerted together."""

    ack_within: timedelta
    contacts: Annotated[list[OpaqueId], Field(max_length=50)] = []


class WeddingDay(Contract):
    """A wedding that the policy is to cover, where the weather is watched when its place is given."""

    wedding_id: OpaqueId
    date: date
    time_zone: ZoneName = "UTC"
    from_: time = Field(default=time(0), alias="from")
    to: time = time(0)
    """The next day's when it is not after `from`."""
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None


class EscalationPolicy(Contract):
    """Who is alerted in which order; what is wrong with it is for `emergency.check` to say, all at once."""

    policy_id: OpaqueId
    organization_id: OpaqueId
    contacts: Annotated[list[EmergencyContact], Field(max_length=200)] = []
    levels: Annotated[list[PolicyLevel], Field(max_length=MAX_LEVELS)] = []
    repeat_until_acknowledged: bool = True
    repeat_every: timedelta = REPEAT_EVERY
    wedding_days: Annotated[list[WeddingDay], Field(max_length=1_000)] = []
    weather_from: AlertSeverity = AlertSeverity.SEVERE
    """The least severe weather alert over one of these weddings that raises an emergency by this policy."""


class PolicyProblem(Contract):
    """One thing that would keep an alert from somebody."""

    code: ShortText
    """Such as `level_without_person`."""
    where: ShortText
    """The level, contact, channel or wedding day concerned."""
    sentence: Text


class PolicyCheck(Contract):
    """Everything that is wrong with a policy."""

    policy_id: OpaqueId
    problems: Annotated[list[PolicyProblem], Field(max_length=5_000)] = []
