"""What the chains of one run of automations share: its facts, what it was told, and how an action is carried out."""

from __future__ import annotations

from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.automation import AnchoredInstant, SystemAction, WorkflowOrchestration
    from contracts.automation_run import ActionRecord, ActionStatus, ArrivedEvent, StepRecord, Undone
    from contracts.automation_steps import (
        ActionAccount,
        ComposeAction,
        FindInstant,
        FoundInstant,
        Judge,
        Judgement,
        NotificationKey,
    )
    from contracts.base import JsonObject
    from contracts.effects import RetractStatus, StandingEffect
    from contracts.names import WorkflowType, effect_id, routing_workflow_id
    from contracts.notification import CrossSystemRouting, OverallStatus, RoutingResult, WeddingContext
    from workflows import policies
    from workflows.effects import retract_effect
    from workflows.visibility import detail_of


class Floor:
    """One run's common ground.

    Args:
        asked: the definition the run started with.
        wedding: its wedding's facts, which change.
        events: what it was told already.
        cancelled: why it is cancelled, nothing while it is not.
    """

    def __init__(
        self,
        asked: WorkflowOrchestration,
        wedding: WeddingContext | None,
        events: dict[str, ArrivedEvent],
        cancelled: str,
    ) -> None:
        self.asked = asked
        self.wedding = wedding
        self.events = events
        self.cancelled = cancelled
        self.moves = 0
        """How often the wedding's facts changed."""
        self.carried_out = 0
        self._under_way: list[workflow.ChildWorkflowHandle[CrossSystemRouting, RoutingResult]] = []

    @property
    def rolls_over(self) -> bool:
        """Whether the history is long enough to go on in another run."""
        return self.carried_out >= policies.MOST_ACTIONS_OF_A_RUN or workflow.info().is_continue_as_new_suggested()

    @property
    def interrupted(self) -> bool:
        """Whether the chains are to stop where they stand."""
        return bool(self.cancelled) or self.rolls_over

    def moved_since(self, moves: int) -> bool:
        """Return whether the wedding's facts changed after they had changed so often."""
        return self.moves != moves

    def cancel(self, reason: str) -> None:
        """Have every chain end; what is on its way is called off where it still can be."""
        if not self.cancelled:
            self.cancelled = reason
            for handle in self._under_way:
                handle.cancel()

    def facts(self, steps: list[StepRecord]) -> JsonObject:
        """Return what conditions and templates read: `trigger`, `wedding`, `events` and `steps`."""
        return {
            "trigger": dict(self.asked.trigger_data),
            "wedding": self.wedding.model_dump(mode="json") if self.wedding else {},
            "events": {name: dict(event.data) for name, event in self.events.items()},
            "steps": {
                one.step_id: {"status": one.status.value, "reason": one.reason, "answeredBy": one.answered_by or ""}
                for one in steps
            },
        }

    async def holds(self, conditions: list[str], steps: list[StepRecord], name: str) -> bool:
        """Return whether all conditions hold now.

        Raises:
            ApplicationError: one of them cannot be judged.
        """
        if all(condition == "true" for condition in conditions):
            return True
        judgement: Judgement = await workflow.execute_local_activity(
            "automations.judge",
            Judge(conditions=conditions, facts=self.facts(steps), name=name),
            result_type=Judgement,
            **policies.local_options(policies.LOCAL),
        )
        return judgement.holds

    async def instant(self, anchor: AnchoredInstant) -> datetime | None:
        """Return when an anchor comes by the wedding's facts of now; None while it has no day."""
        found: FoundInstant = await workflow.execute_local_activity(
            "automations.instant",
            FindInstant(anchor=anchor, wedding=self.wedding),
            result_type=FoundInstant,
            **policies.local_options(policies.LOCAL),
        )
        return found.instant

    def notification_id(self, track_id: str, step_id: str, action_id: str, run: int) -> str:
        """Return the id of an action's notification, which is that of its routing too."""
        asked = self.asked
        return effect_id(asked.organization_id, asked.orchestration_id, track_id, step_id, action_id, str(run))

    async def carry_out(
        self,
        action: SystemAction,
        notification_id: str,
        run: int,
        steps: list[StepRecord],
        *,
        asks: bool = False,
        undoes: bool = False,
    ) -> ActionRecord:
        """Carry an action out and return what became of it; never fails for the action's sake.

        Args:
            action: what to do.
            notification_id: makes a repeat find what was done.
            run: which run of its step it belongs to.
            steps: the chain's, for the facts.
            asks: whether it asks for an approval.
            undoes: whether it makes up for another, so that a cancelled run still carries it out.
        """
        began = workflow.now()
        self.carried_out += 1
        changes = await self._outcome(action, notification_id, steps, asks=asks, undoes=undoes)
        account = await self._account(notification_id)
        first = account.first_attempt_at
        return ActionRecord.model_validate(
            {
                "action_id": action.action_id,
                "run": run,
                "notification_id": notification_id,
                "started_at": began,
                "finished_at": workflow.now(),
                "attempts": account.attempts,
                "queued_ms": max(0, round((first - began).total_seconds() * 1_000)) if first else 0,
                "effects": account.effects,
                **changes,
            }
        )

    async def _outcome(
        self, action: SystemAction, notification_id: str, steps: list[StepRecord], *, asks: bool, undoes: bool
    ) -> dict[str, object]:
        """Route an action and return what became of it, as fields of its record."""
        try:
            routing = await self._composed(action, notification_id, steps, asks=asks)
            if self.cancelled and not undoes:
                return self._called_off()
            changes = _read(await self._routed(routing, undoes=undoes))
        except (ActivityError, ApplicationError, ChildWorkflowError) as error:
            if is_cancelled_exception(error):
                return self._called_off()
            detail = detail_of(error)
            return {"status": ActionStatus.FAILED, "reason": detail.code, "error": detail}
        if self.cancelled and not undoes and changes["status"] is not ActionStatus.DONE:
            changes = self._called_off()
        return {**changes, "integration_id": routing.target_systems[0].integration_id}

    def _called_off(self) -> dict[str, object]:
        return {"status": ActionStatus.CANCELLED, "reason": self.cancelled or "cancelled"}

    async def take_back(self, effects: list[StandingEffect]) -> Undone:
        """Take effects back, the newest first, and return the least that can be said of all."""
        undone = Undone.RETRACTED
        for effect in reversed(effects):
            try:
                outcome = await retract_effect(effect, self.asked.priority, policies.INTERACTIVE)
            except ActivityError:
                undone = Undone.FAILED
                continue
            if outcome.status is RetractStatus.NOT_REVERSIBLE and undone is Undone.RETRACTED:
                undone = Undone.NOT_REVERSIBLE
        return undone

    async def _composed(
        self, action: SystemAction, notification_id: str, steps: list[StepRecord], *, asks: bool
    ) -> CrossSystemRouting:
        asked = self.asked
        routing: CrossSystemRouting = await workflow.execute_local_activity(
            "automations.compose",
            ComposeAction(
                organization_id=asked.organization_id,
                action=action,
                routing_id=notification_id,
                wedding=self.wedding,
                participants=asked.participants,
                priority=asked.priority,
                facts=self.facts(steps),
                asks=asks,
                answers_to=workflow.info().workflow_id,
            ),
            result_type=CrossSystemRouting,
            **policies.local_options(policies.LOCAL),
        )
        return routing

    async def _routed(self, routing: CrossSystemRouting, *, undoes: bool) -> RoutingResult:
        handle = await workflow.start_child_workflow(
            WorkflowType.ROUTE_NOTIFICATION.value,
            routing,
            id=routing_workflow_id(routing.organization_id, routing.routing_id),
            result_type=RoutingResult,
            execution_timeout=policies.RUN_TIMEOUT,
            # Whether what is on its way arrived is known only once the routing has ended.
            cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
            priority=policies.priority(self.asked.priority, self.asked.organization_id),
            static_summary=f"{routing.target_systems[0].system_type}: {routing.target_systems[0].intent.value}",
        )
        if undoes:
            made: RoutingResult = await handle
            return made
        self._under_way.append(handle)
        try:
            if self.cancelled:
                handle.cancel()
            result: RoutingResult = await handle
        finally:
            self._under_way.remove(handle)
        return result

    async def _account(self, notification_id: str) -> ActionAccount:
        account: ActionAccount = await workflow.execute_local_activity(
            "automations.account",
            NotificationKey(organization_id=self.asked.organization_id, notification_id=notification_id),
            result_type=ActionAccount,
            **policies.local_options(policies.STORE),
        )
        return account


def _read(result: RoutingResult) -> dict[str, object]:
    """Return what a routing's result means for its action."""
    [target] = result.system_results
    if result.overall_status is OverallStatus.SUCCESS:
        return {"status": ActionStatus.DONE}
    if result.overall_status is OverallStatus.SKIPPED:
        return {"status": ActionStatus.SKIPPED, "reason": target.reason}
    return {
        "status": ActionStatus.FAILED,
        "reason": target.reason or result.overall_status.value,
        "error": target.error,
    }
