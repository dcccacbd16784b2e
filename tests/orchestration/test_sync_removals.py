"""SyncReport with the real activities: records that are gone from their report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError

from activities.storage.receipts import Scope
from contracts.names import ORCHESTRATION_QUEUE
from contracts.sync import Books, RemovalApproval, RemovalDecision, SynchronizationResult, SyncStatus
from tests.contract.conftest import emulators, served_emulators  # noqa: F401 - fixtures
from tests.orchestration.test_sync_bulk import MAPPING as SALESFORCE_MAPPING
from tests.orchestration.test_sync_report import ORGANIZATION, asked, server, workers
from tests.orchestration.test_sync_report_vendors import House, house, temporal_for, wedsync  # noqa: F401 - fixtures
from tests.orchestration.test_wedding_interleavings import until
from tests.support.emulators import Emulators
from workflows.sync_report import SyncReport

EMULATED = ("hubspot", "salesforce", "wedsync")
ARCHIVE = {"policy": "archive"}
SCOPE = Scope(ORGANIZATION, "hubspot-main", "weddings")


class Scene:
    """Weddings that stand at HubSpot, of which some leave the report."""

    def __init__(self, house: House, client: Client) -> None:  # noqa: F811
        self.house, self.client, self.emulators = house, client, house.emulators

    def report_of(self, rows: int) -> None:
        wedsync(self.emulators, "scenario", rows=rows)

    async def begin(self, rows: int = 50) -> None:
        self.report_of(rows)
        await self.house.sync_now(self.client)

    async def sync(self, **removals: Any) -> SynchronizationResult:
        return await self.house.sync_now(self.client, removals={**ARCHIVE, **removals})

    async def started(self, **removals: Any) -> WorkflowHandle[Any, SynchronizationResult]:
        """Start a sync and return once it waits for approval."""
        request = asked(removals={**ARCHIVE, **removals})
        handle = await self.client.start_workflow(
            SyncReport.run, request, id=f"sync-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
        )
        await until(lambda: waits(handle))
        return handle

    def standing(self) -> int:
        return len(self.emulators.objects("hubspot", "weddings"))

    def archived(self) -> int:
        return sum(effect["kind"] == "weddings.archived" for effect in self.emulators.effects("hubspot"))


async def waits(handle: WorkflowHandle[Any, Any]) -> bool:
    return any([event.HasField("timer_started_event_attributes") async for event in handle.fetch_history_events()])


async def answer(handle: WorkflowHandle[Any, Any], *, approved: bool) -> bool:
    approval = RemovalApproval(organization_id=ORGANIZATION, approved=approved, decided_by="planner")
    counts: bool = await handle.execute_update("approve", approval, result_type=bool)
    return counts


@pytest.fixture
async def scene(house: House, temporal_for: Any) -> AsyncIterator[Scene]:  # noqa: F811
    async with temporal_for() as client:
        yield Scene(house, client)


async def test_what_is_gone_is_archived_once(scene: Scene) -> None:
    await scene.begin(50)
    scene.report_of(45)
    result = await scene.sync()
    gone = result.removals
    assert (result.status, gone.found, gone.removed, scene.standing()) == (SyncStatus.SUCCESS, 5, 5, 45)
    assert result.books == Books(read=45, unchanged=45)
    repeated = await scene.sync()
    assert (repeated.removals.found, scene.archived()) == (0, 5)


async def test_nothing_is_removed_where_nobody_asked_for_it(scene: Scene) -> None:
    await scene.begin(10)
    scene.report_of(9)
    result = await scene.house.sync_now(scene.client)
    assert (result.removals.found, scene.standing()) == (0, 10)


@pytest.mark.parametrize(("limits", "rows"), [({}, 30), ({"maxRecords": 2}, 45), ({"maxRatio": 0.0}, 49)])
async def test_more_than_the_limits_allow_waits_for_approval(scene: Scene, limits: dict[str, Any], rows: int) -> None:
    await scene.begin(50)
    scene.report_of(rows)
    handle = await scene.started(**limits)
    assert scene.standing() == 50
    assert await answer(handle, approved=True)
    result = await handle.result()
    decided = (result.removals.decision, result.removals.decided_by)
    assert (decided, scene.standing()) == ((RemovalDecision.APPROVED, "planner"), rows)


async def test_an_empty_report_removes_nothing_by_itself(scene: Scene) -> None:
    await scene.begin(10)
    scene.report_of(0)
    result = await scene.sync(approveWithin="PT1H")
    assert (result.status, result.removals.decision) == (SyncStatus.PARTIAL, RemovalDecision.NOT_DECIDED)
    assert (result.removals.withheld, scene.standing()) == (10, 10)


async def test_a_refusal_leaves_everything_and_the_first_answer_counts(scene: Scene) -> None:
    await scene.begin(10)
    scene.report_of(5)
    handle = await scene.started()
    assert await answer(handle, approved=False)
    result = await handle.result()
    assert (result.status, result.removals.decision) == (SyncStatus.PARTIAL, RemovalDecision.REFUSED)
    assert scene.standing() == 10


async def test_a_record_that_comes_back_before_the_approval_stays(scene: Scene) -> None:
    await scene.begin(10)
    scene.report_of(4)
    handle = await scene.started()
    scene.report_of(7)
    await answer(handle, approved=True)
    gone = (await handle.result()).removals
    assert (gone.found, gone.removed, gone.reappeared, scene.standing()) == (6, 3, 3, 7)


async def test_nobody_approves_what_was_not_asked(scene: Scene) -> None:
    await scene.begin(1)
    request = asked(removals=ARCHIVE)
    handle = await scene.client.start_workflow(
        SyncReport.run, request, id=f"sync-{uuid4()}", task_queue=ORCHESTRATION_QUEUE
    )
    with pytest.raises(WorkflowUpdateFailedError):
        await answer(handle, approved=True)
    assert (await handle.result()).removals.found == 0


async def test_f21_a_lost_answer_of_a_removal_is_counted_once(scene: Scene) -> None:
    await scene.begin(50)
    scene.report_of(45)
    scene.emulators.fault("hubspot", "drop_after_effect", path="batch.archive", count=1)
    gone = (await scene.sync()).removals
    assert (gone.removed, scene.archived(), scene.standing()) == (5, 5, 45)


async def test_the_records_of_another_report_stay(scene: Scene) -> None:
    await scene.begin(10)
    shared = {"sourceReportId": "satisfaction", "dataMapping": [{"source": "status", "target": "booking_status"}]}
    result = await scene.house.sync_now(scene.client, removals=ARCHIVE, **shared)
    scene.report_of(9)
    mine = await scene.sync()
    assert (result.removals.found, mine.removals.found, scene.standing()) == (0, 0, 10)


async def test_records_without_an_id_may_be_the_missing_ones(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "weddings.csv"
    source = {"source": {"kind": "file", "uri": file.as_uri(), "format": "csv", "reportId": "import"}}
    mapping = {"dataMapping": [{"source": "venue", "target": name} for name in ("wedding_name", "venue_name")]}
    file.write_text("id,venue\n" + "".join(f"wed-{number},Barn {number}\n" for number in range(20)))
    await scene.house.sync_now(scene.client, removals=ARCHIVE, **source, **mapping)
    file.write_text("id,venue\n,Barn 0\n" + "".join(f"wed-{number},Barn {number}\n" for number in range(1, 20)))
    result = await scene.house.sync_now(scene.client, removals=ARCHIVE, **source, **mapping)
    assert (result.removals.decision, result.removals.withheld) == (RemovalDecision.UNCERTAIN, 1)
    assert scene.standing() == 20


@pytest.mark.parametrize(
    "changes",
    [
        {"syncType": "incremental"},
        {"dataFilters": [{"field": "status", "operator": "eq", "value": "booked"}]},
        {"removals": {"policy": "delete"}},
    ],
)
async def test_a_sync_that_cannot_know_or_do_it_is_refused(scene: Scene, changes: dict[str, Any]) -> None:
    with pytest.raises(WorkflowFailureError) as caught:
        await scene.house.sync_now(scene.client, **{"removals": ARCHIVE, **changes})
    assert "removals_" in caught.value.cause.details[0]["code"]  # type: ignore[attr-defined]


@asynccontextmanager
async def at_salesforce(house: House) -> AsyncIterator[Client]:  # noqa: F811
    await house.connect("salesforce", {"accessToken": "sandbox-salesforce-token"}, dataMapping=SALESFORCE_MAPPING)
    async with server() as client, workers(client, house.activities(), "salesforce"):
        yield client


async def test_what_salesforce_refuses_to_delete_is_named_and_the_rest_is_gone(
    house: House,  # noqa: F811
    emulators: Emulators,  # noqa: F811
) -> None:
    into = {"targetIntegration": {"integrationId": "salesforce-main"}}
    async with at_salesforce(house) as client:
        wedsync(emulators, "scenario", rows=40)
        await house.sync_now(client, **into)
        wedsync(emulators, "scenario", rows=36)
        emulators.fault("salesforce", "partial_batch", method="DELETE", path="composite/sobjects", status=400, count=1)
        result = await house.sync_now(client, removals={"policy": "delete"}, **into)
        gone = result.removals
        assert (gone.removed, gone.failed, len(gone.details), result.status) == (2, 2, 2, SyncStatus.PARTIAL)
        again = await house.sync_now(client, removals={"policy": "delete"}, **into)
    assert (again.removals.found, again.removals.removed) == (2, 2)
    assert len(emulators.objects("salesforce", "Wedding__c")) == 36
