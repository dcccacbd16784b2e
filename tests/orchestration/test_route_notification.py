"""RouteNotification: what it decides about targets that answer, refuse, wait or stand by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.boundary import as_application_error
from contracts.effects import EffectOutcome, EffectStep, PlanRouting, RoutingPlan, TargetPlan
from contracts.errors import Permanent, Transient, WedSyncError
from contracts.names import ORCHESTRATION_QUEUE
from contracts.notification import CrossSystemRouting, DeliveryStatus, OverallStatus, RoutingResult
from tests.support.temporal import polling, time_skipping
from workflows.route_notification import RouteNotification

EXAMPLE = json.loads((Path(__file__).parents[2] / "examples" / "route-notification.json").read_text())
QUEUES = ("system.hubspot", "system.tave", "system.slack")


class FakeNotify:
    """Plans two effects for every target and keeps a ledger of those applied."""

    def __init__(self) -> None:
        self.ledger: Counter[str] = Counter()
        self.decisions: dict[str, TargetPlan] = {}
        self.trouble: dict[str, list[WedSyncError]] = {}

    def activities(self) -> list[Any]:
        return [self.plan, self.apply_effect]

    @activity.defn(name="notify.plan")
    async def plan(self, request: PlanRouting) -> RoutingPlan:
        return RoutingPlan(targets=[self._planned(request.routing, item) for item in request.routing.target_systems])

    def _planned(self, routing: CrossSystemRouting, target: Any) -> TargetPlan:
        steps = [
            EffectStep(
                effect_id=f"{target.system_id}-{number}",
                organization_id=routing.organization_id,
                integration_id=target.integration_id,
                system=target.system_type,
                kind="note.create",
            )
            for number in range(2)
        ]
        planned = TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=steps)
        decided = self.decisions.get(target.system_id)
        return planned if decided is None else planned.model_copy(update=dict(decided))

    def decide(self, system_id: str, status: DeliveryStatus, reason: str) -> None:
        target = next(
            item for item in CrossSystemRouting.model_validate(EXAMPLE).target_systems if item.system_id == system_id
        )
        plan = TargetPlan(target=target, status=status, reason=reason)
        self.decisions[system_id] = plan.model_copy(update={"steps": self._steps_of(system_id)})

    def _steps_of(self, system_id: str) -> list[EffectStep]:
        routing = CrossSystemRouting.model_validate(EXAMPLE)
        target = next(item for item in routing.target_systems if item.system_id == system_id)
        return self._planned(routing, target).steps

    @activity.defn(name="notify.apply_effect")
    async def apply_effect(self, step: EffectStep) -> EffectOutcome:
        waiting = self.trouble.get(step.effect_id, [])
        if waiting:
            raise as_application_error(waiting.pop(0))
        self.ledger[step.effect_id] += 1
        return EffectOutcome(remote_id=f"remote-{step.effect_id}")


@asynccontextmanager
async def stage(fake: FakeNotify) -> AsyncIterator[WorkflowEnvironment]:
    async with (
        time_skipping() as environment,
        polling(environment.client, [RouteNotification], fake.activities(), *QUEUES),
    ):
        yield environment


async def route(environment: WorkflowEnvironment, **changes: Any) -> WorkflowHandle[Any, RoutingResult]:
    routing = CrossSystemRouting.model_validate({**EXAMPLE, **changes})
    return await environment.client.start_workflow(
        RouteNotification.run, routing, id=f"route-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
    )


async def routed(fake: FakeNotify, **changes: Any) -> RoutingResult:
    async with stage(fake) as environment:
        return await (await route(environment, **changes)).result()


def refused(code: str = "channel_gone") -> Permanent:
    return Permanent(code, "The vendor refuses the message.")


async def test_every_target_gets_each_of_its_effects_once():
    fake = FakeNotify()
    result = await routed(fake)
    assert result.overall_status is OverallStatus.SUCCESS
    assert fake.ledger == {f"{name}-{number}": 1 for name in ("crm", "booking", "team-chat") for number in range(2)}


async def test_one_target_that_refuses_leaves_the_others_delivered():
    fake = FakeNotify()
    fake.trouble = {"team-chat-0": [refused()]}
    result = await routed(fake)
    statuses = {item.system_id: (item.status, item.reason) for item in result.system_results}
    assert result.overall_status is OverallStatus.PARTIAL_FAILURE
    assert statuses == {"crm": ("success", ""), "booking": ("success", ""), "team-chat": ("failed", "channel_gone")}


async def test_a_vendor_that_is_away_for_a_while_is_tried_until_it_answers():
    fake = FakeNotify()
    fake.trouble = {"crm-0": [Transient("vendor_away", "The vendor does not answer.") for _ in range(5)]}
    assert (await routed(fake)).overall_status is OverallStatus.SUCCESS
    assert fake.ledger["crm-0"] == 1


async def test_a_target_kept_away_by_a_rule_is_skipped_with_its_reason_and_is_no_failure():
    fake = FakeNotify()
    fake.decide("team-chat", DeliveryStatus.SKIPPED, "rule:urgent-to-chat")
    result = await routed(fake)
    chat = result.system_results[2]
    assert (result.overall_status, chat.status, chat.reason) == ("success", "skipped", "rule:urgent-to-chat")
    assert fake.ledger["team-chat-0"] == 0


async def test_a_paused_integration_holds_its_target_and_the_sum_is_honest():
    fake = FakeNotify()
    fake.decide("crm", DeliveryStatus.HELD, "integration_paused")
    result = await routed(fake)
    assert (result.overall_status, result.system_results[0].status) == ("partial_failure", "held")


async def test_a_failed_target_is_replaced_by_its_standby():
    fake = FakeNotify()
    fake.trouble = {"team-chat-0": [refused()]}
    fake.decide("crm", DeliveryStatus.SKIPPED, "standby")
    result = await routed(fake, errorHandling={"failover": {"team-chat": ["crm"]}})
    assert result.system_results[2].failed_over_to == "crm"
    assert result.overall_status is OverallStatus.SUCCESS
    assert fake.ledger["crm-0"] == 1


async def test_a_standby_stays_untouched_while_its_target_answers():
    fake = FakeNotify()
    fake.decide("crm", DeliveryStatus.SKIPPED, "standby")
    await routed(fake, errorHandling={"failover": {"team-chat": ["crm"]}})
    assert fake.ledger["crm-0"] == 0


async def test_a_routing_that_stops_at_a_failure_holds_what_comes_after_it():
    fake = FakeNotify()
    fake.trouble = {"crm-0": [refused()], "crm-1": [refused()]}
    result = await routed(fake, errorHandling={"onPermanentFailure": "stop"})
    assert [item.status for item in result.system_results] == ["failed", "held", "held"]
    assert sum(fake.ledger.values()) == 0


async def test_when_no_target_is_meant_the_notification_is_skipped():
    fake = FakeNotify()
    for name in ("crm", "booking", "team-chat"):
        fake.decide(name, DeliveryStatus.SKIPPED, "rule:none")
    assert (await routed(fake)).overall_status is OverallStatus.SKIPPED
