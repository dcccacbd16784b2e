"""The scheduled rounds of health checks: a shard of all integrations, and the alerts that came of it."""

from __future__ import annotations

import asyncio
from itertools import groupby

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.alerts import DueAlert, DueAlerts
    from contracts.health import (
        CheckedBatch,
        HealthBatch,
        HealthPage,
        HealthPageRequest,
        IntegrationKey,
        MonitorHealthInput,
        MonitorHealthResult,
    )
    from contracts.names import ORCHESTRATION_QUEUE, fairness_key, system_queue
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.alerts import deliver
    from workflows.visibility import detail_of, tag


async def check_shard(request: MonitorHealthInput, shard: int) -> MonitorHealthResult:
    """Check one shard, page by page, each page's platforms side by side; the statuses stay in the store.

    Args:
        request: what the schedule or the run before this one asks.
        shard: which part of the integrations.
    """
    tag(run_kind="health", outcome="running")
    counted, after = request.so_far or MonitorHealthResult(), request.after
    while True:
        page = await _page(request, shard, after)
        for checked in await asyncio.gather(*(_check(batch) for batch in _batches(page.keys, request.batch_size))):
            counted = _plus(counted, checked)
        _show(shard, request.shards, counted)
        if len(page.keys) < request.page_size:
            break
        after = page.keys[-1]
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(request.model_copy(update={"after": after, "so_far": counted}))
    tag(outcome="unhealthy" if counted.unhealthy else "degraded" if counted.degraded else "healthy")
    return counted


async def tell_due(request: MonitorHealthInput) -> MonitorHealthResult:
    """Send every alert that is due on its way, and note it only then: a run that is killed in between repeats itself.

    Idempotent: yes, by the alerts' ids.
    """
    tag(run_kind="health", outcome="running")
    told = request.so_far.told if request.so_far else 0
    while sent := [one for one in (await _due()).due if await _sent(one)]:
        note = DueAlerts(due=sent)
        await workflow.execute_local_activity("health.told", note, **policies.local_options(policies.LOCAL))
        told += len(sent)
        if workflow.info().is_continue_as_new_suggested():
            workflow.continue_as_new(request.model_copy(update={"so_far": MonitorHealthResult(told=told)}))
    tag(outcome="success")
    return MonitorHealthResult(told=told)


async def _sent(due: DueAlert) -> bool:
    """Send one alert; what hinders it hinders no other, and the next run tries it again."""
    try:
        await deliver(due.alert)
    except (ActivityError, ApplicationError) as error:
        if is_cancelled_exception(error):
            raise
        workflow.logger.warning("an alert was not told: %s", detail_of(error).code)
        return False
    return True


async def _due() -> DueAlerts:
    due: DueAlerts = await workflow.execute_local_activity(
        "health.due", result_type=DueAlerts, **policies.local_options(policies.LOCAL)
    )
    return due


async def _page(request: MonitorHealthInput, shard: int, after: IntegrationKey | None) -> HealthPage:
    asked = HealthPageRequest(after=after, limit=request.page_size, shard=shard, shards=request.shards)
    # Not a local activity: its answer is the size of the page, and local ones hold up the run's other decisions.
    page: HealthPage = await workflow.execute_activity(
        "health.page",
        asked,
        result_type=HealthPage,
        task_queue=ORCHESTRATION_QUEUE,
        summary=f"List shard {shard + 1} of {request.shards}",
        **policies.STORE.options(),
    )
    return page


def _batches(keys: list[IntegrationKey], size: int) -> list[HealthBatch]:
    """Return batches of one platform each, for that is whose queue they go to."""
    found = []
    for _, mine in groupby(sorted(keys, key=lambda key: key.platform), key=lambda key: key.platform):
        platform = list(mine)
        found += [platform[first : first + size] for first in range(0, len(platform), size)]
    return [HealthBatch(keys=batch, round_at=workflow.now()) for batch in found]


async def _check(batch: HealthBatch) -> CheckedBatch:
    first = batch.keys[0]
    try:
        checked: CheckedBatch = await workflow.execute_activity(
            "health.check_many",
            batch,
            result_type=CheckedBatch,
            task_queue=system_queue(first.platform),
            priority=policies.priority(SyncPriority.LOW, fairness_key(first.organization_id, first.integration_id)),
            summary=f"Check {len(batch.keys)} of {first.platform}",
            **policies.ROUND.options(),
        )
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        # Nobody polls the queue, or the store is away: the doctor says so, and the next round comes in minutes.
        return CheckedBatch()
    return checked


def _plus(counted: MonitorHealthResult, checked: CheckedBatch) -> MonitorHealthResult:
    return counted.model_copy(
        update={
            name: getattr(counted, name) + getattr(checked, name)
            for name in ("checked", "unhealthy", "degraded", "held")
        }
    )


def _show(shard: int, shards: int, counted: MonitorHealthResult) -> None:
    workflow.set_current_details(
        f"**Shard {shard + 1} of {shards}**: {counted.checked} checked, {counted.unhealthy} unhealthy, "
        f"{counted.degraded} degraded, {counted.held} held"
    )
