"""What the checks of every integration last found, and what the next ones need of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, DateTime, Float, Integer, Row, String, Table, Text, Update, select, tuple_, update

from activities.storage.alarms import Alarm, settle_alarms
from activities.storage.connections import connections
from activities.storage.database import Database, metadata, utc
from activities.transform.hysteresis import Standing
from contracts.health import HealthMetric, HealthStatus, HealthWord, IntegrationKey
from contracts.integration import IntegrationState

Place = tuple[str, str]
"""Organisation and integration."""

health_states = Table(
    "health_states",
    metadata,
    Column("organization_id", String(64), primary_key=True),
    Column("integration_id", String(64), primary_key=True),
    Column("word", String(16), nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("suspected", String(16)),
    Column("streak", Integer, nullable=False),
    Column("watched_since", DateTime(timezone=True), nullable=False),
    Column("checked_at", DateTime(timezone=True), nullable=False),
    Column("took_ms", Float, nullable=False),
    Column("latencies", Text, nullable=False),
    Column("metrics", Text, nullable=False),
)


@dataclass(frozen=True)
class Finding:
    """What one check came to; `alarm` is None where nothing is wrong or nothing was asked."""

    key: IntegrationKey
    standing: Standing
    metrics: Sequence[HealthMetric]
    took_ms: float
    alarm: Alarm | None = None


class HealthStore:
    """The standings of all integrations; a restart loses none of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def standings(self, keys: Sequence[IntegrationKey]) -> dict[Place, Standing]:
        """Return what is remembered, by organisation and integration."""
        table = health_states.c
        statement = select(health_states).where(_among(table, keys))
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement)).all()
        return {(row.organization_id, row.integration_id): _standing(row) for row in rows}

    async def note(self, findings: Sequence[Finding]) -> None:
        """Remember findings, and open, raise or close the alarms they mean, all of it or nothing.

        Idempotent: yes, the same findings again change nothing.
        """
        if not findings:
            return
        statement = self._database.insert(health_states)
        place = ("organization_id", "integration_id")
        changed = {
            column.name: statement.excluded[column.name] for column in health_states.c if column.name not in place
        }
        statement = statement.on_conflict_do_update(index_elements=list(place), set_=changed)
        async with self._database.begin() as connection:
            await connection.execute(statement, [_row(one) for one in findings])
            for word in HealthWord:
                await connection.execute(_published(findings, word))
            await settle_alarms(connection, [(one.key, one.alarm, one.standing.checked_at) for one in findings])

    async def board(self, organization_id: str, integration_id: str | None = None) -> list[HealthStatus]:
        """Return the last status of an organisation's integrations, or of one; those never checked are absent."""
        table, theirs = health_states.c, connections.c
        statement = (
            select(health_states, theirs.platform, theirs.state)
            .join(
                connections,
                (theirs.organization_id == table.organization_id) & (theirs.integration_id == table.integration_id),
            )
            .where(table.organization_id == organization_id, theirs.state != IntegrationState.DISCONNECTED.value)
            .order_by(table.integration_id)
        )
        if integration_id is not None:
            statement = statement.where(table.integration_id == integration_id)
        async with self._database.begin() as connection:
            return [_status(row) for row in (await connection.execute(statement)).all()]


def _among(table: Any, keys: Sequence[IntegrationKey]) -> Any:
    return tuple_(table.organization_id, table.integration_id).in_(
        [(key.organization_id, key.integration_id) for key in keys]
    )


def _published(findings: Sequence[Finding], word: HealthWord) -> Update:
    """The word as the lists of integrations show it; most rows have it already and stay untouched."""
    theirs = connections.c
    return (
        update(connections)
        .where(
            _among(theirs, [one.key for one in findings if one.standing.word is word]),
            theirs.health.is_(None) | (theirs.health != word.value),
        )
        .values(health=word.value)
    )


def _row(finding: Finding) -> Mapping[str, object]:
    standing = finding.standing
    return {
        "organization_id": finding.key.organization_id,
        "integration_id": finding.key.integration_id,
        "word": standing.word.value,
        "since": standing.since,
        "suspected": standing.suspected.value if standing.suspected else None,
        "streak": standing.streak,
        "watched_since": standing.watched_since,
        "checked_at": standing.checked_at,
        "took_ms": finding.took_ms,
        "latencies": json.dumps([round(one, 1) for one in standing.latencies_ms]),
        "metrics": json.dumps([one.model_dump(mode="json") for one in finding.metrics]),
    }


def _standing(row: Row[Any]) -> Standing:
    return Standing(
        watched_since=utc(row.watched_since),
        since=utc(row.since),
        word=HealthWord(row.word),
        suspected=HealthWord(row.suspected) if row.suspected else None,
        streak=row.streak,
        latencies_ms=tuple(json.loads(row.latencies)),
        checked_at=utc(row.checked_at),
    )


def _status(row: Row[Any]) -> HealthStatus:
    return HealthStatus(
        integration_id=row.integration_id,
        organization_id=row.organization_id,
        platform=row.platform,
        status=HealthWord(row.word),
        state=IntegrationState(row.state),
        metrics=[HealthMetric.model_validate(one) for one in json.loads(row.metrics)],
        checked_at=utc(row.checked_at),
        since=utc(row.since),
        suspected=HealthWord(row.suspected) if row.suspected else None,
    )
