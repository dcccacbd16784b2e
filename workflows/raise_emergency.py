"""An emergency: levels of people alerted one after the other, again and again, until one of them has it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.actions import ActionAnswer, ActionTaken
    from contracts.emergency import (
        Acknowledgement,
        AlertDelivery,
        EmergencyAlert,
        EmergencyOutcome,
        EmergencyResult,
        EmergencyRun,
        EmergencyState,
        EscalationPlan,
        PlanEscalation,
        StandDown,
    )
    from contracts.names import EMERGENCY_DUE, WorkflowType
    from contracts.undelivered import UndeliveredEffect
    from workflows import policies
    from workflows.closing import Closing
    from workflows.escalation import Repetition
    from workflows.visibility import tag

_ACKNOWLEDGES = frozenset({"acknowledge", "resolve", "ack"})
"""Types of answers, and the id of the answer that every alert offers: a digit comes without its type."""
_KEPT = 500


@workflow.defn(name=WorkflowType.RAISE_EMERGENCY)
class RaiseEmergency:
    """Runs until a human acknowledges: `acknowledge`, `take_action`, `stand_down` are Updates, `state` a Query."""

    @workflow.init
    def __init__(self, alert: EmergencyRun) -> None:
        """Take the alert, or the state a long run continues with."""
        self._alert = EmergencyAlert(**{name: value for name, value in alert if name != "resumed"})
        self._state = alert.resumed or EmergencyState(alert_id=alert.alert_id, raised_at=workflow.now())
        self._answers: dict[str, ActionAnswer] = {}
        self._repetition = Repetition(self._state.repetition, self._note)

    @workflow.run
    async def run(self, alert: EmergencyRun) -> EmergencyResult:
        """Alert level after level until somebody has it, then stop everything and tell everybody."""
        context = alert.notification.wedding_context
        tag(
            organization_id=alert.organization_id,
            run_kind="drill" if alert.drill else "emergency",
            priority="critical",
            outcome=self._state.outcome,
            **({"wedding_id": context.wedding_id} if context else {}),
        )
        try:
            await self._escalate()
        except (asyncio.CancelledError, ActivityError) as error:
            if not is_cancelled_exception(error):
                raise
            self._end(EmergencyOutcome.CANCELLED)
        workflow.upsert_memo({EMERGENCY_DUE: ""})
        tag(outcome=self._state.outcome)
        self._describe()
        closing = await Closing(self._alert, self._state).run()
        await workflow.wait_condition(workflow.all_handlers_finished)
        acknowledged = self._state.outcome is EmergencyOutcome.ACKNOWLEDGED
        return EmergencyResult(
            alert_id=alert.alert_id,
            acknowledged_at=self._state.ended_at if acknowledged else None,
            acknowledged_by=self._state.ended_by if acknowledged else None,
            highest_level=max(self._state.level, 1),
            repetitions=self._state.repetition,
            deliveries=self._state.deliveries,
            closing=closing,
            outcome=self._state.outcome,
        )

    async def _escalate(self) -> None:
        """Go up the levels, and repeat all of them together, until it has ended."""
        try:
            while not self._ended():
                plan = await self._plan()
                if self._ended():
                    return
                alerted = self._repetition.alert(plan)
                self._await(plan, plan.ack_within)
                await self._until_due(None if plan.last else alerted, plan.targets)
                if self._ended():
                    return
                if plan.last:
                    if not self._repeats(plan):
                        self._end(EmergencyOutcome.DRILLED if self._alert.drill else EmergencyOutcome.EXHAUSTED)
                        return
                    self._repetition.stop()
                    self._continue_when_long()
                    self._repetition = Repetition(self._next_repetition(), self._note)
        finally:
            self._repetition.stop()

    async def _plan(self) -> EscalationPlan:
        again = self._state.repetition > 1
        plan: EscalationPlan = await workflow.execute_local_activity(
            "emergency.plan",
            PlanEscalation(
                alert=self._alert,
                level=0 if again else self._state.level + 1,
                repetition=self._state.repetition,
                occurred_at=workflow.now(),
            ),
            result_type=EscalationPlan,
            **policies.local_options(policies.EMERGENCY_PLAN),
        )
        return plan

    def _await(self, plan: EscalationPlan, pause: timedelta) -> None:
        """Note that a level was alerted now, and until when its people may answer."""
        due = workflow.now() + pause
        self._state = self._state.model_copy(update={"level": plan.level, "due_at": due})
        workflow.upsert_memo({EMERGENCY_DUE: due.isoformat()})
        self._describe()

    async def _until_due(self, alerted: asyncio.Task[list[bool]] | None, names: list[str]) -> None:
        """Wait until the next alert is due, or it has ended, or nobody of those alerted was reached."""
        due = self._state.due_at or workflow.now()
        try:
            await workflow.wait_condition(
                lambda: self._ended() or self._reached_nobody(alerted, names),
                timeout=due - workflow.now(),
                timeout_summary="Until somebody has it",
            )
        except TimeoutError:
            return

    def _reached_nobody(self, alerted: asyncio.Task[list[bool]] | None, names: list[str]) -> bool:
        return alerted is not None and (_nobody(alerted) or self._repetition.reaches_nobody(names))

    def _repeats(self, plan: EscalationPlan) -> bool:
        since = self._state.raised_at or workflow.now()
        return plan.repeat_every is not None and workflow.now() < since + self._alert.repeat_for

    def _next_repetition(self) -> int:
        self._state = self._state.model_copy(update={"repetition": self._state.repetition + 1})
        return self._state.repetition

    def _continue_when_long(self) -> None:
        if workflow.info().is_continue_as_new_suggested():
            self._next_repetition()
            workflow.continue_as_new(EmergencyRun(**dict(self._alert), resumed=self._state))

    def _note(self, delivery: AlertDelivery) -> None:
        """Keep what became of a target, in the place of what was known of it in this repetition."""
        key = (delivery.repetition, delivery.system_id)
        others = [one for one in self._state.deliveries if (one.repetition, one.system_id) != key]
        self._state = self._state.model_copy(update={"deliveries": [*others, delivery][-_KEPT:]})
        self._describe()

    def _ended(self) -> bool:
        return self._state.outcome is not EmergencyOutcome.ALERTING

    def _end(self, outcome: EmergencyOutcome, by: str | None = None) -> None:
        changes: dict[str, Any] = {"outcome": outcome, "ended_at": workflow.now(), "ended_by": by, "due_at": None}
        self._state = self._state.model_copy(update=changes)

    @workflow.query
    def state(self) -> EmergencyState:
        """Return the emergency with everybody who was alerted."""
        return self._state

    @workflow.update
    async def acknowledge(self, given: Acknowledgement) -> ActionAnswer:
        """Take it: everything stops, and everybody who was alerted is told."""
        return self._answer(given.event_id, EmergencyOutcome.ACKNOWLEDGED, given.acknowledged_by)

    @workflow.update
    async def take_action(self, action: ActionTaken) -> ActionAnswer:
        """Take a button, a digit or an acknowledged incident for what it says."""
        meant = {one.action_id: one.type for one in self._alert.notification.actions}.get(action.action_id)
        if (action.action_type or meant or action.action_id) not in _ACKNOWLEDGES:
            return ActionAnswer(accepted=False, message="This answer does not acknowledge the emergency.")
        return self._answer(action.event_id, EmergencyOutcome.ACKNOWLEDGED, action.actor_id)

    @workflow.update
    async def stand_down(self, report: StandDown) -> ActionAnswer:
        """End it because the danger is over, and tell everybody who was alerted."""
        return self._answer(None, EmergencyOutcome.ALL_CLEAR, report.reported_by)

    @workflow.signal
    def not_delivered(self, told: UndeliveredEffect) -> None:
        """Learn that a vendor did not deliver an alert that it took: its channel counts as dead from now on."""
        if not self._ended():
            self._repetition.not_delivered(told.effect.effect_id, told.error)

    @workflow.signal
    def call_off(self, outcome: EmergencyOutcome) -> None:
        """End it as whoever watches the danger says: all clear, or superseded by a worse one."""
        if not self._ended():
            self._end(outcome)

    def _answer(self, event_id: str | None, outcome: EmergencyOutcome, by: str) -> ActionAnswer:
        """End it once, and answer the same event the same way."""
        if event_id in self._answers:
            return self._answers[event_id]
        if self._ended():
            answer = ActionAnswer(accepted=False, message=_over(self._state))
        else:
            self._end(outcome, by)
            answer = ActionAnswer(accepted=True, message="You have it; everybody else is told.")
        if event_id is not None:
            self._answers[event_id] = answer
        return answer

    def _describe(self) -> None:
        state = self._state
        due = f", next alert {state.due_at:%H:%M:%S}Z" if state.due_at else ""
        lines = [f"**{state.outcome}**: level {state.level}, repetition {state.repetition}{due}"]
        lines += [
            f"- {one.repetition}.{one.level} `{one.system_id}` {one.status}"
            + (f" in place of `{one.in_place_of}`" if one.in_place_of else "")
            for one in state.deliveries[-40:]
        ]
        workflow.set_current_details("\n".join(lines))


def _nobody(alerted: asyncio.Task[list[bool]]) -> bool:
    """Return whether it is certain that no target answered in time."""
    return alerted.done() and not alerted.cancelled() and not any(alerted.result())


def _over(state: EmergencyState) -> str:
    who = f" by {state.ended_by}" if state.ended_by else ""
    at: datetime | None = state.ended_at
    return f"It is over already: {state.outcome}{who}" + (f" at {at:%H:%M:%S} UTC." if at else ".")
