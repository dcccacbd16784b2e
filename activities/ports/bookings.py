"""The Protocol of systems that keep the bookings of people and rooms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, runtime_checkable

from activities.ports.connector import Connector


@dataclass(frozen=True)
class BookingRow:
    """A booking: a job, an event order. `version` is the system's own word for its latest change."""

    booking_id: str
    closed: bool
    version: str
    day: date | None = None
    """The day it is for, where the system keeps one."""
    changed_at: datetime | None = None
    """When the system changed it last, where it says so."""


@dataclass(frozen=True)
class SessionRow:
    """A time of a booking; `gone` where the system has taken it away."""

    session_id: str
    booking_id: str
    starts_at: datetime
    ends_at: datetime
    time_zone: str
    confirmed: bool
    version: str
    gone: bool = False


@dataclass(frozen=True)
class AssignmentRow:
    """A resource that a booking takes; resources of one `kind` can stand in for each other."""

    assignment_id: str
    booking_id: str
    resource_id: str
    kind: str
    gone: bool = False


Row = BookingRow | SessionRow | AssignmentRow


@runtime_checkable
class BookingConnector(Connector, Protocol):
    """A system that keeps bookings, and does not itself tell who is free."""

    def changes(self, since: datetime | None) -> AsyncIterator[Sequence[Row]]:
        """Yield pages of what changed since an instant, everything without one; a page may repeat what is known."""
        ...

    async def recipients(self, booking_id: str) -> Sequence[str]:
        """Return the e-mail addresses of the booking's clients: personal, for sealed payloads only."""
        ...
