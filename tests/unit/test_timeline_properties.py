"""10,000 random lives of a wedding, in all zones and over their changes, judged by the slow model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings

from activities.transform.timeline import plan
from contracts.wedding import StepStatus, Wedding, WeddingState
from tests.support import slow_timeline as slow
from tests.support.lives import Life, event, lives, wedding
from workflows import wedding_facts

SHARDS, LIVES = 8, 1_250
STARTED = datetime(2026, 1, 5, 12, tzinfo=UTC)
END = datetime(2029, 12, 31, tzinfo=UTC)


def lived(begin: slow.Known, rules: list[slow.Rule], happenings: Sequence[slow.Happening]) -> dict[str, slow.Slot]:
    """Live the life through the real functions, sending what is due between two events."""
    begins = WeddingState(wedding=Wedding.model_validate(wedding(begin, rules)))
    state = wedding_facts.begun(begins, STARTED)
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
@given(life=lives(STARTED, 1_000))
def test_a_wedding_that_moves_stops_and_goes_on_sends_each_step_once_at_its_instant(shard: int, life: Life):
    begin, rules, happenings = life
    expected = slow.outcome(begin, rules, happenings, STARTED, END)
    found = lived(begin, rules, happenings)
    assert {name: slot.sent for name, slot in found.items()} == {name: slot.sent for name, slot in expected.items()}
    waiting = {name: slot.status for name, slot in expected.items() if slot.status in {"asked", "skipped", "sent"}}
    assert {name: found[name].status for name in waiting} == waiting
