"""Daily forecasts of Open-Meteo."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from activities.connectors.feed.nws import bad_answer
from activities.transport.client import JsonClient, QueryValue
from contracts.errors import InvalidInput, Permanent
from contracts.weather import DayForecast

_UNITS = {
    "wind_gusts_10m_max": "km/h",
    "precipitation_sum": "mm",
    "precipitation_probability_max": "%",
    "temperature_2m_max": "°C",
    "temperature_2m_min": "°C",
    "weather_code": "wmo code",
}
_BAD_REQUEST = 400
_OPERATION = "forecast.daily"


async def daily(http: JsonClient, latitude: str, longitude: str, **period: QueryValue) -> list[DayForecast]:
    """Return the forecasts of a period at a place, one per local day.

    Args:
        http: a client of the forecast API.
        latitude: in degrees, as text.
        longitude: in degrees, as text.
        period: `forecast_days` from today on, or `start_date` and `end_date`, and `apikey` of a commercial account.

    Raises:
        InvalidInput: there is no forecast of the period, which reaches 16 days ahead.
        Transient: no usable answer, or one in other units than were asked for.

    Source: GET /v1/forecast, https://open-meteo.com/en/docs.
    """
    params: dict[str, QueryValue] = {
        "latitude": latitude,
        "longitude": longitude,
        "daily": ",".join(_UNITS),
        "wind_speed_unit": "kmh",
        "precipitation_unit": "mm",
        "temperature_unit": "celsius",
        "timezone": "auto",
        **period,
    }
    try:
        answer = await http.request_json("GET", "/v1/forecast", operation=_OPERATION, params=params)
    except Permanent as error:
        if error.detail.evidence.get("status") != _BAD_REQUEST:
            raise
        raise InvalidInput(
            "no_forecast",
            "There is no forecast of that place and day; forecasts reach 16 days ahead.",
            action="Ask again when the day is nearer.",
            system="weather",
            operation=_OPERATION,
        ) from None
    return _days(answer)


def _days(answer: Any) -> list[DayForecast]:
    try:
        columns, units, zone = answer["daily"], answer["daily_units"], ZoneInfo(answer["timezone"])
        if any(name in columns and units[name] != unit for name, unit in _UNITS.items()):
            raise bad_answer(_OPERATION)
        return [_day(columns, row, zone.key) for row in range(len(columns["time"]))]
    except (KeyError, IndexError, TypeError, ValueError):
        raise bad_answer(_OPERATION) from None


def _day(columns: dict[str, Any], row: int, time_zone: str) -> DayForecast:
    def value(name: str) -> Any:
        return columns[name][row] if columns.get(name) is not None else None

    return DayForecast(
        day=date.fromisoformat(columns["time"][row]),
        time_zone=time_zone,
        wind_gusts_max_kmh=value("wind_gusts_10m_max"),
        precipitation_mm=value("precipitation_sum"),
        precipitation_probability_percent=value("precipitation_probability_max"),
        temperature_max_c=value("temperature_2m_max"),
        temperature_min_c=value("temperature_2m_min"),
        weather_code=value("weather_code"),
    )
