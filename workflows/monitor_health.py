"""The health of many integrations, checked in parallel."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.health import (
        HealthMetric,
        HealthPage,
        HealthPageRequest,
        HealthStatus,
        HealthWord,
        IntegrationKey,
        MonitorHealthInput,
        MonitorHealthResult,
    )
    from contracts.names import WorkflowType, system_queue
    from contracts.sync import SyncPriority
    from workflows import health_round, policies
    from workflows.visibility import detail_of, tag

_AT_ONCE = 50
_RANK = {HealthWord.UNHEALTHY: 0, HealthWord.DEGRADED: 1, HealthWord.HEALTHY: 2}
_MAX_STATUSES = 1_000


@workflow.defn(name=WorkflowType.MONITOR_HEALTH)
class MonitorHealth:
    """Pages through the integrations and checks each in its system's queue."""

    @workflow.run
    async def run(self, request: MonitorHealthInput) -> MonitorHealthResult:
        """Return every integration's status, worst first; a vendor that is down is a status, not a failure.

        A run of a schedule checks its shard or tells the alerts that are due, and returns its counts.
        """
        if request.tell:
            return await health_round.tell_due(request)
        if request.shard is not None:
            return await health_round.check_shard(request, request.shard)
        tag(run_kind="health", outcome="running")
        statuses: list[HealthStatus] = []
        after: IntegrationKey | None = None
        while True:
            page = await self._page(request, after)
            statuses += await self._check_all(page.keys)
            if request.organization_id is not None or len(page.keys) < request.page_size:
                break
            after = page.keys[-1]
        statuses.sort(key=lambda item: (_RANK[item.status], item.organization_id, item.integration_id))
        unhealthy = sum(item.status is HealthWord.UNHEALTHY for item in statuses)
        degraded = sum(item.status is HealthWord.DEGRADED for item in statuses)
        tag(outcome="unhealthy" if unhealthy else "degraded" if degraded else "healthy")
        return MonitorHealthResult(
            statuses=statuses[:_MAX_STATUSES], checked=len(statuses), unhealthy=unhealthy, degraded=degraded
        )

    async def _page(self, request: MonitorHealthInput, after: IntegrationKey | None) -> HealthPage:
        page: HealthPage = await workflow.execute_local_activity(
            "health.page",
            HealthPageRequest(
                organization_id=request.organization_id,
                integration_ids=request.integration_ids,
                after=after,
                limit=request.page_size,
            ),
            result_type=HealthPage,
            **policies.local_options(policies.LOCAL),
        )
        return page

    async def _check_all(self, keys: list[IntegrationKey]) -> list[HealthStatus]:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(key: IntegrationKey) -> HealthStatus:
            async with slots:
                return await self._check(key)

        return list(await asyncio.gather(*(one(key) for key in keys)))

    async def _check(self, key: IntegrationKey) -> HealthStatus:
        try:
            status: HealthStatus = await workflow.execute_activity(
                "health.check",
                key,
                result_type=HealthStatus,
                task_queue=system_queue(key.platform),
                priority=policies.connection_priority(SyncPriority.LOW, key.organization_id, key.integration_id),
                summary=f"Check {key.platform}",
                **policies.PROBE.options(),
            )
            return status  # noqa: TRY300 - the answer belongs to the attempt
        except ActivityError as error:
            detail = detail_of(error)
            return HealthStatus(
                integration_id=key.integration_id,
                organization_id=key.organization_id,
                platform=key.platform,
                status=HealthWord.UNHEALTHY,
                state=key.state,
                metrics=[
                    HealthMetric(
                        metric="connection",
                        status=HealthWord.UNHEALTHY,
                        value=0,
                        threshold=0,
                        message=detail.sentence(),
                        error=detail,
                    )
                ],
                checked_at=workflow.now(),
            )
