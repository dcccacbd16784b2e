"""Alarms that belong together: what becomes one alert, and later one notice that it is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Boolean, Column, DateTime, Integer, Row, String, Table, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.storage.alarms import RECOVERED, alarms
from activities.storage.connections import connections
from activities.storage.database import Database, metadata, utc
from activities.transform.incidents import Incident, Member, due_alert
from contracts.alerts import AlertKind, DueAlert, Severity
from contracts.health import HealthRules
from contracts.integration import IntegrationState
from contracts.names import effect_id

incidents = Table(
    "health_incidents",
    metadata,
    Column("incident_id", String(64), primary_key=True),
    Column("organization_id", String(64), nullable=False),
    Column("platform", String(40), nullable=False),
    Column("is_outage", Boolean, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("told_rank", Integer),
    Column("closed_at", DateTime(timezone=True)),
    Column("done_at", DateTime(timezone=True), index=True),
)
"""An incident is due while `told_rank` is below `rank`, and once more after `closed_at`, until `done_at`."""
_AT_ONCE = 50
_SEVERITIES = list(Severity)


class IncidentStore:
    """Groups alarms and says which alerts are due; one workflow at a time asks it.

    Args:
        database: the store.
        rules: how long alarms settle, and what an outage is.
        operator: the organisation that is told of outages; nobody is when empty.
    """

    def __init__(self, database: Database, rules: HealthRules, operator: str = "") -> None:
        self._database = database
        self._rules = rules
        self._operator = operator

    async def collect(self, now: datetime) -> list[DueAlert]:
        """Group what has settled and return the alerts that are due, at most 50.

        Idempotent: yes, an alert stays due, under the same id, until `told`.
        """
        async with self._database.begin() as connection:
            await self._close_abandoned(connection, now)
            await self._group(connection, now)
            await self._raise(connection)
            await self._close(connection, now)
            return [due_alert(one) for one in await self._due(connection)]

    async def told(self, due: Sequence[DueAlert], now: datetime) -> None:
        """Note that alerts are on their way. Idempotent: yes."""
        table = incidents.c
        async with self._database.begin() as connection:
            for one in due:
                over = one.alert.kind is AlertKind.INTEGRATION_RECOVERED
                values = {"done_at": now} if over else {"told_rank": one.alert.severity.rank}
                await connection.execute(update(incidents).where(table.incident_id == one.incident_id).values(values))

    async def _close_abandoned(self, connection: AsyncConnection, now: datetime) -> None:
        """Close the alarms of integrations that are disconnected and therefore checked no more."""
        gone = IntegrationState.DISCONNECTED.value
        theirs = connections.c
        mine = (theirs.organization_id == alarms.c.organization_id) & (theirs.integration_id == alarms.c.integration_id)
        disconnected = select(theirs.state).where(mine, theirs.state == gone).exists()
        await connection.execute(
            update(alarms)
            .where(alarms.c.closed_at.is_(None), disconnected)
            .values(closed_at=now, closed_as=gone)
            .execution_options(synchronize_session=False)
        )

    async def _group(self, connection: AsyncConnection, now: datetime) -> None:
        table = alarms.c
        waiting = select(alarms).where(table.closed_at.is_(None), table.incident_id.is_(None))
        rows = (await connection.execute(waiting.order_by(table.organization_id))).all()
        if not rows:
            return
        settled = now - timedelta(seconds=self._rules.settle_s)
        if self._operator:
            await self._outages(connection, rows, settled)
        for organization_id, found in groupby(rows, key=lambda row: row.organization_id):
            members = list(found)
            if min(utc(row.since) for row in members) <= settled:
                await self._open(connection, organization_id, members, is_outage=False)

    async def _outages(self, connection: AsyncConnection, rows: Sequence[Row[Any]], settled: datetime) -> None:
        """Open an outage per platform that fails in several organisations at once, and let latecomers join it."""
        table = incidents.c
        running = select(table.platform, table.incident_id).where(table.is_outage.is_(True), table.closed_at.is_(None))
        known = {row.platform: row.incident_id for row in (await connection.execute(running)).all()}
        by_platform = sorted((row for row in rows if row.outage_id is None), key=lambda row: row.platform)
        for platform, found in groupby(by_platform, key=lambda row: row.platform):
            members = list(found)
            if platform in known:
                await _join(connection, members, "outage_id", known[platform])
            elif (
                len({row.organization_id for row in members}) >= self._rules.outage_organizations
                and min(utc(row.since) for row in members) <= settled
            ):
                await self._open(connection, self._operator, members, is_outage=True)

    async def _open(
        self, connection: AsyncConnection, owner: str, members: Sequence[Row[Any]], *, is_outage: bool
    ) -> None:
        worst = max(members, key=lambda row: row.rank)
        words = ("outage" if is_outage else "incident", *sorted(row.alarm_id for row in members))
        incident_id = effect_id(owner, *words)
        platforms = {row.platform for row in members}
        await connection.execute(
            insert(incidents).values(
                incident_id=incident_id,
                organization_id=owner,
                platform=platforms.pop() if len(platforms) == 1 else "",
                is_outage=is_outage,
                kind=worst.kind,
                rank=Severity.CRITICAL.rank if is_outage else worst.rank,
                since=min(utc(row.since) for row in members),
            )
        )
        await _join(connection, members, "outage_id" if is_outage else "incident_id", incident_id)

    async def _raise(self, connection: AsyncConnection) -> None:
        """Let an incident be as bad as the worst of its open alarms; never less bad than it was."""
        table, mine = incidents.c, alarms.c
        worst = (
            select(mine.incident_id, func.max(mine.rank).label("rank"))
            .where(mine.closed_at.is_(None), mine.incident_id.is_not(None))
            .group_by(mine.incident_id)
            .subquery()
        )
        worse = select(worst.c.incident_id, worst.c.rank).join(
            incidents, (table.incident_id == worst.c.incident_id) & (worst.c.rank > table.rank)
        )
        for incident_id, rank in (await connection.execute(worse)).all():
            kind = select(mine.kind).where(mine.incident_id == incident_id, mine.rank == rank).limit(1)
            kind_now = (await connection.execute(kind)).scalar_one()
            changed = update(incidents).where(table.incident_id == incident_id).values(rank=rank, kind=kind_now)
            await connection.execute(changed)

    async def _close(self, connection: AsyncConnection, now: datetime) -> None:
        """Close incidents without an open alarm; one that nobody was told of is done with it."""
        table, mine = incidents.c, alarms.c
        members = or_(mine.incident_id == table.incident_id, mine.outage_id == table.incident_id)
        over = table.closed_at.is_(None) & ~select(mine.alarm_id).where(members, mine.closed_at.is_(None)).exists()
        unheard = update(incidents).where(over, table.told_rank.is_(None)).values(closed_at=now, done_at=now)
        await connection.execute(unheard.execution_options(synchronize_session=False))
        closed = update(incidents).where(over).values(closed_at=now)
        await connection.execute(closed.execution_options(synchronize_session=False))

    async def _due(self, connection: AsyncConnection) -> list[Incident]:
        table = incidents.c
        is_due = or_(table.closed_at.is_not(None), table.told_rank.is_(None), table.told_rank < table.rank)
        statement = select(incidents).where(table.done_at.is_(None), is_due).order_by(table.since).limit(_AT_ONCE)
        rows = (await connection.execute(statement)).all()
        return [await self._incident(connection, row) for row in rows]

    async def _incident(self, connection: AsyncConnection, row: Row[Any]) -> Incident:
        mine = alarms.c
        belongs = (mine.outage_id if row.is_outage else mine.incident_id) == row.incident_id
        statement = select(alarms).where(belongs).order_by(mine.rank.desc(), mine.integration_id)
        found = (await connection.execute(statement)).all()
        severity = _SEVERITIES[row.told_rank if row.closed_at else row.rank]
        return Incident(
            incident_id=row.incident_id,
            organization_id=row.organization_id,
            platform=row.platform,
            is_outage=row.is_outage,
            kind=AlertKind(row.kind),
            severity=severity,
            since=utc(row.since),
            closed_at=utc(row.closed_at) if row.closed_at else None,
            members=tuple(_member(one) for one in found),
        )


def _member(row: Row[Any]) -> Member:
    return Member(
        organization_id=row.organization_id,
        integration_id=row.integration_id,
        sentence=row.sentence,
        recovered=row.closed_as in {None, RECOVERED},
        in_outage=row.outage_id is not None,
    )


async def _join(connection: AsyncConnection, members: Iterable[Row[Any]], column: str, incident_id: str) -> None:
    ids = [row.alarm_id for row in members]
    for first in range(0, len(ids), 500):
        chosen = alarms.c.alarm_id.in_(ids[first : first + 500])
        await connection.execute(update(alarms).where(chosen).values({column: incident_id}))
