"""When somebody is busy, as a CalDAV calendar says it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from activities.connectors.calendar import caldav_dav
from activities.connectors.calendar.caldav import CalDav
from activities.connectors.calendar.caldav_events import taken
from contracts.errors import Permanent, Transient
from tests.support.caldav_calendar import NOON, hold, opened
from tests.support.emulators import Emulators

EMULATED = ("caldav",)


async def test_busy_times_are_those_of_events_that_stand(caldav: CalDav, people: Callable[..., str]) -> None:
    people("fair", "DTSTART;VALUE=DATE:20270611", "DTEND;VALUE=DATE:20270613")
    people(
        "weekly", "DTSTART:20270101T100000Z", "DTEND:20270101T110000Z", "RRULE:FREQ=WEEKLY", "EXDATE:20270625T100000Z"
    )
    people("floating", "DTSTART:20270612T090000", "DURATION:PT1H")
    people("cancelled", "DTSTART:20270612T090000Z", "DURATION:PT1H", "STATUS:CANCELLED")
    people("free", "DTSTART:20270612T090000Z", "DURATION:PT1H", "TRANSP:TRANSPARENT")
    people("instant", "DTSTART:20270612T110000Z")
    people("before", "DTSTART:20270610T100000Z", "DTEND:20270611T100000Z")
    await caldav.apply(hold(caldav, NOON + timedelta(days=4)))
    found = await caldav.busy("orangery", datetime(2027, 6, 11, 10, tzinfo=UTC), datetime(2027, 6, 26, tzinfo=UTC))
    assert [(f"{slot.starts_at:%d %H:%M}", f"{slot.ends_at:%d %H:%M}", slot.booking_id) for slot in found] == [
        ("11 00:00", "13 00:00", None),
        ("11 10:00", "11 11:00", None),
        ("12 09:00", "12 10:00", None),
        ("16 12:00", "16 16:00", "wed-1001"),
        ("18 10:00", "18 11:00", None),
    ]


async def test_a_day_without_a_time_lies_in_the_zone_of_the_calendar(
    emulators: Emulators, people: Callable[..., str]
) -> None:
    people("fair", "DTSTART;VALUE=DATE:20270612", "DTEND;VALUE=DATE:20270613")
    connector = opened(emulators.base_url("caldav"), timeZone="Pacific/Auckland")
    morning = datetime(2027, 6, 12, 8, tzinfo=ZoneInfo("Pacific/Auckland"))
    [slot] = await connector.busy("orangery", morning, morning + timedelta(hours=1))
    assert slot.starts_at == datetime(2027, 6, 11, 12, tzinfo=UTC)
    await connector.aclose()


@pytest.mark.parametrize(
    "lines",
    [
        ("DTSTART:20270612T090000Z", "DTEND:20270612T090001Z", "RRULE:FREQ=SECONDLY"),
        ("DTSTART:20270612T090000Z", "DTEND:20270612T091000Z", "RRULE:FREQ=HOURLY"),
        ("DTSTART:20270612T090000Z", "RRULE:FREQ=WEEKLY;BYDAY=XX"),
        ("SUMMARY:No times at all",),
    ],
)
def test_an_event_whose_times_cannot_be_read_is_not_taken_for_free(lines: tuple[str, ...]) -> None:
    event = ["BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", "UID:odd", *lines, "END:VEVENT", "END:VCALENDAR", ""]
    with pytest.raises(Permanent) as caught:
        taken(["\r\n".join(event).encode()], NOON, NOON + timedelta(hours=1), ZoneInfo("UTC"))
    assert caught.value.detail.code == "event_unreadable"


@pytest.mark.parametrize(
    "answer",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><multistatus xmlns="DAV:">&b;</multistatus>',
        b'<multistatus xmlns="DAV:"><response><status>HTTP/1.1 507 More</status></response></multistatus>',
        b"<html></html>",
        b"no XML",
    ],
)
def test_an_answer_that_is_hostile_or_not_whole_is_not_taken_for_free_time(answer: bytes) -> None:
    with pytest.raises(Transient):
        list(caldav_dav._properties(answer, "events.query"))
