"""The instants of a wedding's steps: local clock, elapsed time, and what a moved date does."""

from __future__ import annotations

import json
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pytest
import tzdata
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from activities.transform.instants import at_venue
from activities.transform.timeline import plan
from contracts.facts import Facts
from contracts.wedding import StepStatus, TimelineStep, Wedding, WeddingState, WhenPast

EXAMPLE = json.loads((Path(__file__).parents[2] / "examples" / "wedding-timeline.json").read_text())
NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
CONFIRMED, COMPLETED = "booking_status=confirmed", "completion_status=completed"


def wedding(**changes: object) -> Wedding:
    return Wedding.model_validate({**EXAMPLE, **changes})


def state(**changes: object) -> WeddingState:
    return WeddingState.model_validate({"wedding": wedding(), "triggers": {CONFIRMED: NOW}, **changes})


def step(steps: list[TimelineStep], template: str) -> TimelineStep:
    [found] = [item for item in steps if item.action.template == template]
    return found


def all_sent() -> list[TimelineStep]:
    told = Facts(**{name: getattr(wedding(), name) for name in Facts.model_fields})
    return [item.model_copy(update={"status": StepStatus.SENT, "told": told}) for item in plan(state(), NOW)]


def final_details(steps: list[TimelineStep]) -> TimelineStep:
    return step(steps, "final_details_template")


def test_the_briefs_booking_automation_writes_at_once_and_calls_after_a_day():
    steps = [item for item in plan(state(), NOW) if item.automation == "Wedding Booking Follow-up"]
    assert [(item.action.type, item.due_at - NOW) for item in steps] == [
        ("send_email", timedelta()),
        ("create_task", timedelta(hours=24)),
    ]


def test_the_briefs_survey_is_not_planned_before_the_wedding_is_completed():
    assert all(item.automation != "Wedding Satisfaction Survey" for item in plan(state(), NOW))


@pytest.mark.parametrize("done", [datetime(2027, 3, 27, 20, tzinfo=UTC), datetime(2027, 10, 30, 20, tzinfo=UTC)])
def test_the_briefs_survey_follows_48_elapsed_hours_over_a_change_of_summer_time(done: datetime):
    survey = step(plan(state(triggers={COMPLETED: done}), done), "satisfaction_survey_template")
    assert survey.due_at == done + timedelta(hours=48)


@pytest.mark.parametrize(("day", "expected_utc_hour"), [(date(2027, 3, 27), 9), (date(2027, 4, 15), 8)])
def test_a_wall_clock_step_shows_nine_o_clock_at_the_venue_in_winter_and_summer(day: date, expected_utc_hour: int):
    assert at_venue("Europe/London", day, time(9)).hour == expected_utc_hour


@given(
    st.dates(date(2026, 1, 1), date(2032, 12, 31)),
    st.integers(-60, 60),
    st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_a_wall_clock_step_always_shows_its_hour_on_its_day(day: date, days: int, zone: str):
    automation = {**EXAMPLE["automations"][2], "offset": f"{'-' * (days < 0)}P{abs(days)}D"}
    [due] = plan(state(wedding=wedding(weddingDate=day.isoformat(), timeZone=zone, automations=[automation])), LONG_AGO)
    assert due.due_at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == datetime.combine(
        day + timedelta(days=days), time(9)
    )


def test_an_open_date_has_no_anchored_steps():
    assert all(item.automation != "Final details" for item in plan(state(wedding=wedding(weddingDate=None)), NOW))


def test_a_moved_wedding_moves_its_pending_anchored_step():
    before = plan(state(), NOW)
    moved = state(wedding=wedding(weddingDate="2027-09-04"), steps=before)
    after = plan(moved, NOW)
    pending = [item for item in after if item.action.template == "final_details_template" and item.status == "pending"]
    assert [item.due_at for item in pending] == [datetime(2027, 8, 21, 8, tzinfo=UTC)]


def test_a_moved_wedding_leaves_elapsed_steps_where_they_are():
    before = plan(state(), NOW)
    after = plan(state(wedding=wedding(weddingDate="2027-09-04"), steps=before), NOW + timedelta(hours=5))
    dues = [{item.due_at for item in steps if item.action.type == "create_task"} for steps in (before, after)]
    assert dues[0] == dues[1]


def test_a_sent_step_is_never_planned_again():
    after = plan(state(steps=all_sent()), NOW + timedelta(days=300))
    assert {item.status for item in after} == {StepStatus.SENT}


def test_a_step_sent_for_one_day_is_not_sent_again_for_another_and_names_what_is_outdated():
    after = plan(state(wedding=wedding(weddingDate="2027-09-04"), steps=all_sent()), NOW)
    assert [item.status for item in after] == [StepStatus.SENT] * 3
    assert {tuple(item.outdated) for item in after} == {("wedding_date",)}


def test_a_step_that_is_to_be_resent_on_a_move_is_planned_for_the_new_day_beside_the_sent_one():
    again = [{**item, "resendOnMove": item["name"] == "Final details"} for item in EXAMPLE["automations"]]
    sent = [
        item.model_copy(update={"status": StepStatus.SENT})
        for item in plan(state(wedding=wedding(automations=again)), NOW)
    ]
    after = plan(state(wedding=wedding(weddingDate="2027-09-04", automations=again), steps=sent), NOW)
    details = [item for item in after if item.automation == "Final details"]
    assert [(item.status, str(item.due_at.date())) for item in details] == [
        ("sent", "2027-05-29"),
        ("pending", "2027-08-21"),
    ]


def test_a_step_that_a_run_from_before_steps_knew_their_place_has_sent_is_not_sent_again():
    before = [
        item.model_copy(update={"status": StepStatus.SENT, "index": None, "step_id": f"of-the-old-day-{number}"})
        for number, item in enumerate(plan(state(), NOW))
    ]
    after = plan(state(wedding=wedding(weddingDate="2027-09-04"), steps=before), NOW)
    assert [item.status for item in after] == [StepStatus.SENT] * 3


def test_the_day_after_the_wedding_at_nine_is_nine_at_the_venue():
    thanks = {
        "name": "Thanks",
        "trigger": "anchor",
        "anchor": "completed",
        "offset": "P1D",
        "at": "09:00",
        "actions": [{"type": "send_email", "template": "satisfaction_survey_template"}],
    }
    over_midnight = datetime(2027, 6, 12, 23, 30, tzinfo=UTC)
    [due] = plan(state(wedding=wedding(automations=[thanks]), triggers={COMPLETED: over_midnight}), over_midnight)
    assert due.due_at == datetime(2027, 6, 14, 8, tzinfo=UTC)


def test_a_step_that_counts_from_the_ceremony_waits_until_its_time_is_known():
    shuttle = {
        "name": "Shuttle",
        "trigger": "anchor",
        "anchor": "ceremony_time",
        "offset": "-PT2H",
        "actions": [{"type": "create_task", "taskType": "call"}],
    }
    dues = [
        [item.due_at for item in plan(state(wedding=wedding(ceremonyTime=clock, automations=[shuttle])), NOW)]
        for clock in (None, "15:30")
    ]
    assert dues == [[], [datetime(2027, 6, 12, 12, 30, tzinfo=UTC)]]


@pytest.mark.parametrize("clock", ["05:00", "23:00"])
def test_a_ceremony_that_moves_on_its_day_moves_its_step_and_a_past_instant_is_judged_again(clock: str):
    shuttle = {
        "name": "Shuttle",
        "trigger": "anchor",
        "anchor": "ceremony_time",
        "actions": [{"type": "create_task", "taskType": "call"}],
    }
    noon = datetime(2027, 6, 12, 12, tzinfo=UTC)
    waiting = plan(state(wedding=wedding(automations=[shuttle])), NOW)
    moved = state(wedding=wedding(ceremonyTime=clock, automations=[shuttle]), steps=waiting)
    assert [item.status for item in plan(moved, noon)] == ["skipped" if clock == "05:00" else "pending"]


def test_f47_the_missing_hour_is_read_with_the_offset_before_and_the_doubled_one_is_its_first():
    skipped, doubled = (at_venue("Europe/London", day, time(1, 30)) for day in (date(2027, 3, 28), date(2027, 10, 31)))
    assert skipped == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
    assert skipped.astimezone(ZoneInfo("Europe/London")).time() == time(2, 30)
    assert doubled == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)


def changing_zones(years: range) -> list[str]:
    """The zones whose offset changes in these years."""
    days = [datetime(year, month, day, tzinfo=UTC) for year in years for month in range(1, 13) for day in (1, 15)]
    return [
        name
        for name in sorted(available_timezones())
        if len({day.astimezone(ZoneInfo(name)).utcoffset() for day in days}) > 1
    ]


def test_f47_a_time_that_is_missing_at_the_end_of_a_day_stays_on_that_day():
    nuuk = ZoneInfo("America/Nuuk")
    assert (
        at_venue("America/Nuuk", date(2026, 3, 28), time(23, 30))
        .astimezone(nuuk)
        .isoformat()
        .startswith("2026-03-28T22:30")
    )


def test_f47_a_daily_step_comes_once_on_every_local_day_of_every_zone_that_changes_until_2028():
    clocks = [time(hour, minute) for hour in (0, 1, 2, 3, 6, 23) for minute in (0, 30)]
    for zone in changing_zones(range(2026, 2029)):
        local = ZoneInfo(zone)
        first = date(2026, 1, 1)
        days = [first + timedelta(days=number) for number in range(3 * 365 + 1)]
        offsets = {day: datetime.combine(day, time(12), tzinfo=local).utcoffset() for day in days}
        near = [day for day in days[1:-1] if offsets[day] != offsets[day - timedelta(days=1)]]
        for clock in clocks:
            for change in near:
                around = [change + timedelta(days=number) for number in range(-2, 3)]
                found = [at_venue(zone, day, clock).astimezone(local).date() for day in around]
                assert found == around, (zone, clock, change)


def test_f49_a_changed_zone_moves_what_is_pending_because_local_time_and_zone_are_kept(tmp_path: Path):
    waiting = plan(state(), NOW)
    folder = tmp_path / "Europe"
    folder.mkdir()
    [source] = [path for path in (Path(root) / "Etc/GMT-2" for root in zone_roots()) if path.exists()][:1]
    (folder / "London").write_bytes(source.read_bytes())
    try:
        zoneinfo.reset_tzpath(to=[str(tmp_path), *zoneinfo.TZPATH])
        ZoneInfo.clear_cache()
        moved = final_details(plan(state(steps=waiting), NOW))
    finally:
        zoneinfo.reset_tzpath()
        ZoneInfo.clear_cache()
    assert final_details(waiting).due_at - moved.due_at == timedelta(hours=1)


def zone_roots() -> list[str]:
    return [*zoneinfo.TZPATH, str(Path(tzdata.__file__).parent / "zoneinfo")]


@pytest.mark.parametrize(
    ("day", "at"),
    [("2028-02-29", datetime(2028, 2, 15, 9, tzinfo=UTC)), ("1969-07-01", datetime(1969, 6, 17, 8, tzinfo=UTC))],
)
def test_f50_a_leap_day_and_a_day_before_1970_are_days_like_others(day: str, at: datetime):
    assert final_details(plan(state(wedding=wedding(weddingDate=day)), datetime(1960, 1, 1, tzinfo=UTC))).due_at == at


@pytest.mark.parametrize(
    "change",
    [
        {"weddingDate": "9999-12-31"},
        {"weddingDate": "0001-01-01"},
        {"weddingDate": "2027-02-29"},
        {"ceremonyTime": "15:30+01:00"},
        {"timeZone": "Europe/Nowhere"},
        {"automations": [{**EXAMPLE["automations"][2], "offset": "P99999D"}]},
        {"automations": [{**EXAMPLE["automations"][2], "anchor": "the_day_after"}]},
    ],
)
def test_f50_a_day_a_time_or_an_offset_that_no_calendar_has_is_refused(change: dict[str, object]):
    with pytest.raises(ValidationError):
        wedding(**change)


def test_f50_a_far_away_wedding_is_planned_in_every_zone():
    for day in ("1900-01-01", "2999-12-31"):
        for zone in ("Etc/GMT+12", "Etc/GMT-14"):
            far = wedding(weddingDate=day, timeZone=zone, ceremonyTime="23:59:59")
            assert len(plan(state(wedding=far), LONG_AGO)) == 3


@pytest.mark.parametrize("status", ["cancelled", "postponed"])
def test_a_stopped_wedding_has_nothing_pending(status: str):
    planned = plan(state(status=status, steps=plan(state(), NOW)), NOW)
    assert {item.status for item in planned} == {StepStatus.CANCELLED}


@pytest.mark.parametrize(
    ("policy", "status"),
    [(WhenPast.SKIP, "skipped"), (WhenPast.SEND_NOW, "pending"), (WhenPast.ASK, "asked")],
)
def test_a_step_already_past_when_first_planned_follows_its_automation(policy: WhenPast, status: str):
    automations = [{**item, "whenPast": policy} for item in EXAMPLE["automations"]]
    late = state(wedding=wedding(automations=automations))
    assert final_details(plan(late, datetime(2027, 6, 10, tzinfo=UTC))).status == status


def test_a_step_that_came_due_while_it_waited_is_still_sent():
    waiting = plan(state(), NOW)
    assert final_details(plan(state(steps=waiting), datetime(2027, 6, 10, tzinfo=UTC))).status is StepStatus.PENDING


def test_planning_twice_changes_nothing():
    once = plan(state(), NOW)
    assert plan(state(steps=once), NOW + timedelta(minutes=1)) == once


def test_two_weddings_never_share_a_step_id():
    ids = [{item.step_id for item in plan(state(wedding=wedding(weddingId=name)), NOW)} for name in ("wed-1", "wed-2")]
    assert ids[0].isdisjoint(ids[1])
