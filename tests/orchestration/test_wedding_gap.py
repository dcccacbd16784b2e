"""WeddingTimeline on a skipped clock: events that are lost are made good from the source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from random import Random
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities import timeline
from activities.boundary import as_application_error
from contracts.errors import InvalidInput, WedSyncError
from contracts.facts import FactStamp
from contracts.names import ORCHESTRATION_QUEUE
from contracts.wedding import WeddingEvent, WeddingEventType, WeddingKey, WeddingState
from tests.support.temporal import polling, time_skipping
from workflows import policies
from workflows.wedding_timeline import WeddingTimeline

FACTS = ("wedding_date", "ceremony_time", "venue_name", "booking_status", "cancelled", "completed")
OPENING: dict[str, Any] = {
    "wedding_date": "2099-06-12",
    "ceremony_time": "14:00:00",
    "venue_name": "Barn",
    "booking_status": "held",
    "cancelled": False,
    "completed": False,
}
PERIOD = policies.GAP_GRACE + timedelta(minutes=2)
"""One round, and what the server's clock goes on by while workers work."""
MISSING = InvalidInput("wedding_unknown", "WedSync has no wedding of this id in this organisation.")


class Source:
    """What a source holds of its weddings: the newest event about each fact; it shares no code with the timeline."""

    def __init__(self, environment: WorkflowEnvironment) -> None:
        self._environment = environment
        self.newest: dict[str, dict[str, tuple[Any, FactStamp]]] = {}
        self.last: dict[str, int] = {}
        self.asked: list[tuple[str, datetime]] = []
        self.refusal: WedSyncError | None = None

    def happens(self, wedding_id: str, at: datetime, **facts: Any) -> WeddingEvent:
        """Change facts, and return the event that tells of it."""
        number = self.last[wedding_id] = self.last.get(wedding_id, 0) + 1
        stamp = FactStamp(occurred_at=at, event_id=f"e-{number}", sequence=number)
        self.newest.setdefault(wedding_id, {}).update({name: (value, stamp) for name, value in facts.items()})
        kind = {"cancelled": "cancelled", "completed": "completed", "booking_status": "status_changed"}
        types = [kind[name] for name, value in facts.items() if name in kind and value is not False]
        given = {name: value for name, value in facts.items() if name not in {"cancelled", "completed"}}
        word = "reopened" if facts.get("cancelled") is False else next(iter(types), "moved")
        return WeddingEvent(
            event_id=stamp.event_id, type=WeddingEventType(word), occurred_at=at, sequence=number, **given
        )

    def facts(self, wedding_id: str) -> dict[str, Any]:
        return {name: str(value) for name, (value, _) in self.newest[wedding_id].items()}

    @activity.defn(name="timeline.pull")
    async def pull(self, wedding: WeddingKey) -> WeddingEvent:
        self.asked.append((wedding.wedding_id, await self._environment.get_current_time()))
        if self.refusal is not None:
            raise as_application_error(self.refusal)
        newest, number = self.newest[wedding.wedding_id], self.last[wedding.wedding_id]
        return WeddingEvent(
            event_id=f"restated-{number}",
            type=WeddingEventType.RESTATED,
            occurred_at=max(stamp.occurred_at for _, stamp in newest.values()),
            sequence=number,
            versions={name: stamp for name, (_, stamp) in newest.items()},
            **{name: value for name, (value, _) in newest.items()},
        )


@asynccontextmanager
async def stage() -> AsyncIterator[tuple[WorkflowEnvironment, Source]]:
    async with time_skipping() as environment:
        source = Source(environment)
        async with polling(environment.client, [WeddingTimeline], [timeline.plan, source.pull]):
            yield environment, source


async def begun(environment: WorkflowEnvironment, wedding_id: str = "w") -> WorkflowHandle[Any, WeddingState]:
    return await environment.client.start_workflow(
        WeddingTimeline.__name__,
        {"organizationId": "o", "weddingId": wedding_id, "weddingDate": "2099-06-12", "sequence": 0},
        id=f"wedding-{wedding_id}",
        task_queue=ORCHESTRATION_QUEUE,
        result_type=WeddingState,
    )


async def shown(handle: WorkflowHandle[Any, WeddingState]) -> WeddingState:
    return await handle.query("state", result_type=WeddingState)


async def gap(
    environment: WorkflowEnvironment, source: Source
) -> tuple[WorkflowHandle[Any, WeddingState], WeddingEvent]:
    """A wedding whose second of three events is lost."""
    handle, now = await begun(environment), await environment.get_current_time()
    await handle.execute_update("apply_event", source.happens("w", now, wedding_date="2099-07-01"))
    lost = source.happens("w", now, venue_name="Orangery")
    await handle.execute_update("apply_event", source.happens("w", now, booking_status="paid"))
    return handle, lost


def random_change(dice: Random) -> dict[str, Any]:
    return dice.choice(
        (
            {"wedding_date": f"2099-{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"},
            {"ceremony_time": f"{dice.randint(9, 18):02}:30:00"},
            {"venue_name": f"Hall {dice.randint(1, 99)}"},
            {"booking_status": dice.choice(("held", "confirmed", "paid"))},
            {"cancelled": True},
            {"cancelled": False, "completed": False},
            {"completed": True},
        )
    )


def facts_of(state: WeddingState) -> dict[str, str]:
    flags = {"cancelled", "completed"}
    return {name: str(getattr(state if name in flags else state.wedding, name)) for name in FACTS}


async def test_f44_weddings_that_lose_every_tenth_event_end_as_their_source_within_one_period():
    weddings, length = 10, 95
    async with stage() as (environment, source):
        now = await environment.get_current_time()

        async def live(number: int) -> WorkflowHandle[Any, WeddingState]:
            dice, name = Random(number), f"w-{number}"
            handle = await begun(environment, name)
            changes = [OPENING, *(random_change(dice) for _ in range(length))]
            events = [
                source.happens(name, now - timedelta(seconds=len(changes) - place), **change)
                for place, change in enumerate(changes)
            ]
            for place, event in enumerate(events, start=1):
                if place % 10 != number:
                    await handle.signal("event", event)
            return handle

        handles = await asyncio.gather(*(live(number) for number in range(weddings)))
        await environment.sleep(PERIOD)
        states = [await shown(handle) for handle in handles]
        for handle in handles:
            await handle.terminate()
    for number, state in enumerate(states):
        assert facts_of(state) == source.facts(f"w-{number}")
        assert (state.sequence, state.gap_since, state.pull) == (length + 1, None, None)
    assert len(source.asked) == weddings


async def test_f44_an_event_that_is_only_late_is_not_asked_for():
    async with stage() as (environment, source):
        handle, late = await gap(environment, source)
        await environment.sleep(policies.GAP_GRACE / 2)
        await handle.execute_update("apply_event", late)
        await environment.sleep(timedelta(days=1))
        state = await shown(handle)
        await handle.terminate()
    assert (state.gap_since, state.pull, source.asked) == (None, None, [])


async def test_f44_a_lost_event_that_arrives_after_the_source_was_asked_changes_nothing():
    async with stage() as (environment, source):
        handle, lost = await gap(environment, source)
        await environment.sleep(PERIOD)
        before = await shown(handle)
        after = await handle.execute_update("apply_event", lost, result_type=WeddingState)
        await handle.terminate()
    assert (before.wedding.venue_name, before.sequence, before.gap_since) == ("Orangery", 3, None)
    assert (after.wedding, after.stamps, after.ahead) == (before.wedding, before.stamps, [])


async def test_f44_a_source_that_does_not_know_better_is_asked_ever_less_often_and_the_state_says_why():
    async with stage() as (environment, source):
        source.refusal = MISSING
        handle, _ = await gap(environment, source)
        await environment.sleep(timedelta(days=2))
        state = await shown(handle)
        source.refusal = None
        await environment.sleep(policies.GAP_LONGEST + PERIOD)
        closed = await shown(handle)
        await handle.terminate()
    pauses = [later - earlier for (_, earlier), (_, later) in zip(source.asked, source.asked[1:], strict=False)]
    assert all(pause >= 2 * policies.GAP_GRACE for pause in pauses)
    assert 6 <= len(source.asked) <= 12
    assert state.gap_since is not None
    assert state.pull is not None
    assert state.pull.error is not None
    assert state.pull.error.code == "wedding_unknown"
    assert (closed.wedding.venue_name, closed.gap_since, closed.pull) == ("Orangery", None, None)
