"""Alerts read from a forecast: from which gusts and weather codes on, for which hours, and under which id."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from activities.transform.weather import forecast_alerts
from contracts.weather import AlertSeverity, AlertUrgency, DayForecast

DAY = date(2027, 6, 12)
NOON = datetime(2027, 6, 12, 11, 0, tzinfo=UTC)


def day(when: date = DAY, zone: str = "Europe/London", **told: float) -> DayForecast:
    return DayForecast(day=when, time_zone=zone, **told)


@pytest.mark.parametrize(
    ("gusts", "severity"),
    [
        (73.9, None),
        (74.0, AlertSeverity.MODERATE),
        (93.0, AlertSeverity.SEVERE),
        (118.9, AlertSeverity.SEVERE),
        (119.0, AlertSeverity.EXTREME),
    ],
)
def test_gusts_alarm_from_the_documented_speeds_on(gusts: float, severity: AlertSeverity | None) -> None:
    found = forecast_alerts("51.8,-0.8", [day(wind_gusts_max_kmh=gusts)], NOON)
    assert [alert.severity for alert in found] == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("code", "severity"),
    [
        (0, None),
        (82, None),
        (94, None),
        (95, AlertSeverity.MODERATE),
        (96, AlertSeverity.SEVERE),
        (99, AlertSeverity.SEVERE),
    ],
)
def test_thunderstorms_alarm_by_their_weather_code(code: int, severity: AlertSeverity | None) -> None:
    found = forecast_alerts("51.8,-0.8", [day(weather_code=code)], NOON)
    assert [alert.severity for alert in found] == ([severity] if severity else [])


def test_a_day_of_which_the_model_says_nothing_alarms_nobody() -> None:
    assert forecast_alerts("51.8,-0.8", [day()], NOON) == []


def test_an_alert_covers_the_places_own_day() -> None:
    [alert] = forecast_alerts("40.7,-74", [day(zone="America/New_York", weather_code=95)], NOON)
    assert alert.onset == datetime(2027, 6, 12, 4, 0, tzinfo=UTC)
    assert alert.ends == datetime(2027, 6, 13, 4, 0, tzinfo=UTC)


def test_f47_a_day_of_twenty_three_hours_ends_at_its_own_midnight() -> None:
    [alert] = forecast_alerts("51.8,-0.8", [day(date(2027, 3, 28), weather_code=95)], NOON)
    assert alert.onset is not None
    assert alert.ends is not None
    assert alert.ends - alert.onset == timedelta(hours=23)


def test_today_is_expected_and_tomorrow_is_future() -> None:
    days = [day(weather_code=95), day(DAY + timedelta(days=1), weather_code=95)]
    found = forecast_alerts("51.8,-0.8", days, NOON)
    assert [alert.urgency for alert in found] == [AlertUrgency.EXPECTED, AlertUrgency.FUTURE]


def test_each_place_day_and_danger_has_an_alert_of_its_own() -> None:
    days = [day(weather_code=95, wind_gusts_max_kmh=80), day(DAY + timedelta(days=1), weather_code=95)]
    found = [alert.alert_id for place in ("51.8,-0.8", "51.9,-0.8") for alert in forecast_alerts(place, days, NOON)]
    assert len(set(found)) == len(found) == 6
