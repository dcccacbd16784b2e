"""Single effects at vendors: made, looked for, set right and taken back, each through the queue of its system."""

from __future__ import annotations

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.effects import (
        Correction,
        EffectOutcome,
        EffectSighting,
        EffectStep,
        RetractOutcome,
        StandingEffect,
    )
    from contracts.names import system_queue
    from contracts.sync import SyncPriority
    from workflows import policies

_ENDS_FIRST = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
"""A call that is called off while it is under way still tells how it ended."""


async def apply_effect(step: EffectStep, word: SyncPriority) -> EffectOutcome:
    """Make one effect stand through the queue of its system."""
    outcome: EffectOutcome = await workflow.execute_activity(
        "notify.apply_effect",
        step,
        result_type=EffectOutcome,
        task_queue=system_queue(step.system),
        summary=f"{step.system}: {step.kind}",
        priority=policies.connection_priority(word, step.organization_id, step.integration_id),
        cancellation_type=_ENDS_FIRST,
        **policies.INTERACTIVE.options(),
    )
    return outcome


async def check_effect(step: EffectStep, word: SyncPriority) -> None:
    """Ask whether an effect could be made now."""
    await workflow.execute_activity(
        "notify.check_effect",
        step,
        task_queue=system_queue(step.system),
        summary=f"{step.system}: can {step.kind}?",
        priority=policies.connection_priority(word, step.organization_id, step.integration_id),
        **policies.RECALL.options(),
    )


async def look_for_effect(step: EffectStep, word: SyncPriority) -> EffectSighting:
    """Find out whether an effect stands whose delivery did not end well."""
    found: EffectSighting = await workflow.execute_activity(
        "notify.look_for_effect",
        step,
        result_type=EffectSighting,
        task_queue=system_queue(step.system),
        summary=f"{step.system}: does {step.kind} stand?",
        priority=policies.connection_priority(word, step.organization_id, step.integration_id),
        **policies.RECALL.options(),
    )
    return found


async def retract_effect(effect: StandingEffect, word: SyncPriority) -> RetractOutcome:
    """Take one effect back."""
    outcome: RetractOutcome = await workflow.execute_activity(
        "notify.retract",
        effect,
        result_type=RetractOutcome,
        task_queue=system_queue(effect.system),
        summary=f"{effect.system}: take {effect.kind} back",
        priority=policies.connection_priority(word, effect.organization_id, effect.integration_id),
        **policies.RECALL.options(),
    )
    return outcome


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
