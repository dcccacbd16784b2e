"""An integration's own schedule on a real server: how often a sync comes on days on which the clock is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.workflowservice.v1 import ListScheduleMatchingTimesRequest
from temporalio.client import Client, Schedule, ScheduleActionStartWorkflow, ScheduleSpec, ScheduleState

from activities.sync_schedule import daily_spec
from contracts.names import ORCHESTRATION_QUEUE
from tests.support.temporal import real_server

YEARS = (2026, 2027, 2028)
BEFORE = datetime(2025, 12, 1, tzinfo=UTC)
DAY, STEP = timedelta(days=1), timedelta(minutes=30)
DAYS = [date(YEARS[0], 1, 1) + number * DAY for number in range(3 * 365)]
Rule = tuple[tuple[date, timedelta, timedelta], ...]


def offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def rule_of(name: str) -> Rule:
    """The days on which the zone's offset changes, with the offsets of the noons before and after."""
    zone = ZoneInfo(name)
    offsets = [offset(zone, datetime.combine(day, time(12), zone)) for day in DAYS]
    return tuple(
        (day, before, after)
        for day, before, after in zip(DAYS[1:], offsets, offsets[1:], strict=False)
        if before != after
    )


def rules() -> dict[Rule, str]:
    """Every distinct way to change the clock, with a zone that does so."""
    found = {rule_of(name): name for name in sorted(available_timezones())}
    return {rule: name for rule, name in found.items() if rule}


def times_near(name: str, rule: Rule) -> set[tuple[int, int]]:
    """Times of day around each change of a zone, skipped and doubled ones among them, and six o'clock."""
    zone = ZoneInfo(name)
    found = {(6, 0)}
    for day, before, after in rule:
        noon = datetime.combine(day, time(12), UTC)
        hours = (noon + number * STEP for number in range(-72, 25))
        change = next(one for one in hours if offset(zone, one - STEP) == before and offset(zone, one) == after)
        wall = (change + before).time()
        found |= {
            (shown.hour, shown.minute)
            for shown in (datetime.combine(day, wall) + number * STEP for number in range(-4, 5))
        }
    return found


async def came(client: Client, name: str, spec: ScheduleSpec) -> list[datetime]:
    """When a schedule would start its action in the three years, on the wall of its zone."""
    action = ScheduleActionStartWorkflow("Never", id="never", task_queue=ORCHESTRATION_QUEUE)
    await client.create_schedule(name, Schedule(action=action, spec=spec, state=ScheduleState(paused=True)))
    found: list[datetime] = []
    for year in YEARS:
        start, end = Timestamp(), Timestamp()
        start.FromDatetime(datetime(year, 1, 1, tzinfo=UTC) - timedelta(seconds=1))
        end.FromDatetime(datetime(year + 1, 1, 1, tzinfo=UTC) - timedelta(seconds=1))
        answer = await client.workflow_service.list_schedule_matching_times(
            ListScheduleMatchingTimesRequest(
                namespace=client.namespace, schedule_id=name, start_time=start, end_time=end
            )
        )
        found += [
            one.ToDatetime(tzinfo=UTC).astimezone(ZoneInfo(spec.time_zone_name or "")) for one in answer.start_time
        ]
    return found


def wrong(times: list[datetime]) -> Iterator[tuple[str, int]]:
    """The days on which it came otherwise than once, but for the ends of the three years, which UTC cuts."""
    counts = Counter(one.date() for one in times)
    return ((day.isoformat(), counts[day]) for day in DAYS[2:-2] if counts[day] != 1)


async def test_f47_a_daily_schedule_comes_once_a_day_also_in_an_hour_that_is_skipped_or_shown_twice():
    found = {}
    async with real_server() as client:
        for rule, zone in rules().items():
            for hour, minute in sorted(times_near(zone, rule)):
                spec = daily_spec(f"{minute} {hour} * * *", zone, BEFORE)
                days = list(wrong(await came(client, f"{zone}-{hour}-{minute}", spec)))
                if days:
                    found[zone, hour, minute] = days
    assert found == {}


async def test_f47_the_named_time_holds_on_every_other_day_and_the_clocks_change_moves_it_to_the_end_of_its_hour():
    async with real_server() as client:
        skipped = await came(client, "skipped", daily_spec("30 2 * * *", "America/New_York", BEFORE))
        doubled = await came(client, "doubled", daily_spec("30 1 * * *", "America/New_York", BEFORE))
    assert {f"{one:%m-%d %H:%M}" for one in skipped if (one.hour, one.minute) != (2, 30)} == {
        "03-08 03:00",
        "03-14 03:00",
        "03-12 03:00",
    }
    assert {f"{one:%m-%d %H:%M}" for one in doubled if (one.hour, one.minute) != (1, 30)} == {
        "11-01 02:00",
        "11-07 02:00",
        "11-05 02:00",
    }
