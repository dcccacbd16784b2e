"""WeddingTimeline on a skipped clock: the brief's automations, and weddings that move, stop or repeat themselves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities import timeline
from activities.boundary import as_application_error
from contracts.effects import ActionRequest, EffectOutcome, EffectStep, RoutingPlan, TargetPlan
from contracts.errors import InvalidInput
from contracts.names import ORCHESTRATION_QUEUE
from contracts.notification import DeliveryStatus, TargetSystem
from contracts.wedding import WeddingEvent, WeddingState
from tests.support.temporal import polling, time_skipping
from workflows.wedding_timeline import WeddingTimeline

EXAMPLE = json.loads((Path(__file__).parents[2] / "examples" / "wedding-timeline.json").read_text())
MAIL = TargetSystem(system_id="mail", system_type="email", integration_id="email-main")
SURVEY, CONFIRMATION = "satisfaction_survey_template", "wedding_confirmation_template"
DETAILS = "final_details_template"


class FakeDelivery:
    """Plans one effect per step and keeps a ledger of what was sent and when."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment
        self.sent: list[tuple[str, datetime]] = []
        self.unplannable = "nothing"

    def activities(self) -> list[Any]:
        return [timeline.plan, self.plan_action, self.apply_effect]

    @activity.defn(name="notify.plan_action")
    async def plan_action(self, request: ActionRequest) -> RoutingPlan:
        if request.step.action.template == self.unplannable:
            raise as_application_error(InvalidInput("nobody_to_write_to", "Nobody has an e-mail address."))
        step = EffectStep(
            effect_id=request.step.step_id,
            organization_id=request.wedding.organization_id,
            integration_id="email-main",
            system="email",
            kind=request.step.action.template or request.step.action.task_type,
        )
        return RoutingPlan(targets=[TargetPlan(target=MAIL, status=DeliveryStatus.SUCCESS, steps=[step])])

    @activity.defn(name="notify.apply_effect")
    async def apply_effect(self, step: EffectStep) -> EffectOutcome:
        self.sent.append((step.kind, await self._environment.get_current_time()))
        return EffectOutcome()

    def times(self, kind: str) -> list[datetime]:
        return [at for name, at in self.sent if name == kind]


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[WorkflowEnvironment, FakeDelivery]]:
    async with time_skipping() as environment:
        fake = FakeDelivery(environment)
        async with polling(environment.client, [WeddingTimeline], fake.activities(), "system.email"):
            yield environment, fake


async def planned(environment: WorkflowEnvironment, **changes: Any) -> WorkflowHandle[Any, WeddingState]:
    """Start the example's wedding, half a year from the test server's now."""
    day = (await environment.get_current_time() + timedelta(days=180)).date()
    wedding = {**EXAMPLE, "weddingDate": day.isoformat(), **changes}
    return await environment.client.start_workflow(
        WeddingTimeline.__name__,
        wedding,
        id=f"wedding-{uuid4()}",
        task_queue=ORCHESTRATION_QUEUE,
        result_type=WeddingState,
    )


async def tell(handle: WorkflowHandle[Any, WeddingState], kind: str, **fields: Any) -> WeddingState:
    event = WeddingEvent.model_validate({"eventId": f"e-{uuid4()}", "type": kind, **fields})
    return await handle.execute_update("apply_event", event, result_type=WeddingState)


def about(found: datetime, expected: datetime) -> bool:
    """The test server's clock goes on by real seconds while workers work."""
    return expected <= found <= expected + timedelta(minutes=5)


async def test_a_confirmed_booking_is_confirmed_at_once_and_called_after_a_day():
    async with stage() as (environment, fake):
        handle = await planned(environment)
        started = (await handle.describe()).start_time
        await environment.sleep(timedelta(hours=25))
        await handle.cancel()
    [confirmed], [called] = fake.times(CONFIRMATION), fake.times("follow_up_call")
    assert about(confirmed, started)
    assert about(called, started + timedelta(hours=24))


async def test_a_step_that_cannot_be_planned_fails_by_itself_and_the_next_one_is_taken():
    async with stage() as (environment, fake):
        fake.unplannable = CONFIRMATION
        handle = await planned(environment)
        await environment.sleep(timedelta(hours=25))
        state = await handle.query("state", result_type=WeddingState)
        await handle.cancel()
    [failed] = [step for step in state.steps if step.action.template == CONFIRMATION]
    assert (failed.status, failed.reason) == ("failed", "nobody_to_write_to")
    assert len(fake.times("follow_up_call")) == 1


async def test_the_survey_goes_out_48_hours_after_the_wedding_was_completed():
    async with stage() as (environment, fake):
        handle = await planned(environment, bookingStatus="inquiry")
        await tell(handle, "completed")
        completed = await environment.get_current_time()
        await handle.result()
    [sent] = fake.times(SURVEY)
    assert timedelta(hours=47, minutes=59) < sent - completed < timedelta(hours=48, minutes=5)


async def test_a_moved_wedding_moves_its_details_to_nine_o_clock_a_fortnight_before_the_new_day():
    async with stage() as (environment, fake):
        handle = await planned(environment, bookingStatus="inquiry", timeZone="UTC")
        new_day = (await environment.get_current_time() + timedelta(days=300)).date()
        await tell(handle, "moved", weddingDate=new_day.isoformat())
        await environment.sleep(timedelta(days=301))
        await handle.cancel()
    [sent] = fake.times(DETAILS)
    assert about(sent, datetime.combine(new_day, datetime.min.time(), UTC) - timedelta(days=14) + timedelta(hours=9))


async def test_a_cancelled_wedding_sends_nothing_more():
    async with stage() as (environment, fake):
        handle = await planned(environment)
        await environment.sleep(timedelta(minutes=10))
        await tell(handle, "cancelled")
        state = await handle.result()
    assert [kind for kind, _ in fake.sent] == [CONFIRMATION]
    assert {step.status for step in state.steps} == {"sent", "cancelled"}


async def test_an_event_told_twice_is_taken_once():
    async with stage() as (environment, fake):
        handle = await planned(environment, bookingStatus="inquiry")
        for _ in range(2):
            await tell(handle, "completed", eventId="done")
        await handle.result()
    assert len(fake.times(SURVEY)) == 1


async def test_an_event_older_than_the_last_one_changes_nothing():
    async with stage() as (environment, _):
        handle = await planned(environment, bookingStatus="inquiry")
        now = await environment.get_current_time()
        await tell(handle, "moved", weddingDate="2031-05-01", occurredAt=now.isoformat())
        stale = now - timedelta(hours=1)
        state = await tell(handle, "moved", weddingDate="2030-05-01", occurredAt=stale.isoformat())
        await handle.cancel()
    assert str(state.wedding.wedding_date) == "2031-05-01"


async def test_a_wedding_postponed_without_a_date_waits_and_a_new_date_arms_it_again():
    async with stage() as (environment, fake):
        handle = await planned(environment, bookingStatus="inquiry", timeZone="UTC")
        await tell(handle, "postponed")
        await environment.sleep(timedelta(days=200))
        assert fake.sent == []
        new_day = (await environment.get_current_time() + timedelta(days=30)).date()
        await tell(handle, "moved", weddingDate=new_day.isoformat())
        await environment.sleep(timedelta(days=31))
        await handle.cancel()
    assert len(fake.times(DETAILS)) == 1
