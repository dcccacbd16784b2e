"""The schedule of an integration's own sync."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
)
from temporalio.common import Priority

from activities.transform.cron import ClockChange, Cron, clock_changes
from contracts import names
from contracts.connect import ScheduledSync
from contracts.integration import IntegrationInstance
from contracts.sync import DataSynchronizationRequest, SynchronizationType

FORESEEN = timedelta(days=3_653)
"""For how long clock changes are counted; connecting, reconfiguring and resuming count them anew."""
_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)


def schedule_of(scheduled: ScheduledSync, now: datetime) -> Schedule:
    """Return the schedule that an integration wants, as of an instant.

    Raises:
        ValueError: it names no report.
    """
    key, wanted = scheduled.key, scheduled.schedule
    if wanted is None or wanted.source_report_id is None:
        message = "a schedule needs its report"
        raise ValueError(message)
    request = DataSynchronizationRequest(
        sync_id=f"scheduled-{wanted.source_report_id}"[:64],
        organization_id=key.organization_id,
        source_report_id=wanted.source_report_id,
        target_integration=IntegrationInstance(integration_id=key.integration_id),
        sync_type=SynchronizationType(wanted.sync_type),
    )
    spec = ScheduleSpec()
    if wanted.cron:
        spec = daily_spec(wanted.cron, wanted.time_zone, now)
    elif wanted.interval_ms:
        spec.intervals = [ScheduleIntervalSpec(every=timedelta(milliseconds=wanted.interval_ms))]
    spec.jitter = _MINUTE
    return Schedule(
        action=ScheduleActionStartWorkflow(
            names.WorkflowType.SYNC_REPORT,
            request,
            id=names.sync_workflow_id(key.organization_id, key.integration_id, request.sync_id),
            task_queue=names.ORCHESTRATION_QUEUE,
            execution_timeout=timedelta(days=30),
            priority=Priority(fairness_key=key.organization_id),
        ),
        spec=spec,
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(hours=1)),
    )


def daily_spec(expression: str, zone: str, now: datetime) -> ScheduleSpec:
    """Return when a cron expression comes on a zone's clock, once for each hour it names also when that is changed.

    Temporal by itself leaves out what the clock skips and repeats what it shows twice (measured on 1.32). The rule that
    holds instead is that of `activities.transform.cron`; an expression that it cannot read stays as Temporal reads it.

    Args:
        expression: such as `30 2 * * *`.
        zone: an IANA zone.
        now: from when on clock changes are counted.
    """
    spec = ScheduleSpec(cron_expressions=[expression], time_zone_name=zone)
    try:
        cron = Cron(expression)
    except ValueError:
        return spec
    if not cron.names_hours:
        return spec
    calendars, skip = [], []
    for change in clock_changes(ZoneInfo(zone), now.astimezone(UTC), now.astimezone(UTC) + FORESEEN):
        length = change.ends - change.begins
        if any(cron.within(change.begins, change.ends)):
            calendars.append(_at(change.instead))
        if change.is_skipped:
            skip += [_at(shown) for shown in _misread(cron, change) if shown != change.instead]
        elif any(cron.within(change.begins - length, change.ends)):
            skip += _throughout(change)
    spec.calendars, spec.skip = calendars, skip
    return spec


def _misread(cron: Cron, change: ClockChange) -> list[datetime]:
    """Return when Temporal lets come what is skipped within an hour: it looks at the hour alone."""
    length = change.ends - change.begins
    return [one + length for one in cron.within(change.begins, change.ends) if (one + length).hour == one.hour]


def _throughout(change: ClockChange) -> list[ScheduleCalendarSpec]:
    found, here = [], change.begins
    while here < change.ends:
        until = min(here.replace(minute=0) + _HOUR, change.ends) - _MINUTE
        found.append(_at(here, until.minute))
        here = until + _MINUTE
    return found


def _at(wall: datetime, last_minute: int | None = None) -> ScheduleCalendarSpec:
    """Return a time on the wall, or all minutes from it until the last one within its hour."""
    return ScheduleCalendarSpec(
        year=[ScheduleRange(wall.year)],
        month=[ScheduleRange(wall.month)],
        day_of_month=[ScheduleRange(wall.day)],
        hour=[ScheduleRange(wall.hour)],
        minute=[ScheduleRange(wall.minute, wall.minute if last_minute is None else last_minute)],
    )
