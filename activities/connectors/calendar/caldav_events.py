"""Events in iCalendar: how a wedding or a hold is written over what stands, and which times are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import recurring_ical_events  # type: ignore[import-untyped]
from icalendar import Calendar, Event
from pydantic import JsonValue

from activities.ports.availability import BusySlot
from contracts.errors import Owner, Permanent, Transient, WedSyncError

PRODUCT = "-//WedSync//Orchestrator//EN"
EFFECT, BOOKING, AS_OF = "X-WEDSYNC-EFFECT", "X-WEDSYNC-BOOKING", "X-WEDSYNC-AS-OF"
"""Effects that the event shows, the ids of the booking it is about, and the instant its facts are of."""
_WORDS = ("SUMMARY", "DESCRIPTION", "LOCATION", "STATUS")
_TOO_OFTEN = {"SECONDLY", "MINUTELY", "HOURLY"}
_DAY, _YEAR = timedelta(days=1), timedelta(days=366)


@dataclass(frozen=True)
class Taken(BusySlot):
    """A busy slot with the effects that put it there and the ids of its booking, none for events of other people."""

    effects: frozenset[str] = frozenset()
    bookings: frozenset[str] = frozenset()


def parsed(body: bytes, operation: str) -> Calendar:
    """Return a calendar object as the server holds it.

    Raises:
        Transient: `vendor_bad_response`, it is no iCalendar.
    """
    try:
        found = Calendar.from_ical(body)
    except (ValueError, IndexError, KeyError):
        found = None
    if not isinstance(found, Calendar):
        raise Transient(
            "vendor_bad_response",
            f"caldav answered {operation} with something other than iCalendar.",
            system="caldav",
            operation=operation,
        )
    return found


def effects_of(standing: Calendar) -> frozenset[str]:
    """Return the ids of the effects that an event shows."""
    event = _master(standing)
    return frozenset() if event is None else _effects(event)


def bookings_of(standing: Calendar) -> frozenset[str]:
    """Return the ids of the booking an event is about, none where it is not ours."""
    event = _master(standing)
    return frozenset() if event is None else frozenset(_text(event, BOOKING).split())


def stands(standing: Calendar, wanted: Mapping[str, JsonValue]) -> bool:
    """Return whether an event reads as wanted, or tells something newer."""
    event = _master(standing)
    if event is None:
        return False
    known, told = _text(event, AS_OF), datetime.fromisoformat(str(wanted["asOf"]))
    # An older fact that reads the same is written over all the same, or one in between could undo it later.
    if known and datetime.fromisoformat(known) != told:
        return datetime.fromisoformat(known) > told
    start, end = _times(wanted)
    return (
        all(_text(event, name) == str(wanted.get(name.lower()) or "") for name in _WORDS)
        and _text(event, BOOKING) == str(wanted.get("booking") or "")
        and (_when(event, "DTSTART"), _when(event, "DTEND")) == (_moment(start), _moment(end))
    )


def written(standing: Calendar | None, wanted: Mapping[str, JsonValue], effects: frozenset[str]) -> bytes:
    """Return the object to store: the wanted event, with everything that others added to the one that stands.

    Args:
        standing: what the server holds, None where it holds nothing.
        wanted: `uid`, `start`, `end`, `timeZone`, `summary`, `description`, `location`, `status`, `booking`, `asOf`.
        effects: ids of the effects that the event then shows.

    Source: RFC 5545, 3.6.1 (VEVENT), 3.8.7.4 (SEQUENCE).
    """
    calendar = standing or _empty()
    event = _master(calendar)
    sequence = 0
    if event is None:
        event = Event()
        event.add("UID", str(wanted["uid"]))
        calendar.add_component(event)
    else:
        sequence = int(str(event.get("SEQUENCE", 0))) + 1
    start, end = _times(wanted)
    as_of = datetime.fromisoformat(str(wanted["asOf"])).astimezone(UTC)
    values: dict[str, Any] = {
        "DTSTART": start,
        "DTEND": end,
        "DTSTAMP": as_of,
        "LAST-MODIFIED": as_of,
        "SEQUENCE": sequence,
        **{name: wanted.get(name.lower()) for name in _WORDS},
        BOOKING: wanted.get("booking"),
        AS_OF: as_of.isoformat(),
        EFFECT: " ".join(sorted(effects)),
    }
    for name in (*values, "DURATION"):
        event.pop(name, None)
    for name, value in values.items():
        if value not in {None, ""}:
            event.add(name, value)
    _describe_zone(calendar, start, str(wanted["timeZone"]))
    return bytes(calendar.to_ical())


def widened(starts_at: datetime, ends_at: datetime) -> tuple[datetime, datetime]:
    """Return the time to ask a server for, which reads days without a time in a zone of its own."""
    return starts_at - _DAY, ends_at + _DAY


def taken(bodies: list[bytes], starts_at: datetime, ends_at: datetime, zone: ZoneInfo) -> list[Taken]:
    """Return the times that events take within the time asked for, repeated ones included, in order.

    Args:
        bodies: calendar objects.
        starts_at: aware.
        ends_at: aware.
        zone: in which days without a time, and times without a zone, are read.

    Raises:
        Permanent: `event_unreadable`, an event cannot be told apart from free time.
        Transient: an object is no iCalendar.
    """
    found: list[Taken] = []
    for body in bodies:
        calendar = parsed(body, "events.query")
        for event in _occurrences(calendar, *widened(starts_at, ends_at)):
            if _text(event, "TRANSP") == "TRANSPARENT" or _text(event, "STATUS") == "CANCELLED":
                continue
            begin, finish = _instant(event.start, zone), _instant(event.end, zone)
            if begin < min(finish, ends_at) and finish > starts_at:
                bookings = _text(event, BOOKING).split()
                first = bookings[0] if bookings else None
                found.append(Taken(begin, finish, first, _effects(event), frozenset(bookings)))
    return sorted(found, key=lambda slot: (slot.starts_at, slot.ends_at))


def _occurrences(calendar: Calendar, starts_at: datetime, ends_at: datetime) -> list[Event]:
    try:
        often = {str(freq) for one in calendar.events for rule in one.rrules for freq in rule.get("FREQ", [])}
        if often & _TOO_OFTEN:
            raise _unreadable()
        return [one for one in recurring_ical_events.of(calendar).between(starts_at, ends_at) if one.name == "VEVENT"]
    except (ValueError, TypeError, KeyError, ArithmeticError):
        raise _unreadable() from None


def _unreadable() -> WedSyncError:
    return Permanent(
        "event_unreadable",
        "The calendar holds an event whose times cannot be read.",
        owner=Owner.TENANT,
        action="Look for an event with broken times, or one repeated by the hour or oftener, and correct or remove it.",
        system="caldav",
        operation="events.query",
    )


def _describe_zone(calendar: Calendar, start: date | datetime, zone: str) -> None:
    """Describe the zones for the years around the event; an older description need not reach there."""
    calendar.subcomponents = [
        one for one in calendar.subcomponents if one.name != "VTIMEZONE" or one.get("TZID") != zone
    ]
    day = start.date() if isinstance(start, datetime) else start
    calendar.add_missing_timezones(day - _YEAR, day + _YEAR)


def _empty() -> Calendar:
    calendar = Calendar()
    calendar.add("PRODID", PRODUCT)
    calendar.add("VERSION", "2.0")
    return calendar


def _master(calendar: Calendar) -> Event | None:
    return next((event for event in calendar.events if "RECURRENCE-ID" not in event), None)


def _text(event: Event, name: str) -> str:
    return str(event.get(name, ""))


def _effects(event: Event) -> frozenset[str]:
    return frozenset(_text(event, EFFECT).split())


def _when(event: Event, name: str) -> tuple[str, str] | None:
    given = event.get(name)
    return None if given is None else _moment(given.dt)


def _moment(value: date | datetime) -> tuple[str, str]:
    """The day or the local time, with its zone."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(), str(value.utcoffset())
    return value.isoformat(), ""


def _times(wanted: Mapping[str, JsonValue]) -> tuple[date | datetime, date | datetime]:
    start, end = str(wanted["start"]), str(wanted["end"])
    if "T" not in start:
        return date.fromisoformat(start), date.fromisoformat(end)
    zone = ZoneInfo(str(wanted["timeZone"]))
    return datetime.fromisoformat(start).astimezone(zone), datetime.fromisoformat(end).astimezone(zone)


def _instant(value: date | datetime, zone: ZoneInfo) -> datetime:
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value.replace(tzinfo=zone) if value.tzinfo is None else value).astimezone(UTC)
