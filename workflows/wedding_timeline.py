"""A wedding's own clock: one entity workflow that runs every step at its instant and follows the wedding."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.effects import ActionRequest, EffectStep, RoutingPlan
    from contracts.names import WorkflowType
    from contracts.sync import SyncPriority
    from contracts.wedding import (
        PlanTimelineInput,
        PlanTimelineResult,
        StepStatus,
        TimelineStep,
        Wedding,
        WeddingEvent,
        WeddingEventType,
        WeddingRun,
        WeddingState,
    )
    from workflows import policies
    from workflows.effects import apply_effect
    from workflows.visibility import detail_of, tag
    from workflows.waiting import WaitsForReconnection

_STATUS_AFTER = {
    WeddingEventType.CANCELLED: "cancelled",
    WeddingEventType.POSTPONED: "postponed",
    WeddingEventType.COMPLETED: "completed",
    WeddingEventType.MOVED: "planned",
}
_MAX_SEEN = 200


@workflow.defn(name=WorkflowType.WEDDING_TIMELINE)
class WeddingTimeline(WaitsForReconnection):
    """Runs until the wedding is closed: `apply_event` is an Update, `state` a Query."""

    @workflow.init
    def __init__(self, wedding: WeddingRun) -> None:
        """Take the wedding, or the state a long run continues with."""
        self._state = wedding.resumed or WeddingState(wedding=Wedding(**_facts(wedding)))
        self._plan_version = 0
        self._planned_version = -1

    @workflow.run
    async def run(self, wedding: WeddingRun) -> WeddingState:
        """Plan, sleep until the next step, make it stand, and plan anew after every event.

        Ends when the wedding is completed or cancelled and no step is pending.
        """
        tag(
            organization_id=wedding.organization_id,
            wedding_id=wedding.wedding_id,
            run_kind="wedding",
            outcome=self._state.status,
        )
        if wedding.resumed is None:
            self._note("booking_status", wedding.booking_status, workflow.now())
            self._note("completion_status", wedding.completion_status, workflow.now())
        while True:
            await self._plan()
            step = self._next()
            if step is None and self._state.status in {"completed", "cancelled"}:
                break
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(WeddingRun(**dict(self._state.wedding), resumed=self._state))
            if step is None:
                await workflow.wait_condition(self._stale)
            elif step.due_at <= workflow.now():
                await self._run_step(step)
            else:
                await self._sleep_until(step.due_at)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._state

    @workflow.query
    def state(self) -> WeddingState:
        """Return the wedding with its steps."""
        return self._state

    @workflow.update
    async def apply_event(self, event: WeddingEvent) -> WeddingState:
        """Take an event once; one older than what is known changes nothing. Answers with the new plan."""
        occurred = event.occurred_at or workflow.now()
        if event.event_id in self._state.seen_events:
            return self._state
        seen = [*self._state.seen_events, event.event_id][-_MAX_SEEN:]
        self._state = self._state.model_copy(update={"seen_events": seen})
        if self._state.last_event_at is not None and occurred < self._state.last_event_at:
            return self._state
        self._take(event, occurred)
        self._plan_version += 1
        await workflow.wait_condition(lambda: not self._stale())
        return self._state

    def _take(self, event: WeddingEvent, occurred: datetime) -> None:
        changes = {
            name: getattr(event, name)
            for name in ("wedding_date", "ceremony_time", "time_zone", "booking_status")
            if getattr(event, name) is not None
        }
        if event.type is WeddingEventType.POSTPONED and event.wedding_date is None:
            changes["wedding_date"] = None
        status = _STATUS_AFTER.get(event.type, self._state.status)
        self._state = self._state.model_copy(
            update={
                "wedding": self._state.wedding.model_copy(update=changes),
                "status": status,
                "last_event_at": occurred,
            }
        )
        if event.booking_status is not None:
            self._note("booking_status", event.booking_status, occurred)
        if event.type is WeddingEventType.COMPLETED:
            self._note("completion_status", "completed", occurred)
        tag(outcome=status)

    def _note(self, name: str, value: str, since: datetime) -> None:
        """Remember when a property first took a value: its automations count from there."""
        key = f"{name}={value}"
        if value and key not in self._state.triggers:
            self._state = self._state.model_copy(update={"triggers": {**self._state.triggers, key: since}})

    def _stale(self) -> bool:
        return self._plan_version != self._planned_version

    async def _plan(self) -> None:
        version = self._plan_version
        if version == self._planned_version:
            return
        planned = await workflow.execute_local_activity(
            "timeline.plan",
            PlanTimelineInput(state=self._state, now=workflow.now()),
            result_type=PlanTimelineResult,
            **policies.local_options(policies.LOCAL),
        )
        if version == self._plan_version:
            self._state = self._state.model_copy(update={"steps": planned.steps})
            self._planned_version = version
            self._describe()

    def _next(self) -> TimelineStep | None:
        pending = [step for step in self._state.steps if step.status is StepStatus.PENDING]
        return min(pending, key=lambda step: (step.due_at, step.step_id), default=None)

    async def _sleep_until(self, due: datetime) -> None:
        try:
            await workflow.wait_condition(
                self._stale, timeout=due - workflow.now(), timeout_summary="Until the wedding's next step"
            )
        except TimeoutError:
            return

    async def _run_step(self, step: TimelineStep) -> None:
        """Make every effect of a due step stand; an event that arrives meanwhile waits for the next plan."""
        try:
            plan = await workflow.execute_local_activity(
                "notify.plan_action",
                ActionRequest(wedding=self._state.wedding, step=step, occurred_at=workflow.now()),
                result_type=RoutingPlan,
                **policies.local_options(policies.LOCAL),
            )
            if self._stale():
                return
            for target in plan.targets:
                for effect in target.steps:
                    if not await self._apply(effect):
                        return
        except (ActivityError, ApplicationError) as error:  # a local activity's failure comes unwrapped
            if is_cancelled_exception(error):
                raise
            detail = detail_of(error)
            self._settle(step, {"status": StepStatus.FAILED, "reason": detail.code, "error": detail})
        else:
            self._settle(step, {"status": StepStatus.SENT})

    async def _apply(self, effect: EffectStep) -> bool:
        """Make an effect stand; False when the wedding's plan changed while its connection was waited for."""
        first = True

        async def send() -> bool:
            nonlocal first
            if not first and self._stale():
                return False
            first = False
            await apply_effect(effect, SyncPriority.HIGH)
            return True

        return await self.through_reconnection(
            effect.integration_id, send, outcome=self._state.status, called_off=self._stale
        )

    def _settle(self, step: TimelineStep, changes: dict[str, object]) -> None:
        settled = step.model_copy(update={**changes, "done_at": workflow.now()})
        others = [item for item in self._state.steps if item.step_id != step.step_id]
        steps = sorted([*others, settled], key=lambda item: (item.due_at, item.step_id))
        self._state = self._state.model_copy(update={"steps": steps})
        self._describe()

    def _describe(self) -> None:
        lines = [f"**{self._state.status}**"]
        lines += [
            f"- {step.due_at:%Y-%m-%d %H:%M}Z {step.action.type}: {step.status.value}" for step in self._state.steps
        ]
        workflow.set_current_details("\n".join(lines[:50]))


def _facts(wedding: WeddingRun) -> dict[str, Any]:
    return {name: value for name, value in wedding if name != "resumed"}
