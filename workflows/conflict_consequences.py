"""What follows from the decision of a conflict, at every system that it touches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.conflict import Consequence
    from contracts.conflict_steps import Choice, ComposeNotice, NoticeKind
    from contracts.effects import Correction, StandingEffect
    from contracts.names import system_queue
    from contracts.notification import DeliveryStatus
    from contracts.resource_day import BookingRef, Recipients, ResourceDayKey, SlotCommand, SlotCommandKind
    from contracts.sync import SyncPriority
    from workflows import policies
    from workflows.availability import ask_owner
    from workflows.conflict_notices import compose, failed, planned, route
    from workflows.effects import correct_effect

STANDS = frozenset({DeliveryStatus.SUCCESS, DeliveryStatus.SKIPPED})
_FIRST_LOOK, _LAST_LOOK = timedelta(seconds=1), timedelta(minutes=10)
_LOOKED_FOR = timedelta(hours=12)
NoticeOf = Callable[..., ComposeNotice]
"""Kind, and `booking_id` where it is about one of the two -> the notice."""


async def carry_out(notice_of: NoticeOf, choice: Choice, posted: Sequence[StandingEffect]) -> list[Consequence]:
    """Confirm the winner, release the loser, tell its clients, and answer the question, side by side."""
    winner, loser = choice.winning_booking_id, choice.losing_booking_id
    (confirmed, _), (released, _), told, answered = await asyncio.gather(
        route("winner_confirmed", notice_of(NoticeKind.WINNER, booking_id=winner)),
        route("loser_released", notice_of(NoticeKind.LOSER, booking_id=loser)),
        _tell(notice_of(NoticeKind.LOSER_TOLD, booking_id=loser), loser),
        amend(notice_of(NoticeKind.ANSWERED), posted),
    )
    return [confirmed, released, told, answered]


async def _tell(notice: ComposeNotice, booking_id: str) -> Consequence:
    """Write to the clients of the booking that did not get the slot, as the booking system knows them."""
    name = NoticeKind.LOSER_TOLD.value
    source = notice.bookings
    try:
        found: Recipients = await workflow.execute_activity(
            "bookings.recipients",
            BookingRef(source=source, booking_id=booking_id),
            result_type=Recipients,
            task_queue=system_queue(source.system),
            summary=f"{source.system}: whom to tell",
            priority=policies.connection_priority(SyncPriority.HIGH, source.organization_id, source.integration_id),
            **policies.INTERACTIVE.options(),
        )
    except ActivityError as error:
        return failed(name, error)
    told, _ = await route(name, notice.model_copy(update={"recipients": found.addresses}))
    return told


async def amend(notice: ComposeNotice, posted: Sequence[StandingEffect]) -> Consequence:
    """Write over every message that asked what has become of the question."""
    name = "question_answered"
    try:
        routing = await compose(notice)
        if routing is None or not posted:
            return Consequence(name=name, status=DeliveryStatus.SKIPPED, reason="nobody_was_asked")
        steps = {
            (step.integration_id, step.object_id): step for target in await planned(routing) for step in target.steps
        }
        for effect in posted:
            step = steps.get((effect.integration_id, effect.object_id))
            if step is not None:
                await correct_effect(Correction(effect=effect, step=step), SyncPriority.HIGH)
    except (ActivityError, ApplicationError) as error:
        return failed(name, error)
    return Consequence(name=name, status=DeliveryStatus.SUCCESS)


async def shown(day: ResourceDayKey, hold_id: str) -> Consequence:
    """Look until the calendars show the slot as the winner's, for half a day at most."""
    name = "calendar_shown"
    command = SlotCommand(kind=SlotCommandKind.SHOWN, hold_id=hold_id)
    pause, began = _FIRST_LOOK, workflow.now()
    try:
        answer = await ask_owner(day, command)
        while not answer.accepted and workflow.now() - began < _LOOKED_FOR:
            await workflow.sleep(pause, summary="Until the calendar is looked at again")
            pause = min(2 * pause, _LAST_LOOK)
            answer = await ask_owner(day, command)
    except ActivityError as error:
        return failed(name, error)
    problem = answer.hold.error if answer.hold else None
    if answer.accepted and problem is None:
        return Consequence(name=name, status=DeliveryStatus.SUCCESS)
    reason = problem.code if problem else "calendar_away"
    return Consequence(name=name, status=DeliveryStatus.FAILED, reason=reason, error=problem)


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Finish what follows from a decision, though the run be called off: the decision stands."""
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()
