"""The holds of all resources, as their owners last told them: read to find what is free, never to give it away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Date, DateTime, String, Table, delete, or_, select

from activities.storage.database import Database, metadata, utc
from contracts.resource_day import HoldStatus, ResourceDayKey, SlotHold

slot_holds = Table(
    "slot_holds",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("resource_id", String(64), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("hold_id", String(64), primary_key=True),
    Column("booking_id", String(64), primary_key=True),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True)),
)


@dataclass(frozen=True)
class KeptSlot:
    """A slot that is kept for a booking."""

    resource_id: str
    booking_id: str
    starts_at: datetime
    ends_at: datetime


class SlotHoldStore:
    """One row per live hold and booking; holds opaque ids and times only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def replace(self, day: ResourceDayKey, holds: Sequence[SlotHold]) -> None:
        """Write the live holds of one day over those that were told before. Idempotent: yes."""
        owner = {
            "organization_id": day.organization_id,
            "integration_id": day.integration_id,
            "resource_id": day.resource_id,
            "day": day.day,
        }
        rows = [
            {
                **owner,
                "hold_id": hold.hold_id,
                "booking_id": booking,
                "starts_at": hold.slot.starts_at,
                "ends_at": hold.slot.ends_at,
                "expires_at": hold.expires_at,
            }
            for hold in holds
            if hold.status is not HoldStatus.RELEASED
            for booking in hold.booking_ids
        ]
        async with self._database.begin() as connection:
            await connection.execute(
                delete(slot_holds).where(*(slot_holds.c[name] == value for name, value in owner.items()))
            )
            if rows:
                await connection.execute(slot_holds.insert(), rows)

    async def live(
        self, day: ResourceDayKey, resource_ids: Sequence[str], starts_at: datetime, ends_at: datetime, now: datetime
    ) -> list[KeptSlot]:
        """Return what is kept of the resources in a time, whichever day owns it."""
        table = slot_holds.c
        statement = select(table.resource_id, table.booking_id, table.starts_at, table.ends_at).where(
            table.organization_id == day.organization_id,
            table.integration_id == day.integration_id,
            table.resource_id.in_(resource_ids),
            table.starts_at < ends_at,
            table.ends_at > starts_at,
            or_(table.expires_at.is_(None), table.expires_at > now),
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
        return [KeptSlot(row.resource_id, row.booking_id, utc(row.starts_at), utc(row.ends_at)) for row in rows]
