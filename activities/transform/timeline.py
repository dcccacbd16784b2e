"""The instants of a wedding's steps: anchored to the day, or elapsed since a trigger."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contracts.names import effect_id
from contracts.wedding import (
    Automation,
    AutomationAction,
    StepStatus,
    TimelineStep,
    Trigger,
    Wedding,
    WeddingState,
    WhenPast,
)

STOPPED = frozenset({"cancelled", "postponed"})


def plan(state: WeddingState, now: datetime) -> list[TimelineStep]:
    """Return the wedding's steps as of `now`.

    A step that was sent stays as it is, so a moved wedding never sends it again. Pending steps are
    computed anew: those of a cancelled or postponed wedding are cancelled, anchored ones follow the
    date, and an anchored instant already past is skipped or sent at once as its automation says.

    Args:
        state: facts, triggers and earlier steps.
        now: aware UTC.
    """
    done = {step.step_id: step for step in state.steps if step.status in {StepStatus.SENT, StepStatus.FAILED}}
    planned: dict[str, TimelineStep] = {}
    for automation in state.wedding.automations:
        for index, action in enumerate(automation.actions):
            step = _step(state, automation, index, action, now)
            if step is not None:
                planned[step.step_id] = done.pop(step.step_id, step)
    vanished = [
        step.model_copy(update={"status": StepStatus.CANCELLED, "reason": "no longer planned"})
        for step in state.steps
        if step.step_id not in planned and step.step_id not in done and step.status is StepStatus.PENDING
    ]
    closed = [
        step
        for step in state.steps
        if step.step_id not in planned
        and step.step_id not in done
        and step.status in {StepStatus.CANCELLED, StepStatus.SKIPPED}
    ]
    steps = [*done.values(), *closed, *vanished, *planned.values()]
    return sorted(steps, key=lambda step: (step.due_at, step.step_id))


def local_instant(wedding: Wedding, offset: timedelta, at: time | None) -> datetime | None:
    """Return the instant `offset` from the wedding in its own zone, None while the date is open.

    With `at`, whole days are counted on the calendar and the clock shows `at` at the venue, over any
    change of summer time; without it, the offset is elapsed time from the ceremony (midnight when open).
    A local time that a change of summer time skips is read with the offset before the change.
    """
    if wedding.wedding_date is None:
        return None
    zone = ZoneInfo(wedding.time_zone)
    if at is not None:
        day = wedding.wedding_date + timedelta(days=offset.days)
        return datetime.combine(day, at, tzinfo=zone).astimezone(UTC) + timedelta(seconds=offset.seconds)
    ceremony = datetime.combine(wedding.wedding_date, wedding.ceremony_time or time(), tzinfo=zone)
    return ceremony.astimezone(UTC) + offset


def _step(
    state: WeddingState, automation: Automation, index: int, action: AutomationAction, now: datetime
) -> TimelineStep | None:
    wedding = state.wedding
    if automation.trigger is Trigger.ANCHOR:
        anchored = local_instant(wedding, automation.offset, automation.at)
        if anchored is None:
            return None
        due = anchored + timedelta(milliseconds=action.delay)
        # The date is part of the step's identity: a moved wedding gets its own message for the new day.
        identity = [automation.name, str(index), str(wedding.wedding_date)]
    else:
        since = state.triggers.get(f"{automation.trigger_property}={automation.trigger_value}")
        if since is None:
            return None
        due = since + timedelta(milliseconds=action.delay)
        identity = [automation.name, str(index), automation.trigger_value]
    step = TimelineStep(
        step_id=effect_id(wedding.organization_id, wedding.wedding_id, *identity),
        automation=automation.name,
        action=action,
        due_at=due,
    )
    if state.status in STOPPED:
        return step.model_copy(update={"status": StepStatus.CANCELLED, "reason": f"wedding {state.status}"})
    if automation.trigger is Trigger.ANCHOR and due < now and _was_not_pending(state, step):
        return _past(step, automation.when_past)
    return step


def _was_not_pending(state: WeddingState, step: TimelineStep) -> bool:
    """A step that came due while it waited is late, not past: it is still sent."""
    return not any(old.step_id == step.step_id and old.status is StepStatus.PENDING for old in state.steps)


def _past(step: TimelineStep, policy: WhenPast) -> TimelineStep:
    if policy is WhenPast.SEND_NOW:
        return step
    reason = "its instant was past when planned"
    if policy is WhenPast.ASK:
        reason = "its instant was past when planned; send it by hand if it still helps"
    return step.model_copy(update={"status": StepStatus.SKIPPED, "reason": reason})
