"""Integration: its work moves to another one, proven before it takes over, undone until it is confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError

from activities.boundary import as_application_error
from contracts.connection import ConnectionResult, MigrationPhase
from contracts.errors import InvalidInput
from contracts.health import IntegrationKey
from contracts.integration import IntegrationState
from contracts.migration import MigrationPlan, PlanMigration, VerifiedRecords, VerifyMigration
from tests.orchestration.test_integration import FakeConnect, act, connect
from tests.support.backfill import Backfill
from tests.support.temporal import polling, time_skipping
from workflows.integration import Integration

PATIENCE_S = 280


class FakeMoves(FakeConnect):
    def __init__(self) -> None:
        super().__init__()
        self.standing = 6
        self.unfit = False

    def activities(self) -> list[Any]:
        return [*super().activities(), self.plan, self.reread]

    @activity.defn(name="migration.plan")
    async def plan(self, wanted: PlanMigration) -> MigrationPlan:
        if self.unfit:
            raise as_application_error(InvalidInput("successor_unfit", "It is paused."))
        successor = IntegrationKey(
            organization_id=wanted.key.organization_id, integration_id=wanted.successor_id, platform="hubspot"
        )
        return MigrationPlan(successor=successor, reports=["weddings", "revenue"], reread=True)

    @activity.defn(name="migration.verify")
    async def reread(self, wanted: VerifyMigration) -> VerifiedRecords:
        assert wanted.successor.integration_id == "crm-new"
        return VerifiedRecords(asked=6, standing=self.standing)


@asynccontextmanager
async def moving(fake: FakeMoves) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    async with (
        time_skipping() as environment,
        polling(environment.client, [Integration, Backfill], fake.activities(), "system.hubspot"),
    ):
        handle, _ = await connect(environment)
        yield handle


async def settled(handle: WorkflowHandle[Any, Any]) -> ConnectionResult:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found: ConnectionResult = await handle.query("show", result_type=ConnectionResult)
            if found.migration and found.migration.phase in {MigrationPhase.CUT_OVER, MigrationPhase.FAILED}:
                return found
            await asyncio.sleep(0.02)


async def test_the_work_is_handed_over_when_everything_stands_at_the_successor():
    fake = FakeMoves()
    async with moving(fake) as handle:
        fake.schedules.clear()
        begun = await act(handle, "migrate", successorId="crm-new")
        moved = await settled(handle)
        assert moved.state is IntegrationState.PAUSED
        await act(handle, "confirm_migration")
        ended = ConnectionResult.model_validate(await handle.result())
    assert begun.migration.phase is MigrationPhase.BACKFILLING
    assert (moved.migration.records, moved.migration.verified) == (6, 6)
    assert (ended.state, fake.forgotten, fake.schedules[0]) == (IntegrationState.DISCONNECTED, 1, False)


async def test_a_cancelled_move_gives_the_work_back():
    fake = FakeMoves()
    async with moving(fake) as handle:
        await act(handle, "migrate", successorId="crm-new")
        await settled(handle)
        back = await act(handle, "cancel_migration")
        await act(handle, "disconnect")
    assert (back.state, back.migration.phase) == (IntegrationState.ACTIVE, MigrationPhase.CANCELLED)


async def test_records_that_do_not_stand_keep_the_old_integration_at_work():
    fake = FakeMoves()
    fake.standing = 5
    async with moving(fake) as handle:
        await act(handle, "migrate", successorId="crm-new")
        failed = await settled(handle)
        await act(handle, "disconnect")
    assert failed.state is IntegrationState.ACTIVE
    assert failed.migration.error.code == "migration_not_verified"


async def test_an_unfit_successor_is_refused():
    fake = FakeMoves()
    fake.unfit = True
    async with moving(fake) as handle:
        refused = await act(handle, "migrate", successorId="crm-new")
        await act(handle, "disconnect")
    assert (refused.error.code, refused.migration) == ("successor_unfit", None)


async def test_nothing_is_confirmed_before_the_cut_over():
    async with moving(FakeMoves()) as handle:
        with pytest.raises(WorkflowUpdateFailedError):
            await act(handle, "confirm_migration")
        await act(handle, "disconnect")
