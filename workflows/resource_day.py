"""The owner of one resource on one day: every hold, conflict and confirmation goes through it, one at a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from contracts.conflict import Alternative, BookingConflict
    from contracts.effects import RoutingPlan, StandingEffect
    from contracts.errors import NON_RETRYABLE
    from contracts.names import WorkflowType, effect_id
    from contracts.notification import Slot
    from contracts.resource_day import (
        BusySpan,
        NoteHolds,
        PlanHold,
        ResourceDayRun,
        ResourceDayState,
        SlotAnswer,
        SlotAnswers,
        SlotCommand,
        SlotCommandKind,
        SlotCommands,
        SlotHold,
        Sources,
    )
    from contracts.sync import SyncPriority
    from workflows import availability, policies
    from workflows.effects import apply_effect, retract_effect, standing_effect
    from workflows.slot_book import SlotBook, is_live
    from workflows.visibility import detail_of, tag
    from workflows.waiting import WaitsForReconnection

_FRESH_S = 60.0
_KEPT = timedelta(days=2)
"""How long the owner of a past day still answers."""


@workflow.defn(name=WorkflowType.RESOURCE_DAY)
class ResourceDay(WaitsForReconnection):
    """`act` is an Update, `state` a Query; ends two days after its day."""

    @workflow.init
    def __init__(self, day: ResourceDayRun) -> None:
        """Take the day, or the state a long run continues with."""
        self._day = day
        self._book = SlotBook(day, day.resumed or ResourceDayState())
        self._noted: ResourceDayState | None = None
        self._sources: Sources | None = None
        self._busy: list[BusySpan] = []
        self._calendar: list[BusySpan] = []
        self._looked_at = workflow.now() - timedelta(seconds=2 * _FRESH_S)
        self._looking = asyncio.Lock()
        self._offers: dict[tuple[Slot, str], list[Alternative]] = {}

    @workflow.run
    async def run(self, day: ResourceDayRun) -> ResourceDayState:
        """Let holds go when they expire, tell the others what is kept, and keep the calendars like the book."""
        tag(organization_id=day.organization_id, integration_id=day.integration_id, run_kind="resource_day")
        while workflow.now() < day.closes_at + _KEPT:
            self._book.expire(workflow.now())
            await self._note()
            await self._write_calendars()
            if self._is_told():
                if workflow.info().is_continue_as_new_suggested():
                    await workflow.wait_condition(workflow.all_handlers_finished)
                    if self._is_told():
                        workflow.continue_as_new(day.model_copy(update={"resumed": self._book.state()}))
                await self._rest()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._book.state()

    @workflow.query
    def state(self) -> ResourceDayState:
        """Return every hold and every settlement."""
        return self._book.state()

    @workflow.update
    async def act(self, asked: SlotCommands) -> SlotAnswers:
        """Decide about slots, one command after the other. Idempotent: yes, by a command's kind and hold id.

        A refused booking is told who has the slot and what is free instead.
        """
        if any(one.kind in {SlotCommandKind.HOLD, SlotCommandKind.CONFIRM} for one in asked.commands):
            await self._look()
        answers = [self._decided(command) for command in asked.commands]
        told = [await self._told(*pair) for pair in zip(asked.commands, answers, strict=True)]
        return SlotAnswers(answers=told)

    def _decided(self, command: SlotCommand) -> SlotAnswer:
        if command.kind is SlotCommandKind.SHOWN:
            hold = self._book.holds.get(command.hold_id)
            return SlotAnswer(accepted=not self._is_owed(command.hold_id), hold=hold)
        return self._book.act(command, workflow.now(), self._busy)

    async def _told(self, command: SlotCommand, answer: SlotAnswer) -> SlotAnswer:
        """Add to a refused confirmation what is free instead, and the conflict that can be raised."""
        if answer.accepted or command.slot is None or command.kind is not SlotCommandKind.CONFIRM:
            return answer
        return answer.model_copy(
            update={
                "alternatives": await self._instead(command, command.slot),
                "conflict": self._conflict(command, command.slot, answer),
            }
        )

    async def _look(self) -> None:
        """Know what other systems know, a minute old at most; what cannot be asked now is taken as it was."""
        async with self._looking:
            if workflow.now() - self._looked_at < timedelta(seconds=_FRESH_S):
                return
            try:
                self._sources = await availability.sources_of(self._day, max_age_s=_FRESH_S)
                patience = policies.PROBE if self._sources.known else policies.READING
                await availability.bring_up_to_date(self._sources, patience)
                self._calendar = await availability.calendar_spans(self._sources, policies.PROBE)
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                workflow.logger.warning("who is busy could not be asked: %s", detail_of(error).code)
            if self._sources is not None:
                whole = Slot(
                    resource_id=self._day.resource_id, starts_at=self._day.opens_at, ends_at=self._day.closes_at
                )
                found = await availability.ranked(self._day, whole, [], self._sources, self._calendar)
                self._busy = found.taken
            self._offers.clear()
            self._looked_at = workflow.now()

    async def _instead(self, command: SlotCommand, slot: Slot) -> list[Alternative]:
        """Return what is free instead; those who ask for the same slot in the same hour share one search."""
        async with self._looking:
            if self._sources is None:
                return []
            key = (slot, str(len(self._book.holds)))
            if key not in self._offers:
                await self._note()
                found = await availability.ranked(self._day, slot, command.booking_ids, self._sources, self._calendar)
                self._offers[key] = found.alternatives
            return self._offers[key]

    def _conflict(self, command: SlotCommand, slot: Slot, answer: SlotAnswer) -> BookingConflict | None:
        if len(answer.held_by) != 1:
            return None
        [holder], [booking] = answer.held_by, command.booking_ids
        return BookingConflict(
            conflict_id=effect_id(self._day.resource_id, *sorted((holder, booking)), slot.starts_at.isoformat()),
            type="double_booking",
            conflict_date=self._day.day,
            duration=max(1, int((slot.ends_at - slot.starts_at) / timedelta(minutes=1))),
            photographer_id=self._day.resource_id,
            primary_booking_id=holder,
            conflicting_booking_id=booking,
        )

    async def _note(self) -> None:
        state = self._book.state()
        if state == self._noted:
            return
        await workflow.execute_local_activity(
            "bookings.note_holds",
            NoteHolds(day=self._day, holds=state.holds),
            **policies.local_options(policies.LOCAL),
        )
        self._noted = state
        lines = [f"- `{hold.hold_id}` {' or '.join(hold.booking_ids)}: {hold.status.value}" for hold in state.holds]
        workflow.set_current_details("\n".join(lines[:50]))

    def _is_told(self) -> bool:
        return self._book.state() == self._noted and not any(map(self._is_owed, self._book.holds))

    def _is_owed(self, hold_id: str) -> bool:
        """Return whether the calendars do not show a hold as it is."""
        hold = self._book.holds.get(hold_id)
        return hold is not None and self._is_shown(hold) != hold.written

    def _is_shown(self, hold: SlotHold) -> bool:
        """A contest about a slot that one of the two holds already is not shown a second time."""
        now = workflow.now()
        if not is_live(hold, now):
            return False
        return len(hold.booking_ids) == 1 or not any(
            set(other.booking_ids) < set(hold.booking_ids) and is_live(other, now)
            for other in self._book.holds.values()
        )

    async def _write_calendars(self) -> None:
        """Take back what is let go before anything is put in its place."""
        owed = [hold for hold in self._book.holds.values() if self._is_owed(hold.hold_id)]
        for hold in [one for one in owed if one.written]:
            await self._settled(hold.hold_id, await self._taken_back(hold))
        for hold in [one for one in owed if not one.written]:
            await self._settled(hold.hold_id, await self._put(hold))

    async def _taken_back(self, hold: SlotHold) -> dict[str, object]:
        try:
            for effect in hold.on_calendar:
                await self.through_reconnection(
                    effect.integration_id, partial(retract_effect, effect, SyncPriority.HIGH)
                )
        except ActivityError as error:
            return _refused(error, written=False)
        return {"written": False, "on_calendar": []}

    async def _put(self, hold: SlotHold) -> dict[str, object]:
        standing: list[StandingEffect] = []
        try:
            plan = await workflow.execute_local_activity(
                "bookings.plan_hold",
                PlanHold(day=self._day, hold=hold),
                result_type=RoutingPlan,
                **policies.local_options(policies.LOCAL),
            )
            for step in [step for target in plan.targets for step in target.steps]:
                outcome = await self.through_reconnection(
                    step.integration_id, partial(apply_effect, step, SyncPriority.HIGH)
                )
                standing.append(standing_effect(step, outcome))
        except (ActivityError, ApplicationError) as error:
            return {"on_calendar": standing, **_refused(error, written=True)}
        return {"written": True, "on_calendar": standing}

    async def _settled(self, hold_id: str, changes: dict[str, object]) -> None:
        """Note what calendars show by now of a hold, which may have changed while they were asked."""
        self._book.holds[hold_id] = self._book.holds[hold_id].model_copy(update=changes)
        await self._note()

    async def _rest(self) -> None:
        """Wait for the next command or expiry."""
        until = min(filter(None, (self._book.next_expiry(), self._day.closes_at + _KEPT)))
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: not self._is_told(),
                timeout=max(timedelta(), until - workflow.now()),
                timeout_summary="Until the next hold expires",
            )


def _refused(error: ActivityError | ApplicationError, *, written: bool) -> dict[str, object]:
    """Return what is known of a hold that a calendar did not take: an outage is waited out, a refusal is noted."""
    if is_cancelled_exception(error):
        raise error
    detail = detail_of(error)
    return {"error": detail, "written": written} if detail.kind in NON_RETRYABLE else {}
