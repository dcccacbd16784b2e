"""The Protocol of connectors that know the weather."""

from __future__ import annotations

from datetime import date
from typing import Protocol, runtime_checkable

from activities.ports.connector import Connector
from contracts.weather import DayForecast, WeatherAlerts


@runtime_checkable
class WeatherConnector(Connector, Protocol):
    """A feed of the weather (capability `feed`)."""

    async def alerts(self, latitude: float, longitude: float) -> WeatherAlerts:
        """Return the alerts in force at a place, given in degrees."""
        ...

    async def forecast(self, latitude: float, longitude: float, day: date) -> DayForecast:
        """Return what a local day is expected to bring at a place.

        Raises:
            InvalidInput: there is no forecast of that day yet.
        """
        ...
