"""RaiseEmergency on a skipped clock: levels, stand-ins, repetitions, and the one who has it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle

from contracts.actions import ActionAnswer, ActionTaken
from contracts.emergency import Acknowledgement, EmergencyOutcome, EmergencyResult, StandDown
from contracts.errors import ErrorDetail, ErrorKind
from contracts.names import effect_id
from contracts.notification import DeliveryStatus
from contracts.undelivered import UndeliveredEffect
from tests.support.emergencies import Vendors, alert, level, raised, stage, state, target

TWO_LEVELS = (
    level(1, 60, target("ops", "sms")),
    level(2, 120, target("sms"), target("oncall")),
)


async def acknowledged(
    handle: WorkflowHandle[Any, EmergencyResult], by: str = "planner", event_id: str | None = None
) -> ActionAnswer:
    given = Acknowledgement(acknowledged_by=by, event_id=event_id)
    return await handle.execute_update("acknowledge", given, result_type=ActionAnswer)


def pressed(action_type: str = "acknowledge", event_id: str = "e-1") -> ActionTaken:
    return ActionTaken.model_validate(
        {
            "eventId": event_id,
            "actionId": "button",
            "actionType": action_type,
            "notificationId": "n-alert-1",
            "system": "slack",
            "integrationId": "chat",
            "actorId": "U0PLANNER",
            "occurredAt": "2027-06-12T14:00:00Z",
        }
    )


async def test_an_acknowledgement_at_the_first_level_alerts_nobody_else():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await environment.sleep(timedelta(seconds=30))
        answer = await acknowledged(handle)
        result = await handle.result()
    assert answer.accepted
    assert (result.outcome, result.acknowledged_by, result.highest_level) == ("acknowledged", "planner", 1)
    assert vendors.names() == ["ops"]
    assert vendors.closed == [("told", "ops")]


async def test_a_level_that_does_not_answer_in_its_time_is_joined_by_the_next():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await environment.sleep(timedelta(seconds=61))
        found = await state(handle)
        await acknowledged(handle)
        result = await handle.result()
    assert (found.level, found.repetition) == (2, 1)
    assert sorted(vendors.names()) == ["oncall", "ops", "sms"]
    assert result.highest_level == 2
    assert sorted(vendors.closed) == [("told", "oncall"), ("told", "ops"), ("told", "sms")]


async def test_the_time_of_a_level_counts_from_the_moment_it_was_alerted():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await environment.sleep(timedelta(seconds=200))
        await acknowledged(handle)
        await handle.result()
    first, second = vendors.told[0].at, vendors.told[1].at
    again = min(one.at for one in vendors.told if one.repetition == 2)
    assert timedelta(seconds=60) <= second - first < timedelta(seconds=70)
    assert timedelta(seconds=120) <= again - second < timedelta(seconds=130)


async def test_a_channel_that_refuses_is_taken_over_at_once_and_is_not_alerted_twice():
    vendors = Vendors(dead={"ops"})
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await environment.sleep(timedelta(seconds=90))
        await acknowledged(handle)
        result = await handle.result()
    sms, oncall = vendors.told
    assert (sms.system_id, oncall.system_id) == ("sms", "oncall")
    assert oncall.at - sms.at >= timedelta(seconds=55)
    by_name = {one.system_id: one for one in result.deliveries}
    assert (by_name["ops"].status, by_name["sms"].in_place_of) == (DeliveryStatus.FAILED, "ops")
    assert by_name["ops"].error is not None
    assert by_name["ops"].error.code == "gone"


async def bounced(
    handle: WorkflowHandle[Any, EmergencyResult], vendors: Vendors, name: str, repetition: int = 1
) -> None:
    """Tell that the vendor took the message to a target and did not deliver it."""
    effect = vendors.standing[effect_id("alert-1", name, str(repetition))]
    error = ErrorDetail(kind=ErrorKind.PERMANENT, code="not_delivered", message="The phone is off.")
    told = UndeliveredEffect(effect=effect, error=error, told_at=effect.applied_at)
    await handle.signal("not_delivered", told)


async def test_an_alert_that_was_not_delivered_is_taken_over_at_once_and_not_twice():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await vendors.heard.wait()
        for _ in range(2):
            await bounced(handle, vendors, "ops")
        await environment.sleep(timedelta(seconds=30))
        await acknowledged(handle)
        result = await handle.result()
    assert vendors.names() == ["ops", "sms"]
    by_name = {one.system_id: one for one in result.deliveries}
    assert by_name["ops"].error is not None
    assert (by_name["ops"].status, by_name["ops"].error.code) == (DeliveryStatus.FAILED, "not_delivered")
    assert by_name["sms"].in_place_of == "ops"


async def test_a_level_of_which_nobody_was_delivered_to_is_followed_by_the_next_without_its_time():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, level(1, 3_600, target("ops")), level(2, 3_600, target("oncall")))
        await vendors.heard.wait()
        await bounced(handle, vendors, "ops")
        await environment.sleep(timedelta(seconds=30))
        found = await state(handle)
        await acknowledged(handle)
        await handle.result()
    assert (found.level, vendors.names()) == (2, ["ops", "oncall"])


async def test_a_channel_that_does_not_answer_within_three_seconds_is_taken_over():
    vendors = Vendors(silent={"ops"})
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await vendors.heard.wait()
        held = {one.system_id: one.status for one in (await state(handle)).deliveries}
        await acknowledged(handle)
        await handle.result()
    assert vendors.names()[0] == "sms"
    assert held["ops"] is DeliveryStatus.HELD


async def test_failed_stand_ins_are_followed_to_the_end_of_the_chain_even_when_it_is_a_circle():
    vendors = Vendors(dead={"a", "b"})
    levels = (level(1, 60, target("a", "b")), level(2, 60, target("b", "c"), target("c", "a")))
    async with stage(vendors) as environment:
        handle = await raised(environment, *levels)
        await environment.sleep(timedelta(seconds=20))
        await acknowledged(handle)
        await handle.result()
    assert vendors.names() == ["c"]


async def test_with_all_channels_dead_the_next_level_does_not_wait_and_a_channel_that_recovers_is_reached():
    vendors = Vendors(dead={"ops"}, down={"sms": 6, "oncall": 6})
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await environment.sleep(timedelta(seconds=50))
        found = await state(handle)
        await environment.sleep(timedelta(seconds=60))
        await acknowledged(handle)
        await handle.result()
    assert found.level == 2
    assert sorted(vendors.names()) == ["oncall", "sms"]


async def test_everybody_is_alerted_again_at_the_stated_cadence_each_time_once():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS, repeatEvery="PT100S")
        await environment.sleep(timedelta(seconds=180 + 250))
        await acknowledged(handle)
        result = await handle.result()
    assert result.repetitions == 4
    for number in (2, 3, 4):
        assert sorted(vendors.names(number)) == ["oncall", "ops", "sms"]
    starts = [min(one.at for one in vendors.told if one.repetition == number) for number in (2, 3, 4)]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert all(timedelta(seconds=100) <= gap < timedelta(seconds=110) for gap in gaps)


async def test_a_long_emergency_goes_on_where_the_run_before_it_ended():
    vendors = Vendors()
    before = {"alertId": "alert-1", "raisedAt": "2027-06-12T14:00:00Z", "level": 2, "repetition": 7}
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS, repeatEvery="PT100S", resumed=before)
        await environment.sleep(timedelta(seconds=110))
        await acknowledged(handle)
        result = await handle.result()
    assert (result.repetitions, result.highest_level) == (8, 2)
    assert sorted(vendors.names(7)) == sorted(vendors.names(8)) == ["oncall", "ops", "sms"]


@pytest.mark.parametrize("digit", ["ack", "mine"])
async def test_a_digit_counts_as_the_button_that_it_stands_for(digit: str):
    vendors = Vendors()
    own = {"actionId": "mine", "label": "Mine", "type": "acknowledge"}
    notification = {**alert()["notification"], "actions": [own]}
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS, notification=notification)
        dialled = pressed("", "e-1").model_copy(update={"action_id": digit})
        answer = await handle.execute_update("take_action", dialled, result_type=ActionAnswer)
        await handle.result()
    assert answer.accepted


async def test_without_repetition_an_alert_that_nobody_took_ends_and_says_so():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS, repeatUntilAcknowledged=False)
        result = await handle.result()
    assert (result.outcome, result.acknowledged_at) == (EmergencyOutcome.EXHAUSTED, None)
    assert vendors.closed == []


async def test_repetitions_end_when_their_time_is_over():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS, repeatEvery="PT100S", repeatFor="PT400S")
        result = await handle.result()
    assert (result.outcome, result.repetitions) == (EmergencyOutcome.EXHAUSTED, 4)


async def test_the_first_acknowledgement_counts_and_the_others_are_told_who_has_it():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await environment.sleep(timedelta(seconds=10))
        answers = await asyncio.gather(
            *(acknowledged(handle, f"person-{number}", f"event-{number % 3}") for number in range(6))
        )
        result = await handle.result()
    accepted = {answer.message for answer in answers if answer.accepted}
    refused = [answer.message for answer in answers if not answer.accepted]
    assert len(accepted) == 1
    assert len(refused) == 4
    assert all(str(result.acknowledged_by) in message for message in refused)
    assert vendors.closed == [("told", "ops")]


async def test_a_pressed_button_acknowledges_and_another_answer_does_not():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        other = await handle.execute_update("take_action", pressed("reject", "e-0"), result_type=ActionAnswer)
        answer = await handle.execute_update("take_action", pressed(), result_type=ActionAnswer)
        result = await handle.result()
    assert (other.accepted, answer.accepted) == (False, True)
    assert result.acknowledged_by == "U0PLANNER"


async def test_an_all_clear_ends_it_and_everybody_alerted_is_told():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await environment.sleep(timedelta(seconds=70))
        report = StandDown(reported_by="weather")
        await handle.execute_update("stand_down", report, result_type=ActionAnswer)
        result = await handle.result()
    assert (result.outcome, result.acknowledged_by) == (EmergencyOutcome.ALL_CLEAR, None)
    assert len(vendors.closed) == 3


async def test_ringing_calls_are_taken_back_and_messages_corrected_when_somebody_has_it():
    vendors = Vendors(calls={"oncall"}, correctable={"ops"})
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await environment.sleep(timedelta(seconds=70))
        await acknowledged(handle)
        result = await handle.result()
    assert sorted(vendors.closed) == [
        ("corrected", "ops"),
        ("retracted", "oncall"),
        ("told", "oncall"),
        ("told", "sms"),
    ]
    assert sorted(one.done for one in result.closing) == ["corrected", "retracted", "told", "told"]


async def test_a_cancelled_emergency_tells_everybody_who_was_alerted():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS)
        await environment.sleep(timedelta(seconds=70))
        await handle.cancel()
        result = await handle.result()
    assert result.outcome is EmergencyOutcome.CANCELLED
    assert len(vendors.closed) == 3


async def test_a_drill_goes_through_every_level_once_and_ends_by_itself():
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, *TWO_LEVELS, drill=True)
        result = await handle.result()
    assert (result.outcome, result.highest_level, result.repetitions) == (EmergencyOutcome.DRILLED, 2, 1)
    assert len(vendors.closed) == 3


@pytest.mark.parametrize("number", ["112", "911", "+999"])
async def test_a_public_emergency_service_is_refused_as_a_target(number: str):
    vendors = Vendors()
    async with stage(vendors) as environment:
        handle = await raised(environment, level(1, 60, {**target("ops"), "recipients": [number]}))
        with pytest.raises(WorkflowFailureError) as raised_error:
            await handle.result()
    assert "configure people as targets" in str(raised_error.value.cause)
    assert vendors.told == []
