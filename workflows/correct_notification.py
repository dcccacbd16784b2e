"""New words of a notification, written over what stands of it."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.effects import (
        CorrectedEffect,
        Correction,
        CorrectionReport,
        EffectOutcome,
        EffectStep,
        PlanRouting,
        RoutingPlan,
    )
    from contracts.names import WorkflowType
    from contracts.notification import CrossSystemRouting
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.effects import correct_effect, standing_effect
    from workflows.visibility import detail_of, failure, tag


@workflow.defn(name=WorkflowType.CORRECT_NOTIFICATION)
class CorrectNotification:
    """Plans a routing that was delivered, in its new words, and corrects each effect where its system allows it."""

    @workflow.run
    async def run(self, routing: CrossSystemRouting) -> CorrectionReport:
        """Return what became of every effect; one that stands nowhere, or cannot be changed, is no failure.

        Raises:
            ApplicationError: the new words could not be planned; nothing was changed.
        """
        notification = routing.source_notification
        about = {"wedding_id": notification.wedding_context.wedding_id} if notification.wedding_context else {}
        tag(organization_id=routing.organization_id, run_kind="correction", outcome="running", **about)
        steps = await self._planned(routing)
        effects = await asyncio.gather(*(_corrected(step, notification.priority) for step in steps))
        tag(outcome="success" if any(one.corrected for one in effects) else "skipped")
        return CorrectionReport(routing_id=routing.routing_id, effects=list(effects))

    async def _planned(self, routing: CrossSystemRouting) -> list[EffectStep]:
        """Return the effects in their new words; the same routing id makes them the same effects."""
        try:
            plan: RoutingPlan = await workflow.execute_local_activity(
                "notify.plan",
                PlanRouting(routing=routing, occurred_at=workflow.now()),
                result_type=RoutingPlan,
                **policies.local_options(policies.LOCAL),
            )
        except (ActivityError, ApplicationError) as error:  # a local activity's failure comes unwrapped
            if is_cancelled_exception(error):
                raise
            tag(outcome="failed")
            raise failure(detail_of(error)) from error
        return [step for target in plan.targets for step in target.steps]


async def _corrected(step: EffectStep, word: SyncPriority) -> CorrectedEffect:
    changes: dict[str, object] = {"corrected": True}
    try:
        await correct_effect(Correction(effect=standing_effect(step, EffectOutcome()), step=step), word)
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        changes = {"corrected": False, "reason": detail_of(error).code}
    return CorrectedEffect.model_validate({"effect_id": step.effect_id, "system": step.system, **changes})
