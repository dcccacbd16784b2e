"""Tableau's schedules as they travel: read from a request, stored as plain JSON, printed with the next run."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from xml.etree.ElementTree import Element

from emulators.tableau_xml import BadRequestError, child, node

_FREQUENCIES = {"Hourly", "Daily", "Weekly", "Monthly"}
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def read(element: Element) -> dict[str, Any]:
    """The recurrence in a request's `schedule` element.

    Raises:
        BadRequestError: An unknown frequency, no start time, or intervals that do not fit the frequency.
    """
    frequency = element.get("frequency")
    details = child(element, "frequencyDetails")
    intervals = [[name, value] for item in details.iter("interval") for name, value in item.attrib.items()]
    needed = {"Weekly": "weekDay", "Monthly": "monthDay"}.get(str(frequency))
    if frequency not in _FREQUENCIES or (needed and not any(name == needed for name, _ in intervals)):
        raise BadRequestError(400, "400013", "Invalid schedule", "The schedule's frequency and intervals do not fit.")
    try:
        start = time.fromisoformat(str(details.get("start")))
        end = None if details.get("end") is None else time.fromisoformat(str(details.get("end"))).isoformat()
    except ValueError as error:
        raise BadRequestError(400, "400013", "Invalid schedule", "The schedule's times must read HH:MM:SS.") from error
    return {"frequency": frequency, "start": start.isoformat(), "end": end, "intervals": intervals}


def next_run(recurrence: dict[str, Any], now: datetime) -> str:
    """The next time a recurrence is due after `now`, as UTC text."""
    start = time.fromisoformat(recurrence["start"])
    days = {value for name, value in recurrence["intervals"] if name == "weekDay"}
    month_days = {value for name, value in recurrence["intervals"] if name == "monthDay"}
    moment = datetime.combine(now.date(), start, UTC)
    for _ in range(63):
        last = (moment + timedelta(days=1)).month != moment.month
        fits_month = not month_days or str(moment.day) in month_days or (last and "LastDay" in month_days)
        if moment > now and fits_month and (not days or _WEEKDAYS[moment.weekday()] in days):
            break
        moment += timedelta(days=1)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def element_of(recurrence: dict[str, Any], attributes: dict[str, Any]) -> Element:
    """The `schedule` element: the given attributes, the recurrence and its next run."""
    intervals = [node("interval", {name: value}) for name, value in recurrence["intervals"]]
    details = node(
        "frequencyDetails",
        {"start": recurrence["start"], "end": recurrence["end"]},
        [node("intervals", {}, intervals)] if intervals else [],
    )
    shown = {**attributes, "frequency": recurrence["frequency"], "nextRunAt": next_run(recurrence, datetime.now(UTC))}
    return node("schedule", shown, [details])
