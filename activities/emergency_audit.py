"""Looking, from another process than theirs, at whether running emergencies still escalate."""

from __future__ import annotations

from datetime import UTC, datetime

from temporalio import activity
from temporalio.client import Client, WorkflowExecution

from activities.queues import polls
from contracts.emergency import AuditFindings, AuditRequest, OverdueEmergency
from contracts.names import EMERGENCY_DUE, EMERGENCY_QUEUE, WorkflowType

_RUNNING = f"WorkflowType = '{WorkflowType.RAISE_EMERGENCY}' AND ExecutionStatus = 'Running'"
_MOST = 100


@activity.defn(name="emergency.audit")
async def audit(request: AuditRequest) -> AuditFindings:
    """Compare what running emergencies were to do with what they did, and see whether their worker is there.

    No worker of emergencies is asked: an emergency says in its memo when its next alert is due, and that is past where
    it stands still.

    Idempotent: yes, it changes nothing.
    """
    return await look(activity.client(), request, datetime.now(UTC))


async def look(client: Client, request: AuditRequest, now: datetime) -> AuditFindings:
    """Return what is found at an instant.

    Raises:
        RPCError: Temporal does not answer.
    """
    running = 0
    overdue: list[OverdueEmergency] = []
    async for found in client.list_workflows(_RUNNING):
        running += 1
        due = await _due(found)
        if due is not None and due + request.grace < now and len(overdue) < _MOST:
            _, organization_id, alert_id = found.id.split("/", 2)
            overdue.append(OverdueEmergency(organization_id=organization_id, alert_id=alert_id, due_at=due))
    both = [await polls(client, EMERGENCY_QUEUE, activities=kind) for kind in (False, True)]
    return AuditFindings(running=running, overdue=overdue, worker_polls=all(both))


async def _due(found: WorkflowExecution) -> datetime | None:
    """Return when the next alert is due; the start of a run that has not come so far; None while it is closing."""
    memo = await found.memo()
    said = memo.get(EMERGENCY_DUE)
    if said is None:
        return found.start_time
    return datetime.fromisoformat(str(said)) if said else None
