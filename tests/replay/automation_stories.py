"""Stories of automations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle

from tests.orchestration import test_run_automation as automation
from tests.orchestration import test_trigger_automations as triggers


@asynccontextmanager
async def automation_approved_and_compensated() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    steps = [
        automation.step("reserve", automation.action("reserve"), automation.action("tell", "send_message")),
        {**automation.APPROVED, "approval": {"ask": automation.action("ask", "send_message")}},
        automation.step("fails", automation.action("fails"), on_failure="compensate"),
    ]
    async with automation.stage() as here:
        here.systems.refuses("fails")
        handle = await here.start(automation.orchestration(automation.chain(*steps)))
        await automation.until(handle, "order")
        await here.answer(handle, "approve", value="order")
        await handle.result()
        yield handle


@asynccontextmanager
async def automation_of_messages_cancelled() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with automation.stage() as here:
        sequences = [automation.SEQUENCE]
        handle = await here.start(
            automation.orchestration(automation.BRANCHED, sequences=sequences, **automation.LUXURY)
        )
        await here.environment.sleep(timedelta(days=2))
        await handle.cancel()
        await handle.result()
        yield handle


@asynccontextmanager
async def automations_triggered_and_told() -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with automation.stage(triggers.TriggerAutomations) as here:
        slow = automation.step("slow", automation.action("slow"), wait={"duration": "P1D"})
        here.systems.definitions = [triggers.definition(automation.chain(slow, **triggers.CONFIRMED))]
        confirmed = {"booking_status": "confirmed"}
        [started] = (await triggers.trigger(here, triggers.happened(properties=confirmed))).started
        while not here.systems.running:
            await triggers.run_of(here, started).query("state")
        news = {"wedding": {"weddingId": "wed-1001"}, "status": "cancelled"}
        event = triggers.happened(eventId="e-2", name="cancelled", properties=confirmed, news=news)
        workflow_id = "trigger-recorded"
        await triggers.trigger(here, event, workflow_id)
        yield here.environment.client.get_workflow_handle(workflow_id)


PLAYS = (automation_approved_and_compensated, automation_of_messages_cancelled, automations_triggered_and_told)
