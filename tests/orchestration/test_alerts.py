"""Alerts: each goes out once, whoever tells it and however often, and never becomes the teller's failure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from activities.boundary import as_application_error
from contracts.alerts import Alert, AlertKind, AlertPlan
from contracts.errors import Permanent
from contracts.names import ORCHESTRATION_QUEUE, routing_workflow_id
from contracts.notification import CrossSystemRouting, SourceNotification, TargetSystem
from tests.orchestration.test_route_notification import FakeNotify
from tests.support.teller import Teller
from tests.support.temporal import polling, time_skipping
from workflows.route_notification import RouteNotification

SINCE = datetime(2031, 5, 1, 9, tzinfo=UTC)


class FakeAlerts:
    """Routes every alert to one chat."""

    def __init__(self) -> None:
        self.notify = FakeNotify()
        self.routed = True
        self.broken = False

    def activities(self) -> list[Any]:
        return [self.plan, *self.notify.activities()]

    @activity.defn(name="alerts.plan")
    async def plan(self, alert: Alert) -> AlertPlan:
        if self.broken:
            raise as_application_error(Permanent("store_gone", "The store refuses."))
        if not self.routed:
            return AlertPlan()
        notification = SourceNotification(
            notification_id=alert.alert_id, type=alert.kind, title="Alert", message=alert.sentence
        )
        target = TargetSystem(system_id="route-0", system_type="slack", integration_id="slack-ops")
        return AlertPlan(
            routing=CrossSystemRouting(
                routing_id=alert.alert_id,
                organization_id=alert.organization_id,
                source_notification=notification,
                target_systems=[target],
            )
        )


@asynccontextmanager
async def stage(fake: FakeAlerts) -> AsyncIterator[WorkflowEnvironment]:
    async with (
        time_skipping() as environment,
        polling(environment.client, [Teller, RouteNotification], fake.activities(), "system.slack"),
    ):
        yield environment


def an_alert(**changes: Any) -> Alert:
    return Alert(
        organization_id="lumen",
        kind=AlertKind.RECONNECT_REQUIRED,
        since=SINCE,
        integration_ids=["hubspot-main"],
        sentence="The vendor refuses the credential.",
        **changes,
    )


async def told(environment: WorkflowEnvironment, alert: Alert) -> str:
    return await environment.client.execute_workflow(
        Teller.run, alert, id=f"teller-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
    )


async def delivered(environment: WorkflowEnvironment, alert: Alert) -> str:
    handle = environment.client.get_workflow_handle(routing_workflow_id("lumen", alert.alert_id))
    return (await handle.result())["overallStatus"]


async def test_an_alert_told_four_times_by_two_workflows_is_delivered_once():
    fake = FakeAlerts()
    async with stage(fake) as environment:
        for _ in range(2):
            await told(environment, an_alert())
        assert await delivered(environment, an_alert()) == "success"
    assert set(fake.notify.ledger.values()) == {1}


async def test_an_alert_that_no_route_takes_starts_nothing():
    fake = FakeAlerts()
    fake.routed = False
    async with stage(fake) as environment:
        assert await told(environment, an_alert()) == "went on"
    assert not fake.notify.ledger


async def test_routes_that_cannot_be_read_do_not_fail_the_one_who_tells():
    fake = FakeAlerts()
    fake.broken = True
    async with stage(fake) as environment:
        assert await told(environment, an_alert()) == "went on"


@pytest.mark.parametrize(
    "other", [{"organization_id": "other"}, {"since": SINCE.replace(hour=10)}, {"kind": AlertKind.RUN_MISSING}]
)
def test_another_organisation_instant_or_matter_is_another_alert(other: dict[str, Any]):
    assert an_alert().model_copy(update=other).alert_id != an_alert().alert_id
