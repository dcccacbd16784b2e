"""One chain of an automation: its steps in turn, from wherever it stands to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.automation import (
        KEEP,
        RETRACT,
        AnchoredInstant,
        MultiSystemAction,
        OnCancel,
        OnDeadline,
        OnFailure,
        StepWait,
        SystemAction,
        TriggerKind,
        WorkflowChain,
        WorkflowStep,
    )
    from contracts.automation_run import (
        ActionRecord,
        ActionStatus,
        Phase,
        StepOutcome,
        TrackState,
        TrackStatus,
        Undone,
        WaitedFor,
    )
    from workflows.automation_book import Book
    from workflows.automation_floor import Floor
    from workflows.visibility import detail_of

_SEVERITY = [OnFailure.CONTINUE, OnFailure.STOP, OnFailure.COMPENSATE]
_PAST = "its instant was past"
_NOT_REACHED = "not reached"


class Track:
    """Runs one chain; everything it needs to go on in another run is in its book.

    Args:
        floor: what it shares with the other chains.
        chain: what is to be done.
        state: how far it is.
        until_answered: whether an answer, or a condition that does not hold, ends it: a message sequence.
    """

    def __init__(self, floor: Floor, chain: WorkflowChain, state: TrackState, *, until_answered: bool) -> None:
        self._floor = floor
        self._chain = chain
        self._until_answered = until_answered
        self._steps = {step.step_id: step for step in chain.steps}
        self._book = Book(chain, state)

    @property
    def state(self) -> TrackState:
        """Where the chain stands."""
        return self._book.state

    @property
    def running(self) -> bool:
        """Whether the chain has not ended."""
        return self._book.running

    async def run(self) -> None:
        """Go on until the chain has ended, or the run is to go on elsewhere."""
        if self.state.position is not None or await self._triggered():
            while self.running and not self._floor.interrupted:
                await self._step(self._steps[str(self.state.position)])
        if self.running and self._floor.cancelled:
            if self._chain.on_cancel is OnCancel.COMPENSATE:
                await self._compensate()
            self._book.end(TrackStatus.CANCELLED, self._floor.cancelled)

    def asks(self, step_id: str | None, notification_id: str) -> WorkflowStep | None:
        """Return the step whose approval is waited for just now, if it is the one that is meant."""
        if not self.running or self.state.phase is not Phase.APPROVAL:
            return None
        step = self._steps[str(self.state.position)]
        ask = step.approval.ask
        meant = step_id == step.step_id or (ask is not None and self._notification(step, ask) == notification_id)
        return step if meant else None

    def answer(self, step: WorkflowStep, *, approved: bool, actor_id: str) -> None:
        """Take the answer to the present approval."""
        self._book.update(approved=approved)
        self._book.record(step.step_id, answered_by=actor_id)

    def answered(self, notification_id: str) -> bool:
        """Learn that a recipient answered a notification; whether it is one of a sequence that still runs."""
        sent = any(
            self._notification(step, action) == notification_id
            for step in self._chain.steps
            for action in (step.actions.actions if step.actions else ())
        )
        mine = self._until_answered and self.running and sent
        if mine:
            self._book.update(answered=True)
        return mine

    async def _triggered(self) -> bool:
        """Enter the first step if the chain is to run, once its anchor has come."""
        anchor = self._chain.anchor
        try:
            if self._chain.trigger == TriggerKind.ANCHOR and anchor is not None and not await self._anchored(anchor):
                if not self._floor.interrupted:
                    self._book.end(TrackStatus.SKIPPED, _PAST)
                return False
            holds = await self._floor.holds([self._chain.condition], self.state.steps, self._chain.chain_id)
        except (ActivityError, ApplicationError) as error:
            self._book.end(TrackStatus.FAILED, detail_of(error).code)
            return False
        if not holds:
            self._book.end(TrackStatus.SKIPPED, "condition")
            return False
        self._book.enter(self._chain.steps[0].step_id)
        return True

    async def _step(self, step: WorkflowStep) -> None:
        if self.state.phase is Phase.ENTER:
            if step.limit is not None and self._book.of(step).runs >= step.limit:
                self._book.end(TrackStatus.COMPLETED, _NOT_REACHED)
                return
            self._book.begin(step)
        if self.state.phase is Phase.APPROVAL and not await self._approved(step):
            return
        if self.state.phase is Phase.WAIT and not await self._waited(step):
            return
        await self._act(step)

    async def _approved(self, step: WorkflowStep) -> bool:
        """Return whether the step goes on: nobody need approve it, or somebody did in time."""
        if step.approval_by:
            approval, since = step.approval, self._book.began()
            if approval.ask is not None:
                await self._carry_out(step, [approval.ask], asks=True)
            if not await self._until(lambda: self.state.approved is not None, since + approval.deadline):
                return False
            self._book.waited(step, WaitedFor.PEOPLE)
            approved = self.state.approved
            if approved is None:
                approved = approval.on_deadline is OnDeadline.APPROVE
                self._book.record(step.step_id, reason="deadline")
            if not approved:
                await self._rejected(step)
                return False
        self._book.update(phase=Phase.WAIT, since=None)
        return True

    async def _rejected(self, step: WorkflowStep) -> None:
        self._book.settle(step, StepOutcome.REJECTED)
        if step.approval.rejected_step is not None:
            self._book.enter(step.approval.rejected_step)
        elif step.approval.on_rejection is OnFailure.COMPENSATE:
            await self._compensate()
            self._book.end(TrackStatus.COMPENSATED, "rejected")
        else:
            self._book.end(TrackStatus.REJECTED, "rejected")

    async def _waited(self, step: WorkflowStep) -> bool:
        """Return whether the step goes on now that what it waited for has come."""
        wait = step.wait
        if wait is not None:
            try:
                come = await (self._anchored(wait.anchor) if wait.anchor else self._until(*self._awaited(step, wait)))
            except (ActivityError, ApplicationError) as error:
                await self._give_up(step, detail_of(error).code, OnFailure.STOP)
                return False
            if self._floor.interrupted:
                return False
            self._book.waited(step, WaitedFor.EVENT if wait.event else WaitedFor.TIMER)
            if wait.event and not self._arrived(step, wait.event):
                self._book.record(step.step_id, reason="event_missing")
                if wait.timeout_step is not None:
                    self._book.settle(step, StepOutcome.SKIPPED)
                    self._book.enter(wait.timeout_step)
                    return False
            if not come:
                self._book.settle(step, StepOutcome.SKIPPED, _PAST)
                await self._go_on(step)
                return False
        self._book.update(phase=Phase.ACT, since=workflow.now())
        return True

    def _awaited(self, step: WorkflowStep, wait: StepWait) -> tuple[Callable[[], bool], datetime]:
        since = self._book.began()
        if wait.event:
            return (lambda: self._arrived(step, wait.event)), since + (wait.timeout or timedelta())
        return (lambda: False), wait.until or since + (wait.duration or timedelta())

    def _arrived(self, step: WorkflowStep, name: str) -> bool:
        """Return whether an event has come; in a loop each run of the step needs one of its own."""
        found, last = self._floor.events.get(name), self._book.of(step).last_run_at
        return found is not None and (last is None or found.arrived_at > last)

    async def _anchored(self, anchor: AnchoredInstant) -> bool:
        """Return whether the anchor has come; False when it was past before, or the run is interrupted."""
        since = self._book.began()
        while True:
            moves = self._floor.moves
            due = await self._floor.instant(anchor)
            if due is not None and due < since and not anchor.send_when_past:
                return False
            if due is not None and due <= workflow.now():
                return not self._floor.interrupted
            if not await self._until(partial(self._floor.moved_since, moves), due):
                return False

    async def _until(self, come: Callable[[], bool], due: datetime | None) -> bool:
        """Wait for something or for an instant; False when the run is interrupted."""
        timeout = None if due is None else due - workflow.now()
        if timeout is None or timeout > timedelta():
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: come() or self._floor.interrupted or self._is_answered,
                    timeout=timeout,
                    timeout_summary=f"{self._chain.chain_id}: {self.state.position}",
                )
        return not self._floor.interrupted

    async def _act(self, step: WorkflowStep) -> None:
        if self._is_answered:
            self._book.end(TrackStatus.COMPLETED, "answered")
            return
        try:
            holds = await self._floor.holds(step.conditions, self.state.steps, step.step_id)
        except (ActivityError, ApplicationError) as error:
            policy = step.actions.on_failure if step.actions else OnFailure.STOP
            await self._give_up(step, detail_of(error).code, policy)
            return
        if not holds and self._until_answered:
            self._book.end(TrackStatus.COMPLETED, "condition")
        elif not holds or step.actions is None:
            self._book.settle(step, StepOutcome.DONE if holds else StepOutcome.SKIPPED, "" if holds else "condition")
            await self._go_on(step)
        else:
            await self._carry_out(step, step.actions.actions)
            await self._settle_actions(step, step.actions)

    async def _carry_out(self, step: WorkflowStep, actions: list[SystemAction], *, asks: bool = False) -> None:
        """Carry out, side by side, the actions that this run of the step has not carried out yet."""
        run, since = self._book.of(step).runs, self._book.began()
        done = {one.action_id for one in self._book.carried_out(step)}

        async def one(action: SystemAction) -> None:
            if action.delay and not await self._until(lambda: False, since + timedelta(milliseconds=action.delay)):
                return
            if self._floor.cancelled:
                return
            notification_id = self._notification(step, action)
            record = await self._floor.carry_out(action, notification_id, run, self.state.steps, asks=asks)
            self._book.add(step.step_id, record)

        await asyncio.gather(*(one(action) for action in actions if action.action_id not in done))

    async def _settle_actions(self, step: WorkflowStep, group: MultiSystemAction) -> None:
        records = self._book.carried_out(step)
        if self._floor.cancelled or len(records) < len(group.actions):
            return
        failed = [one for one in records if one.status is ActionStatus.FAILED]
        if failed:
            policies = {one.action_id: one.on_failure or group.on_failure for one in group.actions}
            worst = max(failed, key=lambda one: _SEVERITY.index(policies[one.action_id]))
            await self._give_up(step, worst.reason, policies[worst.action_id])
            return
        done = any(one.status is ActionStatus.DONE for one in records)
        self._book.settle(step, StepOutcome.DONE if done else StepOutcome.SKIPPED, "" if done else records[0].reason)
        await self._go_on(step)

    async def _give_up(self, step: WorkflowStep, reason: str, policy: OnFailure) -> None:
        self._book.settle(step, StepOutcome.FAILED, reason)
        if policy is OnFailure.CONTINUE:
            await self._go_on(step)
        elif policy is OnFailure.COMPENSATE:
            await self._compensate()
            self._book.end(TrackStatus.COMPENSATED, _NOT_REACHED)
        else:
            self._book.end(TrackStatus.FAILED, _NOT_REACHED)

    async def _go_on(self, step: WorkflowStep) -> None:
        """Enter the step that follows, or end."""
        following = step.next_step
        if step.branch is not None:
            try:
                holds = await self._floor.holds([step.branch.condition], self.state.steps, step.branch.condition_id)
            except (ActivityError, ApplicationError) as error:
                await self._give_up(step, detail_of(error).code, OnFailure.STOP)
                return
            following = step.branch.then_step if holds else step.branch.else_step or step.next_step
        if following is None:
            self._book.end(TrackStatus.COMPLETED, _NOT_REACHED)
        else:
            self._book.enter(following)

    async def _compensate(self) -> None:
        """Undo what the chain has done, the last first."""
        for step_id, record in self._book.standing():
            self._book.undone(step_id, record, await self._undo(step_id, record))

    async def _undo(self, step_id: str, record: ActionRecord) -> Undone:
        word = self._book.action(record.action_id).compensation
        if word == KEEP:
            return Undone.KEPT
        if word == RETRACT:
            return await self._floor.take_back(record.effects)
        notification_id = self._floor.notification_id(
            self.state.track_id, step_id, f"{record.action_id}/{word}", record.run
        )
        made = await self._floor.carry_out(
            self._book.action(word), notification_id, record.run, self.state.steps, undoes=True
        )
        self._book.add(step_id, made.model_copy(update={"undone": Undone.KEPT}))
        return Undone.MADE_UP_FOR if made.status is ActionStatus.DONE else Undone.FAILED

    @property
    def _is_answered(self) -> bool:
        return self._until_answered and self.state.answered

    def _notification(self, step: WorkflowStep, action: SystemAction) -> str:
        run = max(1, self._book.of(step).runs)
        return self._floor.notification_id(self.state.track_id, step.step_id, action.action_id, run)
