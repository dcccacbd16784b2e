"""The scheduled rounds of health checks: a shard of all integrations, and the alerts that came of it."""

from __future__ import annotations

import asyncio
import math
from functools import reduce

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.alerts import DueAlert, DueAlerts
    from contracts.health import (
        CheckedBatch,
        HealthBatch,
        HealthShard,
        MonitorHealthInput,
        MonitorHealthResult,
        ShardCounts,
    )
    from contracts.names import system_queue
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.alerts import deliver
    from workflows.visibility import detail_of, tag


_FAIRNESS_KEY = "health"
"""Checks of many organisations share an activity, and all checks a place in the queue."""


async def check_shard(request: MonitorHealthInput, shard: int) -> MonitorHealthResult:
    """Check one shard, all its platforms side by side; the statuses stay in the store.

    Args:
        request: what the schedule asks.
        shard: which part of the integrations.
    """
    tag(run_kind="health", outcome="running")
    found: ShardCounts = await workflow.execute_local_activity(
        "health.count",
        HealthShard(shard=shard, shards=request.shards),
        result_type=ShardCounts,
        **policies.local_options(policies.LOCAL),
    )
    batches = _batches(request, shard, found)
    counted = reduce(_plus, await asyncio.gather(*(_check(batch) for batch in batches)), MonitorHealthResult())
    tag(outcome="unhealthy" if counted.unhealthy else "degraded" if counted.degraded else "healthy")
    _show(shard, request.shards, counted)
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


def _batches(request: MonitorHealthInput, shard: int, found: ShardCounts) -> list[HealthBatch]:
    """Split every platform of the shard, which has a queue of its own, into parts of about `batch_size`."""
    batches = []
    for platform, count in sorted(found.counts.items()):
        parts = math.ceil(count / request.batch_size)
        for number in range(parts):
            part = HealthShard(shard=shard + request.shards * number, shards=request.shards * parts)
            batches.append(HealthBatch(platform=platform, part=part, round_at=workflow.now()))
    return batches


async def _check(batch: HealthBatch) -> CheckedBatch:
    try:
        checked: CheckedBatch = await workflow.execute_activity(
            "health.check_many",
            batch,
            result_type=CheckedBatch,
            task_queue=system_queue(batch.platform),
            priority=policies.priority(SyncPriority.LOW, _FAIRNESS_KEY),
            summary=f"Check part {batch.part.shard + 1} of {batch.part.shards} of {batch.platform}",
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
