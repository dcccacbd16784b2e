"""The steps of a wedding as of an instant: what is due when, what was sent, what needs a person's word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from activities.transform.instants import due_at
from contracts.facts import Facts
from contracts.names import effect_id
from contracts.wedding import (
    Automation,
    AutomationAction,
    StepStatus,
    TimelineStep,
    Trigger,
    WeddingState,
    WhenPast,
)

STOPPED = frozenset({"cancelled", "postponed", "recalled"})
_DONE = frozenset({StepStatus.SENT, StepStatus.FAILED})
_OPEN = frozenset({StepStatus.PENDING, StepStatus.ASKED})
_TOLD_WITHIN = timedelta(hours=1)
"""What happened is always told a little later; a step is not past for that."""


def plan(state: WeddingState, now: datetime) -> list[TimelineStep]:
    """Return the wedding's steps as of `now`, each action of each automation at most once.

    What was sent stays as it is, so that a moved wedding never sends it again unless its automation says so; the
    facts it told that are no longer so are named on it. What was not sent is computed anew: cancelled while the
    wedding is stopped, moved with the wedding, and, where its new instant is past already, sent, skipped or asked
    about as its automation says. An instant that passes while nothing changes is late, not past: it is still sent.

    Args:
        state: facts, triggers and earlier steps.
        now: aware UTC.
    """
    earlier = {step.step_id: step for step in state.steps}
    planned: dict[str, TimelineStep] = {}
    for automation, index, action, identity in _slots(state):
        old = earlier.pop(identity, None) or _from_before(earlier, automation, action)
        step = _step(state, automation, action, old, now)
        if step is not None:
            planned[identity] = step.model_copy(update={"step_id": identity, "index": index})
    steps = [*(_left(step) for step in earlier.values()), *planned.values()]
    told = Facts(**{name: getattr(state.wedding, name) for name in Facts.model_fields})
    return sorted((_compared(step, told) for step in steps), key=lambda step: (step.due_at, step.step_id))


def _slots(state: WeddingState) -> Iterator[tuple[Automation, int, AutomationAction, str]]:
    """Yield every action with the identity of its step, which no change of the wedding changes."""
    wedding = state.wedding
    names: Counter[str] = Counter()
    for automation in wedding.automations:
        names[automation.name] += 1
        again = [str(names[automation.name])] if names[automation.name] > 1 else []
        if automation.trigger is Trigger.PROPERTY_CHANGE:
            again = [automation.trigger_value, *again]
        if automation.resend_on_move:
            again = [str(wedding.wedding_date), *again]
        for index, action in enumerate(automation.actions):
            identity = effect_id(wedding.organization_id, wedding.wedding_id, automation.name, str(index), *again)
            yield automation, index, action, identity


def _from_before(
    earlier: dict[str, TimelineStep], automation: Automation, action: AutomationAction
) -> TimelineStep | None:
    """Take out the step of a run from before steps knew their place, when each day had a step of its own."""
    if automation.resend_on_move:
        return None
    alike = [
        step
        for step in earlier.values()
        if step.index is None and step.automation == automation.name and step.action == action
    ]
    found = min(alike, key=lambda step: (step.status not in _DONE, step.status not in _OPEN), default=None)
    return None if found is None else earlier.pop(found.step_id)


def _step(
    state: WeddingState, automation: Automation, action: AutomationAction, old: TimelineStep | None, now: datetime
) -> TimelineStep | None:
    if old is not None and old.status in _DONE:
        return old
    due = due_at(state, automation, action)
    if due is None:
        return None if old is None else _left(old)
    step = TimelineStep(step_id="planned", automation=automation.name, action=action, due_at=due)
    if old is not None:
        step = step.model_copy(update={"told": old.told})
    if state.status in STOPPED:
        return step.model_copy(update={"status": StepStatus.CANCELLED, "reason": f"wedding {state.status}"})
    if old is not None and old.due_at == due and _stays(old):
        return old
    grace = timedelta() if automation.follows is None else _TOLD_WITHIN
    return _past(step, automation.past_policy) if due + grace < now else step


def _stays(step: TimelineStep) -> bool:
    """Whether a step whose instant is the same is what it was: waiting, decided by a person, or skipped when due."""
    skipped = step.status is StepStatus.SKIPPED and step.done_at is not None
    return step.status in _OPEN or step.answer is not None or skipped


def _past(step: TimelineStep, policy: WhenPast) -> TimelineStep:
    if policy is WhenPast.SEND_NOW:
        return step
    if policy is WhenPast.ASK:
        words = {"status": StepStatus.ASKED, "reason": "its instant was past when planned; waits for a decision"}
    else:
        words = {"status": StepStatus.SKIPPED, "reason": "its instant was past when planned"}
    return step.model_copy(update=words)


def _left(step: TimelineStep) -> TimelineStep:
    """A step that the wedding no longer has an instant for."""
    if step.status not in _OPEN:
        return step
    return step.model_copy(update={"status": StepStatus.CANCELLED, "reason": "no longer planned"})


def _compared(step: TimelineStep, now: Facts) -> TimelineStep:
    """Name what the step told that is no longer so."""
    changed = [name for name, value in now if step.told is not None and getattr(step.told, name) != value]
    return step if changed == step.outdated else step.model_copy(update={"outdated": changed})
