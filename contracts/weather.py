"""The weather at a place: alerts that are in force, and what a day is expected to bring."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId, ShortText, Text


class AlertSource(StrEnum):
    """Who says it: a weather service that warns the public, or our own reading of a forecast."""

    WEATHER_SERVICE = "weather_service"
    FORECAST = "forecast"


class AlertSeverity(StrEnum):
    """How bad it may become, in the words of CAP 1.2."""

    EXTREME = "Extreme"
    SEVERE = "Severe"
    MODERATE = "Moderate"
    MINOR = "Minor"
    UNKNOWN = "Unknown"


class AlertCertainty(StrEnum):
    """How sure it is, in the words of CAP 1.2."""

    OBSERVED = "Observed"
    LIKELY = "Likely"
    POSSIBLE = "Possible"
    UNLIKELY = "Unlikely"
    UNKNOWN = "Unknown"


class AlertUrgency(StrEnum):
    """How soon to act, in the words of CAP 1.2."""

    IMMEDIATE = "Immediate"
    EXPECTED = "Expected"
    FUTURE = "Future"
    PAST = "Past"
    UNKNOWN = "Unknown"


class WeatherAlert(Contract):
    """One alert for a place."""

    alert_id: OpaqueId
    """The same through all updates of the alert."""
    event: ShortText
    """Such as `Severe Thunderstorm Warning`."""
    severity: AlertSeverity
    certainty: AlertCertainty
    urgency: AlertUrgency
    headline: ShortText = ""
    instruction: Text = ""
    onset: Instant | None = None
    ends: Instant | None = None
    source: AlertSource


class WeatherAlerts(Contract):
    """The alerts in force at a place, none twice."""

    covered: bool
    """Whether a weather service warns for the place; where none does, the alerts are read from the forecast."""
    alerts: Annotated[list[WeatherAlert], Field(max_length=200)] = []


class DayForecast(Contract):
    """What a day is expected to bring, at the place's own local time; None where the model says nothing."""

    day: date
    time_zone: ShortText
    wind_gusts_max_kmh: float | None = None
    precipitation_mm: float | None = None
    precipitation_probability_percent: float | None = None
    temperature_max_c: float | None = None
    temperature_min_c: float | None = None
    weather_code: int | None = None
    """WMO code 4677 as Open-Meteo uses it: 0 clear, 61-67 rain, 71-77 snow, 95-99 thunderstorm."""
