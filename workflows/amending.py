"""Effects that stand, as this run knows them, and setting them right."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.effects import Correction, EffectOutcome, EffectStep, StandingEffect
    from contracts.names import system_queue
    from contracts.sync import SyncPriority
    from workflows import policies


async def correct_effect(correction: Correction, word: SyncPriority) -> EffectOutcome:
    """Write new words over an effect that stands."""
    effect = correction.effect
    outcome: EffectOutcome = await workflow.execute_activity(
        "notify.correct",
        correction,
        result_type=EffectOutcome,
        task_queue=system_queue(effect.system),
        summary=f"{effect.system}: set {effect.kind} right",
        priority=policies.connection_priority(word, effect.organization_id, effect.integration_id),
        **policies.INTERACTIVE.options(),
    )
    return outcome


def standing_effect(step: EffectStep, outcome: EffectOutcome) -> StandingEffect:
    """Return the effect of a step that this run has made stand."""
    return StandingEffect(
        effect_id=step.effect_id,
        organization_id=step.organization_id,
        integration_id=step.integration_id,
        system=step.system,
        kind=step.kind,
        object_id=step.object_id,
        remote_id=outcome.remote_id,
        notification_id=step.notification_id,
        workflow_id=workflow.info().workflow_id,
        applied_at=outcome.applied_at or workflow.now(),
    )
