"""The weather: official alerts where a weather service warns, and forecasts everywhere."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import ClassVar

from activities.connectors.feed import nws, open_meteo
from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, RateLimit
from activities.transform.weather import forecast_alerts
from activities.transport.client import JsonClient
from activities.transport.outbound import vet
from contracts.errors import InvalidInput
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult
from contracts.weather import DayForecast, WeatherAlerts

_FORECASTS, _COMMERCIAL = "https://api.open-meteo.com", "https://customer-api.open-meteo.com"
_DAYS_AHEAD = 3
_MAX_LATITUDE, _MAX_LONGITUDE = 90, 180
_PROBED = ("38.8977", "-77.0365")


class Weather:
    """Two public services, neither of which needs a credential.

    Source: US National Weather Service API, https://www.weather.gov/documentation/services-web-api, and Open-Meteo,
    https://open-meteo.com/en/docs
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="weather",
        title="Weather (NWS, Open-Meteo)",
        family=IntegrationType.FEED,
        api_version="NWS 1.9, Open-Meteo v1",
        documentation_url="https://www.weather.gov/documentation/services-web-api",
        credential_fields=(),
        optional_credential_fields=("apiKey",),
        optional_settings=("contact", "forecastUrl"),
        default_base_url="https://api.weather.gov",
        hosts=("api.weather.gov", "api.open-meteo.com", "customer-api.open-meteo.com"),
        capabilities=frozenset({Capability.FEED}),
        guarantee=EffectGuarantee.READS_ONLY,
        rate_limit=RateLimit(requests=5, per_s=1.0),
        timeout_s=15.0,
        notes=(
            "Official alerts exist for the United States; elsewhere covered is false, and they come from the forecast.",
            "Alerts from the forecast: gusts from 74, 93 and 119 km/h, thunderstorms by WMO code 95 to 99.",
            "Open-Meteo allows about 600 free calls a minute, for non-commercial use; an apiKey opens its paid host.",
            "The weather service publishes no figure for requests; five a second are ours.",
            "The setting contact, a mail address or page, goes into the User-Agent as the weather service asks.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        contact = connection.setting("contact")
        agent = f"wedsync-orchestrator ({contact})" if contact.isprintable() and contact else "wedsync-orchestrator"
        self._alerts = self._client(connection.base_url, agent)
        self._forecasts = self._client(self._forecast_url(), agent)

    def _client(self, base_url: str, agent: str) -> JsonClient:
        headers = {"User-Agent": agent}
        return JsonClient.opened(self._connection, self.manifest.timeout_s, headers, base_url=base_url)

    def _forecast_url(self) -> str:
        """The forecast's own host; an address of the tenant's own serves both."""
        connection = self._connection
        if given := connection.setting("forecastUrl"):
            return vet(given, self.manifest, connection.outbound).url
        if connection.base_url != self.manifest.default_base_url:
            return connection.base_url
        return _COMMERCIAL if "apiKey" in connection.credential else _FORECASTS

    async def aclose(self) -> None:
        """Close the sockets."""
        await self._alerts.aclose()
        await self._forecasts.aclose()

    async def probe(self) -> ConnectionProbe:
        """Ask for today's forecast of one place.

        Raises:
            Transient: no usable answer.
        """
        began = time.monotonic()
        await open_meteo.daily(self._forecasts, *_PROBED, forecast_days=1, apikey=self._key())
        return ConnectionProbe(ok=True, latency_ms=(time.monotonic() - began) * 1_000, features=["read_only"])

    async def provision(self) -> ProvisionResult:
        """Create nothing.

        Idempotent: yes.
        """
        return ProvisionResult()

    async def alerts(self, latitude: float, longitude: float) -> WeatherAlerts:
        """Return the alerts in force at a place; the forecast's of the next three days where nobody warns.

        Raises:
            InvalidInput: there is no such place on Earth.
            Transient: no usable answer.
        """
        north, east = _degrees(latitude, _MAX_LATITUDE), _degrees(longitude, _MAX_LONGITUDE)
        official = await nws.active_alerts(self._alerts, f"{north},{east}")
        if official is not None:
            return WeatherAlerts(covered=True, alerts=official)
        days = await open_meteo.daily(self._forecasts, north, east, forecast_days=_DAYS_AHEAD, apikey=self._key())
        return WeatherAlerts(covered=False, alerts=forecast_alerts(f"{north},{east}", days, datetime.now(UTC)))

    async def forecast(self, latitude: float, longitude: float, day: date) -> DayForecast:
        """Return what a local day is expected to bring at a place.

        Raises:
            InvalidInput: there is no such place, or no forecast of that day yet.
            Transient: no usable answer.
        """
        north, east = _degrees(latitude, _MAX_LATITUDE), _degrees(longitude, _MAX_LONGITUDE)
        period = {"start_date": day.isoformat(), "end_date": day.isoformat()}
        days = await open_meteo.daily(self._forecasts, north, east, apikey=self._key(), **period)
        if [one.day for one in days] != [day]:
            raise nws.bad_answer("forecast.daily")
        return days[0]

    def _key(self) -> str | None:
        return self._connection.secret("apiKey") if "apiKey" in self._connection.credential else None


def _degrees(value: float, most: int) -> str:
    """At most four decimals and no trailing zeros: the weather service redirects other spellings."""
    if not -most <= value <= most:
        raise InvalidInput(
            "no_such_place",
            "The coordinates name no place on Earth: latitudes end at 90 degrees, longitudes at 180.",
            action="Correct the venue's coordinates.",
            system="weather",
        )
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
