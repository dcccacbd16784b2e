"""The Protocol of connectors that know when somebody is busy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from activities.ports.connector import Connector


@dataclass(frozen=True)
class BusySlot:
    """A time at which a resource is taken, and by which booking where the system says."""

    starts_at: datetime
    ends_at: datetime
    booking_id: str | None = None


@runtime_checkable
class AvailabilityConnector(Connector, Protocol):
    """A system that tells when a resource is busy (capability `availability`)."""

    async def busy(self, resource_id: str, starts_at: datetime, ends_at: datetime) -> Sequence[BusySlot]:
        """Return the slots of the resource that overlap the time asked for, in order.

        Raises:
            InvalidInput: the system has no such resource.
        """
        ...
