"""ResolveBookingConflict on a skipped clock: who decides, when, what follows, and what happens when nobody does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.resource_days import FrontDesk
from contracts.actions import ActionAnswer, ActionTaken
from contracts.conflict import ConflictDecision, ConflictResolution, DecisionAnswer, ResolutionDetail
from contracts.errors import Permanent
from contracts.names import ORCHESTRATION_QUEUE, resource_day_workflow_id
from contracts.notification import Slot
from contracts.resource_day import AskOwner, ResourceDayState, SlotCommand, SlotCommandKind
from tests.support.bookings import ORGANIZATION, QUEUES, SLOT, TAVE, FakeTown, away, owner
from tests.support.temporal import polling, time_skipping
from workflows.resolve_booking_conflict import ResolveBookingConflict
from workflows.resource_day import ResourceDay
from workflows.route_notification import RouteNotification

EXAMPLE = json.loads((Path(__file__).parents[2] / "examples" / "booking-conflict.json").read_text())
WORKFLOWS = [ResolveBookingConflict, ResourceDay, RouteNotification]


@asynccontextmanager
async def stage(town: FakeTown) -> AsyncIterator[WorkflowEnvironment]:
    async with time_skipping() as environment, polling(environment.client, WORKFLOWS, town.activities(), *QUEUES):
        yield environment


async def raised(
    environment: WorkflowEnvironment, *, organization: str = ORGANIZATION, conflict: str = "conf-0001", **decision: Any
) -> WorkflowHandle[Any, ConflictResolution]:
    """Raise the example's conflict."""
    conflicts = [{**EXAMPLE["conflicts"][0], "conflictId": conflict, "conflictDate": "2035-06-12"}]
    request = {
        **EXAMPLE,
        "organizationId": organization,
        "conflicts": conflicts,
        "decision": {**EXAMPLE["decision"], **decision},
    }
    return await environment.client.start_workflow(
        ResolveBookingConflict.__name__,
        request,
        id=f"conflict-{uuid4()}",
        task_queue=ORCHESTRATION_QUEUE,
        result_type=ConflictResolution,
    )


async def decide(handle: WorkflowHandle[Any, Any], choice: str, who: str = "planner") -> DecisionAnswer:
    """Decide as soon as the question is open."""
    while True:
        decision = ConflictDecision(choice=choice, decided_by=who)
        answer = await handle.execute_update("decide", decision, result_type=DecisionAnswer)
        if "not open" not in answer.message:
            return answer
        await asyncio.sleep(0.05)


async def detail(handle: WorkflowHandle[Any, ConflictResolution]) -> ResolutionDetail:
    found = await handle.query("resolution", result_type=ConflictResolution)
    return found.resolution_details[0]


async def day(environment: WorkflowEnvironment, organization: str = ORGANIZATION) -> ResourceDayState:
    owner = environment.client.get_workflow_handle(resource_day_workflow_id(organization, TAVE, "ph-9", "2035-06-12"))
    return await owner.query("state", result_type=ResourceDayState)


def statuses(found: ResolutionDetail) -> dict[str, str]:
    return {one.name: one.status.value for one in found.consequences}


async def test_a_decision_in_time_confirms_the_one_releases_the_other_and_says_so_everywhere():
    town = FakeTown()
    async with stage(town) as environment:
        handle = await raised(environment)
        answer = await decide(handle, "job-91")
        result = await handle.result()
        holds = (await day(environment)).holds
    assert (answer.accepted, answer.winning_booking_id) == (True, "job-91")
    assert (result.total_conflicts, result.resolved_conflicts, result.failed_resolutions) == (1, 1, 0)
    [found] = result.resolution_details
    assert (found.status, found.winning_booking_id, found.decided_by) == ("resolved", "job-91", "planner")
    assert found.conflict_record_id
    assert set(statuses(found).values()) == {"success"}
    said = {
        step.payload["bookingId"]: step.payload["newStatus"] for step in town.applied if "newStatus" in step.payload
    }
    assert said == {"job-91": "confirmed", "job-77": "turned_down"}
    assert town.kinds()["email:booking_decision"] == 1
    assert "Decided by planner: job-91 keeps" in town.corrected[0].step.payload["text"]
    assert town.on_calendar() == ["job-77+job-91"]
    assert [hold.booking_ids for hold in holds if hold.status == "confirmed"] == [["job-91"]]


async def test_a_conflict_that_nobody_has_decided_is_pending_and_not_resolved():
    town = FakeTown()
    async with stage(town) as environment:
        handle = await raised(environment)
        await environment.sleep(timedelta(hours=1))
        found = await detail(handle)
        await handle.cancel()
    assert (found.status, found.winning_booking_id) == ("pending_resolution", None)
    assert [one.rank for one in found.alternatives] == [1, 2]
    assert town.kinds()["tave:booking_conflict"] == 2


async def test_the_question_has_a_button_for_each_booking_and_for_each_alternative():
    town = FakeTown()
    async with stage(town) as environment:
        handle = await raised(environment)
        await environment.sleep(timedelta(minutes=1))
        await handle.cancel()
    question = town.asked("Double booking")[0]
    actions = question.source_notification.actions
    assert [one.action_id for one in actions] == ["job-77", "job-91", "alternative-1", "alternative-2"]
    assert {one.type for one in actions} == {"choose"}
    assert len({one.notification_id for one in actions}) == 1


async def test_a_pressed_button_decides_and_a_later_press_gets_the_decision_back():
    town = FakeTown()
    async with stage(town) as environment:
        handle = await raised(environment)
        await decide(handle, "nobody-of-that-name")
        town.gate.clear()
        presses = []
        for number, choice in enumerate(["job-77", "job-91"]):
            action = ActionTaken(
                event_id=f"e-{number}",
                action_id=choice,
                action_type="choose",
                notification_id="question",
                system="slack",
                integration_id="slack-main",
                actor_id=f"U{number}",
                occurred_at=await environment.get_current_time(),
            )
            presses.append(await handle.execute_update("take_action", action, result_type=ActionAnswer))
        town.gate.set()
        result = await handle.result()
    assert [one.accepted for one in presses] == [True, False]
    assert presses[1].message == "This was decided before by U0: job-77 keeps the slot."
    assert result.resolution_details[0].winning_booking_id == "job-77"


async def test_two_decisions_at_once_have_one_winner():
    town = FakeTown()
    async with stage(town) as environment:
        handle = await raised(environment)
        await decide(handle, "nobody-of-that-name")
        town.gate.clear()
        answers = await asyncio.gather(decide(handle, "job-77", "a"), decide(handle, "job-91", "b"))
        town.gate.set()
        result = await handle.result()
    assert sorted(one.accepted for one in answers) == [False, True]
    assert len({one.winning_booking_id for one in answers}) == 1
    assert result.resolution_details[0].winning_booking_id == answers[0].winning_booking_id


async def test_reminders_go_out_at_their_hours_and_the_deadline_keeps_the_primary():
    town = FakeTown()
    async with stage(town) as environment:
        handle = await raised(environment)
        await environment.sleep(timedelta(hours=3))
        early = len(town.asked("Still undecided"))
        await environment.sleep(timedelta(hours=22))
        late = len(town.asked("Still undecided"))
        result = await handle.result()
    [found] = result.resolution_details
    assert (early, late) == (0, 2)
    assert (found.winning_booking_id, found.decided_by, found.status) == ("job-77", "deadline", "resolved")
    assert found.decided_at - found.created_at >= timedelta(days=2)


async def test_the_deadline_can_keep_the_conflicting_booking():
    town = FakeTown()
    async with stage(town) as environment:
        result = await (await raised(environment, onDeadline="keep_conflicting")).result()
    assert result.resolution_details[0].winning_booking_id == "job-91"


async def test_an_automatic_decision_asks_nobody():
    town = FakeTown()
    async with stage(town) as environment:
        result = await (await raised(environment, mode="automatic")).result()
    assert (result.resolution_details[0].decided_by, town.kinds()["slack:message.post"]) == ("automatic", 0)


async def test_an_escalated_conflict_still_waits_for_a_human_and_fails_when_none_comes():
    town = FakeTown()
    async with stage(town) as environment:
        handle = await raised(environment, onDeadline="escalate")
        result = await handle.result()
        holds = (await day(environment)).holds
    [found] = result.resolution_details
    assert len(town.asked("Overdue")) == 1
    assert (found.status, found.error.code, found.winning_booking_id) == ("resolution_failed", "decision_overdue", None)
    assert {hold.status for hold in holds} == {"released"}


async def test_a_chosen_alternative_is_kept_for_the_booking_that_moves():
    town = FakeTown()
    async with stage(town) as environment:
        handle = await raised(environment)
        await decide(handle, "alternative-2")
        # A clock that runs ahead while the result is awaited lets the hold go.
        with environment.auto_time_skipping_disabled():
            result = await handle.result()
        other = environment.client.get_workflow_handle(
            resource_day_workflow_id(ORGANIZATION, TAVE, "ph-9", "2035-06-13")
        )
        [kept] = (await other.query("state", result_type=ResourceDayState)).holds
    assert result.resolution_details[0].winning_booking_id == "job-77"
    assert (kept.booking_ids, kept.status) == (["job-91"], "held")
    [told] = [step for step in town.applied if step.system == "email"]
    assert "This time is kept for you until" in told.payload["text"]


async def confirmed(environment: WorkflowEnvironment, booking: str, slot: Slot) -> None:
    """Give a slot to a booking that has nothing to do with the conflict."""
    command = SlotCommand(kind=SlotCommandKind.CONFIRM, hold_id=f"h-{booking}", booking_ids=[booking], slot=slot)
    answer = await FrontDesk(environment.client).ask(AskOwner(day=owner(), command=command))
    assert answer.accepted


async def test_an_alternative_that_was_taken_meanwhile_is_refused_and_the_conflict_stays_open():
    town = FakeTown()
    async with stage(town) as environment:
        handle = await raised(environment)
        await decide(handle, "nobody-of-that-name")
        await confirmed(environment, "job-55", town.alternatives[1].slot)
        refused = await decide(handle, "alternative-2")
        undecided = (await detail(handle)).status
        accepted = await decide(handle, "alternative-1")
        result = await handle.result()
    assert (refused.accepted, "has been taken meanwhile" in refused.message) == (False, True)
    assert (undecided, accepted.accepted) == ("pending_resolution", True)
    assert result.resolution_details[0].choice == "alternative-1"


async def test_a_slot_that_a_third_booking_has_is_given_to_neither():
    town = FakeTown()
    async with stage(town) as environment:
        await confirmed(environment, "job-55", SLOT)
        result = await (await raised(environment)).result()
    [found] = result.resolution_details
    assert (found.status, found.error.code, found.winning_booking_id) == ("resolution_failed", "slot_taken", None)
    assert "job-55" in found.error.message
    assert town.kinds()["slack:message.post"] == 0


async def test_a_decision_stands_while_the_booking_system_is_down_and_what_follows_is_made_up_for():
    town = FakeTown()
    town.trouble = {"tave:booking_decision": [away()] * 8}
    async with stage(town) as environment:
        handle = await raised(environment)
        answer = await decide(handle, "job-77")
        result = await handle.result()
    assert answer.accepted
    assert result.resolution_details[0].status == "resolved"
    assert town.kinds()["tave:booking_decision"] == 2


async def test_a_conflict_whose_consequence_is_refused_is_decided_and_not_resolved():
    town = FakeTown()
    town.trouble = {"email:booking_decision": [Permanent("address_refused", "The server refuses the address.")]}
    async with stage(town) as environment:
        handle = await raised(environment)
        # The clock must not run past the owner's day between the two runs.
        with environment.auto_time_skipping_disabled():
            await decide(handle, "job-77")
            [found] = (await handle.result()).resolution_details
            again = await raised(environment)
            [mended] = (await again.result()).resolution_details
    assert (found.status, found.winning_booking_id, found.error.code) == (
        "resolution_failed",
        "job-77",
        "address_refused",
    )
    assert statuses(found)["loser_told"] == "failed"
    assert (mended.status, mended.winning_booking_id, mended.decided_by) == ("resolved", "job-77", "earlier")
    assert town.kinds()["email:booking_decision"] == 1


async def test_a_run_that_is_called_off_lets_the_slot_go_and_says_so():
    town = FakeTown()
    async with stage(town) as environment:
        handle = await raised(environment)
        await environment.sleep(timedelta(minutes=1))
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        holds = (await day(environment)).holds
    assert [(hold.status, hold.reason) for hold in holds] == [("released", "given_back")]
    assert "Called off" in town.corrected[0].step.payload["text"]
    assert town.kinds()["tave:booking_decision"] == 0


async def test_a_conflict_about_the_same_two_bookings_gets_the_first_decision():
    town = FakeTown()
    async with stage(town) as environment:
        with environment.auto_time_skipping_disabled():
            first = await raised(environment)
            await decide(first, "job-91")
            await first.result()
            [found] = (await (await raised(environment, conflict="conf-0002")).result()).resolution_details
    assert (found.status, found.winning_booking_id, found.decided_by) == ("resolved", "job-91", "earlier")
    assert town.kinds()["email:booking_decision"] == 1


async def test_another_organisation_s_photographer_of_the_same_name_is_untouched():
    town = FakeTown()
    async with stage(town) as environment:
        ours, theirs = await raised(environment), await raised(environment, organization="other-studio")
        # A clock that runs ahead reaches the deadline of ours.
        with environment.auto_time_skipping_disabled():
            await decide(theirs, "job-91")
            await theirs.result()
        found = await detail(ours)
        holds = (await day(environment)).holds
        await ours.cancel()
    assert found.status == "pending_resolution"
    assert [hold.status for hold in holds] == ["held"]


async def test_several_conflicts_get_a_run_each_and_one_sum():
    town = FakeTown()
    one = EXAMPLE["conflicts"][0]
    conflicts = [
        {**one, "conflictId": "conf-a", "conflictDate": "2035-06-12"},
        {**one, "conflictId": "conf-b", "conflictDate": "2035-06-12"},
    ]
    request = {**EXAMPLE, "conflicts": conflicts, "decision": {"mode": "automatic"}}
    async with stage(town) as environment:
        result = await environment.client.execute_workflow(
            ResolveBookingConflict.__name__,
            request,
            id="conflicts",
            task_queue=ORCHESTRATION_QUEUE,
            result_type=ConflictResolution,
        )
    assert (result.total_conflicts, result.resolved_conflicts) == (2, 2)
    assert {one.winning_booking_id for one in result.resolution_details} == {"job-77"}
    assert town.kinds()["email:booking_decision"] == 1
