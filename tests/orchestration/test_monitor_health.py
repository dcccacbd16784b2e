"""MonitorHealth: every integration gets its word, and the worst come first."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from activities.boundary import as_application_error
from contracts.alerts import Alert, AlertKind, AlertPlan, DueAlert, DueAlerts
from contracts.errors import Permanent
from contracts.health import (
    CheckedBatch,
    HealthBatch,
    HealthPage,
    HealthPageRequest,
    HealthShard,
    HealthStatus,
    HealthWord,
    IntegrationKey,
    MonitorHealthInput,
    MonitorHealthResult,
    ShardCounts,
)
from contracts.names import ORCHESTRATION_QUEUE, shard_of
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
        self.batches: list[tuple[str, int]] = []
        self.alerts: list[Alert] = []
        self.planned: list[str] = []

    def activities(self) -> list[Any]:
        return [self.page, self.check, self.count, self.check_many, self.due, self.told, self.plan]

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

    def part(self, wanted: HealthShard, platform: str = "") -> list[IntegrationKey]:
        return [
            key
            for key in self.keys
            if shard_of("lumen", key.integration_id, wanted.shards) == wanted.shard and platform in {"", key.platform}
        ]

    @activity.defn(name="health.count")
    async def count(self, shard: HealthShard) -> ShardCounts:
        return ShardCounts(counts=Counter(key.platform for key in self.part(shard)))

    @activity.defn(name="health.check_many")
    async def check_many(self, batch: HealthBatch) -> CheckedBatch:
        info = activity.info()
        keys = self.part(batch.part, batch.platform)
        self.batches.append((info.task_queue, len(keys)))
        if any(key.integration_id in self.broken for key in keys):
            raise as_application_error(Permanent("store_gone", "The store refuses."))
        self.checked += [key.integration_id for key in keys]
        return CheckedBatch(checked=len(keys))

    @activity.defn(name="health.due")
    async def due(self) -> DueAlerts:
        return DueAlerts(due=[DueAlert(incident_id=one.parts[0], alert=one) for one in self.alerts])

    @activity.defn(name="health.told")
    async def told(self, told: DueAlerts) -> None:
        over = {one.incident_id for one in told.due}
        self.alerts = [one for one in self.alerts if one.parts[0] not in over]

    @activity.defn(name="alerts.plan")
    async def plan(self, alert: Alert) -> AlertPlan:
        self.planned.append(alert.parts[0])
        if alert.parts[0] in self.broken:
            raise as_application_error(Permanent("store_gone", "The store refuses."))
        return AlertPlan()


@asynccontextmanager
async def stage(fake: FakeHealth) -> AsyncIterator[WorkflowEnvironment]:
    async with (
        time_skipping() as environment,
        polling(environment.client, [MonitorHealth], fake.activities(), "system.slack", "system.tave"),
    ):
        yield environment


async def monitor(
    environment: WorkflowEnvironment, page_size: int = 10, **asked: Any
) -> WorkflowHandle[MonitorHealth, MonitorHealthResult]:
    return await environment.client.start_workflow(
        MonitorHealth.run,
        MonitorHealthInput(page_size=page_size, **asked),
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


def alert(name: str) -> Alert:
    return Alert(
        organization_id="lumen",
        kind=AlertKind.INTEGRATION_UNHEALTHY,
        since=datetime(2031, 5, 1, tzinfo=UTC),
        sentence="It does not answer.",
        parts=[name],
    )


async def test_the_shards_together_check_every_integration_once():
    fake = FakeHealth(60)
    async with stage(fake) as environment:
        results = [await (await monitor(environment, shard=shard, shards=3)).result() for shard in range(3)]
    assert sorted(fake.checked) == [key.integration_id for key in fake.keys]
    assert sum(one.checked for one in results) == 60
    assert all(one.checked < 60 for one in results)


async def test_a_shard_is_checked_in_parts_of_one_platform_each_in_its_own_queue():
    fake = FakeHealth(40)
    fake.keys += [
        IntegrationKey(organization_id="lumen", integration_id=f"tave-{number}", platform="tave") for number in range(3)
    ]
    async with stage(fake) as environment:
        await (await monitor(environment, shard=0, shards=1, batch_size=10)).result()
    queues = Counter(queue for queue, _ in fake.batches)
    assert queues == {"system.slack": 4, "system.tave": 1}
    assert sorted(fake.checked) == sorted(key.integration_id for key in fake.keys)


async def test_a_part_that_fails_leaves_the_others_their_round():
    fake = FakeHealth(40)
    fake.broken = {"slack-03"}
    async with stage(fake) as environment:
        result = await (await monitor(environment, shard=0, shards=1, batch_size=10)).result()
    assert 0 < result.checked < 40
    assert result.checked == len(fake.checked)


async def test_a_round_over_thousands_leaves_a_small_history():
    fake = FakeHealth(2_000)
    async with stage(fake) as environment:
        handle = await monitor(environment, shard=0, shards=1)
        assert (await handle.result()).checked == 2_000
        history = await handle.fetch_history()
    assert len(history.to_json()) < 200_000


async def test_every_due_alert_is_told_and_then_noted():
    fake = FakeHealth()
    fake.alerts = [alert("one"), alert("two")]
    async with stage(fake) as environment:
        result = await (await monitor(environment, tell=True)).result()
    assert (result.told, fake.planned, fake.alerts) == (2, ["one", "two"], [])


async def test_an_alert_that_cannot_be_told_hinders_no_other_and_stays_due():
    fake = FakeHealth()
    fake.alerts = [alert("one"), alert("two")]
    fake.broken = {"one"}
    async with stage(fake) as environment:
        result = await (await monitor(environment, tell=True)).result()
    assert (result.told, fake.alerts) == (1, [alert("one")])
