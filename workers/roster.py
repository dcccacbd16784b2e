"""Which queue runs what, with how many slots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from importlib.metadata import version

from temporalio.client import Client
from temporalio.worker import Worker

from activities.boundary import BoundaryInterceptor
from activities.connectors.registry import CONNECTORS
from activities.heartbeat import BEAT_S, HeartbeatInterceptor
from contracts.names import DATA_QUEUE, EMERGENCY_QUEUE, ORCHESTRATION_QUEUE, system_queue
from workers.composition import Parts
from workers.sandbox import workflow_runner
from workflows.audit_escalation import AuditEscalation
from workflows.correct_notification import CorrectNotification
from workflows.deliver_digest import DeliverDigest
from workflows.integration import Integration
from workflows.monitor_health import MonitorHealth
from workflows.query_warehouse import QueryWarehouse
from workflows.raise_emergency import RaiseEmergency
from workflows.recall_wedding import RecallWedding
from workflows.reroute_undelivered import RerouteUndelivered
from workflows.resolve_booking_conflict import ResolveBookingConflict
from workflows.resource_day import ResourceDay
from workflows.rotate_keys import RotateKeys
from workflows.route_notification import RouteNotification
from workflows.route_notification_batch import RouteNotificationBatch
from workflows.run_automation import RunAutomation
from workflows.run_warehouse_etl import RunWarehouseEtl
from workflows.sync_notification_states import SyncNotificationStates
from workflows.sync_report import SyncReport
from workflows.transform_report import TransformReport
from workflows.trigger_automations import TriggerAutomations
from workflows.watch_weather import WatchWeather
from workflows.wedding_timeline import WeddingTimeline

DECISIONS: list[type] = [
    AuditEscalation,
    CorrectNotification,
    DeliverDigest,
    Integration,
    MonitorHealth,
    QueryWarehouse,
    RerouteUndelivered,
    ResolveBookingConflict,
    ResourceDay,
    RecallWedding,
    RotateKeys,
    RouteNotification,
    RouteNotificationBatch,
    RunAutomation,
    RunWarehouseEtl,
    SyncNotificationStates,
    SyncReport,
    TransformReport,
    TriggerAutomations,
    WatchWeather,
    WeddingTimeline,
]
EMERGENCIES: list[type] = [RaiseEmergency]
WORKFLOWS = [*DECISIONS, *EMERGENCIES]
_WORKFLOWS_OF: dict[str, list[type]] = {ORCHESTRATION_QUEUE: DECISIONS, EMERGENCY_QUEUE: EMERGENCIES}
GRACE = timedelta(seconds=8)
_DATA_SLOTS = 2
_ORCHESTRATION_SLOTS = 20
_SYSTEM_SLOTS = 100
"""Vendor calls mostly wait: with a few at most for one connection, hanging ones leave slots for the healthy."""
_WORKFLOW_SLOTS = 4
_CACHED_WORKFLOWS = 500
_STICKY = timedelta(seconds=5)
"""How long a run waits for the worker that knows it before another one takes it up."""
_STICKY_OF_EMERGENCIES = timedelta(seconds=1)
"""How long an emergency does."""
_SLOTS = {ORCHESTRATION_QUEUE: _ORCHESTRATION_SLOTS, DATA_QUEUE: _DATA_SLOTS}
_SOURCES = {"wedsync"}
_PACKAGE = "wedsync-orchestrator"


def queues() -> list[str]:
    """Return every queue of the house: decisions, emergencies, heavy data, and one per vendor."""
    return [ORCHESTRATION_QUEUE, EMERGENCY_QUEUE, DATA_QUEUE, *(system_queue(name) for name in systems())]


def systems() -> list[str]:
    """Return every vendor that has a queue."""
    return sorted(CONNECTORS.keys() - _SOURCES)


def workers(client: Client, parts: Parts, only: Sequence[str] = ()) -> list[Worker]:
    """Return one worker per queue.

    Args:
        client: connected to Temporal.
        parts: every activity, of which a workflow chooses the queue, and who watches them.
        only: the queues to poll, all when empty.
    """
    return [_worker(client, parts, queue) for queue in queues() if not only or queue in only]


def _worker(client: Client, parts: Parts, queue: str) -> Worker:
    decisions = _WORKFLOWS_OF.get(queue, [])
    return Worker(
        client,
        task_queue=queue,
        workflows=decisions,
        activities=parts.activities,
        workflow_runner=workflow_runner(),
        interceptors=[BoundaryInterceptor(parts.watchers), HeartbeatInterceptor()],
        # The default hashes the bytecode of every loaded module, which delays a start by seconds.
        build_id=f"{_PACKAGE}@{version(_PACKAGE)}",
        max_concurrent_activities=_SLOTS.get(queue, _SYSTEM_SLOTS),
        max_concurrent_workflow_tasks=_WORKFLOW_SLOTS if decisions else None,
        max_cached_workflows=_CACHED_WORKFLOWS if decisions else 0,
        sticky_queue_schedule_to_start_timeout=_STICKY_OF_EMERGENCIES if queue == EMERGENCY_QUEUE else _STICKY,
        graceful_shutdown_timeout=GRACE,
        # Resume points are only as fresh as the last heartbeat that was really sent.
        default_heartbeat_throttle_interval=timedelta(seconds=BEAT_S),
        max_heartbeat_throttle_interval=timedelta(seconds=BEAT_S),
    )
