"""An automation: chains and message sequences side by side, each step accounted for to the end."""

from __future__ import annotations

import asyncio

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.actions import ActionAnswer, ActionTaken
    from contracts.automation import WorkflowOrchestration
    from contracts.automation_run import (
        ArrivedEvent,
        AutomationEvent,
        AutomationRun,
        AutomationState,
        ChainResult,
        RunStatus,
        StepRecord,
        TrackState,
        TrackStatus,
        WeddingNews,
        WorkflowFailure,
        WorkflowResult,
    )
    from contracts.automation_steps import AutomationRunKey
    from contracts.names import WorkflowType
    from workflows import policies
    from workflows.automation_floor import Floor
    from workflows.automation_track import Track
    from workflows.visibility import detail_of, failure, tag

_APPROVE, _REJECT = "approve", "reject"
_MOST_SEEN = 500
_WELL = {TrackStatus.COMPLETED, TrackStatus.SKIPPED, TrackStatus.REJECTED}


@workflow.defn(name=WorkflowType.RUN_AUTOMATION)
class RunAutomation:
    """Keeps the definition it began with; people and events reach it by `take_action` and `tell`."""

    @workflow.init
    def __init__(self, asked: AutomationRun) -> None:
        """Take the definition, or the state that a long run goes on with."""
        known = asked.resumed or AutomationState(wedding=asked.wedding, started_at=workflow.now())
        self._started_at = known.started_at or workflow.now()
        self._seen = list(known.seen)
        self._asked = asked.model_copy(update={"resumed": None})
        self._floor = Floor(self._asked, known.wedding, dict(known.events), known.cancelled)
        states = {state.track_id: state for state in known.tracks}
        self._tracks = [
            Track(
                self._floor,
                chain,
                states.get(chain.chain_id)
                or TrackState(
                    track_id=chain.chain_id, steps=[StepRecord(step_id=step.step_id) for step in chain.steps]
                ),
                until_answered=until_answered,
            )
            for chain, until_answered in [
                *((chain, False) for chain in asked.chains),
                *((sequence.as_chain(asked.participants), True) for sequence in asked.sequences),
            ]
        ]

    @workflow.run
    async def run(self, asked: AutomationRun) -> WorkflowResult:
        """Carry all chains and sequences out and return what became of every step.

        Raises:
            ApplicationError: `automation_invalid`; nothing of it was begun.
        """
        about = {"wedding_id": asked.wedding_id} if asked.wedding_id else {}
        tag(
            organization_id=asked.organization_id,
            run_kind="automation",
            outcome="running",
            priority=asked.priority.value,
            **about,
        )
        if asked.resumed is None:
            await self._begin()
        await self._carry_on()
        await workflow.wait_condition(workflow.all_handlers_finished)
        if any(track.running for track in self._tracks):
            workflow.continue_as_new(self._asked.model_copy(update={"resumed": self._state()}))
        await workflow.execute_local_activity(
            "automations.ended", self._key(), **policies.local_options(policies.STORE)
        )
        result = self._result()
        tag(outcome=result.status.value)
        return result

    @workflow.update
    def take_action(self, action: ActionTaken) -> ActionAnswer:
        """Take a person's answer: to an approval that is waited for, or to a message of a sequence."""
        if action.event_id in self._seen:
            return ActionAnswer(accepted=True, message="This answer is known already.")
        for track in self._tracks:
            step = track.asks(action.value or None, action.notification_id)
            if step is None:
                continue
            word = action.action_type or action.action_id
            if word not in {_APPROVE, _REJECT}:
                return ActionAnswer(accepted=False, message="Answer with approve or reject.")
            if action.actor_id not in step.approval_by:
                return ActionAnswer(accepted=False, message="You are not among those who may approve this.")
            self._see(action.event_id)
            track.answer(step, approved=word == _APPROVE, actor_id=action.actor_id)
            return ActionAnswer(accepted=True, message="Thank you; the automation goes on.")
        if any(track.answered(action.notification_id) for track in self._tracks):
            self._see(action.event_id)
            return ActionAnswer(accepted=True, message="Thank you.")
        return ActionAnswer(accepted=False, message="Nothing waits for this answer any more.")

    @workflow.update
    def tell(self, event: AutomationEvent) -> ActionAnswer:
        """Learn of an event, and answer once it is kept. Idempotent: yes, by its id."""
        self._arrived(event)
        return ActionAnswer(accepted=True)

    @workflow.signal
    def event(self, event: AutomationEvent) -> None:
        """Learn of an event, for senders that wait for no answer."""
        self._arrived(event)

    @workflow.signal
    def wedding_changed(self, news: WeddingNews) -> None:
        """Learn the wedding's facts anew: anchors move with them, and a cancelled wedding ends the run."""
        self._floor.wedding = news.wedding
        self._floor.moves += 1
        if news.status == "cancelled":
            self._floor.cancel("wedding_cancelled")

    @workflow.query
    def state(self) -> WorkflowResult:
        """Return every step as it stands."""
        return self._result()

    @workflow.query
    def definition(self) -> WorkflowOrchestration:
        """Return what the run carries out."""
        return WorkflowOrchestration(
            **{name: getattr(self._asked, name) for name in WorkflowOrchestration.model_fields}
        )

    async def _begin(self) -> None:
        try:
            await workflow.execute_local_activity(
                "automations.begin", self._asked, **policies.local_options(policies.STORE)
            )
        except (ActivityError, ApplicationError) as error:
            tag(outcome="refused")
            raise failure(detail_of(error)) from error

    async def _carry_on(self) -> None:
        """Run every chain that has not ended; being cancelled reaches them as a word, so that they can account."""
        tasks = [asyncio.create_task(track.run()) for track in self._tracks if track.running]
        while tasks:
            try:
                done, _ = await workflow.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                self._floor.cancel("cancelled")
                continue
            for task in done:
                task.result()
                tasks.remove(task)
            self._describe()

    def _arrived(self, event: AutomationEvent) -> None:
        if event.event_id not in self._seen:
            self._see(event.event_id)
            self._floor.events[event.name] = ArrivedEvent(data=event.data, arrived_at=workflow.now())

    def _see(self, event_id: str) -> None:
        self._seen = [*self._seen, event_id][-_MOST_SEEN:]

    def _key(self) -> AutomationRunKey:
        return AutomationRunKey(
            organization_id=self._asked.organization_id, orchestration_id=self._asked.orchestration_id
        )

    def _state(self) -> AutomationState:
        floor = self._floor
        return AutomationState(
            tracks=[track.state for track in self._tracks],
            wedding=floor.wedding,
            events=floor.events,
            seen=self._seen,
            started_at=self._started_at,
            cancelled=floor.cancelled,
        )

    def _result(self) -> WorkflowResult:
        states = [track.state for track in self._tracks]
        running = any(state.status is TrackStatus.RUNNING for state in states)
        failed = sum(state.status in {TrackStatus.FAILED, TrackStatus.COMPENSATED} for state in states)
        return WorkflowResult(
            orchestration_id=self._asked.orchestration_id,
            status=RunStatus.RUNNING if running else _sum(states, failed),
            total_workflows=len(states),
            triggered_successfully=sum(state.position is not None for state in states),
            failed=failed,
            results=[_chain_result(state) for state in states],
            started_at=self._started_at,
            finished_at=None if running else max(state.finished_at or self._started_at for state in states),
            reason=self._floor.cancelled,
        )

    def _describe(self) -> None:
        lines = [
            f"- `{track.state.track_id}` {track.state.status.value}: "
            + ", ".join(f"{step.step_id} {step.status.value}" for step in track.state.steps[:20])
            for track in self._tracks
        ]
        workflow.set_current_details("\n".join(lines[:50]))


def _sum(states: list[TrackState], failed: int) -> RunStatus:
    if any(state.status is TrackStatus.CANCELLED for state in states):
        return RunStatus.CANCELLED
    if not failed:
        return RunStatus.SUCCESS
    return RunStatus.PARTIAL_FAILURE if any(state.status in _WELL for state in states) else RunStatus.FAILED


def _chain_result(state: TrackState) -> ChainResult:
    return ChainResult(
        workflow_id=state.track_id,
        status=state.status,
        finished_at=state.finished_at,
        failures=[
            WorkflowFailure(
                step_id=step.step_id, error=action.error, recovered_by=action.undone.value if action.undone else None
            )
            for step in state.steps
            for action in step.actions
            if action.error is not None
        ],
        steps=state.steps,
    )
