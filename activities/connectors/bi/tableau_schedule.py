"""Cron expressions as Tableau Cloud's extract refresh schedules."""

from __future__ import annotations

import re
from datetime import time

import tableauserverclient as tsc

from contracts.errors import InvalidInput

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FIELDS = re.compile(r"(\d{1,2}) (\d{1,2}) (\*|\d{1,2}) \* (\*|\d)")
_LAST_MINUTE, _LAST_HOUR, _LAST_DAY = 59, 23, 31
_DAY_HOURS = 24

Interval = tsc.DailyInterval | tsc.WeeklyInterval | tsc.MonthlyInterval


def interval_of(cron: str) -> Interval:
    """Return the recurrence of a daily, weekly or monthly cron expression; its hours are the site's.

    Raises:
        InvalidInput: Tableau has no schedule of this form.

    Source: https://help.tableau.com/current/api/rest_api/en-us/REST/rest_api_ref_extract_and_encryption.htm
        (Create Cloud Extract Refresh Task, API 3.20).
    """
    found = _FIELDS.fullmatch(cron.strip())
    if found is not None:
        minute, hour = int(found[1]), int(found[2])
        day, weekday = found[3], found[4]
        both = day != "*" and weekday != "*"
        in_range = minute <= _LAST_MINUTE and hour <= _LAST_HOUR and (weekday == "*" or int(weekday) < len(_DAYS))
        if in_range and not both and (day == "*" or 1 <= int(day) <= _LAST_DAY):
            return _interval(time(hour, minute), day, weekday)
    raise InvalidInput(
        "schedule_not_supported",
        f"Tableau has no refresh schedule of the form {cron!r}.",
        action="Use minute and hour with every day, one weekday or one day of the month, such as `0 6 * * *`.",
        system="tableau",
    )


def _interval(start: time, day: str, weekday: str) -> Interval:
    if weekday != "*":
        return tsc.WeeklyInterval(start, _DAYS[int(weekday)])
    if day != "*":
        return tsc.MonthlyInterval(start, int(day))
    return tsc.DailyInterval(start, _DAY_HOURS)
