"""What vendors told of single effects after they had taken them: delivered, or not and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Boolean, Column, DateTime, String, Table, select

from activities.storage.database import Database, metadata, utc
from contracts.effects import StandingEffect

delivery_receipts = Table(
    "delivery_receipts",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("effect_id", String(64), primary_key=True),
    Column("integration_id", String(64), nullable=False),
    Column("notification_id", String(64), index=True),
    Column("delivered", Boolean, nullable=False),
    Column("code", String(64), nullable=False),
    Column("told_at", DateTime(timezone=True), nullable=False),
)


@dataclass(frozen=True)
class DeliveryReceipt:
    """The last word about one effect; `code` says why it was not delivered."""

    effect_id: str
    integration_id: str
    delivered: bool
    code: str
    told_at: datetime


class DeliveryReceiptStore:
    """Receipts by effect, opaque throughout. Delivered is the last word, whichever comes first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delivered(self, effect: StandingEffect, at: datetime) -> None:
        """Note that an effect was delivered. Idempotent: yes."""
        row = _row(effect, at, delivered=True)
        insert = self._database.insert(delivery_receipts).values(row)
        insert = insert.on_conflict_do_update(
            index_elements=["organization_id", "effect_id"],
            set_={"delivered": True, "code": "", "told_at": at},
            where=delivery_receipts.c.delivered.is_(False),
        )
        async with self._database.begin() as connection:
            await connection.execute(insert)

    async def undelivered(self, effect: StandingEffect, code: str, at: datetime) -> bool:
        """Note that an effect was not delivered, and return whether that is the last word. Idempotent: yes."""
        insert = self._database.insert(delivery_receipts).values(_row(effect, at, delivered=False, code=code[:64]))
        async with self._database.begin() as connection:
            await connection.execute(insert.on_conflict_do_nothing())
        return not await self.is_delivered(effect.organization_id, effect.effect_id)

    async def is_delivered(self, organization_id: str, effect_id: str) -> bool:
        """Return whether an effect is known to have been delivered."""
        statement = select(delivery_receipts.c.delivered).where(
            delivery_receipts.c.organization_id == organization_id, delivery_receipts.c.effect_id == effect_id
        )
        async with self._database.begin() as connection:
            return bool((await connection.execute(statement)).scalar_one_or_none())

    async def of_notification(self, organization_id: str, notification_id: str) -> list[DeliveryReceipt]:
        """Return what was told of a notification's effects, in the order told."""
        statement = select(delivery_receipts).where(
            delivery_receipts.c.organization_id == organization_id,
            delivery_receipts.c.notification_id == notification_id,
        )
        async with self._database.begin() as connection:
            rows = await connection.execute(statement.order_by(delivery_receipts.c.told_at))
            return [
                DeliveryReceipt(row.effect_id, row.integration_id, row.delivered, row.code, utc(row.told_at))
                for row in rows
            ]


def _row(effect: StandingEffect, at: datetime, *, delivered: bool, code: str = "") -> dict[str, object]:
    return {
        "organization_id": effect.organization_id,
        "effect_id": effect.effect_id,
        "integration_id": effect.integration_id,
        "notification_id": effect.notification_id,
        "delivered": delivered,
        "code": code,
        "told_at": at,
    }
