"""Emergencies on a skipped clock: the real choice of people, vendors that do as they are told, a ledger of both."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.boundary import as_application_error
from activities.transform.emergency_words import while_it_lasts
from activities.transform.escalation import chain_of, channel_of, select
from contracts.effects import (
    Correction,
    EffectOutcome,
    EffectStep,
    RetractOutcome,
    RetractStatus,
    StandingEffect,
    TargetPlan,
)
from contracts.emergency import (
    AlertedTarget,
    ClosingPlan,
    EmergencyResult,
    EmergencyState,
    EscalationPlan,
    PlanClosing,
    PlanEscalation,
)
from contracts.errors import Permanent, Transient
from contracts.names import EMERGENCY_QUEUE, effect_id, emergency_workflow_id
from contracts.notification import DeliveryStatus
from tests.support.temporal import polling, time_skipping
from workflows.raise_emergency import RaiseEmergency

ORGANIZATION = "lumen-studios"


@dataclass(frozen=True)
class Told:
    """One message that a vendor took."""

    at: datetime
    alert_id: str
    repetition: int
    system_id: str


@dataclass
class Vendors:
    """Vendors behind `emergency.plan`, `notify.apply_effect` and what closes an emergency."""

    dead: set[str] = field(default_factory=set)
    """Systems that refuse for good."""
    down: dict[str, float] = field(default_factory=dict)
    """Systems that fail, and how many times."""
    silent: set[str] = field(default_factory=set)
    """Systems that never answer the first call of a repetition."""
    told: list[Told] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first message."""
    closed: list[tuple[str, str]] = field(default_factory=list)
    correctable: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    tries: Counter[str] = field(default_factory=Counter)
    standing: dict[str, StandingEffect] = field(default_factory=dict)

    def activities(self) -> list[Any]:
        return [self.plan, self.plan_closing, self.apply_effect, self.retract, self.correct]

    @activity.defn(name="emergency.plan")
    async def plan(self, request: PlanEscalation) -> EscalationPlan:
        chosen = select(request.alert, None, request.level, request.occurred_at)
        names = [one.system_id for one in chosen.targets]
        names += [name for one in chosen.targets for name in chain_of(one.system_id, chosen.known)]
        known = []
        for name in dict.fromkeys(names):
            target = chosen.known[name]
            step = self._step(request.alert.alert_id, name, request.repetition)
            known.append(
                AlertedTarget(
                    plan=TargetPlan(target=target, status=DeliveryStatus.SUCCESS, steps=[step]),
                    level=chosen.levels[name],
                    channel=channel_of(target),
                    failover=chain_of(name, chosen.known),
                )
            )
        assert while_it_lasts(request.alert, request.repetition).actions
        return EscalationPlan(
            level=chosen.level,
            ack_within=chosen.ack_within,
            last=chosen.last,
            repeat_every=chosen.repeat_every,
            targets=[one.system_id for one in chosen.targets],
            known=known,
        )

    @staticmethod
    def _step(alert_id: str, name: str, repetition: int) -> EffectStep:
        return EffectStep(
            effect_id=effect_id(alert_id, name, str(repetition)),
            organization_id=ORGANIZATION,
            integration_id="chat",
            system="slack",
            kind="message.post",
            payload={"alert": alert_id, "name": name, "repetition": repetition},
        )

    @activity.defn(name="notify.apply_effect")
    async def apply_effect(self, step: EffectStep) -> EffectOutcome:
        name, repetition = str(step.payload["name"]), int(str(step.payload["repetition"]))
        self.tries[step.effect_id] += 1
        if repetition == 0:
            self.closed.append(("told", name))
            return EffectOutcome()
        if name in self.silent and self.tries[step.effect_id] == 1:
            await asyncio.Event().wait()
        key = self.key(str(step.payload["alert"]), name)
        if key in self.dead:
            raise as_application_error(Permanent("gone", "The channel is gone."))
        if self.down.get(key, 0) > 0:
            self.down[key] -= 1
            raise as_application_error(Transient("vendor_unavailable", "The vendor is down.", system="slack"))
        at = activity.info().started_time
        self.heard.set()
        self.told.append(Told(at, str(step.payload["alert"]), repetition, name))
        self.standing[step.effect_id] = StandingEffect(
            effect_id=step.effect_id,
            organization_id=ORGANIZATION,
            integration_id="chat",
            system="slack",
            kind="call.create" if name in self.calls else "message.post",
            object_id=name,
            workflow_id=activity.info().workflow_id or "",
            applied_at=at,
        )
        return EffectOutcome(applied_at=at)

    @activity.defn(name="emergency.plan_closing")
    async def plan_closing(self, request: PlanClosing) -> ClosingPlan:
        mine = [one for one in self.standing.values() if one.workflow_id == activity.info().workflow_id]
        corrections = [
            Correction(effect=one, step=self._step(request.alert.alert_id, str(one.object_id), 0))
            for one in mine
            if one.object_id in self.correctable
        ]
        told = [name for name in request.alerted if name not in self.correctable]
        return ClosingPlan(
            corrections=corrections,
            retractions=[one for one in mine if one.kind == "call.create"],
            notices=[self._step(request.alert.alert_id, name, 0) for name in told],
        )

    @activity.defn(name="notify.retract")
    async def retract(self, effect: StandingEffect) -> RetractOutcome:
        self.closed.append(("retracted", str(effect.object_id)))
        return RetractOutcome(status=RetractStatus.RETRACTED)

    @activity.defn(name="notify.correct")
    async def correct(self, correction: Correction) -> EffectOutcome:
        self.closed.append(("corrected", str(correction.effect.object_id)))
        return EffectOutcome()

    def key(self, alert_id: str, name: str) -> str:
        """Return the name under which a target is dead or down; alike for all alerts."""
        return name

    def names(self, repetition: int = 1) -> list[str]:
        """Return who was told in a repetition, in order."""
        return [one.system_id for one in self.told if one.repetition == repetition]


@asynccontextmanager
async def stage(vendors: Vendors) -> AsyncIterator[WorkflowEnvironment]:
    async with (
        time_skipping() as environment,
        polling(environment.client, [RaiseEmergency], vendors.activities(), EMERGENCY_QUEUE),
    ):
        yield environment


def target(name: str, *failover: str) -> dict[str, Any]:
    return {
        "systemId": name,
        "systemType": "slack",
        "integrationId": "chat",
        "channels": [{"channelId": name}],
        "failover": list(failover),
    }


def level(number: int, seconds: float, *targets: dict[str, Any]) -> dict[str, Any]:
    return {"level": number, "ackWithin": f"PT{seconds}S", "targets": list(targets)}


def alert(*levels: dict[str, Any], alert_id: str = "alert-1", **changes: Any) -> dict[str, Any]:
    return {
        "alertId": alert_id,
        "organizationId": ORGANIZATION,
        "notification": {
            "notificationId": f"n-{alert_id}",
            "type": "weather_emergency",
            "title": "Lightning",
            "message": "Move indoors.",
        },
        "escalation": list(levels),
        **changes,
    }


async def raised(
    environment: WorkflowEnvironment, *levels: dict[str, Any], alert_id: str = "alert-1", **changes: Any
) -> WorkflowHandle[Any, EmergencyResult]:
    return await environment.client.start_workflow(
        RaiseEmergency.__name__,
        alert(*levels, alert_id=alert_id, **changes),
        id=emergency_workflow_id(ORGANIZATION, alert_id),
        task_queue=EMERGENCY_QUEUE,
        result_type=EmergencyResult,
        execution_timeout=timedelta(days=30),
    )


async def state(handle: WorkflowHandle[Any, EmergencyResult]) -> EmergencyState:
    found: EmergencyState = await handle.query("state", result_type=EmergencyState)
    return found
