"""How far each notification came at each system, as the systems told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, Integer, String, Table, select

from activities.storage.database import Database, metadata
from contracts.engagement import NotificationState

notification_states = Table(
    "notification_states",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("notification_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("rank", Integer, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
)
_RANKS = list(NotificationState)


@dataclass(frozen=True)
class KnownState:
    """How far a notification is known to have come at one system, and since when."""

    integration_id: str
    state: NotificationState
    occurred_at: datetime


class StateStore:
    """States only ever advance, so that what is told late or twice changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def advance(
        self, organization_id: str, notification_id: str, integration_id: str, state: NotificationState, at: datetime
    ) -> bool:
        """Note a state and return whether it is further than what was known. Idempotent: yes."""
        mine = {
            "organization_id": organization_id,
            "notification_id": notification_id,
            "integration_id": integration_id,
        }
        rank = state.rank
        claim = self._database.insert(notification_states).values(**mine, rank=rank, occurred_at=at)
        claim = claim.on_conflict_do_update(
            index_elements=list(mine),
            set_={"rank": rank, "occurred_at": at},
            where=notification_states.c.rank < rank,
        ).returning(notification_states.c.rank)
        async with self._database.begin() as connection:
            return (await connection.execute(claim)).first() is not None

    async def of_notification(self, organization_id: str, notification_id: str) -> list[KnownState]:
        """Return what every system is known to have told."""
        statement = select(notification_states).where(
            notification_states.c.organization_id == organization_id,
            notification_states.c.notification_id == notification_id,
        )
        async with self._database.begin() as connection:
            rows = await connection.execute(statement.order_by(notification_states.c.integration_id))
            return [
                KnownState(row.integration_id, _RANKS[row.rank], row.occurred_at.replace(tzinfo=UTC)) for row in rows
            ]
