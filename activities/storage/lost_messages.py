"""Messages that did not arrive, gathered until people are told of them: one alert per integration and window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Column, DateTime, Index, String, Table, Text, distinct, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.storage.database import Database, metadata, utc
from activities.transform.losses import Losses, due_alert
from contracts.alerts import DueAlert
from contracts.names import effect_id
from contracts.undelivered import LostMessage

lost_messages = Table(
    "lost_messages",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("effect_id", String(64), primary_key=True),
    Column("integration_id", String(64), nullable=False),
    Column("system", String(64), nullable=False),
    Column("about", String(64), nullable=False),
    Column("wedding_id", String(64)),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("reason", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("noted_at", DateTime(timezone=True), nullable=False),
    Column("alert_id", String(64), index=True),
    Column("told_at", DateTime(timezone=True)),
    Index("ix_lost_messages_place", "organization_id", "integration_id", "alert_id"),
)
SETTLES = timedelta(seconds=30)
"""How long a first message waits for others that share its fate."""
WINDOW = timedelta(minutes=15)
"""The least time between two alerts about the same integration."""
_AT_ONCE = 50
_NAMED, _REASONS = 20, 3


class LostMessages:
    """Every message belongs to one alert, which counts those it was made of and no others."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, lost: LostMessage, now: datetime) -> None:
        """Note a message that people are to be told of. Idempotent: yes, by effect."""
        insert = self._database.insert(lost_messages).values(**lost.model_dump(by_alias=False), noted_at=now)
        async with self._database.begin() as connection:
            await connection.execute(insert.on_conflict_do_nothing())

    async def collect(self, now: datetime) -> list[DueAlert]:
        """Gather what has settled and return the alerts that are due, at most 50.

        Idempotent: yes, an alert stays due, under the same id and with the same count, until `told`.
        """
        table = lost_messages.c
        async with self._database.begin() as connection:
            await self._gather(connection, now)
            waiting = select(table.alert_id).where(table.alert_id.is_not(None), table.told_at.is_(None))
            ids = (await connection.execute(waiting.distinct().limit(_AT_ONCE))).scalars().all()
            return [due_alert(await _losses(connection, alert_id)) for alert_id in ids]

    async def told(self, due: Sequence[DueAlert], now: datetime) -> None:
        """Note that alerts are on their way. Idempotent: yes."""
        table = lost_messages.c
        mine = table.alert_id.in_([one.incident_id for one in due])
        async with self._database.begin() as connection:
            await connection.execute(update(lost_messages).where(mine, table.told_at.is_(None)).values(told_at=now))

    async def _gather(self, connection: AsyncConnection, now: datetime) -> None:
        """Make one alert of all messages of an integration that none counts, where its time has come."""
        table = lost_messages.c
        first = func.min(table.noted_at).filter(table.alert_id.is_(None))
        being_told = func.count().filter(table.alert_id.is_not(None), table.told_at.is_(None))
        last_told = func.max(table.told_at)
        ready = (
            select(table.organization_id, table.integration_id, first.label("first"))
            .group_by(table.organization_id, table.integration_id)
            .having(first <= now - SETTLES, being_told == 0, or_(last_told.is_(None), last_told <= now - WINDOW))
        )
        for place in (await connection.execute(ready)).all():
            words = ("lost-messages", place.integration_id, utc(place.first).isoformat())
            mine = (table.organization_id == place.organization_id, table.integration_id == place.integration_id)
            uncounted = update(lost_messages).where(*mine, table.alert_id.is_(None))
            await connection.execute(uncounted.values(alert_id=effect_id(place.organization_id, *words)))


async def _losses(connection: AsyncConnection, alert_id: str) -> Losses:
    table = lost_messages.c
    mine = table.alert_id == alert_id
    place = (table.organization_id, table.integration_id, table.system)
    counts = select(
        *place,
        func.min(table.since).label("since"),
        func.count().label("lost"),
        func.count(distinct(table.wedding_id)).label("weddings"),
        func.count(distinct(table.about)).label("messages"),
    ).where(mine)
    row = (await connection.execute(counts.group_by(*place))).one()
    often = func.count()
    reasons = select(table.reason, table.action, often).where(mine).group_by(table.reason, table.action)
    named = select(table.about).where(mine).group_by(table.about).order_by(func.min(table.noted_at), table.about)
    return Losses(
        alert_id=alert_id,
        organization_id=row.organization_id,
        integration_id=row.integration_id,
        system=row.system,
        since=utc(row.since),
        count=row.lost,
        weddings=row.weddings,
        named=(await connection.execute(named.limit(_NAMED))).scalars().all(),
        messages=row.messages,
        reasons=[
            (one.reason, one.action, one[2])
            for one in await connection.execute(reasons.order_by(often.desc(), table.reason).limit(_REASONS))
        ],
    )
