"""The books of one chain: where it stands, and what became of each of its steps."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from contracts.automation import SystemAction, WorkflowChain, WorkflowStep
    from contracts.automation_run import (
        ActionRecord,
        Phase,
        StepOutcome,
        StepRecord,
        TrackState,
        TrackStatus,
        Undone,
        WaitedFor,
    )


class Book:
    """Writes down what happens to a chain; `state` is all of it.

    Args:
        chain: whose books these are.
        state: what was written down before.
    """

    def __init__(self, chain: WorkflowChain, state: TrackState) -> None:
        self.state = state
        found = [action for step in chain.steps for action in (step.actions.actions if step.actions else ())]
        found += [step.approval.ask for step in chain.steps if step.approval.ask is not None]
        self._actions = {action.action_id: action for action in [*found, *chain.compensations]}

    @property
    def running(self) -> bool:
        """Whether the chain has not ended."""
        return self.state.status is TrackStatus.RUNNING

    def action(self, action_id: str) -> SystemAction:
        """Return an action of the chain, or one of its compensations."""
        return self._actions[action_id]

    def of(self, step: WorkflowStep) -> StepRecord:
        """Return what is known of a step."""
        return self._at(step.step_id)

    def carried_out(self, step: WorkflowStep) -> list[ActionRecord]:
        """Return what the present run of a step has carried out; the message that asks for approval stands apart."""
        asks = step.approval.ask.action_id if step.approval.ask else None
        asking = self.state.phase is Phase.APPROVAL
        record = self.of(step)
        return [one for one in record.actions if one.run == record.runs and (one.action_id == asks) == asking]

    def began(self) -> datetime:
        """Return when the present phase began, which is now unless it is gone on with."""
        if self.state.since is None:
            self.update(since=workflow.now())
        return self.state.since or workflow.now()

    def enter(self, step_id: str) -> None:
        """Go to a step."""
        self.update(position=step_id, phase=Phase.ENTER, since=None)

    def begin(self, step: WorkflowStep) -> None:
        """Begin another run of the present step."""
        record = self.of(step)
        began = record.started_at or workflow.now()
        self.record(
            step.step_id,
            runs=record.runs + 1,
            started_at=began,
            last_run_at=record.finished_at,
            finished_at=None,
            status=StepOutcome.PENDING,
            reason="",
        )
        self.update(phase=Phase.APPROVAL, since=None, approved=None)

    def waited(self, step: WorkflowStep, kind: WaitedFor) -> None:
        """Add the time since the phase began to what the step waited."""
        known = self.of(step).waited_ms
        spent = round((workflow.now() - self.began()).total_seconds() * 1_000)
        self.record(step.step_id, waited_ms={**known, kind: known.get(kind, 0) + spent})

    def add(self, step_id: str, action: ActionRecord) -> None:
        """Write down that an action was carried out."""
        self.record(step_id, actions=[*self._at(step_id).actions, action])

    def standing(self) -> list[tuple[str, ActionRecord]]:
        """Return what is not undone yet with its step, the last first."""
        found = [(step.step_id, action) for step in self.state.steps for action in step.actions]
        found.sort(key=lambda item: item[1].finished_at)
        return [item for item in reversed(found) if item[1].undone is None and item[1].effects]

    def undone(self, step_id: str, action: ActionRecord, how: Undone) -> None:
        """Write down what became of an action when it was compensated."""
        changed = action.model_copy(update={"undone": how})
        self.record(step_id, actions=[changed if one == action else one for one in self._at(step_id).actions])

    def settle(self, step: WorkflowStep, status: StepOutcome, reason: str = "") -> None:
        """Write down what became of a step."""
        known = self.of(step).reason
        self.record(step.step_id, status=status, reason=reason or known, finished_at=workflow.now())

    def end(self, status: TrackStatus, reason: str) -> None:
        """Write down what became of the chain, and of every step that it did not come to."""
        left = StepOutcome.CANCELLED if status is TrackStatus.CANCELLED else StepOutcome.SKIPPED
        steps = [
            one.model_copy(update={"status": left, "reason": reason}) if one.status is StepOutcome.PENDING else one
            for one in self.state.steps
        ]
        self.update(status=status, steps=steps, finished_at=workflow.now())

    def record(self, step_id: str, **changes: Any) -> None:
        """Change what is known of a step."""
        steps = [one.model_copy(update=changes) if one.step_id == step_id else one for one in self.state.steps]
        self.update(steps=steps)

    def update(self, **changes: Any) -> None:
        """Change where the chain stands."""
        self.state = self.state.model_copy(update=changes)

    def _at(self, step_id: str) -> StepRecord:
        return next(one for one in self.state.steps if one.step_id == step_id)
