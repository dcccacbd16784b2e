"""ResourceDay on a skipped clock: races, holds that lapse, calendars that are away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.resource_days import FrontDesk
from contracts.errors import Permanent
from contracts.names import ORCHESTRATION_QUEUE, resource_day_workflow_id
from contracts.resource_day import (
    AskOwner,
    ResourceDayRun,
    ResourceDayState,
    SlotAnswer,
    SlotAnswers,
    SlotCommand,
    SlotCommandKind,
    SlotCommands,
)
from tests.support.bookings import ORGANIZATION, QUEUES, SLOT, TAVE, FakeTown, away, owner
from tests.support.temporal import polling, time_skipping
from workflows.resource_day import ResourceDay


@asynccontextmanager
async def stage(town: FakeTown) -> AsyncIterator[WorkflowEnvironment]:
    async with time_skipping() as environment, polling(environment.client, [ResourceDay], town.activities(), *QUEUES):
        yield environment


async def act(
    environment: WorkflowEnvironment,
    kind: str,
    booking: str,
    *,
    organization: str = ORGANIZATION,
    lasts: timedelta | None = None,
) -> SlotAnswer:
    expires = None if lasts is None else await environment.get_current_time() + lasts
    command = SlotCommand(
        kind=SlotCommandKind(kind), hold_id=f"h-{booking}", booking_ids=[booking], slot=SLOT, expires_at=expires
    )
    return await FrontDesk(environment.client).ask(AskOwner(day=owner(organization), command=command))


def handle_of(
    environment: WorkflowEnvironment, organization: str = ORGANIZATION
) -> WorkflowHandle[Any, ResourceDayState]:
    return environment.client.get_workflow_handle(
        resource_day_workflow_id(organization, TAVE, "ph-9", "2035-06-12"), result_type=ResourceDayState
    )


async def state(environment: WorkflowEnvironment) -> ResourceDayState:
    return await handle_of(environment).query("state", result_type=ResourceDayState)


async def until_shown(environment: WorkflowEnvironment, hold_id: str) -> None:
    command = SlotCommand(kind=SlotCommandKind.SHOWN, hold_id=hold_id)
    for _ in range(1_000):
        if (await FrontDesk(environment.client).ask(AskOwner(day=owner(), command=command))).accepted:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the calendar never showed the hold as it is")


async def test_f46_of_a_hundred_confirmations_at_once_one_wins_and_the_others_are_told_what_is_free():
    town = FakeTown()
    async with stage(town) as environment:
        answers = await asyncio.gather(*(act(environment, "confirm", f"job-{number}") for number in range(100)))
        holds = (await state(environment)).holds
        winner = next(answer for answer in answers if answer.accepted)
        await until_shown(environment, winner.hold.hold_id)
    refused = [answer for answer in answers if not answer.accepted]
    assert (len(refused), len(holds)) == (99, 1)
    assert {(answer.reason, *answer.held_by) for answer in refused} == {("held", *holds[0].booking_ids)}
    assert all(answer.alternatives == town.alternatives for answer in refused)
    assert {answer.conflict.primary_booking_id for answer in refused} == set(holds[0].booking_ids)
    assert town.on_calendar() == holds[0].booking_ids


async def test_a_confirmation_sent_again_gets_the_same_answer():
    async with stage(FakeTown()) as environment:
        first, again = [await act(environment, "confirm", "job-77") for _ in range(2)]
        holds = (await state(environment)).holds
    assert (first.accepted, first.hold.hold_id) == (again.accepted, again.hold.hold_id) == (True, "h-job-77")
    assert len(holds) == 1


async def test_a_hold_that_lapses_is_released_once_and_its_slot_is_free_for_the_next():
    town = FakeTown()
    async with stage(town) as environment:
        assert (await act(environment, "hold", "job-77", lasts=timedelta(hours=2))).accepted
        assert not (await act(environment, "confirm", "job-91")).accepted
        await until_shown(environment, "h-job-77")
        await environment.sleep(timedelta(hours=2, minutes=1))
        await until_shown(environment, "h-job-77")
        after = await act(environment, "confirm", "job-91")
        await until_shown(environment, "h-job-91")
        holds = {hold.hold_id: (hold.status.value, hold.reason) for hold in (await state(environment)).holds}
    assert after.accepted
    assert holds == {"h-job-77": ("released", "expired"), "h-job-91": ("confirmed", "")}
    assert len(town.retracted) == 1
    assert town.on_calendar() == ["job-91"]


async def test_a_confirmation_is_answered_while_the_calendar_is_away_and_shown_when_it_is_back():
    town = FakeTown()
    town.trouble = {"caldav:hold.create": [away()] * 5}
    async with stage(town) as environment:
        assert (await act(environment, "confirm", "job-77")).accepted
        assert town.on_calendar() == []
        await environment.sleep(timedelta(minutes=5))
        await until_shown(environment, "h-job-77")
    assert town.on_calendar() == ["job-77"]


async def test_a_slot_that_the_calendar_refuses_stays_confirmed_and_says_so():
    town = FakeTown()
    town.trouble = {"caldav:hold.create": [Permanent("slot_taken", "Somebody wrote into the calendar by hand.")]}
    async with stage(town) as environment:
        assert (await act(environment, "confirm", "job-77")).accepted
        await until_shown(environment, "h-job-77")
        [hold] = (await state(environment)).holds
    assert (hold.status, hold.error.code) == ("confirmed", "slot_taken")


async def test_confirmations_are_decided_while_nobody_can_say_who_is_busy():
    town = FakeTown()
    town.trouble = {"refresh": [Permanent("vendor_refuses", "The booking system refuses to be read.")]}
    async with stage(town) as environment:
        answers = [await act(environment, "confirm", booking) for booking in ("job-77", "job-91")]
    assert [answer.accepted for answer in answers] == [True, False]


async def test_two_organisations_have_owners_of_their_own():
    async with stage(FakeTown()) as environment:
        ours = await act(environment, "confirm", "job-77")
        theirs = await act(environment, "confirm", "job-91", organization="other-studio")
    assert (ours.accepted, theirs.accepted) == (True, True)


async def test_the_owner_of_a_day_ends_two_days_after_it():
    async with stage(FakeTown()) as environment:
        now = await environment.get_current_time()
        today = owner().model_copy(update={"opens_at": now, "closes_at": now + timedelta(days=1)})
        slot = SLOT.model_copy(update={"starts_at": now, "ends_at": now + timedelta(hours=1)})
        handle = await environment.client.start_workflow(
            ResourceDay.__name__,
            ResourceDayRun(**dict(today)),
            id="today",
            task_queue=ORCHESTRATION_QUEUE,
            result_type=ResourceDayState,
        )
        command = SlotCommand(kind=SlotCommandKind.CONFIRM, hold_id="h", booking_ids=["job-77"], slot=slot)
        await handle.execute_update("act", SlotCommands(commands=[command]), result_type=SlotAnswers)
        result = await handle.result()
        ended = (await handle.describe()).close_time
    assert [hold.status for hold in result.holds] == ["confirmed"]
    assert timedelta(days=3) <= ended - now < timedelta(days=3, hours=1)
