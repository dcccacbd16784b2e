"""What is wrong at this moment: one open alarm per integration and family, opened and closed once per occurrence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Column, DateTime, Index, Integer, String, Table, Text, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.storage.database import metadata
from contracts.alerts import AlertKind, Severity
from contracts.health import IntegrationKey
from contracts.names import effect_id

alarms = Table(
    "health_alarms",
    metadata,
    Column("alarm_id", String(64), primary_key=True),
    Column("organization_id", String(64), nullable=False),
    Column("integration_id", String(64), nullable=False),
    Column("family", String(16), nullable=False),
    Column("platform", String(40), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("incident_id", String(64), index=True),
    Column("outage_id", String(64), index=True),
    Column("closed_at", DateTime(timezone=True)),
    Column("closed_as", String(32)),
    Index("ix_health_alarms_place", "organization_id", "integration_id", "closed_at"),
    Index("ix_health_alarms_open", "closed_at", "incident_id"),
)
RECOVERED = "recovered"


class Family(StrEnum):
    """Alarms of different families do not hide one another."""

    HEALTH = "health"
    VOLUME = "volume"


@dataclass(frozen=True)
class Alarm:
    """Something that is wrong with an integration; `sentence` holds no secret and nothing personal."""

    kind: AlertKind
    severity: Severity
    since: datetime
    sentence: str


async def settle_alarms(
    connection: AsyncConnection,
    found: Sequence[tuple[IntegrationKey, Alarm | None, datetime | None]],
    family: Family = Family.HEALTH,
) -> None:
    """Open, raise or close the alarms of one family to match what was found.

    An open alarm that is found again less bad stays as it is: only health closes it.

    Args:
        connection: in the transaction that remembers the findings.
        found: per integration the alarm, None where nothing is wrong, and the instant of the finding.
        family: whose alarms these are.
    """
    places = [(key.organization_id, key.integration_id) for key, _, _ in found]
    statement = select(alarms.c.alarm_id, alarms.c.organization_id, alarms.c.integration_id, alarms.c.rank).where(
        tuple_(alarms.c.organization_id, alarms.c.integration_id).in_(places),
        alarms.c.closed_at.is_(None),
        alarms.c.family == family.value,
    )
    standing = {(row.organization_id, row.integration_id): row for row in (await connection.execute(statement)).all()}
    for key, alarm, at in found:
        row = standing.get((key.organization_id, key.integration_id))
        if alarm is None:
            if row is not None:
                closed = {"closed_at": at, "closed_as": key.state.value if key.state.refuses_work else RECOVERED}
                await _change(connection, row.alarm_id, closed)
        elif row is None:
            await connection.execute(insert(alarms).values(_row(key, alarm, family)))
        elif alarm.severity.rank > row.rank:
            worse = {"kind": alarm.kind.value, "rank": alarm.severity.rank, "sentence": alarm.sentence}
            await _change(connection, row.alarm_id, worse)


async def _change(connection: AsyncConnection, alarm_id: str, values: Mapping[str, object]) -> None:
    await connection.execute(update(alarms).where(alarms.c.alarm_id == alarm_id).values(values))


def _row(key: IntegrationKey, alarm: Alarm, family: Family) -> dict[str, object]:
    return {
        "alarm_id": effect_id(key.organization_id, key.integration_id, family, alarm.since.isoformat()),
        "organization_id": key.organization_id,
        "integration_id": key.integration_id,
        "family": family.value,
        "platform": key.platform,
        "kind": alarm.kind.value,
        "rank": alarm.severity.rank,
        "since": alarm.since,
        "sentence": alarm.sentence,
    }
