"""Alerts read from a day's forecast, where no weather service warns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from contracts.names import effect_id
from contracts.weather import AlertCertainty, AlertSeverity, AlertSource, AlertUrgency, DayForecast, WeatherAlert

GUSTS_KMH = (
    (119.0, AlertSeverity.EXTREME),
    (93.0, AlertSeverity.SEVERE),
    (74.0, AlertSeverity.MODERATE),
)
"""Gusts from which a day has an alert: hurricane force (74 mph), and what the US National Weather Service uses for its
High Wind Warning (58 mph) and its Wind Advisory (46 mph). Marquees are often rated for less."""

THUNDERSTORMS = {
    95: AlertSeverity.MODERATE,
    96: AlertSeverity.SEVERE,
    97: AlertSeverity.SEVERE,
    98: AlertSeverity.SEVERE,
    99: AlertSeverity.SEVERE,
}
"""WMO weather code 4677: 95 a thunderstorm, 96 and 99 with hail, 97 heavy, 98 with a duststorm."""


def forecast_alerts(place: str, days: Iterable[DayForecast], now: datetime) -> list[WeatherAlert]:
    """Return one alert per day and danger.

    Args:
        place: what tells the places apart, such as their coordinates.
        days: forecasts, each in its place's own zone.
        now: decides whether a day is today.
    """
    return [alert for day in days for alert in _of_day(place, day, now)]


def _of_day(place: str, day: DayForecast, now: datetime) -> Iterable[WeatherAlert]:
    gusts = day.wind_gusts_max_kmh
    strong = next((severity for least, severity in GUSTS_KMH if gusts is not None and gusts >= least), None)
    if strong is not None:
        yield _alert(place, day, now, "Wind gusts", strong, f"Gusts of up to {gusts:.0f} km/h are forecast.")
    storm = THUNDERSTORMS.get(day.weather_code or 0)
    if storm is not None:
        yield _alert(place, day, now, "Thunderstorm", storm, "Thunderstorms are forecast.")


def _alert(
    place: str, day: DayForecast, now: datetime, event: str, severity: AlertSeverity, headline: str
) -> WeatherAlert:
    zone = ZoneInfo(day.time_zone)
    begins = datetime.combine(day.day, time.min, zone)
    return WeatherAlert(
        alert_id=effect_id("forecast", place, day.day.isoformat(), event),
        event=event,
        severity=severity,
        certainty=AlertCertainty.POSSIBLE,
        urgency=AlertUrgency.EXPECTED if begins <= now else AlertUrgency.FUTURE,
        headline=headline,
        onset=begins,
        ends=datetime.combine(day.day + timedelta(days=1), time.min, zone),
        source=AlertSource.FORECAST,
    )
