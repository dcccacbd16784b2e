"""A wedding's own clock: one entity workflow that runs every step at its instant and follows the wedding."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.actions import ActionAnswer, ActionTaken
    from contracts.effects import ActionRequest, EffectStep, RoutingPlan
    from contracts.errors import ErrorDetail, ErrorKind, Owner
    from contracts.facts import Facts, FactStamp, StepAnswer, StepDecision
    from contracts.names import WorkflowType
    from contracts.notification import DeliveryStatus
    from contracts.recall import RecallNotice
    from contracts.sync import SyncPriority
    from contracts.wedding import (
        PlanTimelineInput,
        PlanTimelineResult,
        StepStatus,
        TimelineStep,
        Wedding,
        WeddingEvent,
        WeddingRun,
        WeddingState,
    )
    from workflows import policies, wedding_facts, wedding_questions
    from workflows.alerts import tell, tell_anew
    from workflows.following import KeepsFollowers
    from workflows.visibility import detail_of, failure, tag
    from workflows.wedding_gap import ClosesGaps

OPEN_AFTERWARDS = timedelta(days=30)
"""How long a wedding with nothing left to do still takes events: late ones, a re-opening, a recall."""
_LOOK_AGAIN = timedelta(days=7)
"""The rules of a time zone may change while a step waits."""
_MOMENT = timedelta(seconds=1)
_CLOSED = frozenset({"completed", "cancelled", "recalled"})
_WAITING = frozenset({StepStatus.PENDING, StepStatus.ASKED})


@workflow.defn(name=WorkflowType.WEDDING_TIMELINE)
class WeddingTimeline(KeepsFollowers, ClosesGaps):
    """Runs until the wedding is closed.

    Events come by the Update `apply_event` or, many at a time, by the signal `event`.
    """

    @workflow.init
    def __init__(self, wedding: WeddingRun) -> None:
        """Take the wedding, or the state a long run continues with."""
        self._state = wedding.resumed or WeddingState(wedding=Wedding(**_facts(wedding)))
        self._state = wedding_facts.begun(self._state, workflow.now())
        self._plan_version = 0
        self._planned_version = -1

    @workflow.run
    async def run(self, wedding: WeddingRun) -> WeddingState:
        """Plan, sleep until the next step, make it stand, and plan anew after every event.

        Ends some time after the wedding is completed, cancelled or recalled and nothing is left to do.
        """
        tag(
            organization_id=wedding.organization_id,
            wedding_id=wedding.wedding_id,
            run_kind="wedding",
            outcome=self._state.status,
        )
        self._stays = workflow.patched("wedding-stays-open")
        self.attend_followers()
        self.watch_for_gaps()
        while True:
            await self._plan()
            await self._ask()
            await self._show_answers()
            if workflow.info().is_continue_as_new_suggested() and await self._quiet():
                await self._continue()
            step = self._next()
            if step is not None and step.runs_at <= workflow.now():
                await self._run_step(step)
            elif step is not None:
                await self._sleep(step)
            elif not self._closed():
                await workflow.wait_condition(lambda: self._stale() or self._closed())
            elif await self._ended():
                return self._state

    @workflow.query
    def state(self) -> WeddingState:
        """Return the wedding with its steps."""
        return self._state

    @workflow.update
    async def apply_event(self, event: WeddingEvent) -> WeddingState:
        """Take an event once; what it says that is older than what is known changes nothing. Answers with the plan."""
        self._take(event)
        return await self._planned()

    @workflow.signal
    def event(self, event: WeddingEvent) -> None:
        """Take an event as `apply_event` does; the wedding is planned once for all that came together.

        Temporal takes 10,000 signals a run, and no new run begins while they come without a pause: a sender that is
        refused waits a second and sends again.
        """
        self._take(event)

    @workflow.update
    async def decide_step(self, decision: StepDecision) -> WeddingState:
        """Take a person's answer to a step that asks, or to a dispute. Answers with the plan.

        Raises:
            ApplicationError: nothing of that id waits for a decision.
        """
        if not self._decide(decision):
            raise failure(_NOT_ASKED)
        return await self._planned()

    @workflow.update
    async def take_action(self, action: ActionTaken) -> ActionAnswer:
        """Take the same answer from a button of the alert that asked, once; a late one hears what was decided."""
        word = next((one for one in (action.action_type, action.value, action.action_id) if one in set(StepAnswer)), "")
        if not word:
            return ActionAnswer(accepted=False, message="A wedding's step is approved or rejected.")
        question = wedding_questions.find(self._state, action.notification_id)
        if question is not None and question.answer is not None:
            same = question.answer.value == word
            return ActionAnswer(accepted=same, message=wedding_questions.verdict(question))
        if question is not None and not wedding_questions.is_latest(self._state, question):
            return ActionAnswer(accepted=False, message=_NOT_ASKED.message)
        step_id = question.question_id if question is not None else action.notification_id
        accepted = self._decide(StepDecision(step_id=step_id, answer=StepAnswer(word), decided_by=action.actor_id))
        await self._planned()
        return ActionAnswer(accepted=accepted, message="Noted." if accepted else _NOT_ASKED.message)

    @workflow.update
    async def recall(self, notice: RecallNotice) -> WeddingState:
        """Send nothing more until the wedding is re-opened; answers when no effect is under way."""
        stamp = FactStamp(occurred_at=workflow.now(), event_id=notice.recall_id)
        stamps = {**self._state.stamps, "recalled": stamp}
        self._change(self._state.model_copy(update={"recalled": True, "status": "recalled", "stamps": stamps}))
        await self._planned()
        await workflow.wait_condition(lambda: self.at_rest)
        return self._state

    def _take(self, event: WeddingEvent) -> None:
        self._change(wedding_facts.take(self._state, event, workflow.now()))

    def _change(self, state: WeddingState) -> None:
        before, self._state = self._state, state
        if _without_account(before) == _without_account(state):
            return
        self._plan_version += 1
        if before.status != state.status or not workflow.patched("wedding-stays-open"):
            tag(outcome=state.status)

    def _decide(self, decision: StepDecision) -> bool:
        """Take an answer; the same answer given again is one."""
        for step in self._state.steps:
            if step.step_id == decision.step_id and step.status is StepStatus.ASKED:
                self._put(step, _answered(decision))
                self._state = wedding_questions.answered(self._state, decision)
                self._plan_version += 1
                return True
            if step.step_id == decision.step_id and step.answer is not None:
                return step.answer is decision.answer
        for dispute in self._state.disputes:
            if dispute.dispute_id == decision.step_id:
                accepted = decision.answer is StepAnswer.APPROVE
                self._state = wedding_questions.answered(self._state, decision)
                self._change(wedding_facts.decided(self._state, dispute, accepted=accepted, now=workflow.now()))
                return True
        return False

    async def _planned(self) -> WeddingState:
        await workflow.wait_condition(lambda: not self._stale())
        return self._state

    def _stale(self) -> bool:
        return self._plan_version != self._planned_version

    def _closed(self) -> bool:
        waiting = any(step.status in _WAITING for step in self._state.steps)
        return self._state.status in _CLOSED and not waiting and not self.owes and self.at_rest

    async def _ended(self) -> bool:
        """Wait for what may still come; whether nothing came."""
        if self._stays:
            closes_at = self._state.closes_at or workflow.now() + OPEN_AFTERWARDS
            self._state = self._state.model_copy(update={"closes_at": closes_at})
            if await self._comes_before(closes_at - workflow.now(), "Until the wedding's timeline ends"):
                return False
        await self._let_go()
        return self._closed()

    async def _comes_before(self, timeout: timedelta, summary: str) -> bool:
        try:
            await workflow.wait_condition(self._stale, timeout=timeout, timeout_summary=summary)
        except TimeoutError:
            return False
        return True

    async def _quiet(self) -> bool:
        """Whether no event comes for a moment: Temporal begins no new run while signals arrive."""
        if not workflow.patched("new-run-when-quiet"):
            return True
        taken = self._state.taken
        await workflow.sleep(_MOMENT, summary="Until no event comes for a moment")
        return taken == self._state.taken and not self._stale()

    async def _continue(self) -> None:
        """Go on in a new run; every event that was told is in the state by then."""
        self.leave_gaps()
        await self.leave_followers()
        await self._let_go()
        workflow.continue_as_new(WeddingRun(**dict(self._state.wedding), resumed=self._state))

    async def _let_go(self) -> None:
        """Answer everybody who waits for an answer."""
        while not workflow.all_handlers_finished():
            await workflow.wait_condition(lambda: workflow.all_handlers_finished() or self._stale())
            await self._plan()

    async def _plan(self) -> None:
        while self._stale():
            version = self._plan_version
            planned = await workflow.execute_local_activity(
                "timeline.plan",
                PlanTimelineInput(state=self._state, now=workflow.now()),
                result_type=PlanTimelineResult,
                **policies.local_options(policies.LOCAL),
            )
            if version == self._plan_version:
                open_again = self._state.status not in _CLOSED
                changes = {"closes_at": None} if open_again else {}
                self._state = self._state.model_copy(update={"steps": planned.steps, **changes})
                self._planned_version = version
                self._describe()

    async def _ask(self) -> None:
        """Tell the organisation of every step and dispute that waits for its decision, each once."""
        for step in self._state.steps:
            if step.status is StepStatus.ASKED and step.asked_at is None:
                self._put(step, {"asked_at": workflow.now()})
                await self._question(step.step_id, f"A step of the wedding was due {step.due_at:%Y-%m-%d %H:%M} UTC")
        for dispute in self._state.disputes:
            if not dispute.asked:
                asked = dispute.model_copy(update={"asked": True})
                disputes = [asked if one == dispute else one for one in self._state.disputes]
                self._state = self._state.model_copy(update={"disputes": disputes})
                await self._question(dispute.dispute_id, "Two systems changed the wedding at once")

    async def _question(self, question_id: str, what: str) -> None:
        self._state, question = wedding_questions.asked(self._state, question_id, what, workflow.now())
        await tell(wedding_questions.alert_of(self._state, question, answers_to=workflow.info().workflow_id))

    async def _show_answers(self) -> None:
        """Write every answer over the messages that asked."""
        for question in wedding_questions.to_show(self._state):
            self._state = wedding_questions.shown(self._state, question)
            if workflow.patched("show-answers"):
                await tell_anew(wedding_questions.alert_of(self._state, question, answers_to=None))

    def _next(self) -> TimelineStep | None:
        pending = [step for step in self._state.steps if step.status is StepStatus.PENDING]
        return min(pending, key=lambda step: (step.runs_at, step.step_id), default=None)

    async def _sleep(self, step: TimelineStep) -> None:
        """Sleep until the step is due, an event comes, or it is time to read the zone's rules again."""
        left = step.runs_at - workflow.now()
        if self._stays:
            left = min(left, _LOOK_AGAIN)
        if not await self._comes_before(left, "Until the wedding's next step") and self._stays:
            self._plan_version += 1

    async def _run_step(self, step: TimelineStep) -> None:
        """Make every effect of a due step stand, unless the wedding changes before."""
        try:
            plan = await self._meant(step)
            if self._stale():
                return
            meant = [target for target in plan.targets if target.status is DeliveryStatus.SUCCESS]
            told = wedding_facts.facts_of(self._state)
            for effect in (effect for target in meant for effect in target.steps):
                if not await self._apply(step, effect, told):
                    return
        except (ActivityError, ApplicationError) as error:  # a local activity's failure comes unwrapped
            if is_cancelled_exception(error):
                raise
            detail = detail_of(error)
            self._settle(step, {"status": StepStatus.FAILED, "reason": detail.code, "error": detail})
        else:
            holds = [hold for target in plan.targets for hold in target.holds]
            reason = next((target.reason for target in plan.targets if target.reason), "")
            if holds:
                until = min(hold.not_before for hold in holds)
                held = [contact for hold in holds for contact in hold.contacts]
                self._put(step, {"held_until": until, "held": held, "reason": reason})
                self._describe()
            elif meant or (step.held and step.told):
                self._settle(step, {"status": StepStatus.SENT, "held": [], "reason": ""})
            else:
                self._settle(step, {"status": StepStatus.SKIPPED, "held": [], "reason": reason})

    async def _meant(self, step: TimelineStep) -> RoutingPlan:
        """Return the effects of a due step."""
        request = ActionRequest(wedding=self._state.wedding, step=step, occurred_at=workflow.now())
        if not workflow.patched("plan-steps-apart"):
            local: RoutingPlan = await workflow.execute_local_activity(
                "notify.plan_action", request, result_type=RoutingPlan, **policies.local_options(policies.LOCAL)
            )
            return local
        # What was told while a local activity ran would be heard of only after the first effect was scheduled.
        plan: RoutingPlan = await workflow.execute_activity(
            "notify.plan_action",
            request,
            result_type=RoutingPlan,
            summary="Decide who gets it",
            priority=policies.priority(SyncPriority.HIGH, self._state.wedding.organization_id),
            **policies.STORE.options(),
        )
        return plan

    async def _apply(self, step: TimelineStep, effect: EffectStep, told: Facts) -> bool:
        """Make an effect stand; False when the wedding changed before it did."""
        outcome = await self.apply_unless(self._stale, effect, outcome=self._state.status)
        if outcome is None:
            return False
        if step.told is None:
            # Whoever got the first part of a step was told this, also when the rest of it tells something newer.
            self._put(step, {"told": told})
        return True

    def _settle(self, step: TimelineStep, changes: dict[str, object]) -> None:
        self._put(step, {**changes, "done_at": workflow.now()})
        self._describe()

    def _put(self, step: TimelineStep, changes: dict[str, object]) -> None:
        steps = [
            item.model_copy(update=changes) if item.step_id == step.step_id else item for item in self._state.steps
        ]
        self._state = self._state.model_copy(update={"steps": steps})

    def _describe(self) -> None:
        lines = [f"**{self._state.status}**"]
        lines += [
            f"- {step.runs_at:%Y-%m-%d %H:%M}Z {step.action.type}: {step.status.value}" for step in self._state.steps
        ]
        workflow.set_current_details("\n".join(lines[:50]))


_NOT_ASKED = ErrorDetail(
    kind=ErrorKind.INVALID_INPUT,
    code="not_asked",
    message="Nothing of that id waits for a decision.",
    owner=Owner.OPERATOR,
    action="Look with `wedsync weddings show`; somebody may have decided, or the wedding may have moved.",
)


def _answered(decision: StepDecision) -> dict[str, object]:
    status = StepStatus.PENDING if decision.answer is StepAnswer.APPROVE else StepStatus.SKIPPED
    words = {"status": status, "reason": f"decided: {decision.answer.value}"}
    return {**words, "answer": decision.answer, "decided_by": decision.decided_by}


def _without_account(state: WeddingState) -> WeddingState:
    """The state without what only tells which events came."""
    return state.model_copy(update={"seen_events": [], "taken": 0})


def _facts(wedding: WeddingRun) -> dict[str, Any]:
    return {name: value for name, value in wedding if name != "resumed"}
