"""When a Tripleseat event is, how it is moved, and which time it takes of a room."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from pydantic import JsonValue

from activities.ports.availability import BusySlot
from contracts.base import JsonObject
from contracts.errors import Transient

STATUSES = ("PROSPECT", "TENTATIVE", "DEFINITE", "CLOSED", "LOST", "WAITLIST")
"""Statuses of an event."""

_TAKING = {"TENTATIVE", "DEFINITE", "CLOSED"}
_STAMP = "%m/%d/%Y %I:%M %p"


def stands(event: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> bool:
    """Return whether an event already has the status, or begins on the day and at the time, that is wanted.

    Raises:
        Transient: the event does not say when it is.
    """
    if "status" in wanted:
        return event.get("status") == wanted["status"]
    start = _instant(event, "event_start")
    return start == _begin(start, wanted)


def moved(event: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> JsonObject:
    """Return the fields that move an event to the wanted `date` and `time` of `timeZone`; its length is kept.

    Source: article "Events API": event_start and event_end as mm/dd/yyyy hh:mm am|pm, in the location's time.

    Raises:
        Transient: the event does not say when it is.
    """
    start, end = _instant(event, "event_start"), _instant(event, "event_end")
    begin = _begin(start, wanted)
    zone = ZoneInfo(str(wanted["timeZone"]))
    return {
        "event_start": begin.astimezone(zone).strftime(_STAMP),
        "event_end": (begin + (end - start)).astimezone(zone).strftime(_STAMP),
    }


def occupancy(event: Mapping[str, JsonValue], room: str) -> BusySlot | None:
    """Return the time an event takes of a room, None where it takes none.

    Raises:
        Transient: the event does not say when it is.
    """
    rooms = event.get("room_ids")
    if str(event.get("status")) not in _TAKING or room not in {
        str(one) for one in (rooms if isinstance(rooms, list) else [])
    }:
        return None
    before, after = (_minutes(event.get(name)) for name in ("setup_time", "teardown_time"))
    booking = event.get("booking_id") or event.get("id")
    return BusySlot(
        _instant(event, "event_start") - before,
        _instant(event, "event_end") + after,
        None if booking is None else str(booking),
    )


def _begin(start: datetime, wanted: Mapping[str, JsonValue]) -> datetime:
    local = start.astimezone(ZoneInfo(str(wanted["timeZone"])))
    day = date.fromisoformat(str(wanted["date"])) if wanted.get("date") else local.date()
    clock = time.fromisoformat(str(wanted["time"])) if wanted.get("time") else local.time()
    return datetime.combine(day, clock, local.tzinfo).astimezone(UTC)


def _instant(event: Mapping[str, JsonValue], name: str) -> datetime:
    try:
        return datetime.fromisoformat(str(event.get(f"{name}_utc"))).astimezone(UTC)
    except ValueError:
        raise Transient(
            "vendor_bad_response",
            "tripleseat described an event without saying when it is.",
            system="tripleseat",
            operation="event.read",
        ) from None


def _minutes(value: JsonValue) -> timedelta:
    try:
        return timedelta(minutes=max(0.0, float(str(value))))
    except (ValueError, OverflowError):
        return timedelta()
