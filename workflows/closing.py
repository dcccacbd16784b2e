"""The end of an emergency: messages corrected, calls taken back, everybody who was alerted told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from contracts.effects import Correction, EffectOutcome, EffectStep, StandingEffect
    from contracts.emergency import (
        AlertDelivery,
        ClosingPlan,
        ClosingResult,
        EmergencyAlert,
        EmergencyOutcome,
        EmergencyState,
        PlanClosing,
    )
    from contracts.errors import ErrorKind
    from contracts.names import EMERGENCY_QUEUE
    from contracts.notification import DeliveryStatus
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.effects import correct_effect, retract_effect
    from workflows.visibility import NO_ANSWER, detail_of

_LOOK_AGAIN = timedelta(seconds=2)
_LOOKS = 8
"""Together longer than one attempt of a call: what is with a vendor when it ends is found."""


class Closing:
    """Tells everybody once.

    Args:
        alert: the emergency.
        state: how it ended.
    """

    def __init__(self, alert: EmergencyAlert, state: EmergencyState) -> None:
        self._alert = alert
        self._state = state
        self._done: set[str] = set()

    async def run(self) -> list[ClosingResult]:
        """Return what became of every effect that stood; nothing where nobody took it."""
        if self._state.outcome is EmergencyOutcome.EXHAUSTED:
            return []
        found: list[ClosingResult] = []
        for look in range(_LOOKS):
            plan = await self._plan(look)
            found += await asyncio.gather(*self._work(plan))
            if look == _LOOKS - 1 or not (plan.in_flight or (look == 0 and self._unanswered())):
                break
            await workflow.sleep(_LOOK_AGAIN, summary="Until calls that were with a vendor have ended")
        return found

    def _unanswered(self) -> set[tuple[int, str]]:
        """Return the deliveries whose calls may be on their way to a vendor."""
        held = (one for one in self._state.deliveries if one.status is DeliveryStatus.HELD)
        return {(one.repetition, one.system_id) for one in held if one.error is None}

    async def _plan(self, look: int) -> ClosingPlan:
        later = self._unanswered() if look == 0 else set()
        reached = (
            one.system_id
            for one in self._state.deliveries
            if _perhaps_reached(one) and (one.repetition, one.system_id) not in later
        )
        request = PlanClosing(
            alert=self._alert,
            state=self._state.model_copy(update={"deliveries": []}),
            alerted=list(dict.fromkeys(reached)),
            last_look=look == _LOOKS - 1,
            occurred_at=workflow.now(),
        )
        plan: ClosingPlan = await workflow.execute_local_activity(
            "emergency.plan_closing",
            request,
            result_type=ClosingPlan,
            **policies.local_options(policies.EMERGENCY_PLAN),
        )
        return plan

    def _work(self, plan: ClosingPlan) -> list[Awaitable[ClosingResult]]:
        """Return what is still to do; what was tried before is not tried again."""
        work: list[Awaitable[ClosingResult]] = []
        work += [self._retract(one) for one in plan.retractions if self._first(one.effect_id)]
        work += [self._correct(one) for one in plan.corrections if self._first(one.effect.effect_id)]
        if self._state.outcome is not EmergencyOutcome.SUPERSEDED:
            work += [self._tell(one) for one in plan.notices if self._first(one.effect_id)]
        return work

    def _first(self, effect_id: str) -> bool:
        known = effect_id in self._done
        self._done.add(effect_id)
        return not known

    async def _retract(self, effect: StandingEffect) -> ClosingResult:
        call = retract_effect(effect, SyncPriority.CRITICAL, policies.EMERGENCY, EMERGENCY_QUEUE)
        return await _ended(effect, "retracted", call)

    async def _correct(self, correction: Correction) -> ClosingResult:
        call = correct_effect(correction, SyncPriority.CRITICAL, policies.EMERGENCY, EMERGENCY_QUEUE)
        return await _ended(correction.effect, "corrected", call)

    async def _tell(self, step: EffectStep) -> ClosingResult:
        call = workflow.execute_activity(
            "notify.apply_effect",
            step,
            result_type=EffectOutcome,
            task_queue=EMERGENCY_QUEUE,
            summary=f"{step.system}: {step.kind}",
            priority=policies.connection_priority(SyncPriority.CRITICAL, step.organization_id, step.integration_id),
            **policies.EMERGENCY.options(),
        )
        return await _ended(step, "told", call)


async def _ended(effect: StandingEffect | EffectStep, word: str, call: Awaitable[object]) -> ClosingResult:
    try:
        await call
    except ActivityError as error:
        return ClosingResult(kind=effect.kind, system=effect.system, done="failed", error=detail_of(error))
    return ClosingResult(kind=effect.kind, system=effect.system, done=word)


def _perhaps_reached(delivery: AlertDelivery) -> bool:
    """Return whether the people of a delivery may have heard of it: also where no answer came, or not yet."""
    error = delivery.error
    unknown = error is None or error.kind is ErrorKind.OUTCOME_UNKNOWN or error.code == NO_ANSWER
    return delivery.status is DeliveryStatus.SUCCESS or unknown
