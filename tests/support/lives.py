"""Random lives of a wedding: its rules, and what happens to it in whichever order it is heard of."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st

from contracts.wedding import WeddingEvent
from tests.support import slow_timeline as slow

POLICIES = ("skip", "send_now", "ask")
ZONES = sorted(available_timezones())
KINDS = ("moved", "moved", "moved", "postponed", "cancelled", "completed", "reopened", "status_changed")
CLOCKS = (time(0), time(0, 30), time(1, 30), time(2), time(2, 30), time(3), time(9), time(15, 30), time(23, 45))
SHAPES: tuple[dict[str, Any], ...] = (
    {"counts_from": "wedding_date", "days": -14, "clock": time(9)},
    {"counts_from": "wedding_date", "days": 1, "clock": time(2, 30)},
    {"counts_from": "wedding_date", "elapsed": timedelta(hours=-2)},
    {"counts_from": "ceremony_time", "elapsed": timedelta(hours=-3)},
    {"counts_from": "completed", "elapsed": timedelta(hours=48)},
    {"counts_from": "completed", "days": 1, "clock": time(9)},
    {"counts_from": "booking_confirmed", "elapsed": timedelta(days=1)},
)
"""One of each way to count; the seventh is a property's automation in the brief's own form."""

PAUSES = (1, 47, 1_440, 2_881, 20_160, 100_003)
Life = tuple[slow.Known, list[slow.Rule], list[slow.Happening]]


@cache
def change_days(zone: str, first: date, span: int) -> tuple[date, ...]:
    """The days on which a zone's clocks change, and those beside them."""
    local = ZoneInfo(zone)
    days = [first + timedelta(days=number) for number in range(span)]
    offsets = [datetime.combine(day, time(12), tzinfo=local).utcoffset() for day in days]
    found = {
        days[place + near]
        for place in range(1, len(days) - 1)
        if offsets[place] != offsets[place - 1]
        for near in (-1, 0, 1)
    }
    return tuple(sorted(found)) or (first + timedelta(days=30),)


@st.composite
def lives(draw: st.DrawFn, started: datetime, span: int, pauses: tuple[int, ...] = PAUSES) -> Life:
    """A wedding, its rules, and what happens to it, heard of in any order.

    Args:
        draw: Hypothesis's own.
        started: when its timeline begins.
        span: within how many days of that the wedding's day lies, by whichever move.
        pauses: minutes between two pieces of news.
    """
    first = started.date() + timedelta(days=3)

    def day(zone: str) -> date:
        near = change_days(zone, first, span)
        place = draw(st.integers(0, 2 * len(near) + 40))
        return near[place % len(near)] if place < 2 * len(near) else first + timedelta(days=place * 17 % span)

    zone = draw(st.sampled_from(ZONES))
    policies = draw(st.integers(0, 3 ** len(SHAPES) - 1))
    rules = [
        slow.Rule(name=f"rule-{number}", when_past=POLICIES[policies // 3**number % 3], **shape)
        for number, shape in enumerate(SHAPES)
    ]
    clock = draw(st.sampled_from((None, *CLOCKS)))
    begin = slow.Known(day(zone), clock, zone, started if draw(st.booleans()) else None)
    happenings = []
    now = started
    for number in range(draw(st.integers(0, 5))):
        now += timedelta(minutes=draw(st.sampled_from(pauses)))
        late = draw(st.sampled_from((0, 0, 0, 31, 1_500, 50_000)))
        kind = draw(st.sampled_from(KINDS))
        given_zone = draw(st.sampled_from((None, zone, "Pacific/Kiritimati"))) if kind == "moved" else None
        happenings.append(
            slow.Happening(
                number=number,
                kind=kind,
                occurred=now - timedelta(minutes=late, seconds=number),
                heard=now,
                day=day(zone) if kind == "moved" else None,
                clock=draw(st.sampled_from((None, *CLOCKS))) if kind == "moved" else None,
                zone=given_zone,
            )
        )
    return begin, rules, happenings


def wedding(begin: slow.Known, rules: list[slow.Rule]) -> dict[str, Any]:
    """The wedding as its timeline begins, in wire names."""
    return {
        "organizationId": "o",
        "weddingId": "w",
        "weddingDate": begin.day,
        "ceremonyTime": begin.clock,
        "timeZone": begin.zone,
        "bookingStatus": "confirmed" if begin.confirmed else "inquiry",
        "automations": [automation(rule) for rule in rules],
    }


def automation(rule: slow.Rule) -> dict[str, Any]:
    """The rule as an automation, in wire names."""
    given: dict[str, Any] = {
        "name": rule.name,
        "offset": timedelta(days=rule.days) + rule.elapsed,
        "at": rule.clock,
        "whenPast": rule.when_past,
        "actions": [{"type": "create_task", "taskType": rule.name}],
    }
    if rule.counts_from == "booking_confirmed":
        action = {**given["actions"][0], "delay": int(given.pop("offset").total_seconds() * 1_000)}
        trigger = {"trigger": "property_change", "triggerProperty": "booking_status", "triggerValue": "confirmed"}
        return {**given, **trigger, "actions": [action]}
    return {**given, "trigger": "anchor", "anchor": rule.counts_from}


def event(one: slow.Happening) -> WeddingEvent:
    """What happened as the timeline is told it."""
    return WeddingEvent.model_validate(
        {
            "eventId": f"e-{one.number}",
            "type": one.kind,
            "occurredAt": one.occurred,
            "weddingDate": one.day,
            "ceremonyTime": one.clock,
            "timeZone": one.zone,
            "bookingStatus": "confirmed" if one.kind == "status_changed" else None,
        }
    )
