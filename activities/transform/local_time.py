"""Instants that a recipient's or a venue's clock decides: quiet hours, blackouts, digests.

One rule holds over changes of summer time: what the clock on the wall shows counts. A time of day that the clock skips
is the first instant after the gap; one that it shows twice is the first of the two.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.preferences import Digest, DigestCadence
from contracts.wedding import QuietHours

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
_WEEK_DAYS = 7


def zone_of(*names: str | None) -> ZoneInfo:
    """Return the first of the IANA zones that is named and known, UTC when none is."""
    for name in names:
        try:
            if name:
                return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            continue
    return ZoneInfo("UTC")


def is_quiet(instant: datetime, zone: ZoneInfo, hours: QuietHours) -> bool:
    """Return whether the clock on the wall shows a quiet hour; hours that end as they begin are none."""
    shown = instant.astimezone(zone).time()
    if hours.from_ <= hours.to:
        return hours.from_ <= shown < hours.to
    return shown >= hours.from_ or shown < hours.to


def quiet_until(instant: datetime, zone: ZoneInfo, hours: QuietHours) -> datetime | None:
    """Return the first instant after a quiet one that is not quiet, in UTC; None when `instant` is not quiet."""
    if not is_quiet(instant, zone, hours):
        return None
    day = instant.astimezone(zone).date()
    ends = [
        datetime.combine(day + timedelta(days=ahead), hours.to, zone).replace(fold=fold).astimezone(UTC)
        for ahead in (0, 1, 2)
        for fold in (0, 1)
    ]
    ends += transitions(zone, instant, instant + timedelta(days=2))
    return min(end for end in ends if end > instant and not is_quiet(end, zone, hours))


def instant_of(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return the first instant of a day at which the clock shows `at`, or the first after it where that is skipped."""
    wanted = datetime.combine(day, at, zone)
    found = wanted.astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == wanted.replace(tzinfo=None):
        return found
    [change, *_] = transitions(zone, found - 3 * _HOUR, found + _HOUR)
    return change


def blackout_until(instant: datetime, ceremony: datetime, before: timedelta, after: timedelta) -> datetime | None:
    """Return when the blackout of a ceremony ends, None when `instant` is not in it."""
    ends = ceremony + after
    return ends if ceremony - before <= instant < ends else None


def next_digest(instant: datetime, zone: ZoneInfo, digest: Digest) -> datetime:
    """Return the first instant after `instant` at which a digest is due."""
    local = instant.astimezone(zone)
    if digest.cadence is DigestCadence.HOURLY:
        minutes = (digest.at.minute - local.minute) % 60 or 60
        return instant.replace(second=0, microsecond=0) + timedelta(minutes=minutes)
    days = [local.date() + timedelta(days=ahead) for ahead in range(_WEEK_DAYS + 1)]
    if digest.cadence is DigestCadence.WEEKLY:
        days = [day for day in days if day.weekday() == 0]
    dues = (instant_of(day, digest.at, zone) for day in days)
    return next(due for due in dues if due > instant)


def transitions(zone: ZoneInfo, start: datetime, end: datetime, *, step: timedelta = _HOUR) -> list[datetime]:
    """Return the instants at which the zone's offset changes, to the second: one change within a `step`."""
    changes = []
    here = start.astimezone(UTC).replace(microsecond=0)
    while here < end:
        there = here + step
        if _offset(here, zone) != _offset(there, zone):
            changes.append(_change(here, there, zone))
        here = there
    return changes


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if _offset(middle, zone) == _offset(before, zone):
            before = middle
        else:
            after = middle
    return after


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()
