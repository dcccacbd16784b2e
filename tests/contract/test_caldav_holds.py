"""Held slots in a CalDAV calendar: tentative, held once, and never two at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from activities.connectors.calendar.caldav import CalDav
from contracts.errors import OutcomeUnknown, Permanent
from tests.support.caldav_calendar import CONTEXT, NOON, about, failure, hold, kinds, opened, shown, standing
from tests.support.deliveries import delivery
from tests.support.emulators import Emulators

EMULATED = ("caldav",)


async def test_a_hold_is_tentative_and_held_once(caldav: CalDav, emulators: Emulators) -> None:
    outcomes = [await caldav.apply(hold(caldav)) for _ in range(2)]
    [event] = shown(emulators)
    assert (event["status"], event["dtstart"], event["dtend"]) == ("TENTATIVE", "20270612T120000Z", "20270612T160000Z")
    assert ([one.replayed for one in outcomes], kinds(emulators)) == ([False, True], ["event.created"])


@pytest.mark.parametrize(
    "busy", [("20270612T150000Z", "PT1H"), ("20270612T110000Z", "PT90M"), ("20270612T120000Z", "PT4H")]
)
async def test_a_busy_slot_is_not_held(
    caldav: CalDav, emulators: Emulators, people: Callable[..., str], busy: tuple[str, str]
) -> None:
    people("meeting", f"DTSTART:{busy[0]}", f"DURATION:{busy[1]}")
    found = await failure(caldav.apply(hold(caldav)))
    assert (type(found), found.detail.code) == (Permanent, "slot_taken")
    assert kinds(emulators) == ["event.created"]


async def test_a_slot_that_ends_where_another_begins_is_held(caldav: CalDav, emulators: Emulators) -> None:
    await caldav.apply(hold(caldav))
    await caldav.apply(hold(caldav, NOON + timedelta(hours=4), booking="wed-1002", key="hold-2"))
    await caldav.apply(hold(caldav, NOON - timedelta(hours=4), booking="wed-1003", key="hold-3"))
    assert len(shown(emulators)) == 3


async def test_a_wedding_s_own_event_does_not_keep_it_from_its_slot(caldav: CalDav, emulators: Emulators) -> None:
    one = about().model_copy(
        update={"target": about().target.model_copy(update={"settings": {"calendar": "orangery"}})}
    )
    await caldav.apply(caldav.plan(one)[0])
    await caldav.apply(hold(caldav, NOON + timedelta(hours=3)))
    assert len(shown(emulators)) == 2


async def test_a_booking_is_itself_whichever_of_its_ids_it_is_known_by(caldav: CalDav, emulators: Emulators) -> None:
    there = {"settings": {"calendar": "orangery"}}
    [step] = caldav.plan(delivery("caldav", target=there, weddingContext={**CONTEXT, "weddingTime": "13:00"}))
    await caldav.apply(step)
    await caldav.apply(hold(caldav, NOON + timedelta(hours=3), booking="job-77"))
    assert len(shown(emulators)) == 2


async def test_a_booking_s_hold_is_written_over_by_the_same_booking_and_by_nobody_else(
    caldav: CalDav, emulators: Emulators
) -> None:
    held = hold(caldav)
    booked = hold(caldav, key="hold-2")
    booked = booked.model_copy(update={"payload": {**booked.payload, "summary": "Booked"}})
    await caldav.apply(held)
    await caldav.apply(booked)
    assert (await failure(caldav.apply(hold(caldav, booking="wed-1002", key="hold-3")))).detail.code == "slot_taken"
    assert [event["summary"] for event in shown(emulators)] == ["Booked"]
    assert (await caldav.apply(booked)).replayed
    await caldav.retract(standing(booked))
    assert shown(emulators) == []


@pytest.mark.parametrize("shift_h", [0, 1])
async def test_f46_of_many_holds_at_once_never_two_stand(emulators: Emulators, shift_h: int) -> None:
    async def attempt(number: int) -> str:
        mine = opened(emulators.base_url("caldav"))
        step = hold(mine, NOON + timedelta(hours=shift_h * (number % 3)), booking=f"wed-{number}", key=f"hold-{number}")
        try:
            await mine.apply(step)
        except Permanent as error:
            return error.detail.code
        finally:
            await mine.aclose()
        return "held"

    for _ in range(3):
        emulators.reset()
        outcomes = await asyncio.gather(*(attempt(number) for number in range(6)))
        assert outcomes.count("held") == len(shown(emulators)) <= 1
        assert set(outcomes) <= {"held", "slot_taken"}
        if not shift_h:
            assert outcomes.count("held") == 1


async def test_a_hold_whose_answer_was_dropped_is_found(caldav: CalDav, emulators: Emulators) -> None:
    emulators.fault("caldav", "drop_after_effect", method="PUT", count=1)
    step = hold(caldav)
    assert type(await failure(caldav.apply(step))) is OutcomeUnknown
    found = await caldav.find(step)
    assert found is not None
    assert found.replayed
    assert await caldav.find(hold(caldav, booking="wed-1002", key="hold-2")) is None


async def test_a_hold_that_was_overtaken_after_a_lost_answer_gives_way(
    caldav: CalDav, emulators: Emulators, people: Callable[..., str]
) -> None:
    emulators.fault("caldav", "drop_after_effect", method="PUT", count=1)
    step = hold(caldav)
    await failure(caldav.apply(step))
    people("meeting", "DTSTART:20270612T130000Z", "DURATION:PT1H")
    assert await caldav.find(step) is None
    assert (await failure(caldav.apply(step))).detail.code == "slot_taken"
    assert [event["uid"] for event in shown(emulators)] == ["meeting"]
