"""Quiet hours, blackouts and digests by the clock on the wall, over every change of summer time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.transform.local_time import (
    blackout_until,
    instant_of,
    is_quiet,
    next_digest,
    quiet_until,
    zone_of,
)
from contracts.preferences import Digest
from contracts.wedding import QuietHours

MINUTE = timedelta(minutes=1)
ZONES = [
    *("Europe/London", "Europe/Berlin", "America/New_York", "America/Santiago", "America/St_Johns"),
    *("Australia/Lord_Howe", "Asia/Kolkata", "Asia/Tehran", "Pacific/Apia", "Africa/Casablanca", "UTC"),
]
CHANGES = [
    datetime(2027, month, day, hour, tzinfo=UTC) for month, day in ((3, 28), (10, 31), (4, 4)) for hour in (0, 1)
]
INSTANTS = st.one_of(
    st.datetimes(datetime(2026, 1, 1), datetime(2028, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001 - naive bounds
    st.builds(lambda change, minutes: change + minutes * MINUTE, st.sampled_from(CHANGES), st.integers(-1_500, 1_500)),
)
CLOCK = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 15, 30, 59]))
HOURS = st.builds(lambda begin, end: QuietHours.model_validate({"from": begin, "to": end}), CLOCK, CLOCK)


def hours(begin: str, end: str) -> QuietHours:
    return QuietHours.model_validate({"from": begin, "to": end})


@settings(max_examples=400)
@given(instant=INSTANTS, zone=st.sampled_from(ZONES), quiet=HOURS)
def test_quiet_hours_end_at_the_first_minute_whose_clock_shows_none(instant: datetime, zone: str, quiet: QuietHours):
    place = ZoneInfo(zone)
    found = quiet_until(instant, place, quiet)
    if found is None:
        assert not is_quiet(instant, place, quiet)
        return
    assert not is_quiet(found, place, quiet)
    between = (found - instant) // MINUTE
    assert between <= 26 * 60
    assert all(is_quiet(found - step * MINUTE, place, quiet) for step in range(1, between + 1))


@pytest.mark.parametrize(
    ("zone", "instant", "quiet", "ends"),
    [
        ("Europe/London", "2027-06-12T22:30:00+01:00", ("22:00", "07:00"), "2027-06-13T07:00:00+01:00"),
        # The clock goes from 01:00 to 02:00: an hour that ends at 01:30 ends with the change.
        ("Europe/London", "2027-03-28T00:30:00+00:00", ("00:00", "01:30"), "2027-03-28T02:00:00+01:00"),
        # The clock shows 01:30 twice: the hour ends at the first.
        ("Europe/London", "2027-10-31T00:30:00+01:00", ("00:00", "01:30"), "2027-10-31T01:30:00+01:00"),
        # And what begins at 01:45 begins again after the clock went back.
        ("Europe/London", "2027-10-31T01:50:00+00:00", ("01:45", "01:55"), "2027-10-31T01:55:00+00:00"),
        ("Australia/Lord_Howe", "2027-10-03T01:45:00+10:30", ("01:30", "02:15"), "2027-10-03T02:30:00+11:00"),
    ],
)
def test_quiet_hours_over_a_change_of_summer_time(zone: str, instant: str, quiet: tuple[str, str], ends: str):
    found = quiet_until(datetime.fromisoformat(instant), ZoneInfo(zone), hours(*quiet))
    assert found == datetime.fromisoformat(ends)


def test_hours_that_end_as_they_begin_are_none():
    assert quiet_until(datetime(2027, 6, 12, 7, tzinfo=UTC), ZoneInfo("UTC"), hours("07:00", "07:00")) is None


@given(
    day=st.dates(date(2026, 1, 2), date(2028, 12, 30)),
    at=st.builds(time, st.integers(0, 23), st.integers(0, 59)),
    zone=st.sampled_from(ZONES),
)
def test_an_instant_of_a_day_is_the_first_that_shows_the_time_or_the_end_of_the_gap(day: date, at: time, zone: str):
    place = ZoneInfo(zone)
    found = instant_of(day, at, place)
    shown = found.astimezone(place).replace(tzinfo=None)
    wanted = datetime.combine(day, at)
    before = (found - timedelta(seconds=1)).astimezone(place).replace(tzinfo=None)
    assert shown == wanted or before < wanted < shown


@given(instant=INSTANTS, zone=st.sampled_from(ZONES), at=CLOCK)
def test_a_daily_digest_is_due_once_a_day(instant: datetime, zone: str, at: time):
    place, digest = ZoneInfo(zone), Digest(at=at)
    dues = [next_digest(instant, place, digest)]
    for _ in range(3):
        dues.append(next_digest(dues[-1], place, digest))
    assert all(due > instant for due in dues)
    days = [due.astimezone(place).date() for due in dues]
    assert [later - earlier for earlier, later in pairwise(days)] == [timedelta(days=1)] * 3


@pytest.mark.parametrize(
    ("cadence", "due"),
    [
        ("hourly", "2027-06-12T10:15:00+01:00"),
        ("daily", "2027-06-13T08:15:00+01:00"),
        ("weekly", "2027-06-14T08:15:00+01:00"),
    ],
)
def test_a_digest_is_due_by_its_cadence(cadence: str, due: str):
    digest = Digest.model_validate({"cadence": cadence, "at": "08:15"})
    saturday = datetime.fromisoformat("2027-06-12T09:15:00+01:00")
    assert next_digest(saturday, ZoneInfo("Europe/London"), digest) == datetime.fromisoformat(due)


@given(minutes=st.integers(-300, 300))
def test_a_blackout_keeps_exactly_the_time_around_the_ceremony(minutes: int):
    ceremony = datetime(2027, 6, 12, 13, tzinfo=UTC)
    until = blackout_until(ceremony + minutes * MINUTE, ceremony, 30 * MINUTE, 120 * MINUTE)
    assert (until == ceremony + 120 * MINUTE) if -30 <= minutes < 120 else until is None


def test_an_unknown_zone_gives_way_to_the_next():
    assert zone_of("Mars/Olympus", None, "", "Europe/Paris").key == "Europe/Paris"
    assert zone_of("../etc/passwd").key == "UTC"
