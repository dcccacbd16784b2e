"""Looking at the weather over the weddings of the next days, and raising emergencies about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from contracts.base import Contract, Instant, OpaqueId, ShortText
from contracts.emergency import EmergencyAlert
from contracts.integration import Platform
from contracts.weather import AlertSeverity


class WatchedPlace(Contract):
    """A wedding whose weather is watched, and the policy that says who is alerted."""

    organization_id: OpaqueId
    policy_id: OpaqueId
    integration_id: OpaqueId
    platform: Platform
    wedding_id: OpaqueId
    latitude: float
    longitude: float
    time_zone: ShortText = "UTC"
    begins_at: Instant
    ends_at: Instant
    alert_from: AlertSeverity


class WatchedPlaces(Contract):
    """The places to look at now."""

    places: Annotated[list[WatchedPlace], Field(max_length=2_000)] = []


class OpenWarning(Contract):
    """A warning that an emergency was raised about, until it is over."""

    organization_id: OpaqueId
    wedding_id: OpaqueId
    warning_id: OpaqueId
    """The weather service's alert, the same through all its updates."""
    severity: AlertSeverity
    alert_id: OpaqueId
    """The emergency's."""


class PlaceWarning(Contract):
    """A warning that stands over a wedding, with the emergency it calls for."""

    warning: OpenWarning
    alert: EmergencyAlert


class PlaceLook(Contract):
    """What a look at one place found."""

    warnings: Annotated[list[PlaceWarning], Field(max_length=200)] = []


class WatchWeatherInput(Contract):
    """Input of `WatchWeather`, which its schedule starts."""

    shard: int = Field(default=0, ge=0)
    shards: int = Field(default=1, ge=1)
    ahead: timedelta = timedelta(hours=48)
    """How long before a wedding its weather is watched."""


class PlacesRequest(Contract):
    """Input of `weather_watch.places`."""

    watch: WatchWeatherInput
    now: Instant


class WatchWeatherResult(Contract):
    """Result of `WatchWeather`, which the next run begins with."""

    looked: int = 0
    failed: int = 0
    """Places that could not be looked at; the next run looks again."""
    raised: int = 0
    cleared: int = 0
    open: Annotated[list[OpenWarning], Field(max_length=2_000)] = []
