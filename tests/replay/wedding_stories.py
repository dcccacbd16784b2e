"""Stories of weddings, with the weather over them and what is recalled of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle

from tests.orchestration import test_recall_wedding as recalls
from tests.orchestration import test_watch_weather as weather
from tests.orchestration import test_wedding_gap as gaps
from tests.orchestration import test_wedding_interleavings as interleavings
from tests.orchestration import test_wedding_timeline as wedding


@asynccontextmanager
async def weather_over_a_wedding() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    fake = weather.FakeWeather()
    fake.sky = [weather.warning()]
    async with weather.stage(fake, cron="") as environment:
        handle = environment.client.get_workflow_handle(weather.WATCH)
        await handle.result()
        yield handle


@asynccontextmanager
async def wedding_moved_and_completed() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with wedding.stage() as (environment, _):
        handle = await wedding.planned(environment)
        await environment.sleep(timedelta(hours=25))
        await wedding.tell(handle, "moved", weddingDate="2031-05-01")
        await wedding.tell(handle, "completed")
        await handle.result()
        yield handle


@asynccontextmanager
async def wedding_asked_followed_and_reopened() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    followers = [{"systemId": "mail", "systemType": "email", "integrationId": "email-main"}]
    async with interleavings.stage() as (environment, _):
        handle, step_id = await interleavings.asked(environment, systems=followers)
        decision = interleavings.StepDecision.model_validate({"stepId": step_id, "answer": "approve"})
        await handle.execute_update("decide_step", decision)
        await environment.sleep(timedelta(minutes=1))
        await wedding.tell(handle, "moved", weddingDate="2031-05-01", venueName="Orangery")
        await environment.sleep(timedelta(minutes=1))
        await wedding.tell(handle, "cancelled")
        await environment.sleep(timedelta(days=3))
        await wedding.tell(handle, "reopened")
        notice = interleavings.RecallNotice(recall_id="r")
        await handle.execute_update("recall", notice)
        await handle.result()
        yield handle


@asynccontextmanager
async def wedding_that_lost_an_event() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with gaps.stage() as (environment, source):
        source.refusal = gaps.MISSING
        handle, _ = await gaps.gap(environment, source)
        await environment.sleep(gaps.PERIOD)
        source.refusal = None
        await environment.sleep(2 * gaps.PERIOD)
        await wedding.tell(handle, "cancelled")
        await handle.result()
        yield handle


@asynccontextmanager
async def recall_with_a_refusal() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    verbs = recalls.FakeVerbs().activities()
    async with (
        recalls.time_skipping() as environment,
        recalls.polling(environment.client, [recalls.RecallWedding], verbs, "system.slack"),
    ):
        handle = await recalls.recalled(environment.client)
        await handle.result()
        yield handle


PLAYS = (
    weather_over_a_wedding,
    wedding_moved_and_completed,
    wedding_asked_followed_and_reopened,
    wedding_that_lost_an_event,
    recall_with_a_refusal,
)
