"""Checking integrations: one of them now, or many of a platform in a round that is remembered."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from temporalio import activity

from activities import metrics
from activities.health_check import Examiner
from activities.health_round import Round
from activities.storage.alarms import Alarm
from activities.storage.connections import ConnectionStore, unknown_integration
from activities.storage.incidents import IncidentStore
from activities.storage.lost_messages import LostMessages
from activities.storage.sync_runs import SyncRuns
from activities.transform import volume
from contracts.alerts import AlertKind, DueAlerts, Severity
from contracts.health import (
    CheckedBatch,
    HealthBatch,
    HealthPage,
    HealthPageRequest,
    HealthShard,
    HealthStatus,
    IntegrationKey,
    ShardCounts,
)
from contracts.integration import IntegrationState, SyncObservation
from contracts.sync import SyncStatus


class Health:
    """The verbs of health checks.

    Args:
        connections: the integrations.
        examiner: makes one check.
        rounds: makes many and remembers them.
        runs: the syncs that checks judge by.
        incidents: what became of it for people.
        lost: messages that did not arrive, which people are told of in the same way.
    """

    def __init__(
        self,
        connections: ConnectionStore,
        examiner: Examiner,
        rounds: Round,
        runs: SyncRuns,
        incidents: IncidentStore,
        lost: LostMessages,
    ) -> None:
        self._connections = connections
        self._examiner = examiner
        self._round = rounds
        self._runs = runs
        self._incidents = incidents
        self._lost = lost

    @activity.defn(name="health.page")
    async def page(self, request: HealthPageRequest) -> HealthPage:
        """Return the next connected integrations to check. Idempotent: yes."""
        if request.organization_id is None:
            return HealthPage(keys=list(await self._connections.page(request.after, request.limit)))
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
        """Check one integration now, for somebody who asks; the word that checks agree on is left as it is.

        A vendor that does not answer is a finding, not a failure of the check.
        """
        now = datetime.now(UTC)
        outcome = await anext(self._examiner.examine([key], now), None)
        if outcome is None:
            raise unknown_integration(key.integration_id)
        word = outcome.stored.health
        return HealthStatus(
            integration_id=key.integration_id,
            organization_id=key.organization_id,
            platform=key.platform,
            status=outcome.word,
            state=outcome.stored.state,
            metrics=list(outcome.metrics),
            checked_at=now,
            changed=word is not None and word is not outcome.word,
        )

    @activity.defn(name="health.count")
    async def count(self, shard: HealthShard) -> ShardCounts:
        """Return how many integrations of each platform a shard has. Idempotent: yes."""
        return ShardCounts(counts=Counter(key.platform for key in await self._connections.shard(shard)))

    @activity.defn(name="health.check_many")
    async def check_many(self, batch: HealthBatch) -> CheckedBatch:
        """Check a batch and remember what was found; paused integrations are counted and left alone.

        Idempotent: yes, by the round's instant. The heartbeat says how far it is.
        """
        counted = CheckedBatch()
        keys = await self._connections.shard(batch.part, batch.platform)
        async for counted in self._round.run(keys, batch.round_at):
            activity.heartbeat(counted)
        return counted

    @activity.defn(name="health.observe_sync")
    async def observe_sync(self, seen: SyncObservation) -> None:
        """Note a sync's outcome, which the freshness, the error rate and the volume are judged by.

        Idempotent: yes, by run.
        """
        metrics.sync(seen.status)
        await self._connections.observe_sync(seen.organization_id, seen.integration_id, seen.synced_at, seen.status)
        if seen.run_id is None:
            return
        at = datetime.now(UTC)
        await self._runs.add(seen, at)
        if seen.records is None or seen.status == SyncStatus.FAILED:
            return
        stored = await self._connections.get(seen.organization_id, seen.integration_id)
        if stored is None:
            return
        sentence = volume.odd(seen.records, await self._runs.volumes(seen, at.weekday()))
        alarm = None if sentence is None else Alarm(AlertKind.VOLUME_ODD, Severity.WARNING, at, sentence)
        await self._runs.settle_volume(stored.key, alarm, at)

    @activity.defn(name="health.due")
    async def due(self) -> DueAlerts:
        """Return the alerts that are due. Idempotent: yes, they stay due until they are noted as told."""
        now = datetime.now(UTC)
        return DueAlerts(due=[*await self._incidents.collect(now), *await self._lost.collect(now)])

    @activity.defn(name="health.told")
    async def told(self, told: DueAlerts) -> None:
        """Note that alerts are on their way. Idempotent: yes."""
        for one in told.due:
            metrics.alert(one.alert.kind, one.alert.severity)
        now = datetime.now(UTC)
        await self._incidents.told(told.due, now)
        await self._lost.told(told.due, now)
