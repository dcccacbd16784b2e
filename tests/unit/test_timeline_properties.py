"""10,000 random lives of a wedding, in all zones and over their changes, judged by the slow model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.transform.timeline import plan
from contracts.wedding import StepStatus, Wedding, WeddingEvent, WeddingState
from tests.support import slow_timeline as slow
from workflows import wedding_facts

SHARDS, LIVES = 8, 1_250
STARTED = datetime(2026, 1, 5, 12, tzinfo=UTC)
END = datetime(2029, 12, 31, tzinfo=UTC)
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

Life = tuple[slow.Known, list[slow.Rule], list[slow.Happening]]


@cache
def change_days(zone: str) -> tuple[date, ...]:
    """The days on which a zone's clocks change, and those beside them."""
    local = ZoneInfo(zone)
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(3 * 365)]
    offsets = [datetime.combine(day, time(12), tzinfo=local).utcoffset() for day in days]
    found = {
        days[place + near]
        for place in range(1, len(days) - 1)
        if offsets[place] != offsets[place - 1]
        for near in (-1, 0, 1)
    }
    return tuple(sorted(found)) or (date(2026, 6, 12),)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """A wedding, its rules, and what happens to it, heard of in any order."""

    def day(zone: str) -> date:
        near = change_days(zone)
        place = draw(st.integers(0, 2 * len(near) + 40))
        return near[place % len(near)] if place < 2 * len(near) else date(2026, 1, 8) + timedelta(days=place * 17)

    zone = draw(st.sampled_from(ZONES))
    policies = draw(st.integers(0, 3 ** len(SHAPES) - 1))
    rules = [
        slow.Rule(name=f"rule-{number}", when_past=POLICIES[policies // 3**number % 3], **shape)
        for number, shape in enumerate(SHAPES)
    ]
    clock = draw(st.sampled_from((None, *CLOCKS)))
    begin = slow.Known(day(zone), clock, zone, STARTED if draw(st.booleans()) else None)
    happenings = []
    now = STARTED
    for number in range(draw(st.integers(0, 5))):
        now += timedelta(minutes=draw(st.sampled_from((1, 47, 1_440, 2_881, 20_160, 100_003))))
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


def automation(rule: slow.Rule) -> dict[str, Any]:
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


def lived(begin: slow.Known, rules: Sequence[slow.Rule], happenings: Sequence[slow.Happening]) -> dict[str, slow.Slot]:
    """Live the life through the real functions, sending what is due between two events."""
    wedding = Wedding.model_validate(
        {
            "organizationId": "o",
            "weddingId": "w",
            "weddingDate": begin.day,
            "ceremonyTime": begin.clock,
            "timeZone": begin.zone,
            "bookingStatus": "confirmed" if begin.confirmed else "inquiry",
            "automations": [automation(rule) for rule in rules],
        }
    )
    state = wedding_facts.begun(WeddingState(wedding=wedding), STARTED)
    slots = {rule.name: slow.Slot() for rule in rules}
    heard = sorted(happenings, key=lambda happening: (happening.heard, happening.number))
    moments = [STARTED, *(one.heard for one in heard), END]
    for (now, until), news in zip(pairwise(moments), [*heard, None], strict=True):
        state = state.model_copy(update={"steps": plan(state, now)})
        state = _sent_until(state, slots, now, until)
        if news is not None:
            state = wedding_facts.take(state, event(news), news.heard)
    for step in state.steps:
        slots[step.automation].status = step.status.value
    return slots


def _sent_until(state: WeddingState, slots: dict[str, slow.Slot], now: datetime, until: datetime) -> WeddingState:
    steps = []
    for step in state.steps:
        if step.status is StepStatus.PENDING and step.due_at <= until:
            at = max(step.due_at, now)
            slots[step.automation].sent.append(at)
            steps.append(step.model_copy(update={"status": StepStatus.SENT, "done_at": at}))
        else:
            steps.append(step)
    return state.model_copy(update={"steps": steps})


@pytest.mark.parametrize("shard", range(SHARDS))
@settings(max_examples=LIVES, suppress_health_check=list(HealthCheck), database=None)
@given(life=lives())
def test_a_wedding_that_moves_stops_and_goes_on_sends_each_step_once_at_its_instant(shard: int, life: Life):
    begin, rules, happenings = life
    expected = slow.outcome(begin, rules, happenings, STARTED, END)
    found = lived(begin, rules, happenings)
    assert {name: slot.sent for name, slot in found.items()} == {name: slot.sent for name, slot in expected.items()}
    waiting = {name: slot.status for name, slot in expected.items() if slot.status in {"asked", "skipped", "sent"}}
    assert {name: found[name].status for name in waiting} == waiting
