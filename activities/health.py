"""Checking integrations: does the vendor answer, and are its syncs fresh."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities import usage
from activities.access import Access
from activities.ports.connector import Connector
from activities.storage.connections import ConnectionStore, StoredConnection
from contracts.errors import RateLimited, WedSyncError
from contracts.health import HealthMetric, HealthPage, HealthPageRequest, HealthStatus, HealthWord, IntegrationKey
from contracts.integration import IntegrationState, SyncObservation

SLOW_MS = 5_000.0
OVERDUE_FACTOR = 1.5
_WORST_FIRST = [HealthWord.UNHEALTHY, HealthWord.DEGRADED, HealthWord.HEALTHY]


class Health:
    """The verbs of health checks."""

    def __init__(self, access: Access, connections: ConnectionStore) -> None:
        self._access = access
        self._connections = connections

    @activity.defn(name="health.page")
    async def page(self, request: HealthPageRequest) -> HealthPage:
        """Return the next connected integrations to check. Idempotent: yes."""
        if request.organization_id is None:
            keys = await self._connections.page(request.after, request.limit)
            return HealthPage(keys=list(keys))
        wanted = set(request.integration_ids)
        found = await self._connections.of_organization(request.organization_id)
        return HealthPage(
            keys=[
                stored.key
                for stored in found
                if stored.state is not IntegrationState.DISCONNECTED
                and (not wanted or stored.configuration.integration_id in wanted)
            ][: request.limit]
        )

    @activity.defn(name="health.check")
    async def check(self, key: IntegrationKey) -> HealthStatus:
        """Check one integration and note its word, so that the next check can tell a change.

        A vendor that does not answer is a finding, not a failure of the check.
        """
        stored = await self._access.stored(key.organization_id, key.integration_id)
        now = datetime.now(UTC)
        metrics = [await self._connection(stored)]
        freshness = sync_metric(stored, now)
        if freshness is not None:
            metrics.append(freshness)
        word = next(word for word in _WORST_FIRST if any(metric.status is word for metric in metrics))
        await self._connections.observe_health(key.organization_id, key.integration_id, word)
        return HealthStatus(
            integration_id=key.integration_id,
            organization_id=key.organization_id,
            platform=key.platform,
            status=word,
            state=stored.state,
            metrics=metrics,
            checked_at=now,
            changed=stored.health is not word,
        )

    @activity.defn(name="health.observe_sync")
    async def observe_sync(self, seen: SyncObservation) -> None:
        """Note a sync's outcome, which the freshness of the integration is judged by. Idempotent: yes."""
        await self._connections.observe_sync(seen.organization_id, seen.integration_id, seen.synced_at, seen.status)

    async def _connection(self, stored: StoredConnection) -> HealthMetric:
        started = time.monotonic()
        try:
            connector = await self._access.connector_of(stored, Connector)
            await connector.probe()
        except WedSyncError as error:
            usage.met(stored, error)
            # A vendor that asks to wait answers.
            limited = isinstance(error, RateLimited)
            return HealthMetric(
                metric="connection",
                status=HealthWord.DEGRADED if limited else HealthWord.UNHEALTHY,
                value=0,
                threshold=SLOW_MS,
                message=error.detail.sentence(),
                error=error.detail,
            )
        elapsed = (time.monotonic() - started) * 1_000
        return HealthMetric(
            metric="connection",
            status=HealthWord.HEALTHY if elapsed < SLOW_MS else HealthWord.DEGRADED,
            value=elapsed,
            threshold=SLOW_MS,
            message=f"The connection answered in {elapsed:.0f} ms.",
        )


def sync_metric(stored: StoredConnection, now: datetime) -> HealthMetric | None:
    """Return the freshness of the integration's syncs, None when it has no interval to be late against.

    Args:
        stored: the connection with its schedule and last sync.
        now: aware UTC.
    """
    schedule = stored.configuration.sync_schedule
    interval = schedule.expected_interval() if schedule else None
    if interval is None:
        return None
    age = now - (stored.last_sync_at or stored.changed_at)
    threshold = interval * OVERDUE_FACTOR
    minutes = int(age / timedelta(minutes=1))
    words = f"Last sync {minutes} minutes ago." if stored.last_sync_at else f"No sync yet in {minutes} minutes."
    return HealthMetric(
        metric="sync",
        status=HealthWord.UNHEALTHY if age > threshold else HealthWord.HEALTHY,
        value=age / timedelta(milliseconds=1),
        threshold=threshold / timedelta(milliseconds=1),
        message=words,
        last_sync_status=stored.last_sync_status,
    )
