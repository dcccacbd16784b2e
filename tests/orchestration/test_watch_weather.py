"""WatchWeather: an emergency per warning and wedding, a worse one when it becomes worse, an end when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.boundary import as_application_error
from activities.weather_watch import _warnings
from contracts.emergency import EmergencyOutcome, EmergencyResult, EmergencyRun
from contracts.errors import Transient
from contracts.names import EMERGENCY_QUEUE, ORCHESTRATION_QUEUE, emergency_workflow_id
from contracts.weather import AlertSeverity, WeatherAlert
from contracts.weather_watch import (
    PlaceLook,
    PlacesRequest,
    WatchedPlace,
    WatchedPlaces,
    WatchWeatherInput,
)
from tests.support.emergencies import ORGANIZATION, Vendors, alert, level, target
from tests.support.temporal import polling, time_skipping
from workflows.raise_emergency import RaiseEmergency
from workflows.watch_weather import WatchWeather

WATCH = "watch-weather/0-of-1"
BEGINS = datetime(2027, 6, 12, 10, tzinfo=UTC)
PLACE = WatchedPlace(
    organization_id=ORGANIZATION,
    policy_id="day",
    integration_id="weather-main",
    platform="weather",
    wedding_id="wed-1",
    latitude=41.9,
    longitude=-87.6,
    time_zone="America/Chicago",
    begins_at=BEGINS,
    ends_at=BEGINS + timedelta(hours=14),
    alert_from=AlertSeverity.SEVERE,
)


def warning(severity: str = "Severe", **changes: Any) -> WeatherAlert:
    given = {
        "alertId": "storm-1",
        "event": "Severe Thunderstorm Warning",
        "severity": severity,
        "certainty": "Likely",
        "urgency": "Immediate",
        "headline": "Storm",
        "source": "weather_service",
        "onset": BEGINS + timedelta(hours=3),
        "ends": BEGINS + timedelta(hours=5),
    }
    return WeatherAlert.model_validate({**given, **changes})


class FakeWeather(Vendors):
    """A sky over one wedding, and a policy of one person."""

    def __init__(self) -> None:
        super().__init__()
        self.sky: list[WeatherAlert] = []
        self.away = False

    def activities(self) -> list[Any]:
        return [*super().activities(), self.places, self.look]

    @activity.defn(name="weather_watch.places")
    async def places(self, request: PlacesRequest) -> WatchedPlaces:
        return WatchedPlaces(places=[PLACE])

    @activity.defn(name="weather_watch.look")
    async def look(self, place: WatchedPlace) -> PlaceLook:
        if self.away:
            raise as_application_error(Transient("vendor_unavailable", "The feed is away.", system="weather"))
        found = list(_warnings(place, self.sky))
        people = EmergencyRun.model_validate(alert(level(1, 60, target("planner")))).escalation
        changed = [one.alert.model_copy(update={"policy_id": None, "escalation": people}) for one in found]
        return PlaceLook(
            warnings=[one.model_copy(update={"alert": new}) for one, new in zip(found, changed, strict=True)]
        )


@asynccontextmanager
async def stage(fake: FakeWeather, cron: str = "*/5 * * * *") -> AsyncIterator[WorkflowEnvironment]:
    """A watch every five minutes; a cron hands what is open from run to run, as a schedule does."""
    workflows = [WatchWeather, RaiseEmergency]
    async with (
        time_skipping() as environment,
        polling(environment.client, workflows, fake.activities(), EMERGENCY_QUEUE, "system.weather"),
    ):
        await environment.client.start_workflow(
            WatchWeather.run, WatchWeatherInput(), id=WATCH, task_queue=ORCHESTRATION_QUEUE, cron_schedule=cron
        )
        yield environment


async def looked(watched: WorkflowEnvironment, times: int = 1) -> None:
    await watched.sleep(times * timedelta(minutes=5, seconds=1))


async def over(watched: WorkflowEnvironment, seen: WeatherAlert) -> EmergencyResult:
    """Return how an emergency ended; the server's clock stands still once a workflow has signalled another."""
    going_on = asyncio.create_task(looked(watched))
    handle = emergency(watched, seen)
    while (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
        await asyncio.wait({going_on}, timeout=0.1)
    going_on.cancel()
    return await handle.result()


def emergency(watched: WorkflowEnvironment, seen: WeatherAlert) -> WorkflowHandle[Any, EmergencyResult]:
    [found] = _warnings(PLACE, [seen])
    workflow_id = emergency_workflow_id(ORGANIZATION, found.alert.alert_id)
    return watched.client.get_workflow_handle(workflow_id, result_type=EmergencyResult)


async def test_a_warning_over_a_wedding_is_one_emergency_however_often_it_is_seen():
    fake = FakeWeather()
    fake.sky = [warning()]
    async with stage(fake) as watched:
        await looked(watched, 3)
        raised = await emergency(watched, warning()).describe()
    assert raised.status is WorkflowExecutionStatus.RUNNING
    assert {one.alert_id for one in fake.told} == {raised.id.rpartition("/")[2]}


async def test_a_warning_that_becomes_worse_takes_the_place_of_its_emergency():
    fake = FakeWeather()
    fake.sky = [warning()]
    async with stage(fake) as watched:
        await looked(watched, 2)
        fake.sky = [warning("Extreme")]
        first = await over(watched, warning())
        second = await emergency(watched, warning("Extreme")).describe()
    assert first.outcome is EmergencyOutcome.SUPERSEDED
    assert second.status is WorkflowExecutionStatus.RUNNING
    assert fake.closed == []


async def test_when_the_warning_is_over_everybody_alerted_hears_the_all_clear():
    fake = FakeWeather()
    fake.sky = [warning()]
    async with stage(fake) as watched:
        await looked(watched, 2)
        fake.sky = []
        ended = await over(watched, warning())
    assert ended.outcome is EmergencyOutcome.ALL_CLEAR
    assert fake.closed == [("told", "planner")]


async def test_a_feed_that_is_away_clears_nothing():
    fake = FakeWeather()
    fake.sky = [warning()]
    async with stage(fake) as watched:
        await looked(watched, 2)
        fake.away = True
        await looked(watched, 2)
        raised = await emergency(watched, warning()).describe()
    assert raised.status is WorkflowExecutionStatus.RUNNING


def test_only_warnings_that_are_bad_enough_and_meet_the_wedding_count():
    early = warning(alertId="early", onset=BEGINS - timedelta(hours=9), ends=BEGINS - timedelta(hours=1))
    sky = [warning(), warning("Moderate", alertId="mild"), early, warning("Extreme", alertId="worst")]
    assert [one.warning.warning_id for one in _warnings(PLACE, sky)] == ["storm-1", "worst"]
