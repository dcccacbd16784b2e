"""How recent syncs ended and what they read, which later ones are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Column, DateTime, Index, Integer, String, Table, delete, func, select, tuple_

from activities.storage.alarms import Alarm, Family, settle_alarms
from activities.storage.connections import connections
from activities.storage.database import Database, metadata, utc
from activities.transform.health import Runs
from activities.transform.volume import HISTORY
from contracts.health import IntegrationKey
from contracts.integration import SyncObservation
from contracts.sync import SyncStatus

sync_runs = Table(
    "sync_runs",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("run_id", String(64), primary_key=True),
    Column("series", String(255), nullable=False),
    Column("status", String(32), nullable=False),
    Column("records", Integer),
    Column("weekday", Integer, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("ix_sync_runs_at", "organization_id", "integration_id", "at"),
)
RECENT = timedelta(days=1)
_KEPT = timedelta(days=400)


class SyncRuns:
    """One row per sync run; holds counts and opaque words only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, seen: SyncObservation, at: datetime) -> None:
        """Note a run, and let those older than a year go. Idempotent: yes, by run id."""
        row = {
            "organization_id": seen.organization_id,
            "integration_id": seen.integration_id,
            "run_id": seen.run_id,
            "series": seen.series,
            "status": seen.status,
            "records": seen.records,
            "weekday": at.weekday(),
            "at": at,
        }
        statement = self._database.insert(sync_runs).values(row).on_conflict_do_nothing()
        table = sync_runs.c
        forgotten = delete(sync_runs).where(
            table.organization_id == seen.organization_id,
            table.integration_id == seen.integration_id,
            table.at < at - _KEPT,
        )
        async with self._database.begin() as connection:
            await connection.execute(statement)
            await connection.execute(forgotten)

    async def volumes(self, seen: SyncObservation, weekday: int) -> list[int]:
        """Return what the runs of the same series read on the same weekday, newest first, without this run."""
        table = sync_runs.c
        statement = (
            select(table.records)
            .where(
                table.organization_id == seen.organization_id,
                table.integration_id == seen.integration_id,
                table.series == seen.series,
                table.weekday == weekday,
                table.run_id != seen.run_id,
                table.records.is_not(None),
                table.status != SyncStatus.FAILED.value,
            )
            .order_by(table.at.desc())
            .limit(HISTORY)
        )
        async with self._database.begin() as connection:
            return list((await connection.execute(statement)).scalars())

    async def recent(self, keys: Sequence[IntegrationKey], now: datetime) -> dict[tuple[str, str], Runs]:
        """Return the last day's runs per organisation and integration, and when the last run of all was."""
        runs, owner = sync_runs.c, connections.c
        places = [(key.organization_id, key.integration_id) for key in keys]
        mine = (runs.organization_id == owner.organization_id) & (runs.integration_id == owner.integration_id)
        lately = mine & (runs.at > now - RECENT)
        counted = select(func.count()).select_from(sync_runs).where(lately)
        statement = select(
            owner.organization_id,
            owner.integration_id,
            counted.scalar_subquery(),
            counted.where(runs.status == SyncStatus.FAILED.value).scalar_subquery(),
            select(func.max(runs.at)).where(mine).scalar_subquery(),
        ).where(tuple_(owner.organization_id, owner.integration_id).in_(places))
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
        return {
            (row[0], row[1]): Runs(total=row[2], failed=row[3], last_at=utc(row[4]) if row[4] else None) for row in rows
        }

    async def settle_volume(self, key: IntegrationKey, alarm: Alarm | None, at: datetime) -> None:
        """Open or close the alarm of an odd volume. Idempotent: yes."""
        async with self._database.begin() as connection:
            await settle_alarms(connection, [(key, alarm, at)], Family.VOLUME)
