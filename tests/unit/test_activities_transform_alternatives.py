"""Alternatives: free, in working hours, of the right length, best first, whatever the zone does that day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from activities.transform.alternatives import Span, WorkingHours, rank

HOURS = WorkingHours(time(9), time(22))
ZONES = ("Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
LONDON = ZoneInfo("Europe/London")


def span(day: date, clock: time, minutes: int, zone: str = "Europe/London") -> Span:
    start = datetime.combine(day, clock, ZoneInfo(zone)).astimezone(UTC)
    return start, start + timedelta(minutes=minutes)


DAY = date(2027, 6, 12)
EARLY = datetime(2027, 1, 1, tzinfo=UTC)
days = st.dates(date(2027, 1, 1), date(2027, 12, 31))
clocks = st.times(time(9), time(21)).map(lambda clock: clock.replace(second=0, microsecond=0))
lengths = st.integers(15, 600)


@st.composite
def situations(draw: st.DrawFn):
    zone, day = draw(st.sampled_from(ZONES)), draw(days)
    wanted = span(day, draw(clocks), draw(lengths), zone)
    around = st.integers(-15, 15).map(lambda off: min(max(day + timedelta(days=off), date.min), date.max))
    busy = st.builds(lambda on, at, minutes: span(on, at, minutes, zone), around, clocks, lengths)
    taken = {name: draw(st.lists(busy, max_size=25)) for name in ("ph-1", "ph-2", "ph-3")}
    now = wanted[0] + timedelta(hours=draw(st.integers(-400, 400)))
    return zone, wanted, taken, now


def offered(zone: str, wanted: Span, taken: dict[str, list[Span]], now: datetime):
    return rank("ph-1", wanted, taken=taken, others=list(taken), zone=zone, hours=HOURS, now=now)


@given(situations())
def test_an_alternative_overlaps_nothing_that_its_resource_is_taken_by(situation):
    _, _, taken, _ = situation
    for one in offered(*situation):
        assert all(one.ends_at <= begins or ends <= one.starts_at for begins, ends in taken[one.photographer_id])


@given(situations())
def test_an_alternative_is_as_long_as_what_was_wanted_lies_in_working_hours_and_is_not_past(situation):
    zone, wanted, _, now = situation
    for one in offered(*situation):
        begins, ends = (at.astimezone(ZoneInfo(zone)) for at in (one.starts_at, one.ends_at))
        assert one.ends_at - one.starts_at == wanted[1] - wanted[0]
        assert begins.date() == ends.date()
        assert HOURS.opens <= begins.time()
        assert ends.time() <= HOURS.closes
        assert one.starts_at >= now


@given(situations())
def test_alternatives_are_ranked_from_one_and_come_out_the_same_again(situation):
    found = offered(*situation)
    assert [one.rank for one in found] == list(range(1, len(found) + 1))
    assert found == offered(*situation)
    assert len({(one.photographer_id, one.starts_at) for one in found}) == len(found)


def test_the_same_day_comes_before_other_photographers_and_these_before_other_days():
    wanted = span(DAY, time(13), 240)
    found = offered("Europe/London", wanted, {"ph-1": [wanted], "ph-2": [], "ph-3": [wanted]}, EARLY)
    who = [(one.photographer_id, one.starts_at.astimezone(LONDON).date() == DAY) for one in found]
    assert who == [("ph-1", True)] * 2 + [("ph-2", True), ("ph-3", True)] + [("ph-1", False)] * 3
    assert found[2].starts_at == wanted[0]


def test_a_near_day_keeps_the_time_of_day_over_a_change_of_summer_time():
    wanted = span(date(2027, 3, 27), time(13), 240)
    found = offered("Europe/London", wanted, {"ph-1": [wanted]}, EARLY)
    [next_day] = [one for one in found if one.starts_at.astimezone(LONDON).date() == date(2027, 3, 28)]
    assert (wanted[0].hour, next_day.starts_at) == (13, datetime(2027, 3, 28, 12, tzinfo=UTC))


def test_a_time_that_summer_time_skips_is_not_offered():
    night = WorkingHours(time(0), time(23))
    wanted = span(date(2027, 3, 27), time(1, 30), 60)
    found = rank("ph-1", wanted, taken={"ph-1": [wanted]}, others=[], zone="Europe/London", hours=night, now=EARLY)
    next_day = [one for one in found if one.starts_at.date() == date(2027, 3, 28)]
    assert {one.starts_at.astimezone(LONDON).time() for one in next_day} <= {time(0, 30), time(2), time(2, 30)}


def test_a_photographer_who_is_taken_all_day_is_not_offered():
    wanted = span(DAY, time(13), 240)
    found = offered("Europe/London", wanted, {"ph-1": [], "ph-2": [span(DAY, time(9), 780)]}, EARLY)
    assert "ph-2" not in {one.photographer_id for one in found}
