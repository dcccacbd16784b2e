"""SyncReport with the real activities: a plan says what would be done, and only that is carried out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import JsonValue
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError

from activities.connectors.crm.hubspot import HubSpot
from activities.ports.records import OutboundRecord
from contracts.sync import Books, SynchronizationResult, SyncStatus
from contracts.sync_plan import PlanCounts, PreviewedParts, SyncPreview
from contracts.sync_steps import PushParts
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_report import ORGANIZATION, server, workers
from tests.orchestration.test_sync_report_vendors import (  # noqa: F401 - fixtures
    House,
    house,
    temporal_for,
    wedsync,
)

EMULATED = ("hubspot", "wedsync")
ARCHIVE = {"removals": {"policy": "archive"}}


class Scene:
    """Weddings at HubSpot, planned and applied."""

    def __init__(self, house: House, client: Client) -> None:  # noqa: F811
        self.house, self.client, self.emulators = house, client, house.emulators

    def report_of(self, rows: int, **more: Any) -> None:
        wedsync(self.emulators, "scenario", rows=rows, **more)

    async def sync(self, **changes: Any) -> SynchronizationResult:
        return await self.house.sync_now(self.client, **changes)

    async def plan(self, **changes: Any) -> SyncPreview:
        found = (await self.sync(dryRun=True, **changes)).plan
        assert found is not None
        return found

    async def apply(self, plan: SyncPreview, **changes: Any) -> SynchronizationResult:
        return await self.sync(planHash=plan.hash, **changes)

    async def change_target(self, record_id: str, **values: JsonValue) -> None:
        connector = await self.house.access.connector(ORGANIZATION, "hubspot-main", HubSpot)
        await connector.upsert("weddings", [connector.prepare("weddings", OutboundRecord(record_id, values))])

    def effects(self) -> int:
        return len(self.emulators.effects("hubspot"))


@pytest.fixture
async def scene(house: House, temporal_for: Any) -> AsyncIterator[Scene]:  # noqa: F811
    async with temporal_for() as client:
        yield Scene(house, client)


async def refused(scene: Scene, plan: SyncPreview, **changes: Any) -> str:
    before = scene.effects()
    with pytest.raises(WorkflowFailureError) as caught:
        await scene.apply(plan, **changes)
    assert scene.effects() == before
    code: str = caught.value.cause.details[0]["code"]  # type: ignore[attr-defined]
    return code


async def test_a_plan_shows_what_would_be_done_and_writes_nothing(scene: Scene) -> None:
    scene.report_of(20)
    await scene.sync()
    scene.report_of(22, dirtyRatio=0.0)
    await scene.change_target("wed-1001", venue_name="Orangery")
    before = scene.effects()
    plan = await scene.plan()
    assert plan.counts == PlanCounts(create=2, update=1, unchanged=19)
    assert plan.fields == {"venue_name": 1}
    assert {change.action for change in plan.changes} == {"create", "update"}
    assert ((await scene.plan()).hash, scene.effects()) == (plan.hash, before)


async def test_a_plan_leaves_no_receipts_and_no_letters(scene: Scene) -> None:
    scene.report_of(100, dirtyRatio=0.05)
    plan = await scene.plan()
    assert plan.counts.blocked > 0
    assert (await scene.house.letters.listed(ORGANIZATION))[1] == 0
    result = await scene.sync()
    assert result.books.created == plan.counts.create


async def test_what_was_planned_is_carried_out_and_nothing_is_left_to_plan(scene: Scene) -> None:
    scene.report_of(20)
    await scene.sync()
    scene.report_of(18)
    await scene.change_target("wed-1001", venue_name="Orangery")
    plan = await scene.plan(**ARCHIVE)
    result = await scene.apply(plan, **ARCHIVE)
    assert (result.status, result.books) == (SyncStatus.SUCCESS, Books(read=18, updated=1, unchanged=17))
    assert (result.removals.removed, plan.counts.remove) == (2, 2)
    assert (await scene.plan(**ARCHIVE)).counts == PlanCounts(unchanged=18)


async def test_a_target_that_drifted_is_refused_before_anything_is_written(scene: Scene) -> None:
    scene.report_of(20)
    plan = await scene.plan()
    await scene.change_target("wed-1005", venue_name="Orangery", wedding_name="Somebody")
    assert await refused(scene, plan) == "plan_outdated"


async def test_a_report_that_changed_is_refused_before_anything_is_written(scene: Scene) -> None:
    scene.report_of(20)
    plan = await scene.plan()
    wedsync(scene.emulators, "touch", count=1)
    assert await refused(scene, plan) == "plan_outdated"


async def test_another_gone_record_outdates_a_plan(scene: Scene) -> None:
    scene.report_of(20)
    await scene.sync()
    scene.report_of(19)
    plan = await scene.plan(**ARCHIVE)
    scene.report_of(18)
    assert await refused(scene, plan, **ARCHIVE) == "plan_outdated"


async def test_a_plan_is_carried_out_once(scene: Scene) -> None:
    scene.report_of(5)
    plan = await scene.plan()
    assert (await scene.apply(plan)).books.created == 5
    assert await refused(scene, plan) == "plan_outdated"


async def test_a_plan_says_that_its_removals_need_approval(scene: Scene) -> None:
    scene.report_of(10)
    await scene.sync()
    scene.report_of(5)
    plan = await scene.plan(**ARCHIVE)
    assert (plan.counts.remove, plan.needs_approval) == (5, True)


async def test_a_target_that_changes_while_a_plan_is_carried_out_is_held(house: House) -> None:  # noqa: F811
    previews = house.previews
    changing: list[Scene] = []

    @activity.defn(name="sync.preview_records")
    async def preview_and_change(job: PushParts) -> PreviewedParts:
        found = await previews.preview_records(job)
        for scene in changing:
            await scene.change_target("wed-1003", venue_name="Orangery", wedding_name="Somebody")
        return found

    others = [one for one in house.activities() if one != previews.preview_records]
    async with server() as client, workers(client, [*others, preview_and_change], "hubspot"):
        scene = Scene(house, client)
        scene.report_of(5)
        plan = await scene.plan()
        changing.append(scene)
        result = await scene.apply(plan)
    [held] = result.details
    assert (result.books, held.record_id) == (Books(read=5, created=4, held=1), "wed-1003")
    assert "after it was planned" in held.reason
