"""Health alerts from the check to the message: on a change, together, once, and over when it is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.client import Client, WorkflowFailureError

from activities.alerts import Alerts
from activities.boundary import as_application_error
from activities.security.envelope import MasterKey
from activities.storage.alert_routes import AlertRouteStore
from contracts.alerts import Alert, AlertPlan, AlertRoute, AlertRoutes, DueAlerts
from contracts.effects import PlanRouting, RoutingPlan
from contracts.errors import Permanent, Transient
from contracts.health import HealthRules, MonitorHealthInput, MonitorHealthResult
from contracts.names import ORCHESTRATION_QUEUE, routing_workflow_id
from tests.orchestration.test_route_notification import FakeNotify
from tests.support.health import Checks
from tests.support.temporal import polling, time_skipping
from workers.composition import build_health, verbs
from workflows.monitor_health import MonitorHealth
from workflows.route_notification import RouteNotification

DOWN = Transient("vendor_unavailable", "tave answered 503 to probe.", system="tave")
CHAT = AlertRoute.model_validate({"integrationId": "slack-main", "channels": [{"channelId": "C0OPS"}]})


class Chat(FakeNotify):
    """Takes the alerts, and remembers in which words."""

    def __init__(self) -> None:
        super().__init__()
        self.words: Counter[tuple[str, str]] = Counter()

    @activity.defn(name="notify.plan")
    async def plan(self, request: PlanRouting) -> RoutingPlan:
        notification = request.routing.source_notification
        self.words[notification.type, notification.message.splitlines()[0]] += 1
        return RoutingPlan(targets=[])


class Stage:
    """Two integrations of a booking system, the chat that alerts go to, and rounds of checks."""

    def __init__(self, checks: Checks, client: Client, chat: Chat) -> None:
        self.checks, self._client, self.chat = checks, client, chat
        self.dies = False
        self.started: set[str] = set()

    @property
    def told(self) -> list[str]:
        return [kind for kind, _ in self.chat.words.elements()]

    async def rounds(self, count: int) -> None:
        for _ in range(count):
            await self._run(shard=0, shards=1)
            await self._run(tell=True)
        await self.delivered()

    async def delivered(self) -> None:
        """Wait for the deliveries, which nobody else waits for."""
        for workflow_id in self.started:
            await self._client.get_workflow_handle(workflow_id).result()

    async def tell_and_die(self) -> None:
        """Have the run that tells end after the alert went out and before that is noted."""
        self.dies = True
        try:
            await self._run(tell=True)
        except WorkflowFailureError:
            self.dies = False

    async def check_only(self, count: int) -> None:
        for _ in range(count):
            await self._run(shard=0, shards=1)

    async def _run(self, **asked: Any) -> MonitorHealthResult:
        return await self._client.execute_workflow(
            MonitorHealth.run, MonitorHealthInput(**asked), id=f"health-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
        )

    def fail(self, *names: str) -> None:
        self.checks.vendors.failing = dict.fromkeys(names, DOWN)


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    checks, chat = Checks(folder, HealthRules(settle_s=0)), Chat()
    await checks.connect("tave-1", "tave-2", platform="tave")
    await checks.connect("slack-main")
    routes = AlertRouteStore(checks.database, MasterKey(bytes(32)))
    await routes.put(AlertRoutes(organization_id="lumen", routes=[CHAT]))
    access: Any = checks.vendors
    health = build_health(checks.database, checks.connections, access, checks.rules)
    alerts = Alerts(routes, checks.connections)
    async with time_skipping() as environment:
        built = Stage(checks, environment.client, chat)

        @activity.defn(name="health.told")
        async def told(due: DueAlerts) -> None:
            if built.dies:
                raise as_application_error(Permanent("killed", "The run ends here."))
            await health.told(due)

        @activity.defn(name="health.due")
        async def due() -> DueAlerts:
            # The skipped clock is ahead of this machine's.
            return DueAlerts(due=await checks.incidents.collect(datetime.now(UTC) + timedelta(days=9)))

        @activity.defn(name="alerts.plan")
        async def plan(alert: Alert) -> AlertPlan:
            planned = await alerts.plan(alert)
            if planned.routing is not None:
                built.started.add(routing_workflow_id("lumen", planned.routing.routing_id))
            return planned

        mine = [verb for verb in verbs(health) if verb.__name__ not in {"due", "told"}]
        activities = [*mine, due, told, plan, *chat.activities()]
        workflows = [MonitorHealth, RouteNotification]
        async with polling(environment.client, workflows, activities, "system.slack", "system.tave"):
            yield built
    await checks.aclose()


async def test_nothing_is_told_while_nothing_changes(tmp_path: Path):
    async with stage(tmp_path) as health:
        await health.rounds(3)
    assert health.told == []


async def test_integrations_that_fail_together_are_told_once_and_their_recovery_once(tmp_path: Path):
    async with stage(tmp_path) as health:
        health.fail("tave-1", "tave-2")
        await health.rounds(4)
        assert health.told == ["integration_unhealthy"]
        health.fail()
        await health.rounds(4)
        assert health.told == ["integration_unhealthy", "integration_recovered"]


async def test_one_odd_check_is_told_to_nobody(tmp_path: Path):
    async with stage(tmp_path) as health:
        health.fail("tave-1")
        await health.rounds(1)
        health.fail()
        await health.rounds(2)
    assert health.told == []


async def test_a_run_that_is_killed_after_it_told_does_not_tell_twice(tmp_path: Path):
    async with stage(tmp_path) as health:
        health.fail("tave-1")
        await health.check_only(2)
        for _ in range(2):
            await health.tell_and_die()
        await health.rounds(2)
    assert health.told == ["integration_unhealthy"]
