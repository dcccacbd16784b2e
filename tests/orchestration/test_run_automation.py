"""RunAutomation on a skipped clock: branches, waits, approvals, failures, compensation, messages, cancellation."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.worker import Replayer

from contracts.automation_run import ActionRecord, AutomationEvent, WorkflowResult
from contracts.errors import Transient
from contracts.names import ORCHESTRATION_QUEUE
from tests.support.automations import WEDDING, action, chain, orchestration, stage, statuses, step, steps_of
from tests.support.random_automations import random_chain
from tests.support.temporal import PLAIN
from workers.sandbox import workflow_runner
from workflows import policies
from workflows.run_automation import RunAutomation

PACKAGE = {"conditionId": "package", "condition": "trigger.packageType == 'luxury'"}
BRANCHED = chain(
    step("welcome", action("welcome", "send_email"), branch={**PACKAGE, "thenStep": "butler", "elseStep": "list"}),
    step("butler", action("book_butler"), nextStep="close"),
    step("list", action("send_list"), nextStep="close"),
    step("close", action("close")),
)
LUXURY = {"triggerData": {"packageType": "luxury"}}
APPROVED = step("order", action("order"), approvalBy=["planner"], approval={"deadline": "P2D"})


async def until(handle: WorkflowHandle[Any, WorkflowResult], step_id: str) -> None:
    """Return once a step is under way."""
    while True:
        result = await handle.query("state", result_type=WorkflowResult)
        if any(one.step_id == step_id and one.runs for chain in result.results for one in chain.steps):
            return


@pytest.mark.parametrize(("package", "does"), [("luxury", "book_butler"), ("basic", "send_list")])
async def test_a_branch_on_the_package_type_takes_one_way(package: str, does: str):
    async with stage() as here:
        result = await here.run(BRANCHED, triggerData={"packageType": package})
    assert here.systems.done == ["welcome", does, "close"]
    assert sorted(statuses(result).values()) == ["done", "done", "done", "skipped"]
    assert (result.status, here.systems.running) == ("success", set())


async def test_the_example_runs_as_any_client_sends_it():
    document = json.loads((Path(__file__).parents[2] / "examples" / "automation.json").read_text())
    async with stage() as here:
        handle = await here.environment.client.start_workflow(
            "RunAutomation", document, id="example", task_queue=ORCHESTRATION_QUEUE, result_type=WorkflowResult
        )
        await until(handle, "butler")
        while not (await here.answer(handle, "approve", value="butler")).accepted:
            await until(handle, "butler")
        result = await handle.result()
    assert (result.status, set(statuses(result, "vendors").values())) == ("success", {"done"})
    assert [one for one in here.systems.done if one.startswith("Dear")] == [
        "Dear Anna and Ben Fisher, we are looking forward to your day."
    ]


async def test_a_wait_of_elapsed_time_is_waited_and_accounted_for():
    async with stage() as here:
        result = await here.run(
            chain(step("first", action("first")), step("later", action("later"), wait={"duration": "P3D"}))
        )
    [(_, first), (_, later)] = here.systems.applied
    assert timedelta(days=3) <= later - first < timedelta(days=3, minutes=5)
    assert steps_of(result)["later"].waited_ms["timer"] >= 3 * 86_400_000


async def test_an_anchored_step_follows_the_wedding_to_its_new_day():
    async with stage() as here:
        now = await here.environment.get_current_time()
        day, moved = (now + timedelta(days=60)).date(), (now + timedelta(days=90)).date()
        wedding = {"weddingId": "wed-1001", "weddingDate": day.isoformat(), "timeZone": "UTC"}
        wait = {"anchor": {"offset": "-P14D", "at": "09:00"}}
        handle = await here.start(orchestration(chain(step("details", action("details"), wait=wait)), wedding=wedding))
        await until(handle, "details")
        await handle.signal("wedding_changed", {"wedding": {**wedding, "weddingDate": moved.isoformat()}})
        await handle.result()
    [(_, at)] = here.systems.applied
    assert (at.date(), at.hour) == (moved - timedelta(days=14), 9)


async def test_a_step_whose_anchor_was_past_is_passed_over():
    async with stage() as here:
        wedding = {"weddingId": "wed-1001", "weddingDate": "2020-06-01", "timeZone": "UTC"}
        details = step("details", action("details"), wait={"anchor": {"offset": "-P14D"}})
        result = await here.run(chain(details, step("close", action("close"))), wedding=wedding)
    assert statuses(result) == {"details": "skipped", "close": "done"}


async def test_an_event_ends_a_wait_and_its_data_decides_the_branch():
    wait = {"event": "deposit", "timeout": "P7D"}
    paid = {"conditionId": "paid", "condition": "events.deposit.amount >= 500", "thenStep": "thank"}
    async with stage() as here:
        handle = await here.start(
            orchestration(chain(step("deposit", wait=wait, branch=paid), step("thank", action("thank"))))
        )
        event = AutomationEvent(event_id="e-1", name="deposit", data={"amount": 700})
        for _ in range(2):
            await handle.execute_update("tell", event)
        result = await handle.result()
    assert statuses(result) == {"deposit": "done", "thank": "done"}


async def test_an_event_that_does_not_come_leads_to_its_own_step():
    wait = {"event": "deposit", "timeout": "P7D", "timeoutStep": "remind"}
    async with stage() as here:
        result = await here.run(
            chain(step("deposit", action("thank"), wait=wait, nextStep=None), step("remind", action("remind")))
        )
    assert here.systems.done == ["remind"]
    assert steps_of(result)["deposit"].reason == "event_missing"


async def test_a_step_waits_for_one_of_those_who_may_approve_it():
    async with stage() as here:
        handle = await here.start(orchestration(chain(APPROVED)))
        await until(handle, "order")
        stranger = await here.answer(handle, "approve", actorId="stranger", value="order")
        before = list(here.systems.done)
        approved = await here.answer(handle, "approve", value="order")
        result = await handle.result()
    assert (stranger.accepted, before, approved.accepted) == (False, [], True)
    assert (here.systems.done, steps_of(result)["order"].answered_by) == (["order"], "planner")


async def test_an_answer_given_with_the_button_of_the_message_that_asked_counts():
    ask = action("please_approve", "send_message")
    asking = step("order", action("order"), approvalBy=["U1"], approval={"ask": ask})
    async with stage() as here:
        handle = await here.start(orchestration(chain(asking)))
        while not here.systems.applied:
            await until(handle, "order")
        [routing] = here.systems.routings.values()
        buttons = routing.source_notification.actions
        await here.answer(handle, "approve", actorId="U1", notificationId=routing.routing_id)
        await handle.result()
    assert here.systems.done == ["please_approve", "order"]
    assert routing.answers_to == handle.id
    assert {(one.type, one.notification_id) for one in buttons} == {
        ("approve", routing.routing_id),
        ("reject", routing.routing_id),
    }


async def test_a_rejection_takes_back_what_was_done_where_it_says_so():
    rejected = {**APPROVED, "approval": {"onRejection": "compensate"}}
    async with stage() as here:
        handle = await here.start(orchestration(chain(step("reserve", action("reserve")), rejected)))
        await until(handle, "order")
        await here.answer(handle, "reject", value="order")
        result = await handle.result()
    assert (statuses(result), here.systems.retracted) == ({"reserve": "done", "order": "rejected"}, ["reserve"])


@pytest.mark.parametrize(("policy", "status", "does"), [("reject", "rejected", []), ("approve", "done", ["order"])])
async def test_nobodys_answer_means_what_the_step_says(policy: str, status: str, does: list[str]):
    asked = {**APPROVED, "approval": {"deadline": "P2D", "onDeadline": policy}}
    async with stage() as here:
        result = await here.run(chain(asked))
    assert (statuses(result), here.systems.done) == ({"order": status}, does)
    assert steps_of(result)["order"].reason == "deadline"
    assert steps_of(result)["order"].waited_ms["people"] >= 2 * 86_400_000


async def test_actions_side_by_side_do_not_stop_one_another():
    async with stage() as here:
        here.systems.refuses("florist")
        tasks = step("tasks", action("florist"), action("caterer"), action("band"))
        result = await here.run(chain(tasks, step("close", action("close"))))
    assert sorted(here.systems.done) == ["band", "caterer"]
    assert (statuses(result), result.status) == ({"tasks": "failed", "close": "skipped"}, "failed")


async def test_a_failure_that_is_to_be_passed_over_stays_visible():
    async with stage() as here:
        here.systems.refuses("florist")
        tasks = step("tasks", action("florist", onFailure="continue"), action("caterer"))
        result = await here.run(chain(tasks, step("close", action("close"))))
    assert statuses(result) == {"tasks": "failed", "close": "done"}
    assert [one.error.code for one in result.results[0].failures] == ["vendor_refused"]


async def test_compensation_undoes_the_last_first_and_says_what_stands():
    steps = [
        step("mail", action("mail", "send_email")),
        step("one", action("one")),
        step("two", action("two", compensation="cancel_two")),
        step("kept", action("kept", compensation="keep")),
        step("fails", action("fails"), on_failure="compensate"),
    ]
    async with stage() as here:
        here.systems.refuses("fails")
        result = await here.run(chain(*steps, compensations=[action("cancel_two")]))
    assert (here.systems.done, here.systems.retracted) == (["mail", "one", "two", "kept", "cancel_two"], ["one"])
    undone = {item.action_id: item.undone for one in steps_of(result).values() for item in one.actions}
    assert undone == {
        "mail": "not_reversible",
        "one": "retracted",
        "two": "made_up_for",
        "cancel_two": "kept",
        "kept": "kept",
        "fails": None,
    }
    assert result.results[0].status == "compensated"


async def test_a_vendor_that_is_away_is_tried_until_it_answers_and_nothing_is_done_twice():
    async with stage() as here:
        here.systems.refuses("order", *(Transient("vendor_away", "The vendor does not answer.") for _ in range(4)))
        result = await here.run(chain(step("order", action("order"))))
    assert (statuses(result), here.systems.done, here.systems.asked["order"]) == ({"order": "done"}, ["order"], 5)


SEQUENCE = {
    "sequenceId": "greetings",
    "name": "Greetings",
    "trigger": "manual",
    "targetChannel": "couple",
    "messages": [{"message": f"m{number}", "delay": number * 86_400_000} for number in range(4)],
}


async def test_a_sequence_sends_each_message_once_and_in_its_time():
    async with stage() as here:
        result = await here.run(sequences=[SEQUENCE])
    assert here.systems.done == ["m0", "m1", "m2", "m3"]
    gaps = [later[1] - one[1] for one, later in zip(here.systems.applied, here.systems.applied[1:], strict=False)]
    assert [gap.days for gap in gaps] == [1, 2, 3]
    assert set(statuses(result, "greetings").values()) == {"done"}


async def test_a_sequence_ends_when_the_recipient_answers():
    async with stage() as here:
        handle = await here.start(orchestration(sequences=[SEQUENCE]))
        await until(handle, "message-1")
        [first] = [key for key, one in here.systems.routings.items() if one.source_notification.message == "m0"]
        assert (await here.answer(handle, "reply", actorId="couple", notificationId=first)).accepted
        result = await handle.result()
    assert here.systems.done == ["m0"]
    assert {one.reason for one in steps_of(result, "greetings").values()} == {"", "answered"}


async def test_a_condition_is_judged_when_its_message_is_due():
    messages = [{"message": "m0"}, {"message": "m1", "delay": 1_000, "conditions": ["wedding.venueName == 'Hall'"]}]
    async with stage() as here:
        result = await here.run(sequences=[{**SEQUENCE, "messages": messages}])
    assert here.systems.done == ["m0"]
    assert steps_of(result, "greetings")["message-1"].reason == "condition"


async def test_f52_a_sequence_cancelled_in_the_middle_sends_nothing_more():
    async with stage() as here:
        handle = await here.start(orchestration(sequences=[SEQUENCE]))
        await here.environment.sleep(timedelta(days=2))
        await handle.cancel()
        result = await handle.result()
        await here.environment.sleep(timedelta(days=30))
    assert here.systems.done == ["m0", "m1"]
    assert list(statuses(result, "greetings").values()) == ["done", "done", "cancelled", "cancelled"]
    assert (result.status, result.reason) == ("cancelled", "cancelled")


async def test_f52_a_cancelled_wedding_ends_its_automations():
    async with stage() as here:
        handle = await here.start(orchestration(sequences=[SEQUENCE]))
        await until(handle, "message-1")
        await handle.signal("wedding_changed", {"wedding": {"weddingId": "wed-1001"}, "status": "cancelled"})
        result = await handle.result()
    assert (here.systems.done, result.reason) == (["m0"], "wedding_cancelled")


async def test_a_cancelled_run_compensates_where_its_chain_says_so():
    waiting = step("later", action("later"), wait={"duration": "P9D"})
    async with stage() as here:
        handle = await here.start(orchestration(chain(step("one", action("one")), waiting, onCancel="compensate")))
        await until(handle, "later")
        await handle.cancel()
        result = await handle.result()
    assert (here.systems.done, here.systems.retracted) == (["one"], ["one"])
    assert statuses(result) == {"one": "done", "later": "cancelled"}


async def test_an_action_that_cannot_be_called_off_any_more_is_accounted_for():
    async with stage(skipping=False) as here:
        here.systems.refuses("slow", *(Transient("vendor_away", "The vendor does not answer.") for _ in range(2_000)))
        handle = await here.start(orchestration(chain(step("slow", action("slow")), step("next", action("next")))))
        while not here.systems.asked["slow"]:
            await until(handle, "slow")
        await handle.cancel()
        result = await handle.result()
    [record] = steps_of(result)["slow"].actions
    assert (record.status, here.systems.done) == ("cancelled", [])
    assert statuses(result) == {"slow": "cancelled", "next": "cancelled"}


async def test_a_loop_runs_as_often_as_its_limit_allows():
    loop = step("remind", action("remind"), wait={"duration": "P1D"}, limit=3, nextStep="remind")
    async with stage() as here:
        result = await here.run(chain(loop))
    assert (here.systems.done, steps_of(result)["remind"].runs) == (["remind"] * 3, 3)


async def test_a_long_run_goes_on_in_a_new_one_and_repeats_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(policies, "MOST_ACTIONS_OF_A_RUN", 2)
    side = chain(
        step("a", action("a")),
        step("wait", action("b"), wait={"duration": "P2D"}),
        step("c", action("c")),
        chainId="side",
    )
    async with stage() as here:
        handle = await here.start(orchestration(side, sequences=[SEQUENCE]))
        result = await handle.result()
        first = await here.environment.client.get_workflow_handle(
            handle.id, run_id=handle.first_execution_run_id
        ).describe()
    assert sorted(here.systems.done) == ["a", "b", "c", "m0", "m1", "m2", "m3"]
    assert first.status is not None
    assert first.status.name == "CONTINUED_AS_NEW"
    assert set(statuses(result, "side").values()) | set(statuses(result, "greetings").values()) == {"done"}


async def test_an_automation_that_cannot_be_carried_out_is_refused_before_anything_happens():
    async with stage() as here:
        with pytest.raises(WorkflowFailureError) as failed:
            await here.run(chain(step("one", action("one"), nextStep="nowhere")))
    assert "chains[0].steps[0].nextStep" in str(failed.value.cause)
    assert here.systems.done == []


async def test_a_condition_that_reads_what_is_not_there_fails_its_step_alone():
    async with stage() as here:
        guarded = step("guarded", action("guarded"), conditions=["trigger.nothing == 1"])
        result = await here.run(chain(guarded), chain(step("other", action("other")), chainId="other"))
    assert steps_of(result)["guarded"].reason == "condition_unevaluable"
    assert (result.status, here.systems.done) == ("partial_failure", ["other"])


async def test_a_wait_whose_instant_cannot_be_found_fails_its_step_alone():
    lost = step("lost", action("lost"), wait={"anchor": {"offset": "-P1D"}})
    async with stage() as here:
        nowhere = {**WEDDING, "timeZone": "Middle/Earth"}
        result = await here.run(chain(lost), chain(step("other", action("other")), chainId="other"), wedding=nowhere)
    assert (steps_of(result)["lost"].reason, here.systems.done) == ("invalid_input", ["other"])


async def test_random_automations_end_with_every_step_accounted_for_once():
    async with stage() as here:
        chains = [random_chain(Random(seed)) for seed in range(40)]
        handles = [await here.start(orchestration(one, triggerData={"size": 60})) for one in chains]
        results = [await handle.result() for handle in handles]
    for given, result in zip(chains, results, strict=True):
        [ended] = result.results
        assert [one.step_id for one in ended.steps] == [one["stepId"] for one in given["steps"]]
        assert "pending" not in {one.status for one in ended.steps}
        for one in ended.steps:
            keys = [(item.action_id, item.run) for item in one.actions]
            assert len(keys) == len(set(keys)) or ended.status == "compensated"
    applied = [one.notification_id for result in results for one in notes(result) if one.effects]
    assert len(applied) == len(set(applied)) == len(here.systems.applied)


def notes(result: WorkflowResult) -> list[ActionRecord]:
    return [item for ended in result.results for one in ended.steps for item in one.actions]


async def test_a_worker_that_takes_over_decides_from_the_history_what_the_other_decided():
    async with stage() as here:
        waiting = step("later", action("later"), wait={"duration": "P2D"})
        asked = orchestration(chain(APPROVED, waiting), random_chain(Random(7), "random"), sequences=[SEQUENCE])
        handle = await here.start(asked.model_copy(update={"trigger_data": {"size": 60}}))
        await until(handle, "order")
        await here.answer(handle, "approve", value="order")
        await handle.result()
        history = await handle.fetch_history()
    replayer = Replayer(
        workflows=[RunAutomation], data_converter=PLAIN, workflow_runner=workflow_runner(), debug_mode=True
    )
    await replayer.replay_workflow(history)
