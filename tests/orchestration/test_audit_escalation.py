"""AuditEscalation: what stands still is told once to whom it concerns, and nothing else is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from contracts.alerts import Alert, AlertPlan
from contracts.emergency import AuditFindings, AuditRequest, AuditResult, OverdueEmergency
from contracts.names import ORCHESTRATION_QUEUE
from contracts.notification import CrossSystemRouting, SourceNotification, TargetSystem
from tests.orchestration.test_route_notification import FakeNotify
from tests.support.temporal import polling, time_skipping
from workflows.audit_escalation import AuditEscalation
from workflows.route_notification import RouteNotification

DUE = datetime(2027, 6, 12, 14, tzinfo=UTC)


class FakeAudit:
    """Finds what it is told to, and remembers the alerts by their ids."""

    def __init__(self, *, overdue: bool = False, worker_polls: bool = True) -> None:
        self.overdue = overdue
        self.worker_polls = worker_polls
        self.alerts: list[Alert] = []
        self.notify = FakeNotify()

    def activities(self) -> list[Any]:
        return [self.audit, self.plan, *self.notify.activities()]

    @activity.defn(name="emergency.audit")
    async def audit(self, request: AuditRequest) -> AuditFindings:
        found = OverdueEmergency(organization_id="lumen-studios", alert_id="alert-1", due_at=DUE)
        return AuditFindings(running=1, overdue=[found] if self.overdue else [], worker_polls=self.worker_polls)

    @activity.defn(name="alerts.plan")
    async def plan(self, alert: Alert) -> AlertPlan:
        self.alerts.append(alert)
        notification = SourceNotification(
            notification_id=alert.alert_id, type=alert.kind, title="Stopped", message=alert.sentence
        )
        return AlertPlan(
            routing=CrossSystemRouting(
                routing_id=alert.alert_id,
                organization_id=alert.organization_id,
                source_notification=notification,
                target_systems=[TargetSystem(system_id="ops", system_type="slack", integration_id="slack-ops")],
            )
        )


@asynccontextmanager
async def stage(fake: FakeAudit) -> AsyncIterator[WorkflowEnvironment]:
    workflows = [AuditEscalation, RouteNotification]
    async with (
        time_skipping() as environment,
        polling(environment.client, workflows, fake.activities(), "system.slack"),
    ):
        yield environment


async def audited(environment: WorkflowEnvironment) -> WorkflowHandle[Any, AuditResult]:
    return await environment.client.start_workflow(
        AuditEscalation.run,
        AuditRequest(),
        id=f"audit-{uuid4()}",
        task_queue=ORCHESTRATION_QUEUE,
        execution_timeout=timedelta(minutes=5),
    )


async def test_an_emergency_that_stands_still_is_told_once_to_its_organisation_and_to_the_operator():
    fake = FakeAudit(overdue=True)
    async with stage(fake) as environment:
        for _ in range(3):
            result = await (await audited(environment)).result()
    assert result.overdue == 1
    assert {(one.to_operator, one.severity) for one in fake.alerts} == {(False, "critical"), (True, "critical")}
    assert len({one.alert_id for one in fake.alerts}) == 2
    assert sum(fake.notify.ledger.values()) == 4


async def test_an_absent_worker_is_told_to_the_operator():
    fake = FakeAudit(worker_polls=False)
    async with stage(fake) as environment:
        result = await (await audited(environment)).result()
    assert result.worker_absent_since is not None
    [alert] = fake.alerts
    assert alert.to_operator
    assert "--queues emergency" in alert.action


async def test_while_everything_escalates_nobody_is_told_anything():
    fake = FakeAudit()
    async with stage(fake) as environment:
        result = await (await audited(environment)).result()
    assert (result.running, result.overdue, result.worker_absent_since) == (1, 0, None)
    assert fake.alerts == []
