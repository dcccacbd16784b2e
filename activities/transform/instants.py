"""The instants that a wedding's automations name, in the venue's zone.

The clock at the venue is what counts, so an instant is never kept in the place of a local time and its zone:

- A local time that a change of summer time skips is read with the offset before the change, which the clock then
  shows as much later as it was put forward: 02:30 becomes 03:30. Where that is the next day, as in Greenland, it is
  read with the offset after the change: 23:30 becomes 22:30 and stays on its day.
- A local time that comes twice is the first of the two.
- Elapsed delays are elapsed: 48 hours are 48 hours over any change.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contracts.wedding import Anchor, Automation, AutomationAction, Wedding, WeddingState

_MIDNIGHT = time()


def at_venue(zone: str, day: date, clock: time) -> datetime:
    """Return the instant at which the venue's clock shows `clock` on `day`, in UTC."""
    local = datetime.combine(day, clock, tzinfo=ZoneInfo(zone))
    readings = [reading.astimezone(UTC) for reading in (local.replace(fold=0), local.replace(fold=1))]
    return next((found for found in readings if found.astimezone(local.tzinfo).date() == day), readings[0])


def local_instant(wedding: Wedding, offset: timedelta, at: time | None) -> datetime | None:
    """Return the instant `offset` from the wedding, None while its day is open; `at` as in `due_at`."""
    if at is None:
        ceremony = ceremony_at(wedding)
        return None if ceremony is None else ceremony + offset
    return None if wedding.wedding_date is None else _clock_after(wedding.time_zone, wedding.wedding_date, offset, at)


def due_at(state: WeddingState, automation: Automation, action: AutomationAction) -> datetime | None:
    """Return when an action is due, in UTC; None while what it counts from is open or has not happened.

    Without `at` the offset is elapsed time from the anchor: the ceremony, where its time is known, else the midnight
    that begins the wedding's day; or the instant at which a property took its value. With `at` the anchor is a day,
    the offset's whole days are counted on the calendar and the rest of it elapses from the local time `at`. The
    action's own delay elapses after that.
    """
    found = _anchored(state, automation)
    return None if found is None else found + timedelta(milliseconds=action.delay)


def ceremony_at(wedding: Wedding) -> datetime | None:
    """Return when the ceremony begins, in UTC; the midnight that begins the day while its time is open."""
    if wedding.wedding_date is None:
        return None
    return at_venue(wedding.time_zone, wedding.wedding_date, wedding.ceremony_time or _MIDNIGHT)


def _anchored(state: WeddingState, automation: Automation) -> datetime | None:
    wedding, trigger = state.wedding, automation.follows
    if trigger is None:
        is_open = automation.anchor == Anchor.CEREMONY_TIME and wedding.ceremony_time is None
        return None if is_open else local_instant(wedding, automation.offset, automation.at)
    since = state.triggers.get(trigger)
    if since is None or automation.at is None:
        return None if since is None else since + automation.offset
    day = since.astimezone(ZoneInfo(wedding.time_zone)).date()
    return _clock_after(wedding.time_zone, day, automation.offset, automation.at)


def _clock_after(zone: str, day: date, offset: timedelta, clock: time) -> datetime:
    rest = timedelta(seconds=offset.seconds, microseconds=offset.microseconds)
    return at_venue(zone, day + timedelta(days=offset.days), clock) + rest
