"""A double booking until it is over: a human decides, or the deadline does, and what follows from it stands."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)

with workflow.unsafe.imports_passed_through():
    from contracts.actions import ActionAnswer, ActionTaken
    from contracts.conflict import (
        BookingConflict,
        BookingConflicts,
        ConflictDecision,
        ConflictResolution,
        ConflictStatus,
        Consequence,
        DeadlinePolicy,
        DecisionAnswer,
        DecisionMode,
        ResolutionDetail,
    )
    from contracts.conflict_steps import Choice, ComposeNotice, NoticeKind
    from contracts.effects import EffectOutcome, EffectStep, StandingEffect
    from contracts.names import WorkflowType, conflict_workflow_id
    from contracts.resource_day import Settlement, SlotCommand, SlotCommandKind
    from contracts.sync import SyncPriority
    from workflows import conflict_refusals as refusals
    from workflows import policies
    from workflows.availability import Contested, ask_owner, contested
    from workflows.conflict_choices import EARLIER, alternative_command, as_settled, choices, chosen
    from workflows.conflict_consequences import STANDS, amend, carry_out, shown, to_the_end
    from workflows.conflict_notices import post, route
    from workflows.effects import apply_effect
    from workflows.visibility import detail_of, tag
    from workflows.waiting import WaitsForReconnection

_SLACK = timedelta(days=2)
"""How much longer than the decision takes its slot is kept, for systems that are away meanwhile."""


@workflow.defn(name=WorkflowType.RESOLVE_BOOKING_CONFLICT)
class ResolveBookingConflict(WaitsForReconnection):
    """`decide` and `take_action` are Updates, `resolution` a Query; several conflicts get a run of this type each."""

    @workflow.init
    def __init__(self, request: BookingConflicts) -> None:
        """Take the conflicts; none of them is resolved."""
        self._request = request
        self._details = {
            one.conflict_id: ResolutionDetail(
                conflict_id=one.conflict_id, status=ConflictStatus.PENDING_RESOLUTION, created_at=workflow.now()
            )
            for one in request.conflicts
        }
        self._facts: Contested | None = None
        self._choice: Choice | None = None
        self._slot_hold: str | None = None
        self._decided_elsewhere = False
        self._open = False
        self._deciding = asyncio.Lock()
        self._posted: list[StandingEffect] = []
        self._posting: list[asyncio.Task[Consequence]] = []

    @workflow.run
    async def run(self, request: BookingConflicts) -> ConflictResolution:
        """Return what became of every conflict; one that nobody decided is not resolved."""
        tag(
            organization_id=request.organization_id,
            integration_id=request.integration_id,
            run_kind="conflict",
            outcome=ConflictStatus.PENDING_RESOLUTION.value,
        )
        if len(request.conflicts) > 1:
            await asyncio.gather(*(self._of_its_own(one) for one in request.conflicts))
        else:
            await self._resolve(request.conflicts[0])
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.resolution()

    @workflow.query
    def resolution(self) -> ConflictResolution:
        """Return how far every conflict is."""
        details = list(self._details.values())
        return ConflictResolution(
            total_conflicts=len(details),
            resolved_conflicts=sum(one.status is ConflictStatus.RESOLVED for one in details),
            failed_resolutions=sum(one.status is ConflictStatus.RESOLUTION_FAILED for one in details),
            resolution_details=details,
        )

    @workflow.update
    async def decide(self, decision: ConflictDecision) -> DecisionAnswer:
        """Decide, unless it is decided: a decision is final, and whoever comes later gets it back."""
        return await self._decide(decision.choice, decision.decided_by)

    @workflow.update
    async def take_action(self, action: ActionTaken) -> ActionAnswer:
        """Decide by a button: its action id is the choice."""
        answer = await self._decide(action.action_id, action.actor_id)
        return ActionAnswer(accepted=answer.accepted, message=answer.message)

    async def _of_its_own(self, conflict: BookingConflict) -> None:
        request = self._request
        try:
            found: ConflictResolution = await workflow.execute_child_workflow(
                WorkflowType.RESOLVE_BOOKING_CONFLICT,
                request.model_copy(update={"conflicts": [conflict]}),
                result_type=ConflictResolution,
                id=conflict_workflow_id(request.organization_id, request.integration_id, conflict.conflict_id),
                execution_timeout=workflow.info().execution_timeout,
                priority=policies.priority(SyncPriority.HIGH, request.organization_id),
                static_summary=f"Conflict {conflict.conflict_id}",
            )
        except WorkflowAlreadyStartedError:
            self._now(conflict, error=refusals.RAISED_BEFORE)
        except ChildWorkflowError as error:
            self._now(conflict, status=ConflictStatus.RESOLUTION_FAILED, error=detail_of(error))
        else:
            self._details[conflict.conflict_id] = found.resolution_details[0]

    async def _resolve(self, conflict: BookingConflict) -> None:
        """Contest, ask, wait and carry out; calling the run off counts only until it is decided."""
        try:
            if await self._contest(conflict):
                await self._await_decision(conflict)
        except (ActivityError, ApplicationError, asyncio.CancelledError) as error:
            if not is_cancelled_exception(error):
                self._now(conflict, status=ConflictStatus.RESOLUTION_FAILED, error=detail_of(error))
                return
            async with self._deciding:
                self._open = False
            if self._choice is None:
                await self._call_off(conflict)
                raise
        if self._choice is not None:
            await to_the_end(self._carry_out(conflict, self._choice))

    async def _contest(self, conflict: BookingConflict) -> bool:
        """Keep the slot for both bookings; False when there is nothing left to decide."""
        request = self._request
        facts = await contested(request.organization_id, request.integration_id, conflict)
        kept = workflow.now() + 2 * request.decision.deadline + _SLACK
        answer = await ask_owner(facts.found.day, self._command(SlotCommandKind.CONTEST, facts, expires_at=kept))
        self._facts = facts
        self._now(conflict, alternatives=facts.alternatives)
        if answer.settlement is not None:
            self._take_over(conflict, answer.settlement)
            return False
        if not answer.accepted:
            self._now(conflict, status=ConflictStatus.RESOLUTION_FAILED, error=refusals.taken(answer))
            return False
        self._open = True
        return True

    def _take_over(self, conflict: BookingConflict, settled: Settlement) -> None:
        """Take a decision that stands already."""
        winner, loser = settled.winning_booking_id, settled.losing_booking_id
        made = Choice(
            choice=winner,
            winning_booking_id=winner,
            losing_booking_id=loser,
            decided_by=EARLIER,
            decided_at=workflow.now(),
        )
        self._decided(conflict, made, settled)

    def _decided(self, conflict: BookingConflict, made: Choice, settled: Settlement) -> None:
        self._choice = made
        self._decided_elsewhere = settled.conflict_id != conflict.conflict_id
        self._now(
            conflict,
            winning_booking_id=made.winning_booking_id,
            choice=made.choice,
            decided_by=made.decided_by,
            decided_at=made.decided_at,
        )

    async def _await_decision(self, conflict: BookingConflict) -> None:
        policy = self._request.decision
        self._post(conflict, NoticeKind.RECORD)
        if policy.mode is DecisionMode.AUTOMATIC:
            await self._by_policy(conflict, "automatic")
            return
        asking = self._post(conflict, NoticeKind.QUESTION)
        await workflow.wait_condition(lambda: asking.done() or self._choice is not None)
        asked_at = workflow.now()
        for number, after in enumerate(sorted(one for one in policy.remind_after if one < policy.deadline), start=1):
            if not await self._still_open_at(asked_at + after, "Until the reminder"):
                return
            self._post(conflict, NoticeKind.REMINDER, number)
        if not await self._still_open_at(asked_at + policy.deadline, "Until the deadline"):
            return
        if policy.on_deadline is not DeadlinePolicy.ESCALATE:
            await self._by_policy(conflict, "deadline")
            return
        tag(outcome="escalated")
        self._post(conflict, NoticeKind.ESCALATION)
        if await self._still_open_at(asked_at + 2 * policy.deadline, "Until nobody is waited for any more"):
            await self._give_up(conflict)

    async def _still_open_at(self, instant: datetime, summary: str) -> bool:
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._choice is not None,
                timeout=max(timedelta(), instant - workflow.now()),
                timeout_summary=summary,
            )
        return self._choice is None

    async def _by_policy(self, conflict: BookingConflict, who: str) -> None:
        other = self._request.decision.on_deadline is DeadlinePolicy.KEEP_CONFLICTING
        answer = await self._decide(conflict.conflicting_booking_id if other else conflict.primary_booking_id, who)
        if self._choice is None:
            self._now(conflict, status=ConflictStatus.RESOLUTION_FAILED, error=refusals.undecidable(answer.message))

    async def _decide(self, choice: str, who: str) -> DecisionAnswer:
        conflict = self._request.conflicts[0]
        async with self._deciding:
            if self._choice is not None:
                return self._standing(accepted=False)
            facts = self._facts
            if facts is None or not self._open:
                message = "This conflict is not open for a decision; look at it with `wedsync conflicts show`."
                return DecisionAnswer(accepted=False, conflict_id=conflict.conflict_id, message=message)
            made = chosen(conflict, facts.alternatives, choice, who, workflow.now())
            if made is None:
                message = f"There is no such choice: use one of {', '.join(choices(conflict, facts.alternatives))}."[
                    :255
                ]
                return DecisionAnswer(accepted=False, conflict_id=conflict.conflict_id, message=message)
            refused = await self._keep_alternative(facts, made) or await self._settle(facts, made)
            if refused is not None:
                return DecisionAnswer(accepted=False, conflict_id=conflict.conflict_id, message=refused)
            return self._standing(accepted=self._choice == made)

    async def _keep_alternative(self, facts: Contested, made: Choice) -> str | None:
        """Keep the alternative for the losing booking; answer with the sentence that refuses it."""
        if made.alternative is None:
            return None
        conflict = self._request.conflicts[0]
        answer = await ask_owner(facts.found.day, alternative_command(conflict, made, SlotCommandKind.HOLD))
        if answer.accepted:
            return None
        return "This alternative has been taken meanwhile. Choose another one."

    async def _settle(self, facts: Contested, made: Choice) -> str | None:
        conflict, pair = self._request.conflicts[0], [made.winning_booking_id, made.losing_booking_id]
        answer = await ask_owner(facts.found.day, self._command(SlotCommandKind.SETTLE, facts, bookings=pair))
        settled = answer.settlement
        if settled is None or settled.winning_booking_id != made.winning_booking_id:
            if made.alternative is not None:
                await ask_owner(facts.found.day, alternative_command(conflict, made, SlotCommandKind.RELEASE))
            if settled is None:
                return "Another booking has got this slot meanwhile. Look at the calendar and raise the conflict anew."
            made = as_settled(made, settled)
        self._slot_hold = answer.hold.hold_id if answer.hold else None
        self._decided(conflict, made, settled)
        return None

    def _standing(self, *, accepted: bool) -> DecisionAnswer:
        detail = self._details[self._request.conflicts[0].conflict_id]
        said = "Decided" if accepted else f"This was decided before by {detail.decided_by}"
        return DecisionAnswer(
            accepted=accepted,
            conflict_id=detail.conflict_id,
            winning_booking_id=detail.winning_booking_id,
            choice=detail.choice,
            decided_by=detail.decided_by,
            message=f"{said}: {detail.winning_booking_id} keeps the slot.",
        )

    async def _carry_out(self, conflict: BookingConflict, choice: Choice) -> None:
        """Bring about what follows from a decision; it is resolved when all of that stands.

        What another run about the same two bookings decided, that run carries out.
        """
        asked = await asyncio.gather(*self._posting)
        if self._decided_elsewhere:
            done = [await amend(self._notice(NoticeKind.ANSWERED), self._posted)]
        else:
            done = await carry_out(self._notice, choice, self._posted)
        if self._facts is not None and self._slot_hold is not None:
            done.append(await shown(self._facts.found.day, self._slot_hold))
        broken = next((one for one in done if one.status not in STANDS), None)
        status = ConflictStatus.RESOLVED if broken is None else ConflictStatus.RESOLUTION_FAILED
        problem = None if broken is None else broken.error or refusals.unmet(broken)
        self._now(conflict, status=status, consequences=[*asked, *done][-10:], error=problem)

    async def _call_off(self, conflict: BookingConflict) -> None:
        """Let the slot go and say so where it was asked."""
        for task in self._posting:
            task.cancel()
        await asyncio.gather(*self._posting, return_exceptions=True)
        if self._facts is not None:
            await ask_owner(self._facts.found.day, self._command(SlotCommandKind.RELEASE, self._facts))
            await amend(self._notice(NoticeKind.CALLED_OFF), self._posted)
        self._now(conflict, status=ConflictStatus.RESOLUTION_FAILED, error=refusals.CALLED_OFF)

    async def _give_up(self, conflict: BookingConflict) -> None:
        self._open = False
        if self._facts is not None:
            await ask_owner(self._facts.found.day, self._command(SlotCommandKind.RELEASE, self._facts))
        self._now(conflict, status=ConflictStatus.RESOLUTION_FAILED, error=refusals.OVERDUE)

    def _post(self, conflict: BookingConflict, kind: NoticeKind, number: int = 0) -> asyncio.Task[Consequence]:
        """Have a message posted while the decision is waited for."""
        work = self._recorded(conflict) if kind is NoticeKind.RECORD else self._asked(kind, number)
        task = asyncio.create_task(work)
        self._posting.append(task)
        return task

    async def _asked(self, kind: NoticeKind, number: int) -> Consequence:
        return await post(self._notice(kind, number=number), self._posted, self._send)

    async def _recorded(self, conflict: BookingConflict) -> Consequence:
        pair = (conflict.primary_booking_id, conflict.conflicting_booking_id)
        notices = [self._notice(NoticeKind.RECORD, booking_id=booking) for booking in pair]
        answers = await asyncio.gather(*(route("conflict_recorded", notice) for notice in notices))
        results = answers[0][1].system_results if answers[0][1] else []
        records = [one.remote_id for result in results for one in result.delivery_results if one.remote_id]
        self._now(conflict, conflict_record_id=next(iter(records), None))
        return next((one for one, _ in answers if one.status not in STANDS), answers[0][0])

    async def _send(self, step: EffectStep, word: SyncPriority) -> EffectOutcome | None:
        """Make one message stand, waiting for a parked connection as long as its question is open."""
        first = True

        async def send() -> EffectOutcome | None:
            nonlocal first
            if not first and self._choice is not None:
                return None
            first = False
            return await apply_effect(step, word)

        return await self.through_reconnection(
            step.integration_id,
            send,
            outcome=ConflictStatus.PENDING_RESOLUTION.value,
            called_off=lambda: self._choice is not None,
        )

    def _notice(self, kind: NoticeKind, *, number: int = 0, booking_id: str | None = None) -> ComposeNotice:
        facts, request = self._facts, self._request
        if facts is None:
            message = "a conflict is told before its slot is known"
            raise RuntimeError(message)
        return ComposeNotice(
            organization_id=request.organization_id,
            kind=kind,
            number=number,
            conflict=request.conflicts[0],
            found=facts.found,
            bookings=facts.sources.bookings,
            booking_id=booking_id,
            audience=request.decision.notify,
            alternatives=facts.alternatives,
            choice=self._choice,
        )

    def _command(
        self,
        kind: SlotCommandKind,
        facts: Contested,
        *,
        bookings: list[str] | None = None,
        expires_at: datetime | None = None,
    ) -> SlotCommand:
        conflict = self._request.conflicts[0]
        return SlotCommand(
            kind=kind,
            hold_id=conflict.conflict_id,
            booking_ids=bookings or [conflict.primary_booking_id, conflict.conflicting_booking_id],
            slot=facts.found.slot,
            expires_at=expires_at,
        )

    def _now(self, conflict: BookingConflict, **changes: Any) -> None:
        """Note how far a conflict is, where people see it."""
        detail = self._details[conflict.conflict_id].model_copy(update=changes)
        self._details[conflict.conflict_id] = detail
        if "status" in changes:
            tag(outcome=detail.status.value)
        lines = [f"- `{one.conflict_id}` {one.status.value} {one.choice or ''}" for one in self._details.values()]
        workflow.set_current_details("\n".join(lines))
