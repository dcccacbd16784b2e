"""Finding out who is busy and what is free, from the mirror of a booking system and from calendars."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from temporalio import activity

from activities.access import Access
from activities.booking_news import BookingNews, tell
from activities.ports.availability import AvailabilityConnector
from activities.ports.bookings import BookingConnector
from activities.ports.manifest import Capability
from activities.storage.booking_mirror import BookingMirror, MirroredSession
from activities.storage.connections import ConnectionStore, StoredConnection
from activities.storage.database import Database
from activities.storage.ledger import EffectLedger
from activities.storage.slot_holds import SlotHoldStore
from activities.transform.alternatives import Span, WorkingHours, rank
from contracts.errors import InvalidInput
from contracts.notification import Slot
from contracts.resource_day import (
    BookingRef,
    BusySpan,
    BusySpans,
    FindSlot,
    FoundSlot,
    LookAround,
    RankAlternatives,
    RankedAlternatives,
    ReadBookings,
    ReadCalendar,
    Recipients,
    ResourceDayKey,
    Sources,
    SystemRef,
    day_of,
    resource_day,
)

_WHOLE_EVERY = timedelta(hours=6)
"""Deleted sessions are told by no list of changes: the mirror is read as a whole this often."""
_AROUND = timedelta(days=15)
_MOST_RESOURCES = 20
_MOST_CALENDARS = 10
_MOST_SPANS = 500


class Bookings:
    """The verbs of availability.

    Args:
        access: opens connectors.
        connections: tells which systems an organisation has.
        database: keeps the mirror and the holds.
    """

    def __init__(self, access: Access, connections: ConnectionStore, database: Database) -> None:
        self._access = access
        self._connections = connections
        self._database = database
        self._holds = SlotHoldStore(database)
        self._news = BookingNews(EffectLedger(database))

    def _mirror(self, organization_id: str, integration_id: str) -> BookingMirror:
        return BookingMirror(self._database, organization_id, integration_id)

    @activity.defn(name="bookings.sources")
    async def sources(self, request: LookAround) -> Sources:
        """Say which systems know about a resource around a day, and whether the mirror is fresh.

        Idempotent: yes, it changes nothing.

        Raises:
            InvalidInput: no such integration.
        """
        day = request.day
        stored = await self._access.stored(day.organization_id, day.integration_id)
        mirror = self._mirror(day.organization_id, day.integration_id)
        reads = await mirror.reads()
        calendars = [
            _ref(one)
            for one in await self._connections.of_organization(day.organization_id)
            if not one.state.refuses_work and Capability.AVAILABILITY in self._capabilities(one)
        ]
        others = await mirror.like(day.resource_id)
        return Sources(
            bookings=_ref(stored),
            stale=reads is None or (datetime.now(UTC) - reads.read_at).total_seconds() > request.max_age_s,
            known=reads is not None,
            calendars=calendars[:_MOST_CALENDARS],
            resource_ids=[day.resource_id, *others][:_MOST_RESOURCES],
            starts_at=day.opens_at - _AROUND,
            ends_at=day.closes_at + _AROUND,
        )

    def _capabilities(self, stored: StoredConnection) -> frozenset[Capability]:
        return self._access.manifest(stored.configuration.platform).capabilities

    @activity.defn(name="bookings.refresh")
    async def refresh(self, request: ReadBookings) -> None:
        """Bring the mirror of a booking system up to date, and tell weddings of days that were changed there.

        Idempotent: yes; an attempt that is broken off leaves what it has read, and the next one begins anew.

        Raises:
            InvalidInput: the integration is no booking system.
            Transient: the system does not answer.
        """
        source = request.source
        connector = await self._access.connector(source.organization_id, source.integration_id, BookingConnector)
        stored = await self._access.stored(source.organization_id, source.integration_id)
        mirror = self._mirror(source.organization_id, source.integration_id)
        now = datetime.now(UTC)
        reads = await mirror.reads()
        whole = reads is None or now - reads.whole_at > _WHOLE_EVERY
        async for page in connector.changes(None if whole or reads is None else reads.read_at):
            # Before the mirror knows it: an attempt that is broken off here tells it again, which changes nothing.
            for news in await self._news.of(stored.configuration, mirror, page):
                await tell(news)
            await mirror.put(page, now)
            activity.heartbeat()
        await mirror.finished(now, whole=whole)

    @activity.defn(name="bookings.read_calendar")
    async def read_calendar(self, request: ReadCalendar) -> BusySpans:
        """Return when a calendar has the resources; those that it does not know are not busy there.

        Idempotent: yes, it changes nothing.
        """
        source = request.source
        connector = await self._access.connector(source.organization_id, source.integration_id, AvailabilityConnector)
        spans: list[BusySpan] = []
        for resource_id in request.resource_ids:
            activity.heartbeat()
            with suppress(InvalidInput):
                for busy in await connector.busy(resource_id, request.starts_at, request.ends_at):
                    slot = Slot(resource_id=resource_id, starts_at=busy.starts_at, ends_at=busy.ends_at)
                    spans.append(BusySpan(slot=slot, booking_id=busy.booking_id))
        return BusySpans(spans=spans[: 4 * _MOST_SPANS])

    @activity.defn(name="bookings.locate")
    async def locate(self, request: FindSlot) -> FoundSlot:
        """Return the contested slot: the time of a session of either booking on that day, else the first of the day.

        Idempotent: yes, it changes nothing.

        Raises:
            InvalidInput: no such integration.
        """
        conflict = request.conflict
        stored = await self._access.stored(request.organization_id, request.integration_id)
        zone = zone_of(stored)
        day = resource_day(
            request.organization_id, request.integration_id, conflict.photographer_id, conflict.conflict_date, zone
        )
        pair = [conflict.primary_booking_id, conflict.conflicting_booking_id]
        mirror = self._mirror(request.organization_id, request.integration_id)
        there = [
            one
            for one in await mirror.sessions_of(pair, conflict.photographer_id)
            if day_of(one.starts_at, zone) == conflict.conflict_date
        ]
        there.sort(key=lambda one: (pair.index(one.booking_id), one.starts_at))
        starts_at = there[0].starts_at if there else _first_hour(stored, day)
        ends_at = min(starts_at + timedelta(minutes=conflict.duration), day.closes_at)
        sessions: dict[str, list[str]] = {}
        for one in there:
            sessions.setdefault(one.booking_id, []).append(one.session_id)
        slot = Slot(resource_id=conflict.photographer_id, starts_at=starts_at, ends_at=ends_at)
        return FoundSlot(day=day, slot=slot, sessions=sessions)

    @activity.defn(name="bookings.rank")
    async def rank(self, request: RankAlternatives) -> RankedAlternatives:
        """Return the free slots that a booking could take instead, and what is taken on the day.

        Idempotent: yes, it changes nothing.
        """
        day = request.day
        stored = await self._access.stored(day.organization_id, day.integration_id)
        mirror = self._mirror(day.organization_id, day.integration_id)
        resources = request.resource_ids or [day.resource_id]
        opens, closes = day.opens_at - _AROUND, day.closes_at + _AROUND
        sessions = await mirror.sessions(resources, opens, closes)
        taken: dict[str, list[Span]] = defaultdict(list)
        for session in sessions:
            taken[session.resource_id].append((session.starts_at, session.ends_at))
        for span in request.calendar:
            taken[span.slot.resource_id].append((span.slot.starts_at, span.slot.ends_at))
        for kept in await self._holds.live(day, resources, opens, closes, request.now):
            taken[kept.resource_id].append((kept.starts_at, kept.ends_at))
        # The time that is wanted is wanted by somebody else as well.
        taken[request.wanted.resource_id].append((request.wanted.starts_at, request.wanted.ends_at))
        venue = next((one.time_zone for one in sessions if one.booking_id in request.booking_ids), day.time_zone)
        return RankedAlternatives(
            alternatives=rank(
                request.wanted.resource_id,
                (request.wanted.starts_at, request.wanted.ends_at),
                taken=taken,
                others=resources,
                zone=venue,
                hours=hours_of(stored),
                now=request.now,
            ),
            taken=_on_the_day(day, sessions, request.calendar)[:_MOST_SPANS],
        )

    @activity.defn(name="bookings.recipients")
    async def recipients(self, request: BookingRef) -> Recipients:
        """Return whom the news of a booking goes to, as the booking system knows them now.

        Idempotent: yes, it changes nothing.
        """
        source = request.source
        connector = await self._access.connector(source.organization_id, source.integration_id, BookingConnector)
        return Recipients(addresses=list(await connector.recipients(request.booking_id))[:_MOST_RESOURCES])


def zone_of(stored: StoredConnection) -> str:
    """Return the zone in which a booking system's days turn: its setting `timeZone`, UTC without one."""
    return str(stored.configuration.connection_config.settings.get("timeZone") or "UTC")


def hours_of(stored: StoredConnection) -> WorkingHours:
    """Return when sessions may be, from the setting `workingHours`.

    Raises:
        InvalidInput: the setting does not read like `08:00-23:00`.
    """
    told = stored.configuration.connection_config.settings.get("workingHours")
    if told is None:
        return WorkingHours()
    opens, _, closes = str(told).partition("-")
    try:
        return WorkingHours(time.fromisoformat(opens.strip()), time.fromisoformat(closes.strip()))
    except ValueError:
        raise InvalidInput(
            "working_hours_invalid",
            "The setting workingHours does not read like 08:00-23:00.",
            action="Correct it with `wedsync integrations reconfigure FILE`.",
        ) from None


def _first_hour(stored: StoredConnection, day: ResourceDayKey) -> datetime:
    opens = hours_of(stored).opens
    return datetime.combine(day.day, opens, ZoneInfo(day.time_zone)).astimezone(UTC)


def _on_the_day(day: ResourceDayKey, sessions: list[MirroredSession], calendar: list[BusySpan]) -> list[BusySpan]:
    found = [
        BusySpan(
            slot=Slot(resource_id=one.resource_id, starts_at=one.starts_at, ends_at=one.ends_at),
            booking_id=one.booking_id,
            confirmed=one.confirmed,
        )
        for one in sessions
    ]
    return [
        span
        for span in [*found, *calendar]
        if span.slot.resource_id == day.resource_id
        and span.slot.starts_at < day.closes_at
        and day.opens_at < span.slot.ends_at
    ]


def _ref(stored: StoredConnection) -> SystemRef:
    configuration = stored.configuration
    return SystemRef(
        organization_id=configuration.organization_id,
        integration_id=configuration.integration_id,
        system=configuration.platform,
    )
