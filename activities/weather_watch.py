"""Looking at the weather over weddings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from temporalio import activity

from activities.access import Access
from activities.ports.manifest import Capability
from activities.ports.weather import WeatherConnector
from activities.storage.connections import ConnectionStore, StoredConnection
from activities.storage.escalation_policies import EscalationPolicyStore
from contracts.emergency import EmergencyAlert
from contracts.escalation import EscalationPolicy, WeddingDay
from contracts.names import effect_id, shard_of
from contracts.notification import SourceNotification, WeddingContext
from contracts.weather import AlertSeverity, WeatherAlert
from contracts.weather_watch import OpenWarning, PlaceLook, PlacesRequest, PlaceWarning, WatchedPlace, WatchedPlaces

_DAY = timedelta(days=1)
_WORST_FIRST = tuple(AlertSeverity)
_SPREAD = "weather"


class WeatherWatch:
    """The verbs of the weather watch.

    Args:
        access: opens the feeds.
        connections: which organisation has one.
        policies: which weddings are watched, and where they are.
    """

    def __init__(self, access: Access, connections: ConnectionStore, policies: EscalationPolicyStore) -> None:
        self._access = access
        self._connections = connections
        self._policies = policies

    @activity.defn(name="weather_watch.places")
    async def places(self, request: PlacesRequest) -> WatchedPlaces:
        """Return the weddings of a shard that begin soon or last, of organisations that have a weather feed.

        Idempotent: yes, it changes nothing.
        """
        watch = request.watch
        found: list[WatchedPlace] = []
        for organization_id in await self._policies.organizations():
            if shard_of(organization_id, _SPREAD, watch.shards) != watch.shard:
                continue
            feed = await self._feed(organization_id)
            for policy in await self._policies.of_organization(organization_id) if feed else []:
                places = (_place(policy, day, feed) for day in policy.wedding_days) if feed else ()
                found += [one for one in places if one and one.begins_at - watch.ahead <= request.now < one.ends_at]
        return WatchedPlaces(places=found[:2_000])

    async def _feed(self, organization_id: str) -> StoredConnection | None:
        for stored in await self._connections.of_organization(organization_id):
            capabilities = self._access.manifest(stored.configuration.platform).capabilities
            if Capability.FEED in capabilities and not stored.state.refuses_work:
                return stored
        return None

    @activity.defn(name="weather_watch.look")
    async def look(self, place: WatchedPlace) -> PlaceLook:
        """Return the warnings that are in force over a wedding and bad enough, with the emergencies they call for.

        Idempotent: yes, it changes nothing.

        Raises:
            Transient: the feed does not answer.
        """
        feed = await self._access.connector(place.organization_id, place.integration_id, WeatherConnector)
        found = await feed.alerts(place.latitude, place.longitude)
        return PlaceLook(warnings=list(_warnings(place, found.alerts)))


def _place(policy: EscalationPolicy, day: WeddingDay, feed: StoredConnection) -> WatchedPlace | None:
    if day.latitude is None or day.longitude is None:
        return None
    return WatchedPlace(
        organization_id=policy.organization_id,
        policy_id=policy.policy_id,
        integration_id=feed.configuration.integration_id,
        platform=feed.configuration.platform,
        wedding_id=day.wedding_id,
        latitude=day.latitude,
        longitude=day.longitude,
        time_zone=day.time_zone,
        begins_at=_instant(day.date, day.from_, day.time_zone),
        ends_at=_instant(day.date if day.to > day.from_ else day.date + _DAY, day.to, day.time_zone),
        alert_from=policy.weather_from,
    )


def _instant(day: date, at: time, zone: str) -> datetime:
    return datetime.combine(day, at, ZoneInfo(zone))


def _warnings(place: WatchedPlace, alerts: list[WeatherAlert]) -> Iterator[PlaceWarning]:
    worst = _WORST_FIRST[: _WORST_FIRST.index(place.alert_from) + 1]
    for alert in alerts:
        begins, ends = alert.onset or place.begins_at, alert.ends or place.ends_at
        if alert.severity in worst and begins < place.ends_at and ends > place.begins_at:
            yield _warning(place, alert)


def _warning(place: WatchedPlace, alert: WeatherAlert) -> PlaceWarning:
    """Return the emergency of a warning: the same for the same wedding, warning and severity."""
    alert_id = f"weather-{effect_id(place.wedding_id, alert.alert_id, alert.severity)}"
    begins = (alert.onset or place.begins_at).astimezone(ZoneInfo(place.time_zone))
    return PlaceWarning(
        warning=OpenWarning(
            organization_id=place.organization_id,
            wedding_id=place.wedding_id,
            warning_id=alert.alert_id,
            severity=alert.severity,
            alert_id=alert_id,
        ),
        alert=EmergencyAlert(
            alert_id=alert_id,
            organization_id=place.organization_id,
            policy_id=place.policy_id,
            notification=SourceNotification(
                notification_id=alert_id,
                type="weather_emergency",
                title=f"{alert.event} ({alert.severity}) from {begins:%a %H:%M}"[:255],
                message=alert.instruction or alert.headline or alert.event,
                wedding_context=WeddingContext(
                    wedding_id=place.wedding_id,
                    wedding_date=place.begins_at.astimezone(ZoneInfo(place.time_zone)).date(),
                    time_zone=place.time_zone,
                ),
            ),
        ),
    )
