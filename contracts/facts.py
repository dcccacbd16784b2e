"""The facts of a wedding: its day, time and place, since when they are so, and who carries them."""

from __future__ import annotations

from datetime import date, time
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.errors import ErrorDetail


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"{name!r} is not an IANA time zone such as Europe/London"
        raise ValueError(message) from error
    return name


def _local(clock: time) -> time:
    if clock.tzinfo is not None:
        message = "a local time has no offset: write it as 15:30, the zone is the wedding's own"
        raise ValueError(message)
    return clock


ZoneName = Annotated[ShortText, AfterValidator(_known_zone)]
LocalTime = Annotated[time, AfterValidator(_local)]
"""What the clock at the venue shows."""
WeddingDay = Annotated[date, Field(ge=date(1900, 1, 1), le=date(2999, 12, 31))]
"""A day at the venue; every instant that is counted from it can be told in every zone."""


class Facts(Contract):
    """The day, time and place of a wedding, as somebody was told them."""

    wedding_date: WeddingDay | None = None
    ceremony_time: LocalTime | None = None
    time_zone: ZoneName = "UTC"
    venue_name: ShortText = ""


class StepAnswer(StrEnum):
    """What a person answered: send the step or take the change, or let it be."""

    APPROVE = "approve"
    REJECT = "reject"


class StepDecision(Contract):
    """A person's answer to a step that asks, or to a dispute by its id; the argument of the Update `decide_step`."""

    step_id: OpaqueId
    answer: StepAnswer
    decided_by: OpaqueId = "operator"


class AtOnce(StrEnum):
    """Whose word stands when two systems change the same fact within minutes of each other."""

    NEWEST = "newest"
    SOURCE_WINS = "source_wins"
    MANUAL = "manual"


class FactStamp(Contract):
    """Since when a fact is so, and who said it."""

    occurred_at: Instant
    event_id: OpaqueId
    sequence: int | None = None
    origin: OpaqueId | None = None
    at_once: AtOnce | None = None


class Writing(Contract):
    """One writing of the facts into a follower."""

    facts: Facts
    began_at: Instant
    ended_at: Instant | None = None
    """None while it goes on."""


class Follower(Contract):
    """How far a system that carries the wedding's facts is; it is behind while `reached` is less than `wanted`."""

    system_id: OpaqueId
    wanted: int = Field(default=0, ge=0)
    """The number of the round that brings it to the present facts."""
    reached: int = Field(default=0, ge=0)
    """The last round that stands there, was not needed, or was given up with its `error`."""
    held: Facts | None = None
    """What it carries, as far as is known."""
    writings: Annotated[list[Writing], Field(max_length=5)] = []
    """The latest ones, by which an echo is known."""
    error: ErrorDetail | None = None
    """Why the last round was given up; the next change tries again."""

    @property
    def behind(self) -> bool:
        """Whether a round is owed to it."""
        return self.reached < self.wanted
