"""A stage for automations: real workflows on a skipped clock, real decisions, and systems that keep a ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities import automation_starts
from activities.automations import Automations, refused
from activities.boundary import as_application_error
from activities.connectors.registry import connector_class
from activities.ports.manifest import Capability
from activities.transform.automation_actions import compose
from activities.transform.automation_check import Available, Surroundings, problems
from activities.transform.automation_match import matches
from contracts.actions import ActionAnswer, ActionTaken
from contracts.automation import AutomationDefinition, WorkflowOrchestration
from contracts.automation_check import AutomationCheck
from contracts.automation_run import StepRecord, WorkflowResult
from contracts.automation_steps import (
    ActionAccount,
    AutomationRunKey,
    ComposeAction,
    FindInstant,
    FoundInstant,
    Judge,
    Judgement,
    NotificationKey,
    TriggerEvent,
    Triggering,
)
from contracts.effects import (
    EffectOutcome,
    EffectSighting,
    EffectStep,
    PlanRouting,
    RetractOutcome,
    RetractStatus,
    RoutingPlan,
    Sighting,
    StandingEffect,
    TargetPlan,
)
from contracts.errors import Permanent, WedSyncError
from contracts.names import ORCHESTRATION_QUEUE
from contracts.notification import CrossSystemRouting, DeliveryStatus
from tests.support.temporal import polling, real_time, time_skipping
from workflows.route_notification import RouteNotification
from workflows.run_automation import RunAutomation

ORGANIZATION = "lumen-studios"
QUEUES = ("system.asana", "system.email", "system.hubspot", "system.slack", "system.tave")
COUPLE = {"participantId": "couple", "role": "couple", "email": "anna.fisher@example.com"}
WEDDING = {"weddingId": "wed-1001", "weddingDate": "2031-06-12", "timeZone": "Europe/London"}


def available(*platforms: str) -> list[Available]:
    """Return connected integrations named `<platform>-main`, with their manifests' capabilities."""
    manifests = [connector_class(name).manifest for name in platforms]
    return [Available(f"{one.system}-main", one.system, one.family, one.capabilities) for one in manifests]


AVAILABLE = available("email", "hubspot", "slack", "tave", "asana")


def action(action_id: str, kind: str = "create_task", **fields: Any) -> dict[str, Any]:
    """Return an action, whose task or message is named like it."""
    parameters = {"send_email": {"message": action_id}, "send_message": {"message": action_id, "channelId": "C0OPS"}}
    given = {"actionId": action_id, "type": kind, "parameters": parameters.get(kind, {"taskType": action_id})}
    return {**given, **fields}


def step(step_id: str, *actions: dict[str, Any], on_failure: str = "stop", **fields: Any) -> dict[str, Any]:
    """Return a step that carries actions out side by side."""
    group = {"coordinationId": step_id, "actions": list(actions), "onFailure": on_failure}
    return {"stepId": step_id, **({"actions": group} if actions else {}), **fields}


def chain(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a chain; steps that name no other follow one another."""
    ids = [one["stepId"] for one in steps]
    linked = [
        one if one.get("branch") or "nextStep" in one or following is None else {**one, "nextStep": following}
        for one, following in zip(steps, [*ids[1:], None], strict=True)
    ]
    return {"chainId": "chain", "name": "A chain", "trigger": "manual", "steps": linked, **fields}


def orchestration(*chains: dict[str, Any], **fields: Any) -> WorkflowOrchestration:
    """Return what a run is started with."""
    return WorkflowOrchestration.model_validate(
        {
            "orchestrationId": f"a-{uuid4().hex}",
            "organizationId": ORGANIZATION,
            "weddingId": "wed-1001",
            "wedding": WEDDING,
            "participants": [COUPLE],
            "chains": list(chains),
            **fields,
        }
    )


class FakeSystems:
    """Systems that do what they are told once, refuse what a test says, and take tasks and messages back."""

    def __init__(self, environment: WorkflowEnvironment | None = None) -> None:
        self._environment = environment
        self.ledger: dict[str, StandingEffect] = {}
        self.applied: list[tuple[str, datetime]] = []
        self.asked: Counter[str] = Counter()
        self.retracted: list[str] = []
        self.trouble: dict[str, list[WedSyncError]] = {}
        self.running: set[str] = set()
        self.routings: dict[str, CrossSystemRouting] = {}
        self.definitions: list[AutomationDefinition] = []
        self._verbs = Automations(None, None, None)  # type: ignore[arg-type]

    def activities(self) -> list[Any]:
        """Return the verbs under their own names."""
        return [
            *(self.begin, self.compose, self.judge, self.instant, self.account, self.ended),
            *(self.plan, self.apply_effect, self.look_for_effect, self.retract, self.match),
            *(automation_starts.start, automation_starts.tell),
        ]

    @property
    def done(self) -> list[str]:
        """The words of what was done, in order."""
        return [words for words, _ in self.applied]

    def refuses(self, words: str, *errors: WedSyncError) -> None:
        """Have a system refuse what carries these words."""
        self.trouble[words] = list(errors) or [Permanent("vendor_refused", "The vendor refuses it.")]

    @activity.defn(name="automations.begin")
    async def begin(self, asked: WorkflowOrchestration) -> None:
        found = problems(asked, Surroundings(AVAILABLE, asked.participants))
        if found:
            raise as_application_error(refused(AutomationCheck(problems=found)))
        self.running.add(asked.orchestration_id)

    @activity.defn(name="automations.ended")
    async def ended(self, key: AutomationRunKey) -> None:
        self.running.discard(key.orchestration_id)

    @activity.defn(name="automations.match")
    async def match(self, event: TriggerEvent) -> Triggering:
        told = [AutomationRunKey(organization_id=event.organization_id, orchestration_id=one) for one in self.running]
        return Triggering(starts=matches(self.definitions, event), tell=told)

    @activity.defn(name="automations.compose")
    async def compose(self, request: ComposeAction) -> CrossSystemRouting:
        return compose(request, AVAILABLE)

    @activity.defn(name="automations.judge")
    async def judge(self, request: Judge) -> Judgement:
        return await self._verbs.judge(request)

    @activity.defn(name="automations.instant")
    async def instant(self, request: FindInstant) -> FoundInstant:
        return await self._verbs.instant(request)

    @activity.defn(name="automations.account")
    async def account(self, key: NotificationKey) -> ActionAccount:
        mine = [one for one in self.ledger.values() if one.notification_id == key.notification_id]
        return ActionAccount(effects=mine, attempts=len(mine))

    @activity.defn(name="notify.plan")
    async def plan(self, request: PlanRouting) -> RoutingPlan:
        routing = request.routing
        [target] = routing.target_systems
        self.routings[routing.routing_id] = routing
        words = routing.source_notification
        effect = EffectStep(
            effect_id=routing.routing_id,
            organization_id=routing.organization_id,
            integration_id=target.integration_id,
            system=target.system_type,
            kind="thing.create",
            payload={"words": words.type if target.intent == "task" else words.message},
            notification_id=words.notification_id,
        )
        return RoutingPlan(targets=[TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=[effect])])

    @activity.defn(name="notify.apply_effect")
    async def apply_effect(self, effect: EffectStep) -> EffectOutcome:
        words = str(effect.payload["words"])
        self.asked[words] += 1
        waiting = self.trouble.get(words, [])
        if waiting:
            raise as_application_error(waiting.pop(0))
        at = await self._environment.get_current_time() if self._environment else datetime.now(UTC)
        if effect.effect_id not in self.ledger:
            self.applied.append((words, at))
        about = {name: getattr(effect, name) for name in StandingEffect.model_fields if hasattr(effect, name)}
        self.ledger[effect.effect_id] = StandingEffect(**about, workflow_id="run", remote_id=words, applied_at=at)
        return EffectOutcome(applied_at=at)

    @activity.defn(name="notify.look_for_effect")
    async def look_for_effect(self, step: EffectStep) -> EffectSighting:
        standing = self.ledger.get(step.effect_id)
        if standing is None:
            return EffectSighting(sighting=Sighting.ABSENT)
        outcome = EffectOutcome(remote_id=standing.remote_id, applied_at=standing.applied_at)
        return EffectSighting(sighting=Sighting.STANDS, outcome=outcome)

    @activity.defn(name="notify.retract")
    async def retract(self, effect: StandingEffect) -> RetractOutcome:
        if Capability.EMAIL in connector_class(effect.system).manifest.capabilities:
            return RetractOutcome(status=RetractStatus.NOT_REVERSIBLE)
        self.retracted.append(str(effect.remote_id))
        return RetractOutcome(status=RetractStatus.RETRACTED)


class Stage:
    """A server, and workers on it."""

    def __init__(self, environment: WorkflowEnvironment, systems: FakeSystems) -> None:
        self.environment = environment
        self.systems = systems

    async def start(self, asked: WorkflowOrchestration) -> WorkflowHandle[Any, WorkflowResult]:
        """Start a run."""
        return await self.environment.client.start_workflow(
            RunAutomation.__name__,
            asked,
            id=f"run-automation/{ORGANIZATION}/{asked.orchestration_id}",
            task_queue=ORCHESTRATION_QUEUE,
            result_type=WorkflowResult,
        )

    async def run(self, *chains: dict[str, Any], **fields: Any) -> WorkflowResult:
        """Run chains to their end."""
        return await (await self.start(orchestration(*chains, **fields))).result()

    async def answer(self, handle: WorkflowHandle[Any, Any], word: str, **fields: Any) -> ActionAnswer:
        """Answer as a person."""
        given = {
            "eventId": uuid4().hex,
            "actionId": word,
            "actionType": word,
            "notificationId": "none",
            "system": "slack",
            "integrationId": "slack-main",
            "actorId": "planner",
            "occurredAt": (await self.environment.get_current_time()).isoformat(),
            **fields,
        }
        action_taken = ActionTaken.model_validate(given)
        return await handle.execute_update("take_action", action_taken, result_type=ActionAnswer)


@asynccontextmanager
async def stage(*more: type, skipping: bool = True) -> AsyncIterator[Stage]:
    """Yield a stage on a server of its own."""
    async with time_skipping() if skipping else real_time() as environment:
        here = Stage(environment, FakeSystems(environment))
        workflows = [RunAutomation, RouteNotification, *more]
        async with polling(environment.client, workflows, here.systems.activities(), *QUEUES):
            yield here


def steps_of(result: WorkflowResult, chain_id: str = "chain") -> dict[str, StepRecord]:
    """Return a chain's steps by id."""
    [found] = [one for one in result.results if one.workflow_id == chain_id]
    return {one.step_id: one for one in found.steps}


def statuses(result: WorkflowResult, chain_id: str = "chain") -> dict[str, str]:
    """Return what became of a chain's steps."""
    return {name: one.status.value for name, one in steps_of(result, chain_id).items()}
