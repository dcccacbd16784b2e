"""Cron expressions on days on which the clock is changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from activities.sync_schedule import daily_spec
from activities.transform.cron import Cron, clock_changes
from contracts.integration import SynchronizationSchedule

START = datetime(2027, 1, 1, tzinfo=UTC)
SATURDAY = datetime.fromisoformat("2027-06-12")


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("30 2 * * *", ["02:30"]),
        ("*/20 2-3 * * *", ["02:00", "02:20", "02:40", "03:00", "03:20", "03:40"]),
        ("5 4,22 12 6 *", ["04:05", "22:05"]),
        ("0 9 * JUN sat", ["09:00"]),
        ("0 9 * * 1-5", []),
        ("0 9 13 * *", []),
        ("0 20/2 * * 6,7", ["20:00", "22:00"]),
        ("0 0 * * 0", []),
    ],
)
def test_what_an_expression_names_on_a_day(expression: str, named: list[str]):
    found = Cron(expression).within(SATURDAY, SATURDAY + timedelta(days=1))
    assert [f"{one:%H:%M}" for one in found] == named


def test_a_clock_skips_an_hour_in_spring_and_shows_one_twice_in_autumn():
    changes = clock_changes(ZoneInfo("Europe/London"), START, START + timedelta(days=365))
    assert [(f"{one.begins:%m-%d %H:%M}", f"{one.ends:%H:%M}", one.is_skipped) for one in changes] == [
        ("03-28 01:00", "02:00", True),
        ("10-31 01:00", "02:00", False),
    ]


@pytest.mark.parametrize("expression", ["0 * * * *", "30 */2 * * *", "0 6 * * *", "@daily", "30 2 * * * 2027"])
def test_what_needs_no_correction_or_cannot_be_read_stays_as_it_is(expression: str):
    spec = daily_spec(expression, "America/New_York", START)
    assert (spec.cron_expressions, spec.calendars, spec.skip) == ([expression], [], [])


def test_a_zone_that_is_none_is_refused():
    with pytest.raises(ValidationError, match="IANA"):
        SynchronizationSchedule.model_validate({"cron": "0 6 * * *", "timeZone": "Europe/Nowhere"})
