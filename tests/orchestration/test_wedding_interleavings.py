"""WeddingTimeline: events that arrive while a step is under way, in bulk, or when a person is asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from activities import timeline
from activities.boundary import as_application_error
from contracts.actions import ActionAnswer, ActionTaken
from contracts.alerts import Alert, AlertPlan
from contracts.effects import ActionRequest, EffectOutcome, EffectStep, FollowerRequest, RoutingPlan, TargetPlan
from contracts.errors import Transient
from contracts.facts import StepDecision
from contracts.names import ORCHESTRATION_QUEUE
from contracts.notification import DeliveryStatus
from contracts.recall import RecallNotice
from contracts.wedding import WeddingEvent, WeddingState
from tests.orchestration.test_wedding_timeline import EXAMPLE, MAIL, tell
from tests.support.storm import blown, day_of
from tests.support.temporal import polling, real_server, time_skipping
from workflows.wedding_timeline import WeddingTimeline

MOMENT_S = 0.3
"""A worker that is not hindered has decided by then; a slow one decides later, and the outcome is the same."""
Hook = Callable[[], Awaitable[None]]


class FakeDelivery:
    """Two effects per step; hooks run at the points where an event may come."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.hooks: dict[str, Hook] = {}
        self.told: list[Alert] = []

    def activities(self) -> list[Any]:
        return [timeline.plan, self.plan_action, self.plan_follower, self.apply_effect, self.alerts]

    @activity.defn(name="followers.plan")
    async def plan_follower(self, request: FollowerRequest) -> RoutingPlan:
        day = request.wedding.wedding_date
        step = EffectStep(
            effect_id=f"{request.follower.system_id}.{request.follower.wanted}",
            organization_id=request.wedding.organization_id,
            integration_id="email-main",
            system="email",
            kind=f"{day}.1",
        )
        return RoutingPlan(targets=[TargetPlan(target=MAIL, status=DeliveryStatus.SUCCESS, steps=[step])])

    @activity.defn(name="alerts.plan")
    async def alerts(self, alert: Alert) -> AlertPlan:
        self.told.append(alert)
        return AlertPlan()

    @activity.defn(name="notify.plan_action")
    async def plan_action(self, request: ActionRequest) -> RoutingPlan:
        name = request.step.action.template or request.step.action.task_type
        await self._at(f"{name} plan")
        steps = [
            EffectStep(
                effect_id=f"{request.step.step_id}.{number}",
                organization_id=request.wedding.organization_id,
                integration_id="email-main",
                system="email",
                kind=f"{name}.{number}",
            )
            for number in (1, 2)
        ]
        return RoutingPlan(targets=[TargetPlan(target=MAIL, status=DeliveryStatus.SUCCESS, steps=steps)])

    @activity.defn(name="notify.apply_effect")
    async def apply_effect(self, step: EffectStep) -> EffectOutcome:
        name, _, number = step.kind.rpartition(".")
        if await self._at(f"{name} failing {number}"):
            raise as_application_error(Transient("vendor_away", "The vendor does not answer."))
        await self._at(f"{name} answering {number}")
        if step.effect_id in self.sent:
            return EffectOutcome(replayed=True)
        self.sent[step.effect_id] += 1
        return EffectOutcome()

    async def _at(self, point: str) -> bool:
        hook = self.hooks.pop(point, None)
        if hook is not None:
            await hook()
        return hook is not None


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[WorkflowEnvironment, FakeDelivery]]:
    async with time_skipping() as environment:
        fake = FakeDelivery()
        async with polling(environment.client, [WeddingTimeline], fake.activities(), "system.email"):
            yield environment, fake


async def wedding_in(environment: WorkflowEnvironment, days: int, **changes: Any) -> WorkflowHandle[Any, WeddingState]:
    """Start the example's wedding with its details' e-mail only, so many days from now."""
    day = (await environment.get_current_time() + timedelta(days=days)).date()
    given = {"weddingDate": day.isoformat(), "timeZone": "UTC", "bookingStatus": "inquiry", **changes}
    return await environment.client.start_workflow(
        WeddingTimeline.__name__,
        {**EXAMPLE, **given},
        id=f"wedding-{uuid4()}",
        task_queue=ORCHESTRATION_QUEUE,
        result_type=WeddingState,
    )


async def shown(handle: WorkflowHandle[Any, WeddingState]) -> WeddingState:
    return await handle.query("state", result_type=WeddingState)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(200):
        while not await holds():  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(0.05)


POINTS = {"plan": 0, "failing 1": 0, "answering 1": 1, "failing 2": 1, "answering 2": 2}
"""Where the event comes -> how many of the two messages stand afterwards, and for ever."""


@asynccontextmanager
async def in_real_time() -> AsyncIterator[tuple[Client, FakeDelivery]]:
    async with real_server() as client:
        fake = FakeDelivery()
        async with polling(client, [WeddingTimeline], fake.activities(), "system.email"):
            yield client, fake


async def confirmed(client: Client, template: str) -> WorkflowHandle[Any, WeddingState]:
    """Start a wedding far ahead whose only step, of two messages, is due at once."""
    [automation] = [one for one in EXAMPLE["automations"] if one["name"] == "Wedding Booking Follow-up"]
    once = {**automation, "actions": [{"type": "send_email", "template": template}]}
    return await client.start_workflow(
        WeddingTimeline.__name__,
        {**EXAMPLE, "weddingId": template, "weddingDate": "2099-06-12", "automations": [once]},
        id=f"wedding-{template}",
        task_queue=ORCHESTRATION_QUEUE,
        result_type=WeddingState,
    )


async def test_f52_nothing_goes_out_after_the_wedding_was_stopped_wherever_its_step_is():
    """Every way to stop, at every point: a story each, side by side on one server."""
    async with in_real_time() as (client, fake):
        stories = [(kind, point) for kind in ("cancelled", "postponed", "recall", "moved") for point in POINTS]

        async def story(kind: str, point: str) -> WeddingState:
            name = f"{kind}-{point.replace(' ', '-')}"
            reached = asyncio.Event()
            told = asyncio.Event()

            async def hook() -> None:
                reached.set()
                await told.wait()
                await asyncio.sleep(MOMENT_S)

            fake.hooks[f"{name} {point}"] = hook
            handle = await confirmed(client, name)
            await reached.wait()
            updates = []
            if kind == "recall":
                notice = RecallNotice(recall_id="r")
                updates.append(asyncio.ensure_future(handle.execute_update("recall", notice)))
            else:
                given = {"eventId": "stop", "type": kind, **({"venueName": "Orangery"} if kind == "moved" else {})}
                await handle.signal("event", WeddingEvent.model_validate(given))
            told.set()
            await asyncio.gather(*updates)
            await until(lambda: is_settled(handle))
            return await shown(handle)

        async def is_settled(handle: WorkflowHandle[Any, WeddingState]) -> bool:
            return {step.status for step in (await shown(handle)).steps} <= {"sent", "cancelled"}

        states = await asyncio.gather(*(story(kind, point) for kind, point in stories))
        await asyncio.sleep(4 * MOMENT_S)
    found = {
        (kind, point): (sum(fake.sent[f"{state.steps[0].step_id}.{number}"] for number in (1, 2)), *said(state))
        for (kind, point), state in zip(stories, states, strict=True)
    }
    expected = {(kind, point): stands(kind, POINTS[point]) for kind, point in stories}
    assert found == expected
    assert set(fake.sent.values()) == {1}


def said(state: WeddingState) -> tuple[str, list[str]]:
    [step] = state.steps
    return step.status, step.outdated


def stands(kind: str, messages: int) -> tuple[int, str, list[str]]:
    """How many messages there are in the end, how the step stands, and what it told that is no longer so."""
    if kind == "moved":
        return 2, "sent", ["venue_name"] if messages else []
    outdated = ["wedding_date"] if kind == "postponed" and messages else []
    return messages, "sent" if messages == 2 else "cancelled", outdated


async def test_a_reopened_wedding_takes_up_what_it_had_not_sent():
    async with stage() as (environment, fake):
        handle = await wedding_in(environment, 40)
        await tell(handle, "cancelled")
        await environment.sleep(timedelta(days=10))
        assert (await tell(handle, "reopened")).status == "planned"
        await environment.sleep(timedelta(days=20))
        await handle.cancel()
    assert len(fake.sent) == 2


async def test_a_timeline_with_nothing_left_to_do_ends_after_a_while():
    async with stage() as (environment, _):
        handle = await wedding_in(environment, 40)
        before = await environment.get_current_time()
        await tell(handle, "cancelled")
        assert (await handle.result()).status == "cancelled"
        assert timedelta(days=29) < await environment.get_current_time() - before < timedelta(days=31)


def asking() -> list[dict[str, Any]]:
    return [{**item, "whenPast": "ask"} for item in EXAMPLE["automations"] if item["name"] == "Final details"]


async def asked(environment: WorkflowEnvironment, **changes: Any) -> tuple[WorkflowHandle[Any, WeddingState], str]:
    handle = await wedding_in(environment, 5, automations=asking(), **changes)

    async def is_asked() -> bool:
        return [step.asked_at is not None for step in (await shown(handle)).steps] == [True]

    await until(is_asked)
    [step] = (await shown(handle)).steps
    return handle, step.step_id


@pytest.mark.parametrize(("answer", "messages", "status"), [("approve", 2, "sent"), ("reject", 0, "skipped")])
async def test_a_step_that_asks_waits_for_the_answer_and_the_organisation_is_told_once(
    answer: str, messages: int, status: str
):
    async with stage() as (environment, fake):
        handle, step_id = await asked(environment)
        await environment.sleep(timedelta(days=3))
        await tell(handle, "status_changed", bookingStatus="paid")
        assert sum(fake.sent.values()) == 0
        decision = StepDecision.model_validate({"stepId": step_id, "answer": answer, "decidedBy": "anna"})
        for _ in range(2):
            await handle.execute_update("decide_step", decision, result_type=WeddingState)
        await environment.sleep(timedelta(days=1))
        state = await shown(handle)
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update("decide_step", decision.model_copy(update={"step_id": "none"}))
        await handle.cancel()
    assert (sum(fake.sent.values()), state.steps[0].status, state.steps[0].decided_by) == (messages, status, "anna")
    assert [alert.kind for alert in fake.told if not alert.decided] == ["decision_needed"]


async def press(handle: WorkflowHandle[Any, WeddingState], alert_id: str, word: str, actor: str) -> ActionAnswer:
    taken = {
        "eventId": f"press-{uuid4()}",
        "actionId": word,
        "actionType": word,
        "notificationId": alert_id,
        "system": "slack",
        "integrationId": "slack-main",
        "actorId": actor,
        "occurredAt": "2027-01-01T00:00:00Z",
    }
    return await handle.execute_update("take_action", ActionTaken.model_validate(taken), result_type=ActionAnswer)


async def test_a_button_of_the_question_decides_it_once_and_a_late_press_hears_what_was_decided():
    async with stage() as (environment, fake):
        handle, _ = await asked(environment)
        [question] = fake.told
        presses = [("approve", "U1"), ("reject", "U2"), ("approve", "U3")]
        answers = [await press(handle, question.alert_id, *one) for one in presses]
        stranger = await press(handle, "another", "approve", "U4")
        await environment.sleep(timedelta(days=1))
        state = await shown(handle)
        await handle.cancel()
    assert question.answers_to == handle.id
    assert [one.type for one in question.actions] == ["approve", "reject"]
    assert [one.accepted for one in answers] == [True, False, True]
    assert {one.message for one in answers[1:]} == {"It was approved by U1."}
    assert not stranger.accepted
    assert (state.steps[0].decided_by, sum(fake.sent.values())) == ("U1", 2)


async def test_what_was_decided_is_written_over_the_question():
    async with stage() as (environment, fake):
        handle, _ = await asked(environment)
        await press(handle, fake.told[0].alert_id, "reject", "U1")
        await environment.sleep(timedelta(days=1))
        await handle.cancel()
    question, decided = fake.told
    assert decided.alert_id == question.alert_id
    assert (question.decided, decided.decided) == ("", "It was rejected by U1.")


async def test_a_button_of_a_question_that_was_asked_anew_decides_nothing():
    async with stage() as (environment, fake):
        handle, _ = await asked(environment)
        for days in (90, 5):
            day = (await environment.get_current_time() + timedelta(days=days)).date().isoformat()
            await tell(handle, "moved", weddingDate=day)

        async def is_asked_twice() -> bool:
            return len(fake.told) == 2

        await until(is_asked_twice)
        first, second = fake.told
        answers = [await press(handle, one.alert_id, "reject", "U1") for one in (first, second)]
        await handle.cancel()
    assert [one.accepted for one in answers] == [False, True]


async def test_a_question_is_withdrawn_when_the_wedding_moves_to_where_its_step_is_in_time():
    async with stage() as (environment, fake):
        handle, _ = await asked(environment)
        new_day = (await environment.get_current_time() + timedelta(days=90)).date().isoformat()
        state = await tell(handle, "moved", weddingDate=new_day)
        await handle.cancel()
    assert [step.status for step in state.steps] == ["pending"]
    assert fake.sent == {}


async def test_events_in_bulk_are_planned_together_and_a_repeat_of_all_changes_nothing():
    async with stage() as (environment, fake):
        handle = await wedding_in(environment, 200)
        now = await environment.get_current_time()
        events = [
            {
                "eventId": f"e-{number}",
                "type": "moved",
                "occurredAt": (now - timedelta(seconds=500 - number)).isoformat(),
                "weddingDate": (now + timedelta(days=200 + number)).date().isoformat(),
                "sequence": number + 1,
            }
            for number in range(100)
        ]
        for given in [*reversed(events), *events[-50:]]:
            await handle.signal("event", WeddingEvent.model_validate(given))
        state = await tell(handle, "completed", sequence=101)
        history = await handle.fetch_history()
        await handle.result()
    assert (str(state.wedding.wedding_date), state.taken, state.sequence) == (events[-1]["weddingDate"], 101, 101)
    assert len(fake.sent) == 4
    assert sum("marker_recorded" in str(one) for one in history.events) < 100


async def test_f56_a_storm_of_signals_is_counted_whole_over_many_new_runs():
    storm = 2_000
    async with in_real_time() as (client, _):
        handle = await confirmed(client, "storm")
        first_run = (await handle.describe()).run_id
        state = await blown(client, handle, storm)

        async def began_anew() -> bool:
            return (await handle.describe()).run_id != first_run

        await until(began_anew)
        await handle.terminate()
    assert (state.taken, state.sequence, state.ahead) == (storm, storm, [])
    assert str(state.wedding.wedding_date) == day_of(storm - 1)
