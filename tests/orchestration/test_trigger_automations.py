"""TriggerAutomations: what an event sets going, once, and what it tells those that run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import WorkflowHandle

from contracts.automation import AutomationDefinition
from contracts.automation_run import WorkflowResult
from contracts.automation_steps import TriggerEvent, TriggerResult
from contracts.names import ORCHESTRATION_QUEUE, automation_workflow_id
from tests.support.automations import COUPLE, ORGANIZATION, Stage, action, chain, stage, step
from workflows.trigger_automations import TriggerAutomations

CONFIRMED = {"trigger": "property_change", "triggerProperty": "booking_status", "triggerValue": "confirmed"}


def definition(*chains: dict[str, Any], **fields: Any) -> AutomationDefinition:
    given = {"definitionId": "d-1", "organizationId": ORGANIZATION, "name": "d", "version": 1, "chains": list(chains)}
    return AutomationDefinition.model_validate({**given, **fields})


def happened(**fields: Any) -> TriggerEvent:
    given = {"organizationId": ORGANIZATION, "eventId": "e-1", "weddingId": "wed-1001", "participants": [COUPLE]}
    return TriggerEvent.model_validate({**given, **fields})


async def trigger(here: Stage, event: TriggerEvent, workflow_id: str | None = None) -> TriggerResult:
    result: TriggerResult = await here.environment.client.execute_workflow(
        TriggerAutomations.__name__,
        event,
        id=workflow_id or f"trigger-{uuid4()}",
        task_queue=ORCHESTRATION_QUEUE,
        result_type=TriggerResult,
    )
    return result


def run_of(here: Stage, orchestration_id: str) -> WorkflowHandle[Any, WorkflowResult]:
    workflow_id = automation_workflow_id(ORGANIZATION, orchestration_id)
    return here.environment.client.get_workflow_handle(workflow_id, result_type=WorkflowResult)


async def test_a_changed_property_starts_the_chains_it_triggers_and_the_same_event_starts_them_once():
    async with stage(TriggerAutomations) as here:
        other = chain(step("other", action("other")), chainId="other", trigger="event", triggerValue="moved")
        here.systems.definitions = [definition(chain(step("one", action("one")), **CONFIRMED), other)]
        event = happened(properties={"booking_status": "confirmed"})
        first, again = await trigger(here, event), await trigger(here, event)
        [started] = first.started
        result = await run_of(here, started).result()
    assert (again.started, here.systems.done) == ([], ["one"])
    assert [one.workflow_id for one in result.results] == ["chain"]


async def test_an_event_that_triggers_nothing_starts_nothing():
    async with stage(TriggerAutomations) as here:
        here.systems.definitions = [
            definition(chain(step("one", action("one")), **CONFIRMED)),
            definition(chain(step("two", action("two")), **CONFIRMED), definitionId="d-2", enabled=False),
        ]
        result = await trigger(here, happened(properties={"booking_status": "inquiry"}, name="moved"))
    assert (result.started, here.systems.done) == ([], [])


async def test_what_is_anchored_starts_once_for_a_wedding_and_follows_its_day():
    async with stage(TriggerAutomations) as here:
        now = await here.environment.get_current_time()
        day, moved = (now + timedelta(days=40)).date(), (now + timedelta(days=60)).date()
        anchored = {"trigger": "anchor", "anchor": {"offset": "-P10D", "at": "09:00"}}
        here.systems.definitions = [definition(chain(step("details", action("details")), **anchored))]
        wedding = {"weddingId": "wed-1001", "weddingDate": day.isoformat(), "timeZone": "UTC"}
        [started] = (await trigger(here, happened(name="planned", news={"wedding": wedding}))).started
        news = {"wedding": {**wedding, "weddingDate": moved.isoformat()}, "status": "planned"}
        while not here.systems.running:
            await run_of(here, started).query("state")
        second = await trigger(here, happened(eventId="e-2", name="moved", news=news))
        await here.environment.sleep(timedelta(days=61))
    assert (second.started, second.told) == ([], 1)
    [(_, at)] = here.systems.applied
    assert (at.date(), at.hour) == (moved - timedelta(days=10), 9)


async def test_a_saved_automation_that_is_changed_while_it_runs_runs_on_as_it_began():
    async with stage(TriggerAutomations) as here:
        slow = step("old", action("old"), wait={"duration": "P1D"})
        here.systems.definitions = [definition(chain(slow, **CONFIRMED))]
        confirmed = {"booking_status": "confirmed"}
        [old] = (await trigger(here, happened(properties=confirmed))).started
        changed = chain(step("new", action("new")), **CONFIRMED)
        here.systems.definitions = [definition(changed, version=2)]
        [new] = (await trigger(here, happened(eventId="e-2", properties=confirmed))).started
        await here.environment.sleep(timedelta(days=2))
        results = [await run_of(here, one).result() for one in (old, new)]
    assert sorted(here.systems.done) == ["new", "old"]
    assert [one.results[0].steps[0].step_id for one in results] == ["old", "new"]


async def test_a_run_that_has_ended_is_no_obstacle_to_telling_the_others():
    async with stage(TriggerAutomations) as here:
        here.systems.running = {"gone"}
        assert (await trigger(here, happened(name="moved"))).told == 0
