"""The one place where workflow types, queues, search attributes and ids are named."""

from __future__ import annotations

import hashlib
from enum import StrEnum

ORCHESTRATION_QUEUE = "orchestration"
DATA_QUEUE = "data"
EMERGENCY_QUEUE = "emergency"


def system_queue(system: str) -> str:
    """Return the task queue of one vendor: a Temporal rate limit belongs to a queue."""
    return f"system.{system}"


WAITING_FOR_RECONNECTION = "waiting_for_reconnection"
"""The `Outcome` of a run that waits until its integration is connected again."""

WAITING_FOR_APPROVAL = "waiting_for_approval"
"""The `Outcome` of a sync that waits until somebody allows it to remove records."""

RECORD_CHANGED = "record_changed"
"""The signal by which a real-time sync learns that its record changed again."""


class WorkflowType(StrEnum):
    """Type names, which never change: histories and clients hold them."""

    INTEGRATION = "Integration"
    SYNC_REPORT = "SyncReport"
    TRANSFORM_REPORT = "TransformReport"
    QUERY_WAREHOUSE = "QueryWarehouse"
    RUN_WAREHOUSE_ETL = "RunWarehouseEtl"
    ROUTE_NOTIFICATION = "RouteNotification"
    CORRECT_NOTIFICATION = "CorrectNotification"
    REROUTE_UNDELIVERED = "RerouteUndelivered"
    ROUTE_NOTIFICATION_BATCH = "RouteNotificationBatch"
    SYNC_NOTIFICATION_STATES = "SyncNotificationStates"
    WEDDING_TIMELINE = "WeddingTimeline"
    RUN_AUTOMATION = "RunAutomation"
    TRIGGER_AUTOMATIONS = "TriggerAutomations"
    MONITOR_HEALTH = "MonitorHealth"
    ROTATE_KEYS = "RotateKeys"
    RESOLVE_BOOKING_CONFLICT = "ResolveBookingConflict"
    RESOURCE_DAY = "ResourceDay"
    DELIVER_DIGEST = "DeliverDigest"
    RECALL_WEDDING = "RecallWedding"
    RAISE_EMERGENCY = "RaiseEmergency"
    AUDIT_ESCALATION = "AuditEscalation"
    WATCH_WEATHER = "WatchWeather"


class SearchAttribute(StrEnum):
    """Keyword search attributes; they are readable at rest, so only opaque words go in."""

    ORGANIZATION_ID = "OrganizationId"
    INTEGRATION_ID = "IntegrationId"
    PLATFORM = "Platform"
    WEDDING_ID = "WeddingId"
    NOTIFICATION_ID = "NotificationId"
    RUN_KIND = "RunKind"
    OUTCOME = "Outcome"
    PRIORITY = "Priority"


def integration_workflow_id(organization_id: str, integration_id: str) -> str:
    """Return the id of the entity workflow of an integration."""
    return f"integration/{organization_id}/{integration_id}"


def sync_workflow_id(organization_id: str, integration_id: str, sync_id: str) -> str:
    """Return the id of a sync run; the same sync id joins or is refused."""
    return f"sync-report/{organization_id}/{integration_id}/{sync_id}"


def sync_attempt_workflow_id(organization_id: str, integration_id: str, sync_id: str, attempt: str) -> str:
    """Return the id of a plan of a sync, or of carrying one out: each is a run of its own, never joined."""
    return f"{sync_workflow_id(organization_id, integration_id, sync_id)}/{attempt}"


def live_sync_workflow_id(organization_id: str, integration_id: str, report_id: str, record_id: str) -> str:
    """Return the id of the run that brings one changed record over; there is one at a time."""
    return f"{sync_workflow_id(organization_id, integration_id, f'live:{report_id}')}/{record_id}"


def etl_workflow_id(organization_id: str, integration_id: str, etl_id: str) -> str:
    """Return the id of a warehouse load."""
    return f"run-warehouse-etl/{organization_id}/{integration_id}/{etl_id}"


def transform_workflow_id(organization_id: str, transformation_id: str) -> str:
    """Return the id of a transformation; the same transformation id joins it."""
    return f"transform-report/{organization_id}/{transformation_id}"


def query_workflow_id(organization_id: str, integration_id: str, query_id: str) -> str:
    """Return the id of a question to a warehouse; the same query id joins it."""
    return f"query-warehouse/{organization_id}/{integration_id}/{query_id}"


def routing_workflow_id(organization_id: str, routing_id: str) -> str:
    """Return the id of a notification's routing."""
    return f"route-notification/{organization_id}/{routing_id}"


def correction_workflow_id(organization_id: str, routing_id: str) -> str:
    """Return the id of the run that writes a routing's new words over what stands of it."""
    return f"correct-notification/{organization_id}/{routing_id}"


def reroute_workflow_id(organization_id: str, effect: str) -> str:
    """Return the id of the run that sees to an effect its vendor did not deliver."""
    return f"reroute-undelivered/{organization_id}/{effect}"


def batch_workflow_id(organization_id: str, batch_id: str) -> str:
    """Return the id of a batch of notifications."""
    return f"route-notification-batch/{organization_id}/{batch_id}"


def digest_workflow_id(organization_id: str, contact: str, integration_id: str) -> str:
    """Return the id of the entity workflow of a recipient's digest."""
    return f"deliver-digest/{organization_id}/{contact}/{integration_id}"


def state_sync_workflow_id(organization_id: str, sync_id: str) -> str:
    """Return the id of a run that carries states between systems."""
    return f"sync-notification-states/{organization_id}/{sync_id}"


def wedding_workflow_id(organization_id: str, wedding_id: str) -> str:
    """Return the id of the entity workflow of a wedding."""
    return f"wedding-timeline/{organization_id}/{wedding_id}"


def automation_workflow_id(organization_id: str, orchestration_id: str) -> str:
    """Return the id of a run of automations."""
    return f"run-automation/{organization_id}/{orchestration_id}"


def trigger_workflow_id(organization_id: str, event_id: str) -> str:
    """Return the id of what starts automations for an event."""
    return f"trigger-automations/{organization_id}/{event_id}"


def recall_workflow_id(organization_id: str, wedding_id: str, recall_id: str) -> str:
    """Return the id of a recall; the same key joins it."""
    return f"recall-wedding/{organization_id}/{wedding_id}/{recall_id}"


def emergency_workflow_id(organization_id: str, alert_id: str) -> str:
    """Return the id of an emergency; the same alert joins it."""
    return f"raise-emergency/{organization_id}/{alert_id}"


EMERGENCY_DUE = "due"
"""The memo of an emergency that says when its next alert is due; empty once none is."""
AUDIT_WORKFLOW_ID = "audit-escalation/all"
AUDIT_SCHEDULE_ID = "schedule/audit-escalation"
WATCH_SCHEDULES = "schedule/watch-weather/"
"""How the ids of all schedules of the weather watch begin."""


def watch_workflow_id(shard: str) -> str:
    """Return the id of a look at the weather; a schedule appends its own instant."""
    return f"watch-weather/{shard}"


def health_workflow_id(shard: str) -> str:
    """Return the id of a health check run; a schedule appends its own instant."""
    return f"monitor-health/{shard}"


CONFLICT_RUNS = "resolve-booking-conflict"
"""How the ids of all runs that resolve conflicts begin."""


def conflict_workflow_id(organization_id: str, integration_id: str, *conflict_ids: str) -> str:
    """Return the id of the run that resolves a conflict, or of the one that waits for several."""
    key = conflict_ids[0] if len(conflict_ids) == 1 else f"all:{effect_id(*sorted(conflict_ids))}"
    return f"{CONFLICT_RUNS}/{organization_id}/{integration_id}/{key}"


def resource_day_workflow_id(organization_id: str, integration_id: str, resource_id: str, day: str) -> str:
    """Return the id of the owner of a resource's day, such as `2027-06-12`."""
    return f"resource-day/{organization_id}/{integration_id}/{resource_id}/{day}"


HEALTH_SCHEDULES = "schedule/monitor-health/"
"""How the ids of all schedules of health checks begin."""
ALERTS_SHARD = "alerts"
"""Stands in the place of a shard in the ids of the runs that tell alerts."""


def health_schedule_id(shard: str) -> str:
    """Return the id of the schedule that checks one shard of integrations."""
    return f"{HEALTH_SCHEDULES}{shard}"


def fairness_key(organization_id: str, integration_id: str) -> str:
    """Return the fairness key of an integration's work: opaque, and alike for no two organisations."""
    return effect_id(organization_id, integration_id)


def shard_of(organization_id: str, integration_id: str, shards: int) -> int:
    """Return which of `shards` an integration belongs to, from 0; the same for ever while `shards` is the same."""
    return int(effect_id(organization_id, integration_id)[:8], 16) % shards


def rotate_keys_workflow_id(key_id: str) -> str:
    """Return the id of the rotation to a master key; the same key joins it."""
    return f"rotate-keys/{key_id}"


def sync_schedule_id(organization_id: str, integration_id: str) -> str:
    """Return the id of an integration's own sync schedule."""
    return f"schedule/sync-report/{organization_id}/{integration_id}"


def effect_id(*parts: str) -> str:
    """Return the deterministic id of an effect: 32 hex digits over its opaque parts.

    Args:
        parts: organisation, business key, system id, kind, and whatever tells two effects of one kind apart.
    """
    joined = "\x1f".join(parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:32]
