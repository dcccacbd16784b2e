"""Single effects at vendors: made, looked for, set right and taken back, each through the queue of its system."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.base import Contract
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
    summary = f"{step.system}: {step.kind}"
    outcome: EffectOutcome = await _ask(
        "notify.apply_effect", step, step, EffectOutcome, summary, word, policies.INTERACTIVE, cancelling=_ENDS_FIRST
    )
    return outcome


async def check_effect(step: EffectStep, word: SyncPriority) -> None:
    """Ask whether an effect could be made now."""
    summary = f"{step.system}: can {step.kind}?"
    await _ask("notify.check_effect", step, step, None, summary, word, policies.RECALL)


async def look_for_effect(
    step: EffectStep, word: SyncPriority, policy: policies.Policy = policies.RECALL
) -> EffectSighting:
    """Find out whether an effect stands whose delivery did not end well."""
    summary = f"{step.system}: does {step.kind} stand?"
    found: EffectSighting = await _ask("notify.look_for_effect", step, step, EffectSighting, summary, word, policy)
    return found


async def retract_effect(
    effect: StandingEffect, word: SyncPriority, policy: policies.Policy = policies.RECALL, queue: str | None = None
) -> RetractOutcome:
    """Take one effect back, through the queue of its system or through another."""
    summary = f"{effect.system}: take {effect.kind} back"
    outcome: RetractOutcome = await _ask(
        "notify.retract", effect, effect, RetractOutcome, summary, word, policy, queue=queue
    )
    return outcome


async def correct_effect(
    correction: Correction,
    word: SyncPriority,
    policy: policies.Policy = policies.INTERACTIVE,
    queue: str | None = None,
) -> EffectOutcome:
    """Write new words over an effect that stands, through the queue of its system or through another."""
    effect = correction.effect
    summary = f"{effect.system}: set {effect.kind} right"
    outcome: EffectOutcome = await _ask(
        "notify.correct", effect, correction, EffectOutcome, summary, word, policy, queue=queue
    )
    return outcome


async def _ask(
    verb: str,
    effect: EffectStep | StandingEffect,
    argument: Contract,
    result_type: type[Contract] | None,
    summary: str,
    word: SyncPriority,
    policy: policies.Policy,
    *,
    cancelling: workflow.ActivityCancellationType = workflow.ActivityCancellationType.TRY_CANCEL,
    queue: str | None = None,
) -> Any:
    """Have a verb of one effect carried out, through the queue of its system where no other is named."""
    return await workflow.execute_activity(
        verb,
        argument,
        result_type=result_type,
        task_queue=queue or system_queue(effect.system),
        summary=summary,
        priority=policies.connection_priority(word, effect.organization_id, effect.integration_id),
        cancellation_type=cancelling,
        **policy.options(),
    )


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
