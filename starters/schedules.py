"""Schedules that belong to the whole installation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

from temporalio.client import (
    Client,
    RPCError,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCStatusCode

from contracts import names
from contracts.base import Contract, Instant
from contracts.emergency import AuditRequest
from contracts.health import MonitorHealthInput
from contracts.names import WorkflowType
from contracts.sync import SyncPriority
from contracts.weather_watch import WatchWeatherInput
from starters.failures import translated
from workflows.policies import priority

HEALTH_EVERY = timedelta(minutes=5)
ALERTS_EVERY = timedelta(minutes=1)
AUDIT_EVERY = timedelta(seconds=30)
WATCH_EVERY = timedelta(minutes=5)
WATCH_SHARDS = 2
_JITTER = timedelta(seconds=20)
_FAIRNESS_KEY = "health"
_AUDIT_KEY, _WATCH_KEY = "audit", "weather"


class ScheduleView(Contract):
    """A schedule as operators see it."""

    schedule_id: str
    workflow: str
    paused: bool = False
    next_at: Instant | None = None


def health_schedules(shards: int) -> dict[str, Schedule]:
    """Return, by id, the schedules that check every integration every five minutes and tell the alerts every minute.

    All shards begin within seconds of each other, so that what fails together is found together.

    Args:
        shards: over how many schedules the integrations are spread.
    """
    schedules = {
        names.health_schedule_id(f"{shard}-of-{shards}"): _every(
            HEALTH_EVERY,
            f"{shard}-of-{shards}",
            MonitorHealthInput(shard=shard, shards=shards),
            f"Check the health of integrations, shard {shard + 1} of {shards}",
        )
        for shard in range(shards)
    }
    alerts = names.ALERTS_SHARD
    telling = _every(ALERTS_EVERY, alerts, MonitorHealthInput(tell=True), "Tell the alerts that are due")
    return {**schedules, names.health_schedule_id(alerts): telling}


def audit_schedule() -> Schedule:
    """Return the schedule that looks whether emergencies still escalate."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            WorkflowType.AUDIT_ESCALATION.value,
            AuditRequest(),
            id=names.AUDIT_WORKFLOW_ID,
            task_queue=names.ORCHESTRATION_QUEUE,
            execution_timeout=AUDIT_EVERY * 10,
            static_summary="See whether emergencies still escalate",
            priority=priority(SyncPriority.HIGH, _AUDIT_KEY),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=AUDIT_EVERY)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=AUDIT_EVERY),
    )


def watch_schedules() -> dict[str, Schedule]:
    """Return, by id, the schedules that look at the weather over weddings, a shard of the organisations each."""
    return {
        f"{names.WATCH_SCHEDULES}{shard}-of-{WATCH_SHARDS}": Schedule(
            action=ScheduleActionStartWorkflow(
                WorkflowType.WATCH_WEATHER.value,
                WatchWeatherInput(shard=shard, shards=WATCH_SHARDS),
                id=names.watch_workflow_id(f"{shard}-of-{WATCH_SHARDS}"),
                task_queue=names.ORCHESTRATION_QUEUE,
                execution_timeout=WATCH_EVERY * 2,
                static_summary=f"Look at the weather over weddings, shard {shard + 1} of {WATCH_SHARDS}",
                priority=priority(SyncPriority.HIGH, _WATCH_KEY),
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=WATCH_EVERY)], jitter=_JITTER),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=WATCH_EVERY),
        )
        for shard in range(WATCH_SHARDS)
    }


def installed_schedules(shards: int) -> dict[str, Schedule]:
    """Return, by id, every schedule of the installation."""
    return {**health_schedules(shards), names.AUDIT_SCHEDULE_ID: audit_schedule(), **watch_schedules()}


def _every(interval: timedelta, shard: str, request: MonitorHealthInput, summary: str) -> Schedule:
    return Schedule(
        action=ScheduleActionStartWorkflow(
            WorkflowType.MONITOR_HEALTH.value,
            request,
            id=names.health_workflow_id(shard),
            task_queue=names.ORCHESTRATION_QUEUE,
            execution_timeout=HEALTH_EVERY * 3,
            static_summary=summary,
            priority=priority(SyncPriority.LOW, _FAIRNESS_KEY),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=interval)], jitter=_JITTER),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=interval),
    )


async def apply_schedules(client: Client, shards: int) -> list[str]:
    """Create the installation's schedules, or bring them to their present shape, and return their ids.

    Health schedules of another shape, such as of another number of shards, are deleted.

    Idempotent: yes, by schedule id; a pause by an operator stays.

    Raises:
        Transient: Temporal does not answer.
    """
    wanted = installed_schedules(shards)
    with translated():
        for schedule_id, schedule in wanted.items():
            try:
                await client.create_schedule(schedule_id, schedule)
            except ScheduleAlreadyRunningError:
                await client.get_schedule_handle(schedule_id).update(partial(_reshaped, wanted=schedule))
        async for found in await client.list_schedules():
            if found.id.startswith((names.HEALTH_SCHEDULES, names.WATCH_SCHEDULES)) and found.id not in wanted:
                await _delete(client, found.id)
    return sorted(wanted)


async def _delete(client: Client, schedule_id: str) -> None:
    try:
        await client.get_schedule_handle(schedule_id).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


async def silent_schedules(client: Client, shards: int) -> list[str]:
    """Return the installation's schedules that are absent or paused, or let two of their times pass without a run.

    Raises:
        Transient: Temporal does not answer.
    """
    found = []
    with translated():
        for schedule_id, wanted in installed_schedules(shards).items():
            every = wanted.spec.intervals[0].every
            try:
                seen = await client.get_schedule_handle(schedule_id).describe()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                found.append(f"{schedule_id} (absent)")
                continue
            runs = [action.started_at for action in seen.info.recent_actions]
            last = max([seen.info.created_at, *runs])
            if seen.schedule.state.paused:
                found.append(f"{schedule_id} (paused)")
            elif datetime.now(UTC) - last > every * 2 + _JITTER:
                found.append(f"{schedule_id} (silent since {last:%H:%M} UTC)")
    return found


def _reshaped(found: ScheduleUpdateInput, wanted: Schedule) -> ScheduleUpdate:
    wanted.state = found.description.schedule.state
    return ScheduleUpdate(schedule=wanted)


async def list_schedules(client: Client) -> list[ScheduleView]:
    """Return every schedule of the namespace, by id.

    Raises:
        Transient: Temporal does not answer.
    """
    views: list[ScheduleView] = []
    with translated():
        async for found in await client.list_schedules():
            coming = found.info.next_action_times if found.info else []
            action = found.schedule.action if found.schedule else None
            views.append(
                ScheduleView(
                    schedule_id=found.id,
                    workflow=getattr(action, "workflow", ""),
                    paused=bool(found.schedule and found.schedule.state.paused),
                    next_at=coming[0] if coming else None,
                )
            )
    return sorted(views, key=lambda view: view.schedule_id)
