"""The slots that a booking could take instead, best first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contracts.conflict import Alternative

_STEP = timedelta(minutes=30)
_NEAR_DAYS = 14
_OF_EACH_KIND = 3
Span = tuple[datetime, datetime]
"""Begin and end, in UTC."""


@dataclass(frozen=True)
class WorkingHours:
    """The local hours in which a session may take place."""

    opens: time = time(8)
    closes: time = time(23)


def rank(
    resource_id: str,
    wanted: Span,
    *,
    taken: Mapping[str, Sequence[Span]],
    others: Sequence[str],
    zone: str,
    hours: WorkingHours,
    now: datetime,
) -> list[Alternative]:
    """Return free slots of the wanted length: the same day, others of the resource's kind that day, then near days.

    Within each of the three, slots near the wanted time of day come first, and three are offered at most.

    Args:
        resource_id: whom the booking wanted.
        wanted: when; its length in elapsed time is that of every alternative.
        taken: resource -> what it is taken by, holds included.
        others: resources of the same kind.
        zone: the venue's zone, in which working hours are read; a time that summer time skips is not offered.
        hours: the working hours.
        now: nothing that begins before it is offered.
    """
    finder = _Finder(wanted, taken, ZoneInfo(zone), hours, now)
    day = finder.day
    same_day = finder.nearest(resource_id, [day])
    elsewhere = (slot for other in sorted(set(others) - {resource_id}) for slot in finder.nearest(other, [day], 1))
    beside = [day + timedelta(days=sign * distance) for distance in range(1, _NEAR_DAYS + 1) for sign in (1, -1)]
    near_days = (slot for other_day in beside for slot in finder.nearest(resource_id, [other_day], 1))
    found = [*same_day, *_first(sorted(elsewhere, key=finder.distance)), *_first(near_days)]
    return [
        Alternative(starts_at=start, ends_at=start + finder.length, photographer_id=resource, rank=number)
        for number, (resource, start) in enumerate(found, start=1)
    ]


class _Finder:
    def __init__(
        self, wanted: Span, taken: Mapping[str, Sequence[Span]], zone: ZoneInfo, hours: WorkingHours, now: datetime
    ) -> None:
        self.length = wanted[1] - wanted[0]
        self._taken = taken
        self._zone = zone
        self._hours = hours
        self._now = now
        self._wanted = wanted[0].astimezone(zone)
        self.day = self._wanted.date()

    def distance(self, slot: tuple[str, datetime]) -> timedelta:
        """Return how far a slot's time of day is from the wanted one, on the clock."""
        local = slot[1].astimezone(self._zone)
        return abs(_clock(local) - _clock(self._wanted))

    def nearest(self, resource_id: str, days: Iterable[date], count: int = _OF_EACH_KIND) -> list[tuple[str, datetime]]:
        """Return free slots that do not overlap one another, nearest to the wanted time of day first."""
        free = [
            (resource_id, start) for day in days for start in self._starts(day) if self._is_free(resource_id, start)
        ]
        chosen: list[tuple[str, datetime]] = []
        for slot in sorted(free, key=lambda one: (self.distance(one), one[1])):
            if all(abs(slot[1] - other[1]) >= self.length for other in chosen):
                chosen.append(slot)
        return chosen[:count]

    def _starts(self, day: date) -> Iterator[datetime]:
        wanted = datetime.combine(day, self._wanted.time())
        opens, closes = (datetime.combine(day, edge) for edge in (self._hours.opens, self._hours.closes))
        closing = closes.replace(tzinfo=self._zone).astimezone(UTC)
        for clock in {wanted, *_steps(opens, closes)}:
            local = clock.replace(tzinfo=self._zone)
            start = local.astimezone(UTC)
            exists = start.astimezone(self._zone).replace(tzinfo=None) == clock
            if exists and opens <= clock and start >= self._now and start + self.length <= closing:
                yield start

    def _is_free(self, resource_id: str, start: datetime) -> bool:
        end = start + self.length
        return all(end <= begins or ends <= start for begins, ends in self._taken.get(resource_id, ()))


def _steps(opens: datetime, closes: datetime) -> Iterator[datetime]:
    at = opens
    while at < closes:
        yield at
        at += _STEP


def _clock(local: datetime) -> timedelta:
    return timedelta(hours=local.hour, minutes=local.minute, seconds=local.second)


def _first(slots: Iterable[tuple[str, datetime]]) -> list[tuple[str, datetime]]:
    return [slot for slot, _ in zip(slots, range(_OF_EACH_KIND), strict=False)]
