"""CorrectNotification: new words over what stands, and an account of what could not be changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.boundary import as_application_error
from contracts.effects import Correction, CorrectionReport, EffectOutcome, PlanRouting, RoutingPlan
from contracts.errors import InvalidInput, Permanent
from contracts.names import ORCHESTRATION_QUEUE
from contracts.notification import CrossSystemRouting
from starters.failures import detail_of
from tests.orchestration.test_route_notification import EXAMPLE, QUEUES, FakeNotify
from tests.support.temporal import polling, time_skipping
from workflows.correct_notification import CorrectNotification


class FakeCorrections(FakeNotify):
    """Lets itself be corrected, except where a test says otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.corrected: list[Correction] = []
        self.refusals: dict[str, str] = {}
        self.unplannable = False

    def activities(self) -> list[Any]:
        return [self.planned_words, self.correct]

    @activity.defn(name="notify.plan")
    async def planned_words(self, request: PlanRouting) -> RoutingPlan:
        if self.unplannable:
            raise as_application_error(InvalidInput("routing_invalid", "The routing cannot be planned."))
        targets = [self._planned(request.routing, item) for item in request.routing.target_systems]
        return RoutingPlan(targets=targets)

    @activity.defn(name="notify.correct")
    async def correct(self, correction: Correction) -> EffectOutcome:
        refused = self.refusals.get(correction.step.effect_id)
        if refused:
            raise as_application_error(Permanent(refused, "It cannot be changed."))
        self.corrected.append(correction)
        return EffectOutcome()


@asynccontextmanager
async def stage(fake: FakeCorrections) -> AsyncIterator[WorkflowEnvironment]:
    async with (
        time_skipping() as environment,
        polling(environment.client, [CorrectNotification], fake.activities(), *QUEUES),
    ):
        yield environment


async def correct(environment: WorkflowEnvironment) -> WorkflowHandle[Any, CorrectionReport]:
    routing = CrossSystemRouting.model_validate(EXAMPLE)
    return await environment.client.start_workflow(
        CorrectNotification.run, routing, id=f"correction-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
    )


async def test_every_effect_is_corrected_once_and_those_that_cannot_be_are_accounted_for():
    fake = FakeCorrections()
    fake.refusals = {"crm-0": "not_correctable", "booking-1": "effect_unknown"}
    async with stage(fake) as environment:
        report = await (await correct(environment)).result()
    told = {one.effect_id: one.reason for one in report.effects if not one.corrected}
    assert told == fake.refusals
    assert sorted(one.effect.effect_id for one in fake.corrected) == [
        "booking-0",
        "crm-1",
        "team-chat-0",
        "team-chat-1",
    ]


async def test_words_that_cannot_be_planned_change_nothing_and_fail_with_the_reason():
    fake = FakeCorrections()
    fake.unplannable = True
    async with stage(fake) as environment:
        handle = await correct(environment)
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert detail_of(failed.value).code == "routing_invalid"
    assert fake.corrected == []
