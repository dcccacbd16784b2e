"""The weather against its emulated services: alerts that stay the same through updates, and forecasts everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import yaml
from pydantic import SecretStr

from activities.connectors.feed.weather import Weather
from activities.ports.weather import WeatherConnector
from contracts.errors import InvalidInput, Permanent, RateLimited, Transient, WedSyncError
from contracts.weather import AlertSeverity, AlertSource, AlertUrgency
from tests.support.deliveries import connection
from tests.support.delivery_suite import raises_typed
from tests.support.emulators import Emulators
from tests.support.specs import specs_dir

EMULATED = ("weather",)
GARDEN = (40.7128, -74.006)
HOUSE = (51.8042, -0.8614)
TODAY = datetime.now(ZoneInfo("Europe/London")).date()


@pytest.fixture
async def weather(emulators: Emulators) -> AsyncIterator[Weather]:
    connector = Weather(connection("weather", emulators.base_url("weather"), {}))
    yield connector
    await connector.aclose()


def issue(emulators: Emulators, place: tuple[float, float] = GARDEN, **given: Any) -> str:
    body = {"latitude": place[0], "longitude": place[1], **given}
    answer = emulators._client.post("/_emulators/weather/alerts", json=body).raise_for_status()
    return answer.json()["id"]


def predict(emulators: Emulators, day: date, place: tuple[float, float] = HOUSE, **values: float) -> None:
    body = {"latitude": place[0], "longitude": place[1], "day": day.isoformat(), "values": values}
    emulators._client.post("/_emulators/weather/forecasts", json=body).raise_for_status()


def test_it_is_a_feed_of_the_weather(weather: Weather) -> None:
    assert isinstance(weather, WeatherConnector)


async def test_an_alert_of_the_weather_service_is_told_with_its_own_words(
    weather: Weather, emulators: Emulators
) -> None:
    issue(emulators)
    found = await weather.alerts(*GARDEN)
    [alert] = found.alerts
    assert found.covered
    assert (alert.event, alert.severity) == ("Severe Thunderstorm Warning", AlertSeverity.SEVERE)
    assert (alert.source, alert.instruction) == (AlertSource.WEATHER_SERVICE, "Move indoors now.")
    assert alert.onset is not None
    assert alert.ends is not None


async def test_an_update_is_the_same_alert_with_its_newest_words(weather: Weather, emulators: Emulators) -> None:
    first = issue(emulators)
    [before] = (await weather.alerts(*GARDEN)).alerts
    second = issue(emulators, replaces=first, alert={"severity": "Extreme"})
    issue(emulators, replaces=second, alert={"severity": "Extreme", "headline": "Take cover"})
    [after] = (await weather.alerts(*GARDEN)).alerts
    assert (after.alert_id, after.severity, after.headline) == (before.alert_id, AlertSeverity.EXTREME, "Take cover")


async def test_an_alert_that_is_taken_back_is_in_force_no_more(weather: Weather, emulators: Emulators) -> None:
    issue(emulators, replaces=issue(emulators), alert={"messageType": "Cancel"})
    found = await weather.alerts(*GARDEN)
    assert (found.covered, found.alerts) == (True, [])


async def test_an_exercise_alarms_nobody(weather: Weather, emulators: Emulators) -> None:
    issue(emulators, alert={"status": "Exercise"})
    assert (await weather.alerts(*GARDEN)).alerts == []


async def test_f34_an_alert_is_not_lost_over_a_new_word_or_a_missing_time(
    weather: Weather, emulators: Emulators
) -> None:
    issue(emulators, alert={"severity": "Apocalyptic", "onset": None, "effective": "soon", "instruction": None})
    [alert] = (await weather.alerts(*GARDEN)).alerts
    assert (alert.severity, alert.onset, alert.instruction) == (AlertSeverity.UNKNOWN, None, "")


async def test_alerts_of_another_place_are_not_told(weather: Weather, emulators: Emulators) -> None:
    issue(emulators, (34.05, -118.25))
    assert (await weather.alerts(*GARDEN)).alerts == []


async def test_a_place_is_spelled_so_that_the_service_does_not_redirect(weather: Weather, emulators: Emulators) -> None:
    await weather.alerts(40.7, -74.00004)
    [asked] = emulators.requests("weather")
    assert (asked["status"], asked["query"]) == (200, "point=40.7%2C-74&status=actual")


async def test_where_nobody_warns_the_forecast_does_and_says_so(weather: Weather, emulators: Emulators) -> None:
    predict(emulators, TODAY, wind_gusts_10m_max=96.0)
    predict(emulators, TODAY + timedelta(days=1), weather_code=96)
    found = await weather.alerts(*HOUSE)
    assert not found.covered
    assert [(one.event, one.severity, one.source) for one in found.alerts] == [
        ("Wind gusts", AlertSeverity.SEVERE, AlertSource.FORECAST),
        ("Thunderstorm", AlertSeverity.SEVERE, AlertSource.FORECAST),
    ]


async def test_a_calm_place_without_a_weather_service_has_no_alert(weather: Weather) -> None:
    found = await weather.alerts(*HOUSE)
    assert (found.covered, found.alerts) == (False, [])


async def test_an_alert_of_the_forecast_is_the_same_while_the_forecast_changes(
    weather: Weather, emulators: Emulators
) -> None:
    predict(emulators, TODAY, wind_gusts_10m_max=80.0)
    [before] = (await weather.alerts(*HOUSE)).alerts
    predict(emulators, TODAY, wind_gusts_10m_max=120.0)
    [after] = (await weather.alerts(*HOUSE)).alerts
    assert (before.alert_id, before.severity, after.severity) == (
        after.alert_id,
        AlertSeverity.MODERATE,
        AlertSeverity.EXTREME,
    )
    assert after.urgency in {AlertUrgency.EXPECTED, AlertUrgency.FUTURE}


async def test_a_day_is_told_in_the_units_of_its_fields(weather: Weather, emulators: Emulators) -> None:
    day = TODAY + timedelta(days=5)
    predict(emulators, day, wind_gusts_10m_max=61.5, precipitation_sum=12.4, weather_code=63)
    found = await weather.forecast(*HOUSE, day)
    assert (found.day, found.wind_gusts_max_kmh, found.precipitation_mm, found.weather_code) == (day, 61.5, 12.4, 63)


async def test_a_day_beyond_the_forecast_is_told_as_such(weather: Weather) -> None:
    with raises_typed() as found:
        await weather.forecast(*HOUSE, TODAY + timedelta(days=200))
    assert (type(found[0]), found[0].detail.code) == (InvalidInput, "no_forecast")


@pytest.mark.parametrize("place", [(90.1, 0.0), (0.0, -180.5), (float("nan"), 0.0), (0.0, float("inf"))])
async def test_what_is_no_place_on_earth_is_not_asked_for(
    weather: Weather, emulators: Emulators, place: tuple[float, float]
) -> None:
    with pytest.raises(InvalidInput):
        await weather.alerts(*place)
    assert emulators.requests("weather") == []


@pytest.mark.parametrize("unit", ["mp/h", None])
async def test_f34_a_forecast_in_other_units_is_not_read(
    weather: Weather, monkeypatch: pytest.MonkeyPatch, unit: str | None
) -> None:
    real = weather._forecasts.request_json

    async def drifted(*given: Any, **more: Any) -> Any:
        answer = await real(*given, **more)
        return {**answer, "daily_units": {**answer["daily_units"], "wind_gusts_10m_max": unit}}

    monkeypatch.setattr(weather._forecasts, "request_json", drifted)
    with raises_typed() as found:
        await weather.forecast(*HOUSE, TODAY)
    assert (type(found[0]), found[0].detail.code) == (Transient, "vendor_bad_response")


@pytest.mark.parametrize("fault", ["reset", "hang", "garbage", "truncate", "html_login_page"])
@pytest.mark.parametrize("asked", ["alerts", "forecast"])
async def test_f24_f25_an_answer_that_is_not_usable_may_be_asked_for_again(
    weather: Weather, emulators: Emulators, monkeypatch: pytest.MonkeyPatch, fault: str, asked: str
) -> None:
    for client in (weather._alerts, weather._forecasts):
        monkeypatch.setattr(client, "_timeout_s", 0.5)
    emulators.fault("weather", fault, count=1)
    with raises_typed() as found:
        await (weather.alerts(*GARDEN) if asked == "alerts" else weather.forecast(*GARDEN, TODAY))
    assert type(found[0]) is Transient


@pytest.mark.parametrize(("status", "kind"), [(403, Permanent), (500, Transient), (502, Transient), (503, Transient)])
async def test_each_refusal_becomes_the_error_that_recovers(
    weather: Weather, emulators: Emulators, status: int, kind: type[WedSyncError]
) -> None:
    emulators.fault("weather", "status", status=status)
    with raises_typed() as found:
        await weather.alerts(*GARDEN)
    assert type(found[0]) is kind


async def test_f18_the_wait_the_vendor_asks_for_is_kept(weather: Weather, emulators: Emulators) -> None:
    emulators.fault("weather", "rate_limit", retryAfter=5)
    with raises_typed() as found:
        await weather.alerts(*GARDEN)
    assert (type(found[0]), found[0].detail.retry_after_s) == (RateLimited, 5)


async def test_every_request_asks_for_admission_first(emulators: Emulators) -> None:
    class Closed:
        async def admit(self, calls: int = 1) -> None:
            raise RateLimited("limit_reached", "The limit is used up.", retry_after_s=3)

        async def give_back(self, calls: int) -> None: ...

    shut = Weather(replace(connection("weather", emulators.base_url("weather"), {}), admission=Closed()))
    for ask in (shut.probe, lambda: shut.alerts(*GARDEN), lambda: shut.forecast(*GARDEN, TODAY)):
        with raises_typed() as found:
            await ask()
        assert type(found[0]) is RateLimited
    assert emulators.requests("weather") == []
    await shut.aclose()


async def test_the_probe_answers(weather: Weather) -> None:
    assert (await weather.probe()).ok


@pytest.mark.parametrize(
    ("credential", "settings", "host"),
    [
        ({}, {}, "https://api.open-meteo.com"),
        ({"apiKey": SecretStr("k")}, {}, "https://customer-api.open-meteo.com"),
        ({}, {"forecastUrl": "https://customer-api.open-meteo.com"}, "https://customer-api.open-meteo.com"),
    ],
)
async def test_forecasts_come_from_their_own_host(
    credential: dict[str, SecretStr], settings: dict[str, str], host: str
) -> None:
    given = replace(connection("weather", "https://api.weather.gov", {}, **settings), credential=credential)
    connector = Weather(given)
    assert str(connector._forecasts._client.base_url).rstrip("/") == host
    await connector.aclose()


def test_f61_forecasts_come_from_the_vendors_hosts_only() -> None:
    given = connection("weather", "https://api.weather.gov", {}, forecastUrl="https://forecasts.example.com")
    with pytest.raises(InvalidInput) as caught:
        Weather(given)
    assert caught.value.detail.code == "url_not_allowed"


async def test_the_weather_service_is_told_whom_to_ask(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> None:
    given = connection("weather", emulators.base_url("weather"), {}, contact="ops@wedsync.example")
    connector = Weather(given)
    sent: list[httpx.Request] = []
    connector._alerts._client.event_hooks["request"] = [_kept(sent)]
    await connector.alerts(*GARDEN)
    assert sent[0].headers["User-Agent"] == "wedsync-orchestrator (ops@wedsync.example)"
    await connector.aclose()


def _kept(sent: list[httpx.Request]) -> Any:
    async def keep(request: httpx.Request) -> None:
        sent.append(request)

    return keep


async def test_every_request_is_one_the_vendors_describe(weather: Weather, emulators: Emulators) -> None:
    described = {
        "/alerts/active": yaml.safe_load((specs_dir("weather") / "nws-openapi.yaml").read_text()),
        "/v1/forecast": yaml.safe_load((specs_dir("weather") / "open-meteo-forecast.yml").read_text()),
    }
    await weather.alerts(*GARDEN)
    await weather.forecast(*GARDEN, TODAY)
    for asked in emulators.requests("weather"):
        document = described[asked["path"]]
        known = {_resolved(document, one)["name"] for one in document["paths"][asked["path"]]["get"]["parameters"]}
        assert set(httpx.QueryParams(asked["query"])) <= known


def _resolved(document: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    for part in given.get("$ref", "#").removeprefix("#").strip("/").split("/"):
        given = (document if part == "components" else given)[part] if part else given
    return given
