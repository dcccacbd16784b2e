"""MonitorHealth: every integration gets its word, and the worst come first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.boundary import as_application_error
from contracts.errors import Permanent
from contracts.health import (
    HealthPage,
    HealthPageRequest,
    HealthStatus,
    HealthWord,
    IntegrationKey,
    MonitorHealthInput,
    MonitorHealthResult,
)
from contracts.names import ORCHESTRATION_QUEUE
from tests.support.temporal import polling, time_skipping
from workflows.monitor_health import MonitorHealth


class FakeHealth:
    """Twenty-five integrations, of which some are slow and one breaks its check."""

    def __init__(self, count: int = 25) -> None:
        self.keys = [
            IntegrationKey(organization_id="lumen", integration_id=f"slack-{number:02}", platform="slack")
            for number in range(count)
        ]
        self.words: dict[str, HealthWord] = {}
        self.broken: set[str] = set()
        self.checked: list[str] = []

    def activities(self) -> list[Any]:
        return [self.page, self.check]

    @activity.defn(name="health.page")
    async def page(self, request: HealthPageRequest) -> HealthPage:
        after = request.after.integration_id if request.after else ""
        rest = [key for key in self.keys if key.integration_id > after]
        return HealthPage(keys=rest[: request.limit])

    @activity.defn(name="health.check")
    async def check(self, key: IntegrationKey) -> HealthStatus:
        self.checked.append(key.integration_id)
        if key.integration_id in self.broken:
            raise as_application_error(Permanent("store_gone", "The store refuses."))
        return HealthStatus(
            integration_id=key.integration_id,
            organization_id=key.organization_id,
            platform=key.platform,
            status=self.words.get(key.integration_id, HealthWord.HEALTHY),
            state=key.state,
            checked_at=activity.info().started_time,
        )


@asynccontextmanager
async def stage(fake: FakeHealth) -> AsyncIterator[WorkflowEnvironment]:
    async with (
        time_skipping() as environment,
        polling(environment.client, [MonitorHealth], fake.activities(), "system.slack"),
    ):
        yield environment


async def monitor(
    environment: WorkflowEnvironment, page_size: int = 10
) -> WorkflowHandle[MonitorHealth, MonitorHealthResult]:
    return await environment.client.start_workflow(
        MonitorHealth.run,
        MonitorHealthInput(page_size=page_size),
        id=f"health-{uuid4()}",
        task_queue=ORCHESTRATION_QUEUE,
    )


async def test_every_integration_of_every_page_is_checked_once():
    fake = FakeHealth()
    async with stage(fake) as environment:
        result = await (await monitor(environment)).result()
    assert sorted(fake.checked) == [key.integration_id for key in fake.keys]
    assert (result.checked, result.unhealthy, result.degraded) == (25, 0, 0)


async def test_the_worst_come_first_and_a_broken_check_is_a_word_with_its_reason():
    fake = FakeHealth()
    fake.words = {"slack-03": HealthWord.DEGRADED}
    fake.broken = {"slack-07"}
    async with stage(fake) as environment:
        result = await (await monitor(environment)).result()
    first, second = result.statuses[:2]
    assert (first.integration_id, first.status, second.integration_id) == ("slack-07", "unhealthy", "slack-03")
    assert first.metrics[0].error is not None
    assert (result.unhealthy, result.degraded) == (1, 1)
