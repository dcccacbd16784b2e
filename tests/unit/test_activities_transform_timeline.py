"""The instants of a wedding's steps: local clock, elapsed time, and what a moved date does."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.transform.timeline import local_instant, plan
from contracts.wedding import StepStatus, TimelineStep, Wedding, WeddingState, WhenPast

EXAMPLE = json.loads((Path(__file__).parents[2] / "examples" / "wedding-timeline.json").read_text())
NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
CONFIRMED, COMPLETED = "booking_status=confirmed", "completion_status=completed"


def wedding(**changes: object) -> Wedding:
    return Wedding.model_validate({**EXAMPLE, **changes})


def state(**changes: object) -> WeddingState:
    return WeddingState.model_validate({"wedding": wedding(), "triggers": {CONFIRMED: NOW}, **changes})


def step(steps: list[TimelineStep], template: str) -> TimelineStep:
    [found] = [item for item in steps if item.action.template == template]
    return found


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
    due = local_instant(wedding(weddingDate=day.isoformat()), timedelta(), time(9))
    assert due is not None
    assert due.hour == expected_utc_hour


@given(
    st.dates(date(2026, 1, 1), date(2032, 12, 31)),
    st.integers(-60, 60),
    st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_a_wall_clock_step_always_shows_its_hour_on_its_day(day: date, days: int, zone: str):
    due = local_instant(wedding(weddingDate=day.isoformat(), timeZone=zone), timedelta(days=days), time(9))
    assert due is not None
    assert due.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == datetime.combine(day + timedelta(days=days), time(9))


def test_an_open_date_has_no_anchored_steps():
    assert local_instant(wedding(weddingDate=None), timedelta(), time(9)) is None


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
    sent = [item.model_copy(update={"status": StepStatus.SENT}) for item in plan(state(), NOW)]
    assert {item.status for item in plan(state(steps=sent), NOW + timedelta(days=300))} == {StepStatus.SENT}


@pytest.mark.parametrize("status", ["cancelled", "postponed"])
def test_a_stopped_wedding_has_nothing_pending(status: str):
    planned = plan(state(status=status, steps=plan(state(), NOW)), NOW)
    assert {item.status for item in planned} == {StepStatus.CANCELLED}


@pytest.mark.parametrize(
    ("policy", "status"),
    [(WhenPast.SKIP, "skipped"), (WhenPast.SEND_NOW, "pending"), (WhenPast.ASK, "skipped")],
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
