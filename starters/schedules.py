"""Schedules that belong to the whole installation."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import (
    Client,
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

from contracts import names
from contracts.base import Contract, Instant
from contracts.health import MonitorHealthInput
from contracts.names import WorkflowType
from contracts.sync import SyncPriority
from starters.failures import translated
from workflows.policies import priority

_SHARD = "all"
HEALTH_EVERY = timedelta(minutes=5)
_JITTER = timedelta(seconds=20)
_FAIRNESS_KEY = "health"


class ScheduleView(Contract):
    """A schedule as operators see it."""

    schedule_id: str
    workflow: str
    paused: bool = False
    next_at: Instant | None = None


def health_schedule() -> Schedule:
    """Return the schedule that checks every connected integration every five minutes, never two checks at once."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            WorkflowType.MONITOR_HEALTH.value,
            MonitorHealthInput(),
            id=names.health_workflow_id(_SHARD),
            task_queue=names.ORCHESTRATION_QUEUE,
            execution_timeout=HEALTH_EVERY * 3,
            static_summary="Check every integration's health",
            priority=priority(SyncPriority.LOW, _FAIRNESS_KEY),
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=HEALTH_EVERY)], jitter=_JITTER),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=HEALTH_EVERY),
    )


async def apply_schedules(client: Client) -> list[str]:
    """Create the installation's schedules, or bring them to their present shape, and return their ids.

    Idempotent: yes, by schedule id; a pause by an operator stays.

    Raises:
        Transient: Temporal does not answer.
    """
    schedule_id = names.health_schedule_id(_SHARD)
    wanted = health_schedule()
    with translated():
        try:
            await client.create_schedule(schedule_id, wanted)
        except ScheduleAlreadyRunningError:
            await client.get_schedule_handle(schedule_id).update(lambda found: _reshaped(found, wanted))
    return [schedule_id]


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
