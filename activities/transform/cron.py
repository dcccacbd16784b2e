"""Cron expressions on days on which a zone's clock is changed.

One rule holds: an expression that names its hours comes once for what it names within a day, also when the clock is
changed. What lies in the hour that the clock skips or shows twice comes once, as that hour ends, or a minute before it
begins where the day ends with it. Expressions of any hour (`*`, `*/2`) come every hour that passes.
"""

from __future__ import annotations

from calendar import day_abbr, month_abbr
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from activities.transform.local_time import transitions

_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_NAMES = {name.upper(): number for number, name in enumerate(month_abbr) if name} | {
    name.upper(): (number + 1) % 7 for number, name in enumerate(day_abbr)
}


@dataclass(frozen=True)
class ClockChange:
    """A time on the wall that a clock skips, or shows twice, from `begins` until `ends`."""

    begins: datetime
    ends: datetime
    is_skipped: bool

    @property
    def instead(self) -> datetime:
        """When what lies in that time comes, on the wall."""
        return self.ends if self.ends.date() == self.begins.date() else self.begins - _MINUTE


class Cron:
    """A cron expression of five fields.

    Args:
        expression: minute, hour, day of the month, month and day of the week.

    Raises:
        ValueError: it has another form.
    """

    def __init__(self, expression: str) -> None:
        minutes, hours, days, months, weekdays = expression.split()
        self._minutes = _values(minutes, 0, 59)
        self._hours = _values(hours, 0, 23)
        self._days = _values(days, 1, 31)
        self._months = _values(months, 1, 12)
        self._weekdays = {day % 7 for day in _values(weekdays, 0, 7)}
        self.names_hours = "*" not in hours

    def within(self, begins: datetime, ends: datetime) -> Iterator[datetime]:
        """Yield what the expression names on the wall from `begins` until before `ends`."""
        for day in (begins.date() + number * _DAY for number in range((ends.date() - begins.date()).days + 1)):
            if day.day in self._days and day.month in self._months and day.isoweekday() % 7 in self._weekdays:
                named = (datetime.combine(day, time(hour, minute)) for hour in self._hours for minute in self._minutes)
                yield from (one for one in sorted(named) if begins <= one < ends)


def clock_changes(zone: ZoneInfo, start: datetime, end: datetime) -> list[ClockChange]:
    """Return what a zone's clock skips and shows twice between two instants, on the wall."""
    changes = []
    for change in transitions(zone, start, end, step=_DAY):
        before, after = ((change + shift).astimezone(zone).utcoffset() for shift in (-_MINUTE, timedelta()))
        if before is not None and after is not None:
            wall = change.replace(tzinfo=None)
            changes.append(ClockChange(wall + min(before, after), wall + max(before, after), is_skipped=after > before))
    return changes


def _values(field: str, lowest: int, highest: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        begin = lowest if first == "*" else _number(first)
        end = _number(last) if dash else (highest if first == "*" or step else begin)
        found.update(range(begin, end + 1, int(step or 1)))
    return found


def _number(word: str) -> int:
    return _NAMES[word.upper()] if word.upper() in _NAMES else int(word)
