"""Somebody else's eyes on emergencies: whether they still escalate, told once when they do not."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.alerts import Alert, AlertKind, Severity
    from contracts.emergency import AuditFindings, AuditRequest, AuditResult, OverdueEmergency
    from contracts.names import EMERGENCY_QUEUE, WorkflowType, effect_id
    from workflows import policies
    from workflows.alerts import tell
    from workflows.visibility import tag

_ACTION = f"Look with `wedsync doctor`; start `wedsync worker --queues {EMERGENCY_QUEUE}` if it is not there."
_OPERATOR = "operator"


@workflow.defn(name=WorkflowType.AUDIT_ESCALATION)
class AuditEscalation:
    """Runs by a schedule on the queue of decisions, which other workers poll than the emergencies'."""

    @workflow.run
    async def run(self, request: AuditRequest) -> AuditResult:
        """Return what was found; an overdue emergency and an absent worker are told once each."""
        tag(run_kind="audit", outcome="running")
        before = workflow.get_last_completion_result(AuditResult) or AuditResult()
        found = await workflow.execute_local_activity(
            "emergency.audit", request, result_type=AuditFindings, **policies.local_options(policies.LOCAL)
        )
        absent_since = None if found.worker_polls else before.worker_absent_since or workflow.now()
        for alert in _alerts(found, absent_since, before.worker_absent_since):
            await tell(alert)
        stopped = bool(found.overdue) or absent_since is not None
        tag(outcome="stopped" if stopped else "success")
        return AuditResult(running=found.running, overdue=len(found.overdue), worker_absent_since=absent_since)


def _alerts(found: AuditFindings, absent_since: datetime | None, was_absent: datetime | None) -> list[Alert]:
    alerts = [one for overdue in found.overdue for one in _overdue(overdue)]
    if absent_since is not None:
        alerts.append(_worker(AlertKind.ESCALATION_STOPPED, absent_since))
    elif was_absent is not None:
        alerts.append(_worker(AlertKind.ESCALATION_RESUMED, was_absent))
    return alerts


def _overdue(overdue: OverdueEmergency) -> list[Alert]:
    """Return what the organisation and the operator are told of an emergency that stands still."""
    alert = Alert(
        organization_id=overdue.organization_id,
        kind=AlertKind.ESCALATION_STOPPED,
        severity=Severity.CRITICAL,
        since=overdue.due_at,
        sentence=f"The emergency {overdue.alert_id} does not escalate: its next alert was due and did not go out.",
        action=f"Alert the people of its policy yourself. {_ACTION}",
        parts=[effect_id(overdue.alert_id)],
        falls_back=False,
    )
    return [alert, alert.model_copy(update={"to_operator": True})]


def _worker(kind: AlertKind, since: datetime) -> Alert:
    stopped = kind is AlertKind.ESCALATION_STOPPED
    return Alert(
        organization_id=_OPERATOR,
        kind=kind,
        severity=Severity.CRITICAL,
        since=since,
        sentence="No worker takes emergencies." if stopped else "A worker takes emergencies again.",
        action=_ACTION if stopped else "",
        parts=["worker"],
        incident_id=effect_id("escalation", since.isoformat()),
        to_operator=True,
    )
